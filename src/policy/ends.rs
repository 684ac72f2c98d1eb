//! What runs out soon or has run out, of the policy and of what it lets in: what will stop,
//! and what to do about it. For those who look after a node; nothing is decided by it.

use jiff::{SignedDuration, Timestamp};

use super::holder::Bar;
use super::rules::{Policy, Registry};
use super::survey::UserKeyState;
use crate::image::Repository;
use crate::trust::certificate::Certificate;
use crate::trust::notary::Role;

/// How near an end has to be to be told: time to find the key holder and to act.
const NEAR: SignedDuration = SignedDuration::from_hours(30 * 24);

/// How near the end of something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Too far off to be told.
    Far,
    /// Within 30 days.
    Near,
    /// It is over.
    Past,
}

impl End {
    /// Of something that is good until `last`.
    pub fn of(last: Timestamp, now: Timestamp) -> Self {
        if last < now {
            Self::Past
        } else if last.duration_since(now) < NEAR {
            Self::Near
        } else {
            Self::Far
        }
    }
}

/// The day of a date, as people write it.
pub fn day(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d").to_string()
}

/// Something that ends soon, has ended, or has not begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// A stable word for its kind.
    pub id: &'static str,
    /// What, and when.
    pub title: String,
    /// What will stop.
    pub stops: &'static str,
    /// What to do.
    pub remedy: String,
}

impl Ending {
    fn new(
        id: &'static str,
        title: String,
        stops: &'static str,
        remedy: impl Into<String>,
    ) -> Self {
        Self { id, title, stops, remedy: remedy.into() }
    }
}

impl Policy {
    /// All that ends of what it lists.
    pub fn endings(&self, now: Timestamp) -> Vec<Ending> {
        let mut found: Vec<_> =
            self.user_keys(now).filter_map(|key| user_key_ending(key, now)).collect();
        for ca in self.users_authorities() {
            found.extend(authority_ending("policy.users-ca", "users_ca", ca, now));
        }
        for registry in self.registries() {
            found.extend(registry_endings(registry, now));
        }
        found
    }
}

/// Of a user's key: that its certificates end.
pub fn user_key_ending(key: UserKeyState<'_>, now: Timestamp) -> Option<Ending> {
    const ID: &str = "policy.user-key";
    let (user, short) = (key.user.escape_debug(), key.id.short());
    let stops = "a signature counts while a certificate of its key is in date";
    let renew = format!("have {user}'s certificate renewed for the same key, and list the new one");
    match key.bar {
        Some(Bar::Expired(last)) => {
            let title = format!("the certificate of {user} (key {short}) expired on {}", day(last));
            Some(Ending::new(ID, title, stops, renew))
        }
        Some(Bar::NotYet(first)) => {
            let title =
                format!("the certificate of {user} (key {short}) is valid from {}", day(first));
            Some(Ending::new(ID, title, stops, "wait, or see that the clock is right"))
        }
        // Somebody meant it.
        Some(Bar::Revoked) => None,
        None => key.last.filter(|last| End::of(*last, now) == End::Near).map(|last| {
            let title = format!("the certificate of {user} (key {short}) ends on {}", day(last));
            Ending::new(ID, title, stops, renew)
        }),
    }
}

/// Of a CA that the policy itself trusts.
pub fn authority_ending(
    id: &'static str,
    key: &str,
    ca: &Certificate,
    now: Timestamp,
) -> Option<Ending> {
    let name = ca.common_name.as_deref().unwrap_or("without a name").escape_debug();
    let title = ends(ca, now)?;
    Some(Ending::new(
        id,
        format!("{key}: the CA {name} {title}"),
        "what it vouches for counts only while it is in date",
        format!("have the CA renewed and put its new certificate into {key}"),
    ))
}

/// Of a registry's entry: the CA of its TLS certificates, and those of its roots.
pub fn registry_endings(registry: &Registry, now: Timestamp) -> Vec<Ending> {
    // The policy was read, so the bundle was as well.
    let bundle = registry.ca.as_deref().map(|pem| Certificate::from_pem(pem.as_bytes()));
    let certificates = bundle.and_then(Result::ok).unwrap_or_default();
    let told = certificates.iter().filter_map(|ca| {
        let name = ca.common_name.as_deref().unwrap_or("without a name").escape_debug();
        Some(Ending::new(
            "policy.ca-bundle",
            format!("{}: the registered CA {name} {}", registry.host, ends(ca, now)?),
            "without a CA in date its servers cannot be asked: new signatures are not seen",
            "put the certificate that follows it into ca_file or ca_bundle, beside the old one",
        ))
    });
    let of = format!("root_ca of {}", registry.host);
    let roots = registry.root.ca.iter();
    told.chain(roots.filter_map(|ca| authority_ending("policy.root-ca", &of, ca, now))).collect()
}

/// What is to be said of a certificate's dates; nothing while they are far off.
fn ends(certificate: &Certificate, now: Timestamp) -> Option<String> {
    if now < certificate.not_before {
        return Some(format!("is valid from {}", day(certificate.not_before)));
    }
    match End::of(certificate.not_after, now) {
        End::Far => None,
        End::Near => Some(format!("ends on {}", day(certificate.not_after))),
        End::Past => Some(format!("expired on {}", day(certificate.not_after))),
    }
}

/// Of a role's file.
pub fn role_ending(
    repository: &Repository,
    role: &Role,
    at: Timestamp,
    now: Timestamp,
) -> Option<Ending> {
    let end = End::of(at, now);
    let (stops, remedy) = match role {
        // The server makes a new one every two weeks of its own accord.
        Role::Timestamp if end == End::Near => return None,
        Role::Timestamp => (
            "what is kept serves no more while the trust server is away",
            format!(
                "countersign check {repository} fetches a new one; see that the server signs them"
            ),
        ),
        Role::Root => (
            "without a root in date none of its images can be verified",
            format!("have its owner sign a new root: notary key rotate {repository} snapshot -r"),
        ),
        Role::Snapshot => (
            "without a snapshot in date none of its images can be verified",
            format!("publish anything in it: any docker trust sign of an image of {repository}"),
        ),
        Role::Targets => (
            "without targets in date none of its images can be verified",
            format!("have its owner sign it anew: notary witness -p {repository} targets"),
        ),
        Role::Delegation(_) => (
            "signatures in it count no more when it has expired",
            format!("have one of its signers sign it anew: notary witness -p {repository} {role}"),
        ),
    };
    let title = match end {
        End::Far => return None,
        End::Near => format!("{role} of {repository} expires on {}", day(at)),
        End::Past => format!("{role} of {repository} expired on {}", day(at)),
    };
    Some(Ending::new("trust.expiry", title, stops, remedy))
}
