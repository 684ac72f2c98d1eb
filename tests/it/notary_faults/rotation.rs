//! From the root that a node knows to the one that is served now.

use std::collections::BTreeMap;

use countersign::trust::certificate::Certificate;
use countersign::trust::notary::{Fault, History, RootPolicy};
use serde_json::json;

use super::{
    Expected, JENKINS, back, below, check, differs, expired, malformed, meet, pinned, role,
};
use crate::builder::key::{self, Authority, Key, paper, root_key};
use crate::builder::{GUN, Repo};
use crate::repositories::{Outcome, first_use};

/// What a node knows that met the repository before it changed.
fn known() -> History {
    Repo::signed_by_jenkins().history()
}

/// The same, of a repository whose root runs out at once.
fn known_expired() -> History {
    let mut history = known();
    let mut repo = Repo::signed_by_jenkins();
    repo.at("root").signed["expires"] = json!("2026-11-30T00:00:00Z");
    history.root = Some(repo.publish().0["root.json"].clone());
    history
}

fn rotated(times: usize) -> Repo {
    let mut repo = Repo::signed_by_jenkins();
    for time in 0..times {
        repo.rotate(root_key(&format!("root after {time}")));
    }
    repo.republish();
    repo
}

fn replaced(known: u64, offered: u64) -> Expected {
    Expected::Refused(Fault::RootRotation { known, offered })
}

#[test]
fn followed() {
    let told = || Expected::Told(JENKINS);
    let other_keys = |role: &'static str| {
        let mut repo = Repo::signed_by_jenkins();
        repo.next_root();
        repo.appoint(role, &[Key::ecdsa()], 1);
        repo.republish();
        repo
    };
    check(
        [
            ("the same root", known(), rotated(0), told()),
            ("one rotation", known(), rotated(1), told()),
            ("two rotations", known(), rotated(2), told()),
            ("four rotations", known(), rotated(4), told()),
            ("an expired root replaced", known_expired(), rotated(1), told()),
            ("an expired root replaced four times", known_expired(), rotated(4), told()),
            ("another timestamp key", known(), other_keys("timestamp"), told()),
            ("another snapshot key", known(), other_keys("snapshot"), told()),
            ("another targets key", known(), other_keys("targets"), told()),
            (
                "the next root with the same keys",
                known(),
                {
                    let mut repo = Repo::signed_by_jenkins();
                    repo.next_root();
                    repo
                },
                told(),
            ),
            (
                "roots between that have expired since",
                known(),
                {
                    let mut repo = Repo::signed_by_jenkins();
                    for time in 0..3 {
                        repo.at("root").signed["expires"] = json!("2026-11-30T00:00:00Z");
                        repo.rotate(root_key(&format!("root after {time}")));
                    }
                    repo.at("root").signed["expires"] = json!("2036-01-01T00:00:00Z");
                    repo
                },
                told(),
            ),
            (
                "a certificate between that has expired since",
                known(),
                {
                    let mut repo = rotated(0);
                    repo.rotate(Key::ecdsa().certified(&key::expired(paper(GUN))));
                    repo.rotate(root_key("last"));
                    repo
                },
                told(),
            ),
        ]
        .map(|(name, history, repo, expected)| {
            (name.to_owned(), meet(&repo.publish(), &history), expected)
        }),
    );
}

/// Version 2 with a new root key, signed by these keys.
fn second(signers: &[Key]) -> Repo {
    let mut repo = Repo::signed_by_jenkins();
    repo.rotate(root_key("new"));
    repo.at("root").keys = signers.to_vec();
    repo
}

fn meets_known(name: &str, repo: &Repo, expected: Expected) -> (String, Outcome, Expected) {
    (name.to_owned(), meet(&repo.publish(), &known()), expected)
}

#[test]
fn roots_that_do_not_follow() {
    let (old, new) = (root_key("root"), root_key("new"));
    let mut anew = Repo::signed_by_jenkins();
    anew.appoint("root", &[root_key("another owner's")], 1);
    let mut past = rotated(4);
    past.at("root").signed["expires"] = json!("2026-11-30T00:00:00Z");
    let mut short = rotated(0);
    short.rotate(Key::ecdsa().certified(&key::expired(paper(GUN))));
    let mut far = second(std::slice::from_ref(&new));
    far.at("root").version(242);
    let refused = Expected::Refused;
    check([
        meets_known("signed by the new key alone", &second(&[new]), replaced(1, 2)),
        meets_known("signed by the old key alone", &second(&[old]), refused(below("root", 0, 1))),
        meets_known("signed by neither", &second(&[root_key("other")]), replaced(1, 2)),
        meets_known("signed by nobody", &second(&[]), {
            refused(Fault::NoSignatures { role: role("root") })
        }),
        meets_known("deleted and made anew", &anew, replaced(1, 1)),
        meets_known("expired", &past, refused(expired("root", "2026-11-30T00:00:00Z"))),
        meets_known("its certificate expired", &short, {
            refused(Fault::RootName { gun: GUN.to_owned() })
        }),
        meets_known("more roots between than anyone makes", &far, {
            let what = "versions since the one known";
            refused(Fault::TooMany { role: role("root"), what, limit: 240 })
        }),
    ]);
}

#[test]
fn roots_between_that_do_not_follow() {
    // The fifth root is served; this is done to those between.
    let fifth = |name, change: fn(&mut BTreeMap<u64, String>), expected| {
        let mut repo = rotated(4);
        change(&mut repo.old_roots);
        meets_known(name, &repo, expected)
    };
    let missing = Fault::Missing { file: "3.root.json".to_owned(), parent: role("root") };
    check([
        fifth("missing", |roots| drop(roots.remove(&3)), Expected::Refused(missing)),
        fifth("another version", |roots| drop(roots.insert(2, roots[&3].clone())), replaced(1, 3)),
        fifth(
            "the known one again",
            |roots| drop(roots.insert(2, roots[&1].clone())),
            Expected::Refused(malformed("root", "2.root.json says version 1")),
        ),
        fifth(
            "a stranger's",
            |roots| {
                let mut other = Repo::signed_by_jenkins();
                other.appoint("root", &[root_key("stranger")], 1);
                other.at("root").version(3);
                roots.insert(3, other.publish().text("root.json"));
            },
            replaced(2, 3),
        ),
        fifth(
            "not JSON",
            |roots| drop(roots.insert(4, String::new())),
            Expected::Refused(malformed("root", "EOF while parsing a value")),
        ),
    ]);
}

#[test]
fn a_known_root_that_expired_has_to_be_replaced() {
    let mut repo = Repo::signed_by_jenkins();
    repo.at("root").signed["expires"] = json!("2026-11-30T00:00:00Z");
    let same = meet(&repo.publish(), &known_expired());
    let mut server = rotated(1).publish();
    server.0.remove("root.json");
    let gone = meet(&server, &known_expired());
    let fault = || Expected::Refused(expired("root", "2026-11-30T00:00:00Z"));
    check([
        ("the same is served".to_owned(), same, fault()),
        ("none is served".to_owned(), gone, fault()),
    ]);
}

/// Or whoever serves an old timestamp could make it look like a mishap.
#[test]
fn that_there_is_no_newer_root_hides_no_fault() {
    let newer = {
        let mut repo = Repo::signed_by_jenkins();
        repo.republish();
        repo.history()
    };
    let mut server = Repo::signed_by_jenkins().publish();
    server.0.remove("root.json");
    let fault = meet(&server, &newer).unwrap_err();
    assert_eq!(fault, back("timestamp", 1, 2));
    assert!(fault.is_attack_like());
}

/// Mix and match: parts of two states of a repository.
#[test]
fn the_snapshot_names_the_root() {
    let (old, new) = (rotated(0).publish(), rotated(1).publish());
    let mix = |root: &str, rest: &str| {
        let of = |name: &str| if name == "old" { &old } else { &new };
        let mut server = of(rest).clone();
        server.0.insert("root.json".to_owned(), of(root).0["root.json"].clone());
        server
    };
    let differs = || Expected::Refused(differs("root", "snapshot"));
    let nothing = History::default();
    check([
        ("old snapshot, new root".to_owned(), meet(&mix("new", "old"), &nothing), differs()),
        ("new snapshot, old root".to_owned(), meet(&mix("old", "new"), &nothing), differs()),
        ("new snapshot, old root, known".to_owned(), meet(&mix("old", "new"), &known()), differs()),
    ]);
}

#[test]
fn pins_hold_for_roots_that_follow() {
    let (old, new) = (root_key("root"), root_key("root after 0"));
    let server = rotated(1).publish();
    let outcome = |pins: &[String]| server.update(&known(), &pinned(pins));
    check([
        ("both pinned".to_owned(), outcome(&[old.id(), new.id()]), Expected::Told(JENKINS)),
        ("the old one pinned".to_owned(), outcome(&[old.id()]), {
            Expected::Refused(Fault::RootPin)
        }),
        // The known root does not meet the policy any more; what is served does.
        ("the new one pinned".to_owned(), outcome(&[new.id()]), Expected::Told(JENKINS)),
        ("neither pinned".to_owned(), outcome(&["00".repeat(32)]), {
            Expected::Refused(Fault::RootPin)
        }),
    ]);
}

#[test]
fn a_stored_root_that_is_damaged_is_not_forgotten() {
    let stored = |change: fn(&mut Repo)| {
        let mut repo = Repo::signed_by_jenkins();
        change(&mut repo);
        let root = repo.publish().0.remove("root.json");
        let outcome = Repo::signed_by_jenkins()
            .publish()
            .update(&History { root, ..History::default() }, &first_use());
        outcome.unwrap_err()
    };
    assert_eq!(
        stored(|repo| repo.at("root").tamper(|text| text[..100].to_owned())),
        malformed("root", "EOF while parsing a string at line 1 column 100")
    );
    assert_eq!(
        stored(|repo| repo.at("root").rewrite(r#""version":1"#, r#""version":2"#)),
        below("root", 0, 1)
    );
}

/// A known root whose certificate ran out is no longer good for what is under it, as it
/// would not be on a node that meets it now. Which root may follow, and the versions seen,
/// stand all the same: whatever vouched for it, it did while it was valid.
#[test]
fn a_known_root_whose_certificate_expired_has_to_be_replaced() {
    let authority = Authority::new("CA");
    let by_ca = RootPolicy {
        ca: Certificate::from_pem(authority.pem().as_bytes()).unwrap(),
        ..RootPolicy::default()
    };
    let issued = |params| Key::ecdsa().issued(&params, &authority, "");
    let mut old = Repo::signed_by_jenkins();
    let short = issued(key::expired(paper(GUN)));
    old.appoint("root", std::slice::from_ref(&short), 1);
    let mut new = old.clone();
    new.rotate(issued(paper(GUN)));
    new.next_root();
    let mut anew = Repo::signed_by_jenkins();
    anew.appoint("root", &[issued(paper(GUN))], 1);

    let root = Some(old.publish().0["root.json"].clone());
    let history = History {
        root,
        versions: [("targets/jenkins".to_owned(), 7)].into(),
        ..History::default()
    };
    let mut newer = new.clone();
    newer.at("targets/jenkins").version(8);
    let by_pin = pinned(&[short.id(), newer.at("root").keys[0].id()]);
    check([("first use", first_use()), ("pinned", by_pin), ("by a CA", by_ca)].iter().flat_map(
        |(name, policy)| {
            let case = |what, repo: &Repo, expected| {
                (format!("{name}: {what}"), repo.publish().update(&history, policy), expected)
            };
            let unnamed = Fault::RootName { gun: GUN.to_owned() };
            [
                case("the same is served", &old, Expected::Refused(unnamed)),
                case("replaced", &newer, Expected::Told(JENKINS)),
                case("rolled back", &new, Expected::Refused(back("targets/jenkins", 1, 7))),
                case("another, which it did not sign", &anew, replaced(1, 1)),
            ]
        },
    ));
}
