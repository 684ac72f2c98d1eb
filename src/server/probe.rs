//! Whether the engine really asks us.
//!
//! An engine may list a plugin and not ask it (the `--authorization-plugin` flag after a
//! reload). The one proof is a call that only its sender knows: `countersign doctor` sends
//! the engine `GET /_ping?countersign-nonce=NONCE` and then asks here whether the engine
//! showed it to us. The socket is root's alone, and the answer tells nothing but that.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

/// Nonces remembered; a probe asks about its own at once.
const KEPT: usize = 64;
/// Hexadecimal digits of a nonce.
const DIGITS: usize = 32;
/// What stands before the nonce in the call that carries it, to the letter.
const CALL: &str = "/_ping?countersign-nonce=";
/// The question, before the nonce.
const QUESTION: &str = "nonce=";

/// The nonces that the engine has shown us last.
#[derive(Debug, Default)]
pub(super) struct Probes {
    seen: Mutex<VecDeque<String>>,
}

impl Probes {
    /// Takes note of a call's request target, if it is a probe.
    pub(super) fn saw(&self, uri: &str) {
        let Some(nonce) = uri.strip_prefix(CALL).filter(|nonce| is_nonce(nonce)) else { return };
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() == KEPT {
            seen.pop_front();
        }
        seen.push_back(nonce.to_owned());
    }

    /// Answers the query `nonce=…`: whether it was seen. `None`: that is no question.
    pub(super) fn answer(&self, query: Option<&str>) -> Option<bool> {
        let nonce = query?.strip_prefix(QUESTION).filter(|nonce| is_nonce(nonce))?;
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        Some(seen.iter().any(|one| one == nonce))
    }
}

fn is_nonce(text: &str) -> bool {
    text.len() == DIGITS && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nonce(number: usize) -> String {
        format!("{number:032x}")
    }

    fn question(number: usize) -> String {
        format!("nonce={}", nonce(number))
    }

    #[test]
    fn remembers_probes_and_nothing_else() {
        let probes = Probes::default();
        for uri in [
            format!("/_ping?countersign-nonce={}", nonce(1)),
            format!("/_ping?countersign-nonce={}&x=1", nonce(2)),
            format!("/v1.41/_ping?countersign-nonce={}", nonce(3)),
            format!("/_ping?countersign-nonce={}", nonce(4).replace('0', "A")),
            format!("/_ping?countersign-nonce=0{}", nonce(5)),
            "/_ping?countersign-nonce=".to_owned(),
            "/_ping".to_owned(),
        ] {
            probes.saw(&uri);
        }
        assert_eq!(probes.answer(Some(&question(1))), Some(true));
        assert_eq!(probes.answer(Some(&question(6))), Some(false));
        assert_eq!(probes.seen.lock().unwrap().len(), 1);
    }

    #[test]
    fn answers_one_form_of_question() {
        let probes = Probes::default();
        for query in [None, Some(""), Some("nonce="), Some("nonce=xyz"), Some("x=1")] {
            assert_eq!(probes.answer(query), None, "{query:?}");
        }
        let twice = format!("{0}&{0}", question(1));
        assert_eq!(probes.answer(Some(&twice)), None);
    }

    #[test]
    fn memory_is_bounded_and_forgets_the_oldest() {
        let probes = Probes::default();
        for number in 0..=KEPT {
            probes.saw(&format!("{CALL}{}", nonce(number)));
        }
        assert_eq!(probes.seen.lock().unwrap().len(), KEPT);
        assert_eq!(probes.answer(Some(&question(0))), Some(false));
        assert_eq!(probes.answer(Some(&question(KEPT))), Some(true));
    }
}
