//! What an operator expects of a policy: references, and what is to become of each.

use serde::Deserialize;
use toml::Spanned;

use super::document::ConfigError;
use super::verdict::Verdict;
use crate::image::Reference;

/// The whole file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseFile {
    #[serde(default, rename = "case")]
    cases: Vec<CaseEntry>,
}

/// `[[case]]`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseEntry {
    image: Spanned<String>,
    expect: Expected,
    code: Option<String>,
    note: Option<String>,
}

/// What is to become of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Expected {
    /// It may run.
    Allow,
    /// It may not.
    Deny,
}

/// An image, and what is to become of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// The line of its image, from 1.
    pub line: usize,
    /// As it is written.
    pub written: String,
    /// The same, read.
    pub image: Reference,
    /// What is expected.
    pub expect: Expected,
    /// The code of the verdict, where that is expected too.
    pub code: Option<String>,
    /// What the operator says of it.
    pub note: Option<String>,
}

impl Expected {
    /// A stable word for it: `allow` or `deny`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        }
    }
}

impl Case {
    /// What is other than expected, as a part of a sentence.
    pub fn difference(&self, verdict: &Verdict) -> Option<String> {
        let is_allowed = verdict.is_allow();
        if is_allowed != (self.expect == Expected::Allow) {
            let came = if is_allowed { "allow" } else { "deny" };
            return Some(format!(
                "expected {}, and it is {came} ({})",
                self.expect.word(),
                verdict.code()
            ));
        }
        let expected = self.code.as_deref().filter(|code| *code != verdict.code())?;
        Some(format!("expected the code {}, and it is {}", expected.escape_debug(), verdict.code()))
    }
}

/// Reads a file of cases.
///
/// # Errors
/// At the first thing that is wrong with it, with its place; and where there is no case, since
/// such a file finds nothing out.
pub fn cases(text: &str) -> Result<Vec<Case>, ConfigError> {
    let file: CaseFile = toml::from_str(text).map_err(|error| {
        ConfigError::at(text, error.span().unwrap_or(0..0), error.message().to_owned())
    })?;
    if file.cases.is_empty() {
        let what = "there is no [[case]]: write image = \"registry.example.com/app:1\" and \
                    expect = \"allow\" or \"deny\" below one";
        return Err(ConfigError::at(text, 0..0, what.to_owned()));
    }
    file.cases.into_iter().map(|entry| case(text, entry)).collect()
}

fn case(text: &str, entry: CaseEntry) -> Result<Case, ConfigError> {
    let span = entry.image.span();
    let written = entry.image.into_inner();
    let image: Reference = written.parse().map_err(|error| {
        ConfigError::at(text, span.clone(), format!("{written:?} is not an image name: {error}"))
    })?;
    Ok(Case {
        line: ConfigError::at(text, span, String::new()).line,
        written,
        image: image.or_latest(),
        expect: entry.expect,
        code: entry.code,
        note: entry.note,
    })
}

#[cfg(test)]
mod tests {
    use super::super::reason::Reason;
    use super::super::verdict::{Grant, Refusal};
    use super::*;

    #[test]
    fn faults_have_a_place() {
        for (text, line, column, what) in [
            ("", 1, 1, "there is no [[case]]"),
            ("x = 1\n", 1, 1, "unknown field"),
            ("[[case]]\nimage = \"h.io/a\"\n", 1, 1, "missing field `expect`"),
            ("[[case]]\nexpect = \"deny\"\n", 1, 1, "missing field `image`"),
            ("[[case]]\nimage = \"h.io/a\"\nexpect = \"no\"\n", 3, 10, "unknown variant `no`"),
            ("[[case]]\nimage = \"h.io/a\"\nexpect = \"deny\"\nwhy = 1\n", 4, 1, "unknown field"),
            ("[[case]]\nexpect = \"deny\"\nimage = \"h.io/A\"\n", 3, 9, "is not an image name"),
        ] {
            let error = cases(text).unwrap_err();
            assert!(error.what.contains(what), "{text:?}: {error}");
            assert_eq!((error.line, error.column), (line, column), "{text:?}: {error}");
        }
    }

    #[test]
    fn what_differs() {
        let case = |expect, code: Option<&str>| {
            let code = code.map(|code| format!("code = {code:?}\n")).unwrap_or_default();
            let text = format!("[[case]]\nimage = \"h.io/a\"\nexpect = {expect:?}\n{code}");
            cases(&text).unwrap().remove(0)
        };
        let allow = Verdict::Allow(Grant::NotJudged);
        let deny = Verdict::Deny(Refusal::new(Reason::Internal));
        let code = deny.code();
        for (expect, expected_code, verdict, as_expected) in [
            ("allow", None, &allow, true),
            ("allow", Some("not-judged"), &allow, true),
            ("allow", Some("signed"), &allow, false),
            ("deny", None, &allow, false),
            ("deny", None, &deny, true),
            ("deny", Some(code), &deny, true),
            ("deny", Some("signature-missing"), &deny, false),
            ("allow", None, &deny, false),
        ] {
            let case = case(expect, expected_code);
            assert_eq!(case.line, 2);
            let difference = case.difference(verdict);
            assert_eq!(difference.is_none(), as_expected, "{case:?}: {difference:?}");
        }
    }
}
