//! `countersign policy show`, `lint` and `test`, and what `explain` says of rules.

use std::fs;
use std::process::{Command, Output, Stdio};

use countersign::source::BreakGlass;
use serde_json::{Value, json};

use crate::node::Node;
use crate::repositories::data;
use crate::static_server::StaticServer;

const TWO: &str = "localhost:5443/fx/two-signers";

/// Line by line, so that its lines can be counted.
fn policy(server: &str) -> String {
    let users = data().join("users").display().to_string();
    format!(
        r#"[trust_configuration]
require_content_trust = true
require_signature_from = ["CI"] # of all
max_staleness = "0s"

[[registries]]
host_address = "localhost:5443"
ca_file = "ca.pem"
trust_server = "https://{server}"

[[rules]]
repository = "localhost:5443/**"
mode = "audit"

[[rules]]
repository = "localhost:5443/fx/*"
require_signature_from = ["CI", "QA"]
mode = "enforce"

[[exceptions]]
repository = "localhost:5443/fx/nothing"
owner = "alice"
reason = "moves"
until = 2099-12-31

[teams]
CI = ["jenkins"]
QA = ["alice"]

[users.jenkins]
certificates = ["{users}/jenkins/pub.pem"]

[users.alice]
certificates = ["{users}/alice/pub.pem"]
"#
    )
}

/// A node of that policy, whose trust server is `server`.
fn node(server: &StaticServer) -> Node {
    let node = Node::new(&policy(&server.host()));
    fs::write(node.path("ca.pem"), &server.ca).unwrap();
    node
}

/// `countersign policy COMMAND`, to its end.
fn run(node: &Node, command: &str, arguments: &[&str]) -> (i32, String, String) {
    let mut program = Command::new(env!("CARGO_BIN_EXE_countersign"));
    program.args(["policy", command, "--config"]).arg(node.path("countersign.toml"));
    if command == "test" {
        program.arg("--state-dir").arg(node.path("state"));
    }
    let output = program.args(arguments).env_clear().stdin(Stdio::null()).output().unwrap();
    told(output)
}

fn told(output: Output) -> (i32, String, String) {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn object(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// The setting of a key.
fn setting<'v>(settings: &'v Value, key: &str) -> &'v Value {
    let found = settings.as_array().unwrap().iter().find(|one| one["key"] == key);
    found.unwrap_or_else(|| panic!("{key}: {settings}"))
}

#[test]
fn show_tells_each_setting_and_its_line() {
    let node = node(&StaticServer::new(&["two-signers"]));
    let (code, out, err) = run(&node, "show", &["--json"]);
    assert_eq!((code, err.as_str()), (0, ""));
    let shown = object(&out);
    for (key, value, line) in [
        ("trust_configuration.require_content_trust", json!(true), json!(2)),
        ("trust_configuration.require_signature_from", json!(["CI"]), json!(3)),
        ("trust_configuration.max_staleness", json!("0s"), json!(4)),
        ("trust_configuration.mode", json!("enforce"), Value::Null),
        ("guard.mode", json!("enforce"), Value::Null),
        ("api.exec", json!(true), Value::Null),
        ("api.build", json!(false), Value::Null),
    ] {
        let found = setting(&shown["settings"], key);
        assert_eq!((&found["value"], &found["line"]), (&value, &line), "{key}");
    }
    let registry = &shown["registries"][0];
    assert_eq!((&registry["host"], &registry["line"]), (&json!("localhost:5443"), &json!(6)));
    assert_eq!(setting(&registry["settings"], "ca_file")["line"], 8);
    assert_eq!(setting(&registry["settings"], "trust_on_first_use")["line"], Value::Null);
    let rules = [&shown["rules"][0], &shown["rules"][1]];
    assert_eq!(rules.map(|rule| &rule["repository"]), ["localhost:5443/fx/*", "localhost:5443/**"]);
    assert_eq!(rules.map(|rule| &rule["line"]), [15, 11]);
    assert_eq!(setting(&rules[0]["settings"], "mode")["line"], 18);
    assert!(shown["exceptions"][0]["days_left"].as_i64() > Some(20_000), "{shown}");
    assert_eq!(shown["exceptions"][0]["line"], 20);
    let team = json!({ "team": "CI", "members": ["jenkins"], "required": true, "line": 27 });
    assert_eq!(shown["teams"][0], team);
    assert_eq!(shown["users"][1]["line"], 30);
    let key = &shown["users"][1]["keys"][0];
    assert!(key["key_id"].as_str().unwrap().starts_with("1fd16d35058792"), "{shown}");
    assert_eq!(key["counts"], true);

    let (code, text, _) = run(&node, "show", &[]);
    assert_eq!(code, 0);
    for part in [
        "trust_configuration.max_staleness = \"0s\"   # line 4\n",
        "trust_configuration.mode = \"enforce\"   # default\n",
        "api.exec = true   # default\n",
        "CI (required): jenkins   # line 27\n",
        "days left; alice: moves   # line 20\n",
        "key 1fd16d350587: a bare key, which has no end\n",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    assert!(!text.contains("BEGIN"), "{text}");
}

#[test]
fn show_for_one_repository_names_the_rule() {
    let node = node(&StaticServer::new(&["two-signers"]));
    let (code, out, _) = run(&node, "show", &["--json", "--for", &format!("{TWO}:1.0")]);
    assert_eq!(code, 0);
    let shown = object(&out);
    assert_eq!((&shown["repository"], &shown["registered"]), (&json!(TWO), &json!(true)));
    assert_eq!(shown["rules"], json!(["localhost:5443/fx/*", "localhost:5443/**"]));
    let teams = setting(&shown["settings"], "require_signature_from");
    assert_eq!(
        *teams,
        json!({ "key": "require_signature_from", "value": ["CI", "QA"],
                "rule": "localhost:5443/fx/*", "line": 17 })
    );
    assert_eq!(setting(&shown["settings"], "mode")["line"], 18);
    assert_eq!(setting(&shown["settings"], "require_content_trust")["line"], 2);

    let (_, text, _) = run(&node, "show", &["--for", "localhost:5443/deep/er/app"]);
    for part in [
        "mode = \"audit\"   # line 13, rule for localhost:5443/**\n",
        "require_signature_from = [\"CI\"]   # line 3\n",
        "allow_host_access = false   # default\n",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    let (code, text, _) = run(&node, "show", &["--for", "other.example/app"]);
    assert!(code == 0 && text.contains("its registry is not registered"), "{text}");
    let (code, _, err) = run(&node, "show", &["--for", "NO:NAME"]);
    assert!(code == 2 && err.contains("--for"), "{err}");
}

#[test]
fn lint_finds_what_doctor_finds_and_more() {
    let node = node(&StaticServer::new(&["two-signers"]));
    let (code, text, err) = run(&node, "lint", &[]);
    assert_eq!((code, err.as_str()), (0, ""), "{text}");
    assert!(text.contains("note     roots are trusted on first use"), "{text}");
    assert_eq!(run(&node, "lint", &["--strict"]).0, 1);

    let own = fs::read_to_string(node.path("countersign.toml")).unwrap();
    let worse = own
        .replace("max_staleness = \"0s\"", "mode = \"audit\"")
        .replace("2099-12-31", "2025-12-31")
        .replace("localhost:5443/**", "other.example/**")
        .replace("[teams]", "[api]\nbuild = true\n\n[teams]\nnobody = []");
    node.configure(&worse);
    let (code, out, _) = run(&node, "lint", &["--json"]);
    assert_eq!(code, 1, "{out}");
    let found: Vec<Value> = out.lines().map(object).collect();
    for (id, severity) in [
        ("policy.mode", "warning"),
        ("policy.exception", "warning"),
        ("policy.rule-registry", "warning"),
        ("policy.api", "note"),
        ("policy.team", "note"),
        ("policy.team-unused", "note"),
    ] {
        let one = found.iter().find(|one| one["id"] == id);
        let one = one.unwrap_or_else(|| panic!("{id}: {out}"));
        assert_eq!(one["severity"], severity, "{one}");
        assert!(one["remedy"].as_str().is_some_and(|remedy| !remedy.is_empty()), "{one}");
    }

    node.configure("[trust_configuration]\nrequire_content_trust = true\nmoed = \"audit\"\n");
    for command in ["lint", "show"] {
        let (code, out, err) = run(&node, command, &[]);
        assert_eq!((code, out.as_str()), (2, ""), "{command}");
        assert!(err.contains("countersign.toml:3:1: unknown field `moed`"), "{command}: {err}");
    }
}

#[test]
fn test_holds_a_table_against_the_policy() {
    let server = StaticServer::new(&["two-signers"]);
    let node = node(&server);
    let table = node.path("cases.toml").display().to_string();
    let write = |cases: &[(&str, &str, Option<&str>)]| {
        let case = |(image, expect, code): &(&str, &str, Option<&str>)| {
            let code = code.map(|code| format!("code = {code:?}\n")).unwrap_or_default();
            format!("[[case]]\nimage = {image:?}\nexpect = {expect:?}\nnote = \"why\"\n{code}\n")
        };
        fs::write(&table, cases.iter().map(case).collect::<String>()).unwrap();
    };
    let (signed, half) = (format!("{TWO}:1.0"), format!("{TWO}:2.0"));
    write(&[
        (&signed, "allow", None),
        (&signed, "allow", Some("signed")),
        (&half, "deny", Some("signature-missing")),
        ("localhost:5443/fx/nothing:1", "allow", Some("exception")),
        ("other.example/app", "deny", Some("unregistered-registry")),
    ]);
    let (code, text, err) = run(&node, "test", &[&table]);
    assert_eq!((code, err.as_str()), (0, ""), "{text}");
    assert!(text.contains(&format!("ok      {half}: deny (signature-missing)\n")), "{text}");
    assert!(text.ends_with("\n5 of 5 as expected\n"), "{text}");

    write(&[(&half, "allow", None), (&half, "deny", Some("not-signed")), (&signed, "deny", None)]);
    let (code, text, _) = run(&node, "test", &[&table]);
    assert_eq!(code, 1, "{text}");
    for part in [
        format!("FAILED  {half} (line 2): expected allow, and it is deny (signature-missing)\n"),
        "expected the code not-signed, and it is signature-missing".to_owned(),
        format!("FAILED  {signed} (line 13): expected deny, and it is allow (signed)"),
        "expected because: why".to_owned(),
        "missing: a signature".to_owned(),
        "\n0 of 3 as expected\n".to_owned(),
    ] {
        assert!(text.contains(&part), "{part}\n{text}");
    }
    let (code, out, _) = run(&node, "test", &["--json", "--offline", &table]);
    assert_eq!(code, 1);
    let first = object(out.lines().next().unwrap());
    assert_eq!((&first["line"], &first["passed"]), (&json!(2), &json!(false)), "{first}");
    assert_eq!((&first["expected"], &first["verdict"]), (&json!("allow"), &json!("deny")));
    assert_eq!(first["missing_teams"], json!(["QA"]), "{first}");

    for (text, what) in [
        ("", "cases.toml:1:1: there is no [[case]]"),
        ("[[case]]\nimage = \"h.io/a\"\nexpects = \"deny\"\n", "cases.toml:3:1: unknown field"),
    ] {
        fs::write(&table, text).unwrap();
        let (code, _, err) = run(&node, "test", &[&table]);
        assert!(code == 2 && err.contains(what), "{err}");
    }
    fs::remove_file(&table).unwrap();
    assert_eq!(run(&node, "test", &[&table]).0, 2);
}

#[test]
fn explain_names_the_rule_the_exception_and_the_glass() {
    let server = StaticServer::new(&["two-signers"]);
    let node = node(&server);
    let explain = |arguments: &[&str]| {
        told(node.command("explain").arg("--no-engine").args(arguments).output().unwrap())
    };
    let half = format!("{TWO}:2.0");
    let (code, text, _) = explain(&[&half]);
    assert_eq!(code, 1, "{text}");
    for part in [
        "confirmed by its trust server 0 minutes ago",
        "demanded by the rule for localhost:5443/fx/*: a signature by a member of each of",
        "mode: enforce, by the rule for localhost:5443/fx/*",
        "the rule for localhost:5443/fx/* counts",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    let (_, out, _) = explain(&["--json", &half]);
    let told = object(&out);
    let repository = &told["repositories"][0];
    assert_eq!(
        repository["demand"],
        json!({ "rule": "localhost:5443/fx/*", "mode": "enforce",
                "mode_rule": "localhost:5443/fx/*" })
    );
    assert!(repository["confirmed"].is_string(), "{told}");
    assert_eq!((&told["rule"], &told["leave"]), (&json!("localhost:5443/fx/*"), &Value::Null));

    let (code, text, _) = explain(&["localhost:5443/fx/nothing:1"]);
    assert_eq!(code, 0, "{text}");
    assert!(
        text.contains("allowed: the exception of alice for localhost:5443/fx/nothing"),
        "{text}"
    );
    assert!(text.contains("else denied (no-trust-data): "), "{text}");

    let now = countersign::source::now();
    let hour = std::time::Duration::from_secs(3600);
    BreakGlass::new("registry lost", "root", now, hour)
        .unwrap()
        .write(&node.path("state"))
        .unwrap();
    let (code, text, _) = explain(&[&half]);
    assert_eq!(code, 1, "what the policy says is explained all the same: {text}");
    assert!(text.contains("(registry lost): the plugin lets every call pass"), "{text}");
    assert_eq!(object(&explain(&["--json", &half]).1)["break_glass"]["reason"], "registry lost");
}
