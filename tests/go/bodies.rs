//! Bodies against the engine's own way to read them: whatever a body means to us, it means
//! to every engine that accepts it.
//!
//! The reference reader decodes it into structures like the engine's, and writes down what
//! these hold. That has one spelling and no repetitions, so reading it must give the very
//! same intent as reading the original.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use countersign::request::{Call, HostAccess, Intent, Refusal, read};
use libtest_mimic::Failed;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::chance::Chance;
use crate::documents::{Field, Manner, document};
use crate::findings::Findings;
use crate::reader::{Case, Reader};
use crate::{Plan, schema};

/// The calls whose bodies are read: for the reference reader, where they go, and what
/// stands in them.
const CALLS: [(u8, &str, &[Field]); 5] = [
    (b'c', "/v1.41/containers/create?name=a", schema::CREATE),
    (b's', "/v1.41/services/create", schema::SERVICE),
    (b'e', "/v1.41/containers/web/exec", schema::EXEC),
    (b'u', "/v1.41/containers/web/update", schema::UPDATE),
    (b'd', "/v1.41/volumes/create", schema::VOLUME),
];

/// What engines before and since 23.0 hold after decoding, or why they refuse.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer<'a> {
    #[serde(borrow)]
    old: Option<&'a RawValue>,
    #[serde(borrow)]
    new: Option<&'a RawValue>,
}

impl Answer<'_> {
    /// Whether an engine holds another image than this one.
    fn differs_from(&self, naive: Option<&str>) -> bool {
        self.old.into_iter().chain(self.new).any(|held| image(held).as_deref() != naive)
    }
}

pub fn same_intents(reader: &Reader, plan: &Plan) -> Result<(), Failed> {
    the_reference_reader_is_go(reader);
    let mut findings = Findings::default();
    reader.ask(
        plan.cases,
        |at| case(plan.seed, at),
        |at, case, line| {
            let answer: Answer<'_> = serde_json::from_str(line).unwrap();
            if answer.differs_from(image_at_first_sight(&case.bytes).as_deref()) {
                findings.count("where a plain reader sees another image");
            }
            match compare(case, &answer) {
                Ok(what) => findings.count(what),
                Err(wrong) => findings.wrong(at, case, &wrong),
            }
        },
    );
    findings.expect("read as Go does", plan.cases / 4);
    findings.expect("refused, and read by Go", plan.cases / 20);
    findings.expect("where a plain reader sees another image", plan.cases / 100);
    findings.told("bodies", plan.seed)
}

fn case(seed: u64, at: usize) -> Case {
    let mut chance = Chance::of(seed, at);
    // Most of what can be hidden is hidden in the first two.
    let (kind, _, fields) = CALLS[[0, 0, 0, 1, 1, 2, 3, 4][chance.below(8)]];
    let manner = match at % 8 {
        0 => Manner::Plain,
        1 => Manner::Varied,
        _ => Manner::Faulty(chance.pick(&[1, 1, 1, 2, 3])),
    };
    let bytes = document(&mut chance, fields, manner);
    Case { kind, bytes, ordinary: at % 8 < 2 }
}

/// What came of a case, or what is wrong with it.
fn compare(case: &Case, answer: &Answer<'_>) -> Result<&'static str, String> {
    let refused = answer.old.is_none() && answer.new.is_none();
    let ours = match intent(case.kind, &case.bytes) {
        Ok(intent) => intent,
        Err(refusal) if case.ordinary => return Err(refusal.to_string()),
        Err(_) if refused => return Ok("refused by both"),
        Err(_) => return Ok("refused, and read by Go"),
    };
    if case.ordinary && (answer.old.is_none() || answer.new.is_none()) {
        return Err("Go refuses what ordinary clients send".to_owned());
    }
    if let Some(held) = answer.old {
        let theirs = meant(case.kind, held)?;
        if theirs != ours {
            return Err(format!("ours {ours:?}, Go's (20.10) {theirs:?}"));
        }
    }
    // Mostly both hold the same.
    let same = |new: &RawValue| answer.old.is_some_and(|old| old.get() == new.get());
    if let Some(held) = answer.new.filter(|new| !same(new)) {
        let theirs = meant(case.kind, held)?;
        if !covers(&ours, &theirs) {
            return Err(format!("ours {ours:?}, Go's {theirs:?}"));
        }
    }
    Ok(if refused { "refused by Go alone" } else { "read as Go does" })
}

/// What the body means that Go wrote down, and that its image is the one in the intent.
fn meant(kind: u8, held: &RawValue) -> Result<Intent, String> {
    let intent = intent(kind, held.get().as_bytes())
        .map_err(|refusal| format!("what Go holds is refused: {refusal}; {held}"))?;
    let image = image(held);
    let same = match &intent {
        Intent::Create { written, .. } => image.as_ref() == Some(written),
        Intent::Service { image: meant, .. } => {
            image.is_some_and(|image| image.parse().as_ref() == Ok(meant))
        }
        _ => true,
    };
    if same { Ok(intent) } else { Err(format!("{intent:?} has not the image of {held}")) }
}

/// Whether `ours` is `theirs`, and no less asked of the host: engines since 23.0 have nothing
/// of the host at the top level of a container.
fn covers(ours: &Intent, theirs: &Intent) -> bool {
    match (ours, theirs) {
        (
            Intent::Create { image, written, access },
            Intent::Create { image: their_image, written: their_written, access: their_access },
        ) => {
            let asked = |wanted: &HostAccess| access.contains(wanted);
            (image, written) == (their_image, their_written) && their_access.iter().all(asked)
        }
        _ => ours == theirs,
    }
}

/// What our reader makes of a body, with what it asks of the host in a fixed order: the
/// members of a map have none in Go.
fn intent(kind: u8, body: &[u8]) -> Result<Intent, Refusal> {
    let (_, target, _) = CALLS.iter().find(|(of, ..)| *of == kind).unwrap();
    let message = json!({
        "RequestMethod": "POST",
        "RequestUri": target,
        "RequestHeaders": { "Content-Length": body.len().to_string() },
        "RequestBody": BASE64.encode(body),
    });
    let mut intent = read(&Call::from_json(message.to_string().as_bytes()).unwrap())?;
    if let Intent::Create { access, .. }
    | Intent::Service { access, .. }
    | Intent::Volume { access }
    | Intent::Update { access, .. } = &mut intent
    {
        access.sort();
    }
    Ok(intent)
}

/// The image that Go holds.
fn image(held: &RawValue) -> Option<String> {
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Holder {
        image: Option<String>,
        task_template: Option<Box<Holder>>,
        container_spec: Option<Box<Holder>>,
    }
    let holder: Holder = serde_json::from_str(held.get()).unwrap();
    let task = holder.task_template.and_then(|task| task.container_spec);
    holder.image.or_else(|| task?.image)
}

/// The image that a reader without suspicion finds.
fn image_at_first_sight(body: &[u8]) -> Option<String> {
    let document: Value = serde_json::from_slice(body).ok()?;
    let task = document.pointer("/TaskTemplate/ContainerSpec/Image");
    task.or_else(|| document.get("Image"))?.as_str().map(str::to_owned)
}

/// A reference that agreed with us whatever we say would prove nothing.
fn the_reference_reader_is_go(reader: &Reader) {
    const KNOWN: [(&str, Option<&str>, Option<&str>); 8] = [
        (r#"{"Image":"a","Image":"b"}"#, Some("b"), Some("b")),
        (r#"{"Image":"a","iMAGE":"b"}"#, Some("b"), Some("b")),
        (r#"{"Image":"a","image":null}"#, Some("a"), Some("a")),
        ("{\"Image\":\"a\",\"Im\u{131}ge\":\"b\"}", Some("a"), Some("a")),
        ("{\"Image\":\"\\ud800\"}", Some("\u{fffd}"), Some("\u{fffd}")),
        (r#"{"Image":"a"}}"#, Some("a"), Some("a")),
        (r#"{"Image":"a"}{}"#, Some("a"), None),
        (r#"{"Image":1}"#, None, None),
    ];
    let case = |at: usize| {
        let (body, ..) = KNOWN[at];
        Case { kind: b'c', bytes: body.into(), ordinary: false }
    };
    reader.ask(KNOWN.len(), case, |at, _, line| {
        let answer: Answer<'_> = serde_json::from_str(line).unwrap();
        let held = |held: Option<&RawValue>| held.and_then(image);
        let (body, old, new) = KNOWN[at];
        assert_eq!(
            (held(answer.old).as_deref(), held(answer.new).as_deref()),
            (old, new),
            "{body}"
        );
    });
}
