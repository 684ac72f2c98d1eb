//! `countersign policy`: an operator looks at a policy before it goes out, and holds it against
//! the real registry and trust server.

use std::fs;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::node::{COUNTERSIGN, Engine, Files};
use crate::outcome::Outcome;
use crate::stage::Stage;

crate::stories![a_policy_is_shown_linted_and_tested];

fn policy(stage: &Stage, files: &Files, arguments: &[&str]) -> Outcome {
    let mut command = Command::new("timeout");
    command.args(["120", COUNTERSIGN, "policy"]).args(arguments).arg("--config");
    command.arg(&files.policy).stdin(Stdio::null());
    if arguments[0] == "test" {
        command.arg("--state-dir").arg(&files.state);
    }
    stage.run(&format!("countersign policy {}", arguments.join(" ")), &mut command)
}

fn a_policy_is_shown_linted_and_tested(stage: &Stage) {
    let (app, plain) = stage.signed_app();
    let bad = format!("{}:1", stage.repository("plain"));
    stage.push_unsigned(&bad, "unsigned");
    let rule = format!("[[rules]]\nrepository = \"{app}\"\nmode = \"audit\"");
    let engine = Engine::absent(stage);
    let files = Files::new(stage, &plain.clone().with(&rule).to_string(), &engine);
    let table = stage.dir().join("cases.toml");
    let path = table.to_str().unwrap();

    let shown = policy(stage, &files, &["show", "--json", "--for", &app]).expect_ok();
    let shown: Value = serde_json::from_str(shown.stdout()).unwrap();
    let settings = shown["settings"].as_array().unwrap();
    let mode = settings.iter().find(|one| one["key"] == "mode").unwrap();
    let text = fs::read_to_string(&files.policy).unwrap();
    let line = text.lines().position(|line| line == "mode = \"audit\"").unwrap() + 1;
    assert_eq!((&mode["rule"], &mode["line"]), (&app.as_str().into(), &line.into()));
    policy(stage, &files, &["show"]).expect_ok().and_says("CI (required): jenkins");
    policy(stage, &files, &["lint"])
        .expect_ok()
        .and_says(format!("a rule lets pass what is refused of {app}"));

    let case = |image: &str, expect: &str, code: &str| {
        format!("[[case]]\nimage = \"{image}\"\nexpect = \"{expect}\"\ncode = \"{code}\"\n")
    };
    let good = case(&format!("{app}:1"), "allow", "signed") + &case(&bad, "deny", "no-trust-data");
    fs::write(&table, &good).unwrap();
    policy(stage, &files, &["test", path]).expect_ok().and_says("2 of 2 as expected");

    // A policy for which nobody signed.
    let strict = plain.team("security", &["jenkins2"]).users_ca(stage.lab().client_ca());
    let strict = strict.with(&format!(
        "[[rules]]\nrepository = \"{app}\"\nrequire_signature_from = [\"security\"]"
    ));
    fs::write(&files.policy, strict.to_string()).unwrap();
    policy(stage, &files, &["test", path])
        .expect_code(1)
        .and_says(format!("FAILED  {app}:1 (line 2): expected allow, and it is deny"))
        .and_says("missing: a signature")
        .and_says("1 of 2 as expected");
    fs::write(&table, "[[case]]\nimage = \"x\"\nexpected = \"deny\"\n").unwrap();
    policy(stage, &files, &["test", path])
        .expect_code(2)
        .and_says(":3:1: unknown field `expected`");
}
