//! More of something than any honest repository has.

use countersign::trust::notary::{Fault, History, Update, Wanted};
use serde_json::{Value, json};

use super::{Case, Expected, JENKINS, role, run};
use crate::builder::key::{person, role_key, root_key};
use crate::builder::{GUN, Repo, now};
use crate::repositories::first_use;

fn too_many(name: &str, what: &'static str, limit: u64) -> Expected {
    Expected::Refused(Fault::TooMany { role: role(name), what, limit })
}

/// Declares this many delegations below `parent` that were never published.
fn crowd(repo: &mut Repo, parent: &str, count: usize) {
    let declared = (0..count).map(|number| {
        json!({"keyids": [], "name": format!("{parent}/{number}"), "paths": [""], "threshold": 1})
    });
    let roles = &mut repo.at(parent).signed["delegations"]["roles"];
    roles.as_array_mut().unwrap().extend(declared);
}

/// Adds this many keys, which nobody uses, to a `keys` member.
fn heap(keys: &mut Value, count: usize) {
    for number in 0..count {
        keys[format!("{number:064x}")] = role_key("unused").listed();
    }
}

/// Puts this many bad signatures in front of the good one.
fn noise(text: &str, count: usize) -> String {
    let mut file: Value = serde_json::from_str(text).unwrap();
    let mut bad = file["signatures"][0].clone();
    bad["sig"] = json!("");
    let signatures = file["signatures"].as_array_mut().unwrap();
    signatures.splice(..0, vec![bad; count]);
    file.to_string()
}

#[test]
fn counts() {
    run([
        Case {
            name: "as many delegations as allowed",
            arrange: |repo| crowd(repo, "targets", 128 - 3),
            expected: Expected::Told(JENKINS),
        },
        Case {
            name: "one delegation more",
            arrange: |repo| crowd(repo, "targets", 128 - 2),
            expected: too_many("targets", "delegations", 128),
        },
        Case {
            name: "delegations of two files together",
            arrange: |repo| {
                crowd(repo, "targets", 80);
                crowd(repo, "targets/jenkins", 80);
            },
            expected: too_many("targets", "delegations", 128),
        },
        Case {
            name: "as many keys as allowed",
            arrange: |repo| heap(&mut repo.at("root").signed["keys"], 512 - 4),
            expected: Expected::Told(JENKINS),
        },
        Case {
            name: "keys of a root",
            arrange: |repo| heap(&mut repo.at("root").signed["keys"], 512 - 3),
            expected: too_many("root", "keys", 512),
        },
        Case {
            name: "keys of delegations",
            arrange: |repo| {
                heap(&mut repo.at("targets/jenkins").signed["delegations"]["keys"], 513);
            },
            expected: too_many("targets/jenkins", "keys", 512),
        },
        Case {
            name: "key IDs of a role",
            arrange: |repo| {
                let ids = vec![person("jenkins").id(); 513];
                repo.at("targets").declared("targets/jenkins")["keyids"] = json!(ids);
            },
            expected: too_many("targets", "entries in a list", 512),
        },
        Case {
            name: "paths of a role",
            arrange: |repo| {
                repo.at("targets").declared("targets/jenkins")["paths"] = json!(vec!["x"; 513]);
            },
            expected: too_many("targets", "entries in a list", 512),
        },
        Case {
            name: "as many bad signatures as are tried",
            arrange: |repo| repo.at("targets").tamper(|text| noise(&text, 31)),
            expected: Expected::Told(JENKINS),
        },
        Case {
            name: "one bad signature more",
            arrange: |repo| repo.at("targets").tamper(|text| noise(&text, 32)),
            expected: too_many("targets", "signatures", 32),
        },
    ]);
}

/// What a server is asked for, so that what it sends can be cut off.
#[test]
fn every_file_has_a_size_it_may_not_exceed() {
    let mut repo = Repo::signed_by_jenkins();
    repo.at("snapshot").amend(|signed| {
        signed["meta"]["targets"]["length"] = json!(1_u64 << 40);
        signed["meta"]["targets/jenkins"]["length"] = json!(1000);
    });
    let server = repo.publish();
    let (gun, policy) = (GUN.parse().unwrap(), first_use());
    let mut update = Update::new(&gun, &policy, &History::default(), now()).unwrap();
    let (mut asked, mut ahead) = (Vec::new(), Vec::new());
    let told = |one: Wanted| (one.file.role().to_string(), one.max_len);
    while let Some(wanted) = update.wanted() {
        ahead.extend(update.upcoming().map(|one| (wanted.file.role().to_string(), told(one))));
        asked.push(told(wanted.clone()));
        update.offer(&server.answer(&wanted.file).unwrap(), now()).unwrap();
    }
    let snapshot = server.0["snapshot.json"].len() as u64;
    let releases = server.0["targets/releases.json"].len() as u64;
    let expected = [
        ("root", 4 << 20),
        ("timestamp", 1 << 20),
        ("snapshot", snapshot),
        ("targets", 16 << 20),
        ("targets/releases", releases),
        ("targets/jenkins", 1000),
    ];
    let [.., releases, jenkins] = expected.map(|(role, max)| (role.to_owned(), max));
    assert_eq!(ahead, [(releases.0, jenkins)]);
    assert_eq!(asked, expected.map(|(role, max)| (role.to_owned(), max)));
}

#[test]
fn nothing_comes_of_an_update_that_is_not_done() {
    let server = Repo::signed_by_jenkins().publish();
    let (gun, policy) = (GUN.parse().unwrap(), first_use());
    for steps in 0..6 {
        let mut update = Update::new(&gun, &policy, &History::default(), now()).unwrap();
        for _ in 0..steps {
            let file = update.wanted().unwrap().file;
            update.offer(&server.answer(&file).unwrap(), now()).unwrap();
        }
        assert!(update.finish().is_none(), "after {steps} files");
    }
}

/// An update that was refused is over: nothing of it can be had.
#[test]
fn nothing_comes_of_a_refused_update() {
    let mut repo = Repo::signed_by_jenkins();
    repo.rotate(root_key("new"));
    let known = Repo::signed_by_jenkins().history();
    repo.at("targets/jenkins").keys.clear();
    let server = repo.publish();
    let (gun, policy) = (GUN.parse().unwrap(), first_use());
    let mut update = Update::new(&gun, &policy, &known, now()).unwrap();
    let fault = loop {
        let wanted = update.wanted().expect("a file is wanted until one is refused");
        if let Err(fault) = update.offer(&server.answer(&wanted.file).unwrap(), now()) {
            break fault;
        }
    };
    assert_eq!(fault, Fault::NoSignatures { role: role("targets/jenkins") });
    assert!(update.wanted().is_none());
    update.offer(b"{}", now()).unwrap_err();
    update.absent().unwrap_err();
    assert!(update.finish().is_none());
}

/// A file that nobody listed is too big by itself, not by what its parent says.
#[test]
fn files_larger_than_any_honest_one() {
    for (name, limit) in [("root", 4_u64 << 20), ("timestamp", 1 << 20)] {
        let mut repo = Repo::signed_by_jenkins();
        repo.at(name).tamper(move |text| text + &" ".repeat(usize::try_from(limit).unwrap()));
        let expected = Fault::TooMany { role: role(name), what: "bytes", limit };
        assert_eq!(repo.update().unwrap_err(), expected, "{name}");
    }
}

#[test]
fn versions_are_those_that_every_reader_reads_alike() {
    let largest = (1_u64 << 53) - 1;
    for (version, good) in [(largest, true), (largest + 1, false), (u64::MAX, false)] {
        let mut repo = Repo::signed_by_jenkins();
        repo.at("targets/jenkins").version(version);
        let outcome = repo.update().map(|(_, history)| history.versions["targets/jenkins"]);
        assert_eq!(outcome.ok(), good.then_some(version), "{version}");
    }
}
