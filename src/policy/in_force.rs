//! A policy, told to people: what is in force, and where that is written.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::{Value, json};

use super::exception::{Excepted, Exception};
use super::holder::Bar;
use super::rules::{Policy, Proxy, Registry};
use super::scope::Rule;
use super::survey::UserKeyState;
use crate::image::{Repository, RepositoryPattern};
use crate::request::Permission;
use crate::trust::certificate::Certificate;
use crate::trust::notary::Grace;

/// On which line of the file something is written: a key by its name, an entry of a list by its
/// number. `None` where it is not.
pub type Locate<'l> = &'l dyn Fn(&[&str]) -> Option<usize>;

/// A setting.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Setting {
    /// Its key.
    pub key: String,
    /// What is in force. Durations are texts; never a secret.
    pub value: Value,
    /// The rule that says so, where one does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// The line, from 1, on which it is written; a default is on none.
    pub line: Option<usize>,
}

/// All of a policy.
#[derive(Clone, Debug, Serialize)]
pub struct InForce {
    /// What tells it from other policies.
    pub fingerprint: String,
    /// What holds for all: each key with its section.
    pub settings: Vec<Setting>,
    /// The registries.
    pub registries: Vec<RegistryShown>,
    /// The rules; those that say more about a repository come first.
    pub rules: Vec<RuleShown>,
    /// The exceptions; those that end first come first.
    pub exceptions: Vec<ExceptionShown>,
    /// The teams, in order of name.
    pub teams: Vec<TeamShown>,
    /// The users, in order of name.
    pub users: Vec<UserShown>,
}

/// A registry.
#[derive(Clone, Debug, Serialize)]
pub struct RegistryShown {
    /// Its host.
    pub host: String,
    /// The line on which its entry begins.
    pub line: Option<usize>,
    /// What holds for it.
    pub settings: Vec<Setting>,
}

/// A rule.
#[derive(Clone, Debug, Serialize)]
pub struct RuleShown {
    /// The repositories it is for.
    pub repository: String,
    /// The line on which it begins.
    pub line: Option<usize>,
    /// What it says.
    pub settings: Vec<Setting>,
}

/// An exception.
#[derive(Clone, Debug, Serialize)]
pub struct ExceptionShown {
    /// What it is for.
    pub of: String,
    /// Who answers for it.
    pub owner: String,
    /// What for.
    pub reason: String,
    /// Until when, as it is written.
    pub until: String,
    /// Whole days until then; none where it has ended.
    pub days_left: Option<i64>,
    /// Whether such images may reach the host.
    pub allow_host_access: bool,
    /// The line on which it begins.
    pub line: Option<usize>,
}

/// A team.
#[derive(Clone, Debug, Serialize)]
pub struct TeamShown {
    /// Its name.
    pub team: String,
    /// Its members.
    pub members: Vec<String>,
    /// Whether a member must have signed, for some repository or other.
    pub required: bool,
    /// The line on which it is written.
    pub line: Option<usize>,
}

/// A user.
#[derive(Clone, Debug, Serialize)]
pub struct UserShown {
    /// The name.
    pub user: String,
    /// The keys that are listed.
    pub keys: Vec<KeyShown>,
    /// Canonical IDs of keys that count no more.
    pub revoked: Vec<String>,
    /// The line on which the entry begins.
    pub line: Option<usize>,
}

/// A key of a user.
#[derive(Clone, Debug, Serialize)]
pub struct KeyShown {
    /// Its canonical ID.
    pub key_id: String,
    /// When its last certificate ends; a bare key has none.
    pub good_until: Option<Timestamp>,
    /// Whether a signature with it counts now.
    pub counts: bool,
    /// Why not, if so: `expired`, `not-yet` or `revoked`.
    pub bar: Option<&'static str>,
}

/// What holds for one repository.
#[derive(Clone, Debug, Serialize)]
pub struct RepositoryShown {
    /// Its name.
    pub repository: String,
    /// Whether its registry is registered. Where not, nothing of it can be signed.
    pub registered: bool,
    /// The rules that are for it; the one that says most about it first.
    pub rules: Vec<String>,
    /// What holds, and which rule says so.
    pub settings: Vec<Setting>,
    /// The exceptions for its names.
    pub exceptions: Vec<ExceptionShown>,
}

impl Policy {
    /// Tells all of it.
    pub fn in_force(&self, now: Timestamp, line: Locate<'_>) -> InForce {
        let mut rules: Vec<_> = self.rules.iter().enumerate().collect();
        rules.sort_by(|(_, one), (_, other)| {
            other.repository.specificity().cmp(&one.repository.specificity())
        });
        InForce {
            fingerprint: self.fingerprint.clone(),
            settings: self.settings(line),
            registries: self
                .registries
                .iter()
                .enumerate()
                .map(|(number, one)| registry(one, &number.to_string(), line))
                .collect(),
            rules: rules.into_iter().map(|(number, one)| rule(one, number, line)).collect(),
            exceptions: self.exceptions_shown(|_| true, now, line),
            teams: self
                .teams(now)
                .map(|team| TeamShown {
                    team: team.name.to_owned(),
                    members: team.members.iter().cloned().collect(),
                    required: team.required,
                    line: line(&["teams", team.name]),
                })
                .collect(),
            users: self.users_shown(now, line),
        }
    }

    /// Tells what holds for one repository.
    pub fn in_force_for(
        &self,
        repository: &Repository,
        now: Timestamp,
        line: Locate<'_>,
    ) -> RepositoryShown {
        let said = |key: &str, value: Value, by: Option<&RepositoryPattern>, written: &[&str]| {
            let at = by.and_then(|by| self.rules.iter().position(|one| one.repository == *by));
            Setting {
                key: key.to_owned(),
                value,
                rule: by.map(ToString::to_string),
                line: match at {
                    Some(number) => line(&["rules", &number.to_string(), key]),
                    None => line(written),
                },
            }
        };
        let by = |says: fn(&Rule) -> bool| {
            self.rule(repository, |rule| says(rule).then_some(&rule.repository))
        };
        let trust = |key: &'static str, value, says| {
            said(key, value, by(says), &["trust_configuration", key])
        };
        let mut rules: Vec<_> =
            self.rules.iter().filter(|rule| rule.repository.matches(repository)).collect();
        rules.sort_by(|one, other| {
            other.repository.specificity().cmp(&one.repository.specificity())
        });
        RepositoryShown {
            repository: repository.to_string(),
            registered: self.registry(repository.host()).is_some(),
            rules: rules.into_iter().map(|rule| rule.repository.to_string()).collect(),
            settings: vec![
                trust("require_content_trust", json!(self.enforced), |_| false),
                trust("require_signature_from", json!(self.required_of(repository)), |rule| {
                    rule.required_teams.is_some()
                }),
                trust("mode", json!(self.mode_of(repository)), |rule| rule.mode.is_some()),
                said(
                    "allow_host_access",
                    json!(self.allows_host_access(repository)),
                    by(|rule| rule.allow_host_access.is_some()),
                    &[],
                ),
                trust("offline_grace", grace(self.offline_grace(repository)), |rule| {
                    rule.offline_grace.is_some()
                }),
            ],
            exceptions: self.exceptions_shown(|one| one.names(repository), now, line),
        }
    }

    fn settings(&self, line: Locate<'_>) -> Vec<Setting> {
        let prefetch: Vec<_> = self.prefetch().iter().map(ToString::to_string).collect();
        let trust = [
            ("require_content_trust", json!(self.enforced)),
            ("mode", json!(self.mode)),
            ("require_signature_from", json!(self.required_teams)),
            ("users_ca", names(&self.users_ca)),
            ("count_nested_delegations", json!(self.count_nested)),
            ("on_violation", json!(self.on_violation)),
            ("max_staleness", length(self.max_staleness())),
            ("offline_grace", grace(self.freshness.grace())),
            ("prefetch", json!(prefetch)),
        ];
        let trust = trust.into_iter().map(|(key, value)| ("trust_configuration", key, value));
        let guard = [("guard", "mode", json!(self.guard_mode))];
        let api =
            Permission::ALL.into_iter().map(|one| ("api", one.key(), json!(self.allows(one))));
        let all = trust.chain(guard).chain(api);
        all.map(|(section, key, value)| Setting {
            key: format!("{section}.{key}"),
            value,
            rule: None,
            line: line(&[section, key]),
        })
        .collect()
    }

    fn exceptions_shown(
        &self,
        which: impl Fn(&Exception) -> bool,
        now: Timestamp,
        line: Locate<'_>,
    ) -> Vec<ExceptionShown> {
        let mut found: Vec<_> =
            self.exceptions.iter().enumerate().filter(|(_, one)| which(one)).collect();
        found.sort_by_key(|(_, one)| one.until);
        let shown = |(number, one): (usize, &Exception)| ExceptionShown {
            of: match &one.of {
                Excepted::Digest(digest) => digest.to_string(),
                Excepted::Repository(pattern) => pattern.to_string(),
            },
            owner: one.owner.clone(),
            reason: one.reason.clone(),
            until: one.written_until.clone(),
            days_left: one.is_in_force(now).then(|| one.until.duration_since(now).as_hours() / 24),
            allow_host_access: one.allow_host_access,
            line: line(&["exceptions", &number.to_string()]),
        };
        found.into_iter().map(shown).collect()
    }

    fn users_shown(&self, now: Timestamp, line: Locate<'_>) -> Vec<UserShown> {
        let shown = |name: &String| UserShown {
            user: name.clone(),
            keys: self.user_keys(now).filter(|key| key.user == name).map(key).collect(),
            revoked: self
                .users
                .get(name)
                .into_iter()
                .flat_map(|user| &user.revoked)
                .map(ToString::to_string)
                .collect(),
            line: line(&["users", name]),
        };
        self.users.keys().map(shown).collect()
    }
}

fn key(key: UserKeyState<'_>) -> KeyShown {
    KeyShown {
        key_id: key.id.to_string(),
        good_until: key.last,
        counts: key.bar.is_none(),
        bar: key.bar.map(|bar| match bar {
            Bar::Expired(_) => "expired",
            Bar::NotYet(_) => "not-yet",
            Bar::Revoked => "revoked",
        }),
    }
}

fn registry(registry: &Registry, number: &str, line: Locate<'_>) -> RegistryShown {
    let Registry { host, ca, trust_server, proxy, docker_config, root } = registry;
    let at = |key: &str| line(&["registries", number, key]);
    let setting =
        |key: &str, value| Setting { key: key.to_owned(), value, rule: None, line: at(key) };
    let ca_key = if at("ca_bundle").is_some() { "ca_bundle" } else { "ca_file" };
    let ca = ca.as_deref().and_then(|pem| Certificate::from_pem(pem.as_bytes()).ok());
    let pins: Vec<_> = root.pins.iter().map(ToString::to_string).collect();
    let trust_server = trust_server.clone().unwrap_or_else(|| format!("https://{host}"));
    RegistryShown {
        host: host.clone(),
        line: line(&["registries", number]),
        settings: vec![
            setting(ca_key, ca.map_or(Value::Null, |ca| names(&ca))),
            setting("trust_server", json!(without_login(&trust_server))),
            setting(
                "proxy",
                match proxy {
                    Proxy::Environment => Value::Null,
                    Proxy::None => json!("none"),
                    Proxy::Url(url) => json!(without_login(url)),
                },
            ),
            // What is in it is secret.
            setting("docker_config", json!(docker_config.is_some().then_some("given"))),
            setting("root_pins", json!(pins)),
            setting("root_ca", names(&root.ca)),
            setting("trust_on_first_use", json!(root.trust_on_first_use)),
        ],
    }
}

fn rule(rule: &Rule, number: usize, line: Locate<'_>) -> RuleShown {
    let number = number.to_string();
    let Rule { repository, required_teams, mode, allow_host_access, offline_grace } = rule;
    let said = [
        ("require_signature_from", required_teams.as_ref().map(|teams| json!(teams))),
        ("mode", mode.map(|mode| json!(mode))),
        ("allow_host_access", allow_host_access.map(|allow| json!(allow))),
        ("offline_grace", offline_grace.map(grace)),
    ];
    let setting = |(key, value): (&str, Option<Value>)| {
        let line = line(&["rules", &number, key]);
        Some(Setting { key: key.to_owned(), value: value?, rule: None, line })
    };
    RuleShown {
        repository: repository.to_string(),
        line: line(&["rules", &number]),
        settings: said.into_iter().filter_map(setting).collect(),
    }
}

/// The names of CAs.
fn names(certificates: &[Certificate]) -> Value {
    let name = |one: &Certificate| one.common_name.clone().unwrap_or_default();
    json!(certificates.iter().map(name).collect::<Vec<_>>())
}

fn grace(grace: Grace) -> Value {
    let Grace { timestamp, snapshot } = grace;
    json!({ "timestamp": format!("{timestamp:#}"), "snapshot": format!("{snapshot:#}") })
}

fn length(length: Duration) -> Value {
    json!(SignedDuration::try_from(length).map_or_else(|_| String::new(), |it| format!("{it:#}")))
}

/// A URL without the login that may stand in it.
fn without_login(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{scheme}://{host}{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_login_is_shown() {
        for (url, shown) in [
            ("http://proxy:3128", "http://proxy:3128"),
            ("http://alice:secret@proxy:3128", "http://proxy:3128"),
            ("https://a:b@c@host/path@x", "https://host/path@x"),
        ] {
            assert_eq!(without_login(url), shown, "{url}");
        }
    }

    #[test]
    fn what_says_most_comes_first_and_ends_are_counted() {
        let text = "[trust_configuration]\nrequire_content_trust = true\n\
            [[rules]]\nrepository = \"h.io/**\"\nmode = \"audit\"\n\
            [[rules]]\nrepository = \"h.io/a/b\"\nallow_host_access = true\n\
            [[exceptions]]\nrepository = \"h.io/a/*\"\nowner = \"o\"\nreason = \"r\"\nuntil = 2026-12-02\n\
            [[exceptions]]\nrepository = \"h.io/c\"\nowner = \"o\"\nreason = \"r\"\nuntil = 2026-11-02\n";
        let policy = Policy::from_toml(text, &|_| Ok(String::new())).unwrap();
        let now = "2026-12-01T12:00:00Z".parse().unwrap();
        let nowhere: Locate<'_> = &|_| None;
        let told = policy.in_force(now, nowhere);
        let rules: Vec<_> = told.rules.iter().map(|rule| rule.repository.as_str()).collect();
        assert_eq!(rules, ["h.io/a/b", "h.io/**"]);
        let days: Vec<_> = told.exceptions.iter().map(|one| one.days_left).collect();
        assert_eq!(days, [None, Some(1)]);

        let one = policy.in_force_for(&"h.io/a/b".parse().unwrap(), now, nowhere);
        assert_eq!((one.rules.len(), one.exceptions.len(), one.registered), (2, 1, false));
        let by: Vec<_> =
            one.settings.iter().map(|it| (it.key.as_str(), it.rule.as_deref())).collect();
        assert!(by.contains(&("mode", Some("h.io/**"))), "{by:?}");
        assert!(by.contains(&("allow_host_access", Some("h.io/a/b"))), "{by:?}");
        assert!(by.contains(&("require_signature_from", None)), "{by:?}");
    }
}
