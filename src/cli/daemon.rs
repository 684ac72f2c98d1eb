//! What the commands that stay have in common: a log, systemd, and an end.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tracing::error;
use tracing_subscriber::EnvFilter;

use super::paint::shows_colours;

/// Completes when the process is told to end: SIGTERM or SIGINT. From this call on, these
/// no longer end it by themselves.
pub fn asked_to_stop() -> io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        notify(sd_notify::NotifyState::Stopping);
    })
}

/// Tells systemd that calls are taken from now on.
pub fn notify_ready() {
    notify(sd_notify::NotifyState::Ready);
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
