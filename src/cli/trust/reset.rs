//! `countersign trust reset`

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use super::{Failure, Reset, moment};
use crate::cli::config::load;
use crate::gate::{Forgotten, reset};
use crate::image::Repository;
use crate::source::{Caller, Store, StoreError, now, tell_host};

/// Why nothing was begun.
#[derive(Debug, thiserror::Error)]
enum UsageError {
    #[error(
        "trust reset asks before it forgets, and there is no terminal to ask on; give --yes to \
         have it forget at once"
    )]
    NobodyToAsk,
}

pub fn run(args: &Reset) -> Result<ExitCode, Failure> {
    if !args.yes && !io::stdin().is_terminal() {
        return Err(UsageError::NobodyToAsk.into());
    }
    let seen = Store::look(&args.places.state_dir)?;
    let mut all = true;
    for repository in &args.repositories {
        all &= one(args, &seen, repository)?;
    }
    Ok(if all { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Whether it was forgotten.
fn one(args: &Reset, seen: &Store, repository: &Repository) -> Result<bool, Failure> {
    let Some(forgotten) = Forgotten::of(seen, repository, now())? else {
        eprintln!("countersign: nothing is kept of {repository}");
        return Ok(false);
    };
    let Caller { uid, login_uid } = Caller::own();
    let forgotten = Forgotten { uid, login_uid, ..forgotten };
    if !args.yes {
        eprint!("{}", told(&forgotten, &then(args, repository)));
        if !confirmed(repository)? {
            eprintln!("{repository} was not forgotten");
            return Ok(false);
        }
    }
    if let Err(error) = forget(args, repository, &forgotten) {
        eprintln!("countersign: {repository} could not be forgotten: {error}");
        return Ok(false);
    }
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string(&forgotten)?)?;
    } else if args.yes {
        write!(out, "{}", told(&forgotten, &then(args, repository)))?;
    } else {
        writeln!(out, "{repository} is forgotten")?;
    }
    Ok(true)
}

fn forget(args: &Reset, repository: &Repository, forgotten: &Forgotten) -> Result<(), StoreError> {
    reset(&Store::open(&args.places.state_dir)?, repository, forgotten)?;
    let id = |id: Option<u32>| id.map_or_else(|| "unknown".to_owned(), |id| id.to_string());
    tell_host(&format!(
        "trust reset {repository}: what was seen of it is forgotten (uid {}, login uid {}, root {})",
        id(forgotten.uid),
        id(forgotten.login_uid),
        forgotten.root.as_deref().unwrap_or("none"),
    ));
    Ok(())
}

/// What is forgotten.
fn told(forgotten: &Forgotten, then: &str) -> String {
    let Forgotten { repository, root, since, versions, files, damage, .. } = forgotten;
    let mut lines = vec![format!("what was seen of {repository} is forgotten:")];
    if let Some(root) = root {
        let since = since.map_or_else(|| "a time that was not written down".to_owned(), moment);
        lines.push(format!("  - the root of trust, {root}, trusted since {since}"));
    }
    if !versions.is_empty() {
        let seen: Vec<_> = versions.iter().map(|(role, one)| format!("{role} {one}")).collect();
        lines.push(format!("  - the highest versions seen: {}", seen.join(", ")));
    }
    if let Some(damage) = damage {
        lines.push(format!("  - a record that is damaged: {damage}"));
    }
    if *files > 0 {
        lines.push(format!("  - {files} files that serve while the trust server is away"));
    }
    format!("{}\n{then}\n", lines.join("\n"))
}

/// What comes then, as far as the policy can be read.
fn then(args: &Reset, repository: &Repository) -> String {
    let policy = load(&args.places.config).ok();
    let registry = policy.as_ref().and_then(|policy| policy.registry(repository.host()));
    let how = match registry.map(|registry| &registry.root) {
        Some(root) if root.is_pinned() => "if its root meets the policy's pins",
        Some(root) if root.trust_on_first_use => "as on first contact (trust on first use)",
        Some(_) => "only once the policy pins its root: trust_on_first_use is false",
        None => "as the policy says of first contact",
    };
    format!("What the trust server serves next is believed {how}.")
}

fn confirmed(repository: &Repository) -> Result<bool, Failure> {
    eprint!("Forget {repository}? [y/N] ");
    io::stderr().flush()?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}
