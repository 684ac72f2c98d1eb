//! The world fails: what is told then, and what goes on working. A fault is never told as a
//! missing signature.

use std::time::Duration;

use crate::node::{Engine, Files, Node, check};
use crate::outcome::no_trust_data;
use crate::policy::Policy;
use crate::relay::Relay;
use crate::stage::Stage;

crate::stories![
    a_trust_server_that_is_down_is_named,
    what_is_remembered_serves_while_the_trust_server_is_down,
    a_trust_server_that_hangs_is_waited_for_in_bounds,
    a_trust_server_with_a_certificate_of_another_ca_is_not_believed,
    a_file_that_is_no_policy_is_told_with_its_place,
];

/// A repository with one signed tag, `:1`, a wire to the trust server that can be cut, and a
/// policy under which the tag runs.
pub fn signed(stage: &Stage) -> (String, Relay, Policy) {
    let app = stage.repository("app");
    stage.admit(&app, &["jenkins"]);
    stage.push_signed(&format!("{app}:1"), "hello", "jenkins");
    let lab = stage.lab();
    let relay = Relay::to(lab.trust_port());
    let policy = Policy::requiring(lab, &["CI"])
        .team("CI", &["jenkins"])
        .user(lab, "jenkins")
        .trust_server(relay.url());
    (format!("{app}:1"), relay, policy)
}

fn a_trust_server_that_is_down_is_named(stage: &Stage) {
    let (image, relay, policy) = signed(stage);
    let node = Node::obeying(stage, &policy);
    relay.refuse();
    for command in ["pull", "run --rm"] {
        node.docker(format!("{command} {image}"))
            .expect_failure()
            .and_says("authorization denied by plugin")
            .and_says(relay.url().trim_start_matches("https://"))
            .and_never_says("unsigned")
            .and_never_says("sign it")
            .and_never_says("does not exist")
            .and_never_says("signing policy");
    }
    relay.pass();
    node.docker(format!("run --rm {image}")).expect_ok().and_says("hello");
}

fn what_is_remembered_serves_while_the_trust_server_is_down(stage: &Stage) {
    let (image, relay, policy) = signed(stage);
    let mut node = Node::obeying(stage, &policy);
    node.docker(format!("run --rm {image}")).expect_ok();
    relay.refuse();
    node.docker(format!("run --rm {image}")).expect_ok().and_says("hello");

    // Also by a plugin that has only the files of the one before it.
    node.plugin.signal("TERM");
    node.plugin.await_end();
    node.plugin.start_again();
    node.docker(format!("run --rm {image}")).expect_ok().and_says("hello");

    // And what is known to be unsigned stays so.
    let other = image.replace(":1", ":2");
    node.docker(format!("run --rm {other}")).expect_denied(&no_trust_data(&other));
}

fn a_trust_server_that_hangs_is_waited_for_in_bounds(stage: &Stage) {
    let (image, relay, policy) = signed(stage);
    let node = Node::obeying(stage, &policy);
    relay.hold();
    node.docker(format!("pull {image}"))
        .expect_failure()
        .and_within(Duration::from_secs(8))
        .and_says("authorization denied by plugin")
        .and_says(relay.url().trim_start_matches("https://"))
        .and_never_says("unsigned");
    relay.pass();
    node.docker(format!("run --rm {image}")).expect_ok();
    relay.hold();
    node.docker(format!("run --rm {image}")).expect_ok().and_within(Duration::from_secs(16));
}

fn a_trust_server_with_a_certificate_of_another_ca_is_not_believed(stage: &Stage) {
    let (image, relay, policy) = signed(stage);
    let node = Node::obeying(stage, &policy.ca(stage.lab().client_ca()));
    node.docker(format!("pull {image}"))
        .expect_failure()
        .and_says("authorization denied by plugin")
        .and_says(relay.url().trim_start_matches("https://"))
        .and_says("certificate")
        .and_never_says("unsigned")
        .and_never_says("does not exist");
}

fn a_file_that_is_no_policy_is_told_with_its_place(stage: &Stage) {
    let lab = stage.lab();
    let good = Policy::requiring(lab, &["CI"]).team("CI", &["jenkins"]).user(lab, "jenkins");
    let missing = stage.dir().join("missing.pem");
    let text = good.to_string();
    let line_of = |what: &str| {
        let before = text.split(what).next().expect("always one");
        before.matches('\n').count() + 1
    };
    let (teams, require) = (line_of("CI = "), line_of("require_signature"));
    let certificates = line_of("certificates");

    for (file, place, cause) in [
        (text.replace("require_signature", "reqire_signature"), require, "unknown field"),
        (text.replace("CI = [", "CI = "), teams, ""),
        (text.replace("CI = [\"jenkins\"]", "CI = [\"jenkin\"]"), teams, "jenkin"),
        (text.replace("[\"CI\"]", "[\"QA\"]"), require, "no team"),
        (
            good.clone().user_known_by("alice", missing.clone()).to_string(),
            text.lines().count() + 3,
            "missing.pem",
        ),
        (text.replace("cert.pem", "key.pem"), certificates, "private key"),
        (text.replace("localhost", "http://localhost"), line_of("host_address"), ""),
    ] {
        let engine = Engine::absent(stage);
        let files = Files::new(stage, &file, &engine);
        let place = format!("{}:{place}:", files.policy.display());
        check(stage, &files, "busybox").expect_code(2).and_says(&place).and_says(cause);

        let socket = stage.dir().join("never.sock");
        let mut serve = files.serve(&["timeout", "20"]);
        stage.run("countersign serve", serve.arg("--socket").arg(&socket)).expect_code(2);
        assert!(!socket.exists(), "who cannot read the policy does not listen");
    }
}
