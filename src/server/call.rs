//! The edge of a call: a panic ends here, and a call that was begun is brought to its end.
//!
//! What calls mostly are, such as reads, is decided without waiting for anything. So a
//! decision is made where its connection is served, and no task is made for it, whose
//! start and end other threads would have to be told of.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::FutureExt;
use futures_util::future::CatchUnwind;
use tokio::runtime::Handle;
use tracing::error;

/// What came of it, or what it panicked with.
pub(super) type Outcome<T> = Result<T, Box<dyn Any + Send>>;

/// A future as a task of its own would run it: a panic is a value, and when nobody waits
/// any more, as the connection ended, it goes on all the same. What came of a create is
/// judged then, too, and others may wait for the same trust data.
pub(super) struct Undisturbed<F: Future + Send + 'static>(Option<Pin<Box<Caught<F>>>>)
where
    F::Output: Send;

/// That a panic leaves nothing broken behind is up to those who share state with others:
/// as with a task, which catches it in the same way.
type Caught<F> = CatchUnwind<AssertUnwindSafe<F>>;

impl<F: Future<Output: Send> + Send + 'static> Undisturbed<F> {
    pub(super) fn new(future: F) -> Self {
        Self(Some(Box::pin(AssertUnwindSafe(future).catch_unwind())))
    }
}

impl<F: Future<Output: Send> + Send + 'static> Future for Undisturbed<F> {
    type Output = Outcome<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(future) = &mut self.0 else { return Poll::Pending };
        let outcome = std::task::ready!(future.as_mut().poll(context));
        self.0 = None;
        Poll::Ready(outcome)
    }
}

impl<F: Future<Output: Send> + Send + 'static> Drop for Undisturbed<F> {
    fn drop(&mut self) {
        // Without a runtime the process ends.
        if let (Some(future), Ok(runtime)) = (self.0.take(), Handle::try_current()) {
            runtime.spawn(async move {
                if let Err(panic) = future.await {
                    error!(error = said(&*panic), "a decision failed that nobody waited for");
                }
            });
        }
    }
}

/// What a panic said.
pub(super) fn said(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic")
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn a_panic_is_a_value() {
        assert_eq!(Undisturbed::new(async { 1 }).await.unwrap(), 1);
        for (panic, text) in [
            (Undisturbed::new(async { panic!("as if by a bug") }).await, "as if by a bug"),
            (Undisturbed::new(async { panic!("bug {}", 1) }).await, "bug 1"),
            (Undisturbed::new(async { std::panic::panic_any(1) }).await, "a panic"),
        ] {
            let panic: Box<dyn Any + Send> = Outcome::<()>::unwrap_err(panic);
            assert_eq!(said(&*panic), text);
        }
        let later = Undisturbed::new(async {
            tokio::task::yield_now().await;
            panic!("later")
        });
        assert_eq!(said(&*Outcome::<()>::unwrap_err(later.await)), "later");
    }

    #[tokio::test]
    async fn what_nobody_waits_for_is_brought_to_its_end() {
        let (go_on, gone_on) = oneshot::channel::<()>();
        let (tell, told) = oneshot::channel();
        let mut begun = Box::pin(Undisturbed::new(async move {
            gone_on.await.unwrap();
            tell.send("done").unwrap();
        }));
        assert!((&mut begun).now_or_never().is_none());
        drop(begun);
        go_on.send(()).unwrap();
        assert_eq!(told.await, Ok("done"));
    }

    #[tokio::test]
    async fn what_is_done_is_not_done_again() {
        let mut done = Box::pin(Undisturbed::new(async {}));
        assert!((&mut done).now_or_never().is_some());
        assert!((&mut done).now_or_never().is_none());
    }
}
