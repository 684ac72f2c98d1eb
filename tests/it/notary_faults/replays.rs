//! Honest files in places they were not signed for. A Notary file names neither its role
//! nor its repository.

use countersign::image::Digest;
use countersign::trust::notary::{Fault, FileName, History, Objection};
use serde_json::json;

use super::{Case, Expected, JENKINS, below, check, malformed, meet, run, told};
use crate::builder::key::{Key, paper, person, role_key};
use crate::builder::{A, B, GUN, Repo, Server, now};
use crate::repositories::{drive, first_use};

const RELEASED: &str = "targets/releases by jenkins: Releases";

/// jenkins signed 1.0 for himself, and last wrote the list that has moby's 2.0 as well.
fn with_mobys_image() -> Repo {
    let mut repo = Repo::signed_by_jenkins();
    repo.at("targets/moby").listed = true;
    repo.at("targets/moby").tag("2.0", B);
    repo.at("targets/releases").tag("2.0", B);
    repo
}

/// Serves `from`'s file as `to`'s, as whoever has the snapshot and timestamp keys can.
fn serve_as(repo: &mut Repo, from: &'static str, to: &str) {
    let file = repo.publish().text(&format!("{from}.json"));
    repo.at(to).tamper(move |_| file.clone());
}

#[test]
fn the_released_list_in_a_signers_place_does_not_count() {
    let honest = with_mobys_image();
    let mut repo = honest.clone();
    serve_as(&mut repo, "targets/releases", "targets/jenkins");
    let told = |repo: &Repo| told(&repo.update().unwrap().0, "2.0");
    assert_eq!(
        told(&honest),
        ["targets/releases by jenkins: Releases", "targets/moby by moby: counts"]
    );
    assert_eq!(
        told(&repo),
        [
            "targets/releases by jenkins: Releases",
            "targets/jenkins by jenkins: SharedFile",
            "targets/moby by moby: counts",
        ]
    );
}

/// The owner's list declares the signer's role, which that role itself cannot.
#[test]
fn the_owners_list_in_a_signers_place_is_malformed() {
    let mut repo = Repo::plain();
    // The owner's key is a signer's too.
    repo.delegate("targets/admin", &[role_key("targets")], &[""]);
    serve_as(&mut repo, "targets", "targets/admin");
    let expected = malformed("targets/admin", r#"it cannot delegate to "targets/admin""#);
    assert_eq!(repo.update().unwrap_err(), expected);
}

#[test]
fn the_same_content_signed_again_still_does_not_count() {
    let mut repo = with_mobys_image();
    let copy = repo.at("targets/releases").signed.clone();
    repo.at("targets/jenkins").signed = copy;
    let (data, _) = repo.update().unwrap();
    let claims = data.claims("2.0", now());
    let jenkins = claims.iter().find(|claim| claim.proof.role() == "targets/jenkins").unwrap();
    assert_eq!(jenkins.objection, Some(Objection::SharedFile));
}

/// Whoever may push can upload an earlier list, which jenkins signed for all, as jenkins's
/// own file: trust servers check signatures, and the file does not say what it was signed
/// for. But they keep every version of the list, and the file says which one it is.
fn earlier_list_in_a_signers_place() -> (Repo, Server) {
    let mut repo = with_mobys_image();
    repo.at("targets/releases").version(2);
    let list = repo.publish().text("targets/releases.json");
    repo.at("targets/jenkins").tamper(move |_| list.clone());
    let earlier = repo.publish().text("targets/jenkins.json");
    repo.at("targets/releases").version(3);
    let mut server = repo.publish();
    server.0.insert("2.targets/releases.json".to_owned(), earlier.into_bytes());
    (repo, server)
}

const REPLAYED: [&str; 3] = [
    "targets/releases by jenkins: Releases",
    "targets/jenkins by jenkins: SharedFile",
    "targets/moby by moby: counts",
];

#[test]
fn an_earlier_list_in_a_signers_place_does_not_count() {
    let (_, server) = earlier_list_in_a_signers_place();
    let (data, seen) = server.update(&History::default(), &first_use()).unwrap();
    assert_eq!(told(&data, "2.0"), REPLAYED);

    // Once found out, it stays found out, whatever the server says later.
    let mut forgetful = server.clone();
    forgetful.0.remove("2.targets/releases.json");
    let (data, _) = forgetful.update(&seen, &first_use()).unwrap();
    assert_eq!(told(&data, "2.0"), REPLAYED);
}

/// With other signatures around the same signed bytes it is the same list.
#[test]
fn an_earlier_list_is_known_by_what_was_signed() {
    let (_, mut server) = earlier_list_in_a_signers_place();
    let list = server.text("2.targets/releases.json");
    let unsigned = list.split(r#","signatures":"#).next().unwrap();
    let other = format!(r#"{unsigned},"signatures":[]}}"#);
    server.0.insert("2.targets/releases.json".to_owned(), other.into_bytes());
    let (data, _) = server.update(&History::default(), &first_use()).unwrap();
    assert_eq!(told(&data, "2.0"), REPLAYED);
}

/// Another file of that version, none, or one that cannot be read: nothing speaks against
/// the signer, and nothing is asked twice.
#[test]
fn a_signers_own_file_counts_whatever_the_earlier_list_was() {
    for list in [None, Some("{"), Some(r#"{"signed":{},"signatures":[]}"#)] {
        let mut repo = Repo::signed_by_jenkins();
        repo.at("targets/releases").version(5);
        let mut server = repo.publish();
        if let Some(text) = list {
            server.0.insert("1.targets/releases.json".to_owned(), text.as_bytes().to_vec());
        }
        let (data, seen) = server.update(&History::default(), &first_use()).unwrap();
        let lines = told(&data, "1.0");
        assert!(lines.contains(&"targets/jenkins by jenkins: counts".to_owned()), "{lines:?}");
        drive(&GUN.parse().unwrap(), &seen, &first_use(), now(), |file| {
            assert!(!matches!(file, FileName::ListVersion(_)), "asked again with {list:?}");
            server.answer(file)
        })
        .unwrap();
    }
}

/// moby declares jenkins's key below himself, and fills the role with any file that
/// jenkins ever signed.
#[test]
fn a_signers_key_below_another_signer_does_not_count() {
    let mut elsewhere = Repo::signed_by_jenkins();
    elsewhere.at("targets/jenkins").tag("2.0", B);
    let file = elsewhere.publish().text("targets/jenkins.json");
    let mut repo = with_mobys_image();
    repo.delegate("targets/moby/x", &[person("jenkins")], &[""]);
    repo.at("targets/moby/x").tamper(move |_| file.clone());
    let lines = [
        "targets/releases by jenkins: Releases",
        "targets/moby by moby: counts",
        "targets/moby/x by jenkins: Nested",
    ];
    assert_eq!(told(&repo.update().unwrap().0, "2.0"), lines);
}

#[test]
fn the_released_list_below_a_signer_is_a_shared_file() {
    let mut repo = with_mobys_image();
    repo.delegate("targets/moby/x", &[person("jenkins")], &[""]);
    serve_as(&mut repo, "targets/releases", "targets/moby/x");
    let told = told(&repo.update().unwrap().0, "2.0");
    assert!(told.contains(&"targets/moby/x by jenkins: SharedFile".to_owned()), "{told:?}");
}

#[test]
fn one_roles_file_as_anothers() {
    let one_key = |repo: &mut Repo| {
        for role in ["targets", "snapshot", "timestamp"] {
            repo.appoint(role, &[role_key("one for all")], 1);
        }
    };
    check(
        [
            ("targets", "snapshot", r#"its _type is "Targets""#),
            ("targets", "timestamp", r#"its _type is "Targets""#),
            ("snapshot", "timestamp", r#"its _type is "Snapshot""#),
            ("snapshot", "targets", r#"its _type is "Snapshot""#),
            ("timestamp", "snapshot", r#"its _type is "Timestamp""#),
            ("timestamp", "targets", r#"its _type is "Timestamp""#),
        ]
        .map(|(from, to, what)| {
            let mut repo = Repo::signed_by_jenkins();
            one_key(&mut repo);
            serve_as(&mut repo, from, to);
            let expected = Expected::Refused(malformed(to, what));
            (format!("{from} as {to}"), repo.update(), expected)
        }),
    );
    run([
        Case {
            name: "moby's file as jenkins's",
            arrange: |repo| {
                repo.at("targets/moby").tag("1.0", B);
                serve_as(repo, "targets/moby", "targets/jenkins");
            },
            expected: Expected::LeftOut("targets/jenkins", below("targets/jenkins", 0, 1)),
        },
        Case {
            name: "the owner's file as jenkins's",
            arrange: |repo| {
                repo.at("targets/jenkins").tamper(|_| Repo::plain().publish().text("targets.json"));
            },
            expected: Expected::LeftOut("targets/jenkins", below("targets/jenkins", 0, 1)),
        },
        Case {
            name: "jenkins's file as the released list",
            arrange: |repo| serve_as(repo, "targets/jenkins", "targets/releases"),
            expected: Expected::Told(&[RELEASED, "targets/jenkins by jenkins: SharedFile"]),
        },
    ]);
}

#[test]
fn another_repository_in_this_ones_place() {
    let mut other = Repo::signed_by_jenkins();
    other.appoint("root", &[Key::ecdsa().certified(&paper("registry.example/other"))], 1);
    let known = Repo::signed_by_jenkins().history();
    let fault = || Expected::Refused(Fault::RootName { gun: GUN.to_owned() });
    let mut sibling = Repo::signed_by_jenkins();
    let wildcard = Key::ecdsa().certified(&paper("registry.example/*"));
    sibling.appoint("root", std::slice::from_ref(&wildcard), 1);
    check([
        ("unknown".to_owned(), meet(&other.publish(), &History::default()), fault()),
        ("known".to_owned(), meet(&other.publish(), &known), fault()),
        // A wildcard root is good for all its siblings, as with Notary.
        ("wildcard".to_owned(), meet(&sibling.publish(), &History::default()), {
            Expected::Told(JENKINS)
        }),
    ]);
}

/// A role's file of another repository, in a repository of the same signers: a limit of
/// the format too. The released digest still has to be the one it names.
#[test]
fn a_signers_file_of_another_repository_binds_its_digests_all_the_same() {
    let mut elsewhere = Repo::signed_by_jenkins();
    elsewhere.at("targets/jenkins").tag("1.0", B);
    let file = elsewhere.publish().text("targets/jenkins.json");
    let mut repo = Repo::signed_by_jenkins();
    repo.at("targets/jenkins").tamper(move |_| file.clone());
    let (data, _) = repo.update().unwrap();
    let released = data.released("1.0", now()).unwrap();
    assert_eq!(released.as_bytes(), &A);
    let claims = data.claims("1.0", now());
    let jenkins = claims.iter().find(|claim| claim.proof.role() == "targets/jenkins").unwrap();
    assert_eq!(jenkins.proof.digest().as_bytes(), &B);
}

/// Tag 1.0 was A, in `targets` and by jenkins, and was then released anew as B. With the
/// released list out of the way it must not be A again.
#[test]
fn the_released_list_taken_away_brings_nothing_back() {
    let mut honest = Repo::signed_by_jenkins();
    honest.at("targets").tag("1.0", A);
    honest.at("targets/releases").tag("1.0", B);
    let changed = |change: fn(&mut Repo)| {
        let mut repo = honest.clone();
        change(&mut repo);
        repo.publish()
    };
    let unlisted = || changed(|repo| repo.at("targets/releases").listed = false);
    let undeclared = changed(|repo| {
        repo.at("targets/releases").listed = false;
        let roles = &mut repo.at("targets").signed["delegations"]["roles"];
        roles.as_array_mut().unwrap().retain(|role| role["name"] != "targets/releases");
    });
    let seen = honest.history();
    let nothing = History::default();
    for (what, server, history, released) in [
        ("all in order", honest.publish(), &nothing, Some(B)),
        (
            "signed by a stranger",
            { changed(|repo| repo.at("targets/releases").keys = vec![role_key("stranger")]) },
            &nothing,
            None,
        ),
        (
            "expired",
            {
                changed(|repo| {
                    repo.at("targets/releases").signed["expires"] = json!("2026-11-30T00:00:00Z");
                })
            },
            &nothing,
            None,
        ),
        ("not listed any more", unlisted(), &seen, None),
        // A node that knows nothing cannot tell it from one never published.
        ("not listed, never seen", unlisted(), &nothing, Some(A)),
        ("taken away by the owner", undeclared, &seen, Some(A)),
    ] {
        let (data, _) = meet(&server, history).unwrap_or_else(|fault| panic!("{what}: {fault}"));
        let found = data.released("1.0", now()).map(|digest| *digest.as_bytes());
        assert_eq!(found, released, "{what}");
        let tags = data.tags_of(Digest::from_bytes(A), now());
        assert_eq!(tags.is_empty(), released != Some(A), "{what}: {tags:?}");
    }
}

/// The same where kept data outlives its released list.
#[test]
fn the_released_list_run_out_brings_nothing_back() {
    let mut repo = Repo::signed_by_jenkins();
    repo.at("targets").tag("1.0", A);
    repo.at("targets/releases").tag("1.0", B);
    repo.at("targets/releases").signed["expires"] = json!("2026-12-10T00:00:00Z");
    let (data, _) = repo.update().unwrap();
    let at = |time: &str| data.released("1.0", time.parse().unwrap()).map(|one| *one.as_bytes());
    assert_eq!(at("2026-12-10T00:00:00Z"), Some(B));
    assert_eq!(at("2026-12-10T00:00:01Z"), None);
}
