//! What was verified before is taken over where reading and verifying it again would come to
//! the same, and nowhere else.

use std::sync::Arc;

use countersign::trust::notary::{Fault, History, Role, TrustData, Update};
use jiff::Timestamp;
use serde_json::json;

use super::told;
use crate::builder::key::{Key, person, role_key};
use crate::builder::{A, B, GUN, Repo, Server, now};
use crate::repositories::first_use;

const ALL: [&str; 4] = ["targets", "targets/releases", "targets/jenkins", "targets/moby"];

/// jenkins signed 1.0, and 2.0 as another image than moby did.
fn repository() -> Repo {
    let mut repo = Repo::signed_by_jenkins();
    repo.at("targets/moby").listed = true;
    repo.at("targets/moby").tag("2.0", B);
    repo.at("targets/releases").tag("2.0", B);
    repo.at("targets/jenkins").tag("2.0", A);
    repo
}

/// The same files of these roles, byte for byte, as were published before.
fn unchanged(repo: &mut Repo, before: &Server, roles: &[&str]) {
    for role in roles {
        let text = before.text(&format!("{role}.json"));
        repo.at(role).tamper(move |_| text.clone());
    }
}

/// All that comes of an update, and the tags' files that were asked for.
fn renewed(
    server: &Server,
    history: &History,
    known: Option<&Arc<TrustData>>,
    now: Timestamp,
) -> (Result<(TrustData, History), String>, Vec<String>) {
    let (mut asked, mut ahead) = (Vec::new(), Vec::new());
    let mut run = || {
        let mut update = Update::new(&GUN.parse().unwrap(), &first_use(), history, now)?;
        update = update.knowing(known.cloned());
        while let Some(wanted) = update.wanted() {
            if matches!(wanted.file.role(), Role::Targets | Role::Delegation(_)) {
                asked.push(wanted.file.role().to_string());
            }
            ahead.extend(update.upcoming().map(|one| one.file.role().to_string()));
            match server.answer(&wanted.file) {
                Some(bytes) => update.offer(&bytes, now)?,
                None => update.absent()?,
            }
        }
        Ok(update.finish().unwrap())
    };
    let outcome: Result<_, Fault> = run();
    // What was to come did come, as nothing kept it from that.
    let in_vain = ahead.iter().find(|role| outcome.is_ok() && !asked.contains(role));
    assert_eq!(in_vain, None, "{asked:?}");
    (outcome.map_err(|fault| format!("{fault:?}")), asked)
}

fn all_told(outcome: &Result<(TrustData, History), String>) -> Result<String, String> {
    let (data, history) = outcome.as_ref().map_err(Clone::clone)?;
    let released: Vec<_> = ["1.0", "2.0"].map(|tag| data.released(tag, now())).into();
    let (left_out, versions) = (data.left_out().collect::<Vec<_>>(), data.versions());
    Ok(format!(
        "{:?} {:?} {released:?} {left_out:?} {:?} {history:?}",
        told(data, "1.0"),
        told(data, "2.0"),
        versions.collect::<Vec<_>>()
    ))
}

struct Case {
    name: &'static str,
    /// What is published next.
    arrange: fn(&mut Repo),
    /// The roles whose files stay as they were.
    kept: &'static [&'static str],
    /// What else the node has seen.
    seen: fn(&mut History),
    /// The files that are then asked for.
    asked: &'static [&'static str],
    /// Whether anything is another than it was, versions of the server's roles aside.
    changes: bool,
}

fn later(repo: &mut Repo) {
    for role in ["timestamp", "snapshot"] {
        repo.at(role).version(2);
    }
}

fn nothing(_: &mut History) {}

fn seen(history: &mut History, role: &str, version: u64) {
    history.versions.insert(role.to_owned(), version);
}

/// Publishes the targets file anew, with another declaration of jenkins.
fn declare(repo: &mut Repo, keys: &[Key], threshold: u64, paths: &[&str]) {
    later(repo);
    repo.at("targets").version(2);
    repo.at("targets").declare("targets/jenkins", keys, threshold, paths);
}

const DELEGATIONS: &[&str] = &["targets/releases", "targets/jenkins", "targets/moby"];
const TO_JENKINS: &[&str] = &["targets", "targets/jenkins"];

/// What is published anew, and what it declares.
fn published() -> Vec<Case> {
    vec![
        Case {
            name: "nothing but the server's roles",
            arrange: later,
            kept: &ALL,
            seen: nothing,
            asked: &[],
            changes: false,
        },
        Case {
            name: "one delegation",
            arrange: |repo| {
                later(repo);
                repo.at("targets/jenkins").version(2);
                repo.at("targets/jenkins").tag("1.0", B);
            },
            kept: &["targets", "targets/releases", "targets/moby"],
            seen: nothing,
            asked: &["targets/jenkins"],
            changes: true,
        },
        Case {
            name: "the parent, which declares the same",
            arrange: |repo| {
                later(repo);
                repo.at("targets").version(2);
            },
            kept: DELEGATIONS,
            seen: nothing,
            asked: &["targets"],
            changes: true,
        },
        Case {
            name: "another key",
            arrange: |repo| declare(repo, &[person("moby")], 1, &[""]),
            kept: DELEGATIONS,
            seen: nothing,
            asked: TO_JENKINS,
            changes: true,
        },
        Case {
            name: "one key more",
            arrange: |repo| declare(repo, &[person("jenkins"), person("moby")], 1, &[""]),
            kept: DELEGATIONS,
            seen: nothing,
            asked: TO_JENKINS,
            changes: true,
        },
        Case {
            name: "a higher threshold",
            arrange: |repo| declare(repo, &[person("jenkins")], 2, &[""]),
            kept: DELEGATIONS,
            seen: nothing,
            asked: TO_JENKINS,
            changes: true,
        },
        Case {
            name: "narrower paths",
            arrange: |repo| declare(repo, &[person("jenkins")], 1, &["2."]),
            kept: DELEGATIONS,
            seen: nothing,
            asked: &["targets"],
            changes: true,
        },
        Case {
            name: "declared no more",
            arrange: |repo| {
                later(repo);
                let targets = repo.at("targets");
                targets.version(2);
                let roles = targets.signed["delegations"]["roles"].as_array_mut().unwrap();
                roles.retain(|role| role["name"] != "targets/jenkins");
            },
            kept: DELEGATIONS,
            seen: nothing,
            asked: &["targets"],
            changes: true,
        },
    ]
}

/// What stands around files that stay as they were.
fn around() -> Vec<Case> {
    vec![
        Case {
            name: "listed no more",
            arrange: |repo| {
                later(repo);
                repo.at("targets/jenkins").listed = false;
            },
            kept: &ALL,
            seen: nothing,
            asked: &[],
            changes: true,
        },
        Case {
            name: "a newer version was seen",
            arrange: later,
            kept: &ALL,
            seen: |history| seen(history, "targets/jenkins", 9),
            asked: &[],
            changes: true,
        },
        Case {
            name: "a newer version of targets was seen",
            arrange: later,
            kept: &ALL,
            seen: |history| seen(history, "targets", 9),
            asked: &[],
            changes: true,
        },
        Case {
            name: "it was found to be a replay",
            arrange: later,
            kept: &ALL,
            seen: |history| {
                history.examined.get_mut("targets/jenkins").unwrap().replay = true;
            },
            asked: &[],
            changes: true,
        },
        Case {
            name: "another second hash",
            arrange: |repo| {
                later(repo);
                repo.at("snapshot").amend(|signed| {
                    let zeros = json!(format!("{}==", "A".repeat(86)));
                    signed["meta"]["targets/jenkins"]["hashes"]["sha512"] = zeros;
                });
            },
            kept: &ALL,
            seen: nothing,
            asked: &["targets/jenkins"],
            changes: true,
        },
        Case {
            name: "a smaller length",
            arrange: |repo| {
                later(repo);
                repo.at("snapshot")
                    .amend(|signed| signed["meta"]["targets/jenkins"]["length"] = json!(10));
            },
            kept: &ALL,
            seen: nothing,
            asked: &["targets/jenkins"],
            changes: true,
        },
        Case {
            name: "another key of targets",
            arrange: |repo| {
                later(repo);
                repo.next_root();
                repo.at("root").appoint("targets", &[role_key("other")], 1);
            },
            kept: &ALL,
            seen: nothing,
            asked: &["targets"],
            changes: true,
        },
    ]
}

#[test]
fn what_is_carried_over_is_what_verifying_says() {
    let before = repository().publish();
    let (outcome, asked) = renewed(&before, &History::default(), None, now());
    assert_eq!(asked, ["targets", "targets/releases", "targets/jenkins", "targets/moby"]);
    let (data, mut history) = outcome.unwrap();
    history.root = Some(before.0["root.json"].clone());
    let known = Arc::new(data);
    let was = (told(&known, "1.0"), told(&known, "2.0"));
    let mut wrong = Vec::new();
    for case in published().into_iter().chain(around()) {
        let mut repo = repository();
        (case.arrange)(&mut repo);
        unchanged(&mut repo, &before, case.kept);
        let root = before.text("root.json");
        if repo.old_roots.is_empty() {
            repo.at("root").tamper(move |_| root.clone());
        }
        let server = repo.publish();
        let mut history = history.clone();
        (case.seen)(&mut history);
        let (carried, asked) = renewed(&server, &history, Some(&known), now());
        let (verified, _) = renewed(&server, &history, None, now());
        let (found, expected) = (all_told(&carried), all_told(&verified));
        if found != expected {
            wrong.push(format!("{}: {found:?}, not {expected:?}", case.name));
        }
        if asked != case.asked {
            wrong.push(format!("{}: asked for {asked:?}", case.name));
        }
        let same = carried.is_ok_and(|(data, _)| {
            let versions = data.versions().filter(|(role, _)| ALL.contains(&role.as_str()));
            let same = versions.map(|(_, version)| version).all(|version| version == 1);
            same && data.left_out().next().is_none()
                && (told(&data, "1.0"), told(&data, "2.0")) == was
        });
        if same == case.changes {
            wrong.push(format!("{}: the case shows nothing", case.name));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn what_ran_out_is_left_out_when_it_is_carried_over() {
    let mut repo = repository();
    let soon = "2026-12-02T00:00:00Z";
    repo.at("targets/jenkins").signed["expires"] = json!(soon);
    let before = repo.publish();
    let (data, mut history) = renewed(&before, &History::default(), None, now()).0.unwrap();
    history.root = Some(before.0["root.json"].clone());
    let after = soon.parse::<Timestamp>().unwrap() + jiff::SignedDuration::from_secs(1);
    let (carried, asked) = renewed(&before, &history, Some(&Arc::new(data)), after);
    let (verified, _) = renewed(&before, &history, None, after);
    assert_eq!(all_told(&carried), all_told(&verified));
    assert!(asked.is_empty(), "{asked:?}");
    assert_eq!(carried.unwrap().0.left_out().count(), 1);
}
