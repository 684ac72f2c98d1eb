//! What the commands that stay have in common: a log, systemd, and an end.

use std::io;
use std::path::PathBuf;

use tokio::signal::unix::{SignalKind, signal};
use tracing::{Level, error, warn};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::writer::MakeWriterExt;

use super::paint::shows_colours;
use crate::source::PluginSocket;

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

/// Has systemd know that the plugin answers, where it wants to (`WatchdogSec`). Each time it
/// asks on the plugin's own socket: what answers there accepts connections and speaks. Where
/// nothing does, systemd hears nothing, and starts the plugin again. Ends never, or at once.
pub async fn keep_watchdog(socket: PathBuf) {
    let Some(patience) = sd_notify::watchdog_enabled() else { return };
    loop {
        // On a new connection each time: one that is kept says nothing about accepting.
        match PluginSocket::new(&socket).activate().await {
            Ok(_) => notify(sd_notify::NotifyState::Watchdog),
            Err(cause) => warn!(cause, "the plugin does not answer itself"),
        }
        // Often enough that one miss does no harm.
        tokio::time::sleep(patience / 4).await;
    }
}

fn notify(state: sd_notify::NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        error!(%error, "systemd could not be notified");
    }
}

/// How the log is written.
#[derive(clap::Args, Debug)]
pub struct Log {
    /// Write the log as JSON, one object a line
    #[arg(long)]
    log_json: bool,

    /// Write to standard output what is no warning and no error
    ///
    /// For managed plugins: the engine's log has what they write to standard error as errors.
    #[arg(long)]
    log_stdout: bool,
}

impl Log {
    /// To standard error, where systemd and people look. `RUST_LOG` chooses the level.
    pub fn start(&self) {
        let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
        // What is milder goes to standard output, where that is asked for.
        let loud = if self.log_stdout { Level::WARN } else { Level::TRACE };
        let writer = io::stderr.with_max_level(loud).or_else(io::stdout);
        let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
        if self.log_json {
            log.json().init();
        } else {
            log.with_ansi(shows_colours(&io::stderr())).init();
        }
    }
}
