//! **Examination.** Is this node as safe as its operator believes?
//!
//! Two halves. [`gather`] asks engine, plugin, host, disk and trust servers and brings back
//! [`Facts`]; it changes nothing. [`examine`] is pure: facts in, [`Finding`]s out, one check
//! a function, so that each can be tried on what engines of any version say.
//!
//! - `engine`, `advisory`, `debian`: which engine is it, and what goes past us there?
//! - `setup`: how was it told of its plugins, and where does it listen?
//! - `plugin`, `units`: are we there, are we asked, and who sees to it that we stay?
//! - `policy`, `stored`, `server`: what decisions rest on; `leniency`: what lifts them.
//!
//! [`lint`] looks at the text of a policy alone, wherever that is.
//!
//! [`test_registry`] goes the way to one registry step by step.
//!
//! Knows `gate` and what is below it. Nothing in here decides about an image.

mod advisory;
mod debian;
mod engine;
mod facts;
mod finding;
mod gather;
mod leniency;
mod lint;
mod plugin;
mod policy;
mod registry;
mod server;
mod setup;
mod stored;
mod units;

pub use facts::{Facts, Probe};
pub use finding::{Finding, Severity};
pub use gather::{Subject, daemon, gather, probe};
pub use lint::lint;
pub use registry::test_registry;
pub use setup::{Setup, config_file};

/// All findings, in the order in which they are best read.
pub fn examine(facts: &Facts) -> Vec<Finding> {
    let mut findings = Vec::new();
    engine::examine(&facts.engine, &facts.setup, &mut findings);
    plugin::examine(&facts.plugin, &facts.setup, &mut findings);
    units::examine(&facts.units, &mut findings);
    policy::examine(&facts.policy, facts.now, &mut findings);
    let policy = facts.policy.policy.as_ref().ok();
    leniency::examine(policy, &facts.glass, facts.now, &mut findings);
    stored::examine(&facts.stored, facts.now, &mut findings);
    server::examine(&facts.servers, facts.now, facts.uptime, &mut findings);
    findings
}
