//! A record as one line of JSON.

use std::io;

use serde::Serialize;
use serde_json::ser::Formatter;

/// A value as JSON in one line of plain ASCII, with its line end.
///
/// Names come from callers and registries. Whatever is not printable ASCII is written as
/// `\uXXXX`, so that no name can draw on a terminal, turn text around or end a line, and
/// every reader of JSON gets back exactly what was there.
pub(super) fn line(value: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(1024);
    value.serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, Ascii))?;
    bytes.push(b'\n');
    Ok(bytes)
}

struct Ascii;

impl Formatter for Ascii {
    fn write_string_fragment<W>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()>
    where
        W: ?Sized + io::Write,
    {
        let mut plain = fragment;
        while let Some(at) = plain.find(|c: char| !c.is_ascii() || c == '\x7f') {
            let (before, rest) = plain.split_at(at);
            writer.write_all(before.as_bytes())?;
            let mut rest = rest.chars();
            for unit in rest.next().into_iter().flat_map(|c| {
                let mut units = [0; 2];
                let count = c.encode_utf16(&mut units).len();
                units.into_iter().take(count)
            }) {
                write!(writer, "\\u{unit:04x}")?;
            }
            plain = rest.as_str();
        }
        writer.write_all(plain.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_what_was_there_and_nothing_draws_on_a_terminal() {
        for text in [
            "plain",
            "",
            "\u{1b}[2J\r\n\0\x7f",
            "\u{202e}desrever \u{2028}\u{2029}",
            "é € 𝄞 \u{85}\u{9b}31m",
            r#"quotes " and \ back"#,
        ] {
            let line = line(&text).unwrap();
            assert_eq!(line.iter().position(|b| *b == b'\n'), Some(line.len() - 1), "{text:?}");
            assert!(line.iter().all(|b| (0x20..0x7f).contains(b) || *b == b'\n'), "{text:?}");
            assert_eq!(serde_json::from_slice::<String>(&line).unwrap(), text);
        }
    }
}
