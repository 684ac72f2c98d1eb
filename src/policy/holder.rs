//! Whose key is it?

use jiff::Timestamp;

use super::rules::{Policy, User};
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

impl Policy {
    /// Who holds `key`: the user who lists it, else, where a CA of users is set, the name
    /// in the certificate of that CA that the delegation gives for the key.
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

    fn certified(&self, key: &SigningKey, now: Timestamp) -> Option<(String, Option<Bar>)> {
        let certificate = key.certificate.as_ref()?;
        let issuer = |ca: &&_| certificate.is_issued_by(ca);
        let ca = self.users_ca.iter().find(issuer)?;
        let name = certificate.common_name.clone().filter(|name| !name.is_empty())?;
        let dates =
            [(certificate.not_before, certificate.not_after), (ca.not_before, ca.not_after)];
        // Both the certificate and the CA that vouches for it have to be in date.
        let bar = dates.into_iter().find_map(|one| out_of_date(&[one], now));
        Some((name, bar))
    }
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
