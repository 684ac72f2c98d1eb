//! Tests of the whole: the verifier on trust data made by the real programs, the real
//! program on its socket and its command line, and the sources against their own rules.
//! One binary, so that it links once.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    missing_docs,
    reason = "a test fails loudly"
)]

mod aftermath;
mod asked_ahead;
mod breakglass;
mod builder;
mod chapters;
mod check;
mod commands;
mod docs;
mod doctor;
mod doors;
mod freshness;
mod full_disk;
mod hostile;
mod house_rules;
mod judgements;
mod manners;
mod mutations;
mod node;
mod notary;
mod notary_faults;
mod outages;
mod packaging;
mod platforms;
mod policy_tools;
mod proxy;
mod record;
mod reload;
mod remembered;
mod repositories;
mod restarts;
mod scene;
mod site;
mod socket;
mod static_server;
mod trust_store;
mod watch;
