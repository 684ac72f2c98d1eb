//! What is remembered of an engine for a while. It asks us twice about each question of ours, so
//! one that need not be asked saves three.

mod defaults;
mod judged_starts;
mod proven_images;

pub(super) use judged_starts::started;

use self::defaults::KeptDefaults;
use self::judged_starts::JudgedStarts;
use self::proven_images::ProvenImages;

/// What is remembered of an engine.
#[derive(Default)]
pub(super) struct Remembered {
    /// What it does where a call does not say.
    pub defaults: KeptDefaults,
    /// What it said of images that were proven.
    pub images: ProvenImages,
    /// The starts of which it asked us.
    pub starts: JudgedStarts,
}

impl Remembered {
    /// Forgets what an engine said: it has ended, or begun.
    pub fn forget(&self) {
        self.defaults.forget();
        self.images.forget();
        self.starts.forget();
    }
}
