//! `countersign policy show`

use std::path::Path;
use std::process::ExitCode;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::super::config::{LoadError, read};
use super::super::tree::Tree;
use super::{Outcome, Which, print};
use crate::edit::Lines;
use crate::image::{Reference, Repository};
use crate::policy::{ExceptionShown, InForce, KeyShown, RepositoryShown, Setting, UserShown, day};
use crate::source;

/// Show what is in force, and on which line of the policy that is written
///
/// Every setting with its value, those that are not written among them; the rules, the one that
/// says most about a repository first; exceptions with the days that are left; registries,
/// teams, users and their keys. With --for, what holds for one repository and which rule says
/// so. Secrets are not shown.
///
/// Reads the file, not the plugin: whether the plugin has it in force yet, `systemctl status
/// countersign` tells by the policy's fingerprint.
///
/// Exit code: 0 shown, 2 the policy cannot be read.
#[derive(clap::Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    which: Which,

    /// What holds for this repository alone
    #[arg(long = "for", value_name = "REPOSITORY", value_parser = repository)]
    repository: Option<Repository>,

    /// Print one JSON object
    ///
    /// Members: file, fingerprint, settings (key, value, line; rule with --for), registries,
    /// rules, exceptions, teams, users. With --for: file, repository, registered, rules,
    /// settings, exceptions. A line is null where nothing is written.
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  countersign policy show
  countersign policy show --for registry.example.com/prod/app
  countersign policy show --json | jq '.exceptions[] | select(.days_left < 14)'";

/// A repository, or an image of it.
fn repository(text: &str) -> Result<Repository, String> {
    let image: Result<Reference, _> = text.parse();
    image.map(|image| image.repository).map_err(|error| error.to_string())
}

/// What `--json` prints.
#[derive(Serialize)]
struct Whole<'a, T> {
    file: &'a Path,
    #[serde(flatten)]
    shown: &'a T,
}

pub fn run(args: &Args) -> Outcome {
    let file = args.which.config.as_path();
    let (text, policy) = read(file)?;
    let lines =
        Lines::of(&text).map_err(|error| LoadError::Unlocated { path: file.to_owned(), error })?;
    let (now, line) = (source::now(), |path: &[&str]| lines.line(path));
    let shown = if let Some(one) = &args.repository {
        let shown = policy.in_force_for(one, now, &line);
        if args.json { json(file, &shown)? } else { one_repository(&shown).draw() }
    } else {
        let shown = policy.in_force(now, &line);
        if args.json { json(file, &shown)? } else { whole(file, &shown, now).draw() }
    };
    print(&shown)?;
    Ok(ExitCode::SUCCESS)
}

fn json(file: &Path, shown: &impl Serialize) -> serde_json::Result<String> {
    Ok(serde_json::to_string(&Whole { file, shown })? + "\n")
}

fn whole(file: &Path, shown: &InForce, now: Timestamp) -> Tree {
    let InForce { fingerprint, settings, registries, rules, exceptions, teams, users } = shown;
    let mut tree = Tree::new(format!("{} ({fingerprint})", file.display()));
    tree.push(branch("settings", settings.iter().map(setting)));
    let entries = |what: &str, line, below: &[Setting]| {
        branch(format!("{what}{}", at(line)), below.iter().map(setting))
    };
    let found = registries.iter();
    tree.push(branch("registries", found.map(|one| entries(&one.host, one.line, &one.settings))));
    let found = rules.iter();
    let found = found.map(|one| entries(&one.repository, one.line, &one.settings));
    tree.push(branch("rules, the most specific first", found));
    tree.push(branch("exceptions", exceptions.iter().map(exception)));
    tree.push(branch(
        "teams",
        teams.iter().map(|one| {
            let members = list(&one.members, "nobody");
            let mark = if one.required { " (required)" } else { "" };
            Tree::new(format!("{}{mark}: {members}{}", one.team.escape_debug(), at(one.line)))
        }),
    ));
    tree.push(branch("users", users.iter().map(|one| user(one, now))));
    tree
}

fn one_repository(shown: &RepositoryShown) -> Tree {
    let RepositoryShown { repository, registered, rules, settings, exceptions } = shown;
    let mut tree = Tree::new(format!("repository {repository}"));
    if !registered {
        tree.leaf("its registry is not registered: nothing of it can be proven");
    }
    let rules = list(rules, "none");
    tree.leaf(format!("rules for it, the most specific first: {rules}"));
    tree.push(branch("in force", settings.iter().map(setting)));
    tree.push(branch("exceptions for its names", exceptions.iter().map(exception)));
    tree
}

/// A heading and what is below it.
fn branch(text: impl Into<String>, below: impl Iterator<Item = Tree>) -> Tree {
    let mut tree = Tree::new(text);
    let mut is_empty = true;
    for one in below {
        tree.push(one);
        is_empty = false;
    }
    if is_empty {
        tree.leaf("none");
    }
    tree
}

fn setting(setting: &Setting) -> Tree {
    let Setting { key, value, rule, line } = setting;
    let origin = match (rule, line) {
        (Some(rule), Some(line)) => format!("line {line}, rule for {rule}"),
        (None, Some(line)) => format!("line {line}"),
        (Some(rule), None) => format!("rule for {rule}"),
        (None, None) => "default".to_owned(),
    };
    Tree::new(format!("{key} = {}   # {origin}", written(value)))
}

/// A value, as it would be written in the file.
fn written(value: &Value) -> String {
    match value {
        Value::Null => "(not set)".to_owned(),
        Value::Object(members) => {
            let members = members.iter().map(|(key, value)| format!("{key} = {value}"));
            format!("{{ {} }}", members.collect::<Vec<_>>().join(", "))
        }
        Value::Array(values) => {
            let values: Vec<_> = values.iter().map(ToString::to_string).collect();
            format!("[{}]", values.join(", "))
        }
        other => other.to_string(),
    }
}

fn exception(one: &ExceptionShown) -> Tree {
    let ExceptionShown { of, owner, reason, until, days_left, allow_host_access, line } = one;
    let left = match days_left {
        None => format!("ended on {until}"),
        Some(1) => format!("until {until}, 1 day left"),
        Some(days) => format!("until {until}, {days} days left"),
    };
    let host = if *allow_host_access { ", may reach the host" } else { "" };
    let (owner, reason) = (owner.escape_debug(), reason.escape_debug());
    Tree::new(format!("{of}: {left}{host}; {owner}: {reason}{}", at(*line)))
}

fn user(user: &UserShown, now: Timestamp) -> Tree {
    let keys = user.keys.iter().map(|one| Tree::new(key(one, now)));
    // Those listed with a certificate as well are told there.
    let listed = |id: &&String| user.keys.iter().any(|key| key.key_id == **id);
    let revoked = user.revoked.iter().filter(|id| !listed(id));
    let revoked = revoked.map(|id| Tree::new(format!("key {}: revoked", short(id))));
    branch(format!("{}{}", user.user.escape_debug(), at(user.line)), keys.chain(revoked))
}

fn key(key: &KeyShown, now: Timestamp) -> String {
    let until = match key.good_until {
        None => "a bare key, which has no end".to_owned(),
        Some(last) if last < now => format!("expired on {}", day(last)),
        Some(last) => format!("good until {}", day(last)),
    };
    let bar = match key.bar {
        Some("not-yet") => ", does not count yet",
        Some("revoked") => ", revoked",
        _ => "",
    };
    format!("key {}: {until}{bar}", short(&key.key_id))
}

/// Enough of an ID for a person to tell keys apart.
fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

fn list(names: &[String], none: &str) -> String {
    if names.is_empty() { none.to_owned() } else { names.join(", ").escape_debug().to_string() }
}

fn at(line: Option<usize>) -> String {
    line.map(|line| format!("   # line {line}")).unwrap_or_default()
}
