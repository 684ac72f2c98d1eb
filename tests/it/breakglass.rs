//! `countersign breakglass`, with the plugin running and without.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::node::{Node, until};

const STRICT: &str = "[trust_configuration]\nrequire_content_trust = true\n";
const BUILD: &str = "/v1.41/build";
const BEGUN: &str = "BREAK-GLASS: every call is allowed from now on";
const OVER: &str = "break-glass is over: the policy is enforced again";
const ENDED: &str = "break-glass was ended: the policy is enforced again";

/// Runs the command to its end: its exit code, and all it said.
fn breakglass(node: &Node, arguments: &[&str]) -> (i32, String) {
    let mut program = Command::new(env!("CARGO_BIN_EXE_countersign"));
    program.arg("breakglass").arg("--state-dir").arg(node.path("state")).args(arguments);
    let output = program.env_clear().env("SUDO_USER", "alice").output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(said).unwrap())
}

fn begin(node: &Node, length: &str) {
    let (code, said) = breakglass(node, &["--reason", "disk lost", "--for", length]);
    assert_eq!(code, 0, "{said}");
    assert!(said.starts_with("every call is allowed until 20"), "{said}");
}

#[test]
fn a_plugin_that_runs_notices_and_so_does_one_that_starts() {
    let node = Node::new(STRICT);
    let mut plugin = node.serve();
    let mut engine = node.connect();
    engine.ask("POST", BUILD, "").denial();
    assert_eq!(breakglass(&node, &["--status"]).0, 1);
    begin(&node, "1h");
    plugin.await_log(BEGUN);
    let log = plugin.log();
    assert!(log.contains("reason=\"disk lost\"") && log.contains("by=\"alice\""), "{log}");
    let (code, said) = breakglass(&node, &["--status"]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains(", by alice: disk lost"), "{said}");
    // Each use is told, with the reason; also of what nobody can read.
    assert_eq!(engine.ask("POST", BUILD, "").verdict(), Ok(()));
    assert_eq!(engine.call("/AuthZPlugin.AuthZReq", b"{").verdict(), Ok(()));
    plugin.await_log("(disk lost)");
    let log = plugin.log();
    let parts = ["WARN", "code=\"break-glass\"", "would=\"not-permitted\"", "(disk lost)"];
    assert!(log.lines().any(|line| parts.iter().all(|part| line.contains(part))), "{log}");

    plugin.terminate();
    plugin.wait();
    let mut plugin = node.serve();
    let mut engine = node.connect();
    assert_eq!(engine.ask("POST", BUILD, "").verdict(), Ok(()), "from the first call on");
    assert_eq!(breakglass(&node, &["--end"]).0, 0);
    plugin.await_log(ENDED);
    engine.ask("POST", BUILD, "").denial();
    plugin.terminate();
    plugin.wait();
    let _plugin = node.serve();
    node.connect().ask("POST", BUILD, "").denial();
}

#[test]
fn it_ends_by_itself() {
    let node = Node::new(STRICT);
    begin(&node, "2s");
    let plugin = node.serve();
    plugin.await_log(OVER);
    node.connect().ask("POST", BUILD, "").denial();
    until("the file's end", || !node.path("state/breakglass.json").exists());
    assert_eq!(breakglass(&node, &["--status"]).0, 1);
}

#[test]
fn what_is_not_roots_own_does_not_count() {
    let node = Node::new(STRICT);
    let plugin = node.serve();
    let mut engine = node.connect();
    begin(&node, "1h");
    plugin.await_log(BEGUN);
    let file = node.path("state/breakglass.json");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    plugin.await_log("must be a plain file that is root's alone, with mode 0600");
    plugin.await_log(ENDED);
    engine.ask("POST", BUILD, "").denial();
    fs::write(&file, "{").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    plugin.await_log("is not one that countersign breakglass wrote");
    engine.ask("POST", BUILD, "").denial();
    assert_eq!(breakglass(&node, &["--status"]).0, 2);
    // Whatever is there, it can be ended.
    assert_eq!(breakglass(&node, &["--end"]).0, 0);
    assert!(!file.exists());
}

#[test]
fn usage() {
    let node = Node::new(STRICT);
    for arguments in [
        &[][..],
        &["--reason", "x"],
        &["--for", "1h"],
        &["--reason", "x", "--for", "25h"],
        &["--reason", "x", "--for", "0s"],
        &["--reason", "", "--for", "1h"],
        &["--reason", "two\nlines", "--for", "1h"],
        &["--reason", "x", "--for", "1h", "--end"],
        &["--end", "--status"],
    ] {
        let (code, said) = breakglass(&node, arguments);
        assert_eq!(code, 2, "{arguments:?}: {said}");
        assert!(!node.path("state/breakglass.json").exists(), "{arguments:?}");
    }
}
