//! Connections that end in the middle, wherever the middle is.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::builder::GUN;
use crate::site::{Site, all_well, decide, successor};
use crate::static_server::{Asked, Cut, Step};

use super::fails;

/// What the honest server sends.
fn whole(asked: &Asked) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 X\r\nContent-Length: {}\r\n\r\n", asked.body.len());
    [head.as_bytes(), &asked.body].concat()
}

/// The first of these bytes, and what ends the connection then.
fn part(bytes: &[u8], length: usize, cut: Cut) -> Vec<Step> {
    vec![Step::Send(bytes[..length].to_vec()), Step::Cut(cut)]
}

#[tokio::test]
async fn an_answer_cut_off_at_any_byte_is_none() {
    let site = Site::new();
    let node = site.node();
    let gate = node.gate();
    decide(&gate).await.is_plain().unwrap();
    let kept = node.kept();
    let length = Arc::new(AtomicUsize::new(1));
    let mut faults = Vec::new();
    let mut cuts = Cut::ALL.into_iter().cycle();
    let mut at = 0;
    while at < length.load(Ordering::SeqCst) {
        // Each byte in the two ways of TCP; as TLS ends it, it is the first over again.
        for cut in [cuts.next().unwrap(), cuts.next().unwrap()] {
            let measured = Arc::clone(&length);
            site.server.twist(move |asked| {
                let bytes = whole(asked);
                measured.store(bytes.len(), Ordering::SeqCst);
                Some(part(&bytes, at, cut))
            });
            let told = decide(&gate).await;
            let what = format!(
                "trust server {} closed the connection before its answer was complete",
                site.server.host()
            );
            if let Err(wrong) = told.stood(&what) {
                faults.push(format!("{cut:?} at {at}: {wrong}"));
            }
        }
        at += 1;
    }
    all_well(&faults);
    assert!(at > 500, "{at} bytes are no answer");
    assert_eq!(node.kept(), kept);
    site.server.untwist();
    site.server.replace_built(GUN, &successor(2).publish());
    decide(&gate).await.is_plain().unwrap();
}

/// Serves this many bytes in all, whatever is asked for, and is cut off then.
fn limit(site: &Site, bytes: usize, cut: Cut) {
    let left = Mutex::new(bytes);
    site.server.twist(move |asked| {
        let bytes = whole(asked);
        let mut left = left.lock().unwrap();
        if *left >= bytes.len() {
            *left -= bytes.len();
            return Some(vec![Step::Send(bytes)]);
        }
        Some(part(&bytes, std::mem::take(&mut *left), cut))
    });
}

#[tokio::test]
async fn a_first_contact_cut_off_anywhere_leaves_nothing() {
    // Not a divisor of anything.
    const STEP: usize = 37;
    let site = Site::new();
    let all: usize = {
        let sent = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&sent);
        site.server.twist(move |asked| {
            let bytes = whole(asked);
            counted.fetch_add(bytes.len(), Ordering::SeqCst);
            Some(vec![Step::Send(bytes)])
        });
        decide(&site.node().gate()).await.is_plain().unwrap();
        sent.load(Ordering::SeqCst)
    };
    let mut faults = Vec::new();
    for (at, cut) in (0..all).step_by(STEP).zip(Cut::ALL.into_iter().cycle()) {
        limit(&site, at, cut);
        if let Err(wrong) = fails(&site, "closed the connection before its answer").await {
            faults.push(format!("{cut:?} at {at} of {all}: {wrong}"));
        }
    }
    all_well(&faults);
    // All of it, and it is as if nothing had been.
    limit(&site, all, Cut::Fin);
    decide(&site.node().gate()).await.is_plain().unwrap();
}

/// A wire to a server that passes so many bytes in one direction, and is cut then.
struct Wire {
    address: SocketAddr,
    /// How many bytes went through, at most in one connection.
    passed: Arc<[AtomicUsize; 2]>,
    plan: Arc<Mutex<Plan>>,
}

/// The two directions of [`Wire`].
const UP: usize = 0;
const DOWN: usize = 1;
const NO_LIMITS: [usize; 2] = [usize::MAX; 2];

#[derive(Clone, Copy)]
struct Plan {
    limits: [usize; 2],
    cut: Cut,
}

impl Wire {
    fn to(target: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let plan = Plan { limits: NO_LIMITS, cut: Cut::Fin };
        let wire = Self {
            address: listener.local_addr().unwrap(),
            passed: Arc::default(),
            plan: Arc::new(Mutex::new(plan)),
        };
        let (plan, passed) = (Arc::clone(&wire.plan), Arc::clone(&wire.passed));
        thread::spawn(move || {
            for client in listener.incoming() {
                let (client, server) = (client.unwrap(), TcpStream::connect(&target).unwrap());
                let plan = {
                    let mut next = plan.lock().unwrap();
                    let plan = *next;
                    if plan.limits != NO_LIMITS {
                        next.limits = [0; 2];
                    }
                    plan
                };
                for (direction, from, to) in [(UP, &client, &server), (DOWN, &server, &client)] {
                    let streams = [from, to].map(|stream| stream.try_clone().unwrap());
                    let passed = Arc::clone(&passed);
                    thread::spawn(move || {
                        let count = copy(streams, plan.limits[direction], plan.cut);
                        passed[direction].fetch_max(count, Ordering::SeqCst);
                    });
                }
            }
        });
        wire
    }

    /// Limits the next connection so, and those after it to nothing: they would need less,
    /// as TLS resumes what was begun before.
    fn cut_after(&self, direction: usize, bytes: usize, cut: Cut) {
        let mut limits = NO_LIMITS;
        limits[direction] = bytes;
        *self.plan.lock().unwrap() = Plan { limits, cut };
    }
}

/// Passes at most `limit` bytes on, then cuts both sides.
fn copy([mut from, mut to]: [TcpStream; 2], limit: usize, cut: Cut) -> usize {
    let mut passed = 0;
    let mut buffer = [0; 16 * 1024];
    while passed < limit {
        let most = buffer.len().min(limit - passed);
        match from.read(&mut buffer[..most]) {
            Ok(length @ 1..) if to.write_all(&buffer[..length]).is_ok() => passed += length,
            _ => break,
        }
    }
    for stream in [&from, &to] {
        cut.tcp(stream);
        // The other direction has its own hands on it, and would keep it open.
        let _ = stream.shutdown(std::net::Shutdown::Both);
    }
    passed
}

#[tokio::test]
async fn a_wire_cut_at_any_place_is_named_as_that() {
    const STEP: usize = 29;
    let mut site = Site::new();
    let known = site.node();
    decide(&known.gate()).await.is_plain().unwrap();
    let kept = known.kept();
    let wire = Wire::to(site.server.host());
    site.trust_server = format!("https://{}", wire.address);
    known.node.configure(&site.policy());
    // What a decision takes that finds nothing new: the first connection there is.
    decide(&known.gate()).await.is_plain().unwrap();
    while wire.passed.iter().any(|passed| passed.load(Ordering::SeqCst) == 0) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let passed = [UP, DOWN].map(|direction| wire.passed[direction].load(Ordering::SeqCst));
    let what = format!("trust server {} ", wire.address);
    let mut faults = Vec::new();
    for direction in [UP, DOWN] {
        let all = passed[direction];
        let name = ["what is asked", "what is answered"][direction];
        // The last bytes say that nothing more comes.
        let needed = all.saturating_sub(64);
        for (at, cut) in (0..needed).step_by(STEP).zip([Cut::Fin, Cut::Reset].into_iter().cycle()) {
            wire.cut_after(direction, at, cut);
            let told = decide(&known.gate()).await;
            if let Err(wrong) = told.stood(&what) {
                faults.push(format!("{cut:?} at {at} of {all} of {name}: {wrong}"));
            }
            wire.cut_after(direction, at, cut);
            if let Err(wrong) = fails(&site, &what).await {
                faults.push(format!("{cut:?} at {at} of {all} of {name}, at first: {wrong}"));
            }
        }
    }
    all_well(&faults);
    assert_eq!(known.kept(), kept);
    wire.cut_after(UP, usize::MAX, Cut::Fin);
    decide(&known.gate()).await.is_plain().unwrap();
    decide(&site.node().gate()).await.is_plain().unwrap();
}
