//! What was found.

use std::fmt;

use serde::Serialize;

use crate::policy::Ending;

/// How bad it is, from nothing to worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// As it should be.
    Ok,
    /// Worth knowing; nothing has to be done.
    Note,
    /// Protection holds, and something will fail or be weaker than it could be.
    Warning,
    /// Unsigned images can run, or signed ones cannot.
    Problem,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Problem => "problem",
        })
    }
}

/// One finding. Texts are sentences for people; `id` is for programs and does not change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Which check found it: `GROUP.CHECK`. Several findings may have one.
    pub id: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What is the case.
    pub title: String,
    /// Why it matters; empty where all is well.
    pub why: String,
    /// What to do; empty where there is nothing to.
    pub remedy: String,
}

impl From<Ending> for Finding {
    fn from(Ending { id, title, stops, remedy }: Ending) -> Self {
        Self::warning(id, title, stops, remedy)
    }
}

impl Finding {
    /// The part of its ID before the dot.
    pub fn group(&self) -> &'static str {
        self.id.split_once('.').map_or(self.id, |(group, _)| group)
    }

    pub(super) fn ok(id: &'static str, title: impl Into<String>) -> Self {
        Self::new(id, Severity::Ok, title, "", "")
    }

    pub(super) fn note(
        id: &'static str,
        title: impl Into<String>,
        why: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::new(id, Severity::Note, title, why, remedy)
    }

    pub(super) fn warning(
        id: &'static str,
        title: impl Into<String>,
        why: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::new(id, Severity::Warning, title, why, remedy)
    }

    pub(super) fn problem(
        id: &'static str,
        title: impl Into<String>,
        why: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::new(id, Severity::Problem, title, why, remedy)
    }

    fn new(
        id: &'static str,
        severity: Severity,
        title: impl Into<String>,
        why: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { id, severity, title: title.into(), why: why.into(), remedy: remedy.into() }
    }
}

/// For tables of tests: IDs and severities, without what is well.
#[cfg(test)]
pub(super) fn told(findings: &[Finding]) -> Vec<(&'static str, Severity)> {
    for finding in findings {
        let said = !finding.why.is_empty() && !finding.remedy.is_empty();
        assert!(said || finding.severity <= Severity::Note, "{finding:?}");
        assert!(!finding.title.contains('\n'), "{finding:?}");
    }
    let bad = findings.iter().filter(|finding| finding.severity > Severity::Ok);
    bad.map(|finding| (finding.id, finding.severity)).collect()
}
