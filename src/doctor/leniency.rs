//! What is let pass although the policy refuses it.

use jiff::Timestamp;

use super::finding::Finding;

use crate::policy::{End, Exception, Mode, Policy, day};
use crate::source::BreakGlass;

pub(super) fn examine(
    policy: Option<&Policy>,
    glass: &Result<Option<BreakGlass>, String>,
    now: Timestamp,
    findings: &mut Vec<Finding>,
) {
    findings.extend(broken(glass, now));
    let Some(policy) = policy.filter(|policy| policy.is_enforced()) else { return };
    let enforce = "work through what is told (code audit), then set mode = \"enforce\"";
    if policy.mode() == Mode::Audit {
        findings.push(Finding::warning(
            "policy.mode",
            "mode is \"audit\": what the policy refuses is allowed, and the log tells of it",
            "images that nobody signed run here, where no rule enforces",
            enforce,
        ));
    }
    for repository in policy.audited() {
        findings.push(Finding::note(
            "policy.rule-mode",
            format!("a rule lets pass what is refused of {repository}, and the log tells of it"),
            "whoever can push there has anything run here",
            enforce,
        ));
    }
    findings.extend(policy.exceptions().iter().map(|exception| self::exception(exception, now)));
}

fn exception(exception: &Exception, now: Timestamp) -> Finding {
    const ID: &str = "policy.exception";
    let Exception { of, owner, reason, written_until, .. } = exception;
    let (owner, reason) = (owner.escape_debug(), reason.escape_debug());
    if !exception.is_in_force(now) {
        return Finding::warning(
            ID,
            format!("the exception of {owner} for {of} ended on {written_until}"),
            "what it let run is refused now",
            "remove it; or have its owner say until when it is needed",
        );
    }
    let title = format!("{of} may run unsigned until {written_until}: {reason} ({owner})");
    let why = "what an exception lets run was vouched for by nobody";
    match End::of(exception.until, now) {
        End::Near => Finding::warning(
            ID,
            title,
            "from then on it is refused",
            format!("have it signed before; or ask {owner} for how long it is needed"),
        ),
        End::Far | End::Past => Finding::note(ID, title, why, "have it signed, and remove it"),
    }
}

fn broken(glass: &Result<Option<BreakGlass>, String>, now: Timestamp) -> Option<Finding> {
    const ID: &str = "policy.break-glass";
    match glass {
        Ok(Some(glass)) if now < glass.until => Some(Finding::problem(
            ID,
            format!(
                "the glass is broken until {} ({}): every call is allowed",
                glass.until,
                glass.reason.escape_debug()
            ),
            format!("nothing is enforced since {}", day(glass.started)),
            "countersign breakglass --end, as soon as it can be",
        )),
        Ok(_) => None,
        Err(cause) => Some(Finding::warning(
            ID,
            cause.clone(),
            "somebody may have tried to let every call pass; the file is ignored",
            "find out who wrote it; countersign breakglass --end removes it",
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::Severity::{Note, Problem, Warning};
    use super::*;

    #[test]
    fn the_whole() {
        let now: Timestamp = "2026-12-01T00:00:00Z".parse().unwrap();
        let until = |day: &str| {
            format!(
                "[[exceptions]]\nrepository = \"h.io/a\"\nowner = \"alice\"\nreason = \"x\"\n\
                 until = {day}\n"
            )
        };
        let glass = |started: &str| {
            let started = started.parse().unwrap();
            Ok(Some(BreakGlass::new("x", "", started, Duration::from_secs(60)).unwrap()))
        };
        let rule = "[[rules]]\nrepository = \"h.io/a\"\nmode = \"audit\"\n";
        for (text, glass, expected) in [
            (String::new(), Ok(None), &[][..]),
            ("mode = \"audit\"\n".to_owned(), Ok(None), &[("policy.mode", Warning)]),
            (rule.to_owned(), Ok(None), &[("policy.rule-mode", Note)]),
            (until("2027-12-31"), Ok(None), &[("policy.exception", Note)]),
            (until("2026-12-24"), Ok(None), &[("policy.exception", Warning)]),
            (until("2026-11-24"), Ok(None), &[("policy.exception", Warning)]),
            (String::new(), glass("2026-11-30T23:59:30Z"), &[("policy.break-glass", Problem)]),
            (String::new(), glass("2026-11-30T23:58:30Z"), &[]),
            (String::new(), Err("x".to_owned()), &[("policy.break-glass", Warning)]),
        ] {
            let text = format!("[trust_configuration]\nrequire_content_trust = true\n{text}");
            let policy = Policy::from_toml(&text, &|_| Ok(String::new())).unwrap();
            let mut findings = Vec::new();
            examine(Some(&policy), &glass, now, &mut findings);
            let told: Vec<_> =
                findings.iter().map(|finding| (finding.id, finding.severity)).collect();
            assert_eq!(told, expected, "{text} {glass:?}");
        }
    }
}
