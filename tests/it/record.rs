//! The record and the metrics of the real program, on files, pipes and sockets.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::node::{Connection, Node, PATIENCE, Plugin, until};

/// Enforces, and registers nothing: what is judged is denied.
const STRICT: &str = "[trust_configuration]\nrequire_content_trust = true\n";
const ASK: &str = "/AuthZPlugin.AuthZReq";
const PULL: &str = "/v1.41/images/create?fromImage=h.io/app&tag=1";

/// Starts the plugin with these options, and waits until it listens.
fn serve(node: &Node, options: &[&str]) -> Plugin {
    let plugin = node.start(node.serve_command().args(options));
    until("the plugin's socket", || UnixStream::connect(node.socket()).is_ok());
    plugin
}

fn record_of(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The records in a file, once there are so many.
fn await_records(path: &Path, count: usize) -> Vec<Value> {
    until("records", || fs::read_to_string(path).is_ok_and(|text| text.lines().count() >= count));
    let records = record_of(path);
    assert_eq!(records.len(), count, "{records:?}");
    records
}

/// A call of somebody with a client certificate.
fn question_of(user: &str, method: &str, uri: &str, body: &str) -> Vec<u8> {
    let mut question: Value =
        serde_json::from_str(&crate::node::question(method, uri, body)).unwrap();
    question["User"] = user.into();
    question["UserAuthNMethod"] = "TLS".into();
    question["RequestHeaders"] = serde_json::json!({ "Content-Length": body.len().to_string() });
    question.to_string().into_bytes()
}

/// A pull, which is refused.
fn pull(engine: &mut Connection) {
    let denial = engine.call(ASK, &question_of("jane", "POST", PULL, "")).denial();
    assert!(denial.starts_with("h.io must be a registered trusted registry"), "{denial}");
}

#[test]
fn each_decision_is_one_line_and_says_nothing_secret() {
    let node = Node::new(STRICT);
    let file = node.path("record.jsonl");
    let _plugin = serve(&node, &["--record", file.to_str().unwrap()]);
    let mut engine = node.connect();
    let user = "jane \u{202e}\u{1b}[2J\n\"x\"";
    engine.call(ASK, &question_of(user, "POST", PULL, "")).denial();
    let body = r#"{"Image":"h.io/app:1","Env":["PASSWORD=hunter2"],"Image":"hunter2"}"#;
    let uri = "/v1.41/containers/create?name=a&token=hunter2";
    engine.call(ASK, &question_of("jane", "POST", uri, body)).denial();
    let uri = "/v1.41/images/create?hunter2&fromImage=h.io/app&hunter2=1";
    engine.call(ASK, &question_of("jane", "POST", uri, "")).denial();
    engine.ask("GET", "/v1.41/containers/json?hunter2", "").verdict().unwrap();
    engine.call(ASK, b"{").denial();
    engine.ask("POST", "/v1.41/build?buildargs=hunter2", "").denial();

    let records = await_records(&file, 5);
    let text = fs::read_to_string(&file).unwrap();
    assert!(!text.contains("hunter2"), "{text}");
    assert!(text.bytes().all(|b| (0x20..0x7f).contains(&b) || b == b'\n'), "{text}");
    let told = |record: &Value| {
        ["event", "verb", "verdict", "code"].map(|name| record[name].as_str().unwrap().to_owned())
    };
    for (record, wanted) in records.iter().zip([
        ["request", "pull", "deny", "unregistered-registry"],
        ["request", "unread", "deny", "body-malformed"],
        ["request", "unread", "deny", "query-malformed"],
        ["unreadable", "unread", "deny", "message-malformed"],
        ["request", "build", "deny", "not-permitted"],
    ]) {
        assert_eq!(told(record), wanted, "{record}");
    }
    let first = &records[0];
    assert_eq!(first["user"], user);
    assert_eq!(first["authn"], "TLS");
    assert_eq!(first["method"], "POST");
    assert_eq!(first["path"], "/v1.41/images/create");
    assert_eq!(first["subject"], "h.io/app:1");
    assert_eq!(first["reason"], "h.io must be a registered trusted registry");
    assert!(first["duration_us"].as_u64().unwrap() > 0, "{first}");
    assert!(first["phases_us"]["judge"].is_u64(), "{first}");
    assert_eq!(records[1]["reason"], Value::Null, "it could quote the body");
    assert_eq!(records[2]["reason"], Value::Null, "it could quote the query");
    let ids: std::collections::HashSet<_> = records.iter().map(|r| r["id"].as_str()).collect();
    assert_eq!(ids.len(), records.len());
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    // The log knows the decision by the same ID.
    let log = fs::read_to_string(node.path("log")).unwrap();
    assert!(log.contains(first["id"].as_str().unwrap()), "{log}");
}

#[test]
fn calls_that_bring_and_run_nothing_are_recorded_where_that_is_asked_for() {
    let node = Node::new(STRICT);
    let file = node.path("record.jsonl");
    let _plugin = serve(&node, &["--record", file.to_str().unwrap(), "--record-all"]);
    node.connect().ask("GET", "/v1.41/containers/json?all=1", "").verdict().unwrap();
    let records = await_records(&file, 1);
    assert_eq!(records[0]["verb"], "pass");
    assert_eq!(records[0]["code"], "not-judged");
    assert_eq!(records[0]["path"], "/v1.41/containers/json");
}

#[test]
fn standard_output_takes_records_too() {
    let node = Node::new(STRICT);
    let out = node.path("out");
    let mut command = node.serve_command();
    command.args(["--record", "-"]).stdout(File::create(&out).unwrap());
    let _plugin = node.start(&mut command);
    until("the plugin's socket", || UnixStream::connect(node.socket()).is_ok());
    pull(&mut node.connect());
    assert_eq!(await_records(&out, 1)[0]["code"], "unregistered-registry");
}

#[test]
fn a_rotated_record_goes_on_in_a_new_file() {
    let node = Node::new(STRICT);
    let (file, old) = (node.path("record.jsonl"), node.path("record.jsonl.1"));
    let _plugin = serve(&node, &["--record", file.to_str().unwrap()]);
    let mut engine = node.connect();
    pull(&mut engine);
    await_records(&file, 1);
    fs::rename(&file, &old).unwrap();
    pull(&mut engine);
    await_records(&file, 1);
    await_records(&old, 1);
}

#[test]
fn what_cannot_be_recorded_changes_no_verdict_and_is_told_and_counted() {
    for (record, cause) in [("/dev/full", "No space left"), ("/nonexistent/record", "No such file")]
    {
        let node = Node::new(STRICT);
        let socket = node.path("metrics.sock");
        let plugin = serve(&node, &["--record", record, "--metrics", socket.to_str().unwrap()]);
        let mut engine = node.connect();
        for _ in 0..3 {
            pull(&mut engine);
        }
        plugin.await_log("records cannot be written");
        until("three are counted", || {
            scraped(&socket).contains("countersign_records_failed_total 3")
        });
        let log = plugin.log();
        assert_eq!(log.matches("records cannot be written").count(), 1, "once: {log}");
        assert!(log.contains(cause), "{log}");
    }
}

/// A pipe that nobody reads from is the slowest disk there is.
#[test]
fn a_slow_record_holds_up_no_decision() {
    let node = Node::new(STRICT);
    let pipe = node.path("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let socket = node.path("metrics.sock");
    let mut plugin =
        serve(&node, &["--record", pipe.to_str().unwrap(), "--metrics", socket.to_str().unwrap()]);
    // Open, so that it takes what a pipe holds and then no more.
    let mut reader = File::options().read(true).write(true).open(&pipe).unwrap();
    let mut engine = node.connect();
    let mut asked = 0_u64;
    while !plugin.log().contains("records are written too slowly") {
        for _ in 0..500 {
            pull(&mut engine);
        }
        asked += 500;
        assert!(asked < 100_000, "the queue has no end");
    }
    let lost = metric(&scraped(&socket), "countersign_records_crowded_out_total");
    assert!(lost >= 1, "{lost}");
    assert_eq!(plugin.log().matches("records are written too slowly").count(), 1);

    // Who reads at last gets what was kept, in whole lines.
    let mut kept = 0;
    let mut text = Vec::new();
    let mut chunk = [0; 8192];
    while kept + lost < asked {
        let count = reader.read(&mut chunk).unwrap();
        text.extend_from_slice(&chunk[..count]);
        kept = u64::try_from(text.split(|b| *b == b'\n').count() - 1).unwrap();
    }
    for line in text.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
        let record: Value = serde_json::from_slice(line).unwrap();
        assert_eq!(record["code"], "unregistered-registry");
    }
    plugin.await_log("records are written again");
    plugin.terminate();
    assert_eq!(plugin.wait().code(), Some(0));
}

#[test]
fn an_end_waits_for_records_and_not_for_ever() {
    let node = Node::new(STRICT);
    let file = node.path("record.jsonl");
    let mut plugin = serve(&node, &["--record", file.to_str().unwrap()]);
    let mut engine = node.connect();
    for _ in 0..500 {
        pull(&mut engine);
    }
    plugin.terminate();
    assert_eq!(plugin.wait().code(), Some(0));
    assert_eq!(record_of(&file).len(), 500);

    let pipe = node.path("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let mut plugin = serve(&node, &["--record", pipe.to_str().unwrap()]);
    pull(&mut node.connect());
    plugin.terminate();
    assert_eq!(plugin.wait().code(), Some(0), "nobody has ever opened the pipe");
    plugin.await_log("not all records could be written");
}

#[test]
fn a_word_that_is_no_destination_is_refused_with_what_would_be() {
    let node = Node::new(STRICT);
    for (option, value, says) in [
        ("--record", "journald", "say auto, journal, none"),
        ("--metrics", "0.0.0.0:9618", "loopback alone"),
        ("--metrics", "9618", "127.0.0.1:9618"),
    ] {
        let mut command = node.serve_command();
        let output = command.args([option, value]).stderr(Stdio::piped()).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{option} {value}: {said}");
        assert!(said.contains(says), "{option} {value}: {said}");
    }
}

/// What a program that scrapes is answered.
fn ask(stream: impl Read + Write, request: &str) -> String {
    let mut stream = stream;
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    answer
}

fn scraped(socket: &Path) -> String {
    let stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    ask(stream, "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
}

fn metric(text: &str, name: &str) -> u64 {
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
}

#[test]
fn decisions_are_counted_and_timed() {
    let node = Node::new(STRICT);
    let socket = node.path("metrics.sock");
    let _plugin = serve(&node, &["--metrics", socket.to_str().unwrap()]);
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    let mut engine = node.connect();
    for _ in 0..3 {
        engine.ask("GET", "/_ping", "").verdict().unwrap();
    }
    for _ in 0..2 {
        pull(&mut engine);
    }
    engine.ask("POST", "/v1.41/build", "").denial();
    engine.call("/AuthZPlugin.AuthZReq", b"").denial();
    let text = scraped(&socket);
    assert!(text.contains("content-type: application/openmetrics-text; version=1.0.0"), "{text}");
    assert!(text.ends_with("# EOF\n"), "{text}");
    let decided = |verb: &str, verdict: &str, code: &str| {
        let name = "countersign_decisions_total";
        metric(&text, &format!(r#"{name}{{verb="{verb}",verdict="{verdict}",code="{code}"}}"#))
    };
    assert_eq!(decided("pass", "allow", "not-judged"), 3);
    assert_eq!(decided("pull", "deny", "unregistered-registry"), 2);
    assert_eq!(decided("build", "deny", "not-permitted"), 1);
    assert_eq!(decided("unread", "deny", "message-malformed"), 1);
    assert_eq!(metric(&text, r#"countersign_decision_seconds_count{phase="total"}"#), 3);
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(metric(&text, &format!(r#"countersign_build_info{{version="{version}"}}"#)), 1);
}

/// Each metric that is shown, and each member of a record, has its row in the chapter.
#[test]
fn the_chapter_tells_of_all_that_is_shown() {
    let node = Node::new(STRICT);
    let (socket, file) = (node.path("metrics.sock"), node.path("record.jsonl"));
    let (shown, recorded) = (socket.to_str().unwrap(), file.to_str().unwrap());
    let _plugin = serve(&node, &["--metrics", shown, "--record", recorded]);
    pull(&mut node.connect());
    let record = &await_records(&file, 1)[0];
    let chapter = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operations.md");
    let chapter = fs::read_to_string(chapter).unwrap();
    let rows: String = chapter.lines().filter(|line| line.starts_with("| `")).collect();
    let text = scraped(&socket);
    let metrics: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
    assert!(metrics.len() > 10, "{text}");
    for metric in metrics {
        let (name, kind) = metric.split_once(' ').unwrap();
        let name = if kind == "counter" { format!("{name}_total") } else { name.to_owned() };
        assert!(rows.contains(&format!("| `{name}` |")), "{name} is not told");
    }
    for member in record.as_object().unwrap().keys() {
        assert!(rows.contains(&format!("`{member}`")), "{member} is not told");
    }
}

#[test]
fn metrics_are_all_that_is_shown() {
    let node = Node::new(STRICT);
    // Free a moment ago; nobody else asks for one in this range.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = format!("127.0.0.1:{port}");
    let _plugin = serve(&node, &["--metrics", &address]);
    until("metrics are shown", || TcpStream::connect(&address).is_ok());
    let ask = |request: &str| {
        let stream = TcpStream::connect(&address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        ask(stream, request)
    };
    let end = " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    for (request, status) in [
        ("GET /metrics", "200"),
        ("GET /metrics?x=1", "200"),
        ("POST /metrics", "405"),
        ("DELETE /metrics", "405"),
        ("GET /", "404"),
        ("GET /metrics/", "404"),
        ("POST /AuthZPlugin.AuthZReq", "404"),
        ("GET /countersign/seen?nonce=00000000000000000000000000000000", "404"),
    ] {
        let answer = ask(&format!("{request}{end}"));
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{request}: {answer}");
    }
    let long = format!("GET /metrics?{}{end}", "x".repeat(100_000));
    let answer = ask(&long);
    assert!(!answer.starts_with("HTTP/1.1 200"), "{answer}");
    // Those that say nothing are in nobody's way: the engine is answered.
    let idle: Vec<_> = (0..64).map(|_| TcpStream::connect(&address).unwrap()).collect();
    assert_eq!(node.connect().ask("GET", "/_ping", "").verdict(), Ok(()));
    drop(idle);
    until("there is a place again", || ask(&format!("GET /metrics{end}")).contains("# EOF"));
}

#[test]
fn a_metrics_address_in_use_is_said_at_the_start() {
    let node = Node::new(STRICT);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut plugin = node.start(node.serve_command().args(["--metrics", &address]));
    assert_eq!(plugin.wait().code(), Some(2));
    plugin.await_log(&format!("cannot listen on {address}"));
}
