//! What gets through, and that it arrives as it was sent.

use std::io::{Read, Write};
use std::thread;
use std::time::{Duration, Instant};

use super::world::{World, finish, hear, hear_all, say};

const PING: &str = "GET /_ping HTTP/1.1\r\nHost: d\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK";
const ATTACH: &str = "POST /v1.41/containers/a/attach?stdin=1&stream=1 HTTP/1.1\r\n\
                      Host: d\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n";
const UPGRADED: &str = "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n";

#[test]
fn requests_on_one_connection_arrive_byte_for_byte() {
    let world = World::new();
    let mut client = world.client();
    let requests = [
        "get /%2e%2E//x?a=%zz#f HTTP/1.1\r\nhOST:d\r\nX-Odd: \t \u{e9}  \r\nExpect:\r\n\r\n",
        "POST /images/load HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n\
         004\r\nPRI \r\nA\r\n* HTTP/2.0\r\n0\r\nX-Sum: 1\r\n\r\n",
        "DELETE /x HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 3\r\n\r\n\r\n\r",
        PING,
    ];
    say(&mut client, requests[0]);
    let mut engine = world.engine();
    for (at, request) in requests.iter().enumerate() {
        if at > 0 {
            say(&mut client, request);
        }
        hear(&mut engine, request);
        say(&mut engine, OK);
        hear(&mut client, OK);
    }
    // All at once, too.
    say(&mut client, requests.concat());
    hear(&mut engine, requests.concat());
    drop(engine);
    assert_eq!(hear_all(&mut client), "", "the engine closed, so does the proxy");
    assert!(world.engine_was_left_alone());
}

#[test]
fn a_body_waits_for_100_continue() {
    let world = World::new();
    let mut client = world.client();
    let head =
        "PUT /containers/a/archive HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n";
    say(&mut client, head);
    let mut engine = world.engine();
    hear(&mut engine, head);
    say(&mut engine, "HTTP/1.1 100 Continue\r\n\r\n");
    hear(&mut client, "HTTP/1.1 100 Continue\r\n\r\n");
    say(&mut client, "body");
    hear(&mut engine, "body");
    say(&mut engine, OK);
    hear(&mut client, OK);
}

#[test]
fn a_stream_ends_one_direction_at_a_time() {
    let world = World::new();
    // The client first: `echo x | docker run -i`.
    let mut client = world.client();
    say(&mut client, ATTACH);
    let mut engine = world.engine();
    hear(&mut engine, ATTACH);
    // Before the answer, as impatient clients do.
    say(&mut client, "std");
    say(&mut engine, UPGRADED);
    hear(&mut client, UPGRADED);
    // No HTTP any more: nothing here is judged.
    say(&mut client, "in\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    finish(&client);
    assert_eq!(hear_all(&mut engine), "stdin\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    thread::sleep(Duration::from_millis(20));
    say(&mut engine, "still talking");
    drop(engine);
    assert_eq!(hear_all(&mut client), "still talking");

    // The engine first: standard output was closed, standard input was not.
    let mut client = world.client();
    say(&mut client, ATTACH);
    let mut engine = world.engine();
    hear(&mut engine, ATTACH);
    say(&mut engine, format!("{UPGRADED}bye"));
    finish(&engine);
    assert_eq!(hear_all(&mut client), format!("{UPGRADED}bye"));
    say(&mut client, "more");
    hear(&mut engine, "more");
    drop(client);
    assert_eq!(hear_all(&mut engine), "");
}

#[test]
fn an_engine_may_take_a_connection_over_without_an_upgrade() {
    let world = World::new();
    let mut client = world.client();
    let start = "POST /exec/0a/start HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}";
    say(&mut client, start);
    let mut engine = world.engine();
    hear(&mut engine, start);
    let taken = "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\n";
    say(&mut engine, taken);
    hear(&mut client, taken);
    say(&mut client, "stdin");
    finish(&client);
    assert_eq!(hear_all(&mut engine), "stdin");
}

#[test]
fn after_a_denied_attach_the_connection_goes_on() {
    let world = World::new();
    let mut client = world.client();
    say(&mut client, PING);
    let mut engine = world.engine();
    hear(&mut engine, PING);
    say(&mut engine, OK);
    hear(&mut client, OK);

    say(&mut client, ATTACH);
    assert_eq!(hear_all(&mut engine), "", "it is to have a connection of its own");
    drop(engine);
    let mut engine = world.engine();
    hear(&mut engine, ATTACH);
    let denied = "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\n{}";
    say(&mut engine, denied);
    hear(&mut client, denied);

    say(&mut client, PING);
    hear(&mut engine, PING);
    say(&mut engine, OK);
    hear(&mut client, OK);
}

#[test]
fn long_streams_flow_as_they_come() {
    let world = World::new();
    let mut client = world.client();
    let events = "GET /events HTTP/1.1\r\nHost: d\r\n\r\n";
    say(&mut client, events);
    let mut engine = world.engine();
    hear(&mut engine, events);
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    say(&mut engine, head);
    hear(&mut client, head);
    for event in 0..50 {
        let chunk = format!("3\r\n{event:02}\n\r\n");
        say(&mut engine, &chunk);
        hear(&mut client, &chunk);
    }
    // A client that leaves is noticed by the engine, which waits for nothing else.
    drop(client);
    assert_eq!(hear_all(&mut engine), "");
}

#[test]
fn large_bodies_arrive_whole() {
    const SIZE: usize = 64 * 1024 * 1024;
    let pattern: Vec<u8> = (0..SIZE).map(|at| u8::try_from(at * 31 % 251).unwrap()).collect();
    let world = World::new();
    let mut client = world.client();
    let load = format!("POST /images/load HTTP/1.1\r\nContent-Length: {SIZE}\r\n\r\n");
    say(&mut client, &load);
    let mut engine = world.engine();
    hear(&mut engine, &load);
    thread::scope(|scope| {
        scope.spawn(|| client.write_all(&pattern).unwrap());
        let mut received = vec![0; SIZE];
        engine.read_exact(&mut received).unwrap();
        assert!(received == pattern);
    });
    thread::scope(|scope| {
        scope.spawn(|| engine.write_all(&pattern).unwrap());
        let mut received = vec![0; SIZE];
        client.read_exact(&mut received).unwrap();
        assert!(received == pattern);
    });
}

#[test]
fn a_client_that_reads_nothing_stops_the_engine() {
    let world = World::new();
    let mut client = world.client();
    say(&mut client, PING);
    let mut engine = world.engine();
    hear(&mut engine, PING);
    engine.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
    let mut taken = 0;
    while let Ok(count) = engine.write(&vec![0; 64 * 1024]) {
        taken += count;
        assert!(taken < 16 * 1024 * 1024, "the proxy keeps what nobody reads");
    }
}

#[test]
fn an_upload_that_is_denied_early_is_answered() {
    let world = World::new();
    let mut client = world.client();
    let load = "POST /images/load HTTP/1.1\r\nContent-Length: 999999999\r\n\r\n";
    say(&mut client, load);
    let mut engine = world.engine();
    hear(&mut engine, load);
    let denied = "HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}";
    thread::scope(|scope| {
        let mut sender = client.try_clone().unwrap();
        scope.spawn(move || {
            // As long as anybody takes it.
            while sender.write_all(&vec![0; 64 * 1024]).is_ok() {}
        });
        thread::sleep(Duration::from_millis(50));
        say(&mut engine, denied);
        // As Go does: says that nothing more comes, waits a moment, closes.
        finish(&engine);
        thread::sleep(Duration::from_millis(50));
        drop(engine);
        assert_eq!(hear_all(&mut client), denied);
    });
}

#[test]
fn sigterm_lets_streams_end() {
    let mut world = World::new();
    let mut client = world.client();
    say(&mut client, ATTACH);
    let mut engine = world.engine();
    hear(&mut engine, ATTACH);
    say(&mut engine, UPGRADED);
    hear(&mut client, UPGRADED);

    world.terminate();
    let began = Instant::now();
    while world.try_connect().is_ok() {
        assert!(began.elapsed() < Duration::from_secs(5), "connections are still taken");
        thread::sleep(Duration::from_millis(5));
    }
    say(&mut client, "in");
    hear(&mut engine, "in");
    say(&mut engine, "out");
    drop(engine);
    assert_eq!(hear_all(&mut client), "out");
    drop(client);
    assert!(world.wait().success());
    assert!(began.elapsed() < Duration::from_secs(5), "it waited though nothing was open");
}

#[test]
fn streams_that_do_not_end_are_cut() {
    let mut world = World::with(&["--drain", "1"]);
    let mut client = world.client();
    say(&mut client, PING);
    let mut engine = world.engine();
    hear(&mut engine, PING);
    world.terminate();
    assert!(world.wait().success());
    assert_eq!(hear_all(&mut client), "");
    assert_eq!(hear_all(&mut engine), "");
}
