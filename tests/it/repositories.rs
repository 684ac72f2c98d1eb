//! Recorded repositories (`tests/data/notary`), and a driver that feeds them to an
//! update as a trust server would.

use std::fs;
use std::path::{Path, PathBuf};

use countersign::image::Repository;
use countersign::trust::notary::{Fault, FileName, History, RootPolicy, TrustData, Update};
use jiff::Timestamp;

/// When the repositories were made: most of their timestamps run out two weeks later.
pub const RECORDED: &str = "2026-11-22T02:00:00Z";

pub fn recorded() -> Timestamp {
    RECORDED.parse().unwrap()
}

/// Trust on first use, no pins: what the docker CLI does.
pub fn first_use() -> RootPolicy {
    RootPolicy { trust_on_first_use: true, ..RootPolicy::default() }
}

/// One recorded repository.
pub struct Recorded {
    pub name: String,
    pub gun: Repository,
    dir: PathBuf,
}

impl Recorded {
    pub fn open(name: &str) -> Self {
        let dir = data().join("notary").join(name);
        let gun = fs::read_to_string(dir.join("gun")).unwrap_or_else(|e| panic!("{name}: {e}"));
        Self { name: name.to_owned(), gun: gun.trim().parse().unwrap(), dir }
    }

    /// All of them.
    pub fn all() -> Vec<Self> {
        let mut names = Vec::new();
        collect(&data().join("notary"), "", &mut names);
        names.sort();
        assert!(names.len() > 30, "the recorded repositories are missing: {names:?}");
        names.iter().map(|name| Self::open(name)).collect()
    }

    /// A file as the server has it. Files are kept under their plain names; whether a
    /// hashed name fits is for the update to see.
    pub fn file(&self, file: &FileName) -> Option<Vec<u8>> {
        let plain = match file {
            FileName::Hashed(role, _) => FileName::Current(role.clone()),
            other => other.clone(),
        };
        self.named(&plain.to_string())
    }

    /// A file by its plain name.
    pub fn named(&self, name: &str) -> Option<Vec<u8>> {
        fs::read(self.dir.join("tuf").join(name)).ok()
    }

    /// The same timestamp, signed by the same key to run out in 2046.
    pub fn long_timestamp(&self) -> Option<Vec<u8>> {
        fs::read(self.dir.join("long/timestamp.json")).ok()
    }

    pub fn facts(&self) -> Option<serde_json::Value> {
        let text = fs::read(self.dir.join("expected/facts.json")).ok()?;
        Some(serde_json::from_slice(&text).unwrap())
    }

    /// A whole update.
    pub fn update(&self, history: &History, policy: &RootPolicy, now: Timestamp) -> Outcome {
        self.update_with(history, policy, now, |file| self.file(file))
    }

    /// A whole update from what `server` answers.
    pub fn update_with(
        &self,
        history: &History,
        policy: &RootPolicy,
        now: Timestamp,
        server: impl Fn(&FileName) -> Option<Vec<u8>>,
    ) -> Outcome {
        let mut update = Update::new(&self.gun, policy, history, now)?;
        let mut root = history.root.clone();
        while let Some(wanted) = update.wanted() {
            match server(&wanted.file) {
                Some(bytes) => {
                    update.offer(&bytes, now)?;
                    if matches!(wanted.file, FileName::Current(_) | FileName::Hashed(..))
                        && wanted.file.role().as_str() == "root"
                    {
                        root = Some(bytes);
                    }
                }
                None => update.absent()?,
            }
        }
        let (data, versions) = update.finish().expect("a complete update");
        Ok((data, History { root, versions }))
    }
}

pub type Outcome = Result<(TrustData, History), Fault>;

pub fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data")
}

fn collect(dir: &Path, prefix: &str, names: &mut Vec<String>) {
    if dir.join("gun").exists() {
        names.push(prefix.to_owned());
        return;
    }
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            let name = entry.file_name().into_string().unwrap();
            let inner = if prefix.is_empty() { name } else { format!("{prefix}/{name}") };
            collect(&entry.path(), &inner, names);
        }
    }
}
