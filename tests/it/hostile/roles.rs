//! Files of the right form that are not the repository's current ones.

use std::collections::BTreeMap;

use super::{Attack, run};
use crate::builder::key::{Key, paper, person, root_key};
use crate::builder::{B, GUN, Repo, Server};
use crate::site::{ROLES, Site, decide, honest, successor};

/// The parent that lists a role's file by hash.
fn parent(role: &str) -> &'static str {
    if role == "snapshot" { "timestamp" } else { "snapshot" }
}

/// The files of `server`, but for one role those of `other`.
fn mixed(server: &Server, role: &str, other: &Server) -> Server {
    let file = format!("{role}.json");
    let mut files = server.0.clone();
    files.insert(file.clone(), other.0[&file].clone());
    Server(files)
}

/// The same repository in the hands of somebody who has none of its keys: tag 1.0 is [`B`].
fn forged(version: u64, root: &Key) -> Repo {
    let mut repo = honest(version);
    repo.appoint("root", std::slice::from_ref(root), 1);
    for role in ["timestamp", "snapshot", "targets"] {
        repo.appoint(role, &[Key::ecdsa()], 1);
    }
    let thief = Key::ecdsa().certified(&paper("thief"));
    for role in ["targets/releases", "targets/jenkins"] {
        repo.at("targets").declare(role, std::slice::from_ref(&thief), 1, &[""]);
        repo.at(role).keys = vec![thief.clone()];
        repo.at(role).tag("1.0", B);
    }
    repo
}

/// Another repository of the same people on the same server, with keys of its own.
fn neighbour() -> Server {
    let mut repo = honest(3).of("registry.example/team/other");
    for role in ["timestamp", "snapshot", "targets"] {
        repo.appoint(role, &[Key::ecdsa()], 1);
    }
    for role in ["targets/releases", "targets/jenkins"] {
        repo.at(role).tag("1.0", B);
    }
    repo.publish()
}

#[tokio::test]
async fn no_role_goes_back() {
    let code = "trust-data-rollback";
    let one_role = ROLES.into_iter().map(|role| {
        // Everything but this role goes on, as it can for whoever has the server's keys.
        let mut repo = successor(2);
        repo.at(role).version(1);
        let fault = format!("{role} went back to version 1; version 2 was seen before");
        Attack::of_files(role, &fault, code, repo.publish()).known_by_history_alone()
    });
    run(one_role).await;
    let mut older = honest(1);
    older.at("root").version(2);
    let whole = [
        ("all of it", honest(1), "root went back to version 1; version 2 was seen before"),
        ("all but the root", older, "timestamp went back to version 1; version 2 was seen before"),
    ];
    run(whole.map(|(name, repo, fault)| {
        Attack::of_files(name, fault, code, repo.publish()).known_by_history_alone()
    }))
    .await;
}

#[tokio::test]
async fn files_of_two_publications_do_not_mix() {
    let (old, new) = (honest(2).publish(), successor(2).publish());
    let behind = ROLES.into_iter().filter(|role| !matches!(*role, "root" | "timestamp"));
    let attacks = behind.map(|role| {
        let fault =
            format!("{role} is not the file that {} names (hash or length differ)", parent(role));
        Attack::of_files(role, &fault, "trust-data-invalid", mixed(&new, role, &old))
    });
    run(attacks).await;
}

#[tokio::test]
async fn another_repositorys_files_are_not_taken() {
    let (own, other) = (successor(2).publish(), neighbour());
    let attacks = ROLES.into_iter().filter(|role| *role != "root").map(|role| {
        let fault = if role == "timestamp" {
            "valid signatures of timestamp do not meet its threshold (0 of 1)".to_owned()
        } else {
            format!("{role} is not the file that {} names (hash or length differ)", parent(role))
        };
        Attack::of_files(role, &fault, "trust-data-invalid", mixed(&own, role, &other))
    });
    run(attacks).await;
    let fault = "none of its root certificates is a valid one for registry.example/team/app";
    run([Attack::of_files("all of them", fault, "root-for-another-name", other)]).await;
}

#[tokio::test]
async fn a_root_is_not_swapped() {
    let pinned = "its root key is none that the policy pins for it";
    let replaced = |offered: u64| {
        format!(
            "root version {offered} is not signed by the keys of the root known here (version 2)"
        )
    };
    let thief = || Key::ecdsa().certified(&paper(GUN));
    let swap = |name: &str, fault: String, code, files: Server| {
        Attack::of_files(name, &fault, code, files).at_first("root-pin-mismatch", pinned)
    };
    // One that says that it comes after many others, and these others.
    let far = |versions: &[u64], last: u64| {
        let mut repo = forged(last, &thief());
        for version in versions {
            let text = forged(*version, &thief()).publish().text("root.json");
            repo.old_roots.insert(*version, text);
        }
        repo.publish()
    };
    // Known by its name alone: the right key IDs, and signatures of somebody else.
    let mut claimed = forged(3, &root_key("root"));
    claimed.at("root").keys = vec![thief()];
    run([
        swap("the next version", replaced(3), "root-replaced", forged(3, &thief()).publish()),
        swap("the same version", replaced(2), "root-replaced", forged(2, &thief()).publish()),
        swap("an older version", replaced(1), "root-replaced", forged(1, &thief()).publish()),
        swap("two versions on", replaced(3), "root-replaced", far(&[3], 4)),
        swap(
            "out of all bounds",
            "root has more than 240 versions since the one known".to_owned(),
            "trust-data-invalid",
            far(&[], 9_000_000_000),
        ),
        swap("signed by nobody it names", replaced(3), "root-replaced", claimed.publish())
            .at_first(
                "trust-data-invalid",
                "signatures of root do not meet its threshold (0 of 1)",
            ),
    ])
    .await;
}

#[tokio::test]
async fn files_are_what_their_parents_name() {
    let new = successor(2).publish();
    let damage = |role: &str, how: fn(&mut Vec<u8>)| {
        let mut files: BTreeMap<_, _> = new.0.clone();
        how(files.get_mut(&format!("{role}.json")).unwrap());
        Server(files)
    };
    let mut attacks = Vec::new();
    for role in ROLES.into_iter().filter(|role| !matches!(*role, "root" | "timestamp")) {
        let hash =
            format!("{role} is not the file that {} names (hash or length differ)", parent(role));
        let case = |what: &str, files: Server| {
            Attack::of_files(format!("{role}: {what}"), &hash, "trust-data-invalid", files)
        };
        attacks.push(case("a byte changed", damage(role, |bytes| bytes[40] ^= 1)));
        attacks.push(case("a byte less", damage(role, |bytes| bytes.truncate(bytes.len() - 1))));
        attacks.push(case("nothing", damage(role, Vec::clear)));
    }
    run(attacks).await;
}

#[tokio::test]
async fn a_file_of_a_person_is_signed_by_that_person() {
    let mut repo = successor(2);
    let thief = person("thief");
    for role in ["targets/releases", "targets/jenkins"] {
        repo.at(role).keys = vec![thief.clone()];
        repo.at(role).tag("1.0", B);
    }
    // Signed by a key that the owner did not name, it is as if it were not there.
    let files = repo.publish();
    let site = crate::site::Site::new();
    let node = site.node();
    crate::site::decide(&node.gate()).await.is_plain().unwrap();
    site.server.replace_built(GUN, &files);
    let told = crate::site::decide(&node.gate()).await;
    assert_eq!(told.code, "not-signed", "{told:?}");
    assert!(told.log.contains("a delegation was left out"), "{}", told.log);
}

#[tokio::test]
async fn delegations_of_delegations_do_not_have_files_fetched_again_and_again() {
    // Each declares the next one before a sibling of it, which waits for its turn.
    let mut repo = successor(2);
    let holder = person("jenkins");
    let mut parent = "targets/jenkins".to_owned();
    for _ in 0..6 {
        let (child, sibling) = (format!("{parent}/a"), format!("{parent}/b"));
        for role in [&child, &sibling] {
            repo.delegate(role, std::slice::from_ref(&holder), &[""]);
        }
        parent = child;
    }
    let site = Site::new();
    site.server.replace_built(GUN, &repo.publish());
    decide(&site.node().gate()).await.is_plain().unwrap();
    let mut asked = site.server.requests();
    asked.retain(|file| file.contains("targets/jenkins/"));
    let all = asked.len();
    asked.sort_unstable();
    asked.dedup();
    assert_eq!((all, asked.len()), (12, 12), "{asked:#?}");
}
