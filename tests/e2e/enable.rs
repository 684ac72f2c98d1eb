//! `countersign enable` and `disable` on engines that run, and a node set up by commands alone.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::node::{COUNTERSIGN, Engine, Plugin};
use crate::outcome::Outcome;
use crate::policy::Policy;
use crate::stage::Stage;

/// The stories in which engines of other versions take part, too.
pub const EVERYWHERE: &[(&str, crate::stage::Story)] = &[(
    concat!(module_path!(), "::from_nothing_to_enforcement_and_back"),
    from_nothing_to_enforcement_and_back,
)];

crate::stories![
    from_nothing_to_enforcement_and_back,
    a_dead_plugin_changes_nothing,
    undoes_itself_where_the_engine_does_not_answer,
    gets_out_while_the_plugin_is_dead,
    an_engine_that_ends_starts_again_as_it_was,
    a_file_that_the_engine_does_not_read_goes_again,
    leaves_an_engine_with_a_flag_alone,
    leaves_an_engine_with_a_managed_plugin_of_that_name_alone,
    a_user_added_by_bundle_and_team_signs_what_runs,
];

/// An engine without a plugin, and where its configuration is.
fn unguarded(stage: &Stage) -> (Engine<'_>, PathBuf, String) {
    let engine = Engine::unguarded(stage);
    let file = engine.socket().with_file_name("daemon.json");
    let text = fs::read_to_string(&file).unwrap();
    (engine, file, text)
}

/// `countersign COMMAND` for this engine and this plugin's name.
fn countersign(
    stage: &Stage,
    engine: &Engine<'_>,
    name: &str,
    command: &str,
    more: &[&str],
) -> Outcome {
    let mut program = Command::new("timeout");
    program
        .args(["180", COUNTERSIGN, command, "--plugin", name, "--engine"])
        .arg(engine.socket())
        .args(more)
        .stdin(Stdio::null());
    stage.run(&format!("countersign {command} {}", more.join(" ")), &mut program)
}

fn enable(stage: &Stage, engine: &Engine<'_>, plugin: &Plugin<'_>, more: &[&str]) -> Outcome {
    let files = plugin.files();
    let [policy, memory] = [&files.policy, &files.state].map(|path| path.to_str().unwrap());
    let places = ["--config", policy, "--state-dir", memory];
    countersign(stage, engine, plugin.name(), "enable", &[&places, more].concat())
}

fn from_nothing_to_enforcement_and_back(stage: &Stage) {
    let (app, policy) = stage.signed_app();
    stage.push_unsigned(&format!("{app}:2"), "unsigned");
    let (engine, file, before) = unguarded(stage);
    let plugin = Plugin::start(stage, &policy, &engine);
    engine.docker(format!("run --rm {app}:2")).expect_ok();

    enable(stage, &engine, &plugin, &["--dry-run"])
        .expect_ok()
        .and_says(format!("+  \"authorization-plugins\": [\"{}\"]", plugin.name()));
    enable(stage, &engine, &plugin, &[]).expect_code(2).and_says("add --yes");
    assert_eq!(fs::read_to_string(&file).unwrap(), before);

    enable(stage, &engine, &plugin, &["--yes"])
        .expect_ok()
        .and_says("the engine asks the plugin (proven by a call just made)");
    let written = fs::read_to_string(&file).unwrap();
    assert!(written.starts_with(before.trim_end_matches("\n}\n")), "{written}");
    assert_eq!(fs::read_to_string(file.with_extension("json.before-countersign")).unwrap(), before);
    engine.docker(format!("run --rm {app}:2")).expect_code(125).and_says("authorization denied");
    engine.docker(format!("run --rm {app}:1")).expect_ok();
    enable(stage, &engine, &plugin, &["--yes"]).expect_ok().and_says("asks the plugin already");

    // What was written holds when the engine is started anew, too.
    stage.script(&["engine", "restart", engine.name()]);
    engine.docker(format!("run --rm {app}:2")).expect_code(125).and_says("authorization denied");

    for said in ["asks", "does not name the plugin"] {
        countersign(stage, &engine, plugin.name(), "disable", &[]).expect_ok().and_says(said);
        assert_eq!(fs::read_to_string(&file).unwrap(), before);
        engine.docker(format!("run --rm {app}:2")).expect_ok();
    }
}

fn a_dead_plugin_changes_nothing(stage: &Stage) {
    let (_, policy) = stage.signed_app();
    let (engine, file, before) = unguarded(stage);
    let mut plugin = Plugin::start(stage, &policy, &engine);
    plugin.signal("KILL");
    plugin.await_end();
    enable(stage, &engine, &plugin, &["--yes"])
        .expect_code(2)
        .and_says("the plugin does not answer")
        .and_says("to do: start it");
    // One that hangs is no better.
    plugin.start_again();
    plugin.signal("STOP");
    enable(stage, &engine, &plugin, &["--yes"]).expect_code(2).and_says("did not answer in");
    assert_eq!(fs::read_to_string(&file).unwrap(), before);
    assert_eq!(
        fs::read_dir(file.parent().unwrap())
            .unwrap()
            .flatten()
            .filter(|entry| { entry.file_name().to_string_lossy().contains("before-countersign") })
            .count(),
        0,
        "nothing was written at all"
    );
    engine.docker("ps").expect_ok();
}

/// The plugin stops in its tracks just when the engine has begun to ask it, and the engine takes
/// a while to let go of it: a call that is made meanwhile is not answered.
fn undoes_itself_where_the_engine_does_not_answer(stage: &Stage) {
    let (app, policy) = stage.signed_app();
    stage.push_unsigned(&format!("{app}:2"), "unsigned");
    let (engine, file, before) = unguarded(stage);
    let plugin = Plugin::start(stage, &policy, &engine);
    let pid = stage.script(&["engine", "pid", engine.name()]);
    let reload = format!(
        "test ! -e {mark} || {{ (sleep 2; kill -HUP {dockerd}) & exit 0; }}; kill -HUP {dockerd}; \
         until curl -s --unix-socket {socket} -X POST http://d/commit?container=none | grep -q \
         'denied by plugin'; do sleep 0.1; done; touch {mark}; kill -STOP {plugin}",
        dockerd = pid.text(),
        mark = stage.dir().join("stopped").display(),
        socket = engine.socket().display(),
        plugin = plugin.pid(),
    );
    enable(stage, &engine, &plugin, &["--yes", "--timeout", "5", "--reload-command", &reload])
        .expect_code(1)
        .and_says("the engine does not ask the plugin")
        .and_says("all is as it was");
    assert!(stage.dir().join("stopped").exists(), "the engine did ask it");
    assert_eq!(fs::read_to_string(&file).unwrap(), before);
    engine.docker(format!("run --rm {app}:2")).expect_ok();
}

fn gets_out_while_the_plugin_is_dead(stage: &Stage) {
    let (app, policy) = stage.signed_app();
    stage.push_unsigned(&format!("{app}:2"), "unsigned");
    let (engine, file, before) = unguarded(stage);
    let mut plugin = Plugin::start(stage, &policy, &engine);
    enable(stage, &engine, &plugin, &["--yes"]).expect_ok();
    plugin.signal("KILL");
    plugin.await_end();
    // No call passes: the engine waits for its plugin and gives up.
    engine.docker("ps").expect_code(1).and_says("plugin");
    countersign(stage, &engine, plugin.name(), "disable", &["--dry-run"])
        .expect_ok()
        .and_says("-  \"authorization-plugins\"");
    countersign(stage, &engine, plugin.name(), "disable", &[])
        .expect_ok()
        .and_says("the engine answers");
    assert_eq!(fs::read_to_string(&file).unwrap(), before);
    engine.docker(format!("run --rm {app}:2")).expect_ok();
}

/// An engine that finds its plugin gone when it reloads ends: the file it starts with again must
/// not name it.
fn an_engine_that_ends_starts_again_as_it_was(stage: &Stage) {
    let (app, policy) = stage.signed_app();
    let (engine, file, before) = unguarded(stage);
    let plugin = Plugin::start(stage, &policy, &engine);
    let pid = stage.script(&["engine", "pid", engine.name()]);
    let reload = format!("kill -KILL {}; kill -HUP {}", plugin.pid(), pid.text());
    enable(stage, &engine, &plugin, &["--yes", "--timeout", "60", "--reload-command", &reload])
        .expect_code(1)
        .and_says("the engine does not ask the plugin: the engine's process has ended")
        .and_says("was put back, and the engine does not answer yet");
    assert_eq!(fs::read_to_string(&file).unwrap(), before);
    stage.script(&["engine", "restart", engine.name()]);
    engine.docker(format!("run --rm {app}:1")).expect_ok();
}

fn leaves_an_engine_with_a_managed_plugin_of_that_name_alone(stage: &Stage) {
    let (_, policy) = stage.signed_app();
    let (engine, file, before) = unguarded(stage);
    let plugin = Plugin::start(stage, &policy, &engine);
    let folder = stage.dir().join("managed");
    fs::create_dir_all(folder.join("rootfs")).unwrap();
    fs::write(folder.join("rootfs/file"), "").unwrap();
    let manifest = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("config.json");
    fs::copy(manifest, folder.join("config.json")).unwrap();
    engine.docker(format!("plugin create {} {}", plugin.name(), folder.display())).expect_ok();
    enable(stage, &engine, &plugin, &["--yes"])
        .expect_code(2)
        .and_says(format!("a managed plugin called {}", plugin.name()));
    assert_eq!(fs::read_to_string(&file).unwrap(), before);
}

fn a_file_that_the_engine_does_not_read_goes_again(stage: &Stage) {
    let (_, policy) = stage.signed_app();
    let (engine, file, before) = unguarded(stage);
    let plugin = Plugin::start(stage, &policy, &engine);
    // The lab's engines have a /run of their own.
    let elsewhere = PathBuf::from(format!("/run/{}.json", plugin.name()));
    let other = stage.dir().join("other.json");
    for (file, code, said) in [
        (&elsewhere, 2, "the engine does not see"),
        (&other, 1, "it carries out calls without asking the plugin"),
    ] {
        let named = ["--yes", "--timeout", "3", "--daemon-json", file.to_str().unwrap()];
        enable(stage, &engine, &plugin, &named).expect_code(code).and_says(said);
        assert!(!file.exists(), "{}", file.display());
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), before);
}

fn leaves_an_engine_with_a_flag_alone(stage: &Stage) {
    let (_, policy) = stage.signed_app();
    let engine = Engine::absent(stage);
    let plugin = Plugin::start(stage, &policy, &engine);
    engine.start(&["--plugin", plugin.name(), "--flag"]);
    let file = engine.socket().with_file_name("daemon.json");
    let before = fs::read_to_string(&file).unwrap();
    enable(stage, &engine, &plugin, &["--yes"])
        .expect_code(2)
        .and_says("on its command line (--authorization-plugin")
        .and_says("to do: take the flag out");
    assert_eq!(fs::read_to_string(&file).unwrap(), before);
    countersign(stage, &engine, plugin.name(), "disable", &[])
        .expect_ok()
        .and_says("asks it again when it is started anew");
}

/// What the chapter on getting started has people type.
fn a_user_added_by_bundle_and_team_signs_what_runs(stage: &Stage) {
    let app = stage.repository("app");
    stage.admit(&app, &["jenkins", "moby"]);
    stage.push_signed(&format!("{app}:1"), "hello", "jenkins");
    let lab = stage.lab();
    let policy = stage.dir().join("etc/countersign.toml");
    let edit = |words: &[&str]| {
        let mut program = Command::new(COUNTERSIGN);
        program.args(words).arg("--yes").arg("--config").arg(&policy).stdin(Stdio::null());
        stage.run(&format!("countersign {}", words.join(" ")), &mut program)
    };
    let (ca, registry, server) = (lab.ca(), lab.registry(), lab.trust_server());
    let add =
        ["registry", "add", &registry, "--ca", ca.to_str().unwrap(), "--trust-server", &server];
    edit(&add).expect_ok().and_says("is registered");
    let mut test = Command::new(COUNTERSIGN);
    test.args(["registry", "test", &registry, "--config"]).arg(&policy);
    stage.run("countersign registry test", &mut test).expect_ok().and_says("all is well");

    let bundle = |user: &str| lab.certificate(user).parent().unwrap().display().to_string();
    edit(&["user", "add", "moby", &bundle("moby")]).expect_ok();
    edit(&["team", "add", "CI", "moby", "--require"]).expect_ok().and_says("every image needs");

    let (engine, _, _) = unguarded(stage);
    let mut plugin = Plugin::start(stage, &Policy::requiring(lab, &[]), &engine);
    plugin.signal("TERM");
    plugin.await_end();
    plugin.obey(&policy);
    enable(stage, &engine, &plugin, &["--yes"]).expect_ok();
    engine
        .docker(format!("run --rm {app}:1"))
        .expect_code(125)
        .and_says("a member of team CI (moby)");

    // Jenkins' bundle comes as a zip file with the key in it, which stays there.
    let zip = stage.dir().join("ucp-bundle-jenkins.zip");
    let mut pack = Command::new("python3");
    pack.args(["-m", "zipfile", "-c"]).arg(&zip);
    pack.args(["cert.pem", "key.pem"].map(|file| format!("{}/{file}", bundle("jenkins"))));
    stage.run("python3 -m zipfile -c (a bundle)", &mut pack).expect_ok();
    edit(&["user", "add", "jenkins", zip.to_str().unwrap()]).expect_ok();
    edit(&["team", "add", "CI", "jenkins"]).expect_ok();
    let kept = stage.run(
        "grep",
        Command::new("grep").args(["-rl", "PRIVATE KEY"]).arg(policy.parent().unwrap()),
    );
    kept.expect_code(1);

    plugin.signal("TERM");
    plugin.await_end();
    plugin.start_again();
    engine.docker(format!("run --rm {app}:1")).expect_ok();

    let listed = edit_list(stage, &policy);
    let id = listed.text().lines().find(|line| line.contains("\"jenkins\"")).unwrap().to_owned();
    let id: serde_json::Value = serde_json::from_str(&id).unwrap();
    let id = id["keys"][0]["id"].as_str().unwrap().to_owned();
    edit(&["user", "revoke-key", "jenkins", &id[..12]]).expect_ok().and_says("counts no more");
    plugin.signal("TERM");
    plugin.await_end();
    plugin.start_again();
    engine.docker(format!("run --rm {app}:1")).expect_code(125).and_says("authorization denied");
}

fn edit_list(stage: &Stage, policy: &std::path::Path) -> Outcome {
    let mut program = Command::new(COUNTERSIGN);
    program.args(["user", "list", "--json", "--config"]).arg(policy);
    stage.run("countersign user list --json", &mut program).expect_ok()
}
