//! Which node this is: a number drawn once for a state directory.
//!
//! What is remembered names it, so that files copied in from another node are known for
//! what they are. It stands in two places, and in each of them twice: one that is damaged
//! is known, and mended from the other.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::place::{self, Aside};
use super::store::StoreError;

/// Bytes of the number.
const LEN: usize = 16;
/// How long another process that draws it is waited for.
const PATIENCE: Duration = Duration::from_secs(5);
/// More than the file has.
const MAX_FILE: u64 = 4096;

/// The places of the number below a state directory.
fn places(state: &Path) -> [PathBuf; 2] {
    [state.join("node"), state.join("record/node")]
}

/// The node of a state directory, as it is; `None` where none was drawn yet. Errors where
/// only damaged ones are there.
pub fn look(state: &Path) -> Result<Option<String>, StoreError> {
    let mut damaged = None;
    for path in places(state) {
        match place::read(path.clone(), MAX_FILE) {
            Ok(Some(bytes)) => match parse(&bytes) {
                Some(node) => return Ok(Some(node)),
                None => damaged = damaged.or(Some(path)),
            },
            Ok(None) => {}
            // The other place serves, whatever keeps this one from being read.
            Err(error) => {
                tracing::warn!(%error, "this node's number cannot be read in one of its places");
                damaged = damaged.or(Some(path));
            }
        }
    }
    match damaged {
        None => Ok(None),
        Some(path) => {
            let [one, other] = places(state);
            let what = format!(
                "it does not say which node this is any more, nor does its copy; restore {} or {} \
                 from a backup (docs/trust-data.md tells what it means to remove both)",
                one.display(),
                other.display()
            );
            Err(StoreError { path, error: io::Error::new(io::ErrorKind::InvalidData, what) })
        }
    }
}

/// The node of a state directory; drawn where there is none. Where it cannot be written it
/// holds for this process.
pub fn open(state: &Path) -> Result<String, StoreError> {
    let node = match look(state)? {
        Some(node) => node,
        None => draw(state)?,
    };
    for path in places(state) {
        let stands = matches!(place::read(path.clone(), MAX_FILE), Ok(Some(bytes)) if parse(&bytes).as_ref() == Some(&node));
        let written = || place::write(path, text(&node).as_bytes());
        if let Some(Err(error)) = (!stands).then(written) {
            tracing::error!(%error, "this node's number could not be written");
        }
    }
    Ok(node)
}

fn draw(state: &Path) -> Result<String, StoreError> {
    const SOURCE: &str = "/dev/urandom";
    // Two that begin at once must not draw two; the later reads what the first wrote.
    let _lock = place::lock(state, PATIENCE)?;
    if let Some(node) = look(state)? {
        return Ok(node);
    }
    let mut bytes = [0; LEN];
    File::open(SOURCE)
        .and_then(|mut file| file.read_exact(&mut bytes))
        .map_err(|error| StoreError { path: SOURCE.into(), error })?;
    let node = bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    });
    // Before the lock is given up. What could not be written is tried again, and told.
    let text = text(&node);
    let aside =
        places(state).into_iter().filter_map(|path| Aside::write(path, text.as_bytes()).ok());
    let synced = place::sync(aside.collect());
    place::put(synced.into_iter().filter_map(Result::ok).collect());
    Ok(node)
}

fn text(node: &str) -> String {
    format!("{node} {node}\n")
}

fn parse(bytes: &[u8]) -> Option<String> {
    let line = std::str::from_utf8(bytes).ok()?.strip_suffix('\n')?;
    let (one, other) = line.split_once(' ')?;
    let is_number = one.len() == 2 * LEN && one.bytes().all(|byte| byte.is_ascii_hexdigit());
    (is_number && one == other).then(|| one.to_owned())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn one_damaged_place_is_mended_from_the_other() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path();
        assert_eq!(look(state).unwrap(), None);
        let node = open(state).unwrap();
        assert_eq!(look(state).unwrap().as_ref(), Some(&node));
        let whole = text(&node);
        let flipped = whole.replacen(&node[..1], if node.starts_with('0') { "1" } else { "0" }, 1);
        for place in places(state) {
            for damage in ["", &whole[..20], &flipped, &"\0".repeat(66), "x"] {
                fs::write(&place, damage).unwrap();
                assert_eq!(open(state).unwrap(), node, "{damage:?} in {}", place.display());
                assert_eq!(fs::read_to_string(&place).unwrap(), whole);
            }
            fs::remove_file(&place).unwrap();
            assert_eq!(open(state).unwrap(), node);
            assert_eq!(fs::read_to_string(&place).unwrap(), whole);
        }
        for place in places(state) {
            fs::write(place, "x").unwrap();
        }
        assert!(open(state).unwrap_err().to_string().contains("restore"));
    }

    #[test]
    fn what_is_no_file_is_neither_waited_for_nor_in_the_way_of_the_other_place() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path();
        let node = open(state).unwrap();
        for place in places(state) {
            let whole = fs::read(&place).unwrap();
            fs::remove_file(&place).unwrap();
            fs::create_dir(&place).unwrap();
            assert_eq!(look(state).unwrap().as_ref(), Some(&node), "{}", place.display());
            fs::remove_dir(&place).unwrap();
            let made = std::process::Command::new("mkfifo").arg(&place).status().unwrap();
            assert!(made.success());
            assert_eq!(look(state).unwrap().as_ref(), Some(&node), "{}", place.display());
            fs::remove_file(&place).unwrap();
            fs::write(&place, whole).unwrap();
        }
    }

    #[test]
    fn no_two_nodes_are_the_same_and_all_that_begin_at_once_are_one() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let begun: Vec<_> = std::thread::scope(|scope| {
            let begin = || open(one.path()).unwrap();
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(begin)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(begun.iter().all(|node| *node == begun[0]), "{begun:?}");
        assert_ne!(open(other.path()).unwrap(), begun[0]);
    }
}
