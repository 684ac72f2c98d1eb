//! **Judgement.** What is demanded, and is it met?
//!
//! Pure: knows `image`, `request` and `trust`; never where bytes come from.
//!
//! - `document`: `countersign.toml` as written, each value with its place.
//! - [`Policy`]: the same, checked, with certificates read. A `Policy` in memory is one
//!   that can be applied.
//! - [`plan`]: from an intent, what has to be proven, or a verdict at once.
//! - [`unread`]: which signed digests have to be looked into, to know what they cover.
//! - [`judge`]: from what was gathered, the verdict; what is asked of the host is judged
//!   last (`guard`, `paths`).
//! - [`explain`]: the same evidence, told as a tree for people.
//! - [`Verdict`], [`Reason`]: what was decided, and the text that people read.

mod assess;
mod binding;
mod build;
mod document;
mod ends;
mod evidence;
mod explain;
mod freshness;
mod guard;
mod holder;
mod judge;
mod message;
mod paths;
mod plan;
mod reason;
mod rules;
mod survey;
mod verdict;

pub use binding::unread;
pub use document::{ConfigError, OnViolation};
pub use ends::{
    End, Ending, authority_ending, day, registry_endings, role_ending, user_key_ending,
};
pub use evidence::{Bound, Evidence, Gap, Held, HeldImage, Host, Look, Served};
pub use explain::{
    Explanation, HeldPart, RepositoryPart, RolePart, SignaturePart, TagPart, TeamPart, explain,
};
pub use guard::{GuardMode, warning};
pub use holder::Bar;
pub use judge::{judge, next_change};
pub use paths::{clean, is_protected};
pub use plan::{Plan, Subject, plan, previous, repositories};
pub use reason::{Blame, Found, Place, Reason, Shortfall};
pub use rules::{DockerConfig, Policy, Proxy, Registry};
pub use survey::{TeamState, UserKeyState};
pub use verdict::{Doubt, Grant, Refusal, Signer, Verdict};
