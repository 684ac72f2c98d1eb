//! The engine's doors: its sockets. Does one let calls in that no plugin is shown?
//!
//! Docker Engine 29.2 and later give gRPC calls that come over HTTP/2 to `BuildKit`, and ask
//! nobody. A door that takes HTTP/2 and that others than root may use ends all protection.
//! Root needs no door, so one of root's alone is none to worry about: it is where
//! `countersign proxy` finds the engine.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout};
use tracing::{error, info};

use super::SharedGate;
use crate::source::{Host, greet, is_roots_alone};

/// Where clients look for the engine.
const USUAL: &str = "/var/run/docker.sock";
/// Where the engine listens behind `countersign proxy`.
const BEHIND_PROXY: &str = "/run/countersign-engine/docker.sock";
/// How often it is said again, at most, and looked at again, at least.
const HOUR: Duration = Duration::from_secs(3600);

/// A socket at which an engine, or something in front of it, answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Door {
    /// Where it is, links followed.
    pub socket: PathBuf,
    /// Whether it takes HTTP/2; `None` where it did not answer in time.
    pub http2: Option<bool>,
    /// Whether nobody but root can reach it.
    pub is_roots_alone: bool,
}

impl Door {
    /// Whether others than root can make calls there that no plugin is shown.
    pub fn is_open(&self) -> bool {
        self.http2 == Some(true) && !self.is_roots_alone
    }
}

/// The doors of a host: the engine's socket as it was named and `more`; where root alone may
/// use the former, the one that everybody else uses too.
pub async fn doors(host: &Host, engine: &Path, more: &[PathBuf]) -> Vec<Door> {
    let mut sockets = vec![engine.to_owned()];
    if host.way(engine).is_ok_and(|way| is_roots_alone(&way)) {
        sockets.push(PathBuf::from(USUAL));
    }
    sockets.push(PathBuf::from(BEHIND_PROXY));
    sockets.extend_from_slice(more);
    let mut doors: Vec<Door> = Vec::new();
    for socket in sockets {
        let socket = std::fs::canonicalize(&socket).unwrap_or(socket);
        if doors.iter().any(|door| door.socket == socket) {
            continue;
        }
        if let Some(greeted) = greet(&socket).await {
            // What cannot be looked at is taken for open.
            let is_roots_alone = host.way(&socket).is_ok_and(|way| is_roots_alone(&way));
            doors.push(Door { socket, http2: greeted.http2, is_roots_alone });
        }
    }
    doors
}

/// What is known of a host's doors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nobody answers.
    Unknown,
    /// No door is open.
    Closed,
    /// These are.
    Open(Vec<PathBuf>),
}

impl Standing {
    fn of(doors: &[Door]) -> Self {
        let open: Vec<_> =
            doors.iter().filter(|door| door.is_open()).map(|door| door.socket.clone()).collect();
        if !open.is_empty() {
            Self::Open(open)
        } else if doors.iter().any(|door| door.http2.is_some()) {
            Self::Closed
        } else {
            Self::Unknown
        }
    }
}

/// Looks at the doors for as long as it is polled: at once, whenever an engine `appeared`,
/// and each hour. An open one is an error in the log; `tell` is told of every change. Waits
/// as long as the policy protects nothing.
pub async fn attend(
    gate: SharedGate,
    engine: PathBuf,
    appeared: Arc<Notify>,
    tell: impl Fn(&Standing),
) {
    let mut changes = gate.changes();
    changes.enforced().await;
    let host = Host::default();
    let (mut known, mut said) = (Standing::Unknown, Said::default());
    loop {
        let standing = Standing::of(&doors(&host, &engine, &[]).await);
        match &standing {
            Standing::Open(open) if said.is_due(open, Instant::now()) => error!(
                code = "engine.grpc",
                sockets = ?open,
                "this host is NOT protected: its engine takes gRPC calls past every plugin, and \
                 others than root may make them; put countersign proxy in front of its socket \
                 (countersign help proxy)"
            ),
            Standing::Closed if matches!(known, Standing::Open(_)) => {
                info!(code = "engine.grpc", "the engine takes no gRPC calls from others any more");
            }
            _ => {}
        }
        if standing != known {
            tell(&standing);
            known = standing;
        }
        let _ = timeout(HOUR, appeared.notified()).await;
    }
}

/// What was said last, and when.
#[derive(Default)]
struct Said(Option<(Vec<PathBuf>, Instant)>);

impl Said {
    /// Whether these are to be said, as others than last or for the first time in an hour.
    fn is_due(&mut self, open: &[PathBuf], now: Instant) -> bool {
        let recently = |(last, at): &(Vec<PathBuf>, Instant)| {
            last == open && now.saturating_duration_since(*at) < HOUR
        };
        if self.0.as_ref().is_some_and(recently) {
            return false;
        }
        self.0 = Some((open.to_owned(), now));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn door(socket: &str, http2: Option<bool>, is_roots_alone: bool) -> Door {
        Door { socket: PathBuf::from(socket), http2, is_roots_alone }
    }

    #[test]
    fn a_door_is_open_that_takes_http2_from_others_than_root() {
        let open = |sockets: &[&str]| Standing::Open(sockets.iter().map(PathBuf::from).collect());
        for (doors, expected) in [
            (vec![], Standing::Unknown),
            (vec![door("a", None, false)], Standing::Unknown),
            (vec![door("a", Some(false), false)], Standing::Closed),
            (vec![door("a", Some(true), false)], open(&["a"])),
            // The engine behind the proxy, and the proxy.
            (vec![door("a", Some(true), true), door("b", Some(false), false)], Standing::Closed),
            // The engine listens there as well.
            (vec![door("a", Some(true), true), door("b", Some(true), false)], open(&["b"])),
            (vec![door("a", None, false), door("b", Some(true), false)], open(&["b"])),
            // Nobody but root can reach any engine here.
            (vec![door("a", Some(true), true)], Standing::Closed),
        ] {
            assert_eq!(Standing::of(&doors), expected, "{doors:?}");
        }
    }

    #[test]
    fn the_same_is_said_once_an_hour() {
        let began = Instant::now();
        let at = |minutes: u64| began + Duration::from_secs(60 * minutes);
        let (one, two) = ([PathBuf::from("a")], [PathBuf::from("a"), PathBuf::from("b")]);
        let mut said = Said::default();
        let due = [
            (&one[..], 0, true),
            (&one, 1, false),
            (&one, 59, false),
            (&one, 60, true),
            (&one, 119, false),
            (&two, 119, true),
            (&two, 178, false),
        ];
        for (open, minutes, expected) in due {
            assert_eq!(said.is_due(open, at(minutes)), expected, "{open:?} at {minutes}");
        }
    }
}
