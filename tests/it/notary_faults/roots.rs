//! The root of a repository that the node has not seen before.

use countersign::trust::certificate::Certificate;
use countersign::trust::notary::{Fault, History, RootPolicy};
use rcgen::date_time_ymd;
use serde_json::json;

use super::{Expected, JENKINS, below, check, malformed, pinned, run};
use crate::builder::key::{
    Authority, Key, expired, not_yet_valid, paper, role_key, root_key, stored,
};
use crate::builder::{GUN, Repo};
use crate::repositories::{Outcome, first_use};

/// A repository whose root role has this key.
fn rooted(key: &Key) -> Repo {
    let mut repo = Repo::signed_by_jenkins();
    repo.appoint("root", std::slice::from_ref(key), 1);
    repo
}

fn for_another() -> Expected {
    Expected::Refused(Fault::RootName { gun: GUN.to_owned() })
}

#[test]
fn certificates_of_the_root() {
    let of = |params| Key::ecdsa().certified(&params);
    let authority = Authority::new("CA");
    let leaf = of(paper(GUN));
    let starting = |day| {
        let mut params = paper(GUN);
        params.not_before = date_time_ymd(2026, 12, day);
        of(params)
    };
    let good = [
        ("for the GUN", of(paper(GUN))),
        ("for all of a namespace", of(paper("registry.example/team/*"))),
        ("for a prefix", of(paper("registry.example/team/a*"))),
        ("for the GUN itself, with a star", of(paper("registry.example/team/app*"))),
        ("with several stars", of(paper("registry.example/**"))),
        ("for everything", of(paper("*"))),
        ("starts within a day", starting(2)),
        ("RSA", Key::rsa("rsapss").certified(&paper(GUN))),
        ("with its chain", Key::ecdsa().issued(&paper(GUN), &authority, &authority.pem())),
    ];
    let bad = [
        ("for another GUN", of(paper("registry.example/team/other"))),
        ("for a longer GUN", of(paper("registry.example/team/app2"))),
        ("for a shorter GUN", of(paper("registry.example/team"))),
        ("for a namespace, without a star", of(paper("registry.example/team/"))),
        ("for another namespace", of(paper("registry.example/teams/*"))),
        ("for another prefix", of(paper("registry.example/team/b*"))),
        ("with a star inside", of(paper("registry.example/*/app"))),
        ("in capitals", of(paper("registry.example/team/APP"))),
        ("for nobody", of(paper(""))),
        ("expired", of(expired(paper(GUN)))),
        ("not valid for a month", of(not_yet_valid(paper(GUN)))),
        ("not valid for two days", starting(3)),
        ("a CA's", {
            let mut params = paper(GUN);
            params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
            of(params)
        }),
        ("signed with SHA-1", Key::sha1_certified()),
        ("RSA of 1024 bits", Key::rsa("rsapss").with_pem(&stored("rsa1024.cert.pem"))),
        ("after its chain", leaf.with_pem(&(authority.pem() + &leaf.pem()))),
        ("followed by another leaf", leaf.with_pem(&(leaf.pem() + &of(paper(GUN)).pem()))),
        ("no certificate: a bare key", Key::ecdsa()),
        ("no certificate: a bare RSA key", Key::rsa("rsapss")),
        ("no certificate: Ed25519", Key::ed25519()),
    ];
    let good = good.map(|(name, key)| (name, key, Expected::Told(JENKINS)));
    let bad = bad.map(|(name, key)| (name, key, for_another()));
    check(
        good.into_iter()
            .chain(bad)
            .map(|(name, key, expected)| (name.to_owned(), rooted(&key).update(), expected)),
    );
}

#[test]
fn structure() {
    for role in ["root", "targets", "snapshot", "timestamp"] {
        let mut repo = Repo::signed_by_jenkins();
        repo.at("root").signed["roles"].as_object_mut().unwrap().remove(role);
        let expected = malformed("root", &format!("no role {role:?}"));
        assert_eq!(repo.update().unwrap_err(), expected, "{role}");
    }
    run([
        super::Case {
            name: "no roles",
            arrange: |repo| repo.at("root").signed["roles"] = json!(null),
            expected: Expected::Refused(malformed("root", r#"it has no "roles""#)),
        },
        super::Case {
            name: "no keys",
            arrange: |repo| repo.at("root").signed["keys"] = json!(null),
            expected: Expected::Refused(malformed("root", "root lists the key")),
        },
        super::Case {
            name: "a role that is none",
            arrange: |repo| repo.at("root").signed["roles"]["mirrors"] = json!(7),
            expected: Expected::Told(JENKINS),
        },
        super::Case {
            name: "consistent_snapshot, which means nothing",
            arrange: |repo| repo.at("root").signed["consistent_snapshot"] = json!(true),
            expected: Expected::Told(JENKINS),
        },
        super::Case {
            name: "keys of roles that ceased",
            arrange: |repo| {
                let old = Key::ecdsa().certified(&expired(paper(GUN)));
                repo.at("root").signed["keys"][old.id()] = old.listed();
            },
            expected: Expected::Told(JENKINS),
        },
    ]);
}

#[test]
fn signatures_of_the_root() {
    let (one, two) = (root_key("root"), root_key("root 2"));
    let with = |keys: &[Key], threshold, signers: &[Key]| {
        let mut repo = Repo::signed_by_jenkins();
        repo.appoint("root", keys, threshold);
        repo.at("root").keys = signers.to_vec();
        repo.update()
    };
    let both = [one.clone(), two.clone()];
    let other = Key::ecdsa().certified(&paper("registry.example/other"));
    let renewed = [one.clone(), one.certified(&paper(GUN))];
    let refused = |have, need| Expected::Refused(below("root", have, need));
    check(
        [
            ("one of two keys", with(&both, 1, &both[1..]), Expected::Told(JENKINS)),
            ("both of two keys", with(&both, 2, &both), Expected::Told(JENKINS)),
            ("one of two keys where both have to", with(&both, 2, &both[..1]), refused(1, 2)),
            ("two certificates of one key", with(&renewed, 2, &renewed), refused(1, 2)),
            (
                "a key whose certificate is for another GUN does not count",
                with(&[one.clone(), other.clone()], 2, &[one.clone(), other.clone()]),
                refused(1, 2),
            ),
            (
                "signed by a key whose certificate is for another GUN alone",
                with(&[one.clone(), other.clone()], 1, &[other]),
                refused(0, 1),
            ),
            ("signed by a key that it does not list", with(&[one], 1, &[two]), refused(0, 1)),
        ]
        .map(|(name, outcome, expected)| (name.to_owned(), outcome, expected)),
    );
}

fn first_met(repo: &Repo, policy: &RootPolicy) -> Outcome {
    repo.publish().update(&History::default(), policy)
}

#[test]
fn pins() {
    let (one, two) = (root_key("root"), root_key("root 2"));
    let honest = Repo::signed_by_jenkins();
    let mut both = Repo::signed_by_jenkins();
    both.appoint("root", &[one.clone(), two.clone()], 1);
    both.at("root").keys = vec![two.clone()];
    let refused = || Expected::Refused(Fault::RootPin);
    check(
        [
            ("TUF key ID", first_met(&honest, &pinned(&[one.id()])), Expected::Told(JENKINS)),
            (
                "canonical key ID",
                first_met(&honest, &pinned(&[one.canonical_id()])),
                Expected::Told(JENKINS),
            ),
            (
                "one of several",
                first_met(&honest, &pinned(&[two.id(), one.id()])),
                Expected::Told(JENKINS),
            ),
            ("another key", first_met(&honest, &pinned(&[two.id()])), refused()),
            (
                "a key of another role",
                first_met(&honest, &pinned(&[role_key("targets").id()])),
                refused(),
            ),
            (
                "another certificate of the pinned key, by canonical ID",
                first_met(&rooted(&one.certified(&paper(GUN))), &pinned(&[one.canonical_id()])),
                Expected::Told(JENKINS),
            ),
            (
                "another certificate of the pinned key, by TUF ID",
                first_met(&rooted(&one.certified(&paper(GUN))), &pinned(&[one.id()])),
                refused(),
            ),
            (
                "listed and pinned, but it was another key that signed",
                first_met(&both, &pinned(&[one.id()])),
                Expected::Refused(below("root", 0, 1)),
            ),
            (
                "no pin and no first use",
                first_met(&honest, &RootPolicy::default()),
                Expected::Refused(Fault::FirstUse),
            ),
            ("no pin, first use", first_met(&honest, &first_use()), Expected::Told(JENKINS)),
        ]
        .map(|(name, outcome, expected)| (name.to_owned(), outcome, expected)),
    );
}

#[test]
fn authorities() {
    let (ca, other) = (Authority::new("CA"), Authority::new("another CA"));
    let intermediate = ca.below("intermediate CA");
    let policy = |authority: &Authority, pins: &[String]| RootPolicy {
        ca: Certificate::from_pem(authority.pem().as_bytes()).unwrap(),
        ..pinned(pins)
    };
    let by_ca = policy(&ca, &[]);
    let mut plain = paper(GUN);
    plain.extended_key_usages.clear();
    let direct = Key::ecdsa().issued(&paper(GUN), &ca, "");
    let chained = Key::ecdsa().issued(&paper(GUN), &intermediate, &intermediate.pem());
    let unchained = Key::ecdsa().issued(&paper(GUN), &intermediate, "");
    let refused = || Expected::Refused(Fault::RootPin);
    let met = |key: &Key, policy: &RootPolicy| first_met(&rooted(key), policy);
    check(
        [
            // Notary refuses this one, by an accident of Go's defaults.
            ("issued by it, for code signing", met(&direct, &by_ca), Expected::Told(JENKINS)),
            (
                "issued by it, for no purpose in particular",
                met(&Key::ecdsa().issued(&plain, &ca, ""), &by_ca),
                Expected::Told(JENKINS),
            ),
            ("over an intermediate", met(&chained, &by_ca), Expected::Told(JENKINS)),
            ("over an intermediate that is missing", met(&unchained, &by_ca), refused()),
            ("issued by another CA", met(&direct, &policy(&other, &[])), refused()),
            (
                "issued by another CA of the same name",
                { met(&direct, &policy(&Authority::new("CA"), &[])) },
                refused(),
            ),
            ("self-signed", met(&root_key("root"), &by_ca), refused()),
            (
                "issued by it for another GUN",
                met(&Key::ecdsa().issued(&paper("registry.example/x"), &ca, ""), &by_ca),
                for_another(),
            ),
            (
                "pinned by key too",
                met(&direct, &policy(&ca, &[direct.id()])),
                Expected::Told(JENKINS),
            ),
            ("pinned by another key too", met(&direct, &policy(&ca, &[chained.id()])), refused()),
        ]
        .map(|(name, outcome, expected)| (name.to_owned(), outcome, expected)),
    );
}
