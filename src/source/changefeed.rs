//! The changefeed of a trust server: what was published or deleted, in order.
//!
//! Notary's own, `GET /v2/_trust/changefeed?change_id=-1&records=N`: the newest N records. It
//! is signed by nobody, so it is a hint where to look and no more.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::unavailable::{Place, Unavailable};
use crate::image::Repository;

/// Most bytes of one record. Real ones have 250; a name has 255 at most.
const MAX_RECORD: u64 = 1024;
/// Longest text in a record.
const MAX_TEXT: usize = 512;

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What tells it from all others. A server that begins its numbers anew gives none twice,
    /// since its time is part of it.
    pub id: String,
    /// Whose; `None` where that is no name of a repository.
    pub repository: Option<Repository>,
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    records: Option<Vec<Record<'a>>>,
}

#[derive(Deserialize)]
struct Record<'a> {
    /// A string here, a number with other storage.
    #[serde(rename = "ID", borrow)]
    id: &'a RawValue,
    #[serde(rename = "CreatedAt")]
    created_at: String,
    #[serde(rename = "GUN")]
    gun: String,
    #[serde(rename = "SHA256", default)]
    sha256: String,
}

/// The path and query for the newest `records`, below the server's base.
pub(super) fn path(records: usize) -> String {
    format!("v2/_trust/changefeed?change_id=-1&records={records}")
}

/// Most bytes of an answer with that many.
pub(super) fn max_len(records: usize) -> u64 {
    MAX_RECORD * (records as u64 + 1)
}

/// Reads an answer of at most so many records.
pub(super) fn read(at: &Place, bytes: &[u8], records: usize) -> Result<Vec<Change>, Unavailable> {
    let bad = |what: &str| Unavailable::bad_answer(at, format!("its changefeed {what}"));
    let answer: Answer<'_> =
        serde_json::from_slice(bytes).map_err(|_| bad("is not the JSON of one"))?;
    let found = answer.records.unwrap_or_default();
    if found.len() > records {
        return Err(bad("has more records than were asked for"));
    }
    let change = |record: Record<'_>| {
        let id = format!("{} {} {}", record.id.get(), record.created_at, record.sha256);
        let fits = id.len() <= MAX_TEXT && record.gun.len() <= MAX_TEXT;
        fits.then(|| Change {
            id: format!("{id} {}", record.gun),
            repository: record.gun.parse().ok(),
        })
    };
    found
        .into_iter()
        .map(|record| change(record).ok_or_else(|| bad("has overlong records")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::unavailable::Role;
    use super::*;

    fn changes(text: &str) -> Result<Vec<Change>, Unavailable> {
        read(&Place::new(Role::TrustServer, "h.io"), text.as_bytes(), 2)
    }

    #[test]
    fn reads_what_notary_server_writes() {
        let text = r#"{"count":2,"records":[{"ID":"3","CreatedAt":"2026-11-27T07:19:44.501681844Z","GUN":"localhost:23450/c","Version":1,"SHA256":"b2f4","Category":"update"},{"ID":4,"CreatedAt":"2026-11-27T07:19:44.73366667Z","GUN":"UP","Version":0,"SHA256":"","Category":"deletion"}]}"#;
        let found = changes(text).unwrap();
        assert_eq!(found[0].repository, Some("localhost:23450/c".parse().unwrap()));
        assert_eq!(found[1].repository, None);
        assert_ne!(found[0].id, found[1].id);
        assert_eq!(changes(r#"{"count":0,"records":null}"#).unwrap(), []);
    }

    #[test]
    fn refuses_what_is_none() {
        let one = r#"{"ID":"1","CreatedAt":"x","GUN":"h.io/a"}"#;
        let long = format!(r#"{{"ID":"1","CreatedAt":"x","GUN":"h.io/{}"}}"#, "a".repeat(600));
        for text in [
            "",
            "<html>",
            "[]",
            r#"{"records":[{}]}"#,
            r#"{"records":[{"ID":"1","CreatedAt":1,"GUN":"h.io/a"}]}"#,
            &format!(r#"{{"records":[{one},{one},{one}]}}"#),
            &format!(r#"{{"records":[{long}]}}"#),
        ] {
            let error = changes(text).unwrap_err();
            assert!(matches!(error, Unavailable::BadAnswer { .. }), "{text}: {error}");
        }
    }
}
