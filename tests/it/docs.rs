//! What `docs/policy.md` says of the policy file, held against what is read.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use countersign::policy::Policy;
use countersign::request::Permission;

type Keys = BTreeMap<String, BTreeSet<String>>;

fn text(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// The keys of each section, as `document.rs` reads them: its structs name their section in
/// their first line, in backquotes.
fn read() -> Keys {
    let source = text("src/policy/document.rs");
    let mut keys = Keys::new();
    let (mut section, mut doc) = (None, None);
    for line in source.lines() {
        let indented = line.starts_with(' ');
        let line = line.trim();
        if let Some(said) = line.strip_prefix("/// ").filter(|_| !indented) {
            doc.get_or_insert(said);
        } else if line.starts_with("pub struct") || line.starts_with("pub enum") {
            let named = doc.take().and_then(|said| said.strip_prefix('`')?.split('`').next());
            section = named.filter(|name| name.starts_with('[')).map(ToOwned::to_owned);
        } else if let (Some(section), Some(field)) = (&section, line.strip_prefix("pub ")) {
            if let Some((key, _)) = field.split_once(": ") {
                keys.entry(section.clone()).or_default().insert(key.to_owned());
            }
        } else if line == "}" {
            section = None;
        }
    }
    let api = Permission::ALL.iter().map(|one| one.key().to_owned());
    keys.insert("[api]".to_owned(), api.collect());
    keys
}

/// The keys of each section, as the chapter tells them: the first column of its tables.
fn told() -> Keys {
    let mut keys = Keys::new();
    let mut section = None;
    for line in text("docs/policy.md").lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            section = heading.strip_prefix('`').and_then(|it| it.strip_suffix('`'));
        } else if let (Some(section), Some(row)) = (section, line.strip_prefix("| `")) {
            let (key, _) = row.split_once('`').unwrap();
            let keys = keys.entry(section.to_owned()).or_default();
            assert!(keys.insert(key.to_owned()), "{section} {key} is told twice");
        }
    }
    keys
}

#[test]
fn every_key_is_told_and_no_other() {
    let read = read();
    assert!(read.len() >= 7, "{read:?}");
    assert!(read["[[rules]]"].contains("mode") && read["[users.NAME]"].contains("revoked"));
    assert_eq!(told(), read);
}

/// A chapter's examples of the file can be read, each for itself.
#[test]
fn examples_are_policies() {
    let certificate = crate::builder::key::person("jenkins").pem();
    let files = move |_: &Path| Ok(certificate.clone());
    for chapter in ["docs/policy.md", "docs/rollout.md"] {
        let text = text(chapter);
        let examples: Vec<_> = text.split("```toml\n").skip(1).collect();
        assert!(examples.len() >= 3, "{chapter}");
        for example in examples {
            let example = example.split("```").next().unwrap();
            let digest = "a".repeat(64);
            let mut whole = example.replace("sha256:4c1f…", &format!("sha256:{digest}"));
            if !whole.contains("[trust_configuration]") {
                whole = format!("[trust_configuration]\nrequire_content_trust = true\n{whole}");
            }
            if !whole.contains("[teams]") {
                whole.push_str("[teams]\nCI = [\"jenkins\"]\nsecurity = [\"jenkins\"]\n");
            }
            if !whole.contains("[users.") {
                whole.push_str("[users.jenkins]\ncertificates = [\"cert.pem\"]\n");
            }
            if let Err(error) = Policy::from_toml(&whole, &files) {
                panic!("{chapter}: {error}\n{whole}");
            }
        }
    }
}
