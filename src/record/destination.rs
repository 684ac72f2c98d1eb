//! Where records are to go.

use std::path::PathBuf;
use std::str::FromStr;

/// What `--record` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// The journal, where standard error goes there too; else nowhere.
    Auto,
    /// The journal.
    Journal,
    /// Standard output, a JSON object a line.
    Stdout,
    /// A file, a JSON object a line.
    File(PathBuf),
    /// Nowhere.
    Nowhere,
}

impl FromStr for Destination {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "journal" => Ok(Self::Journal),
            "-" => Ok(Self::Stdout),
            "none" => Ok(Self::Nowhere),
            // A word that was mistyped is no file to be made.
            path if path.contains('/') && !path.ends_with('/') => Ok(Self::File(path.into())),
            _ => Err("say auto, journal, none, - (standard output), or a file's path with a \
                      slash in it"
                .to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_word_is_no_file() {
        for (text, read) in [
            ("auto", Some(Destination::Auto)),
            ("journal", Some(Destination::Journal)),
            ("-", Some(Destination::Stdout)),
            ("none", Some(Destination::Nowhere)),
            ("/var/log/x", Some(Destination::File("/var/log/x".into()))),
            ("./x", Some(Destination::File("./x".into()))),
            ("journald", None),
            ("x", None),
            ("/var/log/", None),
            ("", None),
        ] {
            assert_eq!(text.parse().ok(), read, "{text}");
        }
    }
}
