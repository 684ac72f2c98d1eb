//! What is kept on the node: who may change it, and how long it serves.

use std::path::Path;

use jiff::Timestamp;

use super::facts::{StoredFacts, StoredRepository};
use super::finding::Finding;
use crate::policy::role_ending;
use crate::source::Kind;

pub(super) fn examine(stored: &StoredFacts, now: Timestamp, findings: &mut Vec<Finding>) {
    if !state_dir(stored, findings) {
        return;
    }
    let repositories = match &stored.repositories {
        Ok(repositories) => repositories,
        Err(cause) => {
            findings.push(unusable(cause, &stored.state_dir));
            return;
        }
    };
    let before = findings.len();
    for one in repositories {
        repository(one, now, findings);
    }
    if findings.len() == before {
        let title = match repositories.len() {
            0 => "no trust data is kept yet".to_owned(),
            1 => "trust data of 1 repository is kept and in date".to_owned(),
            many => format!("trust data of {many} repositories is kept and in date"),
        };
        findings.push(Finding::ok("trust.stored", title));
    }
}

/// The directory itself. Whether there is anything below it to look at.
fn state_dir(stored: &StoredFacts, findings: &mut Vec<Finding>) -> bool {
    const ID: &str = "trust.state-dir";
    let dir = stored.state_dir.display();
    let file = match &stored.file {
        Ok(Some(file)) => file,
        Ok(None) => {
            let why = "nothing was verified on this node yet";
            let remedy = "none: countersign makes it when it starts";
            findings.push(Finding::note(ID, format!("there is no {dir} yet"), why, remedy));
            return false;
        }
        Err(cause) => {
            findings.push(unusable(&format!("{dir}: {cause}"), &stored.state_dir));
            return false;
        }
    };
    let why = "it holds the roots of trust and the highest versions seen: who may change it \
               can bring back what was revoked, or another root";
    if file.kind != Kind::Folder {
        let remedy = format!("remove it, and start countersign again: rm {dir}");
        findings.push(Finding::problem(ID, format!("{dir} is not a folder"), why, remedy));
        return false;
    }
    findings.push(if file.uid != 0 || file.mode & 0o022 != 0 {
        Finding::problem(
            ID,
            format!("others may write {dir} (owner {}, mode {:o})", file.uid, file.mode & 0o777),
            why,
            format!(
                "chown -R root:root {dir} && chmod 0700 {dir}; where others did write it, remove it"
            ),
        )
    } else {
        Finding::ok(ID, format!("{dir} is root's alone to write"))
    });
    true
}

fn unusable(cause: &str, state_dir: &Path) -> Finding {
    Finding::problem(
        "trust.readable",
        format!("what is kept cannot be read: {cause}"),
        "countersign decides by it while trust servers are away, and refuses to start anew \
         in silence",
        format!("run countersign doctor as root; see that {} can be read", state_dir.display()),
    )
}

fn repository(one: &StoredRepository, now: Timestamp, findings: &mut Vec<Finding>) {
    let name = &one.repository;
    let forget = format!("countersign trust reset {name}");
    if !one.registered {
        findings.push(Finding::note(
            "trust.unregistered",
            format!("trust data of {name} is kept, whose registry is not registered"),
            "it serves nothing",
            format!("register {}, or forget it: {forget}", name.host()),
        ));
        return;
    }
    if let Some(damage) = &one.damage {
        findings.push(Finding::problem(
            "trust.readable",
            format!("what is kept of {name} cannot be used: {damage}"),
            "its images are refused until it is mended: to start anew in silence would throw \
             its root of trust away",
            format!("restore the file from a backup; or forget what was seen of it: {forget}"),
        ));
    }
    for damage in &one.mendable {
        findings.push(Finding::warning(
            "trust.copies",
            format!("one of the two copies of what was seen of {name} is damaged: {damage}"),
            "the other one serves; were it lost too, its images would be refused",
            format!("look after the disk; countersign check {name} mends the copy"),
        ));
    }
    for (role, expires) in &one.files {
        match expires {
            Ok(at) => findings.extend(role_ending(name, role, *at, now).map(Finding::from)),
            Err(fault) => findings.push(Finding::warning(
                "trust.readable",
                format!("the kept {role}.json of {name} cannot be read: {fault}"),
                "while the trust server is away its images cannot be checked by it",
                format!("countersign check {name} fetches it anew"),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::{Severity, told};
    use super::*;
    use crate::source::FileFacts;
    use crate::trust::notary::{Fault, Role};
    use Severity::{Note, Problem, Warning};

    fn role(name: &str) -> Role {
        Role::named(name).unwrap()
    }

    fn folder(uid: u32, mode: u32) -> FileFacts {
        FileFacts { kind: Kind::Folder, uid, mode }
    }

    fn stored(files: &[(&str, &str)]) -> StoredFacts {
        let expires = |at: &str| at.parse().map_err(|_| Fault::FirstUse);
        let one = StoredRepository {
            repository: "h.io/app".parse().unwrap(),
            registered: true,
            damage: None,
            mendable: Vec::new(),
            files: files.iter().map(|(name, at)| (role(name), expires(at))).collect(),
        };
        StoredFacts {
            state_dir: "/var/lib/countersign".into(),
            file: Ok(Some(folder(0, 0o700))),
            repositories: Ok(vec![one]),
        }
    }

    fn findings(stored: &StoredFacts) -> Vec<(&'static str, Severity)> {
        let mut findings = Vec::new();
        examine(stored, "2026-11-22T03:00:00Z".parse().unwrap(), &mut findings);
        told(&findings)
    }

    #[test]
    fn dates_of_files() {
        const FAR: &str = "2027-01-01T00:00:00Z";
        const NEAR: &str = "2026-12-01T00:00:00Z";
        const PAST: &str = "2026-11-01T00:00:00Z";
        let warned = &[("trust.expiry", Warning)][..];
        for (role, at, expected) in [
            ("root", FAR, &[][..]),
            ("root", NEAR, warned),
            ("root", PAST, warned),
            ("snapshot", NEAR, warned),
            ("targets", NEAR, warned),
            ("targets/jenkins", NEAR, warned),
            ("timestamp", FAR, &[]),
            ("timestamp", NEAR, &[]),
            ("timestamp", PAST, warned),
            ("targets", "not a date", &[("trust.readable", Warning)]),
        ] {
            assert_eq!(findings(&stored(&[(role, at)])), expected, "{role} {at}");
        }
    }

    #[test]
    fn who_may_change_it() {
        let problem = &[("trust.state-dir", Problem)][..];
        let socket = FileFacts { kind: Kind::Socket, uid: 0, mode: 0o700 };
        for (file, expected) in [
            (Ok(Some(folder(0, 0o700))), &[][..]),
            (Ok(Some(folder(0, 0o755))), &[]),
            (Ok(Some(folder(1000, 0o700))), problem),
            (Ok(Some(folder(0, 0o770))), problem),
            (Ok(Some(socket)), problem),
            (Ok(None), &[("trust.state-dir", Note)]),
            (Err("Permission denied".to_owned()), &[("trust.readable", Problem)]),
        ] {
            let facts = StoredFacts { file, ..stored(&[]) };
            assert_eq!(findings(&facts), expected, "{facts:?}");
        }
    }

    #[test]
    fn what_cannot_be_used() {
        let mut facts = stored(&[]);
        facts.repositories.as_mut().unwrap()[0].mendable = vec!["record.json: gone".to_owned()];
        assert_eq!(findings(&facts), [("trust.copies", Warning)]);
        facts.repositories.as_mut().unwrap()[0].damage = Some("record.json: EOF".to_owned());
        facts.repositories.as_mut().unwrap()[0].mendable.clear();
        assert_eq!(findings(&facts), [("trust.readable", Problem)]);
        facts.repositories.as_mut().unwrap()[0].registered = false;
        assert_eq!(findings(&facts), [("trust.unregistered", Note)]);
        facts.repositories = Err("trust/h.io: Permission denied".to_owned());
        assert_eq!(findings(&facts), [("trust.readable", Problem)]);
    }
}
