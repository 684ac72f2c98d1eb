//! `countersign check`: what the plugin would say, before anybody asks the engine.

use serde_json::{Value, json};

use crate::node::{Engine, Files, Node, check};
use crate::outcome::{NOT_MET, no_trust_data};
use crate::policy::Policy;
use crate::relay::Relay;
use crate::stage::Stage;

crate::stories![
    tells_a_person_what_would_run,
    tells_a_program_what_would_run,
    decides_offline_by_what_is_remembered,
    a_user_may_be_known_by_the_authority_of_their_certificate,
];

/// `:1` signed by jenkins, who is CI; `:2` by moby, who is known but in no team.
fn two_tags(stage: &Stage) -> (String, Policy) {
    let (lab, app) = (stage.lab(), stage.repository("app"));
    stage.admit(&app, &["jenkins", "moby"]);
    stage.push_signed(&format!("{app}:1"), "signed by CI", "jenkins");
    stage.push_signed(&format!("{app}:2"), "by moby", "moby");
    let policy = Policy::requiring(lab, &["CI"])
        .team("CI", &["jenkins"])
        .user(lab, "jenkins")
        .user(lab, "moby");
    (app, policy)
}

fn files(stage: &Stage, policy: &Policy) -> Files {
    Files::new(stage, &policy.to_string(), &Engine::absent(stage))
}

fn tells_a_person_what_would_run(stage: &Stage) {
    let (app, policy) = two_tags(stage);
    let files = files(stage, &policy);
    let unregistered = "docker.io must be a registered trusted registry";

    check(stage, &files, &format!("{app}:1")).expect_code(0).and_says(format!("{app}:1"));
    check(stage, &files, &format!("{app}:2"))
        .expect_code(1)
        .and_says(NOT_MET)
        .and_says("team CI (jenkins)")
        .and_says("moby in targets/moby");
    check(stage, &files, &format!("{app}:1 {app}:3 busybox"))
        .expect_code(1)
        .and_says(no_trust_data(&format!("{app}:3")))
        .and_says(unregistered);

    // What cannot be decided is neither.
    check(stage, &files, "").expect_code(2);
    check(stage, &files, "Not/A:Reference").expect_code(2);
    check(stage, &files, "--no-such-option busybox").expect_code(2);
}

fn tells_a_program_what_would_run(stage: &Stage) {
    let (app, policy) = two_tags(stage);
    let files = files(stage, &policy);
    let outcome = check(stage, &files, &format!("--json {app}:1 {app}:2 busybox")).expect_code(1);
    let [allowed, denied, unregistered] = outcome.json_lines().try_into().expect("one line each");

    let said =
        |of: &Value, key: &str| of.get(key).cloned().unwrap_or_else(|| panic!("{key}: {of}"));
    assert_eq!(said(&allowed, "reference"), json!(format!("{app}:1")));
    assert_eq!(said(&allowed, "verdict"), json!("allow"));
    assert_eq!(said(&allowed, "digest"), json!(stage.digest(&format!("{app}:1"))));
    assert_eq!(said(&allowed, "missing_teams"), json!([]));
    let signer = &said(&allowed, "signers")[0];
    assert_eq!(signer["user"], json!("jenkins"));
    assert_eq!(signer["teams"], json!(["CI"]));
    assert_eq!(signer["role"], json!("targets/jenkins"));
    assert_eq!(signer["key_id"].as_str().map(str::len), Some(64));

    assert_eq!(said(&denied, "verdict"), json!("deny"));
    assert_eq!(said(&denied, "code"), json!("signature-missing"));
    assert_eq!(said(&denied, "missing_teams"), json!(["CI"]));
    assert_eq!(said(&denied, "signers")[0]["user"], json!("moby"));
    assert!(said(&denied, "message").as_str().unwrap().starts_with(NOT_MET));

    assert_eq!(said(&unregistered, "verdict"), json!("deny"));
    assert_eq!(said(&unregistered, "code"), json!("unregistered-registry"));

    check(stage, &files, &format!("--json {app}:1")).expect_code(0);
}

fn decides_offline_by_what_is_remembered(stage: &Stage) {
    let (app, policy) = two_tags(stage);
    let relay = Relay::to(stage.lab().trust_port());
    let policy = policy.trust_server(relay.url());
    let image = format!("{app}:1");
    check(stage, &files(stage, &policy), &format!("--offline {image}"))
        .expect_failure()
        .and_never_says("unsigned")
        .and_never_says("signing policy");

    // The plugin's own memory will do, while the plugin runs.
    let node = Node::obeying(stage, &policy);
    node.docker(format!("pull {image}")).expect_ok();
    relay.refuse();
    node.plugin.check(format!("--offline {image}")).expect_code(0);
    node.plugin.check(format!("--offline {app}:2")).expect_code(1).and_says(NOT_MET);
}

/// No certificate of jenkins is on the node; the authority vouches for the name in it.
fn a_user_may_be_known_by_the_authority_of_their_certificate(stage: &Stage) {
    let (lab, app) = (stage.lab(), stage.repository("app"));
    stage.admit(&app, &["jenkins", "moby"]);
    stage.push_signed(&format!("{app}:1"), "signed by CI", "jenkins");
    stage.push_signed(&format!("{app}:2"), "by moby", "moby");
    let policy = Policy::requiring(lab, &["CI"]).team("CI", &["jenkins"]).users_ca(lab.client_ca());

    let node = Node::obeying(stage, &policy);
    node.docker(format!("run --rm {app}:1")).expect_ok().and_says("signed by CI");
    node.docker(format!("run --rm {app}:2"))
        .expect_denied(NOT_MET)
        .and_says("moby in targets/moby");

    // Another authority vouches for nobody.
    let stranger = Policy::requiring(lab, &["CI"]).team("CI", &["jenkins"]).users_ca(lab.ca());
    check(stage, &files(stage, &stranger), &format!("{app}:1")).expect_code(1).and_says(NOT_MET);
}
