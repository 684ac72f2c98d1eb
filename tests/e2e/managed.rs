//! countersign as a plugin that the engine itself installs and runs: `config.json` at work.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::node::{COUNTERSIGN, Engine};
use crate::policy::Policy;
use crate::stage::Stage;

crate::stories![a_managed_plugin_guards_its_engine];

/// The program and the libraries it is linked with, as a root file system.
const ROOT_FILE_SYSTEM: &str = r#"
set -euo pipefail
mkdir -p "$2"
cp "$1" "$2/countersign"
ldd "$1" | grep --only-matching '/[^ ]*' | xargs cp --dereference --parents --target-directory "$2"
"#;

fn a_managed_plugin_guards_its_engine(stage: &Stage) {
    let (lab, app) = (stage.lab(), stage.repository("app"));
    stage.admit(&app, &["jenkins"]);
    stage.push_signed(&format!("{app}:1"), "hello", "jenkins");
    stage.push_unsigned(&format!("{app}:2"), "not signed");

    let plugin = stage.dir().join("plugin");
    let mut pack = Command::new("bash");
    pack.args(["-c", ROOT_FILE_SYSTEM, "bash", COUNTERSIGN]).arg(plugin.join("rootfs"));
    stage.run("(the plugin's root file system)", &mut pack).expect_ok();
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("config.json");
    std::fs::copy(manifest, plugin.join("config.json")).unwrap();

    let (config, memory) = (stage.dir().join("etc"), stage.dir().join("memory"));
    std::fs::create_dir(&config).unwrap();
    std::fs::create_dir(&memory).unwrap();
    let mut policy = Policy::requiring(lab, &["CI"]).team("CI", &["jenkins"]);
    for (from, to) in [(lab.ca(), "ca.crt"), (lab.certificate("jenkins"), "jenkins.pem")] {
        std::fs::copy(from, config.join(to)).unwrap();
    }
    policy = policy.ca("ca.crt".into()).user_known_by("jenkins", "jenkins.pem".into());
    std::fs::write(config.join("countersign.toml"), policy.to_string()).unwrap();

    let engine = Engine::unguarded(stage);
    let name = stage.fresh_name();
    engine.docker(format!("plugin create {name} {}", plugin.display())).expect_ok();
    for (mount, source) in [("config", &config), ("state", &memory), ("engine", &engine.socket())] {
        let source = source.display();
        engine.docker(format!("plugin set {name} {mount}.source={source}")).expect_ok();
    }
    engine.docker(format!("plugin enable {name}")).expect_ok();
    stage.script(&["engine", "stop", engine.name()]);
    engine.start(&["--plugin", &name]);

    let _wire = Wire::into(stage, &engine);
    engine.docker(format!("run --rm {app}:1")).expect_ok().and_says("hello");
    // It has a file system of its own, and so cannot follow the host's links.
    let blind = engine.docker(format!("run --rm -v /srv:/h {app}:1"));
    blind.expect_failure().and_says("run countersign as a service of the host to allow binds");
    let unsigned = format!("{app}:2");
    engine
        .docker(format!("run --rm {unsigned}"))
        .expect_denied(&crate::outcome::no_trust_data(&unsigned));
    engine
        .docker(format!("plugin disable --force {name}"))
        .expect_failure()
        .and_says("authorization denied by plugin");
    // In the engine's log, what is no error is none.
    let log = stage.script(&["engine", "logs", engine.name()]);
    let decided = log.text().lines().filter(|line| line.contains("recorder: decided"));
    let levels: Vec<_> = decided.map(|line| line.contains("level=info")).collect();
    assert!(!levels.is_empty() && levels.iter().all(|is_info| *is_info), "{}", log.text());
}

/// The trust server's port in the engine's own network, where its plugin looks for it.
struct Wire(Vec<Child>);

impl Wire {
    fn into(stage: &Stage, engine: &Engine<'_>) -> Self {
        let (port, middle) = (stage.lab().trust_port(), stage.dir().join("trust.sock"));
        let middle = middle.display();
        let outside =
            ["socat".into(), format!("UNIX-LISTEN:{middle},fork"), format!("TCP:127.0.0.1:{port}")];
        let inside = [
            "nsenter".into(),
            "--net".into(),
            "--target".into(),
            stage.script(&["engine", "pid", engine.name()]).text().into(),
            "socat".into(),
            format!("TCP-LISTEN:{port},bind=127.0.0.1,fork"),
            format!("UNIX-CONNECT:{middle}"),
        ];
        let spawn = |words: &[String]| {
            let mut command = Command::new("setpriv");
            command.args(["--pdeathsig", "KILL", "--"]).args(words).stdin(Stdio::null());
            command.spawn().unwrap()
        };
        Self(vec![spawn(&outside), spawn(&inside)])
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        for process in &mut self.0 {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}
