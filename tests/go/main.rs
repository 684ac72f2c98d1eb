//! Our readers against Go itself, in which Docker Engine is written: documents, bodies and
//! requests by the ten thousands, ordinary, varied and hostile.
//!
//! What is held, for every case: where our reader finds a meaning, Go finds the same one, in
//! each way that engines from 20.10 to 29 decode; and what ordinary clients send is read. Go
//! may read what we refuse, and may refuse what we read: it then does nothing.
//!
//! `tests/go/reader` is built by `$GO`, or the `go` in the PATH: Debian's `golang-go`, which is
//! Go 1.19, the one that Debian built Docker Engine 20.10 with. Later engines are built with
//! later Go; `scripts/golang` fetches two of them for `$GO`, 1.24 and 1.27. What differs there
//! must be on our refusing side:
//!
//! - Since 1.21 names are folded by all of Unicode, not by ASCII, `s` and `k` alone. The
//!   engine's names are ASCII, where both agree.
//! - Since 1.27 `encoding/json` is made of `encoding/json/v2`, under options that keep what it
//!   did: the last of equal members wins, case does not count, bad UTF-8 becomes U+FFFD. All
//!   of these are refused. Which invalid documents are refused first, and in what words, is
//!   of no matter.
//! - Since 1.17 `;` is no separator in a query; before it was one. It is refused.
//! - Since 1.24.12 and 1.25.6 a query of more than 10,000 parameters is an error, which
//!   `URL.Query` drops with all of the query. It is refused.
//!
//! `COUNTERSIGN_GO_CASES` says how many cases each test takes, `COUNTERSIGN_GO_SEED` which.
//! A machine without Go is a failure: only `COUNTERSIGN_SKIP_E2E=1` leaves these tests out.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails loudly"
)]

mod bodies;
mod chance;
mod documents;
mod findings;
mod reader;
mod requests;
mod schema;
mod values;

use std::env;
use std::sync::OnceLock;

use libtest_mimic::{Arguments, Failed, Trial};

use reader::Reader;

/// Which cases, and how many.
#[derive(Clone, Copy)]
struct Plan {
    seed: u64,
    cases: usize,
}

/// What compares so many cases.
type Test = fn(&Reader, &Plan) -> Result<(), Failed>;

fn main() {
    let arguments = Arguments::from_args();
    let skip = env::var_os("COUNTERSIGN_SKIP_E2E").is_some_and(|value| value == "1");
    if skip && !arguments.list {
        println!("\nTHE TESTS AGAINST GO ARE LEFT OUT, as COUNTERSIGN_SKIP_E2E=1 asks.");
    }
    let plan = Plan {
        seed: number("COUNTERSIGN_GO_SEED").unwrap_or(1),
        cases: number("COUNTERSIGN_GO_CASES")
            .map_or(40_000, |cases| usize::try_from(cases).unwrap()),
    };
    let tests: [(&str, Test); 3] = [
        ("values", values::same_values),
        ("bodies", bodies::same_intents),
        ("requests", requests::same_intents),
    ];
    let trial = |(name, test): (&str, Test)| {
        Trial::test(name, move || test(built(), &plan)).with_ignored_flag(skip)
    };
    let trials = tests.into_iter().map(trial).collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    if let Some(reader) = READER.get() {
        reader.remove();
    }
    conclusion.exit();
}

fn number(variable: &str) -> Option<u64> {
    let text = env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is not a number: {text}")))
}

/// The reference reader, built when a test first needs it.
static READER: OnceLock<Reader> = OnceLock::new();

fn built() -> &'static Reader {
    READER.get_or_init(Reader::build)
}
