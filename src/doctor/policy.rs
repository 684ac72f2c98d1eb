//! The policy: does it demand what its operator believes, and for how long?

use jiff::Timestamp;

use super::facts::PolicyFacts;
use super::finding::Finding;
use crate::policy::{
    GuardMode, Policy, Registry, TeamState, authority_ending, registry_endings, user_key_ending,
};

pub(super) fn examine(facts: &PolicyFacts, now: Timestamp, findings: &mut Vec<Finding>) {
    let policy = match &facts.policy {
        Ok(policy) => policy,
        Err(cause) => {
            findings.push(Finding::problem(
                "policy.loads",
                cause.clone(),
                "countersign does not start without a policy, and an engine that asks it then \
                 refuses every call",
                "mend the line; countersign help serve shows a whole policy",
            ));
            return;
        }
    };
    findings.push(Finding::ok("policy.loads", format!("{} can be applied", facts.file.display())));
    if !policy.is_enforced() {
        findings.push(Finding::problem(
            "policy.enforced",
            "require_content_trust is false",
            "every image may run, signed or not",
            "set require_content_trust = true in [trust_configuration]",
        ));
    }
    if policy.registries().is_empty() {
        findings.push(Finding::problem(
            "policy.registries",
            "no registry is registered",
            "trust data is taken from registered registries alone, so no image can be allowed",
            "add a [[registries]] entry with its host_address",
        ));
    }
    for cause in &facts.unusable {
        findings.push(Finding::problem(
            "policy.registry",
            cause.clone(),
            "countersign does not start with an entry that it cannot use",
            "mend its [[registries]] entry, or what it names",
        ));
    }
    for key in policy.user_keys(now) {
        findings.extend(user_key_ending(key, now).map(Finding::from));
    }
    for ca in policy.users_authorities() {
        findings
            .extend(authority_ending("policy.users-ca", "users_ca", ca, now).map(Finding::from));
    }
    for team in policy.teams(now) {
        findings.extend(self::team(&team, policy));
    }
    for registry in policy.registries() {
        findings.extend(registry_endings(registry, now).into_iter().map(Finding::from));
    }
    findings.extend(pins(policy));
    findings.push(guard(policy.guard_mode()));
    for repository in policy.host_access() {
        findings.push(Finding::note(
            "policy.host-access",
            format!("[[rules]] lets images of {repository} reach the host"),
            "whoever may have such an image signed, or run it with arguments of their own, may do \
             on this host what root may, and end all enforcement",
            "set allow_host_access = false, or remove the rule, where nobody needs it",
        ));
    }
    for permission in policy.opened() {
        findings.push(Finding::note(
            "policy.api",
            format!("[api] {permission} is open"),
            format!("callers may {}", permission.describe()),
            format!("set {permission} = false where nobody needs it"),
        ));
    }
}

fn guard(mode: GuardMode) -> Finding {
    const ID: &str = "policy.guard";
    let why = "a signed image that is given the host's files, processes or devices can end all \
               enforcement";
    match mode {
        GuardMode::Enforce => Finding::ok(ID, "[guard] keeps containers from the host"),
        GuardMode::Log => Finding::warning(
            ID,
            "[guard] mode is \"log\": containers may reach the host, and the log tells of it",
            why,
            "write a [[rules]] entry with allow_host_access = true for each repository that the \
             log names rightly, then set mode = \"enforce\"",
        ),
        GuardMode::Off => Finding::problem(
            ID,
            "[guard] mode is \"off\": containers may reach the host, and nobody is told",
            why,
            "set mode = \"enforce\"; or \"log\" first, to see what would be refused",
        ),
    }
}

fn team(team: &TeamState<'_>, policy: &Policy) -> Option<Finding> {
    const ID: &str = "policy.team";
    if team.can_sign {
        return None;
    }
    let name = team.name.escape_debug();
    let (title, remedy) = if team.members.is_empty() {
        let remedy = format!("name its members in [teams] {name}");
        (format!("team {name} has no members"), remedy)
    } else {
        let title = format!("no member of team {name} has a key that counts");
        (
            title,
            format!(
                "give one of them a certificate in date, in [users] or by users_ca; or name other members in [teams] {name}"
            ),
        )
    };
    Some(if team.required && policy.is_enforced() {
        let why = "a member of it must have signed, so no image can be allowed";
        Finding::problem(ID, title, why, remedy)
    } else {
        Finding::note(ID, title, "nobody can sign for it", remedy)
    })
}

fn pins(policy: &Policy) -> Option<Finding> {
    let unpinned = |registry: &&Registry| {
        let root = &registry.root;
        root.trust_on_first_use && root.pins.is_empty() && root.ca.is_empty()
    };
    let hosts: Vec<_> =
        policy.registries().iter().filter(unpinned).map(|one| one.host.as_str()).collect();
    (!hosts.is_empty()).then(|| {
        Finding::note(
            "policy.pins",
            format!("roots are trusted on first use for {}", hosts.join(", ")),
            "whoever answers as the trust server the first time this node asks for a repository \
             chooses its keys",
            "pin them with root_pins or root_ca; or set trust_on_first_use = false once all \
             repositories have been met",
        )
    })
}

#[cfg(test)]
mod tests {
    use std::io;

    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair};

    use super::super::finding::{Severity, told};
    use super::*;
    use Severity::{Note, Problem, Warning};

    const TRUST: &str = "[trust_configuration]\nrequire_content_trust = true\n";
    const PINNED: &str = "[[registries]]\nhost_address = \"h.io\"\ntrust_on_first_use = false\n";

    /// A certificate that ends on this day.
    fn until(year: i32, month: u8, day: u8, is_ca: bool) -> String {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "name");
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(year, month, day);
        if is_ca {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        }
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem()
    }

    fn findings(text: &str) -> Vec<(&'static str, Severity)> {
        // One name for each kind of certificate: a policy reads them as files.
        let read = |path: &std::path::Path| {
            let is_ca = path.to_str().unwrap().starts_with("ca-");
            match path.file_stem().unwrap().to_str().unwrap().trim_start_matches("ca-") {
                "good" => Ok(until(2030, 1, 1, is_ca)),
                "near" => Ok(until(2026, 12, 20, is_ca)),
                "past" => Ok(until(2026, 11, 1, is_ca)),
                _ => Err(io::Error::from(io::ErrorKind::NotFound)),
            }
        };
        let policy = Policy::from_toml(text, &read).map_err(|error| error.to_string());
        let facts = PolicyFacts { file: "countersign.toml".into(), policy, unusable: Vec::new() };
        let mut findings = Vec::new();
        examine(&facts, "2026-11-22T03:00:00Z".parse().unwrap(), &mut findings);
        told(&findings)
    }

    #[test]
    fn the_whole() {
        let off = "[trust_configuration]\nrequire_content_trust = false\n";
        let first_use = "[[registries]]\nhost_address = \"h.io\"\n";
        let open = "[api]\nbuild = true\nload = true\nexec = true\n";
        let rule = |name: &str, allow: bool| {
            format!("[[rules]]\nrepository = \"h.io/{name}\"\nallow_host_access = {allow}\n")
        };
        let rules = rule("ops/**", true) + &rule("ops/app", false);
        for (text, expected) in [
            ("[trust_configuration]\n".to_owned(), &[("policy.loads", Problem)][..]),
            (format!("{TRUST}{PINNED}"), &[]),
            (format!("{off}{PINNED}"), &[("policy.enforced", Problem)]),
            (TRUST.to_owned(), &[("policy.registries", Problem)]),
            (format!("{TRUST}{first_use}"), &[("policy.pins", Note)]),
            (format!("{TRUST}{PINNED}{open}"), &[("policy.api", Note), ("policy.api", Note)]),
            (format!("{TRUST}{PINNED}[guard]\nmode = \"enforce\"\n"), &[]),
            (format!("{TRUST}{PINNED}[guard]\nmode = \"log\"\n"), &[("policy.guard", Warning)]),
            (format!("{TRUST}{PINNED}[guard]\nmode = \"off\"\n"), &[("policy.guard", Problem)]),
            (format!("{TRUST}{PINNED}{rules}"), &[("policy.host-access", Note)]),
        ] {
            assert_eq!(findings(&text), expected, "{text}");
        }
    }

    #[test]
    fn an_entry_that_cannot_be_used() {
        let policy = Policy::from_toml(&format!("{TRUST}{PINNED}"), &|_| Ok(String::new()));
        let facts = PolicyFacts {
            file: "countersign.toml".into(),
            policy: policy.map_err(|error| error.to_string()),
            unusable: vec!["registry h.io: docker_config: it is not JSON".to_owned()],
        };
        let mut findings = Vec::new();
        examine(&facts, Timestamp::UNIX_EPOCH, &mut findings);
        assert_eq!(told(&findings), [("policy.registry", Problem)]);
    }

    #[test]
    fn dates_of_people_and_authorities() {
        for (text, expected) in [
            (
                format!("{TRUST}{PINNED}[users.a]\ncertificates = [\"near.pem\"]\n"),
                &[("policy.user-key", Warning)][..],
            ),
            (
                format!("{TRUST}{PINNED}[users.a]\ncertificates = [\"past.pem\", \"good.pem\"]\n"),
                &[("policy.user-key", Warning)],
            ),
            (
                format!("{TRUST}users_ca = \"ca-near.pem\"\n{PINNED}"),
                &[("policy.users-ca", Warning)],
            ),
            (
                format!("{TRUST}{PINNED}ca_file = \"ca-past.pem\"\nroot_ca = \"ca-near.pem\"\n"),
                &[("policy.ca-bundle", Warning), ("policy.root-ca", Warning)],
            ),
            (format!("{TRUST}{PINNED}ca_file = \"ca-good.pem\"\n"), &[]),
        ] {
            assert_eq!(findings(&text), expected, "{text}");
        }
    }

    #[test]
    fn teams_that_cannot_sign() {
        let required = "require_signature_from = [\"CI\"]\n";
        let past = "[users.a]\ncertificates = [\"past.pem\"]\n";
        let late = ("policy.user-key", Warning);
        for (text, expected) in [
            (
                format!("{TRUST}{required}{PINNED}[teams]\nCI = []\n"),
                &[("policy.team", Problem)][..],
            ),
            (format!("{TRUST}{PINNED}[teams]\nCI = []\n"), &[("policy.team", Note)]),
            (
                format!("{TRUST}{required}{PINNED}[teams]\nCI = [\"a\"]\n{past}"),
                &[late, ("policy.team", Problem)],
            ),
            (
                format!(
                    "{TRUST}{required}users_ca = \"ca-good.pem\"\n{PINNED}[teams]\n\
                     CI = [\"a\"]\n{past}"
                ),
                &[late],
            ),
            (
                format!(
                    "{TRUST}{required}{PINNED}[teams]\nCI = [\"a\", \"b\"]\n{past}[users.b]\n\
                     certificates = [\"good.pem\"]\n"
                ),
                &[late],
            ),
        ] {
            assert_eq!(findings(&text), expected, "{text}");
        }
    }
}
