//! Two engines of one version, the same but for the plugin, and client command lines that shall
//! not know one from the other.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::node::{Background, Engine, Make, Node};
use crate::outcome::Outcome;
use crate::policy::Policy;
use crate::stage::Stage;

/// What two runs of one command may differ in: numbers and times that nobody chose, and where the
/// engine stands. Nothing else is overlooked.
const NORMALISE: &str = r#"
s/(sha256:)?\b[0-9a-f]{64}\b/ID/g
s/\b[0-9a-f]{12}\b/ID/g
s/\b[0-9a-z]{25}\b/ID/g
s/\b([0-9a-f]{2}:){5}[0-9a-f]{2}\b/MAC/g
s/\b20[0-9]{2}-[0-9]{2}-[0-9]{2}[T ][0-9:.]+(Z| ?[+-][0-9:]+( [A-Z]{3})?)?/TIME/g
s/\b(Less than a|About an?|[0-9]+) (second|minute|hour)s?( ago)?/A WHILE/g
s/cs-[0-9]+-[0-9]+-[0-9]+/ENGINE/g
s/\/[^ ":]*\/(free|guarded)\b/HERE/g
/: (Waiting|Downloading|Verifying Checksum|Download complete|Extracting)/d
s/ +/ /g
s/ +$//
"#;

/// Words that command lines may use besides programs.
const WORDS: &str = r#"
terminal() { script --quiet --return --command "$*" /dev/null | tr --delete '\000' | sed 's/\^@//g'; }
await() { until [ "$("${@:2}")" = "$1" ]; do sleep 0.1; done; }
ask() { curl --silent --show-error --fail-with-body --unix-socket "$DOCKER_SOCKET" "$@"; }
"#;

/// An engine that nobody guards and a guarded one.
pub struct Twins<'a> {
    stage: &'a Stage,
    path: String,
    /// Where command lines are typed. The plugin's files are elsewhere, as no bind may reach them.
    homes: TempDir,
    variables: Vec<(&'static str, String)>,
    free: Engine<'a>,
    pub guarded: Node<'a>,
}

impl<'a> Twins<'a> {
    #[track_caller]
    pub fn new(stage: &'a Stage, policy: &Policy, make: Make) -> Self {
        Self::prepared(stage, policy, make, |_| {})
    }

    /// Both have been something before one of them got its guard.
    #[track_caller]
    pub fn prepared(
        stage: &'a Stage,
        policy: &Policy,
        make: Make,
        prepare: impl Fn(&Engine<'a>),
    ) -> Self {
        let [free, guarded] = [(); 2].map(|()| Engine::made(stage, make));
        for engine in [&free, &guarded] {
            engine.start(&[]);
            prepare(engine);
        }
        let guarded = Node::guarding(stage, guarded, policy);
        let homes = tempfile::tempdir().unwrap();
        for side in ["free", "guarded"] {
            std::fs::create_dir(homes.path().join(side)).unwrap();
        }
        let variables = vec![("REGISTRY", stage.lab().registry())];
        // The CLI is of the engine's version.
        let own = make.folder(stage).map(|folder| format!("{}/usr/bin:", folder.display()));
        let path = own.unwrap_or_default() + "/usr/sbin:/usr/bin:/sbin:/bin";
        Self { stage, path, homes, variables, free, guarded }
    }

    /// Something that command lines may name as `$NAME`.
    pub fn knowing(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.variables.push((name, value.into()));
        self
    }

    /// A file in the folder that command lines are typed in.
    pub fn file(self, name: &str, text: &str) -> Self {
        for side in ["free", "guarded"] {
            std::fs::write(self.homes.path().join(side).join(name), text).unwrap();
        }
        self
    }

    /// Each line of the table succeeds on both engines, and says the same.
    #[track_caller]
    pub fn behave_the_same(&self, flow: &str) {
        let difference = rows(flow).iter().find_map(|line| self.differ(line));
        if let Some(difference) = difference {
            panic!("{difference}");
        }
    }

    /// How what came of a command line with the plugin differs from what should have.
    fn differ(&self, line: &str) -> Option<String> {
        let free = self.typed("free", &self.free, line);
        let guarded = self.typed("guarded", &self.guarded.engine, line);
        let (free, guarded) = (free.outcome(self.stage), guarded.outcome(self.stage));
        let wanted = self.normalised("wanted", &free);
        let said = self.normalised("said", &guarded);
        let diff = Command::new("diff").arg("--unified").args([wanted, said]).output().unwrap();
        let differs = String::from_utf8_lossy(&diff.stdout);
        match (free.succeeded(), diff.status.success()) {
            (true, true) => None,
            (true, false) => Some(format!("with the plugin: {guarded}\n{differs}")),
            (false, _) => Some(format!("the line itself fails: {free}")),
        }
    }

    /// A command line, on the guarded engine alone.
    pub fn on_the_guarded(&self, line: &str) -> Outcome {
        self.typed("guarded", &self.guarded.engine, line).outcome(self.stage)
    }

    fn typed(&self, side: &str, engine: &Engine<'_>, line: &str) -> Background {
        let folder = self.homes.path().join(side);
        let lab = self.stage.lab().script(["engine", "exec", engine.name()]);
        let inside: Vec<_> = lab.get_args().skip(2).map(|word| word.to_string_lossy()).collect();
        let mut shell = Command::new("timeout");
        shell
            .args([
                "--kill-after=5",
                "60",
                "bash",
                "-o",
                "pipefail",
                "-c",
                &format!("{WORDS}{line}"),
            ])
            .current_dir(&folder)
            .env_clear()
            .env("PATH", &self.path)
            .env("HOME", &folder)
            .env("LANG", "C.UTF-8")
            .env("TERM", "dumb")
            .env("COMPOSE_PROJECT_NAME", "shop")
            .env("DOCKER_HOST", format!("unix://{}", engine.socket().display()))
            .env("DOCKER_SOCKET", engine.socket())
            .env("INSIDE", inside.join(" "))
            .envs(self.variables.iter().cloned())
            .stdin(Stdio::null());
        Background::start(format!("({side}) {line}"), shell)
    }

    /// A file with all that was said.
    fn normalised(&self, name: &str, outcome: &Outcome) -> PathBuf {
        let file = self.stage.dir().join(name);
        std::fs::write(&file, outcome.said()).unwrap();
        let mut sed = Command::new("sed");
        sed.args(["--in-place", "--regexp-extended", "--expression", NORMALISE]).arg(&file);
        assert!(sed.status().unwrap().success(), "the replacements are in order");
        file
    }
}

/// The lines of a table, without comments; one that ends in a backslash goes on in the next.
fn rows(flow: &str) -> Vec<String> {
    let joined = flow.replace("\\\n", " ");
    let is_row = |line: &&str| !line.is_empty() && !line.starts_with('#');
    joined.lines().map(str::trim).filter(is_row).map(ToOwned::to_owned).collect()
}
