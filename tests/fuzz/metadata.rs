//! Recorded repositories in which one file is replaced by the input.
//!
//! The first line says which: `REPOSITORY FILE`, as `jenkins targets/releases.json`; the
//! rest is that file. `stored.json` is the root that the node itself kept. A third word,
//! `fitted`, makes the files above it name the new one, as a server without their keys
//! could. Whatever it holds, the trust data must not name anything that the recorded one
//! does not: nobody signed the input.

#![no_main]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use countersign::image::Repository;
use countersign::trust::notary::{FileName, History};
use countersign_fuzz::{Candidates, Facts, plain, update};
use libfuzzer_sys::{Corpus, fuzz_target};
use ring::digest::{SHA256, SHA512, digest};

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
    let words: Vec<_> = std::str::from_utf8(head).ok()?.split(' ').collect();
    let (&[repository, name], fitted) = words.split_first_chunk()?;
    let recorded = RECORDED.get(repository)?;
    let file = file.strip_prefix(b"\n")?.to_vec();

    let (mut history, mut files) = (recorded.known.clone(), recorded.files.clone());
    match fitted {
        _ if !(name == "stored.json" || files.contains_key(name)) => return None,
        [] if name == "stored.json" => history.root = Some(file),
        [] => drop(files.insert(name.to_owned(), file)),
        ["fitted"] => fit(&mut files, name, file),
        _ => return None,
    }
    if let Ok(data) = update(&recorded.gun, &history, |wanted| files.get(&plain(wanted)).cloned()) {
        let mut candidates = candidates(&recorded.files);
        candidates.add_all(files.values());
        let facts = Facts::of(&data, &candidates);
        assert!(facts.are_among(&recorded.facts), "{facts:?}\nfrom {:?}", recorded.facts);
    }
    Some(())
}

/// Puts a file in, and makes those above it name it.
fn fit(files: &mut BTreeMap<String, Vec<u8>>, name: &str, file: Vec<u8>) {
    let above = match name {
        "timestamp.json" => None,
        "snapshot.json" => Some("timestamp.json"),
        _ => Some("snapshot.json"),
    };
    let old = files.get(name).cloned().unwrap_or_default();
    if let Some(above) = above {
        let mut text = String::from_utf8(files[above].clone()).expect("recorded");
        for algorithm in [&SHA256, &SHA512] {
            let hash = |bytes: &[u8]| BASE64.encode(digest(algorithm, bytes));
            text = text.replace(&hash(&old), &hash(&file));
        }
        let length = |bytes: &[u8]| format!("\"length\":{}}}", bytes.len());
        fit(files, above, text.replace(&length(&old), &length(&file)).into_bytes());
    }
    files.insert(name.to_owned(), file);
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
