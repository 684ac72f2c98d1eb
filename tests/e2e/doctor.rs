//! `countersign doctor` on nodes that are guarded, and on some that only look it.

use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use crate::node::{COUNTERSIGN, Engine, Node, Plugin};
use crate::outcome::Outcome;
use crate::policy::Policy;
use crate::stage::Stage;

crate::stories![
    proves_that_a_node_is_guarded,
    finds_the_flag_and_proves_that_a_reload_lost_it,
    tells_an_engine_that_knows_no_plugin,
];

fn policy(stage: &Stage) -> Policy {
    let lab = stage.lab();
    Policy::requiring(lab, &["CI"]).team("CI", &["jenkins"]).user(lab, "jenkins")
}

/// Examines a node, as a program would read it.
fn doctor(stage: &Stage, engine: &Engine<'_>, plugin: &Plugin<'_>) -> Outcome {
    let mut command = Command::new("timeout");
    command
        .args(["60", COUNTERSIGN, "doctor", "--json", "--plugin", plugin.name(), "--config"])
        .arg(&plugin.files().policy)
        .arg("--state-dir")
        .arg(&plugin.files().state)
        .arg("--engine")
        .arg(engine.socket())
        .stdin(Stdio::null());
    stage.run("countersign doctor --json", &mut command)
}

/// How a finding starts.
fn finding(id: &str, severity: &str) -> String {
    format!(r#"{{"id":"{id}","severity":"{severity}","#)
}

fn proves_that_a_node_is_guarded(stage: &Stage) {
    let app = stage.repository("app");
    stage.admit(&app, &["jenkins"]);
    stage.push_signed(&format!("{app}:1"), "hello", "jenkins");
    let node = Node::obeying(stage, &policy(stage));
    node.docker(format!("run --rm {app}:1")).expect_ok();
    let mut examined = doctor(stage, &node.engine, &node.plugin);
    for id in [
        "engine.answers",
        "engine.grpc",
        "engine.tcp",
        "plugin.socket",
        "plugin.answers",
        "plugin.configured",
        "plugin.listed",
        "plugin.asked",
        "plugin.managed",
        "policy.loads",
        "trust.state-dir",
        "trust.stored",
        "server.answers",
        "host.clock",
    ] {
        examined = examined.and_says(finding(id, "ok"));
    }
    examined.and_says("trust data of 1 repository is kept and in date");
}

fn finds_the_flag_and_proves_that_a_reload_lost_it(stage: &Stage) {
    let engine = Engine::absent(stage);
    let plugin = Plugin::start(stage, &policy(stage), &engine);
    engine.start(&["--plugin", plugin.name(), "--flag"]);
    doctor(stage, &engine, &plugin)
        .expect_code(2)
        .and_says(finding("plugin.configured", "problem"))
        .and_says(finding("plugin.asked", "ok"));

    let pid = stage.script(&["engine", "pid", engine.name()]);
    let reload = format!("kill -HUP {}", pid.text());
    stage.run(&reload, Command::new("bash").args(["-c", &reload])).expect_ok();
    thread::sleep(Duration::from_secs(1));
    doctor(stage, &engine, &plugin)
        .expect_code(2)
        .and_says(finding("plugin.listed", "ok"))
        .and_says(finding("plugin.asked", "problem"));
}

fn tells_an_engine_that_knows_no_plugin(stage: &Stage) {
    let engine = Engine::unguarded(stage);
    let plugin = Plugin::start(stage, &policy(stage), &engine);
    doctor(stage, &engine, &plugin)
        .expect_code(2)
        .and_says(finding("plugin.answers", "ok"))
        .and_says(finding("plugin.configured", "problem"))
        .and_says(finding("plugin.listed", "problem"))
        .and_says(finding("plugin.asked", "problem"));
}
