//! The trust servers, and the clock by which their data is judged.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::facts::{Greeting, NoGreeting, ServerFacts};
use super::finding::Finding;

/// A greeting that takes longer will make decisions wait for most of what they may.
const SLOW: Duration = Duration::from_secs(2);
/// How far two clocks may be apart. Headers tell whole seconds.
const SKEW: SignedDuration = SignedDuration::from_secs(60);
/// A host that has just been started may not have set its clock yet.
const YOUNG: Duration = Duration::from_secs(120);
/// No clock that is right is before this program was written.
const WRITTEN: Timestamp = Timestamp::constant(1_704_067_200, 0);

pub(super) fn examine(
    servers: &[ServerFacts],
    now: Timestamp,
    uptime: Option<Duration>,
    findings: &mut Vec<Finding>,
) {
    for server in servers {
        findings.push(match &server.greeting {
            Ok(greeting) => answered(&server.registry, greeting),
            Err(NoGreeting { cause, remedy }) => Finding::warning(
                "server.answers",
                cause.clone(),
                format!(
                    "new signatures for images of {} are not seen, and images that this node \
                     has not met cannot run; what was verified before serves until it expires",
                    server.registry
                ),
                remedy.clone(),
            ),
        });
    }
    clock(servers, now, uptime, findings);
}

fn answered(registry: &str, Greeting { host, took, proxy, .. }: &Greeting) -> Finding {
    const ID: &str = "server.answers";
    let way = proxy.as_ref().map(|proxy| format!(" through the proxy {proxy}")).unwrap_or_default();
    let took_ms = took.as_millis();
    let title = format!("trust server {host} of {registry} answered{way} in {took_ms} ms");
    if *took < SLOW {
        Finding::ok(ID, title)
    } else {
        let why = "every decision asks it, and waits 5 seconds at most";
        Finding::warning(ID, title, why, "see why it or the way to it is slow")
    }
}

fn clock(
    servers: &[ServerFacts],
    now: Timestamp,
    uptime: Option<Duration>,
    findings: &mut Vec<Finding>,
) {
    const ID: &str = "host.clock";
    let why = "a clock that is slow takes expired trust data for good, one that is fast takes \
               good data for expired";
    let remedy = "set the clock, and keep it by NTP (timedatectl set-ntp true)";
    if now < WRITTEN {
        findings.push(Finding::problem(
            ID,
            format!("the clock says {}", now.strftime("%Y-%m-%d")),
            why,
            remedy,
        ));
        return;
    }
    let greetings = || servers.iter().filter_map(|server| server.greeting.as_ref().ok());
    let offsets = greetings().filter_map(|one| Some((one, one.now.duration_since(one.date?))));
    let Some((greeting, offset)) = offsets.max_by_key(|(_, offset)| offset.abs()) else {
        if let Some(up) = uptime.filter(|up| *up < YOUNG) {
            findings.push(Finding::note(
                ID,
                format!("the host was started {} seconds ago", up.as_secs()),
                "its clock may not have been set yet, and there was none to compare it with",
                "start countersign after time-sync.target",
            ));
        }
        return;
    };
    findings.push(if offset.abs() <= SKEW {
        Finding::ok(ID, "the clock agrees with that of the trust server")
    } else {
        let direction = if offset.is_negative() { "behind" } else { "ahead of" };
        let title = format!(
            "the clock is {} seconds {direction} that of {}",
            offset.abs().as_secs(),
            greeting.host
        );
        Finding::warning(ID, title, why, remedy)
    });
}

#[cfg(test)]
mod tests {
    use super::super::finding::{Severity, told};
    use super::*;
    use Severity::{Note, Problem, Warning};

    fn now() -> Timestamp {
        "2026-11-22T03:00:00Z".parse().unwrap()
    }

    fn server(took: u64, date: Option<&str>) -> ServerFacts {
        let greeting = Greeting {
            host: "notary.example.com".to_owned(),
            took: Duration::from_millis(took),
            proxy: None,
            date: date.map(|date| date.parse().unwrap()),
            now: now(),
        };
        ServerFacts { registry: "h.io".to_owned(), greeting: Ok(greeting) }
    }

    fn away() -> ServerFacts {
        let (cause, remedy) = ("trust server h.io answered 503".to_owned(), "wait".to_owned());
        ServerFacts { registry: "h.io".to_owned(), greeting: Err(NoGreeting { cause, remedy }) }
    }

    fn findings(servers: &[ServerFacts], now: Timestamp) -> Vec<(&'static str, Severity)> {
        let mut findings = Vec::new();
        examine(servers, now, Some(Duration::from_secs(30)), &mut findings);
        told(&findings)
    }

    #[test]
    fn servers_and_clocks() {
        let server_away = ("server.answers", Warning);
        let skewed = ("host.clock", Warning);
        let young = ("host.clock", Note);
        for (servers, expected) in [
            (vec![server(30, Some("2026-11-22T03:00:59Z"))], &[][..]),
            (vec![server(30, Some("2026-11-22T03:01:01Z"))], &[skewed]),
            (vec![server(30, Some("2026-11-22T02:58:00Z"))], &[skewed]),
            (vec![server(2500, Some("2026-11-22T03:00:00Z"))], &[server_away]),
            (vec![server(30, None)], &[young]),
            (vec![away()], &[server_away, young]),
            (vec![away(), server(30, Some("2026-11-22T03:00:00Z"))], &[server_away]),
            (vec![], &[young]),
        ] {
            assert_eq!(findings(&servers, now()), expected, "{servers:?}");
        }
        let reset = Timestamp::UNIX_EPOCH;
        assert_eq!(findings(&[], reset), [("host.clock", Problem)]);
    }
}
