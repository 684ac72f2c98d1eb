//! How fresh trust data has to be, and what serves while it cannot be.

use std::time::Duration;

use jiff::SignedDuration;
use toml::Spanned;

use super::build::Builder;
use super::document::{ConfigError, GraceEntry, TrustConfiguration};
use super::rules::{Policy, Registry};
use crate::image::Repository;
use crate::trust::notary::Grace;

/// How old what a trust server last confirmed may be where the policy does not say.
const MAX_STALENESS: SignedDuration = SignedDuration::from_mins(5);
/// The most that a policy may say: a revocation is not seen before.
const LONGEST_STALENESS: SignedDuration = SignedDuration::from_hours(24);
/// The longest grace: Notary's timestamps serve two weeks without any.
const LONGEST_GRACE: SignedDuration = SignedDuration::from_hours(30 * 24);

/// What the policy says of it.
#[derive(Clone, Debug)]
pub(super) struct Freshness {
    max_staleness: Duration,
    grace: Grace,
    prefetch: Vec<Repository>,
}

impl Freshness {
    /// The grace where no rule says otherwise.
    pub fn grace(&self) -> Grace {
        self.grace
    }
}

impl Policy {
    /// How old what the trust server last confirmed may be, to decide by it without asking:
    /// the time after which a revocation counts. Zero: each decision asks.
    pub fn max_staleness(&self) -> Duration {
        self.freshness.max_staleness
    }

    /// How long trust data of a repository serves that ran out while its trust server could
    /// not be asked. The most specific rule that says so counts.
    pub fn offline_grace(&self, repository: &Repository) -> Grace {
        self.rule(repository, |rule| rule.offline_grace).unwrap_or(self.freshness.grace)
    }

    /// The repositories whose trust data is kept ready before anybody asks for them.
    pub fn prefetch(&self) -> &[Repository] {
        &self.freshness.prefetch
    }
}

impl Builder<'_> {
    pub(super) fn freshness(
        &self,
        trust: &TrustConfiguration,
        registries: &[Registry],
    ) -> Result<Freshness, ConfigError> {
        let max_staleness = match &trust.max_staleness {
            Some(written) => self.duration(written, "max_staleness", LONGEST_STALENESS)?,
            None => MAX_STALENESS,
        };
        let mut prefetch: Vec<Repository> = Vec::new();
        for written in &trust.prefetch {
            let repository = self.prefetched(written, registries)?;
            if !prefetch.contains(&repository) {
                prefetch.push(repository);
            }
        }
        let grace = self.grace(&trust.offline_grace)?;
        Ok(Freshness { max_staleness: max_staleness.unsigned_abs(), grace, prefetch })
    }

    pub(super) fn grace(&self, entry: &GraceEntry) -> Result<Grace, ConfigError> {
        let of = |written: &Option<Spanned<String>>| match written {
            Some(written) => self.duration(written, "offline_grace", LONGEST_GRACE),
            None => Ok(SignedDuration::ZERO),
        };
        Ok(Grace { timestamp: of(&entry.timestamp)?, snapshot: of(&entry.snapshot)? })
    }

    fn duration(
        &self,
        written: &Spanned<String>,
        key: &str,
        longest: SignedDuration,
    ) -> Result<SignedDuration, ConfigError> {
        let text = written.get_ref();
        let duration: SignedDuration = text.parse().map_err(|_| {
            let what = format!("{key}: {text:?} is no duration; write \"90s\", \"5m\" or \"72h\"");
            self.error(written, what)
        })?;
        if duration.is_negative() || duration > longest {
            let what = format!("{key} goes from \"0s\" to \"{}h\"", longest.as_hours());
            return Err(self.error(written, what));
        }
        Ok(duration)
    }

    fn prefetched(
        &self,
        written: &Spanned<String>,
        registries: &[Registry],
    ) -> Result<Repository, ConfigError> {
        let text = written.get_ref();
        let parsed = text.parse::<Repository>().map_err(|error| error.to_string());
        // As it is written, so that none is another one than it looks like.
        let repository = parsed
            .and_then(
                |one| if one.as_str() == text { Ok(one) } else { Err(format!("that is {one}")) },
            )
            .map_err(|why| {
                let what = format!(
                    "prefetch: {text:?} must be a whole repository with its host, without tag \
                     (registry.example.com/app, docker.io/library/busybox): {why}"
                );
                self.error(written, what)
            })?;
        if registries.iter().all(|registry| registry.host != repository.host()) {
            let what = format!(
                "prefetch: {} is not registered; add a [[registries]] entry for it",
                repository.host()
            );
            return Err(self.error(written, what));
        }
        Ok(repository)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRUST: &str = "[trust_configuration]\nrequire_content_trust = true\n";
    const REGISTRY: &str = "[[registries]]\nhost_address = \"h.io\"\n";

    fn policy(text: &str) -> Result<Policy, ConfigError> {
        Policy::from_toml(text, &|_| Err(std::io::ErrorKind::NotFound.into()))
    }

    #[test]
    fn durations() {
        for (written, seconds) in
            [("0s", 0), ("90s", 90), ("5m", 300), ("1h 30m", 5400), ("24h", 86400), ("PT2M", 120)]
        {
            let text = format!("{TRUST}max_staleness = {written:?}\n");
            let policy = policy(&text).unwrap();
            assert_eq!(policy.max_staleness(), Duration::from_secs(seconds), "{written}");
        }
        assert_eq!(policy(TRUST).unwrap().max_staleness(), Duration::from_secs(300));
        for (written, what) in [
            ("", "no duration"),
            ("5", "no duration"),
            ("5 minuts", "no duration"),
            ("-5m", "from \"0s\" to \"24h\""),
            ("25h", "from \"0s\" to \"24h\""),
            ("9999999999999h", "from \"0s\" to \"24h\""),
        ] {
            let text = format!("{TRUST}max_staleness = {written:?}\n");
            let error = policy(&text).unwrap_err();
            assert!(error.what.contains(what), "{written}: {error}");
            assert_eq!((error.line, error.column), (3, 17), "{written}: {error}");
        }
    }

    #[test]
    fn grace_is_for_two_roles_and_off_by_default() {
        let a: Repository = "h.io/a".parse().unwrap();
        let b: Repository = "h.io/prod/b".parse().unwrap();
        let hours = |timestamp, snapshot| Grace {
            timestamp: SignedDuration::from_hours(timestamp),
            snapshot: SignedDuration::from_hours(snapshot),
        };
        let none = policy(TRUST).unwrap();
        assert_eq!(none.offline_grace(&a), Grace::NONE);
        let text = format!("{TRUST}offline_grace = {{ timestamp = \"72h\" }}\n");
        assert_eq!(policy(&text).unwrap().offline_grace(&b), hours(72, 0));
        let rules = "[[rules]]\nrepository = \"h.io/prod/**\"\nallow_host_access = true\n\
             offline_grace = { timestamp = \"1h\", snapshot = \"2h\" }\n\
             [[rules]]\nrepository = \"h.io/prod/b\"\noffline_grace = {}\n\
             [[rules]]\nrepository = \"h.io/prod/c\"\nallow_host_access = false\n";
        let special = policy(&format!("{text}{rules}")).unwrap();
        let c: Repository = "h.io/prod/c".parse().unwrap();
        let of = [&a, &b, &c].map(|one| special.offline_grace(one));
        assert_eq!(of, [hours(72, 0), Grace::NONE, hours(1, 2)]);
        for (grace, what) in [
            ("{ root = \"1h\" }", "unknown field `root`"),
            ("{ targets = \"1h\" }", "unknown field `targets`"),
            ("{ timestamp = \"721h\" }", "to \"720h\""),
        ] {
            let error = policy(&format!("{TRUST}offline_grace = {grace}\n")).unwrap_err();
            assert!(error.what.contains(what), "{grace}: {error}");
            assert_eq!(error.line, 3, "{grace}: {error}");
        }
        let empty = format!("{TRUST}[[rules]]\nrepository = \"h.io/a\"\n");
        assert!(policy(&empty).unwrap_err().what.contains("says nothing"));
    }

    #[test]
    fn what_is_prefetched_has_a_whole_name() {
        let with = |name: &str| policy(&format!("{TRUST}prefetch = [{name:?}]\n{REGISTRY}"));
        let found = with("h.io/team/app").unwrap();
        assert_eq!(found.prefetch(), ["h.io/team/app".parse().unwrap()]);
        for (name, what) in [
            ("app", "whole repository"),
            ("h.io/app:1", "whole repository"),
            ("h.io/**", "whole repository"),
            ("", "whole repository"),
            ("quay.io/app", "quay.io is not registered"),
        ] {
            let error = with(name).unwrap_err();
            assert!(error.what.contains(what), "{name}: {error}");
            assert_eq!((error.line, error.column), (3, 13), "{name}: {error}");
        }
    }
}
