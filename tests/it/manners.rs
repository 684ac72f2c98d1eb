//! How all commands behave on a command line.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::node::Node;

const STRICT: &str = "[trust_configuration]\nrequire_content_trust = true\n";

fn countersign(arguments: &[&str]) -> Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_countersign"));
    program.args(arguments).env_clear().stdin(Stdio::null()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn help(of: &[&str]) -> String {
    let output = countersign(&[of, &["--help"]].concat());
    assert_eq!(output.status.code(), Some(0), "{of:?}: {output:?}");
    text(&output.stdout)
}

/// The commands that a help text lists.
fn listed(help: &str) -> Vec<String> {
    let Some((_, list)) = help.split_once("\nCommands:\n") else { return Vec::new() };
    let lines = list.lines().take_while(|line| line.starts_with("  "));
    let names = lines
        .filter(|line| !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next().map(ToOwned::to_owned));
    names.filter(|name| name != "help").collect()
}

/// All commands, and those below them.
fn commands() -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for name in listed(&help(&[])) {
        let below = listed(&help(&[&name]));
        found.extend(below.into_iter().map(|one| vec![name.clone(), one]));
        found.push(vec![name]);
    }
    assert!(found.len() >= 6, "{found:?}");
    found
}

fn words(command: &[String]) -> Vec<&str> {
    command.iter().map(String::as_str).collect()
}

#[test]
fn every_command_teaches_and_says_what_it_does_not_know() {
    for command in commands() {
        let command = words(&command);
        let long = help(&command);
        let output = countersign(&[&command[..], &["-h"]].concat());
        assert!(output.status.success(), "{command:?} -h");
        assert!(long.contains("Usage: "), "{command:?}");
        let first = long.lines().next().unwrap();
        assert!(first.len() >= 10 && !first.ends_with('.'), "{command:?}: {first}");
        assert!(long.lines().all(|line| line.chars().count() <= 100), "{command:?}: too wide");

        let output = countersign(&[&command[..], &["--no-such-option"]].concat());
        let code = if command[0] == "doctor" { 3 } else { 2 };
        assert_eq!(output.status.code(), Some(code), "{command:?}: {output:?}");
        assert_eq!(output.stdout, b"", "{command:?}");
        assert!(text(&output.stderr).contains("--no-such-option"), "{command:?}");
    }
    assert_eq!(countersign(&[]).status.code(), Some(2));
    assert_eq!(countersign(&["no-such-command"]).status.code(), Some(2));
    assert_eq!(countersign(&["--version"]).status.code(), Some(0));
}

/// The rows of a table: `| 0 | text |`.
fn rows(page: &str, head: &str) -> Vec<(String, String)> {
    let table = page.split(&format!("\n| {head} | |\n|---|---|\n")).nth(1).unwrap();
    let rows = table.lines().map_while(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    rows.filter_map(|row| row.split_once(" | "))
        .map(|(code, meaning)| (code.to_owned(), meaning.to_owned()))
        .collect()
}

#[test]
fn exit_codes_are_told_alike_everywhere() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operations.md");
    let page = fs::read_to_string(path).unwrap();
    let shown = help(&[]);
    let shown = shown.split("Exit codes:").nth(1).unwrap();
    let mut told = Vec::new();
    for head in ["code", "code of `doctor`"] {
        let rows = rows(&page, head);
        assert!(rows.len() >= 3, "{rows:?}");
        told.extend(rows);
    }
    let lines: Vec<_> = shown
        .lines()
        .filter_map(|line| line.trim().split_once("  "))
        .map(|(code, meaning)| (code.to_owned(), meaning.to_owned()))
        .collect();
    assert_eq!(lines, told);
}

#[test]
fn exit_codes_are_kept() {
    let node = Node::new(STRICT);
    let code = |command: &str, arguments: &[&str]| {
        node.command(command).args(arguments).output().unwrap().status.code()
    };
    assert_eq!(code("check", &["h.io/app:1"]), Some(1), "refused");
    assert_eq!(code("check", &["h.io/APP:1"]), Some(2), "no name of an image");
    assert_eq!(code("check", &[]), Some(2), "no image");
    let absent = node.path("absent.sock").display().to_string();
    assert_eq!(code("doctor", &["--offline", "--engine", &absent]), Some(2), "problems");

    node.configure("nonsense = true\n");
    assert_eq!(code("check", &["h.io/app:1"]), Some(2), "no policy");
    assert_eq!(code("serve", &[]), Some(2), "no policy");
    assert_eq!(code("doctor", &["--offline", "--engine", &absent]), Some(2), "a problem");

    node.configure(STRICT);
    fs::remove_dir_all(node.path("state")).unwrap();
    fs::write(node.path("state"), "a file").unwrap();
    assert_eq!(code("check", &["h.io/app:1"]), Some(2), "no state directory");

    let file = node.path("countersign.toml").display().to_string();
    assert_eq!(countersign(&["man", &file]).status.code(), Some(2), "no folder");
    assert_eq!(countersign(&["completions", "tcsh"]).status.code(), Some(2), "no such shell");
}

#[test]
fn manual_pages_say_what_help_says() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("man8");
    let output = countersign(&["man", folder.to_str().unwrap()]);
    assert!(output.status.success(), "{output:?}");
    let written: BTreeSet<String> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let name = |command: &[String]| {
        let words = [&["countersign".to_owned()], command].concat();
        format!("{}.8", words.join("-"))
    };
    let mut wanted: BTreeSet<String> = commands().iter().map(|command| name(command)).collect();
    wanted.insert("countersign.8".to_owned());
    assert_eq!(written, wanted);
    for command in commands() {
        let page = fs::read_to_string(folder.join(name(&command))).unwrap();
        let page = page.replace("\\-", "-");
        let help = help(&words(&command));
        let options = help.lines().map(str::trim_start).filter(|line| line.starts_with("--"));
        for option in options.filter_map(|line| line.split([' ', '[']).next()) {
            assert!(page.contains(option), "{option} is not in the page of {command:?}");
        }
    }
}

#[test]
fn shells_can_read_their_completions() {
    for shell in ["bash", "zsh", "fish"] {
        let output = countersign(&["completions", shell]);
        assert!(output.status.success(), "{output:?}");
        let script = text(&output.stdout);
        for command in commands() {
            assert!(script.contains(&command[0]), "{shell}: {command:?}");
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let script = dir.path().join("countersign");
    fs::write(&script, countersign(&["completions", "bash"]).stdout).unwrap();
    let complete = format!(
        "source {} && COMP_WORDS=(countersign ch) COMP_CWORD=1 && \
         _countersign countersign ch countersign && echo \"${{COMPREPLY[@]}}\"",
        script.display()
    );
    let output = Command::new("bash").args(["-c", &complete]).output().unwrap();
    assert!(text(&output.stdout).split_whitespace().any(|word| word == "check"), "{output:?}");
}

/// What a command writes to a terminal; `script` makes one.
fn on_a_terminal(node: &Node, variables: &[(&str, &str)]) -> String {
    let check = format!(
        "{} check --config {} --state-dir {} h.io/app:1",
        env!("CARGO_BIN_EXE_countersign"),
        node.path("countersign.toml").display(),
        node.path("state").display()
    );
    let mut script = Command::new("script");
    script.args(["--quiet", "--return", "--command", &check, "/dev/null"]).env_clear();
    script.env("PATH", "/usr/bin:/bin").env("TERM", "xterm").envs(variables.iter().copied());
    text(&script.stdin(Stdio::null()).output().unwrap().stdout)
}

#[test]
fn colours_are_for_terminals_and_for_those_who_want_them() {
    let node = Node::new(STRICT);
    let shown = on_a_terminal(&node, &[]);
    assert!(shown.contains("\u{1b}[1;31mdenied"), "{shown:?}");
    let shown = on_a_terminal(&node, &[("NO_COLOR", "1")]);
    assert!(shown.contains("denied") && !shown.contains('\u{1b}'), "{shown:?}");
    for command in commands() {
        let output = countersign(&[&words(&command)[..], &["--help"]].concat());
        assert!(!output.stdout.contains(&0x1b), "{command:?}");
    }
    let output = node.command("check").arg("h.io/app:1").output().unwrap();
    assert!(!output.stdout.contains(&0x1b) && !output.stderr.contains(&0x1b), "{output:?}");
}
