//! Keys as trust data lists them.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::json::Object;
use crate::trust::certificate::{Certificate, KeyAlgorithm, SpkiKey, tuf_id};
use crate::trust::crypto::PublicKey;
use crate::trust::{KeyId, SigningKey};

/// About how many bytes of memory a key takes, with one certificate.
pub const WEIGHT: usize = 2048;

/// A key of a `keys` member: `{"keytype":T,"keyval":{"private":null,"public":P}}`.
#[derive(Clone)]
pub struct Key {
    /// The ID it is listed under. Not believed until it equals `tuf_id`.
    pub listed_id: KeyId,
    /// The TUF key ID, computed.
    pub tuf_id: KeyId,
    /// The canonical key ID, and the leaf certificate of an `-x509` key.
    pub signing: SigningKey,
    /// The key, where its kind can be verified and fits the type it is listed as.
    pub public: Option<PublicKey>,
    /// The certificates, leaf first, of an `-x509` key.
    pub certificates: Vec<Arc<Certificate>>,
    /// Why it cannot be relied on, if so.
    pub weakness: Option<&'static str>,
}

impl Key {
    /// Reads one key. Keys of a type or content that is not understood are kept, with an
    /// ID but without a public key: they sign nothing. `Err` says what is malformed.
    pub fn read(listed_id: KeyId, key: &Object<'_>) -> Result<Self, String> {
        let keytype = key.get("keytype").and_then(|v| v.as_str()).ok_or("a key has no keytype")?;
        let public = key
            .get("keyval")
            .and_then(|v| v.as_object()?.get("public")?.as_str())
            .ok_or("a key has no keyval.public")?;
        // Anything else would have to be escaped in the text that the ID hashes.
        if !keytype.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\') {
            return Err("a keytype has odd characters".to_owned());
        }
        let bytes = BASE64.decode(public).map_err(|_| "a key is not base64")?;
        let tuf_id = tuf_id(keytype, &bytes);
        let opaque = Self {
            listed_id,
            tuf_id,
            signing: SigningKey { id: tuf_id, certificates: Vec::new() },
            public: None,
            certificates: Vec::new(),
            weakness: None,
        };
        Ok(match keytype {
            "ecdsa" => opaque.with_spki(KeyAlgorithm::Ecdsa, &bytes),
            "rsa" => opaque.with_spki(KeyAlgorithm::Rsa, &bytes),
            "ecdsa-x509" => opaque.with_certificates(KeyAlgorithm::Ecdsa, &bytes),
            "rsa-x509" => opaque.with_certificates(KeyAlgorithm::Rsa, &bytes),
            "ed25519" => Self { public: Some(PublicKey::Ed25519(bytes)), ..opaque },
            _ => opaque,
        })
    }

    fn with_spki(self, algorithm: KeyAlgorithm, der: &[u8]) -> Self {
        match SpkiKey::from_der(der) {
            Ok(key) if key.algorithm == algorithm => Self { public: key.public, ..self },
            _ => self,
        }
    }

    fn with_certificates(mut self, algorithm: KeyAlgorithm, pem: &[u8]) -> Self {
        let Ok(bundle) = Certificate::from_pem(pem) else { return self };
        self.certificates = bundle.into_iter().map(Arc::new).collect();
        if let Some(leaf) = self.certificates.first() {
            self.weakness = leaf.weakness();
            if leaf.key.algorithm == algorithm {
                self.public.clone_from(&leaf.key.public);
                self.signing = SigningKey { id: leaf.key.id, certificates: vec![Arc::clone(leaf)] };
            }
        }
        self
    }
}
