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
//! - [`InForce`]: a policy told to people, setting by setting; [`cases`]: what an operator
//!   expects of it.
//! - [`lenient`]: what may go on although it is refused: exceptions, and audit.
//! - [`Verdict`], [`Reason`]: what was decided, and the text that people read.

mod assess;
mod binding;
mod build;
mod cases;
mod document;
mod ends;
mod evidence;
mod exception;
mod explain;
mod freshness;
mod guard;
mod holder;
mod in_force;
mod judge;
mod lenience;
mod message;
mod paths;
mod plan;
mod reason;
mod rules;
mod scope;
mod survey;
mod verdict;

pub use binding::unread;
pub use cases::{Case, Expected, cases};
pub use document::{ConfigError, OnViolation};
pub use ends::{
    End, Ending, authority_ending, day, registry_endings, role_ending, user_key_ending,
};
pub use evidence::{Bound, Evidence, Gap, Held, HeldImage, Host, Look, Served};
pub use exception::{Excepted, Exception};
pub use explain::{
    DemandPart, Explanation, HeldPart, RepositoryPart, RolePart, SignaturePart, TagPart, TeamPart,
    explain,
};
pub use guard::{GuardMode, warning};
pub use holder::Bar;
pub use in_force::{
    ExceptionShown, InForce, KeyShown, RegistryShown, RepositoryShown, RuleShown, Setting,
    TeamShown, UserShown,
};
pub use judge::{judge, next_change};
pub use lenience::{lenient, lenient_unseen, rule};
pub use paths::{clean, is_protected};
pub use plan::{Plan, Subject, plan, previous, repositories};
pub use reason::{Blame, Found, Place, Reason, Shortfall};
pub use rules::{DockerConfig, Policy, Proxy, Registry};
pub use scope::Mode;
pub use survey::{TeamState, UserKeyState};
pub use verdict::{Doubt, Grant, Leave, Refusal, Signer, Verdict};
