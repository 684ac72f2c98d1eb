//! What is documented for each code agrees with the program.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// What each section says.
const PARTS: [&str; 3] = ["**What it means.**", "**How to see it.**", "**What to do.**"];

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else {
            found.push(path);
        }
    }
}

/// The words of this form in quotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    let is_code =
        |word: &&str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
    text.split('"').skip(1).step_by(2).filter(is_code)
}

/// Every code that the program can give: the words in the bodies of all functions that give
/// one, wherever they stand, and in constants of that name. So a code that is new is found
/// here, and has to have its section.
fn codes() -> BTreeMap<String, String> {
    let mut files = Vec::new();
    sources(&repository().join("src"), &mut files);
    let mut codes = BTreeMap::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        let mut add = |found: &str| {
            for word in quoted(found) {
                codes.insert(word.to_owned(), file.display().to_string());
            }
        };
        for head in ["fn code(&self)", "fn code(self)", "fn kind(&self)"] {
            for after in code.split(head).skip(1) {
                let body = after.split("\n    }\n").next().unwrap();
                if body.starts_with(" -> &'static str") {
                    add(body);
                }
            }
        }
        for line in code.lines().filter(|line| line.trim_start().starts_with("const CODE: &str")) {
            add(line);
        }
    }
    codes
}

/// The sections of the third level, each with its text.
fn sections(chapter: &str) -> BTreeMap<&str, &str> {
    let mut found = BTreeMap::new();
    for part in chapter.split("\n### ").skip(1) {
        let (title, text) = part.split_once('\n').unwrap();
        let text = text.split("\n## ").next().unwrap();
        assert!(found.insert(title, text).is_none(), "{title} stands twice");
    }
    found
}

#[test]
fn every_code_has_its_section_and_every_section_its_code() {
    let chapter = fs::read_to_string(repository().join("docs/troubleshooting.md")).unwrap();
    let sections = sections(&chapter);
    let codes = codes();
    // The test itself: these are in four rooms, and one is in a constant.
    for known in ["signed", "no-image", "form-body", "root-replaced", "tls", "message-malformed"] {
        assert!(codes.contains_key(known), "{known} is not found in the sources: {codes:?}");
    }
    let titles: BTreeSet<&str> = sections.keys().copied().collect();
    let known: BTreeSet<&str> = codes.keys().map(String::as_str).collect();
    let missing: Vec<_> = known.difference(&titles).map(|code| (code, &codes[*code])).collect();
    assert!(missing.is_empty(), "codes without a section: {missing:?}");
    let unknown: Vec<_> = titles.difference(&known).collect();
    assert!(unknown.is_empty(), "sections without a code: {unknown:?}");
    for (title, text) in sections {
        for part in PARTS {
            assert!(text.contains(part), "{title} does not say {part}");
        }
    }
}

/// The anchors that a page has: its headings, as code hosts make them.
fn anchors(page: &str) -> BTreeSet<String> {
    let headings = page.lines().filter(|line| line.starts_with('#'));
    let anchor = |heading: &str| {
        let text = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = text.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.collect::<String>().replace(' ', "-")
    };
    headings.map(anchor).collect()
}

#[test]
fn links_of_the_documentation_lead_somewhere() {
    let mut pages: Vec<PathBuf> =
        ["README.md", "ARCHITECTURE.md"].map(|name| repository().join(name)).into();
    sources(&repository().join("docs"), &mut pages);
    let mut dead = Vec::new();
    for page in pages.iter().filter(|page| page.extension().is_some_and(|one| one == "md")) {
        let text = fs::read_to_string(page).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.contains("://") {
                continue;
            }
            let (path, anchor) = link.split_once('#').map_or((link, None), |(p, a)| (p, Some(a)));
            let target =
                if path.is_empty() { page.clone() } else { page.parent().unwrap().join(path) };
            let leads = target.exists()
                && anchor.is_none_or(|anchor| {
                    anchors(&fs::read_to_string(&target).unwrap()).contains(anchor)
                });
            if !leads {
                dead.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(dead.is_empty(), "{dead:#?}");
}
