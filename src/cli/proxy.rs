//! `countersign proxy`

use std::fs;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use tracing::{info, warn};

use super::cannot_begin;
use super::config::socket_path;
use super::daemon::{Log, asked_to_stop, notify_ready};
use crate::proxy::serve;
use crate::server::{Access, Listener, handed_over};

/// Keep HTTP/2 away from an engine's socket
///
/// Docker Engine 29.2 and later take gRPC calls over HTTP/2 on their own socket and hand
/// them to BuildKit without asking any authorization plugin: whoever may use the socket can
/// then pull, build and run what nobody signed. This command takes that socket's place. It
/// passes HTTP/1.1 on, byte for byte, and refuses HTTP/2.
///
/// Engines before 29.2 do not need it, and work with it.
#[derive(clap::Args, Debug)]
#[command(after_long_help = SETUP)]
pub struct Args {
    /// The socket to make, where clients expect the engine's
    ///
    /// Not used where systemd hands a socket over.
    #[arg(long, value_name = "PATH", default_value = "/run/docker.sock")]
    listen: PathBuf,

    /// The engine's own socket
    ///
    /// It must be out of everybody else's reach: mode 0600, owned by root. A path, or a
    /// unix:// URL.
    #[arg(
        long,
        value_name = "PATH",
        default_value = "/run/countersign-engine/docker.sock",
        value_parser = socket_path
    )]
    engine: PathBuf,

    /// Who may use the socket that is made: a group of /etc/group, or its number
    ///
    /// Default: docker, where that group exists.
    #[arg(long, value_name = "GROUP")]
    group: Option<String>,

    /// The mode of the socket that is made
    #[arg(long, value_name = "OCTAL", default_value = "0660", value_parser = octal)]
    mode: u32,

    /// How long connections may go on after SIGTERM
    ///
    /// Then they are cut. No new ones are taken meanwhile.
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    drain: u64,

    #[command(flatten)]
    log: Log,
}

const SETUP: &str = "Setting it up with systemd, where the engine is started with -H fd://:
  1. Copy plugin/countersign-proxy.socket and plugin/countersign-proxy.service to
     /etc/systemd/system, and plugin/docker.socket.d to /etc/systemd/system/docker.socket.d.
     The latter moves the engine's socket to where root alone can reach it.
  2. systemctl daemon-reload
     systemctl stop docker.service docker.socket
     systemctl enable --now countersign-proxy.socket
     systemctl start docker.socket docker.service
  3. See that the engine listens nowhere else:  ss -ltxp | grep dockerd

To see that it works; the first is answered, the second refused:
  curl --unix-socket /run/docker.sock http://d/_ping
  curl --unix-socket /run/docker.sock --http2-prior-knowledge http://d/_ping

Engines that are started with -H unix:///run/docker.sock, or have \"hosts\" in their
daemon.json, are given unix:///run/countersign-engine/docker.sock there instead, in a folder
that root alone may enter.

While the proxy restarts, systemd keeps its socket: clients that come then wait for it.
Streams (logs -f, attach, events) that are open longer than --drain are cut.";

/// What is said to SIGHUP.
const NO_RELOAD: &str = "the proxy reads no configuration, and goes on";

/// The group that engines give their socket to.
const USUAL_GROUP: &str = "docker";

fn octal(text: &str) -> Result<u32, String> {
    u32::from_str_radix(text, 8)
        .ok()
        .filter(|mode| *mode <= 0o777)
        .ok_or_else(|| "not a mode; one is 0660".to_owned())
}

pub fn run(args: &Args) -> ExitCode {
    args.log.start();
    let handed = match handed_over() {
        Ok(handed) => handed,
        Err(error) => return cannot_begin(&error),
    };
    // One thread: it waits nearly always, and calls pass sooner where none has to be woken.
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return cannot_begin(&error),
    };
    runtime.block_on(relay(args, handed))
}

async fn relay(args: &Args, handed: Option<UnixListener>) -> ExitCode {
    let listener = match listen(args, handed) {
        Ok(listener) => listener,
        Err(error) => return cannot_begin(&*error),
    };
    let told = match asked_to_stop(|| warn!("SIGHUP: {NO_RELOAD}")) {
        Ok(told) => told,
        Err(error) => return cannot_begin(&error),
    };
    info!(version = env!("CARGO_PKG_VERSION"), engine = %args.engine.display(), "ready");
    notify_ready();
    serve(listener, &args.engine, Duration::from_secs(args.drain), told).await;
    ExitCode::SUCCESS
}

fn listen(
    args: &Args,
    handed: Option<UnixListener>,
) -> Result<Listener, Box<dyn std::error::Error>> {
    if let Some(handed) = handed {
        return Ok(Listener::adopt(handed)?);
    }
    let groups = || fs::read_to_string("/etc/group").unwrap_or_default();
    let group = match &args.group {
        Some(group) => match group.parse().ok().or_else(|| group_id(&groups(), group)) {
            Some(id) => Some(id),
            None => return Err(format!("there is no group {group} in /etc/group").into()),
        },
        None => group_id(&groups(), USUAL_GROUP),
    };
    if group.is_none() {
        warn!("there is no group {USUAL_GROUP}: the socket stays with the group of this process");
    }
    Ok(Listener::bind(&args.listen, Access { mode: args.mode, group })?)
}

/// The number of a group, from the lines `NAME:PASSWORD:NUMBER:MEMBERS`.
fn group_id(groups: &str, name: &str) -> Option<u32> {
    groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_a_group_by_its_whole_name() {
        let groups = "root:x:0:\ndocker-users:x:7:\ndocker:x:998:alice,bob\nodd\n";
        assert_eq!(group_id(groups, "docker"), Some(998));
        assert_eq!(group_id(groups, "odd"), None);
        assert_eq!(group_id(groups, "dock"), None);
    }

    #[test]
    fn a_mode_is_octal_and_of_nine_bits() {
        assert_eq!(octal("0660"), Ok(0o660));
        assert_eq!(octal("600"), Ok(0o600));
        assert!(octal("0880").is_err() && octal("4755").is_err() && octal("").is_err());
    }
}
