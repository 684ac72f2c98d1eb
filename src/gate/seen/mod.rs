//! What is remembered of a repository: reading it, and writing it so that neither a crash
//! nor another process nor a full disk can turn that against us.
//!
//! The record says what must not be lost: the root, the highest versions seen, which files
//! were examined. It stands on disk twice, in different trees, and a copy that is damaged,
//! or of another repository or node, is not used but mended from the other. Where no copy
//! is good, that is an error: to start anew would forget the root of trust.
//!
//! The record is written before the role files that it speaks of. So whatever happens in
//! between, files on disk are at worst older than what was seen, and fetched again.

mod ahead;
mod record;
mod reset;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use tracing::{error, warn};

use self::record::{Damage, Entry, Record};
use crate::image::Repository;
use crate::source::{self, Aside, Store, StoreError, Synced};
use crate::trust::notary::{FileName, History, Role};

pub(super) use ahead::{Incoming, Writing};
pub use reset::{Forgotten, reset};

const ROOT: &str = "root.json";
/// The files in which versions before this one kept what the record says now.
const VERSIONS: &str = "versions.json";
const EXAMINED: &str = "examined.json";

/// How long another process that writes is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is remembered of a repository.
#[derive(Clone, Debug)]
pub struct Seen {
    record: Record,
    history: History,
    /// What is not as it should be on disk.
    damage: Vec<String>,
    /// Whether it stands on disk as it did before this version.
    is_old: bool,
    /// How much had been forgotten on request when it was last known that this was not.
    resets: Arc<AtomicU64>,
}

impl Seen {
    fn new(record: Record, damage: Vec<String>, resets: u64) -> Self {
        let resets = Arc::new(AtomicU64::new(resets));
        Self { history: record.history(), record, damage, is_old: false, resets }
    }

    /// Whether it is to be written though nothing new was seen.
    pub(super) fn is_to_be_written(&self) -> bool {
        self.is_old || !self.damage.is_empty()
    }

    /// What an update begins with.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// When the first root was trusted; `None` where there is none, or it was before that
    /// was written down.
    pub fn since(&self) -> Option<Timestamp> {
        self.record.since
    }

    /// What is not as it should be with the copies on disk, in words. Mended with the next
    /// update.
    pub fn damage(&self) -> &[String] {
        &self.damage
    }

    /// What is remembered after an update.
    pub(super) fn followed_by(&self, history: History, now: Timestamp) -> Self {
        let mut record = self.record.clone();
        if self.history.root.is_none() {
            record.since = Some(now);
        }
        if let Err(error) = record.set_history(&history) {
            // Cannot be: a root that is no text is no root.
            error!(%error, "a root cannot be kept");
        }
        Self { record, history, ..self.clone() }
    }

    /// Whether the repository was forgotten on request since this was read.
    pub(super) fn is_forgotten(&self, store: &Store, repository: &Repository) -> bool {
        let resets = store.resets();
        if resets == self.resets.load(Ordering::Relaxed) {
            return false;
        }
        // One that is under way is logged already and not done yet: it is seen next time.
        let Ok(_lock) = store.lock(repository, Duration::ZERO) else { return false };
        let epoch = |found: Found| found.record.map_or(0, |record| record.epoch);
        match find(store, repository).map(epoch) {
            Ok(epoch) if epoch > self.record.epoch => true,
            Ok(_) => {
                // It was another repository. Not to be read again with each decision.
                self.resets.store(resets, Ordering::Relaxed);
                false
            }
            Err(_) => false,
        }
    }
}

/// What is remembered on disk, as it is.
pub fn look(store: &Store, repository: &Repository) -> Result<Seen, StoreError> {
    let resets = store.resets();
    let Found { record, damage, is_old } = find(store, repository)?;
    let record = record.unwrap_or_else(|| Record::new(repository, store.node()));
    Ok(Seen { is_old, ..Seen::new(record, damage, resets) })
}

/// What is remembered: on disk, and in memory where this process has seen more than it
/// could write.
pub(super) fn load(
    store: &Store,
    repository: &Repository,
    memory: Option<&Seen>,
) -> Result<Seen, StoreError> {
    let disk = look(store, repository);
    if let Ok(disk) = &disk {
        for damage in &disk.damage {
            warn!(%repository, damage, "a copy of what was seen is not used, and will be mended");
        }
    }
    let Some(memory) = memory else { return disk };
    let disk = match disk {
        Ok(disk) => disk,
        Err(error) => {
            error!(%repository, %error, "what was seen is damaged on disk, and known in memory");
            return Ok(Seen { damage: vec![error.to_string()], ..memory.clone() });
        }
    };
    if disk.record.epoch > memory.record.epoch {
        warn!(%repository, "was forgotten on request; it is begun anew");
        return Ok(disk);
    }
    // What was made from it, or from a later one, needs nothing of it.
    let record = if disk.record.age() <= memory.record.age() {
        memory.record.clone()
    } else {
        disk.record.merged_with(memory.record.clone())
    };
    Ok(Seen { history: record.history(), record, ..disk })
}

/// Writes what changed, and mends what is damaged. What another process wrote since is
/// kept where it is later. What is remembered then.
pub(super) fn save(
    store: &Store,
    repository: &Repository,
    mut files: BTreeMap<String, Incoming>,
    seen: &Seen,
) -> Result<Seen, StoreError> {
    let _lock = store.lock(repository, PATIENCE)?;
    if let Err(error) = store.sweep(repository) {
        warn!(%repository, %error, "what a process that was killed left cannot be removed");
    }
    let resets = store.resets();
    let found = find(store, repository).unwrap_or_default();
    let mut record = seen.record.clone();
    let mut is_newest = true;
    if let Some(disk) = &found.record {
        if disk.epoch > record.epoch {
            // Nor does memory become what is on disk: whoever uses it shall notice, too.
            warn!(%repository, "was forgotten on request; what was in memory is not kept");
            return Ok(seen.clone());
        }
        if disk.age() > record.age() {
            is_newest = !disk.is_ahead_of(&record);
            record = disk.clone().merged_with(record);
        }
        record.serial = disk.serial;
    }
    let mut failed = None;
    let (mut aside, mut ahead) = (Vec::new(), Vec::new());
    if is_newest {
        files.remove(ROOT);
        files.extend(record.root.as_ref().map(|root| {
            let file = Incoming::new(root.clone().into_bytes(), &FileName::Current(Role::Root));
            (ROOT.to_owned(), file)
        }));
        for (name, file) in files {
            record.files.insert(name.clone(), file.sha256());
            let bytes = Arc::clone(&file.bytes);
            let stands = || {
                let stands = store.read(repository, &name);
                matches!(stands, Ok(Some(stands)) if stands == *bytes)
            };
            // Before anything is replaced: what is not kept whole changes no file.
            let written = match file.written() {
                Some(written) => written.map(|file| ahead.push(file)),
                None if stands() => Ok(()),
                None => store.aside(repository, &name, &bytes).map(|file| aside.push(file)),
            };
            failed = written.err().or(failed);
        }
    }
    if found.record.as_ref() != Some(&record) {
        record.serial = seen.record.serial.max(record.serial).saturating_add(1);
    }
    let roles = write_copies(store, repository, &record, aside)?;
    if let Some(error) = failed {
        return Err(error);
    }
    let roles = roles.into_iter().collect::<Result<Vec<_>, _>>()?;
    source::put(roles.into_iter().chain(ahead).collect()).into_iter().collect::<Result<(), _>>()?;
    for old in [VERSIONS, EXAMINED] {
        store.remove(repository, old)?;
    }
    Ok(Seen::new(record, Vec::new(), resets))
}

/// Writes the copies that differ. An error where neither stands. The files of roles, which
/// are to be put into their places only then, are synced along with them.
fn write_copies(
    store: &Store,
    repository: &Repository,
    record: &Record,
    mut roles: Vec<Aside>,
) -> Result<Vec<Result<Synced, StoreError>>, StoreError> {
    let places = store.records(repository);
    let [apart, _] = &places;
    let bytes =
        record.write().map_err(|error| StoreError { path: apart.clone(), error: error.into() })?;
    let (count, mut failures, mut stand) = (roles.len(), Vec::new(), 0);
    for place in &places {
        match store.read_record(place) {
            Ok(Some(stands)) if stands == bytes => stand += 1,
            _ => match store.record_aside(place, &bytes) {
                Ok(copy) => roles.push(copy),
                Err(error) => failures.push(error),
            },
        }
    }
    let mut roles = source::sync(roles);
    let (copies, failed): (Vec<_>, Vec<_>) =
        roles.split_off(count).into_iter().partition(Result::is_ok);
    failures.extend(failed.into_iter().filter_map(Result::err));
    for put in source::put(copies.into_iter().flatten().collect()) {
        match put {
            Ok(()) => stand += 1,
            Err(error) => failures.push(error),
        }
    }
    for error in failures {
        if stand == 0 {
            return Err(error);
        }
        error!(%repository, %error, "one copy of what was seen could not be written");
    }
    Ok(roles)
}

/// A role's file on disk, if it can be read: one that cannot is fetched again. The root is
/// taken from the record alone; `root.json` is for people.
pub(super) fn file(store: &Store, repository: &Repository, name: &str) -> Option<Vec<u8>> {
    if name == ROOT {
        return None;
    }
    match store.read(repository, name) {
        Ok(bytes) => bytes,
        Err(error) => {
            warn!(%repository, %error, "a file of trust data cannot be read");
            None
        }
    }
}

/// What stands on disk.
#[derive(Default)]
struct Found {
    record: Option<Record>,
    damage: Vec<String>,
    /// Whether it is what versions before this one kept.
    is_old: bool,
}

/// A copy that is not used, and why.
struct Bad {
    path: PathBuf,
    damage: Damage,
}

impl Bad {
    /// Whether it was copied here from elsewhere.
    fn is_foreign(&self) -> bool {
        matches!(self.damage, Damage::Node(_) | Damage::Repository(_))
    }
}

/// Reads both copies, and what earlier versions left where there is neither.
fn find(store: &Store, repository: &Repository) -> Result<Found, StoreError> {
    let (mut good, mut bad, mut absent) = (Vec::new(), Vec::new(), Vec::new());
    for path in store.records(repository) {
        match store.read_record(&path) {
            Ok(None) => absent.push(path),
            Ok(Some(bytes)) => match Record::read(&bytes, repository, store.node()) {
                Ok(record) => good.push(record),
                Err(damage) => bad.push(Bad { path, damage }),
            },
            Err(StoreError { path, error }) => {
                bad.push(Bad { path, damage: Damage::Unreadable(error.to_string()) });
            }
        }
    }
    let mut damage: Vec<_> =
        bad.iter().map(|bad| format!("{}: {}", bad.path.display(), bad.damage)).collect();
    let mut is_old = false;
    let record = match (good.pop(), good.pop()) {
        (None, _) => match bad.as_slice() {
            [] => {
                is_old = true;
                legacy(store, repository)?
            }
            // Copied in where nothing was known: a cache of another node, no more.
            [bad] if bad.is_foreign() && !absent.is_empty() => None,
            bad => return Err(lost(repository, bad)),
        },
        (Some(one), None) => {
            // Where it was forgotten, the copy among its files goes with them.
            let missing = absent.iter().filter(|_| one.root.is_some());
            damage.extend(missing.map(|path| format!("{}: it is missing", path.display())));
            Some(one)
        }
        (Some(one), Some(other)) if one == other => Some(one),
        (Some(one), Some(other)) => {
            damage.push(format!("the copies of what was seen of {repository} differ"));
            Some(match one.age().cmp(&other.age()) {
                std::cmp::Ordering::Less => other,
                std::cmp::Ordering::Greater => one,
                std::cmp::Ordering::Equal => one.merged_with(other),
            })
        }
    };
    is_old &= record.is_some();
    Ok(Found { record, damage, is_old })
}

/// That no copy is good.
fn lost(repository: &Repository, bad: &[Bad]) -> StoreError {
    let told: Vec<_> =
        bad.iter().map(|bad| format!("{}: {}", bad.path.display(), bad.damage)).collect();
    let what = format!(
        "what was seen of {repository} cannot be told any more ({}); restore one of its copies from \
         a backup, or have it forgotten: countersign trust reset {repository}",
        told.join("; ")
    );
    let path = bad.first().map(|bad| bad.path.clone()).unwrap_or_default();
    StoreError { path, error: io::Error::new(io::ErrorKind::InvalidData, what) }
}

/// What versions before this one kept: three files.
fn legacy(store: &Store, repository: &Repository) -> Result<Option<Record>, StoreError> {
    let Some(root) = store.read(repository, ROOT)? else { return Ok(None) };
    let mut record = Record::new(repository, store.node());
    record.versions = old_file(store, repository, VERSIONS)?;
    let examined: BTreeMap<String, Entry> = old_file(store, repository, EXAMINED)?;
    record.examined = examined.into_iter().filter(|(_, entry)| entry.read().is_some()).collect();
    let path = store.path(repository, ROOT);
    match String::from_utf8(root) {
        Ok(root) => record.root = Some(root),
        Err(error) => {
            let damage = Damage::Unreadable(error.to_string());
            return Err(lost(repository, &[Bad { path, damage }]));
        }
    }
    // Another process may have gone over to the record in between.
    for place in store.records(repository) {
        if store.read_record(&place)?.is_some() {
            return Ok(find(store, repository)?.record);
        }
    }
    Ok(Some(record))
}

fn old_file<T: DeserializeOwned + Default>(
    store: &Store,
    repository: &Repository,
    name: &str,
) -> Result<T, StoreError> {
    let Some(bytes) = store.read(repository, name)? else { return Ok(T::default()) };
    let path = store.path(repository, name);
    serde_json::from_slice(&bytes).map_err(|error| {
        let damage = Damage::Unreadable(error.to_string());
        lost(repository, &[Bad { path, damage }])
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::trust::notary::Examined;

    struct Scene {
        dir: tempfile::TempDir,
        store: Store,
        repository: Repository,
    }

    impl Scene {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let store = Store::open(dir.path()).unwrap();
            Self { dir, store, repository: "h.io/a".parse().unwrap() }
        }

        fn load(&self, memory: Option<&Seen>) -> Result<Seen, StoreError> {
            load(&self.store, &self.repository, memory)
        }

        fn save(&self, seen: &Seen) -> Result<Seen, StoreError> {
            let version = seen.history.versions["timestamp"].to_string();
            let name = FileName::Current(Role::Timestamp);
            let file = Incoming::new(version.into_bytes(), &name);
            save(&self.store, &self.repository, [(name.to_string(), file)].into(), seen)
        }

        /// Loads, goes on to this version, and saves.
        fn update(&self, timestamp: u64) -> Seen {
            self.save(&follow(&self.load(None).unwrap(), timestamp)).unwrap()
        }

        fn version(&self) -> Option<u64> {
            self.load(None).unwrap().history.versions.get("timestamp").copied()
        }

        fn file(&self) -> String {
            let bytes = file(&self.store, &self.repository, "timestamp.json").unwrap();
            String::from_utf8(bytes).unwrap()
        }

        fn reset(&self) {
            let now = Timestamp::UNIX_EPOCH;
            let forgotten = Forgotten::of(&self.store, &self.repository, now).unwrap().unwrap();
            reset(&self.store, &self.repository, &forgotten).unwrap();
        }
    }

    /// Goes on to this version of the timestamp, from what is known.
    fn follow(seen: &Seen, timestamp: u64) -> Seen {
        let versions = [("root", 1), ("timestamp", timestamp)];
        let history = History {
            root: Some(b"{\"root\"}".to_vec()),
            versions: versions.map(|(role, one)| (role.to_owned(), one)).into(),
            examined: [("targets/a".to_owned(), Examined { payload: [7; 32], replay: true })]
                .into(),
        };
        seen.followed_by(history, Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn what_is_saved_is_loaded() {
        let scene = Scene::new();
        let saved = follow(&scene.load(None).unwrap(), 3);
        scene.save(&saved).unwrap();
        let loaded = scene.load(None).unwrap();
        assert_eq!(loaded.history.root, saved.history.root);
        assert_eq!(loaded.history.versions, saved.history.versions);
        assert_eq!(loaded.history.examined, saved.history.examined);
        assert_eq!(loaded.since(), Some(Timestamp::UNIX_EPOCH));
        assert_eq!(loaded.damage(), [""; 0]);
        // The root for people, and nothing for what did not change.
        let root = scene.store.read(&scene.repository, ROOT).unwrap();
        assert_eq!(root, saved.history.root);
        let before = loaded.record.serial;
        assert_eq!(scene.save(&loaded).unwrap().record.serial, before);
    }

    #[test]
    fn a_damaged_copy_is_mended_from_the_other() {
        for place in 0..2 {
            let scene = Scene::new();
            scene.update(5);
            let path = scene.store.records(&scene.repository)[place].clone();
            let whole = fs::read(&path).unwrap();
            let half = whole[..whole.len() / 2].to_vec();
            for damage in [Vec::new(), half, b"garbage".to_vec(), vec![0; whole.len()]] {
                fs::write(&path, &damage).unwrap();
                let seen = scene.load(None).unwrap();
                assert_eq!(seen.history.versions["timestamp"], 5, "{place}");
                assert_eq!(seen.damage().len(), 1, "{:?}", seen.damage());
                scene.save(&seen).unwrap();
                assert_eq!(fs::read(&path).unwrap(), whole, "{place}");
            }
            fs::remove_file(&path).unwrap();
            let seen = scene.load(None).unwrap();
            assert_eq!(seen.damage().len(), 1, "{:?}", seen.damage());
            scene.save(&seen).unwrap();
            assert_eq!(fs::read(&path).unwrap(), whole, "{place}");
        }
    }

    #[test]
    fn where_no_copy_is_good_nothing_is_begun_anew() {
        let scene = Scene::new();
        let seen = scene.update(5);
        for path in scene.store.records(&scene.repository) {
            fs::write(path, "x").unwrap();
        }
        let told = scene.load(None).unwrap_err().to_string();
        assert!(told.contains("countersign trust reset h.io/a"), "{told}");
        for path in scene.store.records(&scene.repository) {
            assert!(told.contains(path.to_str().unwrap()), "{told}");
        }
        // A process that remembers mends both.
        let remembered = scene.load(Some(&seen)).unwrap();
        assert!(!remembered.damage().is_empty());
        scene.save(&remembered).unwrap();
        assert_eq!(scene.version(), Some(5));
    }

    #[test]
    fn a_copy_from_elsewhere_is_not_believed() {
        let (ours, theirs) = (Scene::new(), Scene::new());
        theirs.update(9);
        let [apart, among] = theirs.store.records(&theirs.repository);
        let [our_apart, our_among] = ours.store.records(&ours.repository);
        // A cache is copied in where nothing is known: it is no more than files.
        fs::create_dir_all(our_among.parent().unwrap()).unwrap();
        fs::copy(&among, &our_among).unwrap();
        assert_eq!(ours.version(), None);
        ours.update(3);
        assert_eq!(ours.version(), Some(3));
        // Over one of ours: ours is in the other place.
        fs::copy(&among, &our_among).unwrap();
        assert_eq!(ours.version(), Some(3));
        // Over both: what was seen here is gone, and nobody is to guess it.
        fs::copy(&apart, &our_apart).unwrap();
        let told = ours.load(None).unwrap_err().to_string();
        assert!(told.contains("written by another node"), "{told}");
    }

    #[test]
    fn a_later_record_is_not_overwritten_by_an_earlier_one() {
        let scene = Scene::new();
        let begun = scene.update(1);
        let (slow, fast) = (follow(&begun, 2), follow(&begun, 7));
        scene.save(&fast).unwrap();
        let merged = scene.save(&slow).unwrap();
        assert_eq!(merged.history.versions["timestamp"], 7);
        assert_eq!((scene.version(), scene.file().as_str()), (Some(7), "7"));
        // And what memory has seen counts where it could not be written.
        let unwritten = follow(&merged, 8);
        assert_eq!(scene.load(Some(&unwritten)).unwrap().history.versions["timestamp"], 8);
        scene.save(&follow(&merged, 9)).unwrap();
        assert_eq!(scene.load(Some(&unwritten)).unwrap().history.versions["timestamp"], 9);
    }

    #[test]
    fn what_is_forgotten_stays_forgotten() {
        let scene = Scene::new();
        let memory = scene.update(7);
        assert!(!memory.is_forgotten(&scene.store, &scene.repository));
        scene.reset();
        assert!(memory.is_forgotten(&scene.store, &scene.repository));
        assert_eq!(scene.version(), None);
        assert_eq!(scene.load(Some(&memory)).unwrap().history.versions.len(), 0);
        // A process that was at it does not bring it back.
        let late = scene.save(&follow(&memory, 8)).unwrap();
        assert!(late.is_forgotten(&scene.store, &scene.repository));
        assert_eq!(scene.version(), None);
        assert!(
            Forgotten::of(&scene.store, &scene.repository, Timestamp::UNIX_EPOCH)
                .unwrap()
                .is_none()
        );
        let log = fs::read_to_string(scene.dir.path().join("resets.log")).unwrap();
        let line: serde_json::Value = serde_json::from_str(&log).unwrap();
        assert_eq!(
            (&line["repository"], &line["versions"]["timestamp"]),
            (&"h.io/a".into(), &7.into())
        );
        // It is begun anew, lower than before, and the old memory does not bind.
        scene.update(2);
        assert_eq!(scene.version(), Some(2));
        assert_eq!(scene.load(Some(&memory)).unwrap().history.versions["timestamp"], 2);
    }

    #[test]
    fn a_copy_that_is_behind_is_written_again() {
        for place in 0..2 {
            let scene = Scene::new();
            scene.update(5);
            let path = scene.store.records(&scene.repository)[place].clone();
            let old = fs::read(&path).unwrap();
            scene.update(6);
            let new = fs::read(&path).unwrap();
            // As after a crash between the two.
            fs::write(&path, old).unwrap();
            let seen = scene.load(None).unwrap();
            assert_eq!(seen.history.versions["timestamp"], 6, "{place}");
            assert!(seen.is_to_be_written(), "{place}");
            scene.save(&seen).unwrap();
            assert_eq!(fs::read(&path).unwrap(), new, "{place}");
        }
    }

    #[test]
    fn a_reset_of_another_repository_is_looked_into_once() {
        let scene = Scene::new();
        let memory = scene.update(7);
        scene.store.log_reset("of another repository").unwrap();
        let under_way = scene.store.lock(&scene.repository, PATIENCE).unwrap();
        assert!(!memory.is_forgotten(&scene.store, &scene.repository));
        assert_ne!(memory.resets.load(Ordering::Relaxed), scene.store.resets());
        drop(under_way);
        assert!(!memory.is_forgotten(&scene.store, &scene.repository));
        assert_eq!(memory.resets.load(Ordering::Relaxed), scene.store.resets());
        scene.reset();
        assert!(memory.is_forgotten(&scene.store, &scene.repository));
        assert!(memory.is_forgotten(&scene.store, &scene.repository), "and stays so");
    }

    #[test]
    fn a_reset_that_was_cut_short_counts() {
        let scene = Scene::new();
        scene.update(7);
        let [_, among] = scene.store.records(&scene.repository);
        let old = fs::read(&among).unwrap();
        scene.reset();
        fs::create_dir_all(among.parent().unwrap()).unwrap();
        fs::write(&among, old).unwrap();
        assert_eq!(scene.version(), None);
    }

    #[test]
    fn what_earlier_versions_kept_is_taken_over() {
        let scene = Scene::new();
        let write = |name: &str, text: &str| {
            let path = scene.store.path(&scene.repository, name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("root.json", "{\"root\"}");
        let zeros = "0".repeat(64);
        write(
            "examined.json",
            &format!(r#"{{"targets/a":{{"payload":"{zeros}","replay":true}}}}"#),
        );
        write("versions.json", "{");
        let told = scene.load(None).unwrap_err().to_string();
        assert!(told.contains("versions.json") && told.contains("trust reset"), "{told}");
        write("versions.json", r#"{"root":1,"timestamp":4}"#);
        let seen = scene.load(None).unwrap();
        assert_eq!(seen.history.versions["timestamp"], 4);
        assert!(seen.history.examined["targets/a"].replay);
        assert_eq!(seen.since(), None);
        // Whatever breaks off in between, it is there.
        let saved = scene.save(&follow(&seen, 5)).unwrap();
        assert_eq!(scene.version(), Some(5));
        assert_eq!(scene.store.names(&scene.repository).unwrap(), ["record", "root", "timestamp"]);
        assert_eq!(saved.record.since, None);
    }
}
