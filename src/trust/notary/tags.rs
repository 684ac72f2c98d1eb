//! What one file says of tags, in little room: trust data of 100,000 tags stays in memory.

use std::sync::OnceLock;

use crate::image::Digest;

/// Tags and their digests, in order of tag, and the way back from a digest.
#[derive(Debug, Default)]
pub struct Tags {
    /// All names, one after the other.
    names: Box<str>,
    entries: Box<[Entry]>,
    /// The places of all entries, in order of digest, then of tag. Made when it is first
    /// asked for: a check of one tag needs none.
    by_digest: OnceLock<Box<[u32]>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    /// Where its name begins and ends.
    name: (u32, u32),
    digest: Digest,
}

impl Tags {
    /// The digest of `tag`. Takes a binary search.
    pub fn get(&self, tag: &str) -> Option<Digest> {
        let found = self.entries.binary_search_by(|entry| self.name(entry).cmp(tag)).ok()?;
        self.entries.get(found).map(|entry| entry.digest)
    }

    /// The tags of `digest`, in order. Finding the first takes a binary search, once the
    /// index is there.
    pub fn of(&self, digest: Digest) -> impl Iterator<Item = &str> {
        let places = self.by_digest.get_or_init(|| self.index());
        let digest_at = |place: &u32| self.entry(*place).map(|entry| entry.digest);
        let first = places.partition_point(|place| digest_at(place) < Some(digest));
        let entries = places.get(first..).unwrap_or_default().iter();
        entries
            .map_while(|place| self.entry(*place))
            .take_while(move |entry| entry.digest == digest)
            .map(|entry| self.name(entry))
    }

    /// All tags, in order.
    pub fn names(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.entries.iter().map(|entry| self.name(entry))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether both say the same.
    pub fn says_the_same(&self, other: &Self) -> bool {
        self.names == other.names && self.entries == other.entries
    }

    /// Bytes of memory that it takes, the index included.
    pub fn weight(&self) -> usize {
        self.names.len() + self.entries.len() * (size_of::<Entry>() + size_of::<u32>())
    }

    fn entry(&self, place: u32) -> Option<&Entry> {
        self.entries.get(place as usize)
    }

    fn name(&self, entry: &Entry) -> &str {
        let (start, end) = entry.name;
        self.names.get(start as usize..end as usize).unwrap_or_default()
    }

    fn index(&self) -> Box<[u32]> {
        let places = (0_u32..).zip(self.entries.iter());
        let mut sorted: Vec<_> = places.map(|(place, entry)| (entry.digest, place)).collect();
        sorted.sort_unstable();
        sorted.into_iter().map(|(_, place)| place).collect()
    }
}

/// [`Tags`] in the making.
#[derive(Default)]
pub struct TagsBuilder {
    names: String,
    entries: Vec<Entry>,
}

impl TagsBuilder {
    /// Adds a tag, which has to come after all that are there. `None` past 4 GiB of names.
    pub fn push(&mut self, tag: &str, digest: Digest) -> Option<()> {
        let start = u32::try_from(self.names.len()).ok()?;
        self.names.push_str(tag);
        let end = u32::try_from(self.names.len()).ok()?;
        self.entries.push(Entry { name: (start, end), digest });
        Some(())
    }

    /// The tags.
    pub fn build(self) -> Tags {
        Tags {
            names: self.names.into_boxed_str(),
            entries: self.entries.into_boxed_slice(),
            by_digest: OnceLock::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Any digest of three.
    fn digest(number: usize) -> Digest {
        Digest::from_bytes([[0, 1, 255][number % 3]; 32])
    }

    #[test]
    fn finds_what_a_map_finds() {
        for count in [0, 1, 2, 3, 50, 1000] {
            let map: BTreeMap<String, Digest> =
                (0..count).map(|number| (format!("v{number}-é"), digest(number * 7))).collect();
            let mut builder = TagsBuilder::default();
            for (tag, digest) in &map {
                builder.push(tag, *digest).unwrap();
            }
            let tags = builder.build();
            assert_eq!(tags.len(), count);
            assert!(tags.names().eq(map.keys()), "{count}");
            assert!(tags.names().rev().eq(map.keys().rev()), "{count}");
            for tag in map.keys().map(String::as_str).chain(["", "v", "v1", "w"]) {
                assert_eq!(tags.get(tag), map.get(tag).copied(), "{tag} of {count}");
            }
            for wanted in [digest(0), digest(1), digest(2), Digest::from_bytes([2; 32])] {
                let expected = map.iter().filter(|(_, digest)| **digest == wanted);
                assert!(tags.of(wanted).eq(expected.map(|(tag, _)| tag)), "{wanted} of {count}");
            }
        }
    }
}
