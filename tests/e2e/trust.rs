//! `countersign trust` on a node that runs, with trust data that the real clients made.

use std::process::{Command, Stdio};

use crate::node::{COUNTERSIGN, Node, Plugin};
use crate::outcome::Outcome;
use crate::stage::Stage;

crate::stories![what_a_node_keeps_is_shown_and_forgotten_on_request];

fn trust(stage: &Stage, plugin: &Plugin<'_>, arguments: &str) -> Outcome {
    let mut words = arguments.split_whitespace();
    let mut command = Command::new("timeout");
    command
        .args(["60", COUNTERSIGN, "trust", words.next().expect("a subcommand"), "--config"])
        .arg(&plugin.files().policy)
        .arg("--state-dir")
        .arg(&plugin.files().state)
        .args(words)
        .stdin(Stdio::null());
    stage.run(&format!("countersign trust {arguments}"), &mut command)
}

fn what_a_node_keeps_is_shown_and_forgotten_on_request(stage: &Stage) {
    let (app, policy) = stage.signed_app();
    let node = Node::obeying(stage, &policy);
    let plugin = &node.plugin;
    trust(stage, plugin, &format!("show {app}")).expect_code(1).and_says("nothing is kept");
    node.docker(format!("run --rm {app}:1")).expect_ok().and_says("hello");

    let listed = trust(stage, plugin, "list --json").expect_ok().json_lines();
    assert_eq!(listed.len(), 1, "{listed:?}");
    assert_eq!((&listed[0]["state"], &listed[0]["tags"]), (&"good".into(), &1.into()));
    let shown = trust(stage, plugin, &format!("show --tags {app}")).expect_ok();
    for part in
        ["first use; trusted since", "targets/jenkins", "targets/releases", "signed by jenkins ("]
    {
        assert!(shown.says(part), "{part}");
    }

    // Its owner makes the repository anew: other root keys, other versions.
    stage.user("admin").notary(format!("delete {app} --remote")).expect_ok();
    stage.user("jenkins").notary(format!("delete {app}")).expect_ok();
    stage.admit(&app, &["jenkins"]);
    stage.push_signed(&format!("{app}:2"), "made anew", "jenkins");
    // The node remembers, and believes none of it.
    node.docker(format!("run --rm {app}:2")).expect_failure().and_says("authorization denied");
    node.docker(format!("run --rm {app}:1")).expect_ok().and_says("hello");

    trust(stage, plugin, &format!("reset {app}")).expect_code(2).and_says("--yes");
    node.docker(format!("run --rm {app}:2")).expect_failure();
    trust(stage, plugin, &format!("reset --yes {app}"))
        .expect_ok()
        .and_says("the root of trust, sha256:")
        .and_says("on first contact");
    // The plugin that runs takes note of it.
    node.docker(format!("run --rm {app}:2")).expect_ok().and_says("made anew");
    node.docker(format!("run --rm {app}:1")).expect_failure();
    let log = std::fs::read_to_string(plugin.files().state.join("resets.log")).unwrap();
    assert!(log.lines().count() == 1 && log.contains(&app), "{log}");
    trust(stage, plugin, &format!("show {app}")).expect_ok().and_says("good");
}
