//! Clocks that jump, both ways.

use countersign::source::now;
use jiff::{Timestamp, ToSpan};

use crate::site::{Site, decide_at};

/// A year after all has run out, and before anything was signed.
const AHEAD: &str = "2031-01-01T00:00:00Z";
const BEFORE: &str = "2019-01-01T00:00:00Z";

#[tokio::test]
async fn a_clock_that_is_wrong_breaks_nothing() {
    const EXPIRED: &str = "timestamp expired at";
    // The certificates of its root begin later.
    const NOT_YET: &str = "none of its root certificates is a valid one";
    let site = Site::new();
    let node = site.node();
    let gate = node.gate();
    decide_at(&gate, now()).await.is_plain().unwrap();
    let kept = node.kept();
    for (clock, code, what) in
        [(AHEAD, "trust-data-expired", EXPIRED), (BEFORE, "root-for-another-name", NOT_YET)]
    {
        let clock: Timestamp = clock.parse().unwrap();
        for (who, other) in [
            ("the same process", &gate),
            ("after a restart", &node.gate()),
            ("without the network", &node.offline()),
            ("at first contact", &site.node().gate()),
        ] {
            let told = decide_at(other, clock).await;
            // What this process has verified does not run out by going back.
            let outcome = if (what, who) == (NOT_YET, "the same process") {
                told.is_plain()
            } else {
                let clock = told.refused(code, what);
                clock.and_then(|()| told.refused(code, "this node's clock"))
            };
            outcome.unwrap_or_else(|wrong| panic!("{clock}, {who}: {wrong}"));
        }
        assert_eq!(node.kept(), kept, "{clock}");
        for other in [&gate, &node.gate(), &node.offline()] {
            decide_at(other, now()).await.is_plain().unwrap();
        }
    }
}

#[tokio::test]
async fn a_jump_never_makes_old_data_fresh() {
    let start = now();
    for (clock, restarted, is_asked) in [
        (start + 1.minute(), false, false),
        (start + 1.minute(), true, false),
        (start + 1.hour(), false, true),
        (start + 1.hour(), true, true),
        // The clock that no one can set says that it was a moment ago.
        (start - 1.hour(), false, false),
        // Whoever does not know that asks.
        (start - 1.hour(), true, true),
    ] {
        let mut site = Site::new();
        site.max_staleness = "5m";
        let node = site.node();
        let gate = node.gate();
        decide_at(&gate, start).await.is_plain().unwrap();
        site.server.requests();
        let gate = if restarted { node.gate() } else { gate };
        decide_at(&gate, clock).await.is_plain().unwrap();
        let asked = site.server.requests().len();
        assert_eq!(asked > 0, is_asked, "{start} to {clock}, restarted: {restarted}");
    }
}
