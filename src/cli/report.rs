//! How a decision is told: as text, or as an object for programs.

use std::fmt::Write as _;

use serde::Serialize;

use super::paint::Paint;
use crate::gate::Decision;
use crate::policy::{Doubt, Grant, Signer, Verdict};

/// What `--json` prints of a decision.
#[derive(Serialize)]
pub(super) struct Report<'d> {
    reference: &'d str,
    verdict: &'static str,
    code: &'static str,
    message: String,
    digest: Option<String>,
    signers: Vec<SignerReport<'d>>,
    missing_teams: Vec<&'d str>,
    notes: &'d [String],
}

#[derive(Serialize)]
struct SignerReport<'d> {
    user: Option<&'d str>,
    teams: &'d [String],
    role: &'d str,
    key_id: String,
    counts: bool,
}

impl<'d> Report<'d> {
    pub fn new(reference: &'d str, decision: &'d Decision) -> Self {
        let verdict = &decision.verdict;
        let message = match verdict {
            Verdict::Allow(grant) => allowed(grant),
            Verdict::Deny(refusal) => refusal.to_string(),
        };
        Self {
            reference,
            verdict: if verdict.is_allow() { "allow" } else { "deny" },
            code: verdict.code(),
            message,
            digest: verdict.digest().map(|digest| digest.to_string()),
            signers: people(verdict.signers()).map(SignerReport::new).collect(),
            missing_teams: verdict.missing_teams(),
            notes: &decision.notes,
        }
    }
}

impl<'d> SignerReport<'d> {
    fn new(signer: &'d Signer) -> Self {
        Self {
            user: signer.user.as_deref(),
            teams: &signer.teams,
            role: &signer.role,
            key_id: signer.key_id.to_string(),
            counts: signer.doubt.is_none(),
        }
    }
}

/// Those who signed in a role of people: not the lists that everyone re-signs.
fn people(signers: &[Signer]) -> impl Iterator<Item = &Signer> {
    use crate::trust::notary::Objection::{Owner, Releases};
    signers.iter().filter(|signer| !matches!(signer.doubt, Some(Doubt::Role(Owner | Releases))))
}

/// On what grounds something is allowed, as a part of a sentence.
pub(super) fn allowed(grant: &Grant) -> String {
    match grant {
        Grant::Proven { repository, tag, .. } => format!("signed as {repository}:{tag}"),
        Grant::NotJudged => "content trust is not required by this policy".to_owned(),
        Grant::NothingThere => "there is nothing to judge".to_owned(),
        Grant::Excused { refusal, leave } => format!("{leave}: {refusal}"),
    }
}

impl Paint {
    /// A decision on something, for people.
    pub fn report(&self, written: &str, decision: &Decision) -> String {
        let mut text = match &decision.verdict {
            Verdict::Allow(Grant::Excused { refusal, leave }) => {
                let word = self.paint("33", "allowed");
                format!("{word} {written}\n  {leave}\n  else denied: {refusal}")
                    .replace("\n    ", "\n  ")
            }
            Verdict::Allow(grant) => {
                let mut text = format!("{} {written}", self.paint("32", "allowed"));
                let _ = write!(text, "\n  {}", allowed(grant));
                if let Grant::Proven { digest, signers, .. } = grant {
                    let _ = write!(text, "\n  digest: {digest}");
                    for signer in signers.iter().filter(|signer| signer.doubt.is_none()) {
                        let _ = write!(text, "\n  signed by: {}", person(signer));
                    }
                }
                text
            }
            Verdict::Deny(refusal) => {
                format!("{}  {written}\n  {refusal}", self.paint("31", "denied"))
                    .replace("\n    ", "\n  ")
            }
        };
        for note in &decision.notes {
            let _ = write!(text, "\n  {}: {note}", self.paint("33", "note"));
        }
        text
    }
}

fn person(signer: &Signer) -> String {
    let who = signer.user.as_deref().unwrap_or("?");
    let teams = match signer.teams.as_slice() {
        [] => String::new(),
        teams => format!(" (team {})", teams.join(", ")),
    };
    format!("{}{teams} in {}, key {}", who.escape_debug(), signer.role, signer.key_id.short())
}
