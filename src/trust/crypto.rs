//! Signatures and hashes. The only file that imports `ring`: another library, or a
//! FIPS build, is a change to this file.

use ring::digest;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA384_ASN1,
    ECDSA_P384_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ED25519, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256,
    UnparsedPublicKey, VerificationAlgorithm,
};

/// SHA-256 of `bytes`.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    hash(&digest::SHA256, bytes)
}

/// SHA-512 of `bytes`.
pub fn sha512(bytes: &[u8]) -> [u8; 64] {
    hash(&digest::SHA512, bytes)
}

fn hash<const N: usize>(algorithm: &'static digest::Algorithm, bytes: &[u8]) -> [u8; N] {
    let mut out = [0; N];
    // The lengths are equal by construction; zip cannot panic where they were not.
    for (slot, byte) in out.iter_mut().zip(digest::digest(algorithm, bytes).as_ref()) {
        *slot = *byte;
    }
    out
}

/// A public key of a kind that can be verified here, in the form `ring` takes.
#[derive(Clone, PartialEq, Eq)]
pub enum PublicKey {
    /// NIST P-256, the uncompressed point.
    P256(Vec<u8>),
    /// NIST P-384, the uncompressed point.
    P384(Vec<u8>),
    /// RSA, DER `RSAPublicKey`.
    Rsa(Vec<u8>),
    /// Ed25519, 32 bytes.
    Ed25519(Vec<u8>),
}

/// A Notary v1 signature method (`data.SigAlgorithm`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// `ecdsa`: SHA-256 on every curve; r and s side by side, each padded to the
    /// curve's size.
    Ecdsa,
    /// `rsapss`: SHA-256, MGF1 with SHA-256, a salt of exactly 32 bytes.
    RsaPss,
    /// `rsapkcs1v15`: SHA-256. Read, never written by Notary.
    RsaPkcs1,
    /// `eddsa`: pure Ed25519.
    Eddsa,
}

/// Whether `signature` over `message` is `key`'s, by a Notary v1 method. A method that
/// does not fit the key is `false`.
pub fn verify(key: &PublicKey, method: Method, message: &[u8], signature: &[u8]) -> bool {
    match (key, method) {
        (PublicKey::P256(point), Method::Ecdsa) => {
            check(&ECDSA_P256_SHA256_FIXED, point, message, signature)
        }
        (PublicKey::P384(point), Method::Ecdsa) => ecdsa_der(signature, 48)
            .is_some_and(|der| check(&ECDSA_P384_SHA256_ASN1, point, message, &der)),
        (PublicKey::Rsa(key), Method::RsaPss) => {
            check(&RSA_PSS_2048_8192_SHA256, key, message, signature)
        }
        (PublicKey::Rsa(key), Method::RsaPkcs1) => {
            check(&RSA_PKCS1_2048_8192_SHA256, key, message, signature)
        }
        (PublicKey::Ed25519(key), Method::Eddsa) => check(&ED25519, key, message, signature),
        _ => false,
    }
}

/// The hash of an X.509 signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateHash {
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
    /// None of its own: Ed25519.
    Intrinsic,
}

/// Whether `signature` over `message` is `key`'s, by the X.509 form of its algorithm
/// (PKCS#1 v1.5 for RSA, ASN.1 for ECDSA).
pub fn verify_certificate(
    key: &PublicKey,
    hash: CertificateHash,
    message: &[u8],
    signature: &[u8],
) -> bool {
    use CertificateHash::{Intrinsic, Sha256, Sha384, Sha512};
    let (algorithm, key): (&dyn VerificationAlgorithm, _) = match (key, hash) {
        (PublicKey::P256(point), Sha256) => (&ECDSA_P256_SHA256_ASN1, point),
        (PublicKey::P256(point), Sha384) => (&ECDSA_P256_SHA384_ASN1, point),
        (PublicKey::P384(point), Sha256) => (&ECDSA_P384_SHA256_ASN1, point),
        (PublicKey::P384(point), Sha384) => (&ECDSA_P384_SHA384_ASN1, point),
        (PublicKey::Rsa(key), Sha256) => (&RSA_PKCS1_2048_8192_SHA256, key),
        (PublicKey::Rsa(key), Sha384) => (&RSA_PKCS1_2048_8192_SHA384, key),
        (PublicKey::Rsa(key), Sha512) => (&RSA_PKCS1_2048_8192_SHA512, key),
        (PublicKey::Ed25519(key), Intrinsic) => (&ED25519, key),
        _ => return false,
    };
    UnparsedPublicKey::new(algorithm, key).verify(message, signature).is_ok()
}

fn check<A: VerificationAlgorithm>(
    algorithm: &'static A,
    key: &[u8],
    message: &[u8],
    signature: &[u8],
) -> bool {
    UnparsedPublicKey::new(algorithm, key).verify(message, signature).is_ok()
}

/// Rewrites r and s, `size` bytes each, as the ASN.1 `SEQUENCE { INTEGER r, INTEGER s }`:
/// P-384 with SHA-256 exists in `ring` in that form only.
fn ecdsa_der(raw: &[u8], size: usize) -> Option<Vec<u8>> {
    if raw.len() != 2 * size {
        return None;
    }
    let mut body = Vec::with_capacity(2 * size + 6);
    for number in raw.chunks_exact(size) {
        let leading = number.iter().take_while(|byte| **byte == 0).count();
        let digits = number.get(leading..).filter(|digits| !digits.is_empty())?;
        let pad = digits.first().is_some_and(|byte| *byte >= 0x80);
        body.push(0x02);
        // At most 49 bytes, so the short form of DER lengths serves.
        body.push(u8::try_from(digits.len() + usize::from(pad)).ok()?);
        if pad {
            body.push(0);
        }
        body.extend_from_slice(digits);
    }
    let mut der = vec![0x30, u8::try_from(body.len()).ok().filter(|length| *length < 0x80)?];
    der.append(&mut body);
    Some(der)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes() {
        assert_eq!(sha256(b"")[..4], [0xe3, 0xb0, 0xc4, 0x42]);
        assert_eq!(sha512(b"")[..4], [0xcf, 0x83, 0xe1, 0x35]);
    }

    #[test]
    fn rewrites_fixed_signatures_as_der() {
        let mut raw = vec![0; 96];
        raw[47] = 1;
        raw[48] = 0x80;
        let der = ecdsa_der(&raw, 48).unwrap();
        assert_eq!(der[..5], [0x30, 54, 0x02, 1, 1]);
        assert_eq!(der[5..9], [0x02, 49, 0, 0x80]);
    }

    #[test]
    fn refuses_fixed_signatures_of_other_shapes() {
        assert_eq!(ecdsa_der(&[1; 95], 48), None);
        assert_eq!(ecdsa_der(&[1; 97], 48), None);
        assert_eq!(ecdsa_der(&[0; 96], 48), None, "r and s are not zero");
    }
}
