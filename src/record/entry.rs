//! What a record says.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Serialize, Serializer};

use crate::gate::{Decision, Phases};
use crate::image::ContainerId;
use crate::policy::{Grant, Reason, Signer, Verdict};
use crate::request::Call;

/// Longest text of somebody else's choosing, in characters.
const TEXT: usize = 300;
/// Most signers, teams and notes told of.
const SIGNERS: usize = 16;
const TEAMS: usize = 16;
const NOTES: usize = 8;

/// What a decision was about.
#[derive(Clone, Copy, Debug)]
pub enum Asked<'c> {
    /// A call, before the engine acts on it.
    Request(&'c Call),
    /// What came of a call, before its caller gets to know.
    Response(&'c Call),
    /// A container that no call started.
    Container {
        /// Which.
        id: &'c ContainerId,
        /// Whether it was killed.
        killed: bool,
    },
    /// A message of the engine that cannot be read.
    Unreadable,
}

/// One decision, for the record. Text of others' choosing is bounded, and there is none of a
/// call's body or query in it: these can hold passwords.
#[derive(Clone, Debug, Serialize)]
pub struct Entry {
    /// When it was decided.
    #[serde(serialize_with = "time")]
    pub time: Timestamp,
    /// This decision's own, the same in the log.
    pub id: String,
    /// `request`, `response`, `container` or `unreadable`.
    pub event: &'static str,
    /// Who called: the common name of a TLS client certificate. Nobody on a Unix socket.
    pub user: Option<String>,
    /// How the engine knows who called: `TLS` or nothing.
    pub authn: Option<String>,
    /// The HTTP method.
    pub method: Option<String>,
    /// The path, without the query.
    pub path: Option<String>,
    /// What was asked, in one word ([`Decision::word`]).
    pub verb: &'static str,
    /// What it was about, as people call it.
    pub subject: Option<String>,
    /// A container that no call started: its ID.
    pub container: Option<String>,
    /// Whether that container was killed.
    pub killed: bool,
    /// `allow` or `deny`.
    pub verdict: &'static str,
    /// Why, in one word.
    pub code: &'static str,
    /// Why, in one sentence. None where the sentence could quote a body or a query.
    pub reason: Option<String>,
    /// The digest that was proven; or is released, and not proven.
    pub digest: Option<String>,
    /// What proved it.
    pub repository: Option<String>,
    /// Under which tag.
    pub tag: Option<String>,
    /// Who signed.
    pub signers: Vec<SignerEntry>,
    /// The required teams of which nobody signed.
    pub missing_teams: Vec<String>,
    /// What went wrong without changing the verdict.
    pub notes: Vec<String>,
    /// How long it took, from the first byte of the engine's message.
    #[serde(rename = "duration_us", serialize_with = "micros")]
    pub duration: Duration,
    /// The same by phase.
    #[serde(rename = "phases_us", serialize_with = "phases")]
    pub phases: Phases,
}

/// Somebody's signature.
#[derive(Clone, Debug, Serialize)]
pub struct SignerEntry {
    /// Who holds the key, where the policy knows.
    pub user: Option<String>,
    /// The role signed.
    pub role: String,
    /// The canonical ID of the key.
    pub key_id: String,
    /// Whether the signature counts towards the policy.
    pub counts: bool,
}

impl Entry {
    /// The record of a decision.
    pub(super) fn new(
        (id, time): (String, Timestamp),
        asked: Asked<'_>,
        decision: &Decision,
        duration: Duration,
    ) -> Self {
        let verdict = &decision.verdict;
        let (repository, tag) = match verdict {
            Verdict::Allow(Grant::Proven { repository, tag, .. }) => {
                (Some(text(repository.as_str())), Some(text(tag)))
            }
            _ => (None, None),
        };
        let about = About::of(asked);
        Self {
            time,
            id,
            event: about.event,
            user: about.call.and_then(|call| call.user.as_deref()).map(text),
            authn: about.call.and_then(|call| call.user_authn_method.as_deref()).map(text),
            method: about.call.map(|call| text(&call.method)),
            path: about.call.map(|call| text(path(&call.uri))),
            verb: decision.word,
            subject: Some(&decision.subject)
                .filter(|subject| !subject.is_empty())
                .map(|one| text(one)),
            container: about.container.map(ToString::to_string),
            killed: about.killed,
            verdict: if verdict.is_allow() { "allow" } else { "deny" },
            code: verdict.code(),
            reason: reason(verdict),
            digest: verdict.digest().map(|digest| digest.to_string()),
            repository,
            tag,
            signers: verdict.signers().iter().take(SIGNERS).map(SignerEntry::new).collect(),
            missing_teams: verdict.missing_teams().into_iter().take(TEAMS).map(text).collect(),
            notes: decision.notes.iter().take(NOTES).map(|note| text(note)).collect(),
            duration,
            phases: decision.phases,
        }
    }

    /// The record of a message that could not be read, or whose decision failed.
    pub(super) fn failed(
        (id, time): (String, Timestamp),
        code: &'static str,
        reason: &str,
        duration: Duration,
    ) -> Self {
        let about = About::of(Asked::Unreadable);
        Self {
            time,
            id,
            event: about.event,
            user: None,
            authn: None,
            method: None,
            path: None,
            verb: "unread",
            subject: None,
            container: None,
            killed: false,
            verdict: "deny",
            code,
            reason: Some(text(reason)),
            digest: None,
            repository: None,
            tag: None,
            signers: Vec::new(),
            missing_teams: Vec::new(),
            notes: Vec::new(),
            duration,
            phases: Phases::default(),
        }
    }
}

impl SignerEntry {
    fn new(signer: &Signer) -> Self {
        Self {
            user: signer.user.as_deref().map(text),
            role: text(&signer.role),
            key_id: signer.key_id.to_string(),
            counts: signer.doubt.is_none(),
        }
    }
}

/// What a decision was about, taken apart.
struct About<'c> {
    event: &'static str,
    call: Option<&'c Call>,
    container: Option<&'c ContainerId>,
    killed: bool,
}

impl<'c> About<'c> {
    fn of(asked: Asked<'c>) -> Self {
        let none = Self { event: "unreadable", call: None, container: None, killed: false };
        match asked {
            Asked::Request(call) => Self { event: "request", call: Some(call), ..none },
            Asked::Response(call) => Self { event: "response", call: Some(call), ..none },
            Asked::Container { id, killed } => {
                Self { event: "container", container: Some(id), killed, ..none }
            }
            Asked::Unreadable => none,
        }
    }
}

/// The first line of a refusal. What is said of a call that cannot be read quotes it, so
/// that stays in the log.
fn reason(verdict: &Verdict) -> Option<String> {
    match verdict {
        Verdict::Deny(refusal) if !matches!(refusal.reason(), Reason::Request(_)) => {
            Some(text(&refusal.summary()))
        }
        _ => None,
    }
}

/// The path, to know the call by. A query may hold secrets (build arguments, say); what it
/// says of an image is told as the subject.
pub(super) fn path(uri: &str) -> &str {
    uri.split(['?', '#']).next().unwrap_or_default()
}

/// A text, cut.
pub(super) fn text(text: &str) -> String {
    match text.char_indices().nth(TEXT) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

pub(super) fn in_micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn time<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{time:.6}"))
}

fn micros<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(in_micros(*duration))
}

fn phases<S: Serializer>(phases: &Phases, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(phases.named().map(|(name, took)| (name, in_micros(took))))
}
