//! The real program on a real socket, spoken to as the engine speaks.

use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread;
use std::time::Duration;

use crate::node::{Connection, Node, activated, question, until};

/// Enforces, and registers nothing: what is judged is denied.
const STRICT: &str = "[trust_configuration]\nrequire_content_trust = true\n";
const REQUEST: &str = "/AuthZPlugin.AuthZReq";
const RESPONSE: &str = "/AuthZPlugin.AuthZRes";
const CREATE: &str = "/v1.41/containers/create?name=a";
const IMAGE: &str = r#"{"Image":"h.io/app:1"}"#;

#[test]
fn speaks_the_protocol() {
    let node = Node::new(STRICT);
    let _plugin = node.serve();
    let mut engine = node.connect();
    let activated = engine.call("/Plugin.Activate", b"");
    assert_eq!((activated.status, activated.body.as_str()), (200, r#"{"Implements":["authz"]}"#));
    assert_eq!(engine.ask("GET", "/_ping", "").verdict(), Ok(()));
    assert_eq!(engine.ask("GET", "/v1.41/containers/json?all=1", "").verdict(), Ok(()));
    let response = question("GET", "/_ping", "").replace('}', r#","ResponseStatusCode":200}"#);
    assert_eq!(engine.call(RESPONSE, response.as_bytes()).verdict(), Ok(()));
    assert_eq!(engine.call("/Plugin.Deactivate", b"").status, 404);
    assert_eq!(engine.ask("HEAD", "/_ping", "").verdict(), Ok(()));
}

/// Status 200 each time: any other is taken for a broken plugin.
#[test]
fn what_is_no_message_is_denied() {
    let node = Node::new(STRICT);
    let _plugin = node.serve();
    let mut engine = node.connect();
    for (message, why) in [
        ("", "the engine sent an empty call, as it does after its connection to the plugin broke"),
        ("{", "is not strict JSON"),
        ("null", "is not an object"),
        ("{}", "has no usable RequestMethod"),
        (r#"{"RequestMethod":"GET"}"#, "has no usable RequestUri"),
        (r#"{"RequestMethod":"GET","RequestUri":"/_ping","RequestUri":"/"}"#, "stands twice"),
        (r#"{"RequestMethod":"GET","RequestUri":"/_ping","RequestBody":"%"}"#, "RequestBody"),
        ("\u{feff}{}", "is not strict JSON"),
    ] {
        for path in [REQUEST, RESPONSE] {
            let denial = engine.call(path, message.as_bytes()).denial();
            assert!(denial.contains(why), "{path} {message:?}: {denial}");
        }
    }
    let denial = engine.call(REQUEST, b"{\"RequestMethod\":\"\xff\"}").denial();
    assert!(denial.contains("not UTF-8"), "{denial}");
}

#[test]
fn what_runs_is_judged() {
    let node = Node::new(STRICT);
    let _plugin = node.serve();
    let mut engine = node.connect();
    let denial = engine.ask("POST", CREATE, IMAGE).denial();
    let socket = node.path("engine.sock").display().to_string();
    let sentence = format!("the engine could not be asked: the engine at {socket} cannot be asked");
    assert!(denial.starts_with(&sentence), "{denial}");

    let denial = engine.ask("POST", "/v1.23/containers/web/start", "").denial();
    assert!(denial.starts_with("this call must come without a body"), "{denial}");
    let denial = engine.ask("POST", "/v1.41/build", "").denial();
    assert!(denial.starts_with("/build is not allowed here"), "{denial}");
}

#[test]
fn nothing_is_judged_where_content_trust_is_not_required() {
    let node = Node::new(&STRICT.replace("true", "false"));
    let _plugin = node.serve();
    let mut engine = node.connect();
    for (uri, body) in [(CREATE, IMAGE), (CREATE, ""), ("/v1.41/build", ""), ("/nonsense", "")] {
        assert_eq!(engine.ask("POST", uri, body).verdict(), Ok(()), "{uri}");
    }
}

#[test]
fn large_messages_are_read_and_larger_ones_denied() {
    let node = Node::new(STRICT);
    let _plugin = node.serve();
    let large = "x".repeat(12 << 20);
    let mut engine = node.connect();
    // 16 MiB in base64
    assert_eq!(engine.ask("POST", "/v1.41/auth", &large).verdict(), Ok(()));
    let response = format!(
        r#"{{"RequestMethod":"GET","RequestUri":"/v1.41/images/json","ResponseBody":"{large}"}}"#
    );
    assert_eq!(engine.call(RESPONSE, response.as_bytes()).verdict(), Ok(()));

    let too_large = Connection::bytes(REQUEST, &vec![b' '; 33 << 20]);
    let mut other = node.connect();
    let mut writer = other.0.try_clone().unwrap();
    // The plugin need not take it all, so the rest may find no reader.
    let writing = thread::spawn(move || drop(writer.write_all(&too_large)));
    assert!(other.receive().denial().contains("is over 33554432 bytes\n"));
    drop(other);
    writing.join().unwrap();
    assert_eq!(engine.ask("GET", "/_ping", "").verdict(), Ok(()));
}

/// A connection closed under the engine makes it repeat its call with an empty body.
#[test]
fn idle_connections_are_kept() {
    let node = Node::new(STRICT);
    let _plugin = node.serve();
    let mut engine = node.connect();
    for _ in 0..2 {
        assert_eq!(engine.ask("GET", "/_ping", "").verdict(), Ok(()));
        thread::sleep(Duration::from_secs(4));
    }
    assert_eq!(engine.ask("GET", "/_ping", "").verdict(), Ok(()));
}

#[test]
fn many_connections_are_served_at_once() {
    let node = Node::new(STRICT);
    let _plugin = node.serve();
    let ping = Connection::bytes(REQUEST, question("GET", "/_ping", "").as_bytes());
    let (begin, rest) = ping.split_at(ping.len() - 1);
    let mut engines: Vec<_> = (0..64).map(|_| node.connect()).collect();
    for engine in &mut engines {
        engine.0.write_all(begin).unwrap();
    }
    // None of those half-sent is in the way of another.
    assert_eq!(node.connect().ask("GET", "/_ping", "").verdict(), Ok(()));
    for engine in engines.iter_mut().rev() {
        engine.0.write_all(rest).unwrap();
    }
    for (number, engine) in engines.iter_mut().enumerate() {
        assert_eq!(engine.receive().verdict(), Ok(()), "connection {number}");
    }
}

#[test]
fn calls_in_one_packet_are_answered_in_order() {
    let node = Node::new(STRICT);
    let _plugin = node.serve();
    let mut engine = node.connect();
    let calls = [
        Connection::bytes("/Plugin.Activate", b""),
        Connection::bytes(REQUEST, b""),
        Connection::bytes(REQUEST, question("GET", "/_ping", "").as_bytes()),
    ];
    engine.0.write_all(&calls.concat()).unwrap();
    assert!(engine.receive().body.contains("Implements"));
    assert!(engine.receive().denial().contains("an empty call"));
    assert_eq!(engine.receive().verdict(), Ok(()));
}

#[test]
fn what_is_not_http_harms_nobody_else() {
    let node = Node::new(STRICT);
    let _plugin = node.serve();
    let mut engine = node.connect();
    for garbage in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GARBAGE\r\n\r\n",
        b"POST /AuthZPlugin.AuthZReq HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /AuthZPlugin.AuthZReq HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        &vec![0; 100_000],
    ] {
        let mut other = node.connect();
        // It may be hung up on before it has said all.
        let _ = other.0.write_all(garbage);
        let _ = other.0.shutdown(std::net::Shutdown::Write);
        let _ = other.0.read_to_end(&mut Vec::new());
        assert_eq!(engine.ask("GET", "/_ping", "").verdict(), Ok(()), "{garbage:.20?}");
    }
}

/// The connection of this question. The watch asks other ones, and goes without an answer.
fn accept_question<const N: usize>(engine: &UnixListener, question: &[u8; N]) -> UnixStream {
    let mut others = Vec::new();
    loop {
        let (mut stream, _) = engine.accept().unwrap();
        let mut asked = [0; N];
        stream.read_exact(&mut asked).unwrap();
        if asked == *question {
            return stream;
        }
        others.push(stream);
    }
}

/// The call is under way in earnest: it waits for an engine that takes its time.
#[test]
fn a_call_under_way_is_answered_before_the_end() {
    let node = Node::new(STRICT);
    let slow = UnixListener::bind(node.path("engine.sock")).unwrap();
    let mut plugin = node.serve();
    let mut idle = node.connect();
    assert_eq!(idle.ask("GET", "/_ping", "").verdict(), Ok(()));
    let mut engine = node.connect();
    engine.send(REQUEST, question("POST", CREATE, IMAGE).as_bytes());
    let mut asked = accept_question(&slow, b"GET /images/");

    plugin.terminate();
    plugin.await_log("shutting down");
    // Who comes now shall find nobody, and wait for the next one to make its socket.
    until("the socket's end", || UnixStream::connect(node.socket()).is_err());
    asked.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}").unwrap();
    assert!(engine.receive().denial().starts_with("h.io must be a registered trusted registry"));
    assert_eq!(plugin.wait().code(), Some(0));
    assert!(!node.socket().exists());
    assert_eq!(idle.0.read(&mut [0]).unwrap(), 0, "an idle connection ends with the plugin");
}

#[test]
fn the_socket_is_for_its_owner_alone() {
    let node = Node::new(STRICT);
    let _plugin = node.serve();
    let metadata = fs::metadata(node.socket()).unwrap();
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_live_socket_is_left_to_its_owner() {
    let node = Node::new(STRICT);
    let _plugin = node.serve();
    let before = fs::metadata(node.socket()).unwrap().ino();
    let mut second = node.start(&mut node.serve_command());
    assert_eq!(second.wait().code(), Some(2));
    second.await_log("plugin.sock is in use: another countersign answers on it");
    assert_eq!(fs::metadata(node.socket()).unwrap().ino(), before);
    assert_eq!(node.connect().ask("GET", "/_ping", "").verdict(), Ok(()));
}

#[test]
fn a_dead_socket_is_replaced_and_a_file_is_not() {
    let node = Node::new(STRICT);
    drop(UnixListener::bind(node.socket()).unwrap());
    drop(node.serve());
    assert!(node.socket().exists(), "a killed plugin leaves its socket behind");
    drop(node.serve());

    fs::remove_file(node.socket()).unwrap();
    fs::write(node.socket(), "precious").unwrap();
    let mut plugin = node.start(&mut node.serve_command());
    assert_eq!(plugin.wait().code(), Some(2));
    assert_eq!(fs::read(node.socket()).unwrap(), b"precious");
}

#[test]
fn a_socket_of_systemd_is_taken_over_and_left_behind() {
    let node = Node::new(STRICT);
    let handed = node.path("systemd.sock");
    let listener = UnixListener::bind(&handed).unwrap();
    fs::set_permissions(&handed, Permissions::from_mode(0o660)).unwrap();
    let mut plugin = node.start(&mut activated(&node.serve_command(), listener));
    assert_eq!(Connection::new(&handed).ask("GET", "/_ping", "").verdict(), Ok(()));
    assert!(!node.socket().exists(), "no second socket");
    plugin.terminate();
    assert_eq!(plugin.wait().code(), Some(0));
    assert!(handed.exists(), "systemd keeps it for the next one");
}

#[test]
fn what_keeps_it_from_beginning_is_said() {
    let node = Node::new("[trust_configuration]\nrequire_content_trust = 1\n");
    let mut plugin = node.start(&mut node.serve_command());
    assert_eq!(plugin.wait().code(), Some(2));
    plugin.await_log("countersign.toml:2:25: invalid type");

    let node = Node::new(STRICT);
    fs::write(node.path("state"), "").unwrap();
    let mut plugin = node.start(&mut node.serve_command());
    assert_eq!(plugin.wait().code(), Some(2));
    plugin.await_log("the state directory cannot be used: ");
    assert!(!node.socket().exists());
}
