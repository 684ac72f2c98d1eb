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
pub(in crate::gate) struct KeptDefaults(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    said: Option<(Defaults, Instant)>,
    /// How often it was forgotten.
    forgotten: u64,
}

impl KeptDefaults {
    /// What it said within the last minute, where that `serves`, or says now.
    pub async fn of(
        &self,
        engine: &Engine,
        serves: impl Fn(&Defaults) -> bool,
    ) -> Result<Defaults, EngineError> {
        let forgotten = self.kept().forgotten;
        if let Some(said) = self.recall()
            && serves(&said)
        {
            return Ok(said);
        }
        let said = engine.defaults().await?;
        self.keep(&said, forgotten);
        Ok(said)
    }

    /// Forgets it: an engine has ended or begun.
    pub fn forget(&self) {
        let mut kept = self.kept();
        kept.said = None;
        kept.forgotten += 1;
    }

    /// What still holds.
    fn recall(&self) -> Option<Defaults> {
        let kept = self.kept();
        let (said, since) = kept.said.as_ref()?;
        (since.elapsed() < HOLDS).then(|| said.clone())
    }

    /// Keeps an answer, unless it could be of an engine that has ended since it was asked.
    fn keep(&self, said: &Defaults, forgotten: u64) {
        let mut kept = self.kept();
        if kept.forgotten == forgotten {
            kept.said = Some((said.clone(), Instant::now()));
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_was_said_holds_for_a_minute_and_for_one_engine() {
        let kept = KeptDefaults::default();
        let (docker_root_dir, default_runtime) = ("/d".to_owned(), "runc".to_owned());
        let said = Defaults { docker_root_dir, default_runtime };
        assert_eq!(kept.recall(), None);
        kept.keep(&said, 0);
        advance(Duration::from_secs(59)).await;
        assert_eq!(kept.recall(), Some(said.clone()));
        advance(Duration::from_secs(1)).await;
        assert_eq!(kept.recall(), None);
        kept.keep(&said, 0);
        kept.forget();
        assert_eq!(kept.recall(), None);
        // Asked before that, answered after.
        kept.keep(&said, 0);
        assert_eq!(kept.recall(), None);
        kept.keep(&said, 1);
        assert_eq!(kept.recall(), Some(said));
    }
}
