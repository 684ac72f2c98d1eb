//! What the targets that make trust data share: an update driven from memory, and what
//! may be said of its outcome.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use countersign::image::{Digest, Repository};
use countersign::trust::notary::{Fault, FileName, History, RootPolicy, TrustData, Update};
use jiff::Timestamp;
use serde_json::Value;

/// More steps than any update of the files here takes.
const MANY: usize = 64;

/// Trust on first use, no pins.
fn first_use() -> RootPolicy {
    RootPolicy { trust_on_first_use: true, ..RootPolicy::default() }
}

/// When everything is in date.
///
/// # Panics
/// Never: the text is a date.
#[must_use]
pub fn now() -> Timestamp {
    "2026-11-22T02:00:00Z".parse().expect("a date")
}

/// A whole update from what `server` has.
///
/// # Errors
/// As the update's own.
///
/// # Panics
/// Where the update does not come to an end, or where a fault is told at length: what a
/// server chose must not flood a log or a terminal.
pub fn update(
    gun: &Repository,
    history: &History,
    server: impl FnMut(&FileName) -> Option<Vec<u8>>,
) -> Result<TrustData, Fault> {
    let outcome = drive(gun, history, server);
    if let Err(fault) = &outcome {
        check_words(&fault.to_string());
    }
    outcome
}

fn drive(
    gun: &Repository,
    history: &History,
    mut server: impl FnMut(&FileName) -> Option<Vec<u8>>,
) -> Result<TrustData, Fault> {
    let policy = first_use();
    let mut update = Update::new(gun, &policy, history, now())?;
    for _ in 0..MANY {
        let Some(wanted) = update.wanted() else {
            return Ok(update.finish().expect("nothing is wanted any more").0);
        };
        match server(&wanted.file) {
            Some(bytes) => update.offer(&bytes, now())?,
            None => update.absent()?,
        }
    }
    panic!("{:?} is wanted after {MANY} files", update.wanted());
}

/// One line of sane length, nothing in it that moves a cursor.
///
/// # Panics
/// Where it is not.
pub fn check_words(text: &str) {
    assert!(text.len() < 1000, "{} bytes: {:?}", text.len(), text.get(..200));
    assert!(!text.contains(char::is_control), "{text:?}");
}

/// The name under which a recorded repository holds a file.
#[must_use]
pub fn plain(file: &FileName) -> String {
    match file {
        FileName::Hashed(role, _) => FileName::Current(role.clone()).to_string(),
        other => other.to_string(),
    }
}

/// Tags and digests that a file may be trying to put in.
#[derive(Default)]
pub struct Candidates {
    /// Every member's name in it.
    pub tags: BTreeSet<String>,
    /// Every text in it that is 32 bytes in base64.
    pub digests: BTreeSet<Digest>,
}

impl Candidates {
    /// Those of one more file.
    pub fn add(&mut self, file: &[u8]) {
        if let Ok(value) = serde_json::from_slice(file) {
            self.collect(&value);
        }
    }

    /// Those of many more.
    pub fn add_all<'f>(&mut self, files: impl Iterator<Item = &'f Vec<u8>>) {
        for file in files {
            self.add(file);
        }
    }

    fn collect(&mut self, value: &Value) {
        match value {
            Value::String(text) => {
                let bytes = BASE64.decode(text).ok().and_then(|bytes| bytes.try_into().ok());
                self.digests.extend(bytes.map(Digest::from_bytes));
            }
            Value::Array(elements) => {
                for element in elements {
                    self.collect(element);
                }
            }
            Value::Object(members) => {
                for (name, member) in members {
                    self.tags.insert(name.clone());
                    self.collect(member);
                }
            }
            _ => {}
        }
    }
}

/// Everything that trust data says of some tags and digests.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Role, tag and digest of every claim.
    pub claims: BTreeSet<(String, String, Digest)>,
    /// Tag and digest of everything released.
    pub released: BTreeSet<(String, Digest)>,
}

impl Facts {
    /// What `data` says of `candidates`, asked in every way there is.
    ///
    /// # Panics
    /// Where two ways to ask get two answers.
    #[must_use]
    pub fn of(data: &TrustData, candidates: &Candidates) -> Self {
        let mut facts = Self::default();
        for tag in &candidates.tags {
            for claim in data.claims(tag, now()) {
                let proof = claim.proof;
                assert_eq!(proof.tag(), tag);
                assert!(proof.good_until() >= now(), "{proof:?}");
                facts.claims.insert((proof.role().to_owned(), tag.clone(), proof.digest()));
            }
            facts.released.extend(data.released(tag, now()).map(|digest| (tag.clone(), digest)));
        }
        for &digest in &candidates.digests {
            for tag in data.tags_of(digest, now()) {
                assert_eq!(data.released(tag, now()), Some(digest), "{tag:?}");
                facts.released.insert((tag.to_owned(), digest));
            }
        }
        facts
    }

    /// Whether these are among `others`.
    #[must_use]
    pub fn are_among(&self, others: &Self) -> bool {
        self.claims.is_subset(&others.claims) && self.released.is_subset(&others.released)
    }
}
