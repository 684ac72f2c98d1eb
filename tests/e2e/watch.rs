//! Containers that no call has started.

use std::time::Duration;

use crate::node::{Engine, Node};
use crate::policy::Policy;
use crate::relay::Relay;
use crate::stage::Stage;
use crate::wire::Request;

crate::stories![
    what_a_restart_policy_starts_is_reported_or_stopped,
    what_was_made_of_no_image_is_stopped,
    what_cannot_be_checked_is_not_stopped,
    what_swarm_starts_is_reported_or_stopped,
];

const REPORTED: &str = "a container runs that may not";
const KILLED: &str = "a container that may not run: killed";
const UNCHECKED: &str = "could not be checked";

/// A repository with a signed tag, `:1`, and one that nobody signed, `:other`; and a policy under
/// which the first one runs.
fn scene(stage: &Stage) -> (String, Policy) {
    let (app, policy) = stage.signed_app();
    stage.push_unsigned(&format!("{app}:other"), "gotcha");
    (app, policy)
}

fn running(node: &Node<'_>) -> String {
    node.docker("ps --format {{.Names}}").expect_ok().text().to_owned()
}

/// Ends the plugin, and starts it with another policy.
fn change(node: &mut Node<'_>, policy: &Policy) {
    node.plugin.signal("TERM");
    assert_eq!(node.plugin.await_end().code(), Some(0));
    node.plugin.start_obeying(policy);
}

fn what_a_restart_policy_starts_is_reported_or_stopped(stage: &Stage) {
    let (app, policy) = scene(stage);
    let engine = Engine::unguarded(stage);
    let run = "run --detach --restart always --name";
    let old = engine.docker(format!("{run} old {app}:other sleep 1000")).expect_ok();
    engine.docker(format!("{run} good {app}:1 sleep 1000")).expect_ok();
    let old = old.text();

    // The engine starts both before it knows of any plugin.
    let mut node = Node::guarding(stage, engine, &policy);
    let image = format!("image=\"{app}:other");
    let told = [REPORTED, old, "name=\"old\"", &image, "code=\"not-signed\"", "WARN"];
    node.plugin.await_log(&told, 1);
    assert_eq!(running(&node), "good\nold");
    stage.script(&["engine", "restart", node.engine.name()]);
    node.plugin.await_log(&["looking at the containers that run"], 2);
    node.docker(format!("run --rm {app}:1")).expect_ok();
    assert_eq!(node.plugin.logged(&[REPORTED]).len(), 1, "once is enough");
    assert_eq!(node.plugin.logged(&["waiting for the engine"]).len(), 2, "once each time");

    change(&mut node, &policy.on_violation("stop"));
    node.plugin.await_log(&[KILLED, old], 1);
    node.engine.await_answer("ps --format {{.Names}}", |names| names.text() == "good");
    node.docker("start old").expect_failure().and_says("authorization denied by plugin");
    assert_eq!(node.plugin.logged(&[KILLED]).len(), 1);
}

/// Engines make such containers; what they run is uploaded into them.
fn what_was_made_of_no_image_is_stopped(stage: &Stage) {
    let (_, policy) = scene(stage);
    let engine = Engine::unguarded(stage);
    let bare = r#"{"Image": "", "Cmd": ["/busybox", "sleep", "1000"],
        "HostConfig": {"NetworkMode": "none", "RestartPolicy": {"Name": "always"}}}"#;
    let made = Request::json("POST", "/containers/create?name=bare", bare)
        .send(&engine.socket(), Duration::from_secs(30));
    assert_eq!(made.status(), Some(201), "{made}");
    engine.docker("cp /bin/busybox bare:/busybox").expect_ok();
    engine.docker("start bare").expect_ok();

    let node = Node::guarding(stage, engine, &policy.on_violation("stop"));
    node.plugin.await_log(&[KILLED, "name=\"bare\"", "code=\"no-image\""], 1);
    node.engine.await_answer("ps --quiet", |ids| ids.text().is_empty());
    node.docker("start bare")
        .expect_denied("container bare was made of no image, so nobody can have signed it");
}

fn what_cannot_be_checked_is_not_stopped(stage: &Stage) {
    let (app, policy) = scene(stage);
    let relay = Relay::to(stage.lab().trust_port());
    let policy = policy.trust_server(relay.url()).on_violation("stop");
    let engine = Engine::unguarded(stage);
    let run = "run --detach --restart always --name";
    engine.docker(format!("{run} old {app}:other sleep 1000")).expect_ok();

    relay.refuse();
    let mut node = Node::guarding(stage, engine, &policy);
    node.plugin.await_log(&[UNCHECKED, "name=\"old\"", "code=\"trust-data-unavailable\""], 1);
    assert_eq!(node.plugin.logged(&[KILLED]).len() + node.plugin.logged(&[REPORTED]).len(), 0);
    assert_eq!(running(&node), "old");

    relay.pass();
    change(&mut node, &policy);
    node.plugin.await_log(&[KILLED, "name=\"old\""], 1);
    node.engine.await_answer("ps --quiet", |ids| ids.text().is_empty());
}

fn what_swarm_starts_is_reported_or_stopped(stage: &Stage) {
    let (app, policy) = scene(stage);
    let engine = Engine::unguarded(stage);
    engine.docker("swarm init --advertise-addr 127.0.0.1 --listen-addr 127.0.0.1:2377").expect_ok();
    for (service, tag) in [("good", "1"), ("tasks", "other")] {
        let create = format!("service create --detach --name {service} --restart-delay 1s");
        engine.docker(format!("{create} {app}:{tag} sleep 1000")).expect_ok();
        engine.await_answer("ps --format {{.Names}}", |names| names.text().contains(service));
    }

    let mut node = Node::guarding(stage, engine, &policy);
    let task = || {
        let ids = "ps --quiet --no-trunc --filter name=tasks";
        let found = node.engine.await_answer(ids, |ids| !ids.text().is_empty());
        found.text().to_owned()
    };
    let first = task();
    node.plugin.await_log(&[REPORTED, &first, "name=\"tasks.1.", "code=\"not-signed\""], 1);
    assert_eq!(task(), first, "it is only told");
    // Swarm starts another one, and that one is told as well.
    node.docker(format!("kill {first}")).expect_ok();
    let second = task();
    assert_ne!(first, second);
    node.plugin.await_log(&[REPORTED, &second], 1);

    change(&mut node, &policy.on_violation("stop"));
    // Whatever swarm puts in its place ends as well.
    node.plugin.await_log(&[KILLED, &second], 1);
    node.plugin.await_log(&[KILLED, "name=\"tasks.1."], 3);
    assert_eq!(node.plugin.logged(&["name=\"good.1."]), [""; 0]);
    assert!(running(&node).contains("good.1."));
}
