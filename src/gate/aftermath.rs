//! After the engine has acted: what came of a call, before its caller gets to know.

use tracing::debug;

use super::{Decision, Gate};
use crate::image::ContainerId;
use crate::policy::{Reason, Subject, Verdict};
use crate::request::{self, Call, Response};
use crate::source;

impl Gate {
    /// Judges what came of a call (`AuthZRes`).
    ///
    /// A create was judged by what its image's name meant then. The name may have meant
    /// another image when the engine looked it up, so the container is judged again, by
    /// the image it is really made of, and removed if it may not run. That is for early
    /// answers and a tidy engine: a container whose making was not shown is left alone,
    /// and start decides.
    pub async fn review(&self, call: &Call, response: &Response) -> Decision {
        self.crossing.leave(call);
        match request::created(call, response) {
            Some(id) if self.policy.is_enforced() => self.judge_new(&id).await,
            _ => Decision::not_judged(),
        }
    }

    async fn judge_new(&self, id: &ContainerId) -> Decision {
        let mut decision = Decision { word: "created", ..self.look_at(id).await };
        if is_to_go(&decision.verdict)
            && let Some(engine) = &self.engine
        {
            match engine.remove(id).await {
                Ok(()) => debug!(container = %id, "removed"),
                Err(error) => decision.notes.push(format!(
                    "the refused container {id} could not be removed, and stays without \
                     being able to start: {error}"
                )),
            }
        }
        decision
    }

    /// Judges a container by its image.
    pub(super) async fn look_at(&self, id: &ContainerId) -> Decision {
        let subject = Subject::Container(id.to_string());
        let decision = Box::pin(self.prove(subject, Vec::new(), source::now())).await;
        Decision { word: "container", ..decision }
    }
}

/// Whether a new container is one to remove. Nobody has got to know it yet, so also one
/// whose signatures cannot be checked now goes, and its name is free for another try; one
/// that could not be looked at is left.
fn is_to_go(verdict: &Verdict) -> bool {
    match verdict {
        Verdict::Allow(_) => false,
        Verdict::Deny(refusal) => !matches!(
            refusal.reason(),
            Reason::Engine { .. } | Reason::HostUnknown { .. } | Reason::NothingThere { .. }
        ),
    }
}
