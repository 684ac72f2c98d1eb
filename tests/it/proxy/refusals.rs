//! What does not get through.

use super::world::{World, finish, hear, hear_all, say};

const PREFACE: &str = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
const PING: &str = "GET /_ping HTTP/1.1\r\nHost: d\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK";

fn is_http2_refusal(answer: &str) -> bool {
    answer.starts_with("HTTP/1.1 505 ") && answer.contains("HTTP/2 is not let through")
}

#[test]
fn the_preface_is_refused_before_the_engine_is_asked() {
    let world = World::new();
    let mut client = world.client();
    say(&mut client, PREFACE);
    let answer = hear_all(&mut client);
    assert!(is_http2_refusal(&answer), "{answer}");
    let body = answer.split("\r\n\r\n").nth(1).unwrap();
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    assert!(body["message"].as_str().unwrap().ends_with("use HTTP/1.1"));

    let mut client = world.client();
    for byte in PREFACE.as_bytes().iter().take(18) {
        say(&mut client, [*byte]);
    }
    assert!(is_http2_refusal(&hear_all(&mut client)));
    assert!(world.engine_was_left_alone());
}

#[test]
fn nothing_like_the_preface_gets_through() {
    let world = World::new();
    for bytes in [
        "\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "\n\n\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "PRI * HTTP/2.0\n\nSM\n\n",
        "Pri * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "PRI * http/2.0\r\n\r\nSM\r\n\r\n",
        "PRI / HTTP/2.0\r\n\r\n",
        "PRI http://d/ HTTP/2.0\r\nHost: d\r\n\r\n",
        "PRI * HTTP/1.1\r\nHost: d\r\n\r\n",
        "PRI * HTTP/2.0\r\nHost: d\r\nContent-Type: application/grpc\r\n\r\n",
        "POST /moby.buildkit.v1.Control/Solve HTTP/2.0\r\nHost: d\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: d\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
         HTTP2-Settings: AAMAAABk\r\n\r\n",
    ] {
        let mut client = world.client();
        say(&mut client, bytes);
        let answer = hear_all(&mut client);
        assert!(
            answer.starts_with("HTTP/1.1 505 ") || answer.starts_with("HTTP/1.1 400 "),
            "{bytes:?}: {answer}"
        );
    }
    assert!(world.engine_was_left_alone());
}

#[test]
fn a_later_request_is_refused_after_the_answers_to_those_before() {
    let world = World::new();
    for between in ["", "\r\n", "\r\n\r\n"] {
        let mut client = world.client();
        say(&mut client, format!("{PING}{between}{PREFACE}"));
        let mut engine = world.engine();
        hear(&mut engine, PING);
        assert_eq!(hear_all(&mut engine), "", "after {between:?}");
        say(&mut engine, OK);
        drop(engine);
        hear(&mut client, OK);
        let refusal = hear_all(&mut client);
        assert!(refusal.starts_with("HTTP/1.1 505 ") || refusal.starts_with("HTTP/1.1 400 "));
    }
    assert!(world.engine_was_left_alone());
}

#[test]
fn only_the_engine_ends_http_and_no_answers_body_can() {
    let attach = "POST /containers/a/attach?stdin=1 HTTP/1.1\r\nUpgrade: tcp\r\n\r\n";
    let world = World::new();
    let mut client = world.client();
    // Both at once, and the first answer's body says what the second answer might.
    say(&mut client, format!("GET /containers/a/logs HTTP/1.1\r\nHost: d\r\n\r\n{attach}"));
    let mut first = world.engine();
    hear(&mut first, "GET /containers/a/logs HTTP/1.1\r\nHost: d\r\n\r\n");
    let body = "HTTP/1.1 101 UPGRADED\r\n\r\n";
    let logs = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    say(&mut first, &logs);
    assert_eq!(hear_all(&mut first), "", "what may leave HTTP needs a connection of its own");
    drop(first);
    hear(&mut client, &logs);

    let mut second = world.engine();
    hear(&mut second, attach);
    say(&mut client, PREFACE);
    let denied = "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\n{}";
    say(&mut second, denied);
    hear(&mut client, denied);
    assert_eq!(hear_all(&mut second), "", "it was denied: what follows is HTTP still");
    drop(second);
    assert!(is_http2_refusal(&hear_all(&mut client)));
}

#[test]
fn a_chunked_body_that_is_none_ends_the_connection() {
    let world = World::new();
    let mut client = world.client();
    let load = "POST /images/load HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n";
    say(&mut client, load);
    let mut engine = world.engine();
    hear(&mut engine, load);
    say(&mut client, "xyz\r\n");
    assert_eq!(hear_all(&mut engine), "");
    drop(engine);
    assert!(hear_all(&mut client).starts_with("HTTP/1.1 400 "));
}

#[test]
fn an_engine_that_is_down_is_told_of() {
    let world = World::new();
    world.stop_engine();
    let mut client = world.client();
    say(&mut client, PING);
    let answer = hear_all(&mut client);
    assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
    assert!(answer.contains("Docker Engine does not answer on"), "{answer}");

    let mut client = world.client();
    finish(&client);
    assert_eq!(hear_all(&mut client), "");
}
