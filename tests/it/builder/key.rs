//! Keys that sign, and the forms in which trust data lists them.

use std::collections::BTreeMap;
use std::fs;
use std::sync::{Arc, LazyLock, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, PublicKeyData as _, date_time_ymd,
};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RSA_PKCS1_SHA256,
    RSA_PSS_SHA256, RsaEncoding, RsaKeyPair,
};
use serde_json::{Value, json};

use super::GUN;
use super::json::{hex, sha256};
use crate::repositories::data;

/// A private key with one public form of it. A clone, and every other form made of it,
/// has the same private key.
#[derive(Clone)]
pub struct Key {
    pub keytype: &'static str,
    /// What `keyval.public` holds in base64: SPKI, PEM or raw bytes.
    pub public: Vec<u8>,
    pair: Arc<KeyPair>,
    secret: Secret,
}

#[derive(Clone)]
enum Secret {
    Ecdsa(Arc<EcdsaKeyPair>),
    Ed25519(Arc<Ed25519KeyPair>),
    Rsa(Arc<RsaKeyPair>, &'static str),
}

impl Key {
    /// A new P-256 key, as generated keys of roles are.
    pub fn ecdsa() -> Self {
        Self::p256(KeyPair::generate().unwrap())
    }

    fn p256(pair: KeyPair) -> Self {
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let secret =
            EcdsaKeyPair::from_pkcs8(algorithm, pair.serialized_der(), &SystemRandom::new());
        let secret = Secret::Ecdsa(Arc::new(secret.unwrap()));
        Self {
            keytype: "ecdsa",
            public: pair.subject_public_key_info(),
            pair: Arc::new(pair),
            secret,
        }
    }

    /// A new Ed25519 key.
    pub fn ed25519() -> Self {
        let pair = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        let secret = Ed25519KeyPair::from_pkcs8_maybe_unchecked(pair.serialized_der()).unwrap();
        let (public, secret) = (pair.public_key_raw().to_vec(), Secret::Ed25519(Arc::new(secret)));
        Self { keytype: "ed25519", public, pair: Arc::new(pair), secret }
    }

    /// The one RSA key there is; `method` is how it signs.
    pub fn rsa(method: &'static str) -> Self {
        let pair = KeyPair::from_pem(&stored("rsa2048.key.pem")).unwrap();
        let secret = RsaKeyPair::from_pkcs8(pair.serialized_der()).unwrap();
        let (public, secret) =
            (pair.subject_public_key_info(), Secret::Rsa(Arc::new(secret), method));
        Self { keytype: "rsa", public, pair: Arc::new(pair), secret }
    }

    /// The one P-256 key that has a certificate signed with SHA-1.
    pub fn sha1_certified() -> Self {
        let key = Self::p256(KeyPair::from_pem(&stored("p256.key.pem")).unwrap());
        key.with_pem(&stored("p256-sha1.cert.pem"))
    }

    /// The same key in a self-signed certificate.
    pub fn certified(&self, params: &CertificateParams) -> Self {
        self.with_pem(&params.self_signed(&*self.pair).unwrap().pem())
    }

    /// The same key in a certificate of `ca`, followed by `chain`.
    pub fn issued(&self, params: &CertificateParams, ca: &Authority, chain: &str) -> Self {
        let certificate = params.signed_by(&*self.pair, &ca.issuer).unwrap();
        self.with_pem(&(certificate.pem() + chain))
    }

    /// The same key as this certificate text, whatever is in it.
    pub fn with_pem(&self, pem: &str) -> Self {
        let keytype = match self.secret {
            Secret::Rsa(..) => "rsa-x509",
            Secret::Ecdsa(_) | Secret::Ed25519(_) => "ecdsa-x509",
        };
        // Go writes PEM with bare line feeds.
        Self { keytype, public: pem.replace('\r', "").into_bytes(), ..self.clone() }
    }

    /// The same key without a certificate.
    pub fn bare(&self) -> Self {
        let (keytype, public) = match self.secret {
            Secret::Rsa(..) => ("rsa", self.pair.subject_public_key_info()),
            Secret::Ecdsa(_) => ("ecdsa", self.pair.subject_public_key_info()),
            Secret::Ed25519(_) => ("ed25519", self.pair.public_key_raw().to_vec()),
        };
        Self { keytype, public, ..self.clone() }
    }

    /// The same key under another type.
    pub fn listed_as(self, keytype: &'static str) -> Self {
        Self { keytype, ..self }
    }

    /// Its certificate text.
    pub fn pem(&self) -> String {
        String::from_utf8(self.public.clone()).unwrap()
    }

    /// The TUF key ID: the hash of the key as listed.
    pub fn id(&self) -> String {
        let public = BASE64.encode(&self.public);
        let text = format!(
            r#"{{"keytype":"{}","keyval":{{"private":null,"public":"{public}"}}}}"#,
            self.keytype
        );
        hex(&sha256(text.as_bytes()))
    }

    /// The canonical key ID, which names the private key whatever its form.
    pub fn canonical_id(&self) -> String {
        self.bare().id()
    }

    /// The key as a `keys` member lists it.
    pub fn listed(&self) -> Value {
        let public = BASE64.encode(&self.public);
        json!({"keytype": self.keytype, "keyval": {"private": null, "public": public}})
    }

    /// A signature on `payload`, as a `signatures` element.
    pub fn sign(&self, payload: &[u8]) -> String {
        let random = SystemRandom::new();
        let (method, signature) = match &self.secret {
            Secret::Ecdsa(pair) => {
                ("ecdsa", pair.sign(&random, payload).unwrap().as_ref().to_vec())
            }
            Secret::Ed25519(pair) => ("eddsa", pair.sign(payload).as_ref().to_vec()),
            Secret::Rsa(pair, method) => {
                let padding: &'static dyn RsaEncoding =
                    if *method == "rsapss" { &RSA_PSS_SHA256 } else { &RSA_PKCS1_SHA256 };
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(padding, &random, payload, &mut signature).unwrap();
                (*method, signature)
            }
        };
        let (id, signature) = (self.id(), BASE64.encode(signature));
        format!(r#"{{"keyid":"{id}","method":"{method}","sig":"{signature}"}}"#)
    }
}

/// A certificate authority.
pub struct Authority {
    name: String,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let (params, pair) = (Self::params(name), KeyPair::generate().unwrap());
        let issuer = CertifiedIssuer::self_signed(params, pair).unwrap();
        Self { name: name.to_owned(), issuer }
    }

    /// An intermediate CA below this one.
    pub fn below(&self, name: &str) -> Self {
        let (params, pair) = (Self::params(name), KeyPair::generate().unwrap());
        let issuer = CertifiedIssuer::signed_by(params, pair, &self.issuer).unwrap();
        Self { name: name.to_owned(), issuer }
    }

    pub fn pem(&self) -> String {
        self.issuer.as_ref().pem().replace('\r', "")
    }

    /// The certificate the CA had before this one: the same name and key, out of date.
    pub fn expired_pem(&self) -> String {
        let (params, pair) = (expired(Self::params(&self.name)), self.issuer.key());
        params.self_signed(pair).unwrap().pem().replace('\r', "")
    }

    fn params(name: &str) -> CertificateParams {
        let mut params = paper(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.extended_key_usages.clear();
        params
    }
}

/// What Notary writes into a root certificate; the dates hold at [`NOW`](super::NOW).
pub fn paper(common_name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.not_before = date_time_ymd(2026, 11, 1);
    params.not_after = date_time_ymd(2036, 11, 1);
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
    params
}

/// The same, past its last day.
pub fn expired(mut params: CertificateParams) -> CertificateParams {
    params.not_before = date_time_ymd(2024, 1, 1);
    params.not_after = date_time_ymd(2025, 1, 1);
    params
}

/// The same, before its first day.
pub fn not_yet_valid(mut params: CertificateParams) -> CertificateParams {
    params.not_before = date_time_ymd(2027, 1, 1);
    params
}

/// Keys by what they are for and by name.
static NAMED: LazyLock<Mutex<BTreeMap<(&str, String), Key>>> = LazyLock::new(Mutex::default);

fn named(purpose: &'static str, name: &str, make: impl FnOnce() -> Key) -> Key {
    NAMED.lock().unwrap().entry((purpose, name.to_owned())).or_insert_with(make).clone()
}

/// The certified key of a person, the same for the same name.
pub fn person(name: &str) -> Key {
    named("person", name, || Key::ecdsa().certified(&paper(name)))
}

/// The bare key of a base role, the same for the same name.
pub fn role_key(name: &str) -> Key {
    named("role", name, Key::ecdsa)
}

/// A root key for [`GUN`], the same for the same name.
pub fn root_key(name: &str) -> Key {
    named("root", name, || Key::ecdsa().certified(&paper(GUN)))
}

/// The root key of another repository, the same for the same one.
pub fn root_key_of(repository: &str) -> Key {
    named("root of", repository, || Key::ecdsa().certified(&paper(repository)))
}

/// The name of the key with this canonical ID; the ID where it has none.
pub fn name_of(id: &str) -> String {
    let named = NAMED.lock().unwrap();
    let found = named.iter().find(|(_, key)| key.canonical_id() == id);
    found.map_or(id.to_owned(), |((_, name), _)| name.clone())
}

/// A file of `tests/data/keys`.
pub fn stored(name: &str) -> String {
    fs::read_to_string(data().join("keys").join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}
