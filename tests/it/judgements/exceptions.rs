//! Exceptions: what they are for, until when, and what they do not lift.

use std::path::Path;

use countersign::image::Digest;
use countersign::policy::{
    Evidence, Gap, Grant, Held, Host, Leave, Policy, Served, Subject, Verdict,
};
use countersign::request::HostAccess;

use super::rules::{container, decide, held};
use super::{digest, gun, policy, said};
use crate::builder::GUN;

const B: [u8; 32] = [0xbb; 32];
const LEGACY: &str = "legacy.example/old/app";

/// An entry that is in force.
fn entry(of: &str, more: &str) -> String {
    until(of, "2027-01-31", more)
}

fn until(of: &str, until: &str, more: &str) -> String {
    format!(
        "[[exceptions]]\n{of}\nowner = \"alice\"\nreason = \"migration\"\nuntil = \"{until}\"\n{more}\n"
    )
}

fn by_digest(of: [u8; 32]) -> String {
    format!("digest = \"{}\"", digest(of))
}

fn by_name(pattern: &str) -> String {
    format!("repository = \"{pattern}\"")
}

/// Nothing is signed.
fn unsigned(held: Held) -> Evidence {
    let legacy = LEGACY.parse().unwrap();
    let trust = vec![(gun(), Err(Gap::NoTrustData)), (legacy, Err(Gap::Unregistered))];
    Evidence { held, trust, ..Evidence::default() }
}

#[test]
fn by_digest_it_is_for_what_would_run() {
    let app = format!("{GUN}:1");
    for (what, entry, held, expected) in [
        ("its manifest", by_digest(B), held(&app, B, &[GUN]), "exception"),
        ("its ID", by_digest([0x1d; 32]), held(&app, B, &[GUN]), "exception"),
        ("under any name", by_digest(B), held("mine:1", B, &[]), "exception"),
        ("another image of that name", by_digest(B), held(&app, [0xcc; 32], &[GUN]), {
            "no-trust-data"
        }),
        (
            // A name's claim is no identity.
            "another image whose name claims the digest",
            by_digest(B),
            held(&format!("{GUN}@{}", digest(B)), [0xcc; 32], &[GUN]),
            "no-trust-data",
        ),
        ("no image", by_digest(B), Held::NoImage, "no-image"),
        ("an engine that is away", by_digest(B), Held::Unknown("x".to_owned()), {
            "engine-unavailable"
        }),
    ] {
        let policy = policy("", &super::exceptions::entry(&entry, ""));
        let verdict = decide(&policy, &container(), &unsigned(held));
        assert_eq!(verdict.code(), expected, "{what}");
    }
}

#[test]
fn by_digest_it_is_for_what_is_asked_for_or_served() {
    let policy = policy("", &entry(&by_digest(B), ""));
    let (tag, pinned) = (format!("{GUN}:1"), format!("{GUN}@{}", digest(B)));
    for (what, name, served, expected) in [
        ("its digest", &pinned, Served::Unknown, "exception"),
        ("a tag that is served as it", &tag, Served::Digest(digest(B)), "exception"),
        ("a tag that is served as another", &tag, Served::Digest(digest([1; 32])), "no-trust-data"),
        ("a tag of which nobody knows", &tag, Served::Unknown, "no-trust-data"),
    ] {
        let reference = || name.parse().unwrap();
        let image = name.parse().unwrap();
        let create = Subject::Create { written: name.clone(), image };
        for subject in [Subject::Pull(reference()), create] {
            let evidence = Evidence { served, ..unsigned(Held::Absent) };
            assert_eq!(decide(&policy, &subject, &evidence).code(), expected, "{what} {subject:?}");
        }
    }
    let service = Subject::Service(pinned.parse().unwrap());
    assert_eq!(decide(&policy, &service, &unsigned(Held::NotAsked)).code(), "exception");
}

#[test]
fn by_repository_it_is_for_what_is_asked_for_by_that_name() {
    let policy = policy("", &entry(&by_name("legacy.example/old/*"), ""));
    let legacy = format!("{LEGACY}:1");
    let evil = format!("evil.example/{LEGACY}:1");
    let pinned = format!("{LEGACY}@{}", digest(B));
    for (what, called, names, expected) in [
        ("by its name", &*legacy, &[LEGACY][..], "exception"),
        ("by its ID", "sha256:1d1d", &[LEGACY], "exception"),
        ("by a name that means nothing", "mine:1", &[LEGACY], "exception"),
        ("by a name that means something", &format!("{GUN}:1"), &[LEGACY, GUN], "no-trust-data"),
        ("by its ID, and it has another name", "sha256:1d1d", &[LEGACY, GUN], "no-trust-data"),
        ("by its ID, and it has no name", "sha256:1d1d", &[], "no-trust-data"),
        ("by a name that contains it", &evil, &[], "no-trust-data"),
        ("by a digest below its name", &pinned, &[LEGACY], "exception"),
        ("by a digest below a name that is none of its own", &pinned, &[], "no-trust-data"),
        ("the same, and it has another", &pinned, &["other.example/x"], "no-trust-data"),
    ] {
        let verdict = decide(&policy, &container(), &unsigned(held(called, B, names)));
        assert_eq!(verdict.code(), expected, "{what}");
    }
    // Its names are given to nothing else.
    for (written, names, expected) in [
        (&*legacy, &[LEGACY][..], "exception"),
        ("mine:1", &[], "no-trust-data"),
        (&format!("{GUN}:1"), &[GUN], "no-trust-data"),
    ] {
        let subject = Subject::Tag { written: written.to_owned(), name: LEGACY.parse().unwrap() };
        let verdict = decide(&policy, &subject, &unsigned(held(written, B, names)));
        assert_eq!(verdict.code(), expected, "{written}");
    }
}

/// Whoever is told no because it ended, is told that, and whom to ask.
#[test]
fn one_that_ended_is_named() {
    for (when, of, is_named) in [
        ("2026-11-30", by_digest(B), true),
        ("2026-11-30", by_name(GUN), true),
        ("2026-11-30", by_digest([1; 32]), false),
        ("2026-11-30", by_name("registry.example/other/**"), false),
        ("2026-11-30T23:59:59Z", by_digest(B), true),
        ("2026-12-01T01:00:00+01:00", by_digest(B), true),
    ] {
        let policy = policy("", &until(&of, when, ""));
        let evidence = unsigned(held(&format!("{GUN}:1"), B, &[GUN]));
        let verdict = decide(&policy, &container(), &evidence);
        assert_eq!(verdict.code(), "no-trust-data", "{when} {of}");
        let line = said(&verdict).lines().last().unwrap().to_owned();
        let shown = of.split('"').nth(1).unwrap();
        let named =
            format!("  ended: the exception of alice for {shown} ended on {when} (migration)");
        assert_eq!(line == named, is_named, "{when} {of}: {line}");
    }
    // The last day is one.
    for when in ["2026-12-01", "2026-12-01T00:00:01Z"] {
        let policy = policy("", &until(&by_digest(B), when, ""));
        let evidence = unsigned(held("mine:1", B, &[]));
        assert_eq!(decide(&policy, &container(), &evidence).code(), "exception", "{when}");
    }
}

#[test]
fn who_let_it_pass_is_a_value() {
    let policy = policy("", &entry(&by_digest(B), ""));
    let verdict = decide(&policy, &container(), &unsigned(held("mine:1", B, &[])));
    let Verdict::Allow(Grant::Excused { refusal, leave: Leave::Exception(exception) }) = verdict
    else {
        panic!("{verdict:?}");
    };
    assert_eq!(refusal.reason().code(), "no-trust-data");
    assert_eq!((&*exception.owner, &*exception.reason), ("alice", "migration"));
    assert_eq!(exception.until.to_string(), "2027-02-01T00:00:00Z");
}

/// Signatures are one thing, the host is another.
#[test]
fn the_guard_is_lifted_where_an_exception_says_so_alone() {
    let host = Host { asked: vec![HostAccess::Privileged], ..Host::default() };
    let with_host = "allow_host_access = true";
    let rule = format!("[[rules]]\nrepository = \"{GUN}\"\nallow_host_access = true\n");
    for (what, more, expected) in [
        ("no exception", String::new(), "no-trust-data"),
        ("for signatures", entry(&by_digest(B), ""), "host-access"),
        // The rule is for what the repository proves.
        ("for signatures, and a rule", rule + &entry(&by_digest(B), ""), "host-access"),
        ("for both", entry(&by_digest(B), with_host), "exception"),
        ("for both, by name", entry(&by_name(GUN), with_host), "exception"),
        (
            "one for signatures, one for both",
            entry(&by_digest(B), "") + &entry(&by_digest(B), with_host),
            "exception",
        ),
        (
            "one for both that ended",
            entry(&by_digest(B), "") + &until(&by_digest(B), "2026-11-30", with_host),
            "host-access",
        ),
    ] {
        let evidence =
            Evidence { host: host.clone(), ..unsigned(held(&format!("{GUN}:1"), B, &[GUN])) };
        let verdict = decide(&policy("", &more), &container(), &evidence);
        assert_eq!(verdict.code(), expected, "{what}");
        if expected == "host-access" {
            let said = said(&verdict);
            let remedy = "set allow_host_access = true in the [[exceptions]] entry of alice";
            assert!(said.contains(remedy), "{what}: {said}");
        }
    }
    // A signed image, too, may be let have it.
    let repo = crate::builder::Repo::signed_by_jenkins();
    for (more, expected) in [("", "host-access"), (with_host, "exception")] {
        let a = crate::builder::A;
        let held = held(&format!("{GUN}:1.0"), a, &[GUN]);
        let evidence = Evidence { held, host: host.clone(), ..super::evidence(&repo) };
        let policy = policy("", &entry(&by_digest(a), more));
        assert_eq!(decide(&policy, &container(), &evidence).code(), expected, "{more}");
    }
}

#[test]
fn faults_have_a_place() {
    let whole = |rest: &str| format!("[[exceptions]]\n{rest}");
    let digest = Digest::from_bytes(B);
    let of = format!("digest = \"{digest}\"\n");
    let who = "owner = \"alice\"\nreason = \"x\"\n";
    for (text, line, what) in [
        (whole(who), 3, "missing field `until`"),
        (whole(&format!("{who}until = 2027-01-31\n")), 3, "say what this exception is for"),
        (whole(&format!("{of}owner = \"a\"\nuntil = 2027-01-31\n")), 3, "missing field `reason`"),
        (whole(&format!("{of}reason = \"a\"\nuntil = 2027-01-31\n")), 3, "missing field `owner`"),
        (
            whole(&format!("{of}owner = \" \"\nreason = \"a\"\nuntil = 2027-01-31\n")),
            5,
            "owner is empty",
        ),
        (whole(&format!("{of}{who}until = 2027-01-31T12:00:00\n")), 7, "a time with its zone"),
        (whole(&format!("{of}{who}until = \"soon\"\n")), 7, "must be a last day"),
        (whole(&format!("{of}{who}until = 12\n")), 7, "did not match"),
        (whole(&format!("{of}{who}until = \"2027-01-31T12:00:00\"\n")), 7, "with its zone"),
        (whole(&format!("digest = \"x\"\n{who}until = 2027-01-31\n")), 4, "digest \"x\""),
        (whole(&format!("{of}repository = \"h.io/a\"\n{who}until = 2027-01-31\n")), 5, "not both"),
        (
            whole(&format!("repository = \"a/**\"\n{who}until = 2027-01-31\n")),
            4,
            "write a whole repository with its host",
        ),
    ] {
        let text = format!("[trust_configuration]\nrequire_content_trust = true\n{text}");
        let nothing = |_: &Path| Err(std::io::ErrorKind::NotFound.into());
        let error = Policy::from_toml(&text, &nothing).unwrap_err();
        assert!(error.what.contains(what), "{text}: {error}");
        assert_eq!(error.line, line, "{text}: {error}");
    }
    for until in
        ["2027-01-31", "\"2027-01-31\"", "2027-01-31T12:00:00Z", "2027-01-31 12:00:00+01:00"]
    {
        let text = format!("{of}{who}until = {until}\n");
        assert_eq!(policy("", &whole(&text)).exceptions().len(), 1, "{until}");
    }
}
