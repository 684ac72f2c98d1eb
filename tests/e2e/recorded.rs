//! Every recorded call, sent for real: to each engine, guarded, and then the engine is asked what
//! came of it. `tests/data/calls/live.json` says what is sent; `tests/data/calls/cases.json` holds
//! what an engine makes of it for its plugin.
//!
//! A call that must be refused may change nothing at all on the engine, whoever refused it: the
//! plugin, or the engine before it asked. One that must be allowed must have its effect.

use std::path::Path;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::Value;

use crate::effect::{Snapshot, get};
use crate::node::Plugin;
use crate::prepared::{Part, Prepared};
use crate::stage::Stage;
use crate::wire::{Body, Closing, Exchange, Request, chunked, exchange};

crate::stories![calls_to_a_node, calls_to_a_manager,];

const CASES: &str = include_str!("../data/calls/live.json");
const NAMES: &str = include_str!("../data/calls/names.json");

/// Calls are answered sooner than this.
const LIMIT: Duration = Duration::from_secs(30);

fn calls_to_a_node(stage: &Stage) {
    play(stage, Part::Node);
}

fn calls_to_a_manager(stage: &Stage) {
    play(stage, Part::Manager);
}

/// A call, and what must come of it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    pub id: String,
    pub why: String,
    /// Calls beforehand, `METHOD TARGET`.
    #[serde(default)]
    before: Vec<String>,
    /// What is sent to the engine,
    send: Option<Send>,
    /// or to it byte for byte,
    raw: Option<String>,
    /// or to the plugin, as if by the engine.
    pub plugin: Option<Send>,
    decision: Decision,
    /// What the plugin may have logged as the reason.
    #[serde(default)]
    codes: Vec<String>,
    #[serde(default)]
    pub asked: Asked,
    /// The engine's answer to what is allowed.
    status: Option<u16>,
    /// The engines that act on it where nobody guards them.
    #[serde(default)]
    pub harms: Vec<String>,
    /// What its effect is about; without it, nothing may have changed.
    pub changes: Option<String>,
    /// What must not be found afterwards.
    pub absent: Option<String>,
    /// Calls that take away what an allowed one left.
    #[serde(default)]
    after: Vec<String>,
    #[serde(default)]
    node: Part,
}

/// The calls for an engine that is prepared so.
pub fn cases(part: Part) -> impl Iterator<Item = Case> {
    let cases: Vec<Case> = serde_json::from_str(CASES).unwrap();
    cases.into_iter().filter(move |case| case.node == part)
}

/// A name, and what engines that nobody guards say they have no image of; `None` where they say
/// that it is no name.
#[derive(Deserialize)]
pub struct Name {
    pub image: String,
    #[serde(rename = "20.10")]
    pub old: Option<String>,
    #[serde(rename = "26.1 and later")]
    pub new: Option<String>,
}

pub fn recorded_names() -> Vec<Name> {
    serde_json::from_str(NAMES).unwrap()
}

/// Asks for a container of this image.
pub fn create(socket: &Path, image: &str) -> Exchange {
    let body = serde_json::json!({ "Image": image }).to_string();
    Request::json("POST", "/v1.41/containers/create", &body).send(socket, LIMIT)
}

/// What must be decided.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Decision {
    Allow,
    Deny,
    /// Engines that show the body have it allowed, those that withhold it do not.
    DenyUnlessShown,
}

/// Whether engines ask their plugin about it.
#[derive(Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Asked {
    #[default]
    Always,
    /// Those that refuse it first do not.
    Sometimes,
    Never,
}

/// A request.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Send {
    method: String,
    target: String,
    #[serde(default)]
    headers: Vec<(String, String)>,
    #[serde(default)]
    transfer: Transfer,
    /// How the body is announced; it is in one chunk where that says so.
    #[serde(default)]
    announced: Vec<(String, String)>,
    #[serde(default)]
    body: String,
    /// Each character of the body is one byte.
    #[serde(default)]
    latin1: bool,
    /// We end our side once this is written.
    #[serde(default)]
    then_closed: bool,
    /// Spaces before the last brace make the body this long.
    padded_to: Option<usize>,
    /// The body is a file instead.
    file: Option<String>,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Transfer {
    #[default]
    Length,
    Chunked,
    Absent,
    /// As these headers say, true or not.
    Announced,
}

/// What the plugin logged about a call.
struct Decided {
    allowed: bool,
    code: String,
}

fn play(stage: &Stage, part: Part) {
    let start = Instant::now();
    let (prepared, plugin) = Prepared::unguarded(stage, part).guarded(stage);
    let ready = start.elapsed();
    let (mut sent, mut asked, mut wrong) = (0, 0, Vec::new());
    let mut held = Snapshot::of(&prepared.engine.socket());
    for case in cases(part) {
        sent += 1;
        match tried(&prepared, &plugin, &case, &mut held) {
            Ok(was_asked) => asked += usize::from(was_asked),
            Err(fault) => wrong.push(format!("{} ({}): {fault}", case.id, case.why)),
        }
    }
    if part == Part::Node {
        wrong.extend(names(&prepared));
    }
    let took = start.elapsed();
    let make = stage.make();
    println!(
        "engine {make}, {part:?}: {sent} calls, {asked} of them shown to the plugin, \
         in {took:.0?} with {ready:.0?} of preparation"
    );
    assert!(wrong.is_empty(), "on engine {make}:\n{}", wrong.join("\n"));
}

/// Whether the plugin was asked; or what is wrong. `held` is what the engine holds, before and after.
fn tried(
    prepared: &Prepared<'_>,
    plugin: &Plugin<'_>,
    case: &Case,
    held: &mut Snapshot,
) -> Result<bool, String> {
    let socket = prepared.engine.socket();
    make_room(prepared, case, held);
    let before = held.clone();
    let said = plugin.files().said().len();
    let answer = match &case.plugin {
        Some(message) => request(prepared, message).send(&plugin.socket(), LIMIT),
        None => send(prepared, case),
    };
    let decided = decided(&plugin.files().said()[said..], case, prepared);
    *held = before.now(&socket);
    let changes = held.changes_since(&before);
    let unsigned = held.unsigned_since(&before, &prepared.signed);
    for call in &case.after {
        simple(prepared, call).send(&socket, LIMIT);
    }
    if !case.after.is_empty() {
        *held = held.now(&socket);
    }

    let mut wrong: Vec<String> = unsigned.iter().map(ToString::to_string).collect();
    let last = decided.last();
    let allow = match case.decision {
        Decision::Allow => true,
        Decision::Deny => false,
        Decision::DenyUnlessShown => last.is_some_and(|decided| decided.allowed),
    };
    if allow || case.plugin.is_some() {
        if !matches!(&case.changes, Some(part) if changes.iter().any(|line| line.contains(part))) {
            wrong.extend(case.changes.iter().map(|part| format!("no {part} is another")));
        }
        if case.changes.is_none() {
            wrong.extend(changes.iter().map(|line| format!("an effect: {line}")));
        }
    } else {
        wrong.extend(changes.iter().map(|line| format!("an effect: {line}")));
    }
    if let Some(target) = &case.absent {
        let found = Request::new("GET", prepared.fill(target)).send(&socket, LIMIT);
        if found.status() != Some(404) {
            wrong.push(format!("GET {target}: {}", found.status().unwrap_or_default()));
        }
    }
    wrong.extend(answer_fault(case, allow, last.is_some(), &answer));
    match (last, case.asked) {
        (None, Asked::Always) => wrong.push("the plugin was not asked".to_owned()),
        (Some(_), Asked::Never) => wrong.push("the plugin was asked".to_owned()),
        (Some(Decided { allowed, code }), _) => {
            if *allowed != allow {
                wrong.push(format!("the plugin decided: allow = {allowed}"));
            }
            if !case.codes.contains(code) {
                wrong.push(format!("the plugin decided {code:?}, not {:?}", case.codes));
            }
        }
        (None, _) => {}
    }
    if wrong.is_empty() {
        Ok(last.is_some())
    } else {
        Err(format!("{}\n    answer: {answer}", wrong.join("; ")))
    }
}

/// Makes the calls that come before it.
pub fn make_room(prepared: &Prepared<'_>, case: &Case, held: &mut Snapshot) {
    let socket = prepared.engine.socket();
    for call in &case.before {
        let answer = simple(prepared, call).send(&socket, LIMIT);
        assert!(matches!(answer.status(), Some(200..300 | 404)), "{call}: {answer}");
    }
    if !case.before.is_empty() {
        *held = held.now(&socket);
    }
}

/// What is wrong with the answer.
fn answer_fault(case: &Case, allow: bool, asked: bool, answer: &Exchange) -> Option<String> {
    let status = answer.status();
    if case.plugin.is_some() {
        let told: Value = serde_json::from_str(&answer.text()).unwrap_or_default();
        let right = status == Some(200) && told["Allow"].as_bool() == Some(allow);
        return (!right).then(|| "the plugin answers otherwise".to_owned());
    }
    let right = match (allow, asked) {
        (true, _) => status == case.status,
        (false, true) => {
            status == Some(403) && answer.text().contains("authorization denied by plugin")
        }
        // Closed without a word, or the engine's own refusal.
        (false, false) => status.is_none_or(|status| status >= 300),
    };
    (!right).then(|| format!("answered with {status:?}"))
}

/// Sends the call to the engine.
pub fn send(prepared: &Prepared<'_>, case: &Case) -> Exchange {
    let engine = prepared.engine.socket();
    if let Some(raw) = &case.raw {
        let raw = prepared.fill(raw);
        let (head, body) = raw.rsplit_once("\r\n\r\n").expect("a head");
        let raw = format!("{head}\r\n\r\n{body}").replace("{{LENGTH}}", &body.len().to_string());
        let wanted = raw.matches(" HTTP/1.1\r\n").count();
        return exchange(&engine, raw.as_bytes(), wanted, Closing::AfterTheAnswer, LIMIT);
    }
    let send = case.send.as_ref().expect("something is sent");
    let closing = if send.then_closed { Closing::AfterTheRequest } else { Closing::AfterTheAnswer };
    exchange(&engine, &request(prepared, send).bytes(), 1, closing, LIMIT)
}

fn request(prepared: &Prepared<'_>, send: &Send) -> Request {
    let text = prepared.fill(&send.body);
    let mut body = match &send.file {
        Some(file) => std::fs::read(prepared.file(file)).unwrap(),
        None if send.latin1 => text.chars().map(|c| u8::try_from(c).expect("a byte")).collect(),
        None => text.into_bytes(),
    };
    if let Some(length) = send.padded_to {
        let end = body.len() - 1;
        let spaces = std::iter::repeat_n(b' ', length - body.len());
        body.splice(end..end, spaces);
    }
    let mut request = Request::new(&send.method, prepared.fill(&send.target));
    for (name, value) in &send.headers {
        request = request.header(name, value);
    }
    request.body(match send.transfer {
        Transfer::Length => Body::Length(body),
        Transfer::Chunked => Body::Chunked(body),
        Transfer::Absent => Body::Absent,
        Transfer::Announced if send.announced.iter().any(|(_, value)| value == "chunked") => {
            Body::Announced(send.announced.clone(), chunked(&body))
        }
        Transfer::Announced => Body::Announced(send.announced.clone(), body),
    })
}

/// `METHOD TARGET`
fn simple(prepared: &Prepared<'_>, call: &str) -> Request {
    let (method, target) = call.split_once(' ').expect("a method and a target");
    Request::new(method, prepared.fill(target)).body(Body::Length(Vec::new()))
}

/// What the plugin logged about this call among others.
fn decided(log: &str, case: &Case, prepared: &Prepared<'_>) -> Vec<Decided> {
    let call = match (&case.send, &case.raw) {
        (Some(send), _) => Some((send.method.clone(), prepared.fill(&send.target))),
        (None, Some(raw)) => raw.lines().rfind(|line| line.ends_with(" HTTP/1.1")).map(|line| {
            let mut words = line.split(' ').map(ToOwned::to_owned);
            (words.next().unwrap(), words.next().unwrap())
        }),
        // The engine had no part in it: whatever was logged.
        (None, None) => None,
    };
    let about = call.map(|(method, target)| {
        let path = target.split(['?', '#']).next().unwrap_or_default();
        format!("method={method:?} uri={path:?} ")
    });
    log.lines()
        .filter(|line| line.contains(" decided "))
        .filter(|line| about.as_ref().is_none_or(|about| line.contains(about)))
        .filter_map(|line| {
            let (_, rest) = line.split_once(" code=\"")?;
            let code = rest.split('"').next()?.to_owned();
            Some(Decided { allowed: line.contains("verdict=\"allow\""), code })
        })
        .collect()
}

/// Names as people may write them. None of these images is signed or there, so no container may
/// be made.
fn names(prepared: &Prepared<'_>) -> Vec<String> {
    let socket = prepared.engine.socket();
    let count = |socket: &Path| get(socket, "/containers/json?all=1").as_array().map(Vec::len);
    let before = count(&socket);
    let mut wrong = Vec::new();
    for Name { image, .. } in recorded_names() {
        let answer = create(&socket, &image);
        // That there is no image of an ID is for the engine to say.
        if !matches!(answer.status(), Some(403 | 404)) {
            wrong.push(format!("name {image:?}: {answer}"));
        }
    }
    let after = count(&socket);
    if before != after {
        wrong.push(format!("names: {before:?} containers became {after:?}"));
    }
    wrong
}
