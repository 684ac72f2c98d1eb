//! `countersign enable`

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};

use super::cannot_begin;
use super::check::start_log;
use super::config::{ENGINE, EngineSocket, Places, load};
use super::edit::{Answer, Consent};
use super::paint::Paint;
use crate::doctor::{Probe, Severity, Subject, examine, gather};
use crate::edit::name_plugin;
use crate::node::{DropIn, EngineSetup, Found, Reload, Systemd, managed_namesake, self_test};
use crate::policy::{Mode, Policy};
use crate::source::Host;

const PLUGIN: &str = "countersign";

/// Have the engine ask this plugin
///
/// Writes the plugin into the engine's daemon.json, after any others, and has the engine read
/// it anew (SIGHUP, as `systemctl reload docker` does it; containers go on). First it proves
/// that the policy loads and that the plugin answers, then that the engine asks it; where the
/// engine does not in time, all is put back as it was.
///
/// The change is shown first. Nothing else in daemon.json is touched; what it said is kept in
/// daemon.json.before-countersign. `countersign disable` undoes it.
///
/// Exit code: 0 the engine asks the plugin (with --no-restart: it was told to), 1 it does
/// not, and all is as before, 2 could not begin.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    places: Places,

    #[command(flatten)]
    engine: EngineArgs,

    #[command(flatten)]
    consent: Consent,

    /// The plugin's socket [default: /run/docker/plugins/NAME.sock]
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
}

/// Which engine, and how it is told.
#[derive(clap::Args, Debug)]
pub struct EngineArgs {
    #[command(flatten)]
    pub engine: EngineSocket,

    /// The plugin's name
    ///
    /// That of its socket, /run/docker/plugins/NAME.sock.
    #[arg(long, value_name = "NAME", default_value = PLUGIN, value_parser = plugin_name)]
    pub plugin: String,

    /// The engine's configuration [default: as its command line says, else
    /// /etc/docker/daemon.json]
    #[arg(long, value_name = "FILE")]
    pub daemon_json: Option<PathBuf>,

    /// Leave the running engine alone: write the file, and say what to run
    #[arg(long)]
    pub no_restart: bool,

    /// What has the engine read its configuration anew [default: SIGHUP to its process]
    ///
    /// Run by /bin/sh. It is run once more where the change is undone.
    #[arg(long, value_name = "COMMAND", conflicts_with = "no_restart")]
    pub reload_command: Option<String>,

    /// How long the engine may take
    #[arg(long, value_name = "SECONDS", default_value_t = 30,
          value_parser = clap::value_parser!(u64).range(1..=600))]
    pub timeout: u64,
}

impl EngineArgs {
    /// Where an engine looks for the plugin.
    pub(super) fn default_socket(&self) -> PathBuf {
        format!("/run/docker/plugins/{}.sock", self.plugin).into()
    }

    /// What undoes it, for this engine and plugin.
    fn disable(&self) -> String {
        let mut typed = "countersign disable".to_owned();
        if self.engine.path != Path::new(ENGINE) {
            let _ = write!(typed, " --engine {}", self.engine.path.display());
        }
        if self.plugin != PLUGIN {
            let _ = write!(typed, " --plugin {}", self.plugin);
        }
        if let Some(file) = &self.daemon_json {
            let _ = write!(typed, " --daemon-json {}", file.display());
        }
        if let Some(command) = &self.reload_command {
            let _ = write!(typed, " --reload-command {command:?}");
        }
        typed
    }

    pub(super) fn reload(&self) -> Reload {
        self.reload_command.clone().map_or(Reload::Signal, Reload::Command)
    }

    pub(super) fn patience(&self) -> Duration {
        Duration::from_secs(self.timeout)
    }
}

fn plugin_name(text: &str) -> Result<String, String> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if !text.is_empty() && text.bytes().all(fits) && !text.starts_with('.') {
        Ok(text.to_owned())
    } else {
        Err("a plugin's name has letters, digits, dots, dashes and underscores".to_owned())
    }
}

/// Why the engine was left as it was.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error(
        "the policy does not load: {0}\n  to do: mend it; countersign check tries it without the engine"
    )]
    Policy(String),
    #[error(
        "the plugin does not answer on {}: {cause}\n  to do: start it (systemctl enable --now \
         countersign.socket countersign.service; or countersign serve); an engine that is told \
         of a plugin that is away refuses every call", socket.display()
    )]
    Plugin { socket: PathBuf, cause: String },
    #[error(
        "the engine is told of its plugins on its command line (--authorization-plugin \
         {}), and takes none from {file} beside that: with both it does not start\n  to do: take \
         the flag out of what starts the engine (systemctl cat docker), name its plugins in \
         {file} instead, restart it, and run this again", flagged.join(", "), file = file.display()
    )]
    Flag { flagged: Vec<String>, file: PathBuf },
    #[error(
        "the engine has a managed plugin called {name}, which it would ask instead of the \
         socket\n  to do: where that is countersign itself, name it in {} by hand and restart the \
         engine; else docker plugin rm -f {name}, and find out who made it", file.display()
    )]
    Managed { name: String, file: PathBuf },
    #[error("{}: {cause}\n  to do: mend the file by hand, and run this again", file.display())]
    DaemonJson { file: PathBuf, cause: String },
    #[error(
        "the engine does not see {} as it is seen here: it lives in a container or in mounts of \
         its own\n  to do: give the file that it reads (--daemon-json FILE), or edit that by hand",
        .0.display()
    )]
    Elsewhere(PathBuf),
    #[error("{0}")]
    Other(String),
}

pub fn run(args: &Args) -> ExitCode {
    start_log();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime {
        Ok(runtime) => match enable(&runtime, args) {
            Ok(code) => code,
            Err(refusal) => cannot_begin(&refusal),
        },
        Err(error) => cannot_begin(&error),
    }
}

/// What is about to change.
struct Change {
    found: Found,
    text: String,
    drop_in: Option<DropIn>,
}

fn enable(runtime: &Runtime, args: &Args) -> Result<ExitCode, Refusal> {
    let host = Host::default();
    let EngineArgs { engine: EngineSocket { path: engine }, plugin, daemon_json, .. } =
        &args.engine;
    let socket = args.socket.clone().unwrap_or_else(|| args.engine.default_socket());
    let paint = Paint::for_stdout();
    let ok = |said: &str| println!("  {}  {said}", paint.paint("32", "ok"));

    let policy = load(&args.places.config).map_err(|error| Refusal::Policy(error.to_string()))?;
    ok("the policy loads");
    let setup = runtime.block_on(EngineSetup::find(&host, engine, daemon_json.clone()));
    let flagged = setup.flagged();
    if !flagged.is_empty() {
        return Err(Refusal::Flag { flagged, file: setup.file });
    }
    let systemd = Systemd::of(&host);
    let is_unit = setup.daemon.as_ref().zip(systemd.as_ref());
    let is_unit = is_unit.is_some_and(|(daemon, systemd)| systemd.started(daemon));
    let change = plan(&setup, systemd.as_ref(), plugin)?;
    if change.is_none() && runtime.block_on(setup.asks(&socket)) == Probe::Shown {
        println!("the engine asks the plugin already: {} names it", setup.file.display());
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(change) = &change {
        let file = setup.file.display().to_string();
        print!("{}", paint.diff(&file, change.found.text(), &change.text));
        if let Some(drop_in) = &change.drop_in {
            println!(
                "new file {}: the engine waits for the plugin at each boot",
                drop_in.path().display()
            );
        }
    }
    if args.consent.dry_run {
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(name) = runtime.block_on(managed_namesake(engine, plugin)) {
        return Err(Refusal::Managed { name, file: setup.file });
    }
    plugin_answers(runtime, &host, &socket, systemd.as_ref(), args)?;
    ok("the plugin answers");
    if let Some(refused) = args.consent.refused("Have the engine ask the plugin from now on?") {
        return Ok(refused);
    }
    write(&setup, change.as_ref())?;
    let is_unknown = setup.daemon.is_none() && args.engine.reload_command.is_none();
    if args.engine.no_restart || is_unknown {
        let to_do = if is_unknown {
            "no engine was found that runs here. To do: start it (systemctl start docker), or \
             have it read the file anew"
        } else {
            "to do: have the engine read it anew (systemctl reload docker, or kill -HUP)"
        };
        println!(
            "{} names the plugin\n  {to_do}; then countersign doctor proves it",
            setup.file.display()
        );
        return Ok(ExitCode::SUCCESS);
    }
    let outcome = runtime.block_on(take_effect(&setup, &socket, &args.engine));
    match outcome {
        Ok(()) => ok("the engine asks the plugin (proven by a call just made)"),
        Err(cause) => {
            eprintln!("countersign: the engine does not ask the plugin: {cause}");
            let systemd = systemd.filter(|_| is_unit);
            return Ok(undo(runtime, &setup, change.as_ref(), systemd.as_ref(), &args.engine));
        }
    }
    println!("{} To get out again: {}", what_holds(&policy), args.engine.disable());
    tell_what_is_open(runtime, args, socket, host, &paint);
    Ok(ExitCode::SUCCESS)
}

/// What an engine that asks runs from now on.
fn what_holds(policy: &Policy) -> &'static str {
    match (policy.is_enforced(), policy.mode()) {
        (false, _) => {
            "The policy demands no signatures (require_content_trust = false): this engine runs \
             any image."
        }
        (true, Mode::Audit) if policy.refuses() => {
            "Where a rule enforces, this engine runs signed images alone from now on; else what \
             the policy refuses runs, and is told (mode = \"audit\")."
        }
        (true, Mode::Audit) => {
            "This engine runs any image; what the policy refuses is told (mode = \"audit\")."
        }
        (true, Mode::Enforce) => "From now on this engine runs signed images alone.",
    }
}

/// What has to change; `None` where the file names the plugin already.
fn plan(
    setup: &EngineSetup,
    systemd: Option<&Systemd>,
    plugin: &str,
) -> Result<Option<Change>, Refusal> {
    let fault = |cause: String| Refusal::DaemonJson { file: setup.file.clone(), cause };
    let found = Found::read(&setup.file).map_err(|error| Refusal::Other(error.to_string()))?;
    let text = name_plugin(found.text(), plugin).map_err(|error| fault(error.to_string()))?;
    // One that does not run is taken for systemd's.
    let starts_it =
        |systemd: &&Systemd| setup.daemon.as_ref().is_none_or(|daemon| systemd.started(daemon));
    let drop_in = systemd.filter(starts_it).map(|systemd| systemd.wanted(plugin)).transpose();
    let drop_in = drop_in.map_err(|error| Refusal::Other(error.to_string()))?.flatten();
    if text == found.text() && drop_in.is_none() {
        return Ok(None);
    }
    Ok(Some(Change { found, text, drop_in }))
}

/// Sees that the plugin answers, and offers to start it where systemd can.
fn plugin_answers(
    runtime: &Runtime,
    host: &Host,
    socket: &Path,
    systemd: Option<&Systemd>,
    args: &Args,
) -> Result<(), Refusal> {
    let test = || runtime.block_on(self_test(host, socket));
    let refusal = |cause| Refusal::Plugin { socket: socket.to_owned(), cause };
    let Err(cause) = test() else { return Ok(()) };
    let plugin = &args.engine.plugin;
    let Some(systemd) = systemd.filter(|systemd| systemd.has_plugin(plugin)) else {
        return Err(refusal(cause));
    };
    let question = format!(
        "The plugin does not answer ({cause}). Start {plugin}.socket and {plugin}.service, now \
         and at each boot?"
    );
    if args.consent.ask(&question) != Answer::Yes {
        return Err(refusal(cause));
    }
    systemd.start_plugin(plugin).map_err(refusal)?;
    test().map_err(refusal)
}

/// Writes what changes, or nothing.
fn write(setup: &EngineSetup, change: Option<&Change>) -> Result<(), Refusal> {
    let Some(Change { found, text, drop_in }) = change else { return Ok(()) };
    let other = |error: &dyn std::fmt::Display| Refusal::Other(error.to_string());
    let is_new = text != found.text();
    let backup = is_new.then(|| found.back_up()).transpose().map_err(|error| other(&error))?;
    found.replace(text).map_err(|error| other(&error))?;
    if let Some(backup) = backup.flatten() {
        println!("  what {} said is kept in {}", found.path().display(), backup.display());
    }
    let put_back = |refusal| match found.put_back(text) {
        Ok(()) => refusal,
        Err(error) => Refusal::Other(format!("{refusal}\n  and it could not be put back: {error}")),
    };
    if setup.daemon.is_some() && !setup.sees(text) {
        return Err(put_back(Refusal::Elsewhere(setup.file.clone())));
    }
    match drop_in.as_ref().map(DropIn::add) {
        Some(Err(error)) => Err(put_back(Refusal::Other(error))),
        _ => Ok(()),
    }
}

/// Reloads the engine and waits until it asks. Whoever interrupts this has it undone.
async fn take_effect(setup: &EngineSetup, socket: &Path, args: &EngineArgs) -> Result<(), String> {
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|error| error.to_string())?;
    let mut terminate = signal(SignalKind::terminate()).map_err(|error| error.to_string())?;
    let told = async {
        setup.reload(&args.reload()).await.map_err(|error| error.to_string())?;
        setup.await_asking(socket, args.patience()).await
    };
    tokio::select! {
        outcome = told => outcome,
        _ = interrupt.recv() => Err("you interrupted".to_owned()),
        _ = terminate.recv() => Err("countersign was told to end".to_owned()),
    }
}

/// Puts everything back, and says what came of it. `systemd` where it starts the engine.
fn undo(
    runtime: &Runtime,
    setup: &EngineSetup,
    change: Option<&Change>,
    systemd: Option<&Systemd>,
    args: &EngineArgs,
) -> ExitCode {
    let file = setup.file.display();
    let Some(Change { found, text, drop_in }) = change else {
        eprintln!(
            "  {file} named it before, so there is nothing to put back\n  to do: countersign \
             disable takes it out; countersign doctor tells what is wrong"
        );
        return ExitCode::FAILURE;
    };
    if let Err(error) = found.put_back(text) {
        eprintln!("  {file} could not be put back: {error}\n  to do: countersign disable");
        return ExitCode::FAILURE;
    }
    if let Some(Err(error)) = drop_in.as_ref().map(DropIn::remove) {
        eprintln!("  {error}");
    }
    let outcome = runtime.block_on(async {
        if let Some(systemd) = systemd.filter(|_| !setup.runs()) {
            systemd.restart_engine()?;
        } else {
            let told = setup.now().await.reload(&args.reload()).await;
            told.map_err(|error| error.to_string())?;
        }
        setup.await_answer(args.patience()).await
    });
    match outcome {
        Ok(()) => eprintln!("  all is as it was: {file} was put back, and the engine answers"),
        Err(cause) => eprintln!(
            "  {file} was put back, and the engine does not answer yet: {cause}\n  to do: restart \
             it (systemctl restart docker)"
        ),
    }
    ExitCode::FAILURE
}

/// What an examination of the node holds against it, now that it is guarded.
fn tell_what_is_open(runtime: &Runtime, args: &Args, socket: PathBuf, host: Host, paint: &Paint) {
    let Places { config, state_dir } = &args.places;
    let subject = Subject {
        config: config.clone(),
        policy: load(config).map_err(|error| error.to_string()),
        state_dir: state_dir.clone(),
        engine: args.engine.engine.path.clone(),
        plugin: args.engine.plugin.clone(),
        socket,
        offline: true,
        host,
    };
    let mut findings = examine(&runtime.block_on(gather(subject)));
    findings.retain(|finding| finding.severity >= Severity::Warning);
    if !findings.is_empty() {
        println!("\nWhat countersign doctor holds against this node:\n");
        print!("{}", paint.findings(&findings));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said fits the policy, and not the hope.
    #[test]
    fn what_is_said_to_hold() {
        let said = |more: &str| {
            let text = format!("[trust_configuration]\n{more}");
            let policy = Policy::from_toml(&text, &|_| Err(std::io::ErrorKind::NotFound.into()));
            what_holds(&policy.unwrap())
        };
        let on = "require_content_trust = true\n";
        assert!(said("require_content_trust = false").contains("runs any image"));
        assert!(said(on).starts_with("From now on this engine runs signed images alone"));
        let audit = format!("{on}mode = 'audit'\n");
        assert!(said(&audit).starts_with("This engine runs any image"));
        let rule = format!("{audit}[[rules]]\nrepository = 'h.io/app'\nmode = 'enforce'\n");
        assert!(said(&rule).starts_with("Where a rule enforces"));
    }

    /// The way out that is told is one that this program takes, to the same engine.
    #[test]
    fn the_way_out_is_for_this_engine() {
        #[derive(clap::Parser)]
        struct Typed {
            #[command(flatten)]
            engine: EngineArgs,
        }
        let typed = |words: &[&str]| {
            let words = ["enable", "--engine", "/var/run/docker.sock"].iter().chain(words);
            <Typed as clap::Parser>::parse_from(words).engine.disable()
        };
        assert_eq!(typed(&[]), "countersign disable");
        assert_eq!(typed(&["--plugin", "cs"]), "countersign disable --plugin cs");
        assert_eq!(
            typed(&["--daemon-json", "/d.json", "--reload-command", "hup it"]),
            "countersign disable --daemon-json /d.json --reload-command \"hup it\""
        );
    }

    #[test]
    fn names_that_a_socket_can_have() {
        for name in ["countersign", "cs-1_2.x"] {
            assert_eq!(plugin_name(name).as_deref(), Ok(name));
        }
        for name in ["", "a/b", ".x", "a\"b", "é", "a:latest"] {
            assert!(plugin_name(name).is_err(), "{name:?}");
        }
    }
}
