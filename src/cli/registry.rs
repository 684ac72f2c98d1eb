//! `countersign registry`

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;
use serde::Serialize;

use super::cannot_begin;
use super::check::start_log;
use super::config::load;
use super::edit::{Editing, carry_out, failed};
use super::paint::Paint;
use super::user::read_text;
use crate::doctor::{Severity, test_registry};
use crate::edit::{NewRegistry, certificates, dtr_bundle};
use crate::gate::remote;
use crate::image::Repository;
use crate::node::{NewFile, PolicyFile, PolicyFileError};

/// Where engines keep the CAs of registries.
const CERTS_D: &str = "/etc/docker/certs.d";

/// Register, list, remove and test registries
///
/// Images of registries that are not registered cannot run. These commands edit the policy:
/// the change is shown first, comments stay, and an edit with which the policy would not load
/// is refused.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Add(Add),
    List(List),
    Remove(Remove),
    Test(Test),
}

/// Register a registry
///
/// A policy that is not there yet is begun.
#[derive(clap::Args, Debug)]
struct Add {
    #[command(flatten)]
    editing: Editing,

    /// As in image names, with the port if it is not 443
    #[arg(value_name = "HOST", required_unless_present = "dtr_bundle")]
    host: Option<String>,

    /// The CA that signs its certificate, and that of its trust server (PEM)
    ///
    /// A copy is put beside the policy. Without one, what the engine trusts is trusted:
    /// /etc/docker/certs.d/HOST, else the system's CAs.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,

    /// Take the CA that the engine has for it, in /etc/docker/certs.d/HOST
    ///
    /// A copy is put beside the policy, so that what happens to the engine's changes nothing.
    #[arg(long, conflicts_with = "ca")]
    ca_from_docker: bool,

    /// Its Notary server, where that is not the registry's own
    #[arg(long, value_name = "URL")]
    trust_server: Option<String>,

    /// A docker config.json with a login for it
    ///
    /// Its path is written down, and the file stays where it is.
    #[arg(long, value_name = "FILE")]
    docker_config: Option<PathBuf>,

    /// Take host and CA from a dtr-bundle.json, as UCP has one made:
    /// {"hostAddress": "…", "caBundle": "…"}
    #[arg(long, value_name = "FILE", conflicts_with_all = ["ca", "ca_from_docker"])]
    dtr_bundle: Option<PathBuf>,
}

/// List the registries
#[derive(clap::Args, Debug)]
struct List {
    /// The policy
    #[arg(long, value_name = "FILE", default_value = "/etc/countersign/countersign.toml")]
    config: PathBuf,

    /// Print one JSON object a line: host, ca, `trust_server`
    #[arg(long)]
    json: bool,
}

/// Remove a registry
///
/// Its images cannot run from then on. Files that its entry named stay.
#[derive(clap::Args, Debug)]
struct Remove {
    #[command(flatten)]
    editing: Editing,

    /// As `countersign registry list` shows it
    #[arg(value_name = "HOST")]
    host: String,
}

/// Go the way to a registry and its trust server, step by step
///
/// Name, connection, TLS and CA, login, and whether it answers as what it should be. The first
/// step that fails says what to do. Changes nothing.
///
/// Exit code: 0 all is well, 1 a step failed, 2 could not begin.
#[derive(clap::Args, Debug)]
struct Test {
    /// The policy
    #[arg(long, value_name = "FILE", default_value = "/etc/countersign/countersign.toml")]
    config: PathBuf,

    /// Print one JSON object a line for each step: id, severity, title, why, remedy
    #[arg(long)]
    json: bool,

    /// As `countersign registry list` shows it
    #[arg(value_name = "HOST")]
    host: String,
}

pub fn run(args: &Args) -> ExitCode {
    start_log();
    let outcome = match &args.command {
        Command::Add(args) => add(args),
        Command::List(args) => list(args),
        Command::Remove(args) => remove(args),
        Command::Test(args) => test(args),
    };
    outcome.unwrap_or_else(|error| match error.downcast_ref::<PolicyFileError>() {
        Some(error) => failed(error),
        None => cannot_begin(&error),
    })
}

type Outcome = Result<ExitCode, Box<dyn std::error::Error>>;

fn add(args: &Add) -> Outcome {
    let (bundled, ca) = match &args.dtr_bundle {
        Some(path) => {
            let (host, ca) = dtr_bundle(&read_text(path)?)
                .map_err(|error| format!("{}: {error}", path.display()))?;
            (Some(host), Some(ca))
        }
        None => (None, args.ca.as_deref().map(read_text).transpose()?),
    };
    let host = match (&args.host, &bundled) {
        (Some(given), Some(bundled)) if given != bundled => {
            return Err(format!("the bundle is that of {bundled:?}, not of {given}").into());
        }
        (Some(host), _) | (None, Some(host)) => host.clone(),
        (None, None) => return Err("give the registry's host".into()),
    };
    if !is_host(&host) {
        return Err(format!(
            "{host:?} is no registry's host: write it as in image names, without scheme and path \
             (registry.example.com, localhost:5000)"
        )
        .into());
    }
    let ca = match ca {
        None if args.ca_from_docker => Some(engines_ca(&host)?),
        other => other,
    };
    let mut file = PolicyFile::open_or_begin(&args.editing.config)?;
    let mut new = NewRegistry {
        host: host.clone(),
        trust_server: args.trust_server.clone(),
        docker_config: args.docker_config.as_deref().map(absolute).transpose()?,
        ..NewRegistry::default()
    };
    if let Some(ca) = ca {
        let text = certificates(&ca).map_err(|error| format!("the CA of {host}: {error}"))?;
        let name = format!("registries/{}/ca.pem", host.replace(':', "_"));
        let there = file.read_companion(Path::new(&name))?;
        if there.as_ref().is_some_and(|there| *there != text) {
            let path = file.companion(Path::new(&name));
            return Err(format!("{} is there already, and is another CA's", path.display()).into());
        }
        if there.is_none() {
            file.bring(NewFile { path: PathBuf::from(&name), text });
        }
        new.ca_file = Some(name);
    }
    file.draft.add_registry(&new).map_err(PolicyFileError::from)?;
    let done = format!(
        "{host} is registered. To see that it can be reached: countersign registry test {host}"
    );
    Ok(carry_out(&file, &args.editing.consent, &done))
}

/// Whether an image's name can start with it.
fn is_host(host: &str) -> bool {
    format!("{host}/image").parse::<Repository>().is_ok_and(|name| name.host() == host)
}

fn absolute(path: &Path) -> Result<String, Box<dyn std::error::Error>> {
    let path = std::path::absolute(path)?;
    Ok(path.to_str().ok_or("its path is no text")?.to_owned())
}

/// What the engine trusts for a registry: every `*.crt` of its folder.
fn engines_ca(host: &str) -> Result<String, Box<dyn std::error::Error>> {
    let folder = Path::new(CERTS_D).join(host);
    let entries =
        fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "crt"));
    paths.sort();
    if paths.is_empty() {
        return Err(format!("there is no *.crt in {}", folder.display()).into());
    }
    paths.iter().map(|path| read_text(path)).collect()
}

fn remove(args: &Remove) -> Outcome {
    let mut file = PolicyFile::open(&args.editing.config)?;
    file.draft.remove_registry(&args.host).map_err(PolicyFileError::from)?;
    let done = format!("{} is registered no more", args.host);
    Ok(carry_out(&file, &args.editing.consent, &done))
}

#[derive(Serialize)]
struct Listed {
    host: String,
    ca: Option<String>,
    trust_server: Option<String>,
}

fn list(args: &List) -> Outcome {
    let file = PolicyFile::open(&args.config)?;
    let mut out = io::stdout().lock();
    for one in file.draft.registries() {
        let one = Listed { host: one.host, ca: one.ca, trust_server: one.trust_server };
        if args.json {
            writeln!(out, "{}", serde_json::to_string(&one)?)?;
            continue;
        }
        let ca = one.ca.as_deref().unwrap_or("what the engine trusts");
        let server = one.trust_server.as_deref().unwrap_or("the registry itself");
        writeln!(out, "{}\n  CA: {ca}\n  trust server: {server}", one.host)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn test(args: &Test) -> Outcome {
    let policy = load(&args.config)?;
    let registries = policy.registries();
    let Some(registry) = registries.iter().find(|registry| registry.host == args.host) else {
        let there: Vec<_> = registries.iter().map(|one| one.host.as_str()).collect();
        return Err(format!(
            "{} is not registered; registered: {}\n  to do: countersign registry add {0}",
            args.host,
            if there.is_empty() { "none".to_owned() } else { there.join(", ") }
        )
        .into());
    };
    let remote = remote(registry)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let findings = runtime.block_on(test_registry(&remote));
    let mut out = io::stdout().lock();
    if args.json {
        for finding in &findings {
            writeln!(out, "{}", serde_json::to_string(finding)?)?;
        }
    } else {
        out.write_all(Paint::for_stdout().findings(&findings).as_bytes())?;
    }
    let failed = findings.iter().any(|finding| finding.severity >= Severity::Warning);
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
