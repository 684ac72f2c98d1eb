//! `countersign trust show`

use std::fmt::Write as _;
use std::io::{self, Write};
use std::process::ExitCode;

use jiff::Timestamp;
use serde::Serialize;

use super::facts::Facts;
use super::{Failure, Show, moment};
use crate::cli::config::load;
use crate::cli::paint::Paint;
use crate::gate::Seen;
use crate::policy::{Bar, Policy};
use crate::source::{Store, now};
use crate::trust::SigningKey;
use crate::trust::notary::{Role, Stated, TrustData};

/// What `--json` prints.
#[derive(Serialize)]
struct Report {
    repository: String,
    state: &'static str,
    why: Option<String>,
    confirmed: Option<String>,
    serves_until: Option<String>,
    /// The role that ends it.
    serves_until_role: Option<String>,
    root: Root,
    roles: Vec<RoleLine>,
    left_out: Vec<LeftOut>,
    /// Copies of what was seen that are damaged and will be mended.
    damaged_copies: Vec<String>,
    tags_released: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tags: Option<Vec<TagLine>>,
    #[serde(skip)]
    colour: &'static str,
}

#[derive(Serialize)]
struct Root {
    /// Whether the policy pins it.
    pinned: bool,
    since: Option<String>,
    key_ids: Vec<String>,
}

#[derive(Serialize)]
struct RoleLine {
    role: String,
    /// The file's, where it can be read.
    version: Option<u64>,
    /// The highest ever seen.
    seen: Option<u64>,
    expires: Option<String>,
    signers: Vec<Signer>,
    fault: Option<String>,
}

#[derive(Clone, Serialize)]
struct Signer {
    user: Option<String>,
    key_id: String,
    #[serde(skip)]
    short: String,
    /// Why the user's key does not count now.
    bar: Option<&'static str>,
}

#[derive(Serialize)]
struct LeftOut {
    role: String,
    why: String,
}

#[derive(Serialize)]
struct TagLine {
    tag: String,
    digest: String,
    signers: Vec<Signer>,
}

pub fn run(args: &Show) -> Result<ExitCode, Failure> {
    let policy = load(&args.places.config)?;
    let store = Store::look(&args.places.state_dir)?;
    let now = now();
    let Some(facts) = Facts::gather(&store, args.repository.clone(), &policy, now)? else {
        eprintln!("countersign: nothing is kept of {}", args.repository);
        return Ok(ExitCode::FAILURE);
    };
    let report = Report::new(&facts, &policy, args.tags, now);
    let text = if args.json {
        serde_json::to_string(&report)? + "\n"
    } else {
        Paint::for_stdout().show(&report)
    };
    io::stdout().lock().write_all(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

impl Report {
    fn new(facts: &Facts, policy: &Policy, tags: bool, now: Timestamp) -> Self {
        let state = facts.state();
        let data = facts.data.as_ref().ok();
        let seen = facts.seen.as_ref().ok();
        let until = facts.serves_until();
        let left_out = data.into_iter().flat_map(TrustData::left_out);
        Self {
            repository: facts.repository.to_string(),
            state: state.word(),
            why: state.why().map(ToOwned::to_owned),
            confirmed: facts.confirmed.map(moment),
            serves_until: until.as_ref().map(|(until, _)| moment(*until)),
            serves_until_role: until.map(|(_, role)| role.to_string()),
            root: Root {
                pinned: facts.pinned,
                since: seen.and_then(Seen::since).map(moment),
                key_ids: data
                    .into_iter()
                    .flat_map(TrustData::root_keys)
                    .map(|key| key.id.to_string())
                    .collect(),
            },
            roles: roles(facts, policy, now),
            left_out: left_out
                .map(|(role, why)| LeftOut { role: role.to_string(), why: why.to_string() })
                .collect(),
            damaged_copies: seen.map(|seen| seen.damage().to_vec()).unwrap_or_default(),
            tags_released: data.map(|data| data.released_tags(now).count()),
            tags: tags.then(|| self::tags(facts, policy, now)),
            colour: state.colour(),
        }
    }
}

/// Every role of which there is a file, and every one that was seen.
fn roles(facts: &Facts, policy: &Policy, now: Timestamp) -> Vec<RoleLine> {
    let versions = facts.seen.as_ref().ok().map(|seen| &seen.history().versions);
    let seen = |role: &Role| versions?.get(role.as_str()).copied();
    let line = |(role, stated): &(Role, Result<_, _>)| {
        let stated: Result<&Stated, _> = stated.as_ref();
        let (file, fault) = match stated {
            Ok(stated) => (Some(stated), None),
            Err(fault) => (None, Some(ToString::to_string(fault))),
        };
        let verified = facts.data.as_ref().ok();
        let signers = match (verified, role) {
            (None, _) => Vec::new(),
            (Some(data), Role::Root) => signers(data.root_keys(), policy, now),
            // The keys of machines have no certificates: these IDs are the canonical ones.
            (Some(_), Role::Timestamp | Role::Snapshot) => file
                .into_iter()
                .flat_map(|file| &file.key_ids)
                .map(|id| Signer {
                    user: None,
                    key_id: id.to_string(),
                    short: id.short(),
                    bar: None,
                })
                .collect(),
            (Some(data), role) => signers(data.signers(role), policy, now),
        };
        RoleLine {
            role: role.to_string(),
            version: file.map(|file| file.version),
            seen: seen(role),
            expires: file.map(|file| moment(file.expires)),
            signers,
            fault,
        }
    };
    let mut lines: Vec<_> = facts.files.iter().map(line).collect();
    let without = versions
        .into_iter()
        .flatten()
        .filter(|(name, _)| facts.files.iter().all(|(role, _)| role.as_str() != name.as_str()));
    lines.extend(without.map(|(name, version)| RoleLine {
        role: name.clone(),
        version: None,
        seen: Some(*version),
        expires: None,
        signers: Vec::new(),
        fault: Some("there is no file".to_owned()),
    }));
    lines
}

fn signers(keys: &[SigningKey], policy: &Policy, now: Timestamp) -> Vec<Signer> {
    let signer = |key: &SigningKey| {
        let holder = policy.user_of(key, now);
        let bar = holder.as_ref().and_then(|(_, bar)| *bar).map(|bar| match bar {
            Bar::Expired(_) => "expired",
            Bar::NotYet(_) => "not valid yet",
            Bar::Revoked => "revoked",
        });
        Signer {
            user: holder.map(|(user, _)| user),
            key_id: key.id.to_string(),
            short: key.id.short(),
            bar,
        }
    };
    keys.iter().map(signer).collect()
}

/// The released tags, with those who really signed the released digest.
fn tags(facts: &Facts, policy: &Policy, now: Timestamp) -> Vec<TagLine> {
    let Ok(data) = &facts.data else { return Vec::new() };
    let line = |tag: &str| {
        let digest = data.released(tag, now)?;
        let claims = data.claims(tag, now);
        let counting = claims
            .iter()
            .filter(|claim| claim.objection.is_none() && claim.proof.digest() == digest);
        let keys: Vec<_> = counting.map(|claim| claim.proof.key().clone()).collect();
        Some(TagLine {
            tag: tag.to_owned(),
            digest: digest.to_string(),
            signers: signers(&keys, policy, now),
        })
    };
    data.released_tags(now).filter_map(line).collect()
}

impl Paint {
    fn show(&self, report: &Report) -> String {
        let mut text = format!("{}\n", self.paint("39", &report.repository));
        // Writing to a String cannot fail, here and below.
        let mut line = |label: &str, value: &str| {
            let _ = writeln!(text, "  {label:15}  {value}");
        };
        line("state", &self.paint(report.colour, report.state));
        if let Some(why) = &report.why {
            line("", why);
        }
        line("last confirmed", report.confirmed.as_deref().unwrap_or("never"));
        let until = match (&report.serves_until, &report.serves_until_role) {
            (Some(until), Some(role)) => format!("until {until}, when its {role} runs out"),
            _ => "no: the trust server has to be asked".to_owned(),
        };
        line("serves offline", &until);
        let since = report.root.since.as_deref().unwrap_or("a time that was not written down");
        let root = if report.root.pinned {
            format!("pinned by the policy; trusted since {since}")
        } else {
            format!("first use; trusted since {since}")
        };
        line("root of trust", &root);
        for key in &report.root.key_ids {
            line("root key", key);
        }
        if let Some(tags) = report.tags_released {
            line("tags released", &tags.to_string());
        }
        for copy in &report.damaged_copies {
            line("damaged copy", copy);
        }
        self.roles(&mut text, &report.roles);
        for left_out in &report.left_out {
            let _ = writeln!(
                text,
                "  {} {}: {}",
                self.paint("33", "left out:"),
                left_out.role,
                left_out.why
            );
        }
        if let Some(tags) = &report.tags {
            text.push('\n');
            for tag in tags {
                let who = people(&tag.signers);
                let _ = writeln!(text, "  {}\n    {}\n    signed by {who}", tag.tag, tag.digest);
            }
        }
        text
    }

    fn roles(&self, text: &mut String, roles: &[RoleLine]) {
        let names = roles.iter().map(|line| line.role.len());
        let width = names.chain(["ROLE".len()]).max().unwrap_or_default();
        let _ =
            writeln!(text, "\n  {:width$}  {:>7}  {:20}  SIGNED BY", "ROLE", "VERSION", "EXPIRES");
        for line in roles {
            let version = line.version.or(line.seen).map_or("-".to_owned(), |one| one.to_string());
            let expires = line.expires.as_deref().unwrap_or("-");
            let who = match &line.fault {
                Some(fault) => self.paint("33", fault),
                None => people(&line.signers),
            };
            let _ = writeln!(text, "  {:width$}  {version:>7}  {expires:20}  {who}", line.role);
        }
    }
}

fn people(signers: &[Signer]) -> String {
    if signers.is_empty() {
        return "-".to_owned();
    }
    let person = |signer: &Signer| match (&signer.user, signer.bar) {
        (Some(user), None) => format!("{} ({})", user.escape_debug(), signer.short),
        (Some(user), Some(bar)) => format!("{} ({}, {bar})", user.escape_debug(), signer.short),
        (None, _) => signer.short.clone(),
    };
    signers.iter().map(person).collect::<Vec<_>>().join(", ")
}
