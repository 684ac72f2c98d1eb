//! **The record.** What was decided, for those who ask later.
//!
//! Two answers from one place. [`Recorder`] takes each decision and
//!
//! - writes one record of it (`entry`): a JSON object a line in a file or on standard output
//!   (`line`, `file`), or an entry of the journal with fields of its own (`journal`);
//! - counts it (`metrics`), for a Prometheus server that comes to ask, and then gets to see,
//!   too, what the gate shows of itself (`observed`).
//!
//! Records are written by one thread of their own, from a queue that is bounded (`writer`): a
//! slow disk holds up no decision, and what does not fit is lost, counted and told. Nothing
//! in here ever changes a verdict.
//!
//! Knows `gate` and what is below it.

mod destination;
mod entry;
mod file;
mod journal;
mod line;
mod metrics;
mod observed;
mod recorder;
mod writer;

pub use destination::Destination;
pub use entry::{Asked, Entry};
pub use metrics::Metrics;
pub use recorder::{Recorder, Settings};
