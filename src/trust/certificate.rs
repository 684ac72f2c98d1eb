//! X.509 certificates and bare public keys. The only file that imports `x509-parser`
//! and `webpki`.
//!
//! Notary uses certificates as containers for keys: whose they are is decided by the
//! policy (by the key, or by the CA that issued the certificate), never by Notary.

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use jiff::Timestamp;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, UnixTime};
use x509_parser::der_parser::oid;
use x509_parser::der_parser::oid::Oid;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::public_key::PublicKey as Parsed;
use x509_parser::x509::SubjectPublicKeyInfo;

use super::KeyId;
use super::crypto::{self, CertificateHash, PublicKey, sha256};

/// Most certificates read from one PEM text. A key bundle holds a leaf and a chain.
pub const MAX_BUNDLE: usize = 16;
/// Largest PEM text read, in bytes.
const MAX_PEM: usize = 256 * 1024;
/// Shortest RSA modulus accepted, in bits (`notary` 0.7, `minRSABitSize`).
const MIN_RSA_BITS: usize = 2048;

/// A public key as a DER `SubjectPublicKeyInfo`, with the ID Notary gives it.
#[derive(Clone, PartialEq, Eq)]
pub struct SpkiKey {
    /// The canonical key ID.
    pub id: KeyId,
    /// The kind of key, as Notary names it: `ecdsa`, `rsa`, or another algorithm.
    pub algorithm: KeyAlgorithm,
    /// The key, where it is of a kind that can be verified.
    pub public: Option<PublicKey>,
    /// The length of an RSA modulus in bits, else 0.
    pub rsa_bits: usize,
}

/// The algorithm of a public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyAlgorithm {
    /// ECDSA on any curve.
    Ecdsa,
    /// Ed25519.
    Ed25519,
    /// RSA.
    Rsa,
    /// Anything else.
    Other,
}

impl SpkiKey {
    /// Reads a DER `SubjectPublicKeyInfo`; nothing may follow it.
    pub fn from_der(der: &[u8]) -> Result<Self, CertificateError> {
        match SubjectPublicKeyInfo::from_der(der) {
            Ok(([], spki)) => Ok(Self::from_parsed(&spki)),
            _ => Err(CertificateError::Key),
        }
    }

    fn from_parsed(spki: &SubjectPublicKeyInfo<'_>) -> Self {
        let bits = spki.subject_public_key.data.to_vec();
        let oid = &spki.algorithm.algorithm;
        let (algorithm, public) = if *oid == oid!(1.2.840.10045.2.1) {
            (KeyAlgorithm::Ecdsa, ec_key(spki, bits))
        } else if *oid == oid!(1.2.840.113549.1.1.1) {
            (KeyAlgorithm::Rsa, Some(PublicKey::Rsa(bits)))
        } else if *oid == oid!(1.3.101.112) {
            (KeyAlgorithm::Ed25519, Some(PublicKey::Ed25519(bits)))
        } else {
            (KeyAlgorithm::Other, None)
        };
        let rsa_bits = match spki.parsed() {
            Ok(Parsed::RSA(key)) => key.key_size(),
            _ => 0,
        };
        let id = match (algorithm, &public) {
            (KeyAlgorithm::Ed25519, Some(PublicKey::Ed25519(raw))) => tuf_id("ed25519", raw),
            (KeyAlgorithm::Ecdsa, _) => tuf_id("ecdsa", spki.raw),
            (KeyAlgorithm::Rsa, _) => tuf_id("rsa", spki.raw),
            _ => tuf_id("unknown", spki.raw),
        };
        Self { id, algorithm, public, rsa_bits }
    }
}

fn ec_key(spki: &SubjectPublicKeyInfo<'_>, point: Vec<u8>) -> Option<PublicKey> {
    let curve = spki.algorithm.parameters.as_ref()?.as_oid().ok()?;
    if curve == oid!(1.2.840.10045.3.1.7) {
        Some(PublicKey::P256(point))
    } else if curve == oid!(1.3.132.0.34) {
        Some(PublicKey::P384(point))
    } else {
        None
    }
}

/// The TUF key ID of a key of Notary type `keytype` whose public bytes are `public`:
/// SHA-256 over the canonical JSON of the key, `private: null` included
/// (`data.NewPublicKey(..).ID()`).
pub(super) fn tuf_id(keytype: &str, public: &[u8]) -> KeyId {
    let public = BASE64.encode(public);
    let json =
        format!(r#"{{"keytype":"{keytype}","keyval":{{"private":null,"public":"{public}"}}}}"#);
    KeyId::from_bytes(sha256(json.as_bytes()))
}

/// A parsed certificate: what Notary and the policy ask of one.
#[derive(Clone)]
pub struct Certificate {
    der: Vec<u8>,
    /// Its public key.
    pub key: SpkiKey,
    /// The subject's common name; the last, where there are several, as Go takes it.
    pub common_name: Option<String>,
    /// When it starts to be valid.
    pub not_before: Timestamp,
    /// When it ceases to be valid.
    pub not_after: Timestamp,
    /// Whether it says that it is a CA.
    pub is_ca: bool,
    /// Whether its own signature uses a broken hash (SHA-1 or MD5).
    pub weak_signature: bool,
}

/// The same where they are so to the byte.
impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        self.der == other.der
    }
}

impl Certificate {
    /// Reads one DER certificate; nothing may follow it.
    pub fn from_der(der: &[u8]) -> Result<Self, CertificateError> {
        let Ok(([], parsed)) = X509Certificate::from_der(der) else {
            return Err(CertificateError::Malformed);
        };
        let time =
            |seconds| Timestamp::from_second(seconds).map_err(|_| CertificateError::Malformed);
        Ok(Self {
            key: SpkiKey::from_parsed(parsed.public_key()),
            common_name: parsed
                .subject()
                .iter_common_name()
                .last()
                .and_then(|name| name.as_str().ok())
                .map(str::to_owned),
            not_before: time(parsed.validity().not_before.timestamp())?,
            not_after: time(parsed.validity().not_after.timestamp())?,
            is_ca: parsed.is_ca(),
            weak_signature: is_weak(&parsed.signature_algorithm.algorithm),
            der: der.to_vec(),
        })
    }

    /// Reads all certificates of a PEM text, in order; other PEM sections are passed over.
    /// Errors where there is none, or more than [`MAX_BUNDLE`].
    pub fn from_pem(pem: &[u8]) -> Result<Vec<Self>, CertificateError> {
        if pem.len() > MAX_PEM {
            return Err(CertificateError::TooMany);
        }
        let mut found = Vec::new();
        for der in CertificateDer::pem_slice_iter(pem) {
            if found.len() == MAX_BUNDLE {
                return Err(CertificateError::TooMany);
            }
            found.push(Self::from_der(&der.map_err(|_| CertificateError::Pem)?)?);
        }
        if found.is_empty() { Err(CertificateError::Pem) } else { Ok(found) }
    }

    /// Whether it is within its dates at `now`.
    pub fn is_current(&self, now: Timestamp) -> bool {
        self.not_before <= now && now <= self.not_after
    }

    /// Why the key should not be relied on whoever holds it, if so: Notary refuses such
    /// certificates in a delegation (`utils.ValidateCertificate`).
    pub fn weakness(&self) -> Option<&'static str> {
        if self.weak_signature {
            Some("its certificate is signed with a broken hash (SHA-1 or MD5)")
        } else if self.key.algorithm == KeyAlgorithm::Rsa && self.key.rsa_bits < MIN_RSA_BITS {
            Some("its RSA modulus is shorter than 2048 bits")
        } else {
            None
        }
    }

    /// Whether `issuer` issued it: the names join, the issuer is a CA, and its key signed
    /// it. Says nothing about dates.
    ///
    /// One step, not a path: a delegation holds only the signer's own certificate, so an
    /// intermediate CA that issues for people has to be named by the policy itself.
    pub fn is_issued_by(&self, issuer: &Self) -> bool {
        let (Ok((_, own)), Ok((_, other))) =
            (X509Certificate::from_der(&self.der), X509Certificate::from_der(&issuer.der))
        else {
            return false;
        };
        let may_sign = match other.key_usage() {
            Ok(usage) => usage.is_none_or(|usage| usage.value.key_cert_sign()),
            Err(_) => false,
        };
        let (Some(key), Some(hash)) =
            (&issuer.key.public, certificate_hash(&own.signature_algorithm.algorithm))
        else {
            return false;
        };
        issuer.is_ca
            && may_sign
            && own.issuer().as_raw() == other.subject().as_raw()
            // The algorithm stands in the signed part too; a difference is forgery.
            && own.signature_algorithm == own.tbs_certificate.signature
            && crypto::verify_certificate(
                key,
                hash,
                own.tbs_certificate.as_ref(),
                &own.signature_value.data,
            )
    }

    /// Whether it chains to one of `anchors` at `now`, over `intermediates`.
    ///
    /// Any extended key usage will do: Notary's own roots say code signing, and the
    /// server authentication that its client asks for is an accident of Go's defaults.
    pub fn chains_to(&self, anchors: &[Self], intermediates: &[Self], now: Timestamp) -> bool {
        let own = CertificateDer::from(self.der.as_slice());
        let Ok(leaf) = webpki::EndEntityCert::try_from(&own) else { return false };
        let ders = |certificates: &[Self]| -> Vec<CertificateDer<'static>> {
            certificates.iter().map(|one| CertificateDer::from(one.der.clone())).collect()
        };
        let (anchors, intermediates) = (ders(anchors), ders(intermediates));
        let anchors: Vec<_> =
            anchors.iter().filter_map(|der| webpki::anchor_from_trusted_cert(der).ok()).collect();
        let seconds = u64::try_from(now.as_second()).unwrap_or(0);
        leaf.verify_for_usage(
            webpki::ALL_VERIFICATION_ALGS,
            &anchors,
            &intermediates,
            UnixTime::since_unix_epoch(Duration::from_secs(seconds)),
            AnyUsage,
            None,
            None,
        )
        .is_ok()
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("common_name", &self.common_name)
            .field("key", &self.key.id)
            .finish_non_exhaustive()
    }
}

/// Why a certificate or key cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// Not a DER public key.
    #[error("not a public key (DER SubjectPublicKeyInfo)")]
    Key,
    /// Not a DER certificate.
    #[error("not an X.509 certificate")]
    Malformed,
    /// No PEM certificate in the text, or a broken one.
    #[error("no readable PEM certificate (-----BEGIN CERTIFICATE-----) in it")]
    Pem,
    /// More certificates than a bundle holds.
    #[error("more than {MAX_BUNDLE} certificates in one bundle")]
    TooMany,
}

struct AnyUsage;

impl webpki::ExtendedKeyUsageValidator for AnyUsage {
    fn validate(&self, _: webpki::KeyPurposeIdIter<'_, '_>) -> Result<(), webpki::Error> {
        Ok(())
    }
}

fn is_weak(algorithm: &Oid<'_>) -> bool {
    [
        oid!(1.2.840.113549.1.1.4), // md5WithRSAEncryption
        oid!(1.2.840.113549.1.1.5), // sha1WithRSAEncryption
        oid!(1.2.840.10045.4.1),    // ecdsa-with-SHA1
        oid!(1.2.840.10040.4.3),    // dsa-with-SHA1
    ]
    .contains(algorithm)
}

fn certificate_hash(algorithm: &Oid<'_>) -> Option<CertificateHash> {
    [
        (oid!(1.2.840.113549.1.1.11), CertificateHash::Sha256),
        (oid!(1.2.840.113549.1.1.12), CertificateHash::Sha384),
        (oid!(1.2.840.113549.1.1.13), CertificateHash::Sha512),
        (oid!(1.2.840.10045.4.3.2), CertificateHash::Sha256),
        (oid!(1.2.840.10045.4.3.3), CertificateHash::Sha384),
        (oid!(1.3.101.112), CertificateHash::Intrinsic),
    ]
    .into_iter()
    .find_map(|(oid, hash)| (oid == *algorithm).then_some(hash))
}
