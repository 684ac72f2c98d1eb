//! Whose key is it?

use jiff::Timestamp;

use super::rules::{Policy, User};
use crate::trust::certificate::Certificate;
use crate::trust::{KeyId, SigningKey};

/// Who holds a key, as the policy sees it, and whether their signature counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Holder {
    /// This user, and it counts.
    User(String),
    /// This user, but it does not count.
    Barred(String, Bar),
    /// Nobody the policy knows.
    Unknown,
}

/// Why a known user's key does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bar {
    /// Every certificate of the key is past its last day, this one.
    Expired(Timestamp),
    /// No certificate of the key is valid yet; the first will be then.
    NotYet(Timestamp),
    /// The policy revokes the key.
    Revoked,
}

/// Most certificates of one key that are held against the CAs of users. A key honestly has
/// one, and another while it is renewed.
const MAX_CERTIFICATES: usize = 4;

impl Policy {
    /// All dates on which a key or a certificate begins or ceases to count.
    pub(super) fn dates(&self) -> impl Iterator<Item = Timestamp> {
        let keys = self.users.values().flat_map(|user| user.keys.values());
        let listed = keys.flat_map(|key| key.certificates.iter().copied());
        let issuers = self.users_ca.iter().map(|ca| (ca.not_before, ca.not_after));
        listed.chain(issuers).flat_map(|(from, to)| [from, to])
    }

    /// Who holds `key`: the user who lists it, else, where a CA of users is set, the name
    /// in a certificate of that CA that the delegation gives for the key.
    pub(super) fn holder(&self, key: &SigningKey, now: Timestamp) -> Holder {
        let listed = self.users.iter().find(|(_, user)| user.keys.contains_key(&key.id));
        if let Some((name, user)) = listed {
            return verdict(name, listed_bar(user, key.id, now));
        }
        match self.certified(key, now) {
            Some((name, dates)) => {
                let revoked =
                    self.users.get(&name).is_some_and(|user| user.revoked.contains(&key.id));
                verdict(&name, if revoked { Some(Bar::Revoked) } else { dates })
            }
            None => Holder::Unknown,
        }
    }

    /// By the certificates that CAs of users issued for the key: what one in date says,
    /// else the first. Certificates and CAs are renewed, with the same keys.
    fn certified(&self, key: &SigningKey, now: Timestamp) -> Option<(String, Option<Bar>)> {
        let mut known = key.certificates.iter().take(MAX_CERTIFICATES).flat_map(|certificate| {
            let issuers = self.users_ca.iter().filter(|ca| certificate.is_issued_by(ca));
            issuers.filter_map(move |ca| named(certificate, ca, now))
        });
        let first = known.next()?;
        let in_date = |(_, bar): &(String, Option<Bar>)| bar.is_none();
        if in_date(&first) { Some(first) } else { known.find(in_date).or(Some(first)) }
    }
}

/// Whom a certificate names. Both it and the CA that vouches for it have to be in date.
fn named(
    certificate: &Certificate,
    ca: &Certificate,
    now: Timestamp,
) -> Option<(String, Option<Bar>)> {
    let name = certificate.common_name.clone().filter(|name| !name.is_empty())?;
    let dates = [(certificate.not_before, certificate.not_after), (ca.not_before, ca.not_after)];
    Some((name, dates.into_iter().find_map(|one| out_of_date(&[one], now))))
}

fn verdict(name: &str, bar: Option<Bar>) -> Holder {
    match bar {
        None => Holder::User(name.to_owned()),
        Some(bar) => Holder::Barred(name.to_owned(), bar),
    }
}

/// Why a key that a user lists does not count.
pub(super) fn listed_bar(user: &User, id: KeyId, now: Timestamp) -> Option<Bar> {
    if user.revoked.contains(&id) {
        return Some(Bar::Revoked);
    }
    user.keys.get(&id).and_then(|key| out_of_date(&key.certificates, now))
}

/// `None` where one of the certificates is in date, or there is none.
fn out_of_date(certificates: &[(Timestamp, Timestamp)], now: Timestamp) -> Option<Bar> {
    let current = |(from, to): &(Timestamp, Timestamp)| *from <= now && now <= *to;
    if certificates.is_empty() || certificates.iter().any(current) {
        return None;
    }
    let next = certificates.iter().map(|(from, _)| *from).filter(|from| *from > now).min();
    match next {
        Some(from) => Some(Bar::NotYet(from)),
        None => certificates.iter().map(|(_, to)| *to).max().map(Bar::Expired),
    }
}
