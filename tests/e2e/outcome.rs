//! What a command line program answered, and what a story expects of it.

use std::fmt;
use std::process::Output;
use std::time::{Duration, Instant};

use serde_json::Value;

/// The signers are not those that the policy wants, or it is another image than they signed.
pub const NOT_MET: &str = "image did not meet required signing policy";

/// Nobody has signed this.
pub fn no_trust_data(image: &str) -> String {
    format!("image or trust data does not exist for {image}")
}

/// A command, and what came of it.
#[derive(Clone)]
pub struct Outcome {
    command: String,
    code: Option<i32>,
    stdout: String,
    stderr: String,
    took: Duration,
}

impl Outcome {
    /// Runs the program to its end; `command` is what a person would have typed.
    pub fn of(command: &str, program: &mut std::process::Command) -> Self {
        let start = Instant::now();
        let output = program.output().unwrap_or_else(|error| panic!("{program:?}: {error}"));
        let took = start.elapsed();
        let Output { status, stdout, stderr } = output;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let (stdout, stderr) = (text(stdout), text(stderr));
        Self { command: command.into(), code: status.code(), stdout, stderr, took }
    }

    pub fn succeeded(&self) -> bool {
        self.code == Some(0)
    }

    /// It succeeded.
    #[track_caller]
    pub fn expect_ok(self) -> Self {
        assert_eq!(self.code, Some(0), "should have succeeded: {self}");
        self
    }

    /// The plugin denied it, with this sentence.
    #[track_caller]
    pub fn expect_denied(self, sentence: &str) -> Self {
        assert_ne!(self.code, Some(0), "should have been denied: {self}");
        let first_line = self
            .stderr
            .split_once("Error response from daemon: authorization denied by plugin ")
            .and_then(|(_, said)| said.split_once(": "))
            .and_then(|(_, message)| message.lines().next());
        assert_eq!(first_line, Some(sentence), "should have been denied otherwise: {self}");
        self
    }

    /// It failed, in whatever way.
    #[track_caller]
    pub fn expect_failure(self) -> Self {
        assert_ne!(self.code, Some(0), "should have failed: {self}");
        self
    }

    /// It ended with this exit code.
    #[track_caller]
    pub fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self}");
        self
    }

    /// Its output or its complaint contains this.
    #[track_caller]
    pub fn and_says(self, text: impl AsRef<str>) -> Self {
        let text = text.as_ref();
        let said = self.stdout.contains(text) || self.stderr.contains(text);
        assert!(said, "should have said {text:?}: {self}");
        self
    }

    /// Neither its output nor its complaint contains this, in whatever case.
    #[track_caller]
    pub fn and_never_says(self, text: &str) -> Self {
        let said = format!("{}{}", self.stdout, self.stderr).to_lowercase();
        assert!(!said.contains(&text.to_lowercase()), "should not have said {text:?}: {self}");
        self
    }

    /// It took no longer than this.
    #[track_caller]
    pub fn and_within(self, limit: Duration) -> Self {
        assert!(self.took <= limit, "should have taken at most {limit:?}: {self}");
        self
    }

    /// Its output, without the line end.
    pub fn text(&self) -> &str {
        self.stdout.trim_end()
    }

    /// All it said, and how it ended.
    pub fn said(&self) -> String {
        format!("{}{}[{:?}]\n", self.stdout, self.stderr, self.code)
    }

    /// Its output as JSON, one value in each line.
    #[track_caller]
    pub fn json_lines(&self) -> Vec<Value> {
        let parse = |line| serde_json::from_str(line);
        let values: Result<Vec<_>, _> = self.stdout.lines().map(parse).collect();
        values.unwrap_or_else(|error| panic!("{error}: {self}"))
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = self.code.map_or_else(|| "a signal".into(), |code| code.to_string());
        let Self { command, stdout, stderr, took, .. } = self;
        write!(f, "\n$ {command}\n{stdout}{stderr}[{code} after {took:.1?}]")
    }
}
