//! Which image is meant: by tag, by digest, as the engine holds it.

use countersign::image::{ImageId, Reference};
use countersign::policy::{Evidence, Gap, Held, HeldImage, Plan, Served, Subject, judge, plan};
use countersign::request::Intent;
use countersign::trust::notary::Fault;

use super::{both, digest, evidence, gun, name, policy, said};
use crate::builder::{A, B, GUN, Repo, now};

#[test]
fn digests_in_references() {
    let repo = both();
    let (a, b, c) = (digest(A), digest(B), digest([0xcc; 32]));
    let policy = policy(r#""CI""#, "");
    for (rest, code) in [
        (format!("@{a}"), "signed"),
        (format!(":1.0@{a}"), "signed"),
        // Engines go by the digest alone.
        (format!(":2.0@{a}"), "signed"),
        (format!(":9.9@{a}"), "signed"),
        (format!("@{b}"), "signature-missing"),
        (format!("@{c}"), "not-signed"),
        (format!(":1.0@{c}"), "other-image"),
        (format!(":9.9@{c}"), "not-signed"),
        (String::new(), "not-signed"),
    ] {
        let reference: Reference = format!("{GUN}{rest}").parse().unwrap();
        for subject in [Subject::Name(reference.clone()), Subject::Pull(reference)] {
            let verdict = judge(&policy, &subject, &evidence(&repo), now());
            assert_eq!(verdict.code(), code, "{subject:?}");
        }
    }
}

#[test]
fn what_the_registry_serves() {
    let policy = policy("", "");
    for (served, code) in [
        (Served::Unknown, "signed"),
        (Served::Digest(digest(A)), "signed"),
        (Served::Digest(digest(B)), "other-image"),
    ] {
        let evidence = Evidence { served, ..evidence(&Repo::signed_by_jenkins()) };
        let subject = Subject::Pull(format!("{GUN}:1.0").parse().unwrap());
        assert_eq!(judge(&policy, &subject, &evidence, now()).code(), code, "{served:?}");
    }
}

/// An image on the engine, by its digests.
fn held(called: &str, digests: &[[u8; 32]]) -> Held {
    Held::Image(HeldImage {
        id: ImageId(digest([0x1d; 32])),
        digests: digests.iter().copied().map(digest).collect(),
        names: vec![gun()],
        called: called.to_owned(),
        id_is_config: true,
        architecture: "amd64".to_owned(),
    })
}

#[test]
fn held_images() {
    let policy = policy(r#""CI""#, "");
    let (one, two) = (format!("{GUN}:1.0"), format!("{GUN}:2.0"));
    for (what, called, digests, code) in [
        ("by its tag", one.as_str(), vec![[0x1d; 32], A], "signed"),
        ("under another tag of the repository", two.as_str(), vec![A], "signed"),
        ("under any name", "anything:latest", vec![A], "signed"),
        ("by its ID", "sha256:1d1d", vec![A], "signed"),
        ("retagged: another image under the signed name", one.as_str(), vec![B], {
            "signature-missing"
        }),
        ("built here under the signed name", one.as_str(), vec![[0x1d; 32]], "other-image"),
        ("built here under a name of its own", "mine:1", vec![[0x1d; 32]], "not-signed"),
        ("signed by another team", two.as_str(), vec![B], "signature-missing"),
        ("known by no digest", one.as_str(), vec![], "other-image"),
    ] {
        let evidence = Evidence { held: held(called, &digests), ..evidence(&both()) };
        let image = GUN.parse().unwrap();
        let create = Subject::Create { written: called.to_owned(), image };
        let tag = Subject::Tag { written: called.to_owned(), name: gun() };
        for subject in [create, tag, Subject::Container("c1".to_owned())] {
            let verdict = judge(&policy, &subject, &evidence, now());
            assert_eq!(verdict.code(), code, "{what}: {subject:?}");
        }
    }
}

/// Engines make containers of no image at all; files are uploaded to them instead.
#[test]
fn a_container_of_no_image_is_refused_for_what_it_is() {
    let evidence = Evidence { held: Held::NoImage, ..evidence(&both()) };
    let subject = Subject::Container("c1".to_owned());
    let refused = judge(&policy("", ""), &subject, &evidence, now());
    assert_eq!(refused.code(), "no-image");
    assert_eq!(
        said(&refused),
        "container c1 was made of no image, so nobody can have signed it\n  \
         to do: remove it, and make one of a signed image instead"
    );
}

#[test]
fn gaps() {
    let policy = policy("", "");
    let subject = name(":1.0");
    for (gap, expected) in [
        (Gap::NoTrustData, format!("image or trust data does not exist for {GUN}:1.0")),
        (Gap::Unregistered, "registry.example must be a registered trusted registry".to_owned()),
        (
            Gap::Unavailable {
                cause: "the trust server is away".to_owned(),
                remedy: "see that it runs".to_owned(),
            },
            format!("{GUN}:1.0 could not be checked: the trust server is away"),
        ),
        (
            Gap::Refused(Fault::RootPin),
            format!(
                "the trust data of {GUN} cannot be relied on: its root key is none that the \
                 policy pins for it"
            ),
        ),
    ] {
        let evidence = Evidence { trust: vec![(gun(), Err(gap))], ..Evidence::default() };
        let said = said(&judge(&policy, &subject, &evidence, now()));
        assert_eq!(said.lines().next().unwrap(), expected);
    }
}

#[test]
fn kept_data_that_ran_out_proves_nothing() {
    let subject = name(":1.0");
    let late = "2026-12-16T00:00:00Z".parse().unwrap();
    let verdict = judge(&policy("", ""), &subject, &evidence(&Repo::signed_by_jenkins()), late);
    assert_eq!(verdict.code(), "trust-data-expired");
}

/// A tag is looked at where its name is one that people trust, and can be kept so.
#[test]
fn names_that_are_guarded() {
    let elsewhere = "elsewhere.example/app";
    for (api, name, is_guarded) in [
        ("", GUN, true),
        ("", elsewhere, false),
        ("[api]\nswarm_admin = true", GUN, true),
        ("[api]\nbuild = true", GUN, false),
        ("[api]\ncommit = true", GUN, false),
        ("[api]\nload = true", GUN, false),
        ("[api]\nimport = true", GUN, false),
    ] {
        let intent = Intent::Tag { written: "x".to_owned(), name: name.parse().unwrap() };
        let planned = plan(&policy("", api), Ok(intent));
        let proves = matches!(planned, Plan::Prove(Subject::Tag { .. }, _));
        assert_eq!(proves, is_guarded, "{api} {name}: {planned:?}");
    }
}

#[test]
fn what_cannot_be_looked_at_gets_no_trusted_name() {
    let policy = policy("", "");
    for (held, code) in [
        (Held::Absent, "nothing-there"),
        (Held::Unknown("it is away".to_owned()), "engine-unavailable"),
        (Held::NotAsked, "unnamed-image"),
    ] {
        let evidence = Evidence { held, ..evidence(&both()) };
        let subject = Subject::Tag { written: "x".to_owned(), name: gun() };
        assert_eq!(judge(&policy, &subject, &evidence, now()).code(), code);
    }
}
