//! What people read: that it can be understood, and that what it tells them to do helps.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign::image::{ImageId, NameError, Reference};
use countersign::policy::{
    Evidence, Found, Grant, Held, HeldImage, Place, Plan, Reason, Refusal, Shortfall, Subject,
    Verdict, judge, plan,
};
use countersign::request::{self, Call, HostAccess, Permission};
use countersign::trust::notary::Fault;
use serde_json::json;

use super::{digest, evidence, gun, policy, said};
use crate::builder::key::person;
use crate::builder::{A, B, GUN, Repo, now};

/// What is said of a call that no evidence is needed for.
fn said_of(more: &str, method: &str, uri: &str, body: &str) -> String {
    let message = json!({
        "RequestMethod": method,
        "RequestUri": uri,
        "RequestBody": STANDARD.encode(body),
    });
    let call = Call::from_json(message.to_string().as_bytes()).unwrap();
    match plan(&policy("", more), request::read(&call)) {
        Plan::Settled(verdict) => said(&verdict),
        Plan::Prove(..) => "to be proven".to_owned(),
    }
}

/// Every call that a line of the policy would allow says which line.
#[test]
fn a_closed_call_says_what_would_open_it() {
    let mut told = Vec::new();
    for (method, route, spoken, key) in [
        ("POST", "/build?t=x", "/build", "build"),
        ("POST", "/session", "/session", "build"),
        ("POST", "/grpc", "/grpc", "build"),
        ("POST", "/commit?container=x", "/commit", "commit"),
        ("POST", "/images/load", "/images/load", "load"),
        ("POST", "/images/create?fromSrc=-", "/images/create", "import"),
        ("PUT", "/containers/a/archive?path=/", "/containers/{name}/archive", "archive_upload"),
        ("POST", "/containers/a/exec", "/containers/{name}/exec", "exec"),
        ("POST", "/exec/a/start", "/exec/{name}/start", "exec"),
        ("GET", "/swarm", "/swarm", "swarm_admin"),
        ("GET", "/swarm/unlockkey", "/swarm/unlockkey", "swarm_admin"),
        ("POST", "/swarm/init", "/swarm/init", "swarm_admin"),
        ("POST", "/swarm/join", "/swarm/join", "swarm_admin"),
        ("POST", "/swarm/leave", "/swarm/leave", "swarm_admin"),
        ("POST", "/swarm/unlock", "/swarm/unlock", "swarm_admin"),
        ("POST", "/swarm/update", "/swarm/update", "swarm_admin"),
        ("POST", "/nodes/a/update", "/nodes/{id}/update", "swarm_admin"),
        ("DELETE", "/nodes/a", "/nodes/{id}", "swarm_admin"),
        ("POST", "/plugins/create", "/plugins/create", "plugins"),
        ("POST", "/plugins/pull?remote=a", "/plugins/pull", "plugins"),
        ("POST", "/plugins/a/disable", "/plugins/{name}/disable", "plugins"),
        ("POST", "/plugins/a/b/enable", "/plugins/{name}/enable", "plugins"),
        ("POST", "/plugins/a/push", "/plugins/{name}/push", "plugins"),
        ("POST", "/plugins/a/set", "/plugins/{name}/set", "plugins"),
        ("POST", "/plugins/a/upgrade", "/plugins/{name}/upgrade", "plugins"),
        ("DELETE", "/plugins/a", "/plugins/{name}", "plugins"),
        ("POST", "/containers/a/checkpoints", "/containers/{name}/checkpoints", "checkpoint"),
        (
            "DELETE",
            "/containers/a/checkpoints/b",
            "/containers/{name}/checkpoints/{checkpoint}",
            "checkpoint",
        ),
    ] {
        let uri = format!("/v1.41{route}");
        let (closed, open) = (format!("[api]\n{key} = false\n"), format!("[api]\n{key} = true\n"));
        let said = said_of(&closed, method, &uri, "{}");
        let what = format!("{spoken} is not allowed here: it would ");
        let remedy = format!(
            "the operator can allow it with `{key} = true` in the [api] section of countersign.toml"
        );
        assert!(said.starts_with(&what) && said.ends_with(&remedy), "{method} {route}: {said}");
        let opened = said_of(&open, method, &uri, "{}");
        // What a command was prepared with, only the engine knows.
        let expected = if spoken.starts_with("/exec/") { "to be proven" } else { "not-judged" };
        assert_eq!(opened, expected, "{method} {route}");
        told.push(key);
    }
    for permission in Permission::ALL {
        assert!(told.contains(&permission.key()), "nothing is closed by {permission}");
    }
}

#[test]
fn an_unknown_or_closed_route_is_told_as_people_write_it() {
    for (method, uri, sentence) in [
        (
            "POST",
            "/v1.41/images/h.io/x/sign?a=b",
            "POST /images/h.io/x/sign is not a Docker API call that is known here",
        ),
        (
            "GET",
            "/v1.41/debug/pprof/heap",
            "/debug/{path} is closed: it shows the engine's memory and command line",
        ),
        (
            "POST",
            "/v1.41/containers/a/copy",
            "/containers/{name}/copy is closed: API 1.24 removed it",
        ),
    ] {
        let said = said_of("", method, uri, "");
        assert_eq!(said.lines().next(), Some(sentence), "{uri}");
    }
}

fn all_reasons() -> Vec<Reason> {
    let text = || "text".to_owned();
    let reference = || format!("{GUN}:1.0");
    let (signed, found) = (digest(A), Found::Image(ImageId(digest(B))));
    let other = |place| Reason::OtherImage { reference: reference(), signed, found, place };
    let unsigned = |reference| {
        let (signers, left_out) = (vec![], vec![]);
        Reason::NotSigned { reference, repository: gun(), signers, left_out }
    };
    let access = || vec![HostAccess::Privileged];
    let host = |repository, instead| Reason::HostAccess {
        repository,
        instead,
        excepted: None,
        access: access(),
    };
    let mut all = vec![
        other(Place::Engine),
        other(Place::Registry),
        other(Place::Reference),
        Reason::NoTrustData { reference: reference() },
        Reason::NoTrustData { reference: format!("{GUN}@{signed}") },
        unsigned(reference()),
        unsigned(format!("{GUN}@{signed}")),
        unsigned(signed.to_string()),
        unsigned("1d1d1d".to_owned()),
        unsigned("mine:1".to_owned()),
        Reason::SignatureMissing(Box::new(Shortfall {
            reference: reference(),
            digest: signed,
            teams: vec![("CI".to_owned(), vec!["jenkins".to_owned()])],
            asked: None,
            signers: vec![],
            left_out: vec![],
        })),
        Reason::Unnamed { reference: text() },
        Reason::Unregistered { host: "h.io".to_owned() },
        Reason::NotPermitted { permission: Permission::Exec, route: "/exec/{name:.*}/start" },
        host(None, None),
        host(Some(gun()), None),
        host(Some(gun()), Some(gun())),
        Reason::HostAccess {
            repository: None,
            instead: None,
            excepted: Some(text()),
            access: access(),
        },
        Reason::TrustData { repository: gun(), fault: Fault::RootPin },
        Reason::TrustData { repository: gun(), fault: Fault::FirstUse },
        Reason::Unavailable { cause: text(), remedy: text(), reference: reference() },
        Reason::Unread { reference: reference(), cause: text(), remedy: text() },
        Reason::Engine { cause: text() },
        Reason::HostUnknown { cause: text() },
        Reason::RenameUnderWay { container: text() },
        Reason::StartUnderWay,
        Reason::Message { fault: text() },
        Reason::Internal,
    ];
    let place = || "Image".to_owned();
    let fault = "is wrong";
    all.extend(
        [
            request::Refusal::Target { fault },
            request::Refusal::Query { name: text(), fault },
            request::Refusal::UnknownRoute { method: "POST".to_owned(), route: "/x".to_owned() },
            request::Refusal::ClosedRoute { route: "/debug/{path:.*}", why: "so" },
            request::Refusal::FormBody { evidence: text() },
            request::Refusal::BodyWithheld,
            request::Refusal::BodyMalformed { place: place(), fault: text() },
            request::Refusal::AmbiguousName { place: place(), written: text() },
            request::Refusal::NoImage { place: place() },
            request::Refusal::BadReference {
                place: place(),
                written: text(),
                error: NameError::Host,
            },
            request::Refusal::AmbiguousPull { fault },
            request::Refusal::AllTags { repository: text() },
            request::Refusal::ImageMount { place: place() },
            request::Refusal::CheckpointStart,
            request::Refusal::IdAsName,
            request::Refusal::ServiceNeedsDigest { written: text() },
            request::Refusal::ServiceApiVersion { major: 1, minor: 29 },
            request::Refusal::PluginRuntime { place: place() },
        ]
        .map(Reason::Request),
    );
    all
}

/// The first line says what is wrong, the last one what to do about it; nothing in between
/// is more than a person reads.
#[test]
fn every_refusal_says_what_to_do() {
    for reason in all_reasons() {
        let (code, said) = (reason.code(), Refusal::new(reason).to_string());
        let lines: Vec<_> = said.lines().collect();
        assert!((2..=4).contains(&lines.len()), "{code}: {said}");
        assert!(lines.last().unwrap().starts_with("  to do: "), "{code}: {said}");
        assert!(
            !said.contains(".*") && !said.contains("..") && !said.contains("   "),
            "{code}: {said}"
        );
        // The command takes a repository and a tag, and nothing else.
        for (at, command) in said.match_indices("docker trust sign ") {
            let named = said[at + command.len()..].split(['`', ' ']).next().unwrap();
            assert!(named.starts_with(GUN), "{code}: {said}");
            let tagged = named
                .parse::<Reference>()
                .is_ok_and(|one| one.tag.is_some() && one.digest.is_none());
            assert!(tagged, "{code}: {said}");
        }
    }
}

fn other_image(held: HeldImage) -> String {
    let evidence = Evidence { held: Held::Image(held), ..evidence(&Repo::signed_by_jenkins()) };
    said(&judge(&policy("", ""), &Subject::Container("c1".to_owned()), &evidence, now()))
}

/// An ID and a manifest's digest look alike and are never equal: the text says which is which.
#[test]
fn digests_are_called_by_what_they_are() {
    let (id, pulled) = (digest([0x1d; 32]), digest([0x2d; 32]));
    let signed = format!("\n  signed: {GUN}:1.0 has the manifest digest {}\n", digest(A));
    for (digests, id_is_config, found) in [
        (vec![id], true, format!("the image ID {id}")),
        (vec![id, pulled], true, format!("the manifest digest {pulled}")),
        (vec![id], false, format!("the manifest digest {id}")),
    ] {
        let said = other_image(HeldImage {
            id: ImageId(id),
            digests,
            names: vec![gun()],
            called: format!("{GUN}:1.0"),
            id_is_config,
            architecture: String::new(),
        });
        assert!(said.contains(&signed), "{said}");
        assert!(said.contains(&format!("found: {found} stands under that name")), "{said}");
    }
}

/// Signed, and not released: who signed it is what an operator needs to know.
#[test]
fn what_is_signed_and_not_released_says_who_signed() {
    let mut repo = Repo::signed_by_jenkins();
    repo.at("targets/moby").listed = true;
    repo.at("targets/moby").tag("2.0", B);
    let key = &person("moby").canonical_id()[..12];
    for (what, called, digests) in [
        ("by its tag", format!("{GUN}:2.0"), vec![B]),
        ("by a tag that was never signed", format!("{GUN}:3.0"), vec![B]),
        ("by another name", "mine:1".to_owned(), vec![B]),
        ("another image, by the tag", format!("{GUN}:2.0"), vec![[0xcc; 32]]),
    ] {
        let held = Held::Image(HeldImage {
            id: ImageId(digest([0x1d; 32])),
            digests: digests.into_iter().map(digest).collect(),
            names: vec![gun()],
            called,
            id_is_config: true,
            architecture: String::new(),
        });
        let evidence = Evidence { held, ..evidence(&repo) };
        let verdict =
            judge(&policy("", ""), &Subject::Container("c1".to_owned()), &evidence, now());
        assert_eq!(verdict.code(), "not-signed", "{what}");
        let line = format!("\n  signed by: moby (team all, dev) in targets/moby (key {key})\n");
        assert!(said(&verdict).contains(&line), "{what}: {}", said(&verdict));
    }
    assert!(matches!(
        judge(&policy("", ""), &super::name(":1.0"), &evidence(&repo), now()),
        Verdict::Allow(Grant::Proven { .. })
    ));
}
