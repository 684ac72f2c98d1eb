//! **Calls.** What would this API call do?
//!
//! The engine shows each call before it acts on it; this room reads it and answers
//! with an [`Intent`], or with a [`Refusal`] where engine and reader could understand
//! the call differently. It decides nothing about signatures and knows no policy: what
//! is signed, and what an operator allows, is for others to say.
//!
//! Knows [`image`](crate::image) and [`json`](crate::json) alone. Pure: bytes in, an
//! answer out; no clock, no file, no network.
//!
//! How a call is read, in this order:
//!
//! 1. [`Call::from_json`] takes the engine's message apart (`wire`);
//! 2. the request target is split by hand, since every parser cuts it elsewhere (`target`);
//! 3. one table says what each route of the API means (`endpoint`);
//! 4. the routes that bring or run image content have a reader of their own (`pull`,
//!    `container`, `service`), on top of one query reader and one body reader;
//! 5. what a call asks of the host beside an image is read into a closed list
//!    ([`HostAccess`]), of calls and of what exists alike (`host_config`, `mounts`).
//!
//! Before all that, [`likely_image`] guesses of which image a container would be made, so that
//! the engine can be asked meanwhile.
//!
//! Whatever none of these knows is refused. Of what came of a call, [`created`] reads the
//! one thing that is judged again: which container a create has made.

mod body;
mod container;
mod created;
mod endpoint;
mod host_access;
mod host_config;
mod intent;
mod likely;
mod mounts;
mod permission;
mod pull;
mod query;
mod refusal;
mod service;
mod target;
mod wire;

#[cfg(test)]
mod recorded;

pub use created::created;
pub use host_access::HostAccess;
pub use host_config::stored_access;
pub use intent::{Intent, ServiceVerb, StartVerb, read};
pub use likely::likely_image;
pub use mounts::volume_access;
pub use permission::Permission;
pub use refusal::Refusal;
pub use service::specified_access;
pub use wire::{ACTIVATE, Answer, Call, Response, WireError};
