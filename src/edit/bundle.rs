//! A client bundle, as UCP hands it out: the certificate is taken, the key never.

use std::io::{Cursor, Read};

use serde::Deserialize;
use zip::ZipArchive;
use zip::result::ZipError;

use super::pem::MAX_PEM;

/// Most bytes of a zip file that are read. Bundles have some ten kilobytes.
pub const MAX_ZIP: u64 = 4 * 1024 * 1024;
/// Most files in one. UCP's have some ten for each cluster.
const MAX_FILES: usize = 1000;
/// The one that is wanted.
const CERTIFICATE: &str = "cert.pem";

/// Why nothing was taken out.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// Not a zip file, or a damaged one.
    #[error("it is no zip file that can be read: {0}")]
    Zip(#[from] ZipError),
    /// More than a bundle has.
    #[error("it has more files than a client bundle has ({MAX_FILES})")]
    TooMany,
    /// No certificate.
    #[error("there is no cert.pem in it")]
    NoCertificate,
    /// Two, so that none is the one.
    #[error("there is more than one cert.pem in it, which may be another person's")]
    Several,
    /// More bytes than a certificate has.
    #[error("the cert.pem in it is larger than {MAX_PEM} bytes")]
    TooLarge,
    /// It is encrypted.
    #[error("it is encrypted; unpack it, and give the folder")]
    Encrypted,
    /// The bytes are no text.
    #[error("the cert.pem in it is no text")]
    NotText,
    /// Not what UCP's documents call a DTR bundle.
    #[error("it is not {{\"hostAddress\": …, \"caBundle\": …}}: {0}")]
    NotDtr(serde_json::Error),
}

/// The text of the only `cert.pem` of a zip file, at its top or in a folder there. Nothing
/// else of it is unpacked, and nothing is written.
pub fn certificate_from_zip(bytes: &[u8]) -> Result<String, BundleError> {
    let mut archive = ZipArchive::new(Cursor::new(bytes))?;
    if archive.len() > MAX_FILES {
        return Err(BundleError::TooMany);
    }
    let mut found = None;
    for index in 0..archive.len() {
        let file = archive.by_index_raw(index)?;
        let name = String::from_utf8_lossy(file.name_raw()).into_owned();
        let mut parts = name.split('/');
        let (depth, last) = (parts.clone().count(), parts.next_back());
        if depth > 2 || last != Some(CERTIFICATE) {
            continue;
        }
        if file.encrypted() {
            return Err(BundleError::Encrypted);
        }
        // The one at the top is the person's; UCP's have none besides.
        match found {
            Some(_) => return Err(BundleError::Several),
            None => found = Some(index),
        }
    }
    let file = archive.by_index(found.ok_or(BundleError::NoCertificate)?)?;
    let mut bytes = Vec::new();
    // Whatever sizes it claims, so much is unpacked and no more.
    file.take(MAX_PEM + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| BundleError::Zip(ZipError::Io(error)))?;
    if bytes.len() as u64 > MAX_PEM {
        return Err(BundleError::TooLarge);
    }
    String::from_utf8(bytes).map_err(|_| BundleError::NotText)
}

/// Host and CA of a `dtr-bundle.json`, as UCP's documents have people make one.
pub fn dtr_bundle(text: &str) -> Result<(String, String), BundleError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    struct Bundle {
        host_address: String,
        ca_bundle: String,
    }
    let bundle: Bundle = serde_json::from_str(text).map_err(BundleError::NotDtr)?;
    // Images of a registry at 443 are named without it.
    let host = bundle.host_address.trim_start_matches("https://").trim_end_matches('/');
    let host = host.strip_suffix(":443").unwrap_or(host).to_owned();
    Ok((host, bundle.ca_bundle))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    use super::*;

    fn zip(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, bytes) in files {
            writer.start_file(*name, SimpleFileOptions::default()).unwrap();
            writer.write_all(bytes).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    #[test]
    fn takes_the_certificate_and_nothing_else() {
        let large = vec![b'x'; usize::try_from(MAX_PEM).unwrap() + 1];
        let many: Vec<(String, &[u8])> =
            (0..=MAX_FILES).map(|number| (number.to_string(), &b""[..])).collect();
        let many: Vec<_> = many.iter().map(|(name, bytes)| (name.as_str(), *bytes)).collect();
        for (files, expected) in [
            (&[("ca.pem", &b"ca"[..]), ("key.pem", b"k"), ("cert.pem", b"c")][..], Ok("c")),
            (&[("ucp-bundle-al/cert.pem", b"c"), ("ucp-bundle-al/key.pem", b"k")], Ok("c")),
            (&[("tls/docker/cert.pem", b"deep")], Err("no cert.pem")),
            (&[("mycert.pem", b"c"), ("cert.pem.bak", b"c")], Err("no cert.pem")),
            (&[("a/cert.pem", b"a"), ("b/cert.pem", b"b")], Err("more than one")),
            (&[("cert.pem", &large)], Err("larger than")),
            (&[("cert.pem", b"\xff")], Err("no text")),
            (&many, Err("more files")),
            (&[], Err("no cert.pem")),
        ] {
            let taken = certificate_from_zip(&zip(files)).map_err(|error| error.to_string());
            match expected {
                Ok(text) => assert_eq!(taken.as_deref(), Ok(text)),
                Err(part) => assert!(taken.as_ref().unwrap_err().contains(part), "{taken:?}"),
            }
        }
    }

    #[test]
    fn damage_is_told_and_harms_nobody() {
        let whole = zip(&[("cert.pem", b"certificate"), ("key.pem", b"k")]);
        assert!(certificate_from_zip(b"").is_err());
        assert!(certificate_from_zip(b"-----BEGIN CERTIFICATE-----").is_err());
        for at in 0..whole.len() {
            let _ = certificate_from_zip(&whole[..at]);
            let mut bent = whole.clone();
            bent[at] ^= 0xff;
            let _ = certificate_from_zip(&bent);
        }
    }

    #[test]
    fn a_dtr_bundle_is_host_and_ca() {
        for (written, host) in [
            ("dtr.example.com", "dtr.example.com"),
            ("dtr.example.com:443", "dtr.example.com"),
            ("https://dtr.example.com:4443/", "dtr.example.com:4443"),
        ] {
            let text = format!(r#"{{"hostAddress":"{written}","caBundle":"PEM"}}"#);
            assert_eq!(dtr_bundle(&text).unwrap(), (host.to_owned(), "PEM".to_owned()));
        }
        for text in
            ["", "[]", r#"{"hostAddress":"h"}"#, r#"{"hostAddress":"h","caBundle":"","x":1}"#]
        {
            assert!(dtr_bundle(text).is_err(), "{text}");
        }
    }
}
