//! `countersign user`

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;
use serde::Serialize;

use super::cannot_begin;
use super::check::start_log;
use super::edit::{Editing, carry_out, failed};
use crate::edit::{
    MAX_PEM, MAX_ZIP, UserEntry, certificate_from_zip, certificates, holds_private_key,
    is_file_name,
};
use crate::node::{NewFile, PolicyFile, PolicyFileError};
use crate::trust::KeyId;
use crate::trust::certificate::Certificate;

/// Say who may sign: add, list and remove users, revoke their keys
///
/// A user is a person or a machine, known by the certificate of their client bundle. These
/// commands edit the policy: the change is shown first, comments stay, and an edit with which
/// the policy would not load is refused.
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
    RevokeKey(RevokeKey),
}

/// Add a user, or one more certificate to one
///
/// Of the bundle the certificate is taken (cert.pem), and a copy put beside the policy, in
/// users/NAME. Its private key (key.pem) is neither kept nor copied.
#[derive(clap::Args, Debug)]
struct Add {
    #[command(flatten)]
    editing: Editing,

    /// Letters, digits, and . _ - @
    #[arg(value_name = "NAME")]
    name: String,

    /// Their client bundle: the zip file, the folder, or the cert.pem itself
    #[arg(value_name = "BUNDLE")]
    bundle: PathBuf,
}

/// List the users, their keys and teams
#[derive(clap::Args, Debug)]
struct List {
    /// The policy
    #[arg(long, value_name = "FILE", default_value = "/etc/countersign/countersign.toml")]
    config: PathBuf,

    /// Print one JSON object a line: name, teams, keys (id, certificate, expires, revoked)
    #[arg(long)]
    json: bool,
}

/// Remove a user, from their teams, too
///
/// What they signed counts no more. Their certificates stay in users/NAME.
#[derive(clap::Args, Debug)]
struct Remove {
    #[command(flatten)]
    editing: Editing,

    /// As `countersign user list` shows it
    #[arg(value_name = "NAME")]
    name: String,
}

/// Have a key of a user count no more
///
/// For a key that was lost or seen by others. What it signed counts no more, whenever that
/// was; what the user's other keys signed does.
#[derive(clap::Args, Debug)]
struct RevokeKey {
    #[command(flatten)]
    editing: Editing,

    /// As `countersign user list` shows it
    #[arg(value_name = "NAME")]
    name: String,

    /// The key's ID; of a key in the policy its beginning is enough, 8 digits at least
    #[arg(value_name = "KEYID")]
    key_id: String,
}

/// Least hexadecimal digits by which a key is called.
const LEAST_DIGITS: usize = 8;

pub fn run(args: &Args) -> ExitCode {
    start_log();
    let outcome = match &args.command {
        Command::Add(args) => add(args),
        Command::List(args) => list(args),
        Command::Remove(args) => remove(args),
        Command::RevokeKey(args) => revoke_key(args),
    };
    outcome.unwrap_or_else(|error| match error.downcast_ref::<PolicyFileError>() {
        Some(error) => failed(error),
        None => cannot_begin(&error),
    })
}

type Outcome = Result<ExitCode, Box<dyn std::error::Error>>;

fn add(args: &Add) -> Outcome {
    let Add { name, bundle, .. } = args;
    if !is_file_name(name) {
        return Err(format!(
            "{name:?} cannot be a user's name here: letters, digits, and . _ - @, a letter or \
             digit first, 64 at most"
        )
        .into());
    }
    let taken = take(bundle)?;
    let text = certificates(&taken).map_err(|error| format!("{}: {error}", bundle.display()))?;
    if holds_private_key(&taken) || bundle.join("key.pem").exists() {
        println!("The private key that is with it is left where it is, neither kept nor copied.");
    }
    let mut file = PolicyFile::open_or_begin(&args.editing.config)?;
    let path = place(&mut file, name, &text)?;
    file.draft.add_certificate(name, &path).map_err(PolicyFileError::from)?;
    let done = format!(
        "{name} is a user now{}. To have them count: countersign team add TEAM {name}",
        key_of(&text).map(|id| format!(", with key {id}")).unwrap_or_default()
    );
    Ok(carry_out(&file, &args.editing.consent, &done))
}

/// Where a certificate is put beside the policy: the first as cert.pem, others by their key.
/// One that is there already stays.
fn place(
    file: &mut PolicyFile,
    user: &str,
    text: &str,
) -> Result<String, Box<dyn std::error::Error>> {
    let by_key = key_of(text).map(|id| format!("users/{user}/cert-{}.pem", id.short()));
    for name in [Some(format!("users/{user}/cert.pem")), by_key].into_iter().flatten() {
        match file.read_companion(Path::new(&name))? {
            Some(there) if there == text => return Ok(name),
            Some(_) => {}
            None => {
                let text = text.to_owned();
                file.bring(NewFile { path: PathBuf::from(&name), text });
                return Ok(name);
            }
        }
    }
    Err(format!("users/{user} beside the policy holds other certificates of these names").into())
}

/// The certificate's text, from wherever it is.
fn take(bundle: &Path) -> Result<String, Box<dyn std::error::Error>> {
    let at = |error: &dyn std::fmt::Display| format!("{}: {error}", bundle.display());
    if fs::metadata(bundle).map_err(|error| at(&error))?.is_dir() {
        return read_text(&bundle.join("cert.pem"));
    }
    let bytes = read(bundle, MAX_ZIP)?;
    if bytes.starts_with(b"PK") {
        return certificate_from_zip(&bytes).map_err(|error| at(&error).into());
    }
    if bytes.len() as u64 > MAX_PEM {
        return Err(at(&format!("larger than {MAX_PEM} bytes")).into());
    }
    String::from_utf8(bytes).map_err(|_| at(&"neither a zip file nor PEM text").into())
}

/// A PEM or JSON file of a certificate's size.
pub(super) fn read_text(path: &Path) -> Result<String, Box<dyn std::error::Error>> {
    let text = String::from_utf8(read(path, MAX_PEM)?);
    text.map_err(|_| format!("{} is not text", path.display()).into())
}

fn read(path: &Path, max: u64) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
    let at = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let file = File::open(path).map_err(|error| at(&error))?;
    let mut bytes = Vec::new();
    file.take(max + 1).read_to_end(&mut bytes).map_err(|error| at(&error))?;
    if bytes.len() as u64 > max {
        return Err(at(&format!("larger than {max} bytes")).into());
    }
    Ok(bytes)
}

/// The ID of the key that the first certificate of a text is made out for.
fn key_of(text: &str) -> Option<KeyId> {
    Some(Certificate::from_pem(text.as_bytes()).ok()?.into_iter().next()?.key.id)
}

fn remove(args: &Remove) -> Outcome {
    let mut file = PolicyFile::open(&args.editing.config)?;
    let teams = file.draft.remove_user(&args.name).map_err(PolicyFileError::from)?;
    let left = match teams.as_slice() {
        [] => String::new(),
        teams => format!(", and in no team (was in {})", teams.join(", ")),
    };
    let done = format!("{} is no user any more{left}", args.name);
    Ok(carry_out(&file, &args.editing.consent, &done))
}

fn revoke_key(args: &RevokeKey) -> Outcome {
    let mut file = PolicyFile::open(&args.editing.config)?;
    let users = file.draft.users();
    let keys = users.iter().find(|user| user.name == args.name).map(|user| keys(&file, user));
    let id = key_id(&args.key_id, &keys.unwrap_or_default())?;
    file.draft.revoke(&args.name, &id).map_err(PolicyFileError::from)?;
    let done = format!("key {id} of {} counts no more", args.name);
    Ok(carry_out(&file, &args.editing.consent, &done))
}

/// The whole ID of a key that is called by it or by its beginning.
fn key_id(written: &str, keys: &[Key]) -> Result<String, String> {
    if let Ok(id) = written.parse::<KeyId>() {
        return Ok(id.to_string());
    }
    let is_beginning = written.len() >= LEAST_DIGITS;
    let mut fitting: Vec<_> = keys.iter().filter_map(|key| key.id.as_deref()).collect();
    fitting.retain(|id| is_beginning && id.starts_with(written));
    fitting.dedup();
    if let [id] = fitting.as_slice() {
        return Ok((*id).to_owned());
    }
    let there: Vec<_> = keys.iter().filter_map(|key| key.id.as_deref()).collect();
    let there = if there.is_empty() { "none".to_owned() } else { there.join(", ") };
    Err(format!(
        "{written:?} is not a key's ID (64 hex digits), nor the beginning of one of their keys \
         ({LEAST_DIGITS} digits at least); they have {there}"
    ))
}

#[derive(Serialize)]
struct Listed<'u> {
    name: &'u str,
    teams: &'u [String],
    keys: Vec<Key>,
}

#[derive(Serialize)]
struct Key {
    id: Option<String>,
    certificate: Option<String>,
    expires: Option<String>,
    revoked: bool,
}

/// The keys of a user, as far as their certificates can be read.
fn keys(file: &PolicyFile, user: &UserEntry) -> Vec<Key> {
    let mut keys: Vec<Key> =
        user.certificates.iter().map(|written| key(file, user, written)).collect();
    for id in &user.revoked {
        if !keys.iter().any(|key| key.id.as_ref() == Some(id)) {
            let id = Some(id.clone());
            keys.push(Key { id, certificate: None, expires: None, revoked: true });
        }
    }
    keys
}

fn key(file: &PolicyFile, user: &UserEntry, written: &str) -> Key {
    let is_pem = written.contains("-----BEGIN ");
    let text = if is_pem {
        Some(written.to_owned())
    } else {
        file.read_companion(Path::new(written)).ok().flatten()
    };
    let certificate = text.and_then(|text| Certificate::from_pem(text.as_bytes()).ok());
    let certificate = certificate.and_then(|all| all.into_iter().next());
    let id = certificate.as_ref().map(|certificate| certificate.key.id.to_string());
    Key {
        revoked: id.as_ref().is_some_and(|id| user.revoked.contains(id)),
        id,
        certificate: Some(if is_pem { "in the policy".to_owned() } else { written.to_owned() }),
        expires: certificate.map(|one| one.not_after.to_string()),
    }
}

fn list(args: &List) -> Outcome {
    let file = PolicyFile::open(&args.config)?;
    let mut out = io::stdout().lock();
    for user in file.draft.users() {
        let listed = Listed { name: &user.name, teams: &user.teams, keys: keys(&file, &user) };
        if args.json {
            writeln!(out, "{}", serde_json::to_string(&listed)?)?;
            continue;
        }
        let teams = match listed.teams {
            [] => "in no team".to_owned(),
            teams => format!("team {}", teams.join(", ")),
        };
        writeln!(out, "{} ({teams})", listed.name.escape_debug())?;
        for key in &listed.keys {
            let id = key.id.as_deref().unwrap_or("(cannot be read here)");
            let mark = if key.revoked { ", revoked" } else { "" };
            let until = key.expires.as_ref().map(|at| format!(", until {at}")).unwrap_or_default();
            let from = key.certificate.as_deref().unwrap_or("without a certificate");
            writeln!(out, "  key {id}\n    {}{until}{mark}", from.escape_debug())?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_called_by_their_beginning() {
        let key = |id: &str| Key {
            id: Some(id.to_owned()),
            certificate: None,
            expires: None,
            revoked: false,
        };
        let (one, two) = ("ab".repeat(32), format!("{}{}", "ab".repeat(8), "cd".repeat(24)));
        let keys = [key(&one), key(&two)];
        assert_eq!(key_id(&two, &[]).as_deref(), Ok(two.as_str()));
        assert_eq!(key_id(&two[..20], &keys).as_deref(), Ok(two.as_str()));
        for not in ["", "ab", "abababab", "cdcdcdcd", "xyz"] {
            assert!(key_id(not, &keys).unwrap_err().contains("they have"), "{not:?}");
        }
    }
}
