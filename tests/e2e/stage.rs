//! What one story plays with: names nobody else uses, people to sign, and a record of all that
//! was said, for when the story ends badly.

use std::cell::{Cell, RefCell};
use std::fmt::Write;
use std::fs::File;
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use libtest_mimic::Failed;

use crate::lab::{Lab, lab};
use crate::node::Make;
use crate::outcome::Outcome;
use crate::policy::Policy;

/// A test.
pub type Story = fn(&Stage);

/// Keys that every story's people share, so that policies can name them.
const PEOPLE: [&str; 6] = ["admin", "jenkins", "moby", "alice", "dave", "mallory"];

pub struct Stage {
    lab: &'static Lab,
    make: Make,
    number: usize,
    dir: PathBuf,
    made: Cell<usize>,
    transcript: RefCell<String>,
    logs: RefCell<Vec<PathBuf>>,
}

thread_local! {
    static PANIC: RefCell<String> = const { RefCell::new(String::new()) };
}

impl Stage {
    /// Plays the story with engines of this make. One that fails comes with everything said on
    /// the way.
    pub fn play(story: Story, make: Make) -> Result<(), Failed> {
        static NUMBER: AtomicUsize = AtomicUsize::new(1);
        static QUIET: Once = Once::new();
        static TOLD: AtomicBool = AtomicBool::new(false);
        QUIET.call_once(|| {
            let keep = |panic: &PanicHookInfo<'_>| {
                PANIC.with_borrow_mut(|text| *text = panic.to_string());
            };
            panic::set_hook(Box::new(keep));
        });
        // Without a lab every story fails; one says why.
        let lab = lab().map_err(|why| {
            if TOLD.swap(true, Ordering::Relaxed) { Failed::without_message() } else { why.into() }
        })?;
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let dir = lab.root().join(number.to_string());
        std::fs::create_dir(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
        let stage = Self {
            lab,
            make,
            number,
            dir,
            made: Cell::new(0),
            transcript: RefCell::default(),
            logs: RefCell::default(),
        };
        panic::catch_unwind(AssertUnwindSafe(|| story(&stage))).map_err(|_| {
            let panic = PANIC.with_borrow(Clone::clone);
            format!("{panic}\n\n{}", stage.record()).into()
        })
    }

    fn record(&self) -> String {
        let mut record = format!("---- what was done ----{}\n", self.transcript.borrow());
        for log in self.logs.borrow().iter() {
            let text = std::fs::read_to_string(log).unwrap_or_else(|error| error.to_string());
            write!(record, "\n---- {} ----\n{text}", log.display()).expect("a string takes it");
        }
        record
    }

    pub fn lab(&self) -> &'static Lab {
        self.lab
    }

    /// The engines that this story is about, unless it says otherwise.
    pub fn make(&self) -> Make {
        self.make
    }

    /// A folder of this story's own.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Runs a program and remembers what it said.
    pub fn run(&self, command: &str, program: &mut Command) -> Outcome {
        let outcome = Outcome::of(command, program);
        self.remember(&outcome);
        outcome
    }

    /// Puts on record what came of a command.
    pub fn remember(&self, outcome: &Outcome) {
        self.transcript.borrow_mut().push_str(&outcome.to_string());
    }

    /// `scripts/lab`, which shall succeed.
    #[track_caller]
    pub fn script(&self, arguments: &[&str]) -> Outcome {
        let command = format!("scripts/lab {}", arguments.join(" "));
        self.run(&command, &mut self.lab.script(arguments)).expect_ok()
    }

    /// A file of this story's own, shown when the story fails.
    pub fn log_file(&self, name: &str) -> PathBuf {
        let path = self.dir.join(name);
        self.logs.borrow_mut().push(path.clone());
        path
    }

    /// A name that no other story, and no other run of the tests on this machine, has.
    pub fn fresh_name(&self) -> String {
        self.made.set(self.made.get() + 1);
        format!("cs-{}-{}-{}", std::process::id(), self.number, self.made.get())
    }

    /// A repository of this story's own in the lab's registry.
    pub fn repository(&self, name: &str) -> String {
        format!("{}/story{}/{name}", self.lab.registry(), self.number)
    }

    /// One of the lab's users, with key stores of this story's own.
    pub fn user(&self, name: &'static str) -> User<'_> {
        assert!(PEOPLE.contains(&name), "the lab has no user {name}");
        let home = format!("{name}-{}", self.number);
        let users = self.lab.dir().join("users");
        if !users.join(&home).exists() {
            let mut copy = Command::new("cp");
            copy.arg("-r").arg(users.join(name)).arg(users.join(&home));
            self.run("cp -r (a user's files)", &mut copy).expect_ok();
        }
        User { stage: self, name, home }
    }

    /// Makes an image that prints `text`, on the engine that nobody guards.
    #[track_caller]
    pub fn build(&self, image: &str, text: &str) {
        self.script(&["image", image, text]);
    }

    /// Makes an image that says it is for this architecture, and pushes it without any
    /// signature. Its manifest's digest.
    #[track_caller]
    pub fn push_for(&self, image: &str, architecture: &str, text: &str) -> String {
        self.script(&["image", "--arch", architecture, image, text]);
        self.user("admin").docker(format!("push {image}")).expect_ok();
        self.digest(image)
    }

    /// Asks the registry's API, and gives the answer's body.
    #[track_caller]
    pub fn ask_registry(&self, arguments: &[&str], path: &str) -> Outcome {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--fail", "--cacert"]).arg(self.lab.ca());
        curl.args(arguments).arg(format!("https://{}/v2/{path}", self.lab.registry()));
        self.run(&format!("curl {} …/v2/{path}", arguments.join(" ")), &mut curl).expect_ok()
    }

    /// Makes an index of what stands in the same repository under these digests, as
    /// `docker manifest push` does.
    #[track_caller]
    pub fn push_index(&self, image: &str, platforms: &[(&str, &str)]) -> Index {
        const INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
        const MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
        let (repository, tag) = image.rsplit_once(':').expect("images of ours have tags");
        let path = repository.split_once('/').expect("and a registry").1;
        let accept = format!("Accept: {MANIFEST}");
        let entry = |&(architecture, digest): &(&str, &str)| {
            let asked = format!("{path}/manifests/{digest}");
            let manifest = self.ask_registry(&["--header", &accept], &asked);
            serde_json::json!({"mediaType": MANIFEST, "digest": digest,
                "size": manifest.stdout().len(),
                "platform": {"os": "linux", "architecture": architecture}})
        };
        let manifests: Vec<_> = platforms.iter().map(entry).collect();
        let text = serde_json::json!({"schemaVersion": 2, "mediaType": INDEX,
            "manifests": manifests})
        .to_string();
        let file = self.dir.join("index.json");
        std::fs::write(&file, &text).unwrap();
        let (data, kind) = (format!("@{}", file.display()), format!("Content-Type: {INDEX}"));
        let put = ["--request", "PUT", "--data-binary", &data, "--header", &kind];
        self.ask_registry(&put, &format!("{path}/manifests/{tag}"));
        let sum = self.run("sha256sum index.json", Command::new("sha256sum").arg(&file));
        let hex = sum.expect_ok().text().split(' ').next().unwrap().to_owned();
        Index { image: image.to_owned(), size: text.len(), hex }
    }

    /// Makes an image and pushes it without any signature.
    #[track_caller]
    pub fn push_unsigned(&self, image: &str, text: &str) {
        self.build(image, text);
        self.user("admin").docker(format!("push {image}")).expect_ok();
    }

    /// What the second document tells an administrator to do: names who may sign in a repository.
    #[track_caller]
    pub fn admit(&self, repository: &str, signers: &[&'static str]) {
        for name in signers {
            let (admin, signer) = (self.user("admin"), self.user(name));
            let certificate = self.lab.certificate(name);
            let certificate = certificate.display();
            admin
                .docker(format!("trust signer add --key {certificate} {name} {repository}"))
                .expect_ok();
            signer.docker(format!("trust key load --name {name} {}", signer.key())).expect_ok();
        }
    }

    /// Makes an image and signs it as this user, who has been admitted.
    #[track_caller]
    pub fn push_signed(&self, image: &str, text: &str, signer: &'static str) {
        self.build(image, text);
        self.user(signer).docker(format!("trust sign {image}")).expect_ok();
    }

    /// A repository with a tag that jenkins signed, `:1`, and a policy under which it runs.
    #[track_caller]
    pub fn signed_app(&self) -> (String, Policy) {
        let app = self.repository("app");
        self.admit(&app, &["jenkins"]);
        self.push_signed(&format!("{app}:1"), "hello", "jenkins");
        let lab = self.lab;
        let policy = Policy::requiring(lab, &["CI"]).team("CI", &["jenkins"]).user(lab, "jenkins");
        (app, policy)
    }

    /// The digest under which the registry has the image.
    #[track_caller]
    pub fn digest(&self, image: &str) -> String {
        let inspect = format!("image inspect --format {{{{.RepoDigests|json}}}} {image}");
        let found = self.user("admin").docker(inspect).expect_ok();
        let digests: Vec<String> = serde_json::from_str(found.text()).expect("a list of names");
        let (repository, _) = image.rsplit_once(':').expect("images of ours have tags");
        digests
            .iter()
            .filter_map(|name| name.strip_prefix(repository)?.strip_prefix('@'))
            .next_back()
            .expect("pushed, so it has a digest")
            .to_owned()
    }
}

/// An index in the lab's registry.
pub struct Index {
    image: String,
    size: usize,
    hex: String,
}

impl Index {
    pub fn digest(&self) -> String {
        format!("sha256:{}", self.hex)
    }

    /// Signs it under its tag, as people sign what `docker trust sign` cannot.
    #[track_caller]
    pub fn sign(&self, stage: &Stage, signer: &'static str) {
        let (repository, tag) = self.image.rsplit_once(':').expect("images of ours have tags");
        let Self { size, hex, .. } = self;
        let roles = format!("--roles targets/releases --roles targets/{signer}");
        stage
            .user(signer)
            .notary(format!("addhash -p {repository} {tag} {size} --sha256 {hex} {roles}"))
            .expect_ok();
    }
}

/// Somebody with a client bundle, at the engine that nobody guards.
pub struct User<'a> {
    stage: &'a Stage,
    name: &'static str,
    home: String,
}

impl User<'_> {
    /// The docker CLI, as a person would type it.
    pub fn docker(&self, command: impl AsRef<str>) -> Outcome {
        self.docker_on("plain", command)
    }

    pub fn docker_on(&self, engine: &str, command: impl AsRef<str>) -> Outcome {
        let command = command.as_ref();
        let shown = format!("{} on {engine}: docker {command}", self.name);
        self.stage.run(&shown, &mut self.process(engine, command))
    }

    /// The docker CLI with content trust on.
    pub fn docker_with_trust(&self, command: impl AsRef<str>) -> Outcome {
        self.docker_with_trust_on("plain", command)
    }

    pub fn docker_with_trust_on(&self, engine: &str, command: impl AsRef<str>) -> Outcome {
        let command = command.as_ref();
        let shown = format!("{} on {engine}: DOCKER_CONTENT_TRUST=1 docker {command}", self.name);
        let mut process = self.process(engine, command);
        self.stage.run(&shown, process.env("DOCKER_CONTENT_TRUST", "1"))
    }

    /// The docker CLI with something to read.
    pub fn docker_with_input_on(&self, engine: &str, command: &str, input: &str) -> Outcome {
        let file = self.stage.dir().join("input");
        std::fs::write(&file, input).unwrap();
        let mut process = self.program(&["--engine", engine, "--stdin"], "docker", command);
        let shown = format!("{} on {engine}: echo {input} | docker {command}", self.name);
        self.stage.run(&shown, process.stdin(File::open(file).unwrap()))
    }

    /// The notary CLI.
    pub fn notary(&self, command: impl AsRef<str>) -> Outcome {
        let command = command.as_ref();
        let shown = format!("{}: notary {command}", self.name);
        self.stage.run(&shown, &mut self.program(&[], "notary", command))
    }

    /// A docker command that has not been started yet.
    pub fn process(&self, engine: &str, command: &str) -> Command {
        self.program(&["--engine", engine], "docker", command)
    }

    fn program(&self, options: &[&str], program: &str, command: &str) -> Command {
        let words = [&["as"], options, &[&self.home, program]].concat();
        let mut process =
            self.stage.lab.script(words.into_iter().chain(command.split_whitespace()));
        process.env_remove("DOCKER_CONTENT_TRUST");
        process
    }

    pub fn certificate(&self) -> String {
        self.bundled("cert.pem")
    }

    pub fn key(&self) -> String {
        self.bundled("key.pem")
    }

    fn bundled(&self, file: &str) -> String {
        self.stage.lab.dir().join("users").join(&self.home).join(file).display().to_string()
    }
}
