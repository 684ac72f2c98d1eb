//! `countersign breakglass`

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::cannot_begin;
use crate::source::{self, BreakGlass, GlassError};

/// Let everything pass for a while, in an emergency
///
/// For root on the node. While it is in force every call is allowed, and each that the
/// policy would refuse is logged as a warning, with your reason; `systemctl status
/// countersign` says so. It ends by itself. A plugin that runs notices within a second; one
/// that does not, when it starts. Where the plugin itself is what fails, take it out of the
/// engine's way instead: `countersign disable`.
///
/// Exit code: 0 done, or with --status: in force; 1 with --status: not in force; 2 could not
/// be done.
#[derive(clap::Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    /// Why, in one line: for the log, and for those who ask later
    #[arg(long, value_name = "TEXT", required_unless_present_any = ["end", "status"])]
    reason: Option<String>,

    /// For how long: 30m, 1h, 2h30m; 24h at most
    #[arg(
        long = "for",
        value_name = "DURATION",
        value_parser = length,
        required_unless_present_any = ["end", "status"]
    )]
    length: Option<Duration>,

    /// End it before its time
    #[arg(long, conflicts_with_all = ["reason", "length", "status"])]
    end: bool,

    /// Say whether it is in force
    #[arg(long, conflicts_with_all = ["reason", "length"])]
    status: bool,

    /// The plugin's state directory
    #[arg(long, value_name = "DIR", default_value = "/var/lib/countersign")]
    state_dir: PathBuf,
}

const EXAMPLES: &str = "Examples:
  countersign breakglass --reason \"trust server lost its disk\" --for 1h
  countersign breakglass --status
  countersign breakglass --end";

fn length(text: &str) -> Result<Duration, String> {
    let length: SignedDuration =
        text.parse().map_err(|_| "write a duration, such as 30m, 1h or 2h30m".to_owned())?;
    let length =
        Duration::try_from(length).map_err(|_| "it must be more than nothing".to_owned())?;
    if length.is_zero() || length > source::LONGEST_BREAK {
        return Err("it must be more than nothing, and 24h at most".to_owned());
    }
    Ok(length)
}

pub fn run(args: &Args) -> ExitCode {
    let now = source::now();
    let done = match (&args.reason, args.length) {
        (Some(reason), Some(length)) => start(&args.state_dir, reason, length, now),
        _ if args.end => end(&args.state_dir, now),
        _ => return status(&args.state_dir, now),
    };
    match done {
        Ok(said) => {
            println!("{said}");
            ExitCode::SUCCESS
        }
        Err(error) => cannot_begin(&*error),
    }
}

fn start(
    state: &Path,
    reason: &str,
    length: Duration,
    now: Timestamp,
) -> Result<String, Box<dyn std::error::Error>> {
    // Who is asked for a name proves nothing; root could write any.
    let by = ["SUDO_USER", "LOGNAME", "USER"].into_iter().find_map(|name| std::env::var(name).ok());
    let glass = BreakGlass::new(reason, &by.unwrap_or_default(), now, length)?;
    glass.write(state)?;
    Ok(format!(
        "every call is allowed until {}, and each that the policy would refuse is logged with: {}\n\
         a plugin that runs notices within a second; to end it: countersign breakglass --end",
        moment(glass.until),
        glass.reason
    ))
}

fn end(state: &Path, now: Timestamp) -> Result<String, Box<dyn std::error::Error>> {
    let was = in_force(BreakGlass::read(state), now).is_ok_and(|glass| glass.is_some());
    let removed = BreakGlass::remove(state)?;
    Ok(match (was, removed) {
        (true, true) => "ended: the policy is enforced again within a second".to_owned(),
        _ => "it was not in force: the policy is enforced".to_owned(),
    })
}

fn status(state: &Path, now: Timestamp) -> ExitCode {
    match in_force(BreakGlass::read(state), now) {
        Ok(Some(BreakGlass { reason, by, until, .. })) => {
            let by = if by.is_empty() { String::new() } else { format!(", by {by}") };
            println!("in force until {}{by}: {reason}", moment(until));
            ExitCode::SUCCESS
        }
        Ok(None) => {
            println!("not in force: the policy is enforced");
            ExitCode::FAILURE
        }
        Err(error) => cannot_begin(&error),
    }
}

/// What is in force by the wall clock; a plugin that runs also counts the time that passed.
fn in_force(
    read: Result<Option<BreakGlass>, GlassError>,
    now: Timestamp,
) -> Result<Option<BreakGlass>, GlassError> {
    read.map(|glass| glass.filter(|glass| now < glass.until))
}

fn moment(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, seconds) in [
            ("1h", Some(3600)),
            ("30m", Some(1800)),
            ("2h30m", Some(9000)),
            ("90s", Some(90)),
            ("24h", Some(86_400)),
            ("24h1s", None),
            ("0s", None),
            ("-1h", None),
            ("1", None),
            ("", None),
            ("soon", None),
            ("999999999999999999h", None),
        ] {
            assert_eq!(length(text).ok(), seconds.map(Duration::from_secs), "{text:?}");
        }
    }
}
