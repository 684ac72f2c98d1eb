//! A policy, examined by its text alone: before it is put on a node, or where nothing runs.

use std::path::Path;

use jiff::Timestamp;

use super::facts::PolicyFacts;
use super::finding::Finding;
use super::{leniency, policy};
use crate::policy::Policy;

/// All that is to be said of a policy. Whether its registries answer is not asked.
pub fn lint(file: &Path, policy: &Policy, now: Timestamp) -> Vec<Finding> {
    let facts =
        PolicyFacts { file: file.to_owned(), policy: Ok(policy.clone()), unusable: Vec::new() };
    let mut findings = Vec::new();
    policy::examine(&facts, now, &mut findings);
    leniency::examine(Some(policy), &Ok(None), now, &mut findings);
    findings.extend(policy.rules_of_nothing().map(|pattern| {
        Finding::warning(
            "policy.rule-registry",
            format!("the rule for {pattern} is for a registry that is not registered"),
            "nothing of an unregistered registry can be proven, so whatever the rule demands is \
             never met",
            format!("register it (countersign registry add {}), or mend the name", pattern.host()),
        )
    }));
    for user in policy.users_in_no_team() {
        findings.push(Finding::note(
            "policy.user-team",
            format!("user {} is in no team", user.escape_debug()),
            "a signature by them counts only where no team is required",
            "add them to a team (countersign team add), or remove them",
        ));
    }
    for team in policy.teams(now).filter(|team| !team.required) {
        findings.push(Finding::note(
            "policy.team-unused",
            format!("nobody requires a signature of team {}", team.name.escape_debug()),
            "the team says nothing about what may run",
            "name it in require_signature_from, of all or of a rule; or remove it",
        ));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::Severity::{Note, Problem, Warning};
    use super::super::finding::told;
    use super::*;

    #[test]
    fn the_whole() {
        let certificate = {
            let key = rcgen::KeyPair::generate().unwrap();
            rcgen::CertificateParams::default().self_signed(&key).unwrap().pem()
        };
        let registry = "[[registries]]\nhost_address = \"h.io\"\ntrust_on_first_use = false\n";
        let user = "[users.a]\ncertificates = [\"a.pem\"]\n";
        let required = "require_signature_from = [\"CI\"]\n";
        let rule = |name: &str| {
            format!("[[rules]]\nrepository = \"{name}\"\nrequire_signature_from = [\"CI\"]\n")
        };
        let ci = "[teams]\nCI = [\"a\"]\n";
        for (text, expected) in [
            (format!("{required}{registry}{ci}{user}"), &[][..]),
            (format!("{registry}{ci}{user}{}", rule("h.io/a/**")), &[]),
            (
                format!("{registry}{ci}{user}{}", rule("g.io/a")),
                &[("policy.rule-registry", Warning)],
            ),
            (format!("{registry}{user}"), &[("policy.user-team", Note)]),
            (format!("{registry}{ci}{user}"), &[("policy.team-unused", Note)]),
            (
                format!("mode = \"audit\"\n{required}{registry}{ci}{user}"),
                &[("policy.mode", Warning)],
            ),
            (format!("{required}{registry}[teams]\nCI = []\n"), &[("policy.team", Problem)]),
        ] {
            let text = format!("[trust_configuration]\nrequire_content_trust = true\n{text}");
            let policy = Policy::from_toml(&text, &|_| Ok(certificate.clone())).unwrap();
            let now = "2026-12-01T00:00:00Z".parse().unwrap();
            let findings = lint(Path::new("countersign.toml"), &policy, now);
            assert_eq!(told(&findings), expected, "{text}");
        }
    }
}
