//! What binds an image to a digest that was signed, beside being that digest.
//!
//! An index of several platforms is signed as a whole, and an engine holds one platform's
//! image of it: as the index, as that platform's manifest, or by no digest but its
//! configuration's. So an image is bound to a signed digest also where that stands for an
//! index that lists one of the image's manifests, or for a manifest of the image's
//! configuration. What a digest stands for, its hash says; no registry is believed.
//!
//! An index is looked into one level deep: engines know no index of indexes.

use std::cmp::Reverse;
use std::collections::HashSet;

use jiff::Timestamp;

use super::evidence::{Evidence, Held, HeldImage, Look};
use super::plan::{Subject, called};
use crate::image::{Digest, ImageName, Reference, Repository, Tag};
use crate::trust::Content;
use crate::trust::notary::TrustData;

/// Most digests told of at once.
const MAX_UNREAD: usize = 256;

/// What an image is known by.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    /// The digests of its manifests, and of indexes it was taken from.
    digests: Vec<Digest>,
    /// That of its configuration.
    config: Option<Digest>,
}

impl Identity {
    /// Of an image that the engine holds.
    pub fn held(image: &HeldImage) -> Self {
        let id = image.id.0;
        let config = image.id_is_config.then_some(id);
        Self { digests: image.digests.clone(), config }
    }

    /// Of an image that is asked for by its digest.
    pub fn named(digest: Digest) -> Self {
        Self { digests: vec![digest], config: None }
    }
}

impl Evidence {
    /// Every digest whose signature covers the image, its own first.
    pub(super) fn covering(&self, image: &Identity) -> Vec<Digest> {
        let mut found = image.digests.clone();
        let contents =
            || self.contents.iter().filter_map(|(digest, look)| Some((*digest, look.content()?)));
        let configured =
            |content: &Content| image.config.is_some() && content.config() == image.config;
        found.extend(
            contents().filter(|(_, content)| configured(content)).map(|(digest, _)| digest),
        );
        let lists = |content: &Content| found.iter().any(|digest| content.lists(*digest));
        let indexes: Vec<_> =
            contents().filter(|(_, content)| lists(content)).map(|(digest, _)| digest).collect();
        found.extend(indexes);
        found
    }

    /// Why something that was to be looked into could not be.
    pub(super) fn unavailable(&self) -> Option<(&str, &str)> {
        self.contents.values().find_map(|look| match look {
            Look::Unavailable { cause, remedy } => Some((cause.as_str(), remedy.as_str())),
            Look::Into(_) | Look::Nothing => None,
        })
    }
}

impl Look {
    fn content(&self) -> Option<&Content> {
        if let Self::Into(content) = self { Some(content) } else { None }
    }
}

/// The digests that are still to be looked into, to know whether a signature covers the
/// subject's image, in the order in which that is likely; with where they can be had.
///
/// First what is released under the tag that is asked for, and where that is an index and
/// the image is known by its configuration alone, what it lists. Then, for an image with
/// digests of its own, what is released under the other tags: the highest names first,
/// which most often are the newest versions.
pub fn unread(subject: &Subject, evidence: &Evidence, now: Timestamp) -> Vec<(Repository, Digest)> {
    let Some((image, architecture, asked)) = sought(subject, evidence) else { return Vec::new() };
    // A registry that fails is not asked on.
    if evidence.unavailable().is_some() {
        return Vec::new();
    }
    let covering = evidence.covering(&image);
    let mut found: Vec<(Repository, Digest)> = Vec::new();
    for (repository, data) in &evidence.trust {
        let Ok(data) = data else { continue };
        let bound =
            || covering.iter().any(|digest| data.released_as(*digest, now).next().is_some());
        if data.check_within(now, evidence.grace(repository)).is_err() || bound() {
            continue;
        }
        let tag = asked.as_ref().filter(|one| one.repository == *repository);
        let tag = tag.and_then(|one| one.tag.as_ref()).map(Tag::as_str);
        let search = Search { image: &image, architecture, evidence, now };
        for digest in search.of(data, tag) {
            if found.len() < MAX_UNREAD && found.iter().all(|(_, known)| *known != digest) {
                found.push((repository.clone(), digest));
            }
        }
    }
    found
}

/// The image in question, its architecture, and the name it is asked for by. None where no
/// digest could bind it: a tag that is not resolved yet.
fn sought<'e>(
    subject: &Subject,
    evidence: &'e Evidence,
) -> Option<(Identity, &'e str, Option<Reference>)> {
    let reference = match (subject, &evidence.held) {
        (_, Held::Image(held)) => {
            return Some((Identity::held(held), &held.architecture, called(held)));
        }
        (Subject::Pull(one) | Subject::Service(one) | Subject::Name(one), _)
        | (Subject::Create { image: ImageName::Named(one), .. }, Held::Absent) => one,
        _ => return None,
    };
    Some((Identity::named(reference.digest?), "", Some(reference.clone())))
}

struct Search<'a> {
    image: &'a Identity,
    architecture: &'a str,
    evidence: &'a Evidence,
    now: Timestamp,
}

impl Search<'_> {
    /// What is to be looked into of one repository.
    fn of(&self, data: &TrustData, tag: Option<&str>) -> Vec<Digest> {
        let own = tag.and_then(|tag| data.released(tag, self.now));
        let first = own.map(|own| self.behind(own)).unwrap_or_default();
        if !first.is_empty() {
            return first;
        }
        // A configuration's digest is in no index: without another, only the tag asked for
        // tells where to look.
        if self.image.digests.iter().all(|digest| Some(*digest) == self.image.config) {
            return Vec::new();
        }
        let others = data.latest(self.now);
        let unread = others.filter(|digest| !self.evidence.contents.contains_key(digest));
        let mut known = HashSet::new();
        unread.filter(|digest| known.insert(*digest)).take(MAX_UNREAD).collect()
    }

    /// The digest released under the tag asked for, then what it lists.
    fn behind(&self, own: Digest) -> Vec<Digest> {
        let known = &self.evidence.contents;
        let Some(look) = known.get(&own) else { return vec![own] };
        let Some(content) = look.content().filter(|_| self.image.config.is_some()) else {
            return Vec::new();
        };
        let mut listed: Vec<_> = content.listed().iter().collect();
        listed.sort_by_key(|one| Reverse(one.architecture.as_deref() == Some(self.architecture)));
        let unread = listed.iter().filter(|one| !known.contains_key(&one.digest));
        unread.map(|one| one.digest).collect()
    }
}
