//! Files of roles on their way to the disk: they are written aside while they are verified
//! and the next ones are fetched. None of them is put into its place before all were
//! verified and the record stands.

use std::convert::Infallible;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use crate::image::{Digest, Repository};
use crate::source::{Store, StoreError, Synced};
use crate::trust::crypto::sha256;
use crate::trust::notary::FileName;

/// Held by all that is being written for one update.
#[derive(Clone)]
pub struct Writing {
    _held: mpsc::Sender<Infallible>,
}

/// All that is being written for one update.
pub struct Writers(mpsc::Receiver<Infallible>);

impl Writing {
    /// Nothing yet.
    pub fn new() -> (Self, Writers) {
        let (held, writers) = mpsc::channel(1);
        (Self { _held: held }, Writers(writers))
    }
}

impl Writers {
    /// Waits until nothing is being written any more. What nobody waited for is gone then.
    pub async fn end(mut self) {
        // Nothing is ever sent: it ends when the last who could has gone.
        let _ = self.0.recv().await;
    }
}

/// A file that is to be kept once all is verified.
pub struct Incoming {
    pub bytes: Arc<Vec<u8>>,
    /// Its SHA-256, where it is wanted by that: whoever verifies it checks it.
    named: Option<Digest>,
    written: Option<oneshot::Receiver<Result<Synced, StoreError>>>,
}

impl Incoming {
    /// One that is written when all are.
    pub fn new(bytes: Vec<u8>, file: &FileName) -> Self {
        let named = match file {
            FileName::Hashed(_, digest) => Some(*digest),
            _ => None,
        };
        Self { bytes: Arc::new(bytes), named, written: None }
    }

    /// One whose writing begins now, in the background. Whether it is what was wanted need
    /// not be known: nobody sees it before it gets to its place, and where it never does, it
    /// is removed.
    pub fn written_by(
        self,
        writing: &Writing,
        store: &Store,
        repository: &Repository,
        name: &str,
    ) -> Self {
        let (done, written) = oneshot::channel();
        let (store, repository, name) = (store.clone(), repository.clone(), name.to_owned());
        let bytes = Arc::clone(&self.bytes);
        let writing = writing.clone();
        tokio::task::spawn_blocking(move || {
            // Where nobody waits for it any more, it is removed.
            let _ = done.send(store.ahead(&repository, &name, &bytes));
            drop(writing);
        });
        Self { written: Some(written), ..self }
    }

    /// SHA-256 of its bytes, in hex.
    pub fn sha256(&self) -> String {
        self.named.unwrap_or_else(|| Digest::from_bytes(sha256(&self.bytes))).hex()
    }

    /// What came of writing it ahead; `None` where it is still to be written. To be called
    /// where waiting for the disk is in nobody's way.
    pub fn written(self) -> Option<Result<Synced, StoreError>> {
        self.written?.blocking_recv().ok()
    }
}
