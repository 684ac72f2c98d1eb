//! A repository in which one file says what the input says, and is truly signed.
//!
//! The verifier reads most of a file only once its signature has been found good, so that
//! bytes alone never come far. Here they do: the input is the `signed` part of one role,
//! and all files around it are made to fit. Its first line names the role; in the rest
//! `{ROLE}` and `{ROLE 512}` stand for the hashes of that role's file, `{key}` and
//! `{public}` for the key that signs all but the root, `{root key}` and `{root public}`
//! for the root's. The roles are those of `seeds/signed`.
//!
//! Whatever a role's holder signs: nothing panics, a good signature is found good, and
//! the role speaks for itself and those below it alone.

#![no_main]

use std::collections::BTreeMap;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use countersign::image::Repository;
use countersign::trust::notary::{Fault, History, Role};
use countersign_fuzz::{Candidates, Facts, update};
use libfuzzer_sys::{Corpus, fuzz_target};
use rcgen::{CertificateParams, DnType, KeyPair};
use ring::digest::{SHA256, SHA512, digest};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair};
use serde_json::{Value, json};

const GUN: &str = "h.io/app";

/// The roles, each after those whose hashes it names, with what they say by themselves.
const ROLES: [(&str, &str); 7] = [
    ("targets/a/b", include_str!("seeds/signed/b.json")),
    ("targets/a", include_str!("seeds/signed/a.json")),
    ("targets/releases", include_str!("seeds/signed/releases.json")),
    ("targets", include_str!("seeds/signed/targets.json")),
    ("root", include_str!("seeds/signed/root.json")),
    ("snapshot", include_str!("seeds/signed/snapshot.json")),
    ("timestamp", include_str!("seeds/signed/timestamp.json")),
];

type Files = BTreeMap<&'static str, Vec<u8>>;

static SIGNER: LazyLock<Signer> = LazyLock::new(Signer::new);
/// The repository as it is, and what it says.
static GENUINE: LazyLock<(Files, Facts)> = LazyLock::new(|| {
    let files = SIGNER.repository("", "").expect("the templates are JSON");
    let facts = facts(&files, &History::default(), "").expect("a good repository");
    assert!(facts.claims.len() == 4 && facts.released.len() == 2, "{facts:?}");
    (files, facts)
});

fuzz_target!(|input: &[u8]| -> Corpus { run(input).map_or(Corpus::Reject, |()| Corpus::Keep) });

fn run(input: &[u8]) -> Option<()> {
    let (role, said) = std::str::from_utf8(input).ok()?.split_once('\n')?;
    let (role, _) = ROLES.iter().find(|(name, _)| *name == role)?;
    let (genuine, truth) = &*GENUINE;
    let files = SIGNER.repository(role, said)?;

    let known = History { root: genuine.get("root").cloned(), ..History::default() };
    for history in [History::default(), known] {
        match facts(&files, &history, said) {
            // Only who holds the root or targets key says who else may sign.
            Err(Fault::Threshold { role: refused, .. }) if !matches!(*role, "root" | "targets") => {
                panic!("the signature of {refused} is good");
            }
            Err(_) => {}
            Ok(facts) => check(role, &facts, truth),
        }
    }
    Some(())
}

/// Whether `facts` differ from `truth` only in what `role` may say.
fn check(role: &str, facts: &Facts, truth: &Facts) {
    for claim @ (by, tag, _) in facts.claims.difference(&truth.claims) {
        assert!(by == role || by.starts_with(&format!("{role}/")), "{role} made up {claim:?}");
        let fits = match by.as_str() {
            "targets/a" => tag.starts_with("web-") || tag.starts_with("db-"),
            "targets/a/b" => tag.starts_with("web-"),
            _ => true,
        };
        assert!(fits || role == "targets", "{by} has no say on {tag:?}");
    }
    if matches!(role, "targets/a" | "targets/a/b" | "timestamp" | "root") {
        assert_eq!(facts.released, truth.released, "{role} releases nothing");
    }
}

/// What the repository says.
fn facts(files: &Files, history: &History, said: &str) -> Result<Facts, Fault> {
    let gun: Repository = GUN.parse().expect("a name");
    let data = update(&gun, history, |wanted| match wanted.role() {
        Role::Root if wanted.to_string().starts_with(|c: char| c.is_ascii_digit()) => None,
        role => files.get(role.as_str()).cloned(),
    })?;
    let mut candidates = Candidates::default();
    candidates.add(said.as_bytes());
    candidates.add_all(files.values());
    Ok(Facts::of(&data, &candidates))
}

/// Holds the keys of all roles.
struct Signer {
    root: EcdsaKeyPair,
    random: SystemRandom,
    key: Ed25519KeyPair,
    /// What the placeholders of keys stand for.
    words: BTreeMap<String, String>,
}

impl Signer {
    fn new() -> Self {
        let random = SystemRandom::new();
        let root = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.distinguished_name.push(DnType::CommonName, GUN);
        let certificate = params.self_signed(&root).expect("a certificate").pem();
        let root = EcdsaKeyPair::from_pkcs8(
            &ECDSA_P256_SHA256_FIXED_SIGNING,
            &root.serialize_der(),
            &random,
        );
        let key = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).expect("a key");
        let public = BASE64.encode(ring::signature::KeyPair::public_key(&key));
        let root_public = BASE64.encode(certificate);
        let words = [
            ("{key}", key_id("ed25519", &public)),
            ("{public}", public),
            ("{root key}", key_id("ecdsa-x509", &root_public)),
            ("{root public}", root_public),
        ];
        let words = words.map(|(word, text)| (word.to_owned(), text)).into();
        Self { root: root.expect("a key"), random, key, words }
    }

    /// All files, with `role` saying `said`. `None`: not JSON.
    fn repository(&self, role: &str, said: &str) -> Option<Files> {
        let mut words = self.words.clone();
        let mut files = Files::new();
        for (name, template) in ROLES {
            let mut text = if name == role { said } else { template }.to_owned();
            for (word, stands_for) in &words {
                text = text.replace(word, stands_for);
            }
            let file = self.sign(name, &serde_json::from_str(&text).ok()?, &text);
            let hash = |algorithm| BASE64.encode(digest(algorithm, &file));
            words.insert(format!("{{{name}}}"), hash(&SHA256));
            words.insert(format!("{{{name} 512}}"), hash(&SHA512));
            files.insert(name, file);
        }
        Some(files)
    }

    fn sign(&self, role: &str, signed: &Value, text: &str) -> Vec<u8> {
        let mut payload = Vec::new();
        canonical(signed, &mut payload);
        let (key, method, signature) = if role == "root" {
            let signature = self.root.sign(&self.random, &payload).expect("randomness");
            ("{root key}", "ecdsa", BASE64.encode(signature))
        } else {
            ("{key}", "eddsa", BASE64.encode(self.key.sign(&payload)))
        };
        let key = &self.words[key];
        let signatures = json!([{ "keyid": key, "method": method, "sig": signature }]);
        format!(r#"{{"signed":{text},"signatures":{signatures}}}"#).into_bytes()
    }
}

fn key_id(keytype: &str, public: &str) -> String {
    let key =
        format!(r#"{{"keytype":"{keytype}","keyval":{{"private":null,"public":"{public}"}}}}"#);
    digest(&SHA256, key.as_bytes())
        .as_ref()
        .iter()
        .fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}

/// Docker's canonical JSON once more, written without a look at the plugin's.
fn canonical(value: &Value, out: &mut Vec<u8>) {
    let string = |text: &str, out: &mut Vec<u8>| {
        out.push(b'"');
        for byte in text.bytes() {
            if matches!(byte, b'"' | b'\\') {
                out.push(b'\\');
            }
            out.push(byte);
        }
        out.push(b'"');
    };
    match value {
        Value::String(text) => string(text, out),
        // As Go: by way of a float. What is no integer is refused, whoever signed it.
        #[expect(clippy::cast_possible_truncation, reason = "Go does the same")]
        Value::Number(number) => {
            out.extend((number.as_f64().unwrap_or_default() as i64).to_string().bytes());
        }
        Value::Array(elements) => {
            out.push(b'[');
            for (at, element) in elements.iter().enumerate() {
                out.extend((at > 0).then_some(b','));
                canonical(element, out);
            }
            out.push(b']');
        }
        Value::Object(members) => {
            out.push(b'{');
            // serde_json sorts them by their bytes.
            for (at, (name, member)) in members.iter().enumerate() {
                out.extend((at > 0).then_some(b','));
                string(name, out);
                out.push(b':');
                canonical(member, out);
            }
            out.push(b'}');
        }
        other => out.extend(other.to_string().bytes()),
    }
}
