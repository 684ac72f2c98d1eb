//! What systemd does with the plugin, by hand: it holds the socket, starts the program, hears
//! from it, ends it in order or finds it killed, and starts it again.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::node::{Connection, Node, PATIENCE, activated, question, until};

const POLICY: &str = "[trust_configuration]\nrequire_content_trust = true\n";
const REQUEST: &str = "/AuthZPlugin.AuthZReq";
/// Rounds of ending and starting again.
const ROUNDS: usize = 5;
/// Who calls all the while.
const CALLERS: usize = 4;

/// One question on a connection of its own. Where the connection breaks, an error.
fn ask(socket: &Path, body: &str) -> io::Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(&Connection::bytes(REQUEST, body.as_bytes()))?;
    let mut answer = String::new();
    let mut bytes = [0; 4096];
    while !answer.ends_with('}') {
        let count = stream.read(&mut bytes)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        answer.push_str(std::str::from_utf8(&bytes[..count]).unwrap());
    }
    Ok(answer)
}

/// As engines do it (`pkg/plugins`, callWithRetry): the call, and where the connection breaks
/// under it, the same once more with nothing in it. Whether the first was answered.
fn call(socket: &Path) -> bool {
    match ask(socket, &question("GET", "/_ping", "")) {
        Ok(answer) => {
            assert!(answer.ends_with(r#"{"Allow":true}"#), "{answer}");
            true
        }
        Err(error) => {
            assert_ne!(error.kind(), io::ErrorKind::WouldBlock, "a call waited in vain");
            assert_ne!(error.kind(), io::ErrorKind::ConnectionRefused, "the socket is held");
            let again = loop {
                // The next process may be ended, too.
                if let Ok(answer) = ask(socket, "") {
                    break answer;
                }
            };
            assert!(again.contains(r#"{"Allow":false,"#), "an empty call: {again}");
            false
        }
    }
}

/// Ends the plugin under load, again and again, with the socket held by another process. How
/// many calls were answered, and how many were repeated.
fn end_under_load(signal: &str) -> (usize, usize) {
    let node = Node::new(POLICY);
    let socket = node.path("systemd.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let start = || node.start(&mut activated(&node.serve_command(), listener.try_clone().unwrap()));
    let (answered, repeated) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let done = AtomicBool::new(false);
    let mut plugin = start();
    thread::scope(|scope| {
        for _ in 0..CALLERS {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let count = if call(&socket) { &answered } else { &repeated };
                    count.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for _ in 0..ROUNDS {
            let before = answered.load(Ordering::Relaxed);
            until("calls", || answered.load(Ordering::Relaxed) >= before + 50);
            plugin.signal(signal);
            plugin.wait();
            // Calls come while nobody is there, and wait.
            thread::sleep(Duration::from_millis(50));
            plugin = start();
        }
        let before = answered.load(Ordering::Relaxed);
        until("calls", || answered.load(Ordering::Relaxed) >= before + 50);
        done.store(true, Ordering::Relaxed);
    });
    (answered.into_inner(), repeated.into_inner())
}

#[test]
fn a_restart_loses_no_call() {
    let (answered, repeated) = end_under_load("TERM");
    assert!(answered >= ROUNDS * 50);
    assert_eq!(repeated, 0, "calls under way are answered first");
}

#[test]
fn a_crash_loses_no_call_that_comes_after_it() {
    let (answered, repeated) = end_under_load("KILL");
    assert!(answered >= ROUNDS * 50);
    // Those that were under way: an engine repeats them empty, and is told no.
    assert!(repeated <= ROUNDS * CALLERS, "{repeated}");
}

#[test]
fn systemd_hears_as_long_as_the_plugin_answers_itself() {
    let node = Node::new(POLICY);
    let socket = node.path("systemd.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let systemd = UnixDatagram::bind(node.path("notify")).unwrap();
    systemd.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut program = activated(&node.serve_command(), listener);
    program.stderr(File::create(node.path("log")).unwrap());
    program.env("NOTIFY_SOCKET", node.path("notify")).env("WATCHDOG_USEC", "400000");
    let mut plugin = node.start(&mut program);
    let hear = || {
        let mut bytes = [0; 4096];
        let count = systemd.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..count].to_vec()).unwrap()
    };
    let await_word = |word: &str| while !hear().contains(word) {};
    await_word("READY=1");
    for _ in 0..3 {
        await_word("WATCHDOG=1");
    }

    // Whoever connects now waits at another socket, where nobody accepts, as they would at a
    // plugin whose accept loop stands still.
    fs::rename(&socket, node.path("away")).unwrap();
    let stands_still = UnixListener::bind(&socket).unwrap();
    plugin.await_log("the plugin does not answer itself");
    systemd.set_nonblocking(true).unwrap();
    while systemd.recv(&mut [0; 4096]).is_ok() {}
    let misses = || plugin.log().matches("the plugin does not answer itself").count();
    let before = misses();
    until("one more miss", || misses() > before);
    let mut said = [0; 4096];
    while let Ok(count) = systemd.recv(&mut said) {
        let said = String::from_utf8_lossy(&said[..count]).into_owned();
        assert!(!said.contains("WATCHDOG=1"), "{said}");
    }

    systemd.set_nonblocking(false).unwrap();
    fs::rename(node.path("away"), &socket).unwrap();
    drop(stands_still);
    await_word("WATCHDOG=1");
    plugin.terminate();
    assert_eq!(plugin.wait().code(), Some(0));
    await_word("STOPPING=1");
}
