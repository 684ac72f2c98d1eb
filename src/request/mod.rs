//! **Calls.** What would this API call do?
//!
//! The engine shows each call before it acts on it. Knows
//! [`image`](crate::image) and [`json`](crate::json) alone. Pure: bytes in, an answer
//! out; no clock, no file, no network.

mod wire;

pub use wire::{ACTIVATE, Answer, Call, WireError};
