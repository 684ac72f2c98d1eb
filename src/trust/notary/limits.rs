//! Budgets against hostile input. Each number says what honest data needs.

use crate::json;

/// Bytes of `timestamp.json`; real ones have 500. Notary's own cap.
pub const TIMESTAMP: u64 = 1024 * 1024;
/// Bytes of a root file; a real one has 2.4 kB and 1 kB more per rotated-out key.
pub const ROOT: u64 = 4 * 1024 * 1024;
/// Bytes of `snapshot`; a real one has 0.7 kB and 0.2 kB more per delegation.
pub const SNAPSHOT: u64 = 4 * 1024 * 1024;
/// Bytes of a targets or delegation file; a tag takes 92, so this is 180,000 tags.
pub const TARGETS: u64 = 16 * 1024 * 1024;
/// Bytes of all files of one repository together.
pub const TOTAL: u64 = 64 * 1024 * 1024;
/// Delegations of one repository, nested ones included. UCP had one per person.
pub const DELEGATIONS: usize = 128;
/// Roots walked from the one known to the one served; a rotation a month for 20 years.
pub const ROOT_CHAIN: u64 = 240;
/// Signatures verified in one file. Real files have one or two; each check costs up to
/// a millisecond (P-384).
pub const SIGNATURES: usize = 32;
/// Keys listed in one file.
pub const KEYS: usize = 512;
/// Versions. Past 2^53 the canonical form rounds, so that one signature would stand for
/// several versions.
pub const VERSION: u64 = (1 << 53) - 1;
/// Depth and size of the JSON. Real files nest five deep and hold five values a tag.
pub const JSON: json::Limits = json::Limits { depth: 16, values: 2_000_000 };
