//! A wire that a story can cut or hold: TCP from a port of its own to a server of the lab.
//! Whoever else uses the server notices nothing.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Pass,
    Hold,
    Refuse,
    /// Connections end when so many more bytes of answers have come, in all of them together.
    Cut(usize),
}

struct Wire {
    mode: Mode,
    /// None while connections are refused.
    listener: Option<TcpListener>,
    streams: Vec<TcpStream>,
    /// How many pieces of data wait to be let through.
    held: usize,
    /// How many bytes of answers went through.
    answered: usize,
}

/// Passes everything on until told otherwise.
pub struct Relay {
    port: u16,
    shared: Arc<(Mutex<Wire>, Condvar)>,
}

impl Relay {
    pub fn to(target: u16) -> Self {
        let listener = listen(0);
        let port = listener.local_addr().unwrap().port();
        let wire = Wire {
            mode: Mode::Pass,
            listener: Some(listener),
            streams: Vec::new(),
            held: 0,
            answered: 0,
        };
        let shared = Arc::new((Mutex::new(wire), Condvar::new()));
        let accepting = Arc::downgrade(&shared);
        thread::spawn(move || {
            while let Some(shared) = accepting.upgrade() {
                if let Some(client) = accept(&shared) {
                    connect(&shared, client, target);
                }
                drop(shared);
                thread::sleep(Duration::from_millis(2));
            }
        });
        Self { port, shared }
    }

    pub fn url(&self) -> String {
        format!("https://localhost:{}", self.port)
    }

    /// Nobody listens any more, and what was connected is cut.
    pub fn refuse(&self) {
        self.switch(Mode::Refuse);
    }

    /// Connections are taken, and nothing ever comes back.
    pub fn hold(&self) {
        self.switch(Mode::Hold);
    }

    /// Connections end in the middle of what comes back, after so many bytes in all of them
    /// together; those that come later at once, until told otherwise.
    pub fn cut_after(&self, bytes: usize) {
        self.switch(Mode::Cut(bytes));
    }

    /// How many bytes of answers have gone through so far.
    pub fn answered(&self) -> usize {
        self.shared.0.lock().unwrap().answered
    }

    /// As in the beginning; what was held goes through.
    pub fn pass(&self) {
        self.switch(Mode::Pass);
    }

    fn switch(&self, mode: Mode) {
        let (wire, changed) = &*self.shared;
        let mut wire = wire.lock().unwrap();
        wire.mode = mode;
        if mode == Mode::Refuse {
            wire.listener = None;
            for stream in wire.streams.drain(..) {
                let _ = stream.shutdown(Shutdown::Both);
            }
        } else if wire.listener.is_none() {
            wire.listener = Some(listen(self.port));
        }
        changed.notify_all();
    }

    /// Until somebody has sent something that is held.
    pub fn wait_for_a_question(&self) {
        let (wire, changed) = &*self.shared;
        let limit = Duration::from_secs(20);
        let none_held = |wire: &mut Wire| wire.held == 0;
        let wait = changed.wait_timeout_while(wire.lock().unwrap(), limit, none_held);
        let timed_out = wait.unwrap().1.timed_out();
        assert!(!timed_out, "nobody asked for {limit:?}");
    }
}

/// Frees the port; what still waits is let go.
impl Drop for Relay {
    fn drop(&mut self) {
        self.refuse();
    }
}

/// The port was ours a moment ago when it is not 0; others may need an instant to let go.
fn listen(port: u16) -> TcpListener {
    let start = Instant::now();
    loop {
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Ok(listener) => {
                listener.set_nonblocking(true).unwrap();
                return listener;
            }
            Err(error) => assert!(start.elapsed() < Duration::from_secs(5), "{port}: {error}"),
        }
        thread::sleep(Duration::from_millis(20));
    }
}

fn accept(shared: &(Mutex<Wire>, Condvar)) -> Option<TcpStream> {
    let wire = shared.0.lock().unwrap();
    let (client, _) = wire.listener.as_ref()?.accept().ok()?;
    client.set_nonblocking(false).unwrap();
    Some(client)
}

fn connect(shared: &Arc<(Mutex<Wire>, Condvar)>, client: TcpStream, target: u16) {
    let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, target)) else { return };
    for stream in [&client, &server] {
        stream.set_nodelay(true).unwrap();
        shared.0.lock().unwrap().streams.push(stream.try_clone().unwrap());
    }
    let back = (server.try_clone().unwrap(), client.try_clone().unwrap());
    let there = Arc::clone(shared);
    thread::spawn(move || copy(&there, client, server, false));
    let again = Arc::clone(shared);
    thread::spawn(move || copy(&again, back.0, back.1, true));
}

fn copy(shared: &(Mutex<Wire>, Condvar), mut from: TcpStream, mut to: TcpStream, is_answer: bool) {
    let (wire, changed) = shared;
    let mut buffer = [0; 16 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        let mut wire = wire.lock().unwrap();
        wire.held += 1;
        changed.notify_all();
        wire = changed.wait_while(wire, |wire| wire.mode == Mode::Hold).unwrap();
        wire.held -= 1;
        let mut passed = length;
        if is_answer {
            if let Mode::Cut(left) = &mut wire.mode {
                passed = length.min(*left);
                *left -= passed;
            }
            wire.answered += passed;
        }
        drop(wire);
        if to.write_all(&buffer[..passed]).is_err() {
            break;
        }
        if passed < length {
            let _ = from.shutdown(Shutdown::Both);
            let _ = to.shutdown(Shutdown::Both);
            return;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}
