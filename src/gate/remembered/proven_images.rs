//! Images that were proven, as the engine told of them within the last minute.
//!
//! What an ID stands for never changes, and neither does which manifests have it for their
//! image. So what once was said of an image that was proven serves to let it run again, and
//! the engine, which asks us about each question of ours, is asked one less. Nothing is
//! refused by it: then the engine is asked anew.

use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lru::LruCache;
use tokio::time::Instant;

use crate::image::ImageId;
use crate::policy::{Grant, Held, HeldImage, Verdict};

/// How long what was said serves.
const HOLDS: Duration = Duration::from_secs(60);
/// Most images that are remembered. One takes about a kilobyte.
const MOST: NonZeroUsize = NonZeroUsize::new(256).unwrap();
/// Most digests and names together of an image that is remembered.
const MAX_NAMES: usize = 64;

/// What engines said of images that were proven.
pub(in crate::gate) struct ProvenImages(Mutex<LruCache<ImageId, (HeldImage, Instant)>>);

impl Default for ProvenImages {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(MOST)))
    }
}

impl ProvenImages {
    /// What was said of an image, for one that is called so.
    pub fn get(&self, id: &ImageId, called: &str) -> Option<HeldImage> {
        let mut kept = self.lock();
        let (image, since) = kept.get(id)?;
        let holds = since.elapsed() < HOLDS;
        holds.then(|| HeldImage { called: called.to_owned(), ..image.clone() })
    }

    /// Keeps what the engine has just said of an image, where that is proven.
    pub fn keep(&self, held: &Held, verdict: &Verdict) {
        if let Held::Image(image) = held
            && image.digests.len() + image.names.len() <= MAX_NAMES
            && matches!(verdict, Verdict::Allow(Grant::Proven { .. }))
        {
            self.lock().put(image.id, (image.clone(), Instant::now()));
        }
    }

    /// Forgets all of them: an engine has ended or begun. What the old one says after that may
    /// be kept once more: it is true of the image all the same.
    pub fn forget(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, LruCache<ImageId, (HeldImage, Instant)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;
    use crate::image::Digest;
    use crate::policy::{Reason, Refusal};

    fn image(digests: usize) -> HeldImage {
        let id = Digest::from_bytes([1; 32]);
        HeldImage {
            id: ImageId(id),
            digests: vec![id; digests],
            names: vec!["h.io/a".parse().unwrap()],
            called: "h.io/a:1".to_owned(),
            id_is_config: true,
            architecture: "amd64".to_owned(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_image_that_was_proven_is_known_for_a_minute() {
        let images = ProvenImages::default();
        let proven = Verdict::Allow(Grant::Proven {
            repository: "h.io/a".parse().unwrap(),
            tag: "1".to_owned(),
            digest: Digest::from_bytes([0; 32]),
            signers: Vec::new(),
            also: Vec::new(),
        });
        let (held, id) = (Held::Image(image(2)), image(2).id);
        for (held, verdict) in [
            (&held, &Verdict::Allow(Grant::NotJudged)),
            (&held, &Verdict::Deny(Refusal::new(Reason::Internal))),
            (&Held::Absent, &proven),
            (&Held::Image(image(MAX_NAMES)), &proven),
        ] {
            images.keep(held, verdict);
            assert_eq!(images.get(&id, "x"), None, "{verdict:?}");
        }
        images.keep(&held, &proven);
        let called = HeldImage { called: "x".to_owned(), ..image(2) };
        advance(Duration::from_secs(59)).await;
        assert_eq!(images.get(&id, "x"), Some(called));
        advance(Duration::from_secs(1)).await;
        assert_eq!(images.get(&id, "x"), None);
        images.keep(&held, &proven);
        images.forget();
        assert_eq!(images.get(&id, "x"), None);
    }
}
