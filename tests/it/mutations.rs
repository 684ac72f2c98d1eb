//! What holds for every change of every file: it is refused, or nothing new is said.
//!
//! The changes are drawn by a generator with a fixed seed; a failure names repository,
//! file, place and byte.

use std::collections::BTreeSet;

use countersign::image::Repository;
use countersign::trust::notary::{FileName, History, TrustData, Update};
use jiff::Timestamp;
use serde_json::Value;

use crate::builder::key::{person, root_key};
use crate::builder::{GUN, Repo, Server, now};
use crate::repositories::{Recorded, drive, first_use, recorded};

/// `SplitMix64`.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap()
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }

    fn pick<'s, T>(&mut self, from: &'s [T]) -> &'s T {
        &from[self.below(from.len())]
    }
}

/// A change of one byte: one bit, a digit or letter for another, or any byte at all.
fn change(bytes: &mut [u8], random: &mut Random) -> String {
    let at = random.below(bytes.len());
    let (old, kind) = (bytes[at], random.below(3));
    bytes[at] = match kind {
        0 => old ^ (1 << random.below(8)),
        1 => *random.pick(b"0123456789abcxyzABCXYZ\"\\{}[],: "),
        _ => random.byte(),
    };
    format!("byte {at}: {old:#04x} -> {:#04x}", bytes[at])
}

/// All that trust data says of `tags`.
fn meaning(data: &TrustData, tags: &BTreeSet<String>, now: Timestamp) -> BTreeSet<String> {
    let mut said = BTreeSet::new();
    for tag in tags {
        said.extend(data.released(tag, now).map(|digest| format!("{tag} is released as {digest}")));
        said.extend(data.claims(tag, now).into_iter().map(|claim| {
            let (proof, objection) = (claim.proof, claim.objection);
            let (role, key) = (proof.role(), proof.key().id);
            format!("{tag} is {} by {key} in {role}: {objection:?}", proof.digest())
        }));
    }
    said
}

/// All tags that any file names.
fn tags<'f>(files: impl IntoIterator<Item = &'f Vec<u8>>) -> BTreeSet<String> {
    let mut tags = BTreeSet::new();
    for file in files {
        let file: Value = serde_json::from_slice(file).unwrap();
        let named = file["signed"]["targets"].as_object();
        tags.extend(named.into_iter().flat_map(serde_json::Map::keys).cloned());
    }
    tags
}

/// A repository, and what is said of its tags.
struct Honest {
    gun: Repository,
    server: Server,
    now: Timestamp,
    tags: BTreeSet<String>,
    said: BTreeSet<String>,
}

impl Honest {
    fn new(gun: Repository, server: Server, now: Timestamp) -> Self {
        let tags = tags(server.0.values());
        let data = drive(&gun, &History::default(), &first_use(), now, |file| server.answer(file));
        let said = meaning(&data.unwrap().0, &tags, now);
        assert!(!said.is_empty());
        Self { gun, server, now, tags, said }
    }

    fn recorded(name: &str) -> Self {
        let recording = Recorded::open(name);
        let server = Server(recording.files());
        Self::new(recording.gun, server, recorded())
    }

    /// What a changed server says that this one does not. Silence is no fault here: a
    /// delegation whose signature broke is left out.
    fn news(&self, changed: &Server) -> Vec<String> {
        let mut tags = self.tags.clone();
        let readable =
            changed.0.values().filter(|file| serde_json::from_slice::<Value>(file).is_ok());
        tags.extend(self::tags(readable));
        let history = History::default();
        let outcome =
            drive(&self.gun, &history, &first_use(), self.now, |file| changed.answer(file));
        let said = outcome.map(|(data, _)| meaning(&data, &tags, self.now)).unwrap_or_default();
        said.difference(&self.said).cloned().collect()
    }
}

#[test]
fn no_changed_byte_of_a_recorded_repository_says_anything_new() {
    let mut random = Random(1);
    for name in ["jenkins", "two-signers", "nested", "odd-names", "plain", "key-cert-rsa2048"] {
        let honest = Honest::recorded(name);
        let names: Vec<_> = honest.server.0.keys().cloned().collect();
        for _ in 0..200 {
            let file = random.pick(&names);
            let mut changed = honest.server.clone();
            let what = change(changed.0.get_mut(file).unwrap(), &mut random);
            let news = honest.news(&changed);
            assert!(news.is_empty(), "{name}, {file}, {what}: {news:?}");
        }
    }
}

/// The same for whoever has the snapshot and timestamp keys, so that hashes hide nothing.
#[test]
fn no_changed_byte_under_new_hashes_says_anything_new() {
    let mut random = Random(2);
    let mut repo = Repo::signed_by_jenkins();
    repo.delegate("targets/jenkins/nightly", &[person("moby")], &["1", "2"]);
    repo.at("targets/jenkins/nightly").tag("2.0", [7; 32]);
    let honest = Honest::new(GUN.parse().unwrap(), repo.publish(), now());
    let files =
        ["root", "targets", "targets/releases", "targets/jenkins", "targets/jenkins/nightly"];
    for _ in 0..600 {
        let file = *random.pick(&files);
        let text = honest.server.0[&format!("{file}.json")].clone();
        let mut bytes = text.clone();
        let what = change(&mut bytes, &mut random);
        // A builder's file is text; what is not UTF-8 is no JSON either.
        let Ok(changed) = String::from_utf8(bytes) else { continue };
        let mut tampered = repo.clone();
        tampered.at(file).tamper(move |_| changed.clone());
        let news = honest.news(&tampered.publish());
        assert!(news.is_empty(), "{file}, {what}: {news:?}");
    }
}

/// Bytes for any file: another file, pieces of two, a changed one, noise, nothing.
fn odd(server: &Server, wanted: &FileName, random: &mut Random) -> Option<Vec<u8>> {
    let all: Vec<_> = server.0.values().collect();
    let mut bytes = match random.below(24) {
        0 => return None,
        1 => (*random.pick(&all)).clone(),
        2 => {
            let (one, two) = (*random.pick(&all), *random.pick(&all));
            let (end, start) = (random.below(one.len()), random.below(two.len()));
            [&one[..end], &two[start..]].concat()
        }
        3 => (0..random.below(200)).map(|_| random.byte()).collect(),
        4 => random.pick(&all)[..random.below(100)].to_vec(),
        _ => return server.answer(wanted),
    };
    if !bytes.is_empty() && random.below(2) == 0 {
        change(&mut bytes, random);
    }
    Some(bytes)
}

#[test]
fn an_update_takes_any_bytes_for_any_file() {
    let mut random = Random(3);
    let mut rotated = Repo::signed_by_jenkins();
    let known = rotated.history();
    for time in 0..3 {
        rotated.rotate(root_key(&format!("root after {time}")));
    }
    let honest = Honest::new(GUN.parse().unwrap(), rotated.publish(), now());
    let policy = first_use();
    let (mut done, mut refused) = (0, 0);
    for run in 0..1000 {
        let history = if run % 2 == 0 { &known } else { &History::default() };
        let mut update = Update::new(&honest.gun, &policy, history, honest.now).unwrap();
        while let Some(wanted) = update.wanted() {
            // What comes of it is seen in `wanted` and `finish`.
            let _ = match odd(&honest.server, &wanted.file, &mut random) {
                Some(bytes) => update.offer(&bytes, honest.now),
                None => update.absent(),
            };
        }
        match update.finish() {
            Some((data, _)) => {
                let said = meaning(&data, &honest.tags, honest.now);
                assert!(said.is_subset(&honest.said), "run {run}: {said:?}");
                done += 1;
            }
            None => refused += 1,
        }
    }
    assert!(done > 50 && refused > 50, "{done} done, {refused} refused: too much of one kind");
}
