//! `countersign disable`

use std::process::ExitCode;

use tokio::runtime::Runtime;

use super::cannot_begin;
use super::check::start_log;
use super::config::EngineSocket;
use super::enable::EngineArgs;
use super::paint::Paint;
use crate::edit::unname_plugin;
use crate::node::{DropIn, EngineSetup, Found, Systemd};
use crate::source::Host;

/// Have the engine ask this plugin no more
///
/// Takes the plugin out of the engine's daemon.json, and what `enable` added to the engine's
/// unit, and has the engine read it anew. It needs neither the plugin nor the engine's API:
/// it works while the plugin is dead and every docker command fails. It asks nothing, and can
/// be run again. Containers go on. From then on this engine runs any image.
///
/// What daemon.json said is kept in daemon.json.before-countersign.
///
/// Exit code: 0 the engine asks the plugin no more, 1 it could not be told, 2 could not
/// begin, and nothing was changed.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    engine: EngineArgs,

    /// Show the change, and make none
    #[arg(long)]
    dry_run: bool,
}

pub fn run(args: &Args) -> ExitCode {
    start_log();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let outcome = runtime.map_err(Into::into).and_then(|runtime| disable(&runtime, args));
    outcome.unwrap_or_else(|error: Box<dyn std::error::Error>| cannot_begin(&error))
}

fn disable(runtime: &Runtime, args: &Args) -> Result<ExitCode, Box<dyn std::error::Error>> {
    let host = Host::default();
    let EngineArgs { engine: EngineSocket { path: engine }, plugin, daemon_json, .. } =
        &args.engine;
    let setup = runtime.block_on(EngineSetup::find(&host, engine, daemon_json.clone()));
    let file = setup.file.display();
    let found = Found::read(&setup.file)?;
    let text = unname_plugin(found.text(), plugin).map_err(|error| {
        format!(
            "{file}: {error}\n  to do: take {plugin} out of it by hand, then restart the engine"
        )
    })?;
    let drop_in = DropIn::look()?.filter(|_| plugin == "countersign");
    if text == found.text() {
        println!("{file} does not name the plugin");
    } else {
        print!("{}", Paint::for_stdout().diff(&file.to_string(), found.text(), &text));
    }
    if let Some(drop_in) = &drop_in {
        println!("{} is removed", drop_in.path().display());
    }
    if args.dry_run {
        return Ok(ExitCode::SUCCESS);
    }
    if text != found.text() {
        if let Some(backup) = found.back_up()? {
            println!("what {file} said is kept in {}", backup.display());
        }
        found.replace(&text)?;
    }
    // That systemd is not told now does no harm: it reads the file's absence at each boot.
    if let Some(Err(error)) = drop_in.as_ref().map(DropIn::remove) {
        eprintln!("countersign: {error}");
    }
    let flagged = setup.flagged();
    if flagged.iter().any(|one| one == plugin) {
        eprintln!(
            "countersign: the engine is also told of it on its command line \
             (--authorization-plugin), and asks it again when it is started anew\n  to do: take \
             the flag out of what starts it (systemctl cat docker)"
        );
    }
    Ok(tell(runtime, &setup, Systemd::of(&host).as_ref(), &args.engine))
}

/// Has the engine know, and says what came of it.
fn tell(
    runtime: &Runtime,
    setup: &EngineSetup,
    systemd: Option<&Systemd>,
    args: &EngineArgs,
) -> ExitCode {
    if args.no_restart {
        println!("to do: have the engine read it anew (systemctl reload docker, or kill -HUP)");
        return ExitCode::SUCCESS;
    }
    let outcome = match (&setup.daemon, systemd) {
        // An engine that ended for want of its plugin.
        (None, Some(systemd)) => systemd.start_engine(),
        (None, None) if args.reload_command.is_none() => {
            println!(
                "no engine was found that runs here; started anew, it asks the plugin nothing"
            );
            return ExitCode::SUCCESS;
        }
        _ => {
            let told = runtime.block_on(setup.reload(&args.reload()));
            told.map_err(|error| error.to_string())
        }
    };
    let socket = args.default_socket();
    let outcome =
        outcome.and_then(|()| runtime.block_on(setup.await_letting_go(&socket, args.patience())));
    match outcome {
        Ok(()) => {
            println!("the engine answers, and asks {} no more; it runs any image", args.plugin);
            ExitCode::SUCCESS
        }
        Err(cause) => {
            eprintln!(
                "countersign: the engine was not seen to answer without the plugin: {cause}\n  to do: restart it \
                 (systemctl restart docker); its configuration names the plugin no more"
            );
            ExitCode::FAILURE
        }
    }
}
