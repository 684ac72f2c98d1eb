//! Names that mean something else by the time the engine looks them up. A trust server that
//! answers late makes the moment between the plugin's look and the engine's as long as a story
//! needs.
//!
//! What is renamed while it runs has no network: engine 28.5 renames it in its network too, and
//! the lab's engines have no bridge.

use std::thread;
use std::time::Duration;

use crate::node::{Engine, Node};
use crate::outcome::NOT_MET;
use crate::policy::Policy;
use crate::relay::Relay;
use crate::stage::Stage;

crate::stories![
    a_tag_moved_while_a_container_is_made_of_it,
    a_tag_loaded_while_a_container_is_made_or_started,
    a_tag_committed_while_a_container_is_made_or_started,
    a_name_given_away_while_it_is_started,
    a_start_that_takes_long_keeps_names_and_nothing_else,
];

/// An engine that holds a signed image, `app:1`, and one that nobody signed, `app:other`; a wire
/// to the trust server; and a policy under which `app:1` runs.
struct Scene<'a> {
    engine: Engine<'a>,
    app: String,
    relay: Relay,
    policy: Policy,
}

fn scene(stage: &Stage) -> Scene<'_> {
    let app = stage.repository("app");
    stage.admit(&app, &["jenkins"]);
    stage.push_signed(&format!("{app}:1"), "hello", "jenkins");
    stage.push_unsigned(&format!("{app}:other"), "gotcha");
    let engine = Engine::unguarded(stage);
    for tag in ["1", "other"] {
        engine.docker(format!("pull {app}:{tag}")).expect_ok();
    }
    let lab = stage.lab();
    let relay = Relay::to(lab.trust_port());
    let policy = Policy::requiring(lab, &["CI"])
        .team("CI", &["jenkins"])
        .user(lab, "jenkins")
        .trust_server(relay.url())
        // The stories hold what a decision asks.
        .asking_always();
    Scene { engine, app, relay, policy }
}

fn a_tag_moved_while_a_container_is_made_of_it(stage: &Stage) {
    let Scene { engine, app, relay, policy } = scene(stage);
    // Who may load images may name them as they like.
    let policy = policy.with("[api]\nload = true");
    let node = Node::guarding(stage, engine, &policy);

    relay.hold();
    let create = node.engine.in_background(&format!("create --name raced {app}:1"));
    relay.wait_for_a_question();
    node.docker(format!("tag {app}:other {app}:1")).expect_ok();
    relay.pass();

    create.outcome(stage).expect_denied(NOT_MET).and_says("stands under that name on this engine");
    node.docker("start raced").expect_failure();
    assert_eq!(node.docker("ps --all --quiet").expect_ok().text(), "", "it was removed");
    node.docker(format!("create --name raced {app}:1")).expect_denied(NOT_MET);
    node.docker(format!("pull {app}:1")).expect_ok();
    node.docker(format!("create --name raced {app}:1")).expect_ok();
}

/// The archive holds another image under the signed name.
fn a_tag_loaded_while_a_container_is_made_or_started(stage: &Stage) {
    let scene = scene(stage);
    let archive = stage.dir().join("other.tar").display().to_string();
    let app = &scene.app;
    for command in [
        format!("tag {app}:1 kept:1"),
        format!("tag {app}:other {app}:1"),
        format!("save --output {archive} {app}:1"),
        format!("tag kept:1 {app}:1"),
    ] {
        scene.engine.docker(command).expect_ok();
    }
    moved_while_made_or_started(stage, scene, &format!("load --input {archive}"));
}

/// A container of the unsigned image becomes another image under the signed name.
fn a_tag_committed_while_a_container_is_made_or_started(stage: &Stage) {
    let scene = scene(stage);
    scene.engine.docker(format!("create --name worse {}:other", scene.app)).expect_ok();
    let commit = format!("commit worse {}:1", scene.app);
    moved_while_made_or_started(stage, scene, &commit);
}

/// What is made is judged by the image it was really made of; what is started has its image
/// already, whatever the name means by then.
#[track_caller]
fn moved_while_made_or_started(stage: &Stage, scene: Scene<'_>, moves: &str) {
    let Scene { engine, app, relay, policy } = scene;
    engine.docker(format!("create --name made {app}:1")).expect_ok();
    let opened = policy.with("[api]\nload = true\ncommit = true");
    let node = Node::guarding(stage, engine, &opened);
    let image = format!("inspect --format {{{{.Id}}}} {app}:1");
    let signed = node.docker(&image).expect_ok().text().to_owned();

    relay.hold();
    let start = node.engine.in_background("start --attach made");
    relay.wait_for_a_question();
    node.docker(moves).expect_ok();
    relay.pass();
    start.outcome(stage).expect_ok().and_says("hello").and_never_says("gotcha");
    assert_ne!(node.docker(&image).expect_ok().text(), signed, "the name means another image");

    node.docker(format!("pull {app}:1")).expect_ok();
    assert_eq!(node.docker(&image).expect_ok().text(), signed);
    relay.hold();
    let create = node.engine.in_background(&format!("create --name raced {app}:1"));
    relay.wait_for_a_question();
    node.docker(moves).expect_ok();
    relay.pass();
    create.outcome(stage).expect_denied(NOT_MET).and_says("stands under that name on this engine");
    node.docker("start raced").expect_failure();
    assert!(!node.docker("ps --all").expect_ok().text().contains("raced"), "it was removed");
}

fn a_name_given_away_while_it_is_started(stage: &Stage) {
    let Scene { engine, app, relay, policy } = scene(stage);
    engine.docker(format!("create --network none --name web {app}:1 sleep 1000")).expect_ok();
    engine.docker(format!("create --network none --name worse {app}:other sleep 1000")).expect_ok();
    let image_of = |engine: &Engine<'_>, name: &str| {
        let inspect =
            format!("inspect --format {{{{.State.Running}}}},{{{{.Config.Image}}}} {name}");
        engine.docker(inspect).expect_ok().text().to_owned()
    };
    let node = Node::guarding(stage, engine, &policy);

    relay.hold();
    let start = node.engine.in_background("start web");
    relay.wait_for_a_question();
    let renames = node.engine.in_background("rename web aside");
    thread::sleep(Duration::from_secs(1));
    assert_eq!(image_of(&node.engine, "web"), format!("false,{app}:1"), "renames wait");
    relay.pass();
    start.outcome(stage).expect_ok();
    renames.outcome(stage).expect_ok();
    node.docker("rename worse web").expect_ok();

    assert_eq!(image_of(&node.engine, "aside"), format!("true,{app}:1"));
    assert_eq!(image_of(&node.engine, "web"), format!("false,{app}:other"));
    node.docker("start web").expect_failure().and_says("authorization denied by plugin");
    let id = node.docker("inspect --format {{.Id}} web").expect_ok();
    let rename = format!("rename aside {}", id.text());
    node.docker(rename).expect_failure().and_says("could be taken for the one that has this ID");
}

/// A restart is over when the container has stopped and started: this one ignores its signal.
fn a_start_that_takes_long_keeps_names_and_nothing_else(stage: &Stage) {
    let Scene { engine, app, relay: _relay, policy } = scene(stage);
    let node = Node::guarding(stage, engine, &policy);
    let run = "run --detach --network none --stop-signal USR1 --name slow";
    let id = node.docker(format!("{run} {app}:1 sleep 1000")).expect_ok();
    node.docker(format!("create --network none --name quick {app}:1 sleep 1000")).expect_ok();

    let restart = node.engine.in_background("restart --time 18 slow");
    thread::sleep(Duration::from_secs(1));
    let soon = Duration::from_secs(5);
    node.docker("start quick").expect_ok().and_within(soon);
    node.docker(format!("start {}", id.text())).expect_ok().and_within(soon);
    node.docker(format!("run --rm {app}:1")).expect_ok().and_within(soon);
    node.docker("rename quick other")
        .expect_denied(
            "containers keep their names while one is being started or changed by its name",
        )
        .and_says("to do: try again when that is done")
        .and_within(Duration::from_secs(12));
    restart.outcome(stage).expect_ok();
    node.docker("rename quick other").expect_ok().and_within(soon);
}
