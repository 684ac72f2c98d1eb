//! Tests against recorded data: trust data made by the real programs, and calls sent by
//! real engines. One binary, so that it links once.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    missing_docs,
    reason = "a test fails loudly"
)]

mod check;
mod house_rules;
mod node;
mod notary;
mod proxy;
mod repositories;
mod socket;
mod static_server;
