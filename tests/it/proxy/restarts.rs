//! The end of one proxy and the start of the next, under load.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::world::{World, hear, hear_all, say};

const PING: &str = "GET /_ping HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nOK";
const LOGS: &str = "GET /containers/a/logs?follow=1 HTTP/1.1\r\nHost: d\r\n\r\n";
const STREAM: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
/// How many lines a log has, and how much time passes between two.
const LINES: usize = 30;
const PAUSE: Duration = Duration::from_millis(50);

/// An engine that answers pings and tells logs.
fn engine(socket: &Path) {
    let listener = UnixListener::bind(socket).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            thread::spawn(move || answer(stream.unwrap()));
        }
    });
}

fn answer(mut stream: UnixStream) {
    let mut head = [0; 1024];
    let length = stream.read(&mut head).unwrap_or(0);
    if head.starts_with(b"GET /_ping ") && length == PING.len() {
        let _ = stream.write_all(OK.as_bytes());
    } else if head.starts_with(b"GET /containers/") {
        let _ = stream.write_all(STREAM.as_bytes());
        for _ in 0..LINES {
            let _ = stream.write_all(b"5\r\nline\n\r\n");
            thread::sleep(PAUSE);
        }
        let _ = stream.write_all(b"0\r\n\r\n");
    }
}

/// One call on a connection of its own, as the docker CLI makes them.
fn call(socket: &PathBuf) -> std::io::Result<String> {
    let mut client = UnixStream::connect(socket)?;
    client.set_read_timeout(Some(Duration::from_secs(30)))?;
    client.write_all(PING.as_bytes())?;
    let mut answer = String::new();
    client.read_to_string(&mut answer)?;
    Ok(answer)
}

#[test]
fn no_call_fails_while_one_proxy_follows_another() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("docker.sock");
    engine(&dir.path().join("engine.sock"));
    let listener = UnixListener::bind(&socket).unwrap();
    let start = || World::activated(dir.path(), listener.try_clone().unwrap());
    let (calls, done) = (AtomicUsize::new(0), AtomicBool::new(false));
    let mut proxy = start();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    match call(&socket) {
                        Ok(answer) if answer == OK => calls.fetch_add(1, Ordering::Relaxed),
                        other => panic!("a call failed: {other:?}"),
                    };
                }
            });
        }
        for round in 1..=5 {
            // So that each proxy is ended under load.
            let before = calls.load(Ordering::Relaxed);
            let began = Instant::now();
            while calls.load(Ordering::Relaxed) < before + 50 {
                assert!(began.elapsed() < Duration::from_secs(60), "nobody answers");
                thread::sleep(Duration::from_millis(1));
            }
            // A stream that runs when the proxy is told to end is told to its end.
            let mut client = UnixStream::connect(&socket).unwrap();
            say(&mut client, LOGS);
            hear(&mut client, STREAM);
            proxy.terminate();
            let logs = hear_all(&mut client);
            assert_eq!(logs.matches("line\n").count(), LINES, "round {round}: {logs}");
            assert!(logs.ends_with("\r\n0\r\n\r\n"), "round {round}: {logs}");
            drop(client);
            assert!(proxy.wait().success());
            proxy = start();
        }
        done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn who_waits_at_a_socket_that_closes_is_served() {
    let mut world = World::new();
    // As under load: they come faster than they are accepted.
    world.signal("STOP");
    let mut clients: Vec<_> = (0..5).map(|_| world.client()).collect();
    for client in &mut clients {
        say(client, PING);
    }
    world.terminate();
    world.signal("CONT");
    for _ in 0..clients.len() {
        let mut engine = world.engine();
        hear(&mut engine, PING);
        say(&mut engine, OK);
    }
    for client in &mut clients {
        assert_eq!(hear_all(client), OK);
    }
    drop(clients);
    assert!(world.wait().success());
}

#[test]
fn sighup_ends_nothing() {
    let world = World::new();
    let mut client = world.client();
    say(&mut client, PING);
    let mut engine = world.engine();
    hear(&mut engine, PING);
    world.signal("HUP");
    world.await_log("SIGHUP: the proxy reads no configuration");
    say(&mut engine, OK);
    drop(engine);
    assert_eq!(hear_all(&mut client), OK);
    let mut client = world.client();
    say(&mut client, PING);
    hear(&mut world.engine(), PING);
}
