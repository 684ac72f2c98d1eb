//! Older files than a node has seen.

use std::collections::BTreeMap;

use countersign::trust::notary::{Fault, History};
use serde_json::json;

use super::{Expected, JENKINS, back, check, meet, pinned, role};
use crate::builder::key::{Key, paper, person, role_key, root_key};
use crate::builder::{A, B, GUN, Repo};

const ROLES: [&str; 6] =
    ["root", "timestamp", "snapshot", "targets", "targets/releases", "targets/jenkins"];

/// A repository whose files all have this version.
fn at_version(version: u64) -> Repo {
    let mut repo = Repo::signed_by_jenkins();
    for role in ROLES {
        repo.at(role).version(version);
    }
    repo
}

#[test]
fn no_role_goes_back() {
    let known = at_version(5).history();
    check(ROLES.into_iter().map(|role| {
        // Everything but this role goes on, as it does for whoever has the server's keys.
        let mut repo = at_version(6);
        repo.at("root").version(5);
        repo.at(role).version(4);
        (role.to_owned(), meet(&repo.publish(), &known), Expected::Refused(back(role, 4, 5)))
    }));
}

#[test]
fn a_whole_repository_does_not_go_back() {
    let known = at_version(5).history();
    let mut older = at_version(4);
    let fault = meet(&older.publish(), &known).unwrap_err();
    assert_eq!(fault, back("root", 4, 5), "the timestamp made it look for a newer root");
    older.at("root").version(5);
    let fault = meet(&older.publish(), &known).unwrap_err();
    assert_eq!(fault, back("timestamp", 4, 5));
}

#[test]
fn the_same_version_may_say_something_else() {
    let known = at_version(5).history();
    let mut repo = at_version(5);
    repo.at("targets/jenkins").tag("2.0", B);
    check([("changed".to_owned(), meet(&repo.publish(), &known), Expected::Told(JENKINS))]);
}

#[test]
fn a_role_that_was_away_keeps_its_version() {
    let known = at_version(5).history();
    let mut without = at_version(6);
    without.at("root").version(5);
    without.at("targets").signed["delegations"] = json!({"keys": {}, "roles": []});
    let (_, known) = meet(&without.publish(), &known).unwrap();
    assert_eq!(known.versions["targets/jenkins"], 5);
    assert_eq!(known.versions["targets"], 6);

    let mut again = at_version(7);
    again.at("root").version(5);
    again.at("targets/jenkins").version(4);
    let fault = meet(&again.publish(), &known).unwrap_err();
    assert_eq!(fault, back("targets/jenkins", 4, 5));
}

/// What nobody vouched for raises no version, or anyone could lock a repository for ever.
#[test]
fn a_role_left_out_raises_no_version() {
    let mut expired = at_version(5);
    expired.at("targets/jenkins").signed["expires"] = json!("2026-11-30T00:00:00Z");
    let mut unsigned = at_version(5);
    unsigned.at("targets/jenkins").keys = vec![role_key("stranger")];
    for mut repo in [expired, unsigned] {
        repo.at("targets/jenkins").version(900);
        let known = repo.history();
        assert!(!known.versions.contains_key("targets/jenkins"), "{known:?}");
    }
}

#[test]
fn a_refused_update_raises_no_version() {
    let known = at_version(5).history();
    let mut repo = at_version(900);
    repo.at("targets/jenkins").keys.clear();
    assert_eq!(
        meet(&repo.publish(), &known).unwrap_err(),
        Fault::NoSignatures { role: role("targets/jenkins") }
    );
    assert_eq!(known.versions["timestamp"], 5);
}

/// A root that today's policy does not trust vouches for no version either.
#[test]
fn versions_seen_under_a_root_of_no_trust_do_not_count() {
    let known = at_version(900).history();
    let mut honest = at_version(5);
    let pinned_key = Key::ecdsa().certified(&paper(GUN));
    honest.appoint("root", std::slice::from_ref(&pinned_key), 1);
    let server = honest.publish();
    let (_, history) = server.update(&known, &pinned(&[pinned_key.id()])).unwrap();
    assert_eq!(history.versions["timestamp"], 5);
    // With the same root, they do.
    let mut same = at_version(5);
    same.at("root").version(900);
    let policy = pinned(&[root_key("root").id()]);
    let fault = same.publish().update(&known, &policy).unwrap_err();
    assert_eq!(fault, back("timestamp", 5, 900));
}

/// Removed tags stay removed, whatever the server's keys sign: Notary itself lets them
/// come back.
#[test]
fn a_removed_tag_does_not_come_back() {
    let tagged = Repo::signed_by_jenkins();
    let mut removed = Repo::signed_by_jenkins();
    removed.republish();
    for role in ["targets/releases", "targets/jenkins"] {
        removed.at(role).signed["targets"] = json!({});
    }
    let (_, known) = meet(&removed.publish(), &History::default()).unwrap();
    let mut rolled_back = removed.clone();
    rolled_back.republish();
    for role in ["targets/releases", "targets/jenkins"] {
        *rolled_back.at(role) = tagged.clone().at(role).clone();
    }
    let fault = meet(&rolled_back.publish(), &known).unwrap_err();
    assert_eq!(fault, back("targets/releases", 1, 2));
}

/// Nested roles are watched like all others.
#[test]
fn a_nested_role_does_not_go_back() {
    let nested = |version| {
        let mut repo = Repo::signed_by_jenkins();
        repo.delegate("targets/jenkins/nightly", &[person("alice")], &[""]);
        repo.at("targets/jenkins/nightly").tag("1.0", A);
        repo.at("targets/jenkins/nightly").version(version);
        repo
    };
    let fault = meet(&nested(2).publish(), &nested(3).history()).unwrap_err();
    assert_eq!(fault, back("targets/jenkins/nightly", 2, 3));
}

/// A role that is declared, was seen before and is not listed now is left out, and said to
/// be missing: it may be kept from us, or new under an old name.
#[test]
fn a_role_seen_before_is_missed() {
    let known = at_version(5).history();
    let mut repo = at_version(5);
    repo.at("targets/jenkins").listed = false;
    let parent = role("targets");
    let missing = Fault::Missing { file: "targets/jenkins.json".to_owned(), parent };
    let unseen = History { versions: BTreeMap::new(), ..known.clone() };
    check([
        ("seen before".to_owned(), meet(&repo.publish(), &known), {
            Expected::LeftOut("targets/jenkins", missing)
        }),
        ("not seen before".to_owned(), meet(&repo.publish(), &unseen), {
            Expected::Told(&["targets/releases by jenkins: Releases"])
        }),
    ]);
}
