//! What an engine is asked before a call is read: it answers meanwhile.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use futures_util::future::{MaybeDone, maybe_done};

use super::Gate;
use crate::request::{self, Call};
use crate::source::{Engine, EngineError, LocalImage};

type Answer = Result<Option<LocalImage>, EngineError>;

/// An engine that was asked for an image, which may turn out to be another than the call means.
pub(super) struct AskedAhead<'g> {
    engine: &'g Engine,
    name: &'g str,
    answer: MaybeDone<Pin<Box<dyn Future<Output = Answer> + Send + 'g>>>,
}

impl<'g> AskedAhead<'g> {
    /// Asks as far as that goes without waiting: where a connection is kept, the question is
    /// sent, else one is made.
    async fn ask(engine: &'g Engine, name: &'g str) -> Self {
        let asked: Pin<Box<dyn Future<Output = Answer> + Send>> = Box::pin(engine.image(name));
        let mut answer = maybe_done(asked);
        poll_fn(|context| {
            let _ = Pin::new(&mut answer).poll(context);
            Poll::Ready(())
        })
        .await;
        Self { engine, name, answer }
    }

    /// What the engine says of the image of this name: asked anew where another was guessed.
    pub async fn answer(mut self, name: &str) -> Answer {
        if self.name == name {
            (&mut self.answer).await;
            if let Some(answer) = Pin::new(&mut self.answer).take_output() {
                return answer;
            }
        }
        // Nobody waits for the other any more.
        let engine = self.engine;
        drop(self);
        engine.image(name).await
    }
}

impl Gate {
    /// Asks the engine for the image that a call is likely about, where images are judged.
    pub(super) async fn ask_ahead<'g>(&'g self, call: &'g Call) -> Option<AskedAhead<'g>> {
        let engine = self.engine.as_deref().filter(|_| self.policy.is_enforced())?;
        Some(AskedAhead::ask(engine, request::likely_image(call)?).await)
    }
}
