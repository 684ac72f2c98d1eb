//! `countersign check`: what it says, and the whole line behind it, from the trust server
//! over the disk to the verdict. The recorded snapshots run out at the end of 2029.

use std::fs;

use countersign::gate::{Gate, Settings};
use countersign::policy::Policy;
use serde_json::json;

use crate::node::Node;
use crate::repositories::data;
use crate::static_server::{Door, Mood, StaticServer};

const TWO: &str = "localhost:5443/fx/two-signers";

/// A policy that wants signatures of these teams, and asks `server` for each decision.
fn policy(server: &StaticServer, teams: &str) -> String {
    let users = data().join("users");
    format!(
        r#"
        [trust_configuration]
        require_content_trust = true
        require_signature_from = [{teams}]
        max_staleness = "0s"

        [[registries]]
        host_address = "localhost:5443"
        ca_file = "ca.pem"
        trust_server = "https://{}"

        [teams]
        CI = ["jenkins"]
        QA = ["alice"]

        [users.jenkins]
        certificates = ["{users}/jenkins/pub.pem"]

        [users.alice]
        certificates = ["{users}/alice/pub.pem"]
        "#,
        server.host(),
        users = users.display(),
    )
}

/// A node of that policy.
fn node(server: &StaticServer, teams: &str) -> Node {
    let node = Node::new(&policy(server, teams));
    fs::write(node.path("ca.pem"), &server.ca).unwrap();
    node
}

/// Its gate, in this process.
fn gate(node: &Node) -> Gate {
    let text = fs::read_to_string(node.path("countersign.toml")).unwrap();
    let read = |file: &std::path::Path| fs::read_to_string(node.path(file.to_str().unwrap()));
    let policy = Policy::from_toml(&text, &read).unwrap();
    let state_dir = node.path("state");
    Gate::new(Settings { policy, engine: None, state_dir, offline: false }).unwrap()
}

/// The stable word of a verdict.
async fn code(gate: &Gate, reference: &str) -> &'static str {
    gate.check(reference.parse().unwrap()).await.verdict.code()
}

#[test]
fn says_who_signed() {
    let server = StaticServer::new(&["two-signers"]);
    let node = node(&server, r#""CI", "QA""#);
    let checked = node.check(&["--json", &format!("{TWO}:1.0")]);
    assert_eq!(checked.code, 0, "{checked:?}");
    let signer = |user: &str, team: &str, key: &str| {
        json!({ "user": user, "teams": [team], "role": format!("targets/{user}"), "key_id": key,
                "counts": true })
    };
    assert_eq!(
        checked.report(),
        json!({
            "reference": format!("{TWO}:1.0"),
            "verdict": "allow",
            "code": "signed",
            "message": format!("signed as {TWO}:1.0"),
            "digest": "sha256:aebf5425129fb1eb8978dab6b16dcd285e343e564a7eb8306f3e8a2f24d36aa9",
            "signers": [
                signer("jenkins", "CI",
                    "1fd16d35058792460f3377736f8654d08a7afce18d4ac97282dfa5709c605fdd"),
                signer("alice", "QA",
                    "36d900c4ff615b90c7db393ac5ec7a2939698012be9f3dd750ab92cd19bdad60"),
            ],
            "missing_teams": [],
            "notes": [],
        })
    );
    let text = node.check(&[&format!("{TWO}:1.0")]).out;
    assert!(text.starts_with(&format!("allowed {TWO}:1.0\n")), "{text}");
    assert!(text.contains("\n  signed by: alice (team QA) in targets/alice, key "), "{text}");
}

#[test]
fn says_what_is_missing() {
    let server = StaticServer::new(&["two-signers"]);
    let node = node(&server, r#""CI", "QA""#);
    let digest = "sha256:aebf5425129fb1eb8978dab6b16dcd285e343e564a7eb8306f3e8a2f24d36aa9";
    let other = "sha256:145efec3e7674af0ea621617610fabe76eb46cfa88a9b225311d118e1d70acd8";
    for (reference, code, missing, message) in [
        (format!("{TWO}@{digest}"), "signed", &[][..], format!("signed as {TWO}:1.0")),
        (
            format!("{TWO}:2.0"),
            "signature-missing",
            &["QA"],
            "image did not meet required signing policy".to_owned(),
        ),
        (
            format!("{TWO}:3.0"),
            "signature-missing",
            &["CI"],
            "image did not meet required signing policy".to_owned(),
        ),
        // alice signed another image than was released
        (
            format!("{TWO}:4.0"),
            "signature-missing",
            &["QA"],
            "image did not meet required signing policy".to_owned(),
        ),
        (
            format!("{TWO}:9"),
            "not-signed",
            &[],
            format!("image or trust data does not exist for {TWO}:9"),
        ),
        (
            TWO.to_owned(),
            "not-signed",
            &[],
            format!("image or trust data does not exist for {TWO}:latest"),
        ),
        (
            "localhost:5443/fx/nothing:1".to_owned(),
            "no-trust-data",
            &[],
            "image or trust data does not exist for localhost:5443/fx/nothing:1".to_owned(),
        ),
        (
            "busybox".to_owned(),
            "unregistered-registry",
            &[],
            "docker.io must be a registered trusted registry".to_owned(),
        ),
    ] {
        let checked = node.check(&["--json", &reference]);
        let report = checked.report();
        let allowed = code == "signed";
        assert_eq!(checked.code, i32::from(!allowed), "{reference}");
        assert_eq!(report["verdict"], if allowed { "allow" } else { "deny" }, "{reference}");
        assert_eq!(report["code"], code, "{reference}: {report}");
        assert_eq!(report["missing_teams"], json!(missing), "{reference}: {report}");
        let first = report["message"].as_str().unwrap().lines().next().unwrap();
        assert_eq!(first, message, "{reference}");
    }
    // It may be one of several platforms of what was signed.
    let report = node.check(&["--json", "--offline", &format!("{TWO}:1.0@{other}")]).report();
    assert_eq!(report["code"], "manifest-unavailable", "{report}");
    let cause = format!("what the signed {digest} stands for is not on this node");
    assert!(report["message"].as_str().unwrap().contains(&cause), "{report}");
    // One of several that is denied denies all.
    let checked = node.check(&["--json", &format!("{TWO}:1.0"), &format!("{TWO}:2.0")]);
    let verdicts: Vec<_> = checked.reports().iter().map(|one| one["verdict"].clone()).collect();
    assert_eq!((checked.code, verdicts), (1, vec![json!("allow"), json!("deny")]));
}

#[test]
fn what_was_verified_serves_without_the_server() {
    let server = StaticServer::new(&["jenkins"]);
    let node = node(&server, r#""CI""#);
    let check = |more: &[&str]| {
        let name = "localhost:5443/fx/jenkins:1.0";
        node.check(&[&["--json", name], more].concat()).report()
    };
    let nothing = check(&["--offline"]);
    assert_eq!(nothing["code"], "trust-data-unavailable", "{nothing}");
    assert_eq!(server.requests(), [""; 0]);

    assert_eq!(check(&[])["code"], "signed");
    assert_eq!(server.requests().len(), 6);
    let offline = check(&["--offline"]);
    assert_eq!((&offline["code"], &offline["notes"]), (&json!("signed"), &json!([])));
    assert_eq!(server.requests(), [""; 0]);
    // The next run knows all but whether there is something new.
    assert_eq!(check(&[])["code"], "signed");
    assert_eq!(server.requests(), ["localhost:5443/fx/jenkins/timestamp.json"]);

    let noted = |what: &str| {
        let report = check(&[]);
        assert_eq!(report["code"], "signed", "{report}");
        let told =
            format!("localhost:5443/fx/jenkins: {what}; decided by what was verified before");
        assert_eq!(report["notes"], json!([told]));
    };
    let host = server.host();
    server.set(Mood::Status(500));
    noted(&format!("trust server {host} answered 500"));
    server.set(Mood::Status(404));
    noted("the trust server has no trust data for it any more");
    server.set(Mood::Hang);
    noted(&format!("trust server {host} did not answer in 5 s"));
    server.close();
    noted(&format!("trust server {host} cannot be reached: connection refused"));
}

#[test]
fn without_server_and_cache_nothing_is_known() {
    let server = StaticServer::new(&["jenkins"]);
    let node = node(&server, r#""CI""#);
    let unknown = |what: &str| {
        let checked = node.check(&["--json", "localhost:5443/fx/jenkins:1.0"]);
        let report = checked.report();
        assert_eq!((checked.code, &report["code"]), (1, &json!("trust-data-unavailable")));
        let sentence = format!("localhost:5443/fx/jenkins:1.0 could not be checked: {what}\n");
        let message = report["message"].as_str().unwrap();
        assert!(message.starts_with(&sentence), "{message}");
    };
    let host = server.host();
    server.set(Mood::Status(503));
    unknown(&format!("trust server {host} answered 503"));
    server.set(Mood::Serve);
    fs::write(node.path("ca.pem"), StaticServer::new(&[]).ca).unwrap();
    unknown(&format!(
        "certificate of trust server {host} is not signed by the registered CA (UnknownIssuer)"
    ));
    server.close();
    unknown(&format!("trust server {host} cannot be reached: connection refused"));
}

#[test]
fn older_trust_data_is_not_taken_for_new() {
    let server = StaticServer::new(&["removed-tag/2-removed"]);
    let node = node(&server, r#""CI""#);
    let check = |tag: &str| {
        node.check(&["--json", &format!("localhost:5443/fx/removed-tag:{tag}")]).report()
    };
    assert_eq!(check("1.0")["code"], "not-signed");
    assert_eq!(check("2.0")["code"], "signed");

    server.publish("removed-tag/1-before");
    for (tag, code) in [("1.0", "not-signed"), ("2.0", "signed")] {
        let report = check(tag);
        assert_eq!(report["code"], code, "{report}");
        let told = report["notes"][0].as_str().unwrap();
        assert!(told.contains("timestamp went back to version 4; version 5 was seen"), "{told}");
    }
    // That it was seen outlives the files themselves.
    let kept = node.path("state/trust/localhost:5443/fx/removed-tag/_trust");
    fs::remove_file(kept.join("timestamp.json")).unwrap();
    assert_eq!(check("2.0")["code"], "trust-data-rollback");
}

#[test]
fn a_new_root_is_followed_and_an_old_one_is_not() {
    let server = StaticServer::new(&["rotated-root/1-before"]);
    let node = node(&server, "");
    let check = || node.check(&["--json", "localhost:5443/fx/rotated-root:1.0"]).report();
    // Only the owner signed, which is nobody in particular.
    assert_eq!(check()["code"], "signature-missing");
    server.requests();
    server.publish("rotated-root/3-after-four-rotations");
    assert_eq!(check()["code"], "signature-missing");
    let requests = server.requests();
    for version in 3..=5 {
        let file = format!("localhost:5443/fx/rotated-root/{version}.root.json");
        assert!(requests.contains(&file), "{requests:?}");
    }
    server.publish("rotated-root/1-before");
    let notes = check()["notes"].to_string();
    assert!(notes.contains("was refused"), "{notes}");
}

#[test]
fn a_login_is_used_where_it_is_asked_for() {
    // ann:secret
    const LOGIN: &str = "YW5uOnNlY3JldA==";
    let server = StaticServer::new(&["jenkins"]);
    let node = node(&server, r#""CI""#);
    let host = server.host();
    let check = || node.check(&["--json", "localhost:5443/fx/jenkins:1.0"]).report();
    for door in [Door::Basic(LOGIN), Door::Token(LOGIN)] {
        server.lock(door);
        let message = check()["message"].to_string();
        assert!(message.contains(&host) && message.contains("(401)"), "{door:?}: {message}");
    }
    let registry = "host_address = \"localhost:5443\"";
    let login = format!("{registry}\ndocker_config = \"config.json\"");
    node.configure(&policy(&server, r#""CI""#).replace(registry, &login));
    for (auth, code) in [("YW5uOndyb25n", "trust-data-unavailable"), (LOGIN, "signed")] {
        let config = json!({ "auths": { "localhost:5443": { "auth": auth } } });
        fs::write(node.path("config.json"), config.to_string()).unwrap();
        for door in [Door::Basic(LOGIN), Door::Token(LOGIN)] {
            server.lock(door);
            let report = check();
            assert_eq!(report["code"], code, "{door:?}: {report}");
            let _ = fs::remove_dir_all(node.path("state"));
        }
    }
}

#[tokio::test]
async fn a_warm_gate_asks_for_the_timestamp_alone() {
    let server = StaticServer::new(&["two-signers"]);
    let node = node(&server, r#""CI", "QA""#);
    let gate = gate(&node);
    assert_eq!(code(&gate, &format!("{TWO}:1.0")).await, "signed");
    let cold = server.requests();
    // Six files, and the earlier list that two of them could have been.
    assert_eq!(cold.len(), 8, "{cold:?}");
    for (tag, expected) in [("1.0", "signed"), ("2.0", "signature-missing"), ("9", "not-signed")] {
        assert_eq!(code(&gate, &format!("{TWO}:{tag}")).await, expected, "{tag}");
        assert_eq!(server.requests(), [format!("{TWO}/timestamp.json")], "{tag}");
    }
}

#[tokio::test]
async fn a_server_in_trouble_is_left_alone_while_the_cache_serves() {
    let server = StaticServer::new(&["two-signers", "jenkins"]);
    let node = node(&server, r#""CI""#);
    let gate = gate(&node);
    let (known, new) = (format!("{TWO}:1.0"), "localhost:5443/fx/jenkins:1.0");
    assert_eq!(code(&gate, &known).await, "signed");
    // An answer, however bad, may be about one repository alone: or anyone who can name
    // one could keep the server from being asked about others.
    server.set(Mood::Status(500));
    server.requests();
    for _ in 0..3 {
        assert_eq!(code(&gate, &known).await, "signed");
        assert_eq!(server.requests().len(), 1);
    }
    server.set(Mood::Hang);
    for asked in [1, 0, 0] {
        assert_eq!(code(&gate, &known).await, "signed");
        assert_eq!(server.requests().len(), asked);
    }
    // Where nothing serves, it is asked all the same, and found to be well again.
    server.set(Mood::Serve);
    assert_eq!(code(&gate, new).await, "signed");
    server.requests();
    assert_eq!(code(&gate, &known).await, "signed");
    assert_eq!(server.requests(), [format!("{TWO}/timestamp.json")]);
}

#[tokio::test]
async fn a_repository_that_was_deleted_is_told_of() {
    let server = StaticServer::new(&["two-signers"]);
    let node = node(&server, r#""CI""#);
    let gate = gate(&node);
    assert_eq!(code(&gate, &format!("{TWO}:1.0")).await, "signed");
    server.set(Mood::Status(404));
    let decision = gate.check(format!("{TWO}:1.0").parse().unwrap()).await;
    assert_eq!(decision.verdict.code(), "signed");
    let told = format!(
        "{TWO}: the trust server has no trust data for it any more; decided by what was verified \
         before"
    );
    assert_eq!(decision.notes, [told]);
}

#[tokio::test]
async fn many_questions_at_once_cause_one_download() {
    let server = StaticServer::new(&["two-signers"]);
    let node = node(&server, r#""CI""#);
    let gate = std::sync::Arc::new(gate(&node));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let gate = gate.clone();
        tasks.spawn(async move { code(&gate, &format!("{TWO}:1.0")).await });
    }
    for outcome in tasks.join_all().await {
        assert_eq!(outcome, "signed");
    }
    let requests = server.requests();
    let (timestamps, files): (Vec<_>, Vec<_>) =
        requests.iter().partition(|file| file.ends_with("/timestamp.json"));
    assert_eq!(files.len(), 7, "{files:?}");
    // Once for the first, once for all who asked while it was on its way.
    assert_eq!(timestamps.len(), 2);
}

#[tokio::test]
async fn a_revocation_is_seen_at_once() {
    let server = StaticServer::new(&["revoked-signer/1-before"]);
    let node = node(&server, r#""QA""#);
    let gate = gate(&node);
    let name = "localhost:5443/fx/revoked-signer:1.0";
    for (recording, expected) in [
        ("revoked-signer/1-before", "signed"),
        ("revoked-signer/2-alice-removed", "signature-missing"),
        // It cannot be taken back by going back.
        ("revoked-signer/1-before", "signature-missing"),
        ("revoked-signer/3-jenkins-removed-too", "not-signed"),
    ] {
        server.publish(recording);
        assert_eq!(code(&gate, name).await, expected, "{recording}");
    }
}

#[test]
fn a_fault_of_the_configuration_has_a_place() {
    let users = data().join("users");
    let alice = users.join("alice/cert.pem").display().to_string();
    let trust = "[trust_configuration]\nrequire_content_trust = true\n";
    for (config, place, what) in [
        ("[trust_configuration\n".to_owned(), "1:21", "unclosed table"),
        (format!("{trust}require_signatures = []\n"), "3:1", "unknown field"),
        (format!("{trust}[teams]\nCI = [\"ann\"]\n"), "4:7", "who is not in [users]"),
        (
            format!("{trust}[users.ann]\ncertificates = [\"gone.pem\"]\n"),
            "4:17",
            "cannot read gone.pem: No such file",
        ),
        (
            format!("{trust}[users.ann]\ncertificates = [\"countersign.toml\"]\n"),
            "4:17",
            "countersign.toml: no readable PEM certificate",
        ),
        (
            format!(
                "{trust}[users]\nann.certificates = [{alice:?}]\nbob.certificates = [{alice:?}]\n"
            ),
            "5:21",
            "is also \"ann\"'s",
        ),
        (
            format!("{trust}[users.ann]\ncertificates = [{alice:?}]\nrevoked = [\"1fd1\"]\n"),
            "5:12",
            "\"1fd1\" is not a key ID",
        ),
        (format!("{trust}require_signature_from = [\"CI\"]\n"), "3:27", "there is no team \"CI\""),
        (
            format!("{trust}[[registries]]\nhost_address = \"https://h.io\"\n"),
            "4:16",
            "without scheme or path",
        ),
        (
            format!("{trust}[[registries]]\nhost_address = \"h.io\"\nroot_pins = [\"x\"]\n"),
            "5:14",
            "is not a key ID",
        ),
        (format!("{trust}[api]\nbuilds = true\n"), "4:1", "unknown key \"builds\" in [api]"),
    ] {
        let node = Node::new(&config);
        let checked = node.check(&["h.io/app:1"]);
        let file = node.path("countersign.toml").display().to_string();
        assert_eq!((checked.code, checked.out.as_str()), (2, ""), "{config}");
        let start = format!("countersign: {file}:{place}: ");
        assert!(checked.err.starts_with(&start), "{config}: {}, not {place}", checked.err);
        assert!(checked.err.contains(what), "{config}: {}", checked.err);
    }
}

#[test]
fn what_cannot_be_decided_has_a_code_of_its_own() {
    let node = Node::new("[trust_configuration]\nrequire_content_trust = true\n");
    let hex = "1fd16d35058792460f3377736f8654d08a7afce18d4ac97282dfa5709c605fdd";
    for (arguments, said) in [
        (&[][..], "required arguments"),
        (&["--ofline", "x"], "unexpected argument '--ofline'"),
        (&["good", "Bad"], "\"Bad\" is not an image name: "),
        (&[hex], "64 hex digits are an image ID, not a name"),
        (&[&format!("sha256:{hex}")], "64 hex digits are an image ID, not a name"),
    ] {
        let checked = node.check(arguments);
        assert_eq!((checked.code, checked.out.as_str()), (2, ""), "{arguments:?}");
        assert!(checked.err.contains(said), "{arguments:?}: {}", checked.err);
    }
    fs::write(node.path("state"), "").unwrap();
    let checked = node.check(&["x"]);
    assert_eq!((checked.code, checked.out.as_str()), (2, ""));
    assert!(
        checked.err.starts_with("countersign: the state directory cannot be used"),
        "{}",
        checked.err
    );
    fs::remove_file(node.path("countersign.toml")).unwrap();
    let checked = node.check(&["x"]);
    let file = node.path("countersign.toml").display().to_string();
    assert_eq!((checked.code, checked.out.as_str()), (2, ""));
    assert!(
        checked.err.starts_with(&format!("countersign: cannot read {file}: ")),
        "{}",
        checked.err
    );
}
