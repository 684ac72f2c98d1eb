//! One thread writes, and nobody waits for it.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::thread;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use tracing::{error, warn};

use super::entry::Entry;
use super::file::Appended;
use super::journal::Journal;
use super::line::line;

/// Records that may wait. Each is a few hundred bytes, as a rule.
const WAITING: usize = 4096;

/// Where records go.
pub(super) enum Sink {
    Journal(Journal),
    File(Appended),
    Stdout,
}

impl Sink {
    fn write(&mut self, entry: &Entry) -> io::Result<()> {
        match self {
            Self::Journal(journal) => journal.send(entry),
            Self::File(file) => file.append(&line(entry)?),
            Self::Stdout => {
                let mut out = io::stdout().lock();
                out.write_all(&line(entry)?)?;
                out.flush()
            }
        }
    }
}

/// What became of records.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    pub written: Counter,
    /// Came while too many were waiting.
    pub crowded_out: Counter,
    /// Could not be written.
    pub failed: Counter,
}

/// The queue of records, and the thread at its end.
pub(super) struct Writer {
    queue: SyncSender<Message>,
    tally: Tally,
    gap: Arc<Gap>,
}

enum Message {
    Entry(Box<Entry>),
    /// All before it is written.
    Flush(SyncSender<()>),
}

impl Writer {
    /// Starts the thread.
    pub fn start(sink: Sink, tally: Tally) -> io::Result<Self> {
        let (queue, messages) = sync_channel(WAITING);
        let gap = Arc::new(Gap::default());
        let writing = Writing { sink, tally: tally.clone(), gap: Arc::clone(&gap) };
        thread::Builder::new().name("record".to_owned()).spawn(move || writing.run(&messages))?;
        Ok(Self { queue, tally, gap })
    }

    /// Has a record written, some time. Whether it will be.
    pub fn put(&self, entry: Entry) -> bool {
        match self.queue.try_send(Message::Entry(Box::new(entry))) {
            Ok(()) => true,
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.tally.crowded_out.inc();
                if self.gap.opens() {
                    error!(waiting = WAITING, "records are written too slowly: some are lost");
                }
                false
            }
        }
    }

    /// Waits until all is written, but no longer than this. Whether it is.
    pub fn flush(&self, patience: Duration) -> bool {
        const STEP: Duration = Duration::from_millis(10);
        let (done, is_done) = sync_channel(1);
        let mut left = patience;
        // No place in the queue: some of it has to be written first.
        while let Err(TrySendError::Full(_)) = self.queue.try_send(Message::Flush(done.clone())) {
            if left.is_zero() {
                return false;
            }
            thread::sleep(STEP);
            left = left.saturating_sub(STEP);
        }
        drop(done);
        is_done.recv_timeout(left).is_ok()
    }
}

/// The thread's own.
struct Writing {
    sink: Sink,
    tally: Tally,
    gap: Arc<Gap>,
}

impl Writing {
    fn run(mut self, messages: &Receiver<Message>) {
        let mut fine = true;
        loop {
            let message = match messages.try_recv() {
                Ok(message) => message,
                Err(TryRecvError::Disconnected) => return,
                Err(TryRecvError::Empty) => {
                    // Not earlier: or an overload would be told of with each record.
                    if fine && let Some(lost) = self.gap.closes() {
                        warn!(lost, "records are written again; some were lost");
                    }
                    let Ok(message) = messages.recv() else { return };
                    message
                }
            };
            match message {
                Message::Flush(done) => drop(done.try_send(())),
                Message::Entry(entry) => fine = self.write(&entry),
            }
        }
    }

    fn write(&mut self, entry: &Entry) -> bool {
        match self.sink.write(entry) {
            Ok(()) => {
                self.tally.written.inc();
                true
            }
            Err(error) => {
                self.tally.failed.inc();
                if self.gap.opens() {
                    error!(%error, "records cannot be written: they are lost until they can be");
                }
                false
            }
        }
    }
}

/// Records lost since that was last told.
#[derive(Default)]
struct Gap(AtomicU64);

impl Gap {
    /// Takes note of one more. Whether it is the first.
    fn opens(&self) -> bool {
        self.0.fetch_add(1, Ordering::Relaxed) == 0
    }

    /// How many it were, where there were any.
    fn closes(&self) -> Option<u64> {
        Some(self.0.swap(0, Ordering::Relaxed)).filter(|lost| *lost > 0)
    }
}
