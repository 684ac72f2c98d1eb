//! The verifier on recorded repositories, held against what an independent reader made
//! of each, and on named corruptions of them.

use std::collections::BTreeSet;

use countersign::trust::notary::{Fault, FileName, History, Objection, Role, RootPolicy};
use serde_json::Value;

use crate::repositories::{Recorded, first_use, recorded};

#[test]
fn agrees_with_the_independent_reader_on_every_repository() {
    let mut wrong = Vec::new();
    for repository in Recorded::all() {
        let Some(facts) = repository.facts() else { continue };
        let outcome = repository.update(&History::default(), &first_use(), recorded());
        let name = &repository.name;
        match (facts.get("error").and_then(Value::as_str), outcome) {
            (Some(error), Err(fault)) => {
                if !same_error(error, &fault) {
                    wrong.push(format!("{name}: expected {error:?}, got {fault}"));
                }
            }
            (Some(error), Ok(_)) => wrong.push(format!("{name}: expected {error:?}, passed")),
            (None, Err(fault)) => wrong.push(format!("{name}: {fault}")),
            (None, Ok((data, _))) => {
                let expected = visible(&facts);
                let found: BTreeSet<_> = tags(&facts)
                    .iter()
                    .flat_map(|tag| {
                        let claims = data.claims(tag, recorded());
                        claims.into_iter().map(|claim| {
                            let proof = claim.proof;
                            (tag.clone(), proof.role().to_owned(), proof.digest().hex())
                        })
                    })
                    .collect();
                if found != expected {
                    wrong.push(format!("{name}: {found:?} is not {expected:?}"));
                }
                let left_out: Vec<_> = data.left_out().map(|(role, _)| role.to_string()).collect();
                let warned: Vec<_> = facts["warnings"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|text| text.as_str().unwrap().split(':').next().unwrap().to_owned())
                    .collect();
                if left_out != warned {
                    wrong.push(format!("{name}: left out {left_out:?}, not {warned:?}"));
                }
                if let Some(fault) = wrong_signers(&facts, &data) {
                    wrong.push(format!("{name}: {fault}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn long_lived_timestamps_carry_the_recordings_past_their_two_weeks() {
    let later = "2027-06-01T00:00:00Z".parse().unwrap();
    let mut seen = 0;
    for repository in Recorded::all() {
        let Some(timestamp) = repository.long_timestamp() else { continue };
        let server = |file: &FileName| match file {
            FileName::Current(Role::Timestamp) => Some(timestamp.clone()),
            other => repository.file(other),
        };
        let history = History::default();
        let outcome = repository.update_with(&history, &first_use(), later, server);
        assert!(outcome.is_ok(), "{}: {:?}", repository.name, outcome.err());
        seen += 1;
    }
    assert!(seen > 10, "only {seen} long-lived timestamps");
}

#[test]
fn a_root_is_followed_across_rotations() {
    let update = |name: &str, history: &History| {
        Recorded::open(name).update(history, &first_use(), recorded())
    };
    let (_, first) = update("rotated-root/1-before", &History::default()).unwrap();
    let (_, second) = update("rotated-root/2-after-one-rotation", &first).unwrap();
    assert_eq!(second.versions["root"], 3);
    // from version 2 straight to 6, over the roots between
    let (_, last) = update("rotated-root/3-after-four-rotations", &first).unwrap();
    assert_eq!(last.versions["root"], 6);
    update("rotated-root/3-after-four-rotations", &second).unwrap();
    // and never back
    let back = update("rotated-root/1-before", &last).unwrap_err();
    assert!(matches!(back, Fault::RootRotation { known: 6, offered: 2 }), "{back}");
}

#[test]
fn a_missing_root_between_ends_the_update() {
    let before = Recorded::open("rotated-root/1-before");
    let (_, history) = before.update(&History::default(), &first_use(), recorded()).unwrap();
    let after = Recorded::open("rotated-root/3-after-four-rotations");
    let fault = after
        .update_with(&history, &first_use(), recorded(), |file| match file {
            FileName::RootVersion(4) => None,
            other => after.file(other),
        })
        .unwrap_err();
    assert!(matches!(&fault, Fault::Missing { file, .. } if file == "4.root.json"), "{fault}");
}

#[test]
fn an_unrelated_root_is_refused() {
    let one = Recorded::open("jenkins");
    let (_, history) = one.update(&History::default(), &first_use(), recorded()).unwrap();
    // another repository, served under this one's name
    let other = Recorded::open("two-signers");
    let fault =
        one.update_with(&history, &first_use(), recorded(), |file| other.file(file)).unwrap_err();
    assert!(matches!(fault, Fault::RootName { .. }), "{fault}");
    let fault = one
        .update_with(&History::default(), &first_use(), recorded(), |file| other.file(file))
        .unwrap_err();
    assert!(matches!(fault, Fault::RootName { .. }), "{fault}");
}

#[test]
fn a_fault_is_told_in_one_short_line() {
    let repository = Recorded::open("jenkins");
    let long = Value::from("\u{1b}[2J\n".repeat(50_000));
    for file in [
        format!(r#"{{"signed":{{"_type":{long}}}}}"#),
        format!(
            r#"{{"signed":{{"_type":"Root","version":1,"expires":"2030-01-01T00:00:00Z",
                "keys":{{{long}:{{}}}}}}}}"#
        ),
        format!("{{{long}:1,{long}:2}}"),
    ] {
        let serve = |_: &FileName| Some(file.clone().into_bytes());
        let outcome = repository.update_with(&History::default(), &first_use(), recorded(), serve);
        let told = outcome.unwrap_err().to_string();
        assert!(told.len() < 1000 && !told.contains(char::is_control), "{told}");
    }
}

#[test]
fn no_role_goes_back() {
    let base = Recorded::open("tampered/0-base");
    let (_, history) = base.update(&History::default(), &first_use(), recorded()).unwrap();
    let rolled = Recorded::open("tampered/rollback-targets-version");
    let fault = rolled.update(&history, &first_use(), recorded()).unwrap_err();
    assert!(
        matches!(&fault, Fault::Rollback { role: Role::Targets, offered: 1, seen: 3 }),
        "{fault}"
    );

    // The same for a delegation, which Notary itself does not notice.
    let mut history = history;
    history.versions.insert("targets/jenkins".into(), 7);
    let fault = base.update(&history, &first_use(), recorded()).unwrap_err();
    assert!(matches!(&fault, Fault::Rollback { seen: 7, .. }), "{fault}");
    assert_eq!(fault.code(), "trust-data-rollback");
}

#[test]
fn pins_hold_for_every_root() {
    let repository = Recorded::open("jenkins");
    let (data, history) = repository.update(&History::default(), &first_use(), recorded()).unwrap();
    let id = data.root_keys()[0].id;
    let pinned = |pins| RootPolicy { pins, ..RootPolicy::default() };

    repository.update(&History::default(), &pinned(vec![id]), recorded()).unwrap();
    let other = data.root_keys()[0].certificate.as_ref().unwrap().key.id;
    assert_eq!(id, other);
    let wrong = "00".repeat(32).parse().unwrap();
    for history in [&History::default(), &history] {
        let fault = repository.update(history, &pinned(vec![wrong]), recorded()).unwrap_err();
        assert_eq!(fault, Fault::RootPin);
    }
    let fault =
        repository.update(&History::default(), &RootPolicy::default(), recorded()).unwrap_err();
    assert_eq!(fault, Fault::FirstUse);
    // a root known from before needs no first use
    repository.update(&history, &RootPolicy::default(), recorded()).unwrap();
}

#[test]
fn who_signed_and_what_does_not_count() {
    let now = recorded();
    let open =
        |name: &str| Recorded::open(name).update(&History::default(), &first_use(), now).unwrap().0;
    let objections = |name: &str, tag: &str| -> Vec<(String, Option<Objection>)> {
        let claims = open(name).claims(tag, now);
        claims.into_iter().map(|c| (c.proof.role().to_owned(), c.objection)).collect()
    };
    assert_eq!(
        objections("jenkins", "1.0"),
        [
            ("targets/releases".to_owned(), Some(Objection::Releases)),
            ("targets/jenkins".to_owned(), None),
        ]
    );
    assert_eq!(
        objections("nested", "web-2"),
        [("targets/a/b".to_owned(), Some(Objection::Nested))]
    );
    assert_eq!(objections("plain", "1.0"), [("targets".to_owned(), Some(Objection::Owner))]);
    assert_eq!(open("jenkins-not-released").released("1.0", now), None);
    assert!(open("releases-only").released("1.0", now).is_some());

    let two = open("two-signers");
    let released = two.released("4.0", now).unwrap();
    assert_eq!(two.tags_of(released, now), ["4.0"]);
    let digests: BTreeSet<_> = two.claims("4.0", now).iter().map(|c| c.proof.digest()).collect();
    assert_eq!(digests.len(), 2, "alice signed another digest than was released");
}

#[test]
fn kept_data_runs_out() {
    let (data, _) =
        Recorded::open("jenkins").update(&History::default(), &first_use(), recorded()).unwrap();
    data.check_current(recorded()).unwrap();
    let fault = data.check_current("2026-12-07T00:00:00Z".parse().unwrap()).unwrap_err();
    assert!(matches!(fault, Fault::Expired { role: Role::Timestamp, .. }), "{fault}");
    let late = "2029-12-01T00:00:00Z".parse().unwrap();
    assert_eq!(data.released("1.0", late), None, "targets itself has run out");
    assert!(data.claims("1.0", late).is_empty());
}

fn same_error(reader: &str, fault: &Fault) -> bool {
    match fault {
        Fault::Expired { role, .. } => reader == format!("{role} expired"),
        Fault::Threshold { have, need, .. } => {
            reader == format!("valid signatures did not meet threshold ({have} of {need})")
        }
        _ => false,
    }
}

fn tags(facts: &Value) -> Vec<String> {
    facts["visible_targets"].as_object().unwrap().keys().cloned().collect()
}

fn visible(facts: &Value) -> BTreeSet<(String, String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    facts["visible_targets"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(tag, rows)| {
            let rows = rows.as_array().unwrap();
            rows.iter().map(move |row| (tag.clone(), text(&row[0]), text(&row[1])))
        })
        .collect()
}

/// The keys that really signed, by role, against those of the facts.
fn wrong_signers(facts: &Value, data: &countersign::trust::notary::TrustData) -> Option<String> {
    for (role, fact) in facts["delegations"].as_object()? {
        let Some(tag) = tags(facts).into_iter().find(|tag| {
            let claims = data.claims(tag, recorded());
            claims.iter().any(|claim| claim.proof.role() == role)
        }) else {
            continue;
        };
        let found: BTreeSet<_> = data
            .claims(&tag, recorded())
            .into_iter()
            .filter(|claim| claim.proof.role() == role)
            .map(|claim| claim.proof.key().id.to_string())
            .collect();
        // facts name TUF ids; translate by the keys the role lists: [type, tuf, canonical]
        let canonical = |tuf: &Value| {
            let keys = fact["keys"].as_array().unwrap();
            let key = keys.iter().find(|key| key[1] == *tuf).unwrap();
            key[2].as_str().unwrap().to_owned()
        };
        let expected: BTreeSet<_> =
            fact["valid_signatures_by"].as_array()?.iter().map(canonical).collect();
        if found != expected {
            return Some(format!("{role}: signed by {found:?}, not {expected:?}"));
        }
    }
    None
}
