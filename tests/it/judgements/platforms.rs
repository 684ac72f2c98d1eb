//! Images of several platforms: an index is signed, and one platform's image is held.

use std::sync::Arc;

use countersign::image::{Digest, ImageId, Repository};
use countersign::policy::{Evidence, Held, HeldImage, Look, Subject, Verdict, judge, unread};
use countersign::trust::Content;
use countersign::trust::crypto::sha256;

use super::{digest, gun, policy};
use crate::builder::{GUN, Repo, now};

/// The configurations of the images for two platforms, and of one that nobody signed.
const AMD64: [u8; 32] = [0x64; 32];
const ARM64: [u8; 32] = [0x46; 32];
const OTHER: [u8; 32] = [0x99; 32];

/// Bytes that a registry has.
struct Stored(String);

impl Stored {
    fn image(config: [u8; 32]) -> Self {
        let config = digest(config);
        Self(format!(r#"{{"schemaVersion":2,"config":{{"digest":"{config}"}},"layers":[]}}"#))
    }

    fn index(images: &[(&str, &Self)]) -> Self {
        let entry = |(architecture, image): &(&str, &Self)| {
            format!(
                r#"{{"digest":"{}","platform":{{"os":"linux","architecture":"{architecture}"}}}}"#,
                image.digest()
            )
        };
        let entries: Vec<_> = images.iter().map(entry).collect();
        Self(format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, entries.join(",")))
    }

    fn digest(&self) -> Digest {
        digest(sha256(self.0.as_bytes()))
    }

    fn look(&self) -> Look {
        Look::Into(Content::read(self.digest(), self.0.as_bytes()).unwrap())
    }
}

/// The index that jenkins signed as 1.0, its two images, and one that is in no index.
struct Store {
    amd64: Stored,
    arm64: Stored,
    other: Stored,
    index: Stored,
}

impl Store {
    fn new() -> Self {
        let (amd64, arm64) = (Stored::image(AMD64), Stored::image(ARM64));
        let index = Stored::index(&[("amd64", &amd64), ("arm64", &arm64)]);
        Self { amd64, arm64, other: Stored::image(OTHER), index }
    }

    /// The trust data, and no look yet.
    fn evidence(&self) -> Evidence {
        evidence(&[("1.0", self.index.digest())])
    }

    fn all(&self) -> [&Stored; 4] {
        [&self.index, &self.amd64, &self.arm64, &self.other]
    }
}

/// Trust data by which jenkins released these, in `targets/jenkins` too.
fn evidence(tags: &[(&str, Digest)]) -> Evidence {
    let mut repo = Repo::signed_by_jenkins();
    for role in ["targets/releases", "targets/jenkins"] {
        for (tag, digest) in tags {
            repo.at(role).tag(tag, *digest.as_bytes());
        }
    }
    let (data, _) = repo.update().unwrap();
    Evidence { trust: vec![(gun(), Ok(Arc::new(data)))], ..Evidence::default() }
}

/// An image on an engine with a graph driver.
fn held(called: &str, config: [u8; 32], digests: &[Digest], architecture: &str) -> Held {
    let id = digest(config);
    Held::Image(HeldImage {
        id: ImageId(id),
        digests: [&[id], digests].concat(),
        names: vec![gun()],
        called: called.to_owned(),
        id_is_config: true,
        architecture: architecture.to_owned(),
    })
}

/// Looks into what it is told to until there is no more; what it looked into, in order.
fn settle(subject: &Subject, evidence: &mut Evidence, stored: &[&Stored]) -> Vec<Digest> {
    let mut order = Vec::new();
    loop {
        let unread = unread(subject, evidence, now());
        let Some((repository, first)) = unread.first() else { return order };
        assert_eq!(*repository, gun());
        let found = stored.iter().find(|one| one.digest() == *first);
        evidence.contents.insert(*first, found.map_or(Look::Nothing, |one| one.look()));
        order.push(*first);
    }
}

fn code(subject: &Subject, evidence: &Evidence) -> &'static str {
    judge(&policy(r#""CI""#, ""), subject, evidence, now()).code()
}

#[test]
fn a_held_image_is_bound_to_the_index_that_lists_it() {
    let store = Store::new();
    let (one, plain) = (format!("{GUN}:1.0"), GUN.to_owned());
    let (index, amd64, arm64) = (store.index.digest(), store.amd64.digest(), store.arm64.digest());
    let other = store.other.digest();
    for (what, called, config, digests, code_before, code_after, looks) in [
        ("pulled by the tag", &one, AMD64, vec![index], "signed", "signed", vec![]),
        (
            "another platform, pulled by its manifest",
            &plain,
            ARM64,
            vec![arm64],
            "not-signed",
            "signed",
            vec![index],
        ),
        ("the same, under the tag", &one, ARM64, vec![arm64], "other-image", "signed", vec![index]),
        // What `docker pull --platform` leaves of a tag whose digest another platform has.
        (
            "known by nothing but its ID",
            &one,
            ARM64,
            vec![],
            "other-image",
            "signed",
            vec![index, arm64],
        ),
        ("the same, by no tag", &plain, ARM64, vec![], "not-signed", "not-signed", vec![]),
        (
            "another image under the tag",
            &one,
            OTHER,
            vec![],
            "other-image",
            "other-image",
            vec![index, arm64, amd64],
        ),
        (
            "another that was pulled",
            &one,
            OTHER,
            vec![other],
            "other-image",
            "other-image",
            vec![index, arm64, amd64],
        ),
    ] {
        let subject = Subject::Container("c1".to_owned());
        let mut evidence =
            Evidence { held: held(called, config, &digests, "arm64"), ..store.evidence() };
        assert_eq!(code(&subject, &evidence), code_before, "{what}, before");
        let order = settle(&subject, &mut evidence, &store.all());
        let order: Vec<_> =
            order.into_iter().filter(|one| *one != digest(crate::builder::A)).collect();
        assert_eq!(order, looks, "{what}");
        assert_eq!(code(&subject, &evidence), code_after, "{what}");
    }
}

/// With the containerd store an image's ID is its manifest's digest, and no configuration's.
#[test]
fn an_id_that_is_a_manifests_names_no_configuration() {
    let store = Store::new();
    let subject = Subject::Container("c1".to_owned());
    for (what, id, code_after) in [
        ("a listed manifest", *store.arm64.digest().as_bytes(), "signed"),
        ("the digest of a configuration", ARM64, "other-image"),
    ] {
        let Held::Image(image) = held(&format!("{GUN}:1.0"), id, &[], "arm64") else { panic!() };
        let held = Held::Image(HeldImage { id_is_config: false, ..image });
        let mut evidence = Evidence { held, ..store.evidence() };
        settle(&subject, &mut evidence, &store.all());
        assert_eq!(code(&subject, &evidence), code_after, "{what}");
    }
}

#[test]
fn a_digest_that_is_asked_for_is_bound_too() {
    let store = Store::new();
    let (arm64, other) = (store.arm64.digest(), store.other.digest());
    for (rest, code_after) in [
        (format!("@{arm64}"), "signed"),
        (format!(":1.0@{arm64}"), "signed"),
        (format!(":9.9@{arm64}"), "signed"),
        (format!("@{other}"), "not-signed"),
        (format!(":1.0@{other}"), "other-image"),
        // A configuration is no image's name.
        (format!("@{}", digest(ARM64)), "not-signed"),
    ] {
        let reference: countersign::image::Reference = format!("{GUN}{rest}").parse().unwrap();
        for subject in [
            Subject::Name(reference.clone()),
            Subject::Pull(reference.clone()),
            Subject::Service(reference),
        ] {
            let mut evidence = store.evidence();
            settle(&subject, &mut evidence, &store.all());
            assert_eq!(code(&subject, &evidence), code_after, "{subject:?}");
        }
    }
    // A tag alone is nothing that could be listed.
    let tag = Subject::Pull(format!("{GUN}:1.0").parse().unwrap());
    assert_eq!(unread(&tag, &store.evidence(), now()), []);
}

/// Whose signature it takes is the same, whether a manifest or its index was signed.
#[test]
fn an_index_needs_the_same_signatures() {
    let store = Store::new();
    let subject = Subject::Name(format!("{GUN}@{}", store.arm64.digest()).parse().unwrap());
    let mut evidence = store.evidence();
    settle(&subject, &mut evidence, &store.all());
    let verdict = judge(&policy(r#""dev""#, ""), &subject, &evidence, now());
    assert_eq!(verdict.code(), "signature-missing");
    let Verdict::Allow(grant) = judge(&policy("", ""), &subject, &evidence, now()) else {
        panic!()
    };
    let said = format!("{grant:?}");
    assert!(said.contains(&store.index.digest().to_string()), "the index was signed: {said}");
}

#[test]
fn an_index_of_indexes_binds_nothing() {
    let store = Store::new();
    let outer = Stored::index(&[("amd64", &store.index)]);
    let subject = Subject::Name(format!("{GUN}:1.0@{}", store.arm64.digest()).parse().unwrap());
    let mut evidence = evidence(&[("1.0", outer.digest())]);
    settle(&subject, &mut evidence, &[&outer, &store.index, &store.arm64]);
    assert_eq!(code(&subject, &evidence), "other-image");
}

/// The tag asked for first, then the others, the highest names first; each digest once.
#[test]
fn the_order_of_looking() {
    let store = Store::new();
    let tagged: Vec<_> =
        (1..=5).map(|n| Stored::index(&[(format!("a{n}").as_str(), &store.other)])).collect();
    let tags: Vec<_> = ["1.0", "1.1", "2.0", "2.1", "3.0"]
        .into_iter()
        .zip(tagged.iter().map(Stored::digest))
        .collect();
    let mut evidence = evidence(&tags);
    let of = |rest: &str| {
        Subject::Name(format!("{GUN}{rest}@{}", store.arm64.digest()).parse().unwrap())
    };
    let order = |subject: &Subject, evidence: &Evidence| {
        let digests = unread(subject, evidence, now()).into_iter().map(|(_, digest)| digest);
        let tag = |digest| tags.iter().find(|(_, one)| *one == digest).unwrap().0;
        digests.map(tag).collect::<Vec<_>>()
    };
    assert_eq!(order(&of(":2.0"), &evidence), ["2.0"]);
    assert_eq!(order(&of(""), &evidence), ["3.0", "2.1", "2.0", "1.1", "1.0"]);
    evidence.contents.insert(tagged[2].digest(), tagged[2].look());
    assert_eq!(order(&of(":2.0"), &evidence), ["3.0", "2.1", "1.1", "1.0"]);
}

#[test]
fn what_could_not_be_looked_into_is_told_and_never_allowed() {
    let store = Store::new();
    let subject = Subject::Name(format!("{GUN}:1.0@{}", store.arm64.digest()).parse().unwrap());
    let away = || Look::Unavailable { cause: "it is away".to_owned(), remedy: "wait".to_owned() };
    let mut evidence = store.evidence();
    evidence.contents.insert(store.index.digest(), away());
    assert_eq!(code(&subject, &evidence), "manifest-unavailable");
    assert_eq!(unread(&subject, &evidence, now()), [], "it is not asked on");
    // What is bound without it, is.
    evidence.contents.insert(store.amd64.digest(), away());
    evidence.contents.insert(store.index.digest(), store.index.look());
    assert_eq!(code(&subject, &evidence), "signed");

    let by_digest = Subject::Name(format!("{GUN}@{}", store.other.digest()).parse().unwrap());
    let mut evidence = store.evidence();
    settle(&by_digest, &mut evidence, &store.all());
    assert_eq!(code(&by_digest, &evidence), "not-signed");
    evidence.cut_short = true;
    assert_eq!(code(&by_digest, &evidence), "manifest-unavailable");
    let by_tag = Subject::Name(format!("{GUN}:1.0@{}", store.other.digest()).parse().unwrap());
    assert_eq!(code(&by_tag, &evidence), "other-image", "the tag says which image it is not");
}

/// An image that two repositories prove: which rule counts is not the engine's order.
#[test]
fn several_repositories_may_prove_an_image() {
    use countersign::policy::Host;
    use countersign::request::HostAccess;

    let agent = "registry.example/ops/agent";
    let rule = format!("[[rules]]\nrepository = \"{agent}\"\nallow_host_access = true\n");
    let both = format!("{rule}[[rules]]\nrepository = \"{GUN}\"\nallow_host_access = true\n");
    let trust = || {
        let repo = Repo::signed_by_jenkins();
        let (app, _) = repo.update().unwrap();
        let (twin, _) = repo.of(agent).update_of(agent).unwrap();
        let agent: Repository = agent.parse().unwrap();
        vec![(gun(), Ok(Arc::new(app))), (agent, Ok(Arc::new(twin)))]
    };
    let a = digest(crate::builder::A);
    for (called, rules, expected) in [
        (format!("{agent}:1.0"), &rule, "signed"),
        (format!("{GUN}:1.0"), &rule, "host-access"),
        ("mine:1".to_owned(), &rule, "host-access"),
        ("mine:1".to_owned(), &both, "signed"),
        ("mine:1".to_owned(), &String::new(), "host-access"),
    ] {
        for turned in [false, true] {
            let mut trust = trust();
            if turned {
                trust.reverse();
            }
            let host = Host { asked: vec![HostAccess::Privileged], ..Host::default() };
            let held = held(&called, [0x1d; 32], &[a], "amd64");
            let evidence = Evidence { held, trust, host, ..Evidence::default() };
            let subject = Subject::Container("c1".to_owned());
            let verdict = judge(&policy("", rules), &subject, &evidence, now());
            assert_eq!(verdict.code(), expected, "{called} {rules} {turned}");
            if let (Verdict::Deny(refusal), "mine:1", true) =
                (&verdict, called.as_str(), rules == &rule)
            {
                let said = refusal.to_string();
                assert!(said.starts_with(&format!("{GUN} may not reach the host")), "{said}");
                assert!(said.contains(&format!("by its name in {agent}, whose rule")), "{said}");
            }
        }
    }
}
