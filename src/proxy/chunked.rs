//! A chunked body, followed to its end without a look at its data.

use super::refusal::Refusal;

/// Longest chunk header or trailer line. Go's limit is 4096.
const MAX_LINE: usize = 4096;

/// Where in a chunked body the next byte stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Chunked {
    at: At,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum At {
    /// In a chunk's size, of which so many digits were read.
    Size { size: u64, digits: usize },
    /// After the size's carriage return.
    SizeEnd { size: u64 },
    /// In the data, of which so much is left.
    Data { left: u64 },
    /// After the data.
    DataEnd,
    /// After the data's carriage return.
    DataEndLf,
    /// After the last chunk, in a trailer line of so many bytes.
    Trailer { length: usize },
    /// After such a line's carriage return.
    TrailerLf { length: usize },
    /// After the body.
    Over,
}

impl Default for At {
    fn default() -> Self {
        Self::Size { size: 0, digits: 0 }
    }
}

impl Chunked {
    pub(super) fn is_over(&self) -> bool {
        self.at == At::Over
    }

    /// How many of these bytes belong to the body.
    pub(super) fn pass(&mut self, bytes: &[u8]) -> Result<usize, Refusal> {
        let mut rest = bytes;
        while !self.is_over() {
            if let At::Data { left } = self.at {
                let here = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
                rest = rest.get(here..).unwrap_or_default();
                let left = left.saturating_sub(here as u64);
                self.at = if left == 0 { At::DataEnd } else { At::Data { left } };
            }
            let Some((byte, after)) = rest.split_first() else { break };
            self.at = self.step(*byte)?;
            rest = after;
        }
        Ok(bytes.len() - rest.len())
    }

    /// One byte that is not data.
    fn step(&self, byte: u8) -> Result<At, Refusal> {
        let at = match (&self.at, byte) {
            (
                At::Size { size, digits: digits @ 0..=15 },
                b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F',
            ) => {
                let digit = char::from(byte).to_digit(16).unwrap_or(0);
                At::Size { size: (size << 4) | u64::from(digit), digits: digits + 1 }
            }
            // Chunk extensions are refused: no client of engines sends them.
            (At::Size { size, digits: 1.. }, b'\r') => At::SizeEnd { size: *size },
            (At::SizeEnd { size: 0 }, b'\n') => At::Trailer { length: 0 },
            (At::SizeEnd { size }, b'\n') => At::Data { left: *size },
            (At::DataEnd, b'\r') => At::DataEndLf,
            (At::DataEndLf, b'\n') => At::default(),
            (At::Trailer { length }, b'\r') => At::TrailerLf { length: *length },
            (At::Trailer { length: length @ 0..MAX_LINE }, 0x20..=0x7e | b'\t') => {
                At::Trailer { length: length + 1 }
            }
            (At::TrailerLf { length: 0 }, b'\n') => At::Over,
            (At::TrailerLf { .. }, b'\n') => At::Trailer { length: 0 },
            _ => return Err(Refusal::Malformed("the chunked body is malformed")),
        };
        Ok(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fed in pieces of `step` bytes: how much of it is body, and whether that is over.
    fn fed(body: &[u8], step: usize) -> Result<(usize, bool), Refusal> {
        let mut chunked = Chunked::default();
        let mut passed = 0;
        for piece in body.chunks(step) {
            passed += chunked.pass(piece)?;
        }
        Ok((passed, chunked.is_over()))
    }

    #[test]
    fn ends_where_the_body_ends_however_it_is_cut() {
        for body in [
            "0\r\n\r\n",
            "5\r\nhello\r\n0\r\n\r\n",
            "00A\r\n0\r\n\r\nPRI *\r\n1\r\n\n\r\n0\r\nX: y\r\nZ: \t\r\n\r\n",
        ] {
            let followed = format!("{body}GET / HTTP/1.1\r\n\r\n");
            for step in 1..=followed.len() {
                assert_eq!(
                    fed(followed.as_bytes(), step),
                    Ok((body.len(), true)),
                    "{body:?} {step}"
                );
            }
            assert_eq!(fed(&body.as_bytes()[..body.len() - 1], 3), Ok((body.len() - 1, false)));
        }
    }

    #[test]
    fn refuses_what_go_could_read_in_another_way() {
        for body in [
            "\r\n",
            "5;a=b\r\nhello\r\n",
            "5 \r\nhello\r\n",
            "0x5\r\nhello\r\n",
            "-5\r\n",
            "5\nhello\r\n",
            "5\r\nhello0\r\n",
            "5\r\nhello\n0\r\n",
            "00000000000000005\r\n",
            "0\r\nX: y\n\r\n",
        ] {
            assert!(fed(body.as_bytes(), 1).is_err(), "{body:?}");
            assert!(fed(body.as_bytes(), body.len()).is_err(), "{body:?}");
        }
        let long = format!("0\r\n{}\r\n\r\n", "x".repeat(MAX_LINE + 1));
        assert!(fed(long.as_bytes(), 100).is_err());
    }
}
