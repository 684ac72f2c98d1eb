//! Container IDs.

use std::fmt;

/// The whole ID of a container: 64 lower-case hex digits (`stringid.GenerateRandomID`).
///
/// Engines take it for this container before they look at names or beginnings of IDs
/// (`daemon.GetContainer`), so it alone means the same container at any time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContainerId(String);

impl ContainerId {
    /// Reads a whole ID. Nothing if it is a name, or the beginning of an ID only.
    pub fn from_hex(text: &str) -> Option<Self> {
        let is_digit = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        (text.len() == 64 && text.bytes().all(is_digit)).then(|| Self(text.to_owned()))
    }

    /// Its 64 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_a_whole_id_is_one() {
        let id = "0123456789abcdef".repeat(4);
        assert_eq!(ContainerId::from_hex(&id).unwrap().to_string(), id);
        for other in ["", "web", &id[..12], &id[..63], &format!("{id}0"), &id.to_uppercase()] {
            assert_eq!(ContainerId::from_hex(other), None, "{other}");
        }
    }
}
