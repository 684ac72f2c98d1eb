//! What was found, so that it can be sent again to any engine: names stand for what differs
//! between engines.

use std::fmt;
use std::path::Path;

use serde_json::{Value, json};

use super::recipe::Case;
use super::send::Written;
use super::world::{Names, World};
use crate::wire::Closing;

/// Calls that did what must not be done.
#[derive(Clone)]
pub struct Finding {
    pub why: String,
    pub effect: Vec<String>,
    pub at_once: bool,
    /// The bytes of each call as characters, the first 256 of Unicode.
    pub sent: Vec<String>,
}

impl Finding {
    pub fn unexplained(effect: String) -> Self {
        let why = "calls of one batch".to_owned();
        Self { why, effect: vec![effect], at_once: false, sent: Vec::new() }
    }

    pub fn of(case: &Case, world: &World<'_>, effect: &[String]) -> Self {
        let why: Vec<_> = case.calls.iter().map(ToString::to_string).collect();
        let written = Written::of(case, world);
        let sent = written.calls.iter().map(|(bytes, ..)| named(bytes, world)).collect();
        let effect = effect.iter().map(|one| named(one.as_bytes(), world)).collect();
        Self { why: why.join(" | "), effect, at_once: case.at_once, sent }
    }

    pub fn from_json(value: &Value) -> Self {
        let texts = |name: &str| -> Vec<String> {
            let all = value[name].as_array().into_iter().flatten();
            all.map(|one| one.as_str().expect("a text").to_owned()).collect()
        };
        Self {
            why: value["why"].as_str().expect("it says why").to_owned(),
            effect: texts("effect"),
            at_once: value["at_once"] == true,
            sent: texts("sent"),
        }
    }

    pub fn to_json(&self) -> Value {
        let Self { why, effect, at_once, sent } = self;
        json!({"why": why, "effect": effect, "at_once": at_once, "sent": sent})
    }

    /// The calls, to be sent to this engine.
    pub fn written(&self, world: &World<'_>) -> Written {
        let names = Names::of(world, 1);
        let bytes = |text: &String| {
            let is_true = text.contains("$LENGTH") || text.contains("Transfer-Encoding: chunked");
            let closing = if is_true { Closing::AfterTheAnswer } else { Closing::AfterTheRequest };
            (bytes_of(&names.filled(text)), text.matches(" HTTP/1.").count(), closing)
        };
        Written { calls: self.sent.iter().map(bytes).collect(), at_once: self.at_once }
    }

    /// Keeps it in a folder.
    pub fn keep(&self, folder: &Path, name: &str) {
        std::fs::create_dir_all(folder).unwrap();
        let text = serde_json::to_string_pretty(&self.to_json()).expect("it is JSON");
        std::fs::write(folder.join(format!("{name}.json")), text + "\n").unwrap();
    }
}

/// The bytes as characters, and names for what they stand for. A length that fits the body is
/// to fit it again, and long padding is not written out.
fn named(bytes: &[u8], world: &World<'_>) -> String {
    let mut text: String = bytes.iter().map(|byte| char::from(*byte)).collect();
    if let Some((head, body)) = text.split_once("\r\n\r\n") {
        let told = format!("Content-Length: {}\r\n", body.len_in_bytes());
        let head = format!("{head}\r\n").replace(&told, "Content-Length: $LENGTH\r\n");
        text = format!("{head}\r\n{}", unpadded(body));
    }
    for (name, value) in world.values() {
        text = text.replace(&value, &name);
    }
    text
}

/// Characters of one byte each.
trait Latin {
    fn len_in_bytes(&self) -> usize;
}

impl Latin for str {
    fn len_in_bytes(&self) -> usize {
        self.chars().count()
    }
}

const PAD: &str = "$PAD_TO_";

fn unpadded(body: &str) -> String {
    let spaces = " ".repeat(1000);
    let Some(start) = body.find(&spaces) else { return body.to_owned() };
    let rest = body[start..].trim_start_matches(' ');
    format!("{}{PAD}{}${rest}", &body[..start], body.len_in_bytes())
}

/// The bytes to send: padding and lengths are put in.
fn bytes_of(text: &str) -> Vec<u8> {
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
    let body = padded(body);
    let head = head.replace("$LENGTH", &body.len_in_bytes().to_string());
    let all = if text.contains("\r\n\r\n") { format!("{head}\r\n\r\n{body}") } else { head };
    all.chars().map(|c| u8::try_from(u32::from(c)).expect("a byte as a character")).collect()
}

fn padded(body: &str) -> String {
    let Some((left, rest)) = body.split_once(PAD) else { return body.to_owned() };
    let (size, right) = rest.split_once('$').expect("the size ends");
    let size: usize = size.parse().expect("a size");
    let missing = size.saturating_sub(left.len_in_bytes() + right.len_in_bytes());
    format!("{left}{}{right}", " ".repeat(missing))
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.why)?;
        self.effect.iter().try_for_each(|effect| writeln!(f, "  effect: {effect}"))?;
        self.sent.iter().try_for_each(|sent| writeln!(f, "  sent: {sent:?}"))
    }
}
