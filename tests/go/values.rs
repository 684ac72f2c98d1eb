//! `json::parse` against `encoding/json`: whatever document ours reads, Go reads as the same
//! values.

use countersign::json::{Limits, Names, Number, Value, parse};
use libtest_mimic::Failed;
use serde::Deserialize;

use crate::chance::Chance;
use crate::documents::{Field, Manner, document};
use crate::findings::Findings;
use crate::reader::{Case, Reader};
use crate::{Plan, schema};

const LIMITS: Limits = Limits { depth: 127, values: 200_000 };

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    tokens: Option<Vec<String>>,
    error: String,
}

pub fn same_values(reader: &Reader, plan: &Plan) -> Result<(), Failed> {
    let mut findings = Findings::default();
    reader.ask(
        plan.cases,
        |at| case(plan.seed, at),
        |at, case, line| {
            let answer: Answer = serde_json::from_str(line).unwrap();
            for names in [Names::Exact, Names::Go] {
                compare(&mut findings, at, case, names, &answer);
            }
        },
    );
    findings.expect("read as Go does", plan.cases / 4);
    findings.expect("refused, and read by Go", plan.cases / 50);
    findings.told("values", plan.seed)
}

fn case(seed: u64, at: usize) -> Case {
    const FIELDS: [&[Field]; 4] = [schema::CREATE, schema::SERVICE, schema::UPDATE, schema::VOLUME];
    let mut chance = Chance::of(seed, at);
    let fields = chance.pick(&FIELDS);
    let manner = match at % 8 {
        0 => Manner::Plain,
        1 => Manner::Varied,
        _ => Manner::Faulty(chance.pick(&[1, 1, 1, 2, 3])),
    };
    let bytes = document(&mut chance, fields, manner);
    Case { kind: b'v', bytes, ordinary: at % 8 < 2 }
}

fn compare(findings: &mut Findings, at: usize, case: &Case, names: Names, answer: &Answer) {
    match (parse(&case.bytes, names, LIMITS), &answer.tokens) {
        (Ok(value), Some(theirs)) => {
            let mut ours = Vec::new();
            tokens(&value, &mut ours);
            if same(&ours, theirs) {
                findings.count("read as Go does");
            } else {
                findings.wrong(at, case, &format!("ours {ours:?}, Go's {theirs:?}"));
            }
        }
        (Err(error), _) if case.ordinary => findings.wrong(at, case, &error.to_string()),
        (Ok(_), None) => {
            findings.wrong(at, case, &format!("Go refuses what ours reads: {}", answer.error));
        }
        (Err(_), Some(_)) => findings.count("refused, and read by Go"),
        (Err(_), None) => findings.count("refused by both"),
    }
}

/// A value in the words of the reference reader.
fn tokens(value: &Value<'_>, list: &mut Vec<String>) {
    let text = |text: &str| {
        let digits = text.bytes().map(|byte| format!("{byte:02x}"));
        format!("s:{}", digits.collect::<String>())
    };
    match value {
        Value::Null => list.push("null".to_owned()),
        Value::Bool(flag) => list.push(flag.to_string()),
        Value::Number(Number::Negative(number)) => list.push(format!("i:{number}")),
        Value::Number(Number::Unsigned(number)) => list.push(format!("i:{number}")),
        Value::Number(Number::Float(number)) => list.push(format!("f:{:x}", number.to_bits())),
        Value::String(written) => list.push(text(written)),
        Value::Array(elements) => {
            list.push("[".to_owned());
            for element in elements {
                tokens(element, list);
            }
            list.push("]".to_owned());
        }
        Value::Object(object) => {
            let mut members: Vec<_> = object.iter().collect();
            members.sort_by_key(|(name, _)| *name);
            list.push("{".to_owned());
            for (name, value) in members {
                list.push(text(name));
                tokens(value, list);
            }
            list.push("}".to_owned());
        }
    }
}

fn same(ours: &[String], theirs: &[String]) -> bool {
    ours.len() == theirs.len()
        && ours.iter().zip(theirs).all(|(ours, theirs)| ours == theirs || neighbours(ours, theirs))
}

/// Whether these are floats next to each other: `serde_json` rounds the last bit otherwise
/// than Go where it is quicker. Nothing that is decided rests on a float.
fn neighbours(ours: &str, theirs: &str) -> bool {
    let bits = |token: &str| u64::from_str_radix(token.strip_prefix("f:")?, 16).ok();
    bits(ours).zip(bits(theirs)).is_some_and(|(ours, theirs)| ours.abs_diff(theirs) <= 1)
}
