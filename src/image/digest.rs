//! SHA-256 digests of manifests, and the IDs engines give to images.

use std::fmt;
use std::str::FromStr;

/// A SHA-256 digest, written `sha256:` and 64 lower-case hex digits.
///
/// Engines accept `sha384:` and `sha512:` too; Notary v1 signs SHA-256 alone, so
/// nothing else can be proven and nothing else is representable.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest with these raw bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The raw bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// 64 lower-case hex digits, without the algorithm.
    pub fn hex(&self) -> String {
        let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or_default();
        let mut hex = String::with_capacity(64);
        for byte in self.0 {
            hex.push(digit(byte >> 4));
            hex.push(digit(byte & 15));
        }
        hex
    }

    /// Reads 64 lower-case hex digits, without the algorithm.
    pub fn from_hex(text: &str) -> Result<Self, DigestError> {
        let bytes = text.as_bytes();
        if bytes.len() != 64 {
            return Err(DigestError::Length);
        }
        let mut out = [0; 32];
        for (slot, pair) in out.iter_mut().zip(bytes.chunks_exact(2)) {
            let &[high, low] = pair else { return Err(DigestError::Length) };
            *slot = nibble(high)? << 4 | nibble(low)?;
        }
        Ok(Self(out))
    }
}

fn nibble(byte: u8) -> Result<u8, DigestError> {
    match byte {
        b'0'..=b'9' => Ok(byte - b'0'),
        b'a'..=b'f' => Ok(byte - b'a' + 10),
        _ => Err(DigestError::NotLowerHex),
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        Self::from_hex(text.strip_prefix("sha256:").ok_or(DigestError::Algorithm)?)
    }
}

/// Why a text is not a [`Digest`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    /// Another algorithm, or none.
    #[error("only sha256 digests can be verified")]
    Algorithm,
    /// Not 64 digits long.
    #[error("a sha256 digest has 64 hex digits")]
    Length,
    /// A character that is not a lower-case hex digit.
    #[error("a digest is written in lower-case hex digits")]
    NotLowerHex,
}

/// The ID an engine gives to an image it holds.
///
/// With the graph-driver store it is the digest of the image's configuration, with
/// the containerd store the digest of its manifest or index. Either way it commits
/// to the content; it is never a name.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct ImageId(pub Digest);

impl fmt::Display for ImageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for ImageId {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        text.parse().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "145efec3e7674af0ea621617610fabe76eb46cfa88a9b225311d118e1d70acd8";

    #[test]
    fn reads_back_what_it_writes() {
        let text = format!("sha256:{HEX}");
        assert_eq!(text.parse::<Digest>().unwrap().to_string(), text);
    }

    #[test]
    fn refuses_every_other_spelling() {
        for (text, error) in [
            (HEX.to_owned(), DigestError::Algorithm),
            (format!("sha512:{HEX}{HEX}"), DigestError::Algorithm),
            (format!("sha256:{}", &HEX[1..]), DigestError::Length),
            (format!("sha256:{HEX}0"), DigestError::Length),
            (format!("sha256:{}", HEX.to_uppercase()), DigestError::NotLowerHex),
            (format!("sha256:{}é", &HEX[2..]), DigestError::NotLowerHex),
        ] {
            assert_eq!(text.parse::<Digest>(), Err(error), "{text}");
        }
    }
}
