//! countersign lets a Docker host run only images signed by the people its policy names.
//!
//! Docker Engine shows an authorization plugin every API call before it acts on it. This
//! crate is that plugin. A call's way through it is one straight line:
//!
//! ```text
//! socket ─▶ server ─▶ request::read ─▶ policy::plan ─▶ gate: gather ─▶ policy::judge ─▶ answer
//!           bytes      Intent           Subject         Evidence        Verdict
//! ```
//!
//! 1. [`server`] takes the engine's message off the plugin socket.
//! 2. [`request::read`] works out what the call would do: an `Intent`, or a `Refusal` where
//!    the engine could understand it otherwise.
//! 3. [`policy::plan`] says what has to be shown: nothing, or that a `Subject` is signed.
//! 4. [`gate`] gathers the evidence: what the engine holds ([`source`]), and the trust data
//!    of the repositories that may speak for it, which [`trust`] verifies file by file. What a
//!    create is likely made of it has asked the engine before step 2, and holds the guess against
//!    what was read.
//! 5. [`policy::judge`] compares what was shown with what is demanded: a `Verdict`, with
//!    the reason and what to do.
//!
//! A container that exists is judged by the same line from step 4 on: when the engine tells
//! what came of a create, before the caller gets to know; and when one runs that no call
//! started, which [`gate::watch()`] looks out for.
//!
//! Steps 2, 3 and 5 and all of [`trust`] are pure: bytes and `now` come in as arguments. Only
//! [`source`] and [`server`] touch the world, and [`gate`] waits for it. `countersign
//! check` ([`cli`]) enters the same line at step 4. [`doctor`] stands beside the line and
//! examines what decisions rest on: engine, plugin, policy, trust data. [`record`] keeps what
//! was decided, and counts it.
//!
//! Beside that line stands [`proxy`], which keeps out of the engine what it would not show
//! any plugin.
//!
//! Who may know whom, from the bottom up: [`json`] and [`image`] know nothing; [`request`]
//! and [`trust`] know these two; [`policy`] knows these and never where bytes come from;
//! [`source`] knows [`image`] and never a policy; [`gate`] knows them all, [`doctor`] and
//! [`record`] know [`gate`]; [`edit`] changes the text of files, and [`node`] the files and the
//! engine that reads them; [`server`] and [`cli`] know these; [`proxy`] knows the socket of
//! [`server`] and nothing else. `tests/it/house_rules.rs` holds the code to it.

#![forbid(unsafe_code)]

pub mod cli;
pub mod doctor;
pub mod edit;
pub mod gate;
pub mod image;
pub mod json;
pub mod node;
pub mod policy;
pub mod proxy;
pub mod record;
pub mod request;
pub mod server;
pub mod source;
pub mod trust;
