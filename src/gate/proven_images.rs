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
pub(super) struct ProvenImages(Mutex<LruCache<ImageId, (HeldImage, Instant)>>);

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

    /// Forgets all of them: an engine has ended or begun.
    pub fn forget(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, LruCache<ImageId, (HeldImage, Instant)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
