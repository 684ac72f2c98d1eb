//! Following a trust server's changefeed: one poll tells of all its repositories.
//!
//! The newest records are asked for, and continuity is by a record that was there before: so
//! neither the order nor the numbers of a server matter, nor that it forgot them.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use tracing::debug;

use super::NETWORK;
use super::upkeep::is_of_all;
use crate::image::Repository;
use crate::source::{Change, Deadline, TrustServer, Unavailable};

/// How many records are asked for, and how many where these do not reach back far enough.
const FEW: usize = 32;
const MANY: usize = 1024;
/// When a server that has no changefeed for us is asked for it again.
const AGAIN: Duration = Duration::from_secs(3600);

/// What is known of a server's changefeed.
#[derive(Debug, Default)]
pub(super) struct Feed {
    state: State,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Untried,
    /// The records that were the newest.
    Followed {
        newest: HashSet<String>,
    },
    Absent {
        again: Instant,
    },
}

/// What a poll tells.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum News {
    /// It is followed from here on. Of what was before nothing is known.
    Begun,
    /// All that changed since the poll before.
    Changed(HashSet<Repository>),
    /// There is none for us, or it cannot be followed.
    Absent,
}

impl Feed {
    /// Whether it is to be asked at all.
    pub fn is_to_be_tried(&self, now: Instant) -> bool {
        match &self.state {
            State::Untried | State::Followed { .. } => true,
            State::Absent { again } => *again <= now,
        }
    }

    /// Whether what it does not tell of has not changed.
    pub fn is_followed(&self) -> bool {
        matches!(self.state, State::Followed { .. })
    }

    /// Asks once.
    ///
    /// # Errors
    /// Where the server as a whole could not be asked, which says nothing about its feed.
    pub async fn poll(&mut self, server: &TrustServer) -> Result<News, Unavailable> {
        for records in [FEW, MANY] {
            let answer = server.changes(records, Deadline::after(NETWORK)).await;
            let changes = match answer {
                Ok(changes) => changes,
                Err(error) if is_of_all(&error) => {
                    return Err(error);
                }
                Err(error) => {
                    debug!(%error, "no changefeed: each repository is asked after");
                    return Ok(self.give_up());
                }
            };
            if let Some(news) = self.take(changes, records) {
                return Ok(news);
            }
        }
        debug!(host = server.host(), "the changefeed has a gap: each repository is asked after");
        Ok(self.give_up())
    }

    /// Takes the newest records in, of which there were to be so many at most. `None`: they do
    /// not reach back to what was known.
    fn take(&mut self, changes: Vec<Change>, asked: usize) -> Option<News> {
        let ids = changes.iter().map(|change| change.id.clone()).collect::<HashSet<_>>();
        let news = match &self.state {
            State::Followed { newest } => {
                // One that was empty, and is shown whole.
                let began_empty = newest.is_empty() && changes.len() < asked;
                if !began_empty
                    && newest.is_disjoint(&ids)
                    && !(newest.is_empty() && ids.is_empty())
                {
                    return None;
                }
                let new = changes.into_iter().filter(|change| !newest.contains(&change.id));
                News::Changed(new.filter_map(|change| change.repository).collect())
            }
            State::Untried | State::Absent { .. } => News::Begun,
        };
        self.state = State::Followed { newest: ids };
        Some(news)
    }

    fn give_up(&mut self) -> News {
        self.state = State::Absent { again: Instant::now() + AGAIN };
        News::Absent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(number: u32, name: &str) -> Change {
        Change { id: number.to_string(), repository: name.parse().ok() }
    }

    fn changed(names: &[&str]) -> News {
        News::Changed(names.iter().map(|name| name.parse().unwrap()).collect())
    }

    #[test]
    fn what_is_new_is_told_once_in_any_order() {
        let mut feed = Feed::default();
        assert_eq!(feed.take(vec![change(1, "h.io/a"), change(2, "h.io/b")], 3), Some(News::Begun));
        assert!(feed.is_followed());
        assert_eq!(
            feed.take(vec![change(1, "h.io/a"), change(2, "h.io/b")], 3),
            Some(changed(&[]))
        );
        let later = vec![change(4, "h.io/a"), change(3, "h.io/c"), change(2, "h.io/b")];
        assert_eq!(feed.take(later, 3), Some(changed(&["h.io/a", "h.io/c"])));
        // Names of no repository are nobody's.
        assert_eq!(feed.take(vec![change(5, "UP"), change(4, "h.io/a")], 3), Some(changed(&[])));
    }

    #[test]
    fn an_empty_feed_that_fills() {
        let mut feed = Feed::default();
        assert_eq!(feed.take(vec![], 2), Some(News::Begun));
        assert_eq!(feed.take(vec![], 2), Some(changed(&[])));
        assert_eq!(feed.take(vec![change(1, "h.io/a")], 2), Some(changed(&["h.io/a"])));
        let mut feed = Feed::default();
        feed.take(vec![], 1);
        assert_eq!(feed.take(vec![change(7, "h.io/a")], 1), None, "there may be more");
    }

    #[test]
    fn a_gap_is_noticed() {
        let mut feed = Feed::default();
        feed.take(vec![change(1, "h.io/a")], 2);
        assert_eq!(feed.take(vec![change(3, "h.io/b"), change(4, "h.io/c")], 2), None);
        assert_eq!(feed.take(vec![], 2), None, "the server forgot");
        assert_eq!(feed.take(vec![change(9, "h.io/a")], 2), None, "it began anew");
        assert_eq!(feed.give_up(), News::Absent);
        assert!(!feed.is_followed() && !feed.is_to_be_tried(Instant::now()));
    }
}
