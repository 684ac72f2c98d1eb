//! `countersign.toml` as an operator writes it.
//!
//! Strict: an unknown or repeated key is an error with line and column, since a
//! misspelled rule is one that does not hold. Section and key names are those of
//! `ucp-config.toml` where it had them.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use toml::Spanned;

use super::guard::GuardMode;
use super::scope::Mode;

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    pub trust_configuration: TrustConfiguration,
    #[serde(default)]
    pub registries: Vec<Spanned<RegistryEntry>>,
    #[serde(default)]
    pub teams: BTreeMap<Spanned<String>, Vec<Spanned<String>>>,
    #[serde(default)]
    pub users: BTreeMap<Spanned<String>, UserEntry>,
    #[serde(default)]
    pub api: BTreeMap<Spanned<String>, bool>,
    #[serde(default)]
    pub guard: GuardEntry,
    #[serde(default)]
    pub rules: Vec<RuleEntry>,
    #[serde(default)]
    pub exceptions: Vec<Spanned<ExceptionEntry>>,
}

/// `[trust_configuration]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustConfiguration {
    /// Whether anything is enforced. Written out, so that nobody switches it off by
    /// leaving it out.
    pub require_content_trust: bool,
    /// What is done about what is refused, where no rule says otherwise.
    #[serde(default)]
    pub mode: Mode,
    /// Teams a member of each of which must have signed. Empty: any known user.
    #[serde(default)]
    pub require_signature_from: Vec<Spanned<String>>,
    /// A CA whose certificates in a delegation name their holder: PEM text or a path.
    pub users_ca: Option<Spanned<String>>,
    /// Whether signatures in delegations of delegations tell who signed.
    #[serde(default)]
    pub count_nested_delegations: bool,
    /// What is done about running containers that could not be started today.
    #[serde(default)]
    pub on_violation: OnViolation,
    /// How old what the trust server last confirmed may be, to decide by it unasked.
    pub max_staleness: Option<Spanned<String>>,
    /// How long what has run out serves while the trust server cannot be asked.
    #[serde(default)]
    pub offline_grace: GraceEntry,
    /// Repositories whose trust data is kept ready before anybody asks for them.
    #[serde(default)]
    pub prefetch: Vec<Spanned<String>>,
}

/// `offline_grace`: durations, for these two roles alone.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GraceEntry {
    /// For the timestamp.
    pub timestamp: Option<Spanned<String>>,
    /// For the snapshot.
    pub snapshot: Option<Spanned<String>>,
}

/// What is done about a container that runs and could not be started today.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OnViolation {
    /// It is told in the log.
    #[default]
    Report,
    /// It is told, and killed.
    Stop,
}

/// `[[registries]]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegistryEntry {
    /// Host and, unless 443, port; no scheme.
    pub host_address: Spanned<String>,
    /// The CA of its TLS certificates, as PEM text.
    pub ca_bundle: Option<Spanned<String>>,
    /// The same as a file.
    pub ca_file: Option<Spanned<PathBuf>>,
    /// The base URL of its Notary server. Default: `https://host_address`.
    pub trust_server: Option<Spanned<String>>,
    /// The HTTP proxy that leads to it and its Notary server, or `none`. Default: as
    /// `HTTPS_PROXY` and `NO_PROXY` say.
    pub proxy: Option<Spanned<String>>,
    /// A docker `config.json` with the credentials for it.
    pub docker_config: Option<Spanned<PathBuf>>,
    /// Key IDs one of which every root must have.
    #[serde(default)]
    pub root_pins: Vec<Spanned<String>>,
    /// CAs one of which every root must chain to: PEM text or a path.
    pub root_ca: Option<Spanned<String>>,
    /// Whether a repository's first root is trusted where nothing pins it.
    #[serde(default = "yes")]
    pub trust_on_first_use: bool,
}

/// `[users.NAME]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserEntry {
    /// Certificates or public keys, each as PEM text or a path.
    #[serde(default)]
    pub certificates: Vec<Spanned<String>>,
    /// Canonical IDs of keys that count no more.
    #[serde(default)]
    pub revoked: Vec<Spanned<String>>,
}

/// `[guard]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuardEntry {
    /// What is done about access to the host. Default: it is refused.
    #[serde(default)]
    pub mode: GuardMode,
}

/// `[[rules]]`: what holds for some repositories.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleEntry {
    /// A repository, or the beginning of some with `/*` or `/**`.
    pub repository: Spanned<String>,
    /// Teams a member of each of which must have signed.
    pub require_signature_from: Option<Vec<Spanned<String>>>,
    /// What is done about what is refused.
    pub mode: Option<Mode>,
    /// Whether their images may reach the host.
    pub allow_host_access: Option<bool>,
    /// The `offline_grace` of their trust data, in place of the one for all.
    pub offline_grace: Option<GraceEntry>,
}

/// `[[exceptions]]`: images that may run unsigned for a while.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExceptionEntry {
    /// One image, by its ID or the digest of its manifest.
    pub digest: Option<Spanned<String>>,
    /// A repository, or the beginning of some with `/*` or `/**`.
    pub repository: Option<Spanned<String>>,
    /// Who answers for it.
    pub owner: Spanned<String>,
    /// What for.
    pub reason: Spanned<String>,
    /// Its last day, or the moment it ends.
    pub until: Spanned<Until>,
    /// Whether such images may reach the host.
    #[serde(default)]
    pub allow_host_access: bool,
}

/// A date or a time, as TOML has them or as text.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Until {
    /// `2027-01-31`
    Date(toml::value::Datetime),
    /// `"2027-01-31"`
    Text(String),
}

fn yes() -> bool {
    true
}

impl Document {
    /// Reads the text of a file.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        toml::from_str(text).map_err(|error| {
            ConfigError::at(text, error.span().unwrap_or(0..0), error.message().to_owned())
        })
    }
}

/// What is wrong with a configuration, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {what}")]
pub struct ConfigError {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong, and what would be right.
    pub what: String,
}

impl ConfigError {
    /// An error at a place of the text.
    pub(super) fn at(text: &str, span: Range<usize>, what: String) -> Self {
        let before = text.get(..span.start).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Self {
            line: before.matches('\n').count() + 1,
            column: before.get(line_start..).unwrap_or_default().chars().count() + 1,
            what,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> ConfigError {
        Document::parse(text).unwrap_err()
    }

    #[test]
    fn faults_have_a_place() {
        for (text, line, column, what) in [
            ("[trust_configuration\n", 1, 21, "unclosed table"),
            ("x = 1\n[trust_configuration]\nrequire_content_trust = true\n", 1, 1, "unknown field"),
            (
                "[trust_configuration]\nrequire_content_trust = true\nreqire_signature_from = []\n",
                3,
                1,
                "unknown field",
            ),
            (
                "[trust_configuration]\nrequire_content_trust = true\nrequire_content_trust = false\n",
                3,
                1,
                "duplicate key",
            ),
            ("[trust_configuration]\nrequire_content_trust = 1\n", 2, 25, "invalid type"),
            ("[trust_configuration]\n", 1, 1, "missing field"),
            (
                "[trust_configuration]\nrequire_content_trust = true\non_violation = \"kill\"\n",
                3,
                16,
                "unknown variant `kill`, expected `report` or `stop`",
            ),
        ] {
            let error = error(text);
            assert!(error.what.contains(what), "{text:?}: {error}");
            assert_eq!((error.line, error.column), (line, column), "{text:?}: {error}");
        }
    }
}
