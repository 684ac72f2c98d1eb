//! What a guarded engine is used for on an ordinary day, and what it does not do any more.

use std::thread;
use std::time::Duration;

use crate::node::Node;
use crate::policy::Policy;
use crate::stage::Stage;

crate::stories![
    containers_live_as_before,
    standard_input_and_attaching_pass_through,
    many_calls_at_once_are_answered,
    networks_and_volumes_are_made_as_before,
    what_goes_around_signatures_is_refused,
    what_the_operator_opens_is_allowed,
];

/// A signed image, and a policy under which it runs.
fn signed(stage: &Stage) -> (String, Policy) {
    let (app, policy) = stage.signed_app();
    (format!("{app}:1"), policy)
}

fn containers_live_as_before(stage: &Stage) {
    let (image, policy) = signed(stage);
    let node = Node::obeying(stage, &policy);
    let out = stage.dir().join("text");

    node.docker("version").expect_ok();
    node.docker("info").expect_ok().and_says(node.plugin.name());
    node.docker(format!("run --detach --name one {image} sleep 1000")).expect_ok();
    node.docker("ps").expect_ok().and_says("one");
    node.docker("exec one cat /text").expect_ok().and_says("hello");
    node.docker("top one").expect_ok().and_says("sleep");
    node.docker("stats --no-stream one").expect_ok();
    node.docker(format!("cp one:/text {}", out.display())).expect_ok();
    assert_eq!(std::fs::read_to_string(out).unwrap(), "hello\n");
    node.docker("rename one first").expect_ok();
    node.docker("pause first").expect_ok();
    node.docker("unpause first").expect_ok();
    node.docker("stop first").expect_ok();
    node.docker("start first").expect_ok();
    node.docker("restart first").expect_ok();
    node.docker("kill first").expect_ok();
    node.docker("wait first").expect_ok();
    node.docker("inspect first").expect_ok();
    node.docker("diff first").expect_ok();
    node.docker("rm first").expect_ok();

    node.docker(format!("run --name two {image}")).expect_ok();
    node.docker("logs two").expect_ok().and_says("hello");
    let events = "events --since 5m --until 0s --filter container=two";
    node.engine.await_answer(events, |events| events.text().contains("container die"));
    node.docker("container prune --force").expect_ok();
    node.docker("images").expect_ok().and_says("app");
    node.docker(format!("history {image}")).expect_ok();
    node.docker(format!("rmi {image}")).expect_ok();
    node.docker("system df").expect_ok();
    assert_eq!(node.docker("ps --all --quiet").expect_ok().text(), "");
}

fn standard_input_and_attaching_pass_through(stage: &Stage) {
    let (image, policy) = signed(stage);
    let node = Node::obeying(stage, &policy);

    let cat = format!("run --interactive --rm {image} cat");
    node.engine
        .docker_with_input(&cat, "through the engine")
        .expect_ok()
        .and_says("through the engine");

    node.docker(format!("create --name late {image} cat /text")).expect_ok();
    node.docker("start --attach late").expect_ok().and_says("hello");

    node.docker(format!("run --detach --name ticking {image} busybox top -b -d 0.2")).expect_ok();
    let attached = node.engine.in_background("attach --no-stdin ticking");
    thread::sleep(Duration::from_secs(1));
    node.docker("kill ticking").expect_ok();
    attached.outcome(stage).and_says("CPU");
}

fn many_calls_at_once_are_answered(stage: &Stage) {
    let (image, policy) = signed(stage);
    let node = Node::obeying(stage, &policy);
    node.docker(format!("pull {image}")).expect_ok();
    let runs: Vec<_> = (0..12)
        .map(|number| node.engine.in_background(&format!("run --name many-{number} {image}")))
        .collect();
    let refused: Vec<_> =
        (0..12).map(|_| node.engine.in_background("run --rm quay.example/team/app")).collect();
    for run in runs {
        run.outcome(stage).expect_ok().and_says("hello");
    }
    for run in refused {
        run.outcome(stage).expect_denied("quay.example must be a registered trusted registry");
    }
}

fn networks_and_volumes_are_made_as_before(stage: &Stage) {
    let (image, policy) = signed(stage);
    let node = Node::obeying(stage, &policy);

    node.docker("volume create data").expect_ok();
    node.docker(format!("run --rm --volume data:/data {image} cat /text")).expect_ok();
    node.docker("volume ls").expect_ok().and_says("data");
    node.docker("network create --driver bridge --internal inside").expect_ok();
    node.docker(format!("run --rm --network inside {image}")).expect_ok().and_says("hello");
    node.docker("network rm inside").expect_ok();
    node.docker("volume rm data").expect_ok();
}

/// Each of these brings content that nobody signed, or changes who decides.
fn what_goes_around_signatures_is_refused(stage: &Stage) {
    let (image, policy) = signed(stage);
    let node = Node::obeying(stage, &policy);
    let archive = stage.dir().join("image.tar");
    let (dir, archive_path) = (stage.dir().display(), archive.display());

    node.docker(format!("create --name one {image}")).expect_ok();
    node.docker(format!("save --output {archive_path} {image}")).expect_ok();
    std::fs::write(stage.dir().join("Dockerfile"), format!("FROM {image}\n")).unwrap();
    for command in [
        format!("build {dir}"),
        format!("load --input {archive_path}"),
        format!("import {archive_path} mine:1"),
        format!("cp {archive_path} one:/"),
        "commit one mine:2".into(),
        "plugin install --grant-all-permissions vendor/plugin".into(),
        "plugin disable countersign".into(),
        "swarm init --advertise-addr 127.0.0.1".into(),
    ] {
        node.docker(&command)
            .expect_failure()
            .and_says("authorization denied by plugin")
            .and_says("countersign.toml");
    }
}

fn what_the_operator_opens_is_allowed(stage: &Stage) {
    let (image, policy) = signed(stage);
    let api = "[api]\nbuild = true\ncommit = true\nload = true\nimport = true\n\
               archive_upload = true\nswarm_admin = true";
    let node = Node::obeying(stage, &policy.with(api));
    let archive = stage.dir().join("image.tar");
    let (dir, archive_path) = (stage.dir().display(), archive.display());

    node.docker(format!("create --name one {image}")).expect_ok();
    node.docker(format!("save --output {archive_path} {image}")).expect_ok();
    std::fs::write(stage.dir().join("Dockerfile"), format!("FROM {image}\n")).unwrap();
    node.docker(format!("build --tag built:1 {dir}")).expect_ok();
    node.docker(format!("load --input {archive_path}")).expect_ok();
    node.docker(format!("import {archive_path} mine:1")).expect_ok();
    node.docker(format!("cp {archive_path} one:/")).expect_ok();
    node.docker("commit one mine:2").expect_ok();
    // Made here, they still run only if somebody signs them.
    for name in ["mine:1", "mine:2"] {
        node.docker(format!("run --rm {name} cat /text"))
            .expect_failure()
            .and_says("authorization denied by plugin");
    }
    node.docker("swarm init --advertise-addr 127.0.0.1 --listen-addr 127.0.0.1:2377").expect_ok();
}
