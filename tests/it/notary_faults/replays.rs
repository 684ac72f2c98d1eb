//! Honest files in places they were not signed for. A Notary file names neither its role
//! nor its repository.

use countersign::trust::notary::{Fault, History, Objection};

use super::{Case, Expected, JENKINS, below, check, malformed, meet, run, told};
use crate::builder::key::{Key, paper, person, role_key};
use crate::builder::{A, B, GUN, Repo};

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
    let claims = data.claims("2.0", crate::builder::now());
    let jenkins = claims.iter().find(|claim| claim.proof.role() == "targets/jenkins").unwrap();
    assert_eq!(jenkins.objection, Some(Objection::SharedFile));
}

/// A limit of the format, held here so that nobody takes it for safe: an *older* list that
/// jenkins signed for all is not told from one he signed for himself. It takes the
/// server's snapshot and timestamp keys, and a version past the one seen.
#[test]
fn an_older_released_list_in_a_signers_place_is_not_noticed() {
    let mut repo = with_mobys_image();
    serve_as(&mut repo, "targets/releases", "targets/jenkins");
    repo.at("targets/releases").version(2);
    let told = told(&repo.update().unwrap().0, "2.0");
    assert!(told.contains(&"targets/jenkins by jenkins: counts".to_owned()), "{told:?}");
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
    let released = data.released("1.0", crate::builder::now()).unwrap();
    assert_eq!(released.as_bytes(), &A);
    let claims = data.claims("1.0", crate::builder::now());
    let jenkins = claims.iter().find(|claim| claim.proof.role() == "targets/jenkins").unwrap();
    assert_eq!(jenkins.proof.digest().as_bytes(), &B);
}
