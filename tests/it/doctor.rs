//! `countersign doctor` as a program: what it prints, and how it ends.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::Value;

const POLICY: &str = "[trust_configuration]\nrequire_content_trust = true\n\n\
     [[registries]]\nhost_address = \"registry.example.com\"\ntrust_on_first_use = false\n";

/// Examines a node all of whose files are in one folder.
fn doctor(folder: &Path, more: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_countersign"))
        .arg("doctor")
        .args(["--offline", "--engine"])
        .arg(folder.join("docker.sock"))
        .arg("--socket")
        .arg(folder.join("countersign.sock"))
        .arg("--config")
        .arg(folder.join("countersign.toml"))
        .arg("--state-dir")
        .arg(folder.join("state"))
        .args(more)
        .env_remove("DOCKER_HOST")
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn findings(output: &Output) -> Vec<Value> {
    let text = std::str::from_utf8(&output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The severity of the one finding of this ID.
fn severity(findings: &[Value], id: &str) -> String {
    let of_id: Vec<_> = findings.iter().filter(|finding| finding["id"] == id).collect();
    assert_eq!(of_id.len(), 1, "{id}: {findings:#?}");
    of_id[0]["severity"].as_str().unwrap().to_owned()
}

/// A server on a socket that answers each connection's first request and hangs up.
fn serve(socket: &Path, answer: fn(&str) -> &'static str) {
    let listener = UnixListener::bind(socket).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = [0; 4096];
            let length = stream.read(&mut head).unwrap_or(0);
            let head = String::from_utf8_lossy(&head[..length]).into_owned();
            let body = answer(head.lines().next().unwrap_or_default());
            let (status, body) = if body.is_empty() { ("404 No", "{}") } else { ("200 OK", body) };
            let length = body.len();
            let _ = write!(
                stream,
                "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
            );
        }
    });
}

#[test]
fn a_bare_machine_is_a_list_of_findings() {
    let folder = tempfile::tempdir().unwrap();
    let output = doctor(folder.path(), &["--json"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let findings = findings(&output);
    for finding in &findings {
        let members: Vec<_> = finding.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(members, ["id", "remedy", "severity", "title", "why"], "{finding}");
        assert!(finding.as_object().unwrap().values().all(Value::is_string), "{finding}");
        let is_well = matches!(finding["severity"].as_str(), Some("ok" | "note"));
        assert!(is_well || !finding["remedy"].as_str().unwrap().is_empty(), "{finding}");
    }
    for (id, expected) in [
        ("engine.answers", "problem"),
        ("plugin.socket", "problem"),
        ("plugin.asked", "warning"),
        ("policy.loads", "problem"),
        ("trust.state-dir", "note"),
    ] {
        assert_eq!(severity(&findings, id), expected, "{id}");
    }
    assert!(!folder.path().join("state").exists(), "it changes nothing");
}

#[test]
fn a_fault_of_the_policy_has_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("countersign.toml");
    fs::write(&path, POLICY.replace("trust_on_first_use", "trust_on_first_us")).unwrap();
    let output = doctor(folder.path(), &[]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains(&format!("  problem  {}:6:1: unknown field", path.display())), "{text}");
    assert!(!text.contains('\u{1b}'), "no colours where nobody sees them: {text}");
    assert!(text.ends_with("notes\n") || text.ends_with("note\n"), "a summary ends it: {text}");
}

#[test]
fn asks_engine_and_plugin_and_believes_the_nonce_alone() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("countersign.toml"), POLICY).unwrap();
    serve(&folder.path().join("docker.sock"), |asked| {
        match asked.split(' ').nth(1).unwrap_or_default() {
            "/info" => {
                r#"{"ServerVersion":"25.0.16","Plugins":{"Authorization":["countersign"]},
                    "Swarm":{"LocalNodeState":"active","ControlAvailable":true}}"#
            }
            "/plugins" => r#"[{"Name":"countersign:latest","Enabled":true}]"#,
            path if path.starts_with("/_ping?countersign-nonce=") => "OK",
            _ => "",
        }
    });
    serve(&folder.path().join("countersign.sock"), |asked| {
        match asked.split(' ').nth(1).unwrap_or_default() {
            "/Plugin.Activate" => r#"{"Implements":["authz"]}"#,
            path if path.starts_with("/countersign/seen?nonce=") => r#"{"seen":false}"#,
            _ => "",
        }
    });
    let findings = findings(&doctor(folder.path(), &["--json"]));
    for (id, expected) in [
        ("engine.answers", "ok"),
        ("engine.CVE-2024-41110", "ok"),
        ("engine.CVE-2026-34040", "ok"),
        ("engine.grpc", "ok"),
        ("engine.swarm", "note"),
        ("plugin.answers", "ok"),
        ("plugin.listed", "ok"),
        ("plugin.asked", "problem"),
        ("plugin.managed", "problem"),
        ("policy.loads", "ok"),
    ] {
        assert_eq!(severity(&findings, id), expected, "{id}");
    }
}

/// One exchange with a plugin on its socket: status line and body.
fn ask(socket: &Path, request: &str, body: &str) -> (String, String) {
    let mut stream = UnixStream::connect(socket).unwrap();
    let length = body.len();
    let head = format!("{request} HTTP/1.1\r\nHost:\r\nContent-Length: {length}\r\n");
    write!(stream, "{head}Connection: close\r\n\r\n{body}").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.lines().next().unwrap().to_owned(), body.to_owned())
}

#[test]
fn the_plugin_tells_which_probes_it_was_shown() {
    let folder = tempfile::tempdir().unwrap();
    let [policy, socket, state] =
        ["countersign.toml", "countersign.sock", "state"].map(|name| folder.path().join(name));
    fs::write(&policy, POLICY).unwrap();
    let mut plugin = Command::new(env!("CARGO_BIN_EXE_countersign"));
    plugin.arg("serve").arg("--config").arg(&policy).arg("--state-dir").arg(&state);
    plugin.arg("--engine").arg(folder.path().join("docker.sock")).arg("--socket").arg(&socket);
    let mut plugin = plugin.stderr(Stdio::null()).spawn().unwrap();
    while UnixStream::connect(&socket).is_err() {
        assert!(plugin.try_wait().unwrap().is_none(), "it listens");
        thread::sleep(Duration::from_millis(10));
    }
    let nonce = "0123456789abcdef0123456789abcdef";
    let seen = |nonce: &str| ask(&socket, &format!("GET /countersign/seen?nonce={nonce}"), "");
    let before = seen(nonce);
    let call =
        format!(r#"{{"RequestMethod":"GET","RequestUri":"/_ping?countersign-nonce={nonce}"}}"#);
    let shown = ask(&socket, "POST /AuthZPlugin.AuthZReq", &call);
    let (after, other) = (seen(nonce), seen("x"));
    plugin.kill().unwrap();
    plugin.wait().unwrap();
    let ok = |body: &str| ("HTTP/1.1 200 OK".to_owned(), body.to_owned());
    assert_eq!(before, ok(r#"{"seen":false}"#));
    assert_eq!(shown.0, "HTTP/1.1 200 OK");
    assert!(shown.1.contains(r#""Allow":true"#), "{shown:?}");
    assert_eq!(after, ok(r#"{"seen":true}"#));
    assert_eq!(other.0, "HTTP/1.1 400 Bad Request");
}

#[test]
fn a_command_line_that_makes_no_sense_is_told_from_problems() {
    for (arguments, code) in [
        (&["doctor", "--colour"][..], 3),
        (&["doctor", "--engine", "tcp://h:1"], 3),
        (&["doctor", "--help"], 0),
        (&["check"], 2),
        (&[], 2),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
        let output = command.args(arguments).env_remove("DOCKER_HOST").output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {output:?}");
    }
}
