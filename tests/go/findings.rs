//! What came of the cases of a test.

use std::collections::BTreeMap;

use libtest_mimic::Failed;

use crate::reader::Case;

/// More than these are not told one by one.
const TOLD: usize = 5;

/// Counts, and the cases that must not be.
#[derive(Default)]
pub struct Findings {
    counts: BTreeMap<&'static str, usize>,
    wrong: Vec<String>,
}

impl Findings {
    /// One more of these.
    pub fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    /// Fewer of these than `least` would prove little.
    pub fn expect(&mut self, what: &str, least: usize) {
        let count = self.counts.get(what).copied().unwrap_or_default();
        if count < least {
            self.wrong.push(format!("only {count} {what}, of {least} at least"));
        }
    }

    /// A case that must not be, and what is wrong with it.
    pub fn wrong(&mut self, at: usize, case: &Case, what: &str) {
        self.count("WRONG");
        if self.wrong.len() < TOLD {
            let kind = char::from(case.kind);
            self.wrong.push(format!("case {at}, {kind}: {what}\n  {}", case.bytes.escape_ascii()));
        }
    }

    /// Prints the counts. An error if a case was wrong.
    pub fn told(self, test: &str, seed: u64) -> Result<(), Failed> {
        let counts: Vec<_> =
            self.counts.iter().map(|(what, count)| format!("{count} {what}")).collect();
        println!("{test}: {}", counts.join(", "));
        if self.wrong.is_empty() {
            return Ok(());
        }
        let seed = format!("again with COUNTERSIGN_GO_SEED={seed}");
        Err(format!("{}\n{seed}", self.wrong.join("\n")).into())
    }
}
