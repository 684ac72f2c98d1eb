//! Ways to put a lure into a document so that one reader sees it and another does not.

use super::draft::{Body, Draft, Framing};
use super::json::Json;
use super::rng::Rng;

/// Puts a value where this path leads, in some disguise.
pub fn smuggle(draft: &mut Draft, path: &str, value: &Json, rng: &mut Rng) {
    if draft.document().is_none() {
        draft.body = Body::Json {
            before: Vec::new(),
            document: Json::Object(Vec::new()),
            after: Vec::new(),
        };
        draft.set_header("Content-Type", "application/json");
        draft.framing = Framing::Length;
    }
    let way = rng.weighted(WAYS);
    let words: Vec<&str> = path.split('.').collect();
    way(draft, &words, value, rng);
}

type Way = fn(&mut Draft, &[&str], &Json, &mut Rng);

const WAYS: &[(usize, Way)] = &[
    (6, in_the_open),
    (6, beside_the_first),
    (3, beside_the_first_in_front),
    (6, in_other_letters),
    (6, in_other_letters_alone),
    (3, escaped),
    (5, below_a_second_parent),
    (3, below_a_second_parent_in_front),
    (4, before_a_null),
    (4, elsewhere),
    (3, in_a_second_document),
    (2, in_a_document_around),
    (3, as_another_type),
    (4, with_its_own_members_doubled),
    (5, behind_padding),
];

fn set(document: &mut Json, words: &[&str], value: &Json) {
    match words {
        [] => {}
        [name] => document.set(name, value.clone()),
        [name, rest @ ..] => set(document.object(name), rest, value),
    }
}

/// The object that holds the last word of the path; made where it is missing.
fn parent<'d>(draft: &'d mut Draft, words: &[&str]) -> &'d mut Json {
    let mut at = draft.document().expect("given one before");
    for word in &words[..words.len() - 1] {
        at = at.object(word);
    }
    at
}

fn last(words: &[&str]) -> String {
    words.last().expect("paths have words").to_string()
}

/// Nothing but the path's last word and the value, in objects of their own.
fn bare(words: &[&str], value: &Json) -> Json {
    let mut document = Json::Object(Vec::new());
    set(&mut document, words, value);
    document
}

fn in_the_open(draft: &mut Draft, words: &[&str], value: &Json, _: &mut Rng) {
    set(draft.document().expect("given one before"), words, value);
}

fn beside_the_first(draft: &mut Draft, words: &[&str], value: &Json, _: &mut Rng) {
    parent(draft, words).push(last(words).into_bytes(), value.clone());
}

fn beside_the_first_in_front(draft: &mut Draft, words: &[&str], value: &Json, _: &mut Rng) {
    if let Some(members) = parent(draft, words).members() {
        members.insert(0, (last(words).into_bytes(), value.clone()));
    }
}

fn in_other_letters(draft: &mut Draft, words: &[&str], value: &Json, rng: &mut Rng) {
    let name = respelled(&last(words), rng);
    let Some(members) = parent(draft, words).members() else { return };
    let at = if rng.percent(70) { members.len() } else { 0 };
    members.insert(at, (name, value.clone()));
}

/// Some word of the path in other letters, and nothing in the right ones.
fn in_other_letters_alone(draft: &mut Draft, words: &[&str], value: &Json, rng: &mut Rng) {
    set(draft.document().expect("given one before"), words, value);
    let depth = rng.below(words.len());
    if let Some(members) = parent(draft, &words[..=depth]).members() {
        for (name, _) in members.iter_mut().filter(|(name, _)| name == words[depth].as_bytes()) {
            *name = respelled(words[depth], rng);
        }
    }
}

fn escaped(draft: &mut Draft, words: &[&str], value: &Json, rng: &mut Rng) {
    let name = last(words);
    let at = rng.below(name.len());
    let mut written = Vec::new();
    for (here, letter) in name.char_indices() {
        if here == at {
            written.extend(format!("\\u{:04x}", u32::from(letter)).bytes());
        } else {
            written.extend(letter.to_string().bytes());
        }
    }
    if rng.percent(50)
        && let Some(members) = parent(draft, words).members()
    {
        members.retain(|(known, _)| known != name.as_bytes());
    }
    parent(draft, words).push(written, value.clone());
}

fn below_a_second_parent(draft: &mut Draft, words: &[&str], value: &Json, rng: &mut Rng) {
    second_parent(draft, words, value, rng, false);
}

fn below_a_second_parent_in_front(draft: &mut Draft, words: &[&str], value: &Json, rng: &mut Rng) {
    second_parent(draft, words, value, rng, true);
}

/// The objects on the way are there twice: readers that take the last one lose what the first
/// one says, and Go merges both.
fn second_parent(draft: &mut Draft, words: &[&str], value: &Json, rng: &mut Rng, in_front: bool) {
    let (first, rest) = words.split_first().expect("paths have words");
    let child = if rest.is_empty() { value.clone() } else { bare(rest, value) };
    let name = if rng.percent(40) { respelled(first, rng) } else { first.as_bytes().to_vec() };
    if let Some(members) = draft.document().and_then(Json::members) {
        let at = if in_front { 0 } else { members.len() };
        members.insert(at, (name, child));
    }
}

/// Go keeps what stood there before a null.
fn before_a_null(draft: &mut Draft, words: &[&str], value: &Json, rng: &mut Rng) {
    set(draft.document().expect("given one before"), words, value);
    let depth = rng.below(words.len());
    let name = words[depth];
    let name = if rng.percent(30) { respelled(name, rng) } else { name.as_bytes().to_vec() };
    parent(draft, &words[..=depth]).push(name, Json::raw("null"));
}

/// In another object than its own: engines before 23 take `HostConfig`'s members at the top.
fn elsewhere(draft: &mut Draft, words: &[&str], value: &Json, rng: &mut Rng) {
    const PLACES: [&str; 7] =
        ["HostConfig", "Config", "ContainerConfig", "", "NetworkingConfig", "Spec", "hostconfig"];
    let place = rng.pick(&PLACES);
    let name = last(words).into_bytes();
    let document = draft.document().expect("given one before");
    if rng.percent(60) {
        document.push(name, value.clone());
    } else {
        document.object(place).push(name, value.clone());
    }
}

fn in_a_second_document(draft: &mut Draft, words: &[&str], value: &Json, rng: &mut Rng) {
    let mut second = draft.document().expect("given one before").clone();
    set(&mut second, words, value);
    let Body::Json { before, document, after } = &mut draft.body else { return };
    let between: &[u8] = rng.pick(&[&b""[..], b"\n", b",", b"\0"]);
    if rng.percent(50) {
        std::mem::swap(document, &mut second);
    }
    if rng.percent(50) {
        after.extend(between);
        second.write(after);
    } else {
        second.write(before);
        before.extend(between);
    }
}

fn in_a_document_around(draft: &mut Draft, words: &[&str], value: &Json, rng: &mut Rng) {
    let document = draft.document().expect("given one before");
    let mut inner = document.clone();
    set(&mut inner, words, value);
    *document = match rng.below(3) {
        0 => Json::List(vec![inner]),
        1 => Json::List(vec![document.clone(), inner]),
        _ => Json::Object(vec![(b"".to_vec(), inner)]),
    };
}

fn as_another_type(draft: &mut Draft, words: &[&str], value: &Json, rng: &mut Rng) {
    let mut text = Vec::new();
    value.write(&mut text);
    let value = match rng.below(5) {
        0 => Json::List(vec![value.clone()]),
        1 => Json::Object(vec![(b"0".to_vec(), value.clone())]),
        2 => Json::text(&String::from_utf8_lossy(&text)),
        3 => Json::raw("1"),
        _ => Json::raw("\"true\""),
    };
    set(draft.document().expect("given one before"), words, &value);
}

/// In each object of the value, one member is there twice, the second time harmless.
fn with_its_own_members_doubled(draft: &mut Draft, words: &[&str], value: &Json, rng: &mut Rng) {
    const HARMLESS: [&str; 7] = ["\"tmpfs\"", "null", "\"\"", "\"/srv\"", "\"volume\"", "{}", "[]"];
    let mut value = value.clone();
    value.each_object(&mut |members| {
        if members.is_empty() {
            return;
        }
        let name = members[rng.below(members.len())].0.clone();
        let name =
            if rng.percent(50) { respelled(&String::from_utf8_lossy(&name), rng) } else { name };
        let at = rng.below(members.len() + 1);
        members.insert(at, (name, Json::raw(rng.pick(&HARMLESS))));
    });
    set(draft.document().expect("given one before"), words, &value);
}

/// In a body that is longer than what engines hand to their plugins.
fn behind_padding(draft: &mut Draft, words: &[&str], value: &Json, rng: &mut Rng) {
    const SIZES: [usize; 5] = [1_048_575, 1_048_576, 1_048_577, 4_194_304, 4_194_305];
    set(draft.document().expect("given one before"), words, value);
    let sizes = if rng.percent(15) { &SIZES[..] } else { &SIZES[..3] };
    let size = rng.pick(sizes);
    let length = draft.body.bytes().len();
    let Body::Json { before, after, .. } = &mut draft.body else { return };
    let padding = vec![b' '; size.saturating_sub(length)];
    if rng.percent(50) {
        before.extend(padding);
    } else {
        after.extend(padding);
    }
    if rng.percent(40) {
        draft.framing = Framing::chunked();
    }
}

/// A name that Go's `encoding/json` takes for this one, or could be thought to.
pub fn respelled(name: &str, rng: &mut Rng) -> Vec<u8> {
    let folded = name.replacen(['s', 'S'], "\u{17f}", 1).replacen(['k', 'K'], "\u{212a}", 1);
    let lower = name.to_lowercase();
    match rng.below(7) {
        0 => lower.into_bytes(),
        1 => name.to_uppercase().into_bytes(),
        2 => {
            let upper = name.to_uppercase();
            let letters = lower.chars().zip(upper.chars());
            let flip = |(lower, upper)| if rng.percent(50) { lower } else { upper };
            letters.map(flip).collect::<String>().into_bytes()
        }
        3 | 4 => if folded == name { lower } else { folded }.into_bytes(),
        5 => name.replacen('i', "\u{131}", 1).replacen('I', "\u{130}", 1).into_bytes(),
        _ => {
            let odd: &[u8] = rng.pick(&[&b" "[..], b"\xff", b"\\u0000", b"_", b"\\ud800"]);
            [name.as_bytes(), odd].concat()
        }
    }
}
