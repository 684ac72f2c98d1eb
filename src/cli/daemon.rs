//! What the commands that stay have in common: a log, systemd, and an end.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tracing::{error, warn};
use tracing_subscriber::EnvFilter;

use super::paint::shows_colours;

/// Completes when the process is told to end: SIGTERM or SIGINT. From this call on, these
/// no longer end it by themselves, and SIGHUP does nothing but say why it does nothing.
pub fn asked_to_stop(no_reload: &'static str) -> io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    Ok(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                _ = hangup.recv() => warn!("SIGHUP: {no_reload}"),
            }
        }
        notify(sd_notify::NotifyState::Stopping);
    })
}

/// Tells systemd that calls are taken from now on.
pub fn notify_ready() {
    notify(sd_notify::NotifyState::Ready);
}

/// What `systemctl status` shows.
pub fn notify_status(status: &str) {
    notify(sd_notify::NotifyState::Status(status));
}

fn notify(state: sd_notify::NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        error!(%error, "systemd could not be notified");
    }
}

/// To standard error, where systemd and people look. `RUST_LOG` chooses the level.
pub fn start_log(json: bool) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    if json {
        log.json().init();
    } else {
        log.with_ansi(shows_colours(&io::stderr())).init();
    }
}
