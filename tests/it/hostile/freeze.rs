//! Data that was good once, served for ever.

use jiff::{Timestamp, ToSpan};
use serde_json::json;

use super::{Attack, run};
use crate::site::{ROLES, Site, TIMESTAMP_EXPIRES, decide_at, successor};

#[tokio::test]
async fn a_timestamp_that_stays_ends_when_it_runs_out() {
    let site = Site::new();
    let node = site.node();
    let end: Timestamp = TIMESTAMP_EXPIRES.parse().unwrap();
    let (before, after) = (end - 1.second(), end + 1.second());
    let gate = node.gate();
    for _ in 0..2 {
        decide_at(&gate, before).await.is_plain().unwrap();
    }
    let expired = format!("timestamp expired at {TIMESTAMP_EXPIRES}");
    let kept = node.kept();
    for (who, gate) in [
        ("who knew it", gate),
        ("who knew it, after a restart", node.gate()),
        ("without the network", node.offline()),
        ("at first contact", site.node().gate()),
    ] {
        let told = decide_at(&gate, after).await;
        told.refused("trust-data-expired", &expired).unwrap_or_else(|e| panic!("{who}: {e}"));
        assert!(!told.is_attack_like(), "{who}: {}", told.log);
    }
    assert_eq!(node.kept(), kept);
    // A clock that was wrong and is right again finds everything as it was.
    decide_at(&node.gate(), before).await.is_plain().unwrap();
}

#[tokio::test]
async fn what_has_run_out_does_not_replace_what_is_good() {
    const PAST: &str = "2026-11-01T00:00:00Z";
    let attacks = ROLES.into_iter().filter(|role| !role.starts_with("targets/")).map(|role| {
        let mut repo = successor(2);
        if role == "root" {
            repo.at("root").version(3);
        }
        repo.at(role).signed["expires"] = json!(PAST);
        let fault = format!("{role} expired at {PAST}");
        Attack::of_files(role, &fault, "trust-data-expired", repo.publish()).ordinary()
    });
    run(attacks).await;
}
