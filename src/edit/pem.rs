//! PEM: what is taken out of a text, and what never is.

/// Most bytes of a PEM file that are read.
pub const MAX_PEM: u64 = 256 * 1024;

const BEGIN: &str = "-----BEGIN ";
const DASHES: &str = "-----";
/// Blocks that are no secret and tell who somebody is.
const WANTED: [&str; 2] = ["CERTIFICATE", "PUBLIC KEY"];

/// Why nothing could be taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PemError {
    /// Nothing of use is in it.
    #[error("there is no certificate in it (-----BEGIN CERTIFICATE-----)")]
    Nothing,
    /// A block has no end.
    #[error("a {0} in it has no end: the file is cut off")]
    CutOff(&'static str),
}

/// The certificates of a text, or its public keys where it has none; nothing else of it,
/// private keys least of all. What stands in the blocks is the policy's reader's to judge.
pub fn certificates(text: &str) -> Result<String, PemError> {
    for kind in WANTED {
        let found = blocks(text, kind)?;
        if !found.is_empty() {
            return Ok(found);
        }
    }
    Err(PemError::Nothing)
}

/// Whether somebody's private key stands in a text.
pub fn holds_private_key(text: &str) -> bool {
    text.split(BEGIN).skip(1).any(|rest| {
        let label = rest.split(DASHES).next().unwrap_or_default();
        label.ends_with("PRIVATE KEY")
    })
}

fn blocks(text: &str, kind: &'static str) -> Result<String, PemError> {
    let (begin, end) = (format!("{BEGIN}{kind}{DASHES}"), format!("-----END {kind}{DASHES}"));
    let mut found = String::new();
    let mut rest = text;
    while let Some((_, inner)) = rest.split_once(&begin) {
        let (body, after) = inner.split_once(&end).ok_or(PemError::CutOff(kind))?;
        // A block in a block: a certificate's text has no dashes.
        if body.contains(DASHES) {
            return Err(PemError::CutOff(kind));
        }
        found.push_str(&begin);
        found.extend(body.lines().map(str::trim_end).flat_map(|line| [line, "\n"]));
        if !body.ends_with('\n') {
            found.push('\n');
        }
        found.push_str(&end);
        found.push('\n');
        rest = after;
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    const KEY: &str = "-----BEGIN EC PRIVATE KEY-----\nc2VjcmV0\n-----END EC PRIVATE KEY-----\n";
    const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\nBBBB\n-----END PUBLIC KEY-----\n";

    #[test]
    fn takes_certificates_and_never_a_key() {
        let crlf = CERTIFICATE.replace('\n', "\r\n");
        for (text, expected) in [
            (CERTIFICATE.to_owned(), Ok(CERTIFICATE.to_owned())),
            (crlf, Ok(CERTIFICATE.to_owned())),
            (format!("{KEY}{CERTIFICATE}{KEY}"), Ok(CERTIFICATE.to_owned())),
            (format!("x\n{CERTIFICATE}y\n{CERTIFICATE}"), Ok(CERTIFICATE.repeat(2))),
            (format!("{PUBLIC}{CERTIFICATE}"), Ok(CERTIFICATE.to_owned())),
            (PUBLIC.to_owned(), Ok(PUBLIC.to_owned())),
            (KEY.to_owned(), Err(PemError::Nothing)),
            (String::new(), Err(PemError::Nothing)),
            (CERTIFICATE.replace("-----END", ""), Err(PemError::CutOff("CERTIFICATE"))),
            (
                format!("-----BEGIN CERTIFICATE-----\n{KEY}-----END CERTIFICATE-----\n"),
                Err(PemError::CutOff("CERTIFICATE")),
            ),
        ] {
            assert_eq!(certificates(&text), expected, "{text}");
            assert!(!certificates(&text).unwrap_or_default().contains("c2VjcmV0"), "{text}");
        }
    }

    #[test]
    fn knows_a_private_key_when_it_sees_one() {
        let kinds = ["PRIVATE KEY", "RSA PRIVATE KEY", "ENCRYPTED PRIVATE KEY"];
        for kind in kinds {
            assert!(holds_private_key(&format!("a\n-----BEGIN {kind}-----\n")), "{kind}");
        }
        assert!(holds_private_key(KEY) && !holds_private_key(CERTIFICATE));
        assert!(!holds_private_key(PUBLIC));
    }
}
