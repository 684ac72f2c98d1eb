//! What the engine does where a call does not say, known for a while: nearly every start has
//! to know the default runtime, and engines take long to tell (`/info` runs `runc` and others
//! to ask for their versions, engine 20.10 to 28.5).

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::source::{Defaults, Engine, EngineError};

/// How long it is taken to hold. The runtime changes when an engine is told to read its
/// configuration anew, the folder only when it starts anew: [`KeptDefaults::forget`].
const HOLDS: Duration = Duration::from_secs(60);

/// What an engine said.
#[derive(Default)]
pub(super) struct KeptDefaults(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    said: Option<(Defaults, Instant)>,
    /// How often it was forgotten.
    forgotten: u64,
}

impl KeptDefaults {
    /// What it said within the last minute, or says now.
    pub async fn of(&self, engine: &Engine) -> Result<Defaults, EngineError> {
        let asked = Instant::now();
        let forgotten = {
            let kept = self.kept();
            if let Some((said, since)) = &kept.said
                && asked - *since < HOLDS
            {
                return Ok(said.clone());
            }
            kept.forgotten
        };
        let said = engine.defaults().await?;
        let mut kept = self.kept();
        // What another engine may have said meanwhile is not kept.
        if kept.forgotten == forgotten {
            kept.said = Some((said.clone(), asked));
        }
        Ok(said)
    }

    /// Forgets it: an engine has ended or begun.
    pub fn forget(&self) {
        let mut kept = self.kept();
        kept.said = None;
        kept.forgotten += 1;
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
