//! `countersign doctor`

use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use super::check::start_log;
use super::config::{EngineSocket, Places, load};
use super::paint::Paint;

use crate::doctor::{Finding, Severity, Subject, examine, gather};
use crate::source::Host;

/// Exit code where nothing was examined.
pub(super) const COULD_NOT_BEGIN: u8 = 3;

/// Examine this node: is it as safe as it looks?
///
/// Asks the engine, the plugin, the host, the trust data kept here and the trust servers,
/// and says for each finding what it is, why it matters and what to do. Proves that the
/// engine really asks the plugin, with a call of its own. Changes nothing. Run it as root.
///
/// Exit code: 0 nothing worse than notes, 1 warnings, 2 problems, 3 could not begin.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    places: Places,

    #[command(flatten)]
    engine: EngineSocket,

    /// The plugin's name
    ///
    /// As in the engine's daemon.json.
    #[arg(long, value_name = "NAME", default_value = "countersign")]
    plugin: String,

    /// The plugin's socket [default: /run/docker/plugins/NAME.sock]
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,

    /// Leave the trust servers alone
    #[arg(long)]
    offline: bool,

    /// Print one JSON object a line for each finding
    ///
    /// Members: id, severity (ok, note, warning or problem), title, why, remedy. An id does
    /// not change its meaning from one version to the next.
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> ExitCode {
    start_log();
    match report(args) {
        Ok(Severity::Ok | Severity::Note) => ExitCode::SUCCESS,
        Ok(Severity::Warning) => ExitCode::from(1),
        Ok(Severity::Problem) => ExitCode::from(2),
        Err(error) => {
            eprintln!("countersign: {error}");
            ExitCode::from(COULD_NOT_BEGIN)
        }
    }
}

/// Examines and prints. The worst that was found.
fn report(args: &Args) -> Result<Severity, Box<dyn std::error::Error>> {
    let Args { places: Places { config, state_dir }, plugin, .. } = args;
    let socket = || PathBuf::from(format!("/run/docker/plugins/{plugin}.sock"));
    let subject = Subject {
        config: config.clone(),
        policy: load(config).map_err(|error| error.to_string()),
        state_dir: state_dir.clone(),
        engine: args.engine.path.clone(),
        plugin: plugin.clone(),
        socket: args.socket.clone().unwrap_or_else(socket),
        offline: args.offline,
        host: Host::default(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let findings = examine(&runtime.block_on(gather(subject)));
    let mut out = io::stdout().lock();
    if args.json {
        for finding in &findings {
            writeln!(out, "{}", serde_json::to_string(finding)?)?;
        }
    } else {
        out.write_all(Paint::for_stdout().findings(&findings).as_bytes())?;
    }
    Ok(findings.iter().map(|finding| finding.severity).max().unwrap_or(Severity::Ok))
}

/// Columns that a line may have, where its words allow.
const WIDTH: usize = 92;
/// Columns before a finding's text: two, the longest severity, two.
const MARGIN: usize = 11;

impl Paint {
    pub(super) fn findings(&self, findings: &[Finding]) -> String {
        let mut text = String::new();
        for group in findings.chunk_by(|one, next| one.group() == next.group()) {
            let Some(first) = group.first() else { continue };
            // Writing to a String cannot fail, here and below.
            let _ = writeln!(text, "{}", self.paint("39", heading(first.group())));
            for finding in group {
                self.finding(&mut text, finding);
            }
            text.push('\n');
        }
        text + &summary(findings)
    }

    fn finding(&self, text: &mut String, finding: &Finding) {
        let colour = match finding.severity {
            Severity::Ok => "32",
            Severity::Note => "36",
            Severity::Warning => "33",
            Severity::Problem => "31",
        };
        let severity = self.paint(colour, &format!("{:<7}", finding.severity));
        let _ = writeln!(text, "  {severity}  {}", finding.title);
        for (label, detail) in [("why:   ", &finding.why), ("to do: ", &finding.remedy)] {
            if !detail.is_empty() {
                let indent = MARGIN + label.len();
                let _ = writeln!(text, "{:MARGIN$}{label}{}", "", wrap(detail, indent));
            }
        }
    }
}

/// Breaks a text between words; lines after the first are indented.
fn wrap(text: &str, indent: usize) -> String {
    let mut wrapped = String::new();
    let mut column = indent;
    for word in text.split(' ') {
        let length = word.chars().count();
        if column > indent && column + 1 + length > WIDTH {
            let _ = write!(wrapped, "\n{:indent$}", "");
            column = indent;
        } else if column > indent {
            wrapped.push(' ');
            column += 1;
        }
        wrapped.push_str(word);
        column += length;
    }
    wrapped
}

fn heading(group: &str) -> &str {
    match group {
        "engine" => "Engine",
        "host" => "Host",
        "plugin" => "Plugin",
        "policy" => "Policy",
        "registry" => "Registry",
        "server" => "Trust servers",
        "trust-server" => "Trust server",
        "trust" => "Trust data on this node",
        other => other,
    }
}

fn summary(findings: &[Finding]) -> String {
    let mut parts = Vec::new();
    for severity in [Severity::Problem, Severity::Warning, Severity::Note] {
        match findings.iter().filter(|finding| finding.severity == severity).count() {
            0 => {}
            1 => parts.push(format!("1 {severity}")),
            count => parts.push(format!("{count} {severity}s")),
        }
    }
    if parts.is_empty() { "all is well\n".to_owned() } else { parts.join(", ") + "\n" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(id: &'static str, severity: Severity, why: &str, remedy: &str) -> Finding {
        let title = format!("title of {id}");
        Finding { id, severity, title, why: why.to_owned(), remedy: remedy.to_owned() }
    }

    #[test]
    fn reads_as_a_page() {
        let long = "one two three four ".repeat(6);
        let findings = [
            finding("engine.answers", Severity::Ok, "", ""),
            finding("engine.grpc", Severity::Problem, long.trim_end(), "do this"),
            finding("trust.expiry", Severity::Warning, "because", ""),
        ];
        assert_eq!(
            Paint::plain().findings(&findings),
            "Engine
  ok       title of engine.answers
  problem  title of engine.grpc
           why:   one two three four one two three four one two three four one two three
                  four one two three four one two three four
           to do: do this

Trust data on this node
  warning  title of trust.expiry
           why:   because

1 problem, 1 warning
"
        );
        assert_eq!(Paint::plain().findings(&findings[..1]).lines().last(), Some("all is well"));
    }
}
