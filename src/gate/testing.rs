//! Recorded trust data, for the unit tests of this room.

use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;

use super::refresh::Kept;
use super::seen;
use crate::image::Repository;
use crate::source::Store;
use crate::trust::notary::{FileName, History, RootPolicy, Update};

/// When the repositories were recorded.
pub fn recorded() -> Timestamp {
    "2026-11-22T02:00:00Z".parse().unwrap()
}

/// A text below `tests/data`.
pub fn text(name: &str) -> String {
    std::fs::read_to_string(Path::new("tests/data").join(name)).unwrap()
}

/// A recorded repository, verified anew each time.
pub fn kept(name: &str, saved: bool) -> Kept {
    let dir = Path::new("tests/data/notary").join(name);
    let gun: Repository = text(&format!("notary/{name}/gun")).trim().parse().unwrap();
    let policy = RootPolicy { trust_on_first_use: true, ..RootPolicy::default() };
    let mut update = Update::new(&gun, &policy, &History::default(), recorded()).unwrap();
    while let Some(wanted) = update.wanted() {
        let plain = match wanted.file {
            FileName::Hashed(role, _) => FileName::Current(role),
            other => other,
        };
        match std::fs::read(dir.join("tuf").join(plain.to_string())) {
            Ok(bytes) => update.offer(&bytes, recorded()).unwrap(),
            Err(_) => update.absent().unwrap(),
        }
    }
    let (data, _) = update.finish().unwrap();
    let nothing = Store::look(Path::new("tests/data/none")).unwrap();
    let seen = Arc::new(seen::load(&nothing, &gun, None).unwrap());
    Kept { data: Arc::new(data), timestamp: Arc::default(), seen, saved }
}
