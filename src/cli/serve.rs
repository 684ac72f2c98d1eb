//! `countersign serve`

use std::io;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tracing::{error, info, warn};

use super::cannot_begin;
use super::config::{EngineSocket, Places, load};
use super::daemon::{Log, asked_to_stop, keep_watchdog, notify_ready, notify_reloading};
use super::status::Status;
use crate::gate::{
    Decision, Gate, Generation, Glass, GlassWatch, Settings, SharedGate, Standing, attend,
    keep_fresh, watch,
};
use crate::policy::{Exception, GuardMode, Mode, Policy};
use crate::record::{self, Destination, Metrics, Recorder};
use crate::server::{Access, Listener, MetricsAddress, Scrapes, handed_over, serve};
use crate::source::{self, BreakGlass, Engine, Running};

/// Run the plugin
///
/// Listens on the plugin socket and answers the engine's calls until it gets SIGTERM or
/// SIGINT; calls under way are still answered. Containers that run or start without a
/// call (swarm tasks, restart policies) are looked at, and told in the log where they may
/// not; with `on_violation = "stop"` they are killed.
#[derive(clap::Args, Debug)]
#[command(after_long_help = EXAMPLE)]
pub struct Args {
    #[command(flatten)]
    places: Places,

    /// The plugin socket to make
    ///
    /// Its name is the plugin's: engines look for /run/docker/plugins/NAME.sock. Not used
    /// where systemd hands a socket over.
    #[arg(long, value_name = "PATH", default_value = "/run/docker/plugins/countersign.sock")]
    socket: PathBuf,

    #[command(flatten)]
    engine: EngineSocket,

    /// Where a record of each decision goes
    ///
    /// "journal": the systemd journal, each field by its name (COUNTERSIGN_CODE=not-signed);
    /// a file's path, or "-" for standard output: a JSON object a line; "none"; "auto": the
    /// journal, where standard error goes there too, else none. A file may be moved away at
    /// any time: a new one is made. No decision waits for its record, and none fails for it:
    /// what cannot be written is counted, and the log says so.
    #[arg(
        long,
        value_name = "WHERE",
        env = "COUNTERSIGN_RECORD",
        default_value = "auto",
        hide_env_values = true
    )]
    record: Destination,

    /// Record calls, too, that bring and run nothing
    ///
    /// Reads, logs, stops and so on: nearly all that an engine is asked.
    #[arg(long)]
    record_all: bool,

    /// Show metrics to Prometheus there, at /metrics
    ///
    /// An address of loopback (127.0.0.1:9618), or a Unix socket's path, which is made
    /// for root alone.
    #[arg(long, value_name = "ADDRESS", env = "COUNTERSIGN_METRICS", hide_env_values = true)]
    metrics: Option<MetricsAddress>,

    #[command(flatten)]
    log: Log,
}

const EXAMPLE: &str = r#"The policy, /etc/countersign/countersign.toml:

  [trust_configuration]
  require_content_trust = true
  require_signature_from = ["CI"]        # a member of each; [] = any known user

  [[registries]]
  host_address = "registry.example.com"  # as in image names; with its port if not 443
  ca_file = "registry-ca.pem"
  # trust_server = "https://notary.example.com"
  # proxy = "http://proxy.example.com:3128"   # default: HTTPS_PROXY and NO_PROXY

  [teams]
  CI = ["jenkins"]

  [users.jenkins]
  certificates = ["users/jenkins/cert.pem"]

Tell the engine of it in /etc/docker/daemon.json, not with a flag (an engine forgets the
flag when it is told to reload its configuration):

  "authorization-plugins": ["countersign"]"#;

/// How long the end waits for records that are not written yet.
const FLUSH: Duration = Duration::from_secs(3);

pub fn run(args: &Args) -> ExitCode {
    args.log.start();
    let handed = match handed_over() {
        Ok(handed) => handed,
        Err(error) => return cannot_begin(&error),
    };
    let gate = match gate(args) {
        Ok(gate) => gate,
        Err(error) => return cannot_begin(&error),
    };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(workers()).enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return cannot_begin(&error),
    };
    runtime.block_on(listen(gate, handed, args))
}

/// Threads that serve calls: one fewer than the machine has processors, since the engine that
/// calls needs one itself. Where there are more, they displace each other, and a call waits for
/// its thread to have its turn again. What takes long has threads of its own.
fn workers() -> usize {
    const MOST: usize = 8;
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    processors.saturating_sub(1).clamp(1, MOST)
}

fn gate(args: &Args) -> Result<Gate, Box<dyn std::error::Error>> {
    let policy = load(&args.places.config)?;
    describe(&policy);
    let engine = Some(Engine::new(&args.engine.path)?);
    let state_dir = args.places.state_dir.clone();
    let own = [&args.places.config, &args.socket, &args.engine.path].map(|file| folder_of(file));
    let mut own = own.into_iter().collect::<io::Result<Vec<_>>>()?;
    own.push(std::path::absolute(&state_dir)?);
    Ok(Gate::new(Settings { policy, engine, state_dir, offline: false })?.protecting(own))
}

/// The folder of a file of ours, so that the file cannot be replaced in it either.
fn folder_of(file: &Path) -> io::Result<PathBuf> {
    let file = std::path::absolute(file)?;
    Ok(file.parent().unwrap_or(&file).to_owned())
}

async fn listen(gate: Gate, handed: Option<UnixListener>, args: &Args) -> ExitCode {
    let socket = &args.socket;
    let listener = match handed {
        Some(handed) => Listener::adopt(handed),
        None => Listener::bind(socket, Access::OWNER),
    };
    let listener = match listener {
        Ok(listener) => listener,
        Err(error) => return cannot_begin(&error),
    };
    let (glass, status) = (Arc::<Glass>::default(), Arc::<Status>::default());
    let reload = Arc::new(Notify::new());
    let hangup = Arc::clone(&reload);
    let told = match asked_to_stop(move || hangup.notify_one()) {
        Ok(told) => told,
        Err(error) => return cannot_begin(&error),
    };
    let gate = SharedGate::new(gate.behind(Arc::clone(&glass)));
    status.policy(gate.current().generation(), None);
    let recorder = match recorder(args, &gate) {
        Ok(recorder) => Arc::new(recorder),
        Err(error) => return cannot_begin(&error),
    };
    let scrapes = match &args.metrics {
        None => None,
        Some(address) => match Scrapes::bind(address).await {
            Ok(scrapes) => Some(scrapes),
            Err(error) => return cannot_begin(&error),
        },
    };
    let scraping = scrapes.map(|scrapes| tokio::spawn(scrapes.serve(Arc::clone(&recorder))));
    // It asks the engine, which asks us: it begins when that is answered, and ends first.
    let appeared = Arc::new(Notify::new());
    let keeping = Arc::clone(&recorder);
    let seen =
        move |container: &Running, decision: &Decision, policy: &Generation, killed: bool| {
            keeping.seen(&container.id, decision, policy, killed);
        };
    let watching = tokio::spawn(watch(gate.clone(), Arc::clone(&appeared), Arc::new(seen)));
    let (keeping, shown) = (Arc::clone(&recorder), Arc::clone(&status));
    let show = move |standing: &Standing| {
        keeping.metrics().door(match standing {
            Standing::Unknown => None,
            Standing::Closed => Some(false),
            Standing::Open(_) => Some(true),
        });
        shown.standing(standing);
    };
    let attending = tokio::spawn(attend(gate.clone(), args.engine.path.clone(), appeared, show));
    let show = Arc::clone(&status);
    let show = move |broken: Option<&BreakGlass>| show.glass(broken);
    let glass = GlassWatch::new(glass, args.places.state_dir.clone(), show);
    let glass = tokio::spawn(glass.run());
    let reloading = reload_when(reload, gate.clone(), args.places.config.clone(), status);
    let reloading = tokio::spawn(reloading);
    let watchdog = listener.path().map(|path| tokio::spawn(keep_watchdog(path)));
    let keeping_fresh = tokio::spawn(keep_fresh(gate.clone()));
    let told = async {
        told.await;
        keeping_fresh.abort();
        watching.abort();
        attending.abort();
        glass.abort();
        reloading.abort();
    };
    info!(version = env!("CARGO_PKG_VERSION"), socket = %socket.display(), "ready");
    notify_ready();
    serve(gate, Arc::clone(&recorder), listener, told).await;
    // Last of all, so that whoever looks sees the end coming.
    if let Some(scraping) = scraping {
        scraping.abort();
        let _ = scraping.await;
    }
    recorder.flush(FLUSH);
    if let Some(watchdog) = watchdog {
        watchdog.abort();
    }
    ExitCode::SUCCESS
}

fn recorder(args: &Args, gate: &SharedGate) -> io::Result<Recorder> {
    let settings =
        record::Settings { destination: args.record.clone(), everything: args.record_all };
    Recorder::new(settings, Metrics::new(env!("CARGO_PKG_VERSION")).observing(gate.clone()))
}

/// Reads the policy anew whenever that is `asked` for. Where it cannot be put in force, the one
/// that is stays.
async fn reload_when(asked: Arc<Notify>, gate: SharedGate, config: PathBuf, status: Arc<Status>) {
    loop {
        asked.notified().await;
        notify_reloading();
        let (shared, config) = (gate.clone(), config.clone());
        let read = move || -> Result<Arc<Gate>, String> {
            let policy = load(&config).map_err(|error| error.to_string())?;
            shared.reload(policy).map_err(|error| error.to_string())
        };
        let read = tokio::task::spawn_blocking(read).await;
        match read.unwrap_or_else(|error| Err(error.to_string())) {
            Ok(gate) => {
                describe(gate.policy());
                info!(policy = %gate.generation(), "the policy was read anew and is in force");
                status.policy(gate.generation(), None);
            }
            Err(error) => {
                let gate = gate.current();
                let policy = gate.generation();
                error!(%policy, error, "the policy on disk cannot be put in force; the last stays");
                status.policy(policy, Some(&error));
            }
        }
        notify_ready();
    }
}

fn describe(policy: &Policy) {
    if !policy.is_enforced() {
        warn!("require_content_trust is false: every call is allowed");
    }
    if policy.mode() == Mode::Audit {
        warn!("mode is \"audit\": what the policy refuses is allowed, and told here");
    }
    for repository in policy.audited() {
        warn!(%repository, "mode is \"audit\" for these: what is refused is allowed, and told here");
    }
    for exception in policy.exceptions() {
        let Exception { of, owner, reason, written_until: until, .. } = exception;
        let in_force = exception.is_in_force(source::now());
        info!(%of, owner, reason, until, in_force, "exception");
    }
    if policy.guard_mode() != GuardMode::Enforce {
        warn!(mode = ?policy.guard_mode(), "[guard] does not enforce: containers may reach the host");
    }
    if policy.registries().is_empty() {
        warn!("no registry is registered: no image can be allowed");
    }
    info!(
        registries = policy.registries().len(),
        users = policy.users(),
        required_teams = ?policy.required_teams(),
        fingerprint = policy.fingerprint(),
        "policy"
    );
}
