//! Recorded repositories in which one file is replaced by the input.
//!
//! The first line says which: `REPOSITORY FILE`, as `jenkins targets/releases.json`; the
//! rest is that file. `stored.json` is the root that the node itself kept. Whatever it
//! holds, the trust data must not name anything that the recorded one does not: nobody
//! signed the input.

#![no_main]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use countersign::image::Repository;
use countersign::trust::notary::{FileName, History};
use countersign_fuzz::{Candidates, Facts, plain, update};
use libfuzzer_sys::{Corpus, fuzz_target};

/// Each with the repository whose root the node knows, if any.
const REPOSITORIES: [(&str, Option<&str>); 6] = [
    ("jenkins", None),
    ("two-signers", Some("two-signers")),
    ("nested", None),
    ("key-pub-ecdsa-p256", None),
    ("rotated-root/1-before", None),
    ("rotated-root/3-after-four-rotations", Some("rotated-root/1-before")),
];

struct Recorded {
    gun: Repository,
    files: BTreeMap<String, Vec<u8>>,
    known: History,
    /// What the trust data says as it was recorded.
    facts: Facts,
}

static RECORDED: LazyLock<BTreeMap<&str, Recorded>> = LazyLock::new(|| {
    REPOSITORIES.iter().map(|(name, known)| (*name, open(name, *known))).collect()
});

fuzz_target!(|input: &[u8]| -> Corpus { run(input).map_or(Corpus::Reject, |()| Corpus::Keep) });

fn run(input: &[u8]) -> Option<()> {
    let (head, file) = input.split_at(input.iter().position(|byte| *byte == b'\n')?);
    let (repository, name) = std::str::from_utf8(head).ok()?.split_once(' ')?;
    let recorded = RECORDED.get(repository)?;
    let file = file.strip_prefix(b"\n")?;

    let mut history = recorded.known.clone();
    if name == "stored.json" {
        history.root = Some(file.to_vec());
    } else if !recorded.files.contains_key(name) {
        return None;
    }
    let outcome = update(&recorded.gun, &history, |wanted| {
        let wanted = plain(wanted);
        if wanted == name { Some(file.to_vec()) } else { recorded.files.get(&wanted).cloned() }
    });
    if let Ok(data) = outcome {
        let mut candidates = candidates(&recorded.files);
        candidates.add(file);
        let facts = Facts::of(&data, &candidates);
        assert!(facts.are_among(&recorded.facts), "{facts:?}\nfrom {:?}", recorded.facts);
    }
    Some(())
}

fn open(name: &str, known: Option<&str>) -> Recorded {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/notary").join(name);
    let gun: Repository =
        fs::read_to_string(dir.join("gun")).expect("recorded").trim().parse().expect("a name");
    let mut files = BTreeMap::new();
    collect(&dir.join("tuf"), "", &mut files);
    let known = known.map(|other| History {
        root: open(other, None).files.remove("root.json"),
        ..History::default()
    });
    let known = known.unwrap_or_default();
    let data = update(&gun, &known, |wanted: &FileName| files.get(&plain(wanted)).cloned());
    let facts = Facts::of(&data.expect("a good repository"), &candidates(&files));
    Recorded { gun, files, known, facts }
}

fn candidates(files: &BTreeMap<String, Vec<u8>>) -> Candidates {
    let mut candidates = Candidates::default();
    candidates.add_all(files.values());
    candidates
}

fn collect(dir: &Path, prefix: &str, files: &mut BTreeMap<String, Vec<u8>>) {
    for entry in fs::read_dir(dir).expect("recorded") {
        let entry = entry.expect("readable");
        let name = format!("{prefix}{}", entry.file_name().to_str().expect("plain names"));
        if entry.path().is_dir() {
            collect(&entry.path(), &format!("{name}/"), files);
        } else {
            files.insert(name, fs::read(entry.path()).expect("readable"));
        }
    }
}
