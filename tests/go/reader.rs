//! The reference reader: `tests/go/reader`, built by Go and run beside the test.

use std::env;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::sync_channel;
use std::thread;

/// Something that both are to read.
pub struct Case {
    /// What it is, for the reference reader.
    pub kind: u8,
    pub bytes: Vec<u8>,
    /// Whether it is what ordinary clients send.
    pub ordinary: bool,
}

/// The program, built.
pub struct Reader(PathBuf);

impl Reader {
    /// Builds it with `$GO`, or the `go` in the PATH.
    pub fn build() -> Self {
        let go = env::var_os("GO").unwrap_or_else(|| "go".into());
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/go/reader");
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("go");
        let program = folder.join(format!("reader-{}", std::process::id()));
        let status = Command::new(&go)
            .args(["build", "-o"])
            .arg(&program)
            .args(["main.go", "bodies.go", "requests.go"])
            .current_dir(sources)
            .env("GOCACHE", folder.join("cache"))
            .envs([("GO111MODULE", "off"), ("GOPROXY", "off"), ("GOTOOLCHAIN", "local")])
            .envs([("GOFLAGS", ""), ("GOENV", "off")])
            .status();
        let advice = "Debian's is the package golang-go, which `sudo scripts/test` installs; \
                      COUNTERSIGN_SKIP_E2E=1 leaves these tests out";
        let status = status.unwrap_or_else(|error| panic!("{}: {error}; {advice}", go.display()));
        assert!(status.success(), "{} could not build the reference reader", go.display());
        Self(program)
    }

    /// What it says of every case, in their order.
    pub fn ask(
        &self,
        cases: usize,
        make: impl Fn(usize) -> Case + Send,
        mut hear: impl FnMut(usize, &Case, &str),
    ) {
        let mut program = self.start();
        let mut input = program.stdin.take().unwrap();
        let output = BufReader::with_capacity(1 << 20, program.stdout.take().unwrap());
        thread::scope(|scope| {
            let (sender, asked) = sync_channel(1 << 12);
            scope.spawn(move || {
                for case in (0..cases).map(make) {
                    let mut record = vec![case.kind];
                    record.extend(u32::try_from(case.bytes.len()).unwrap().to_be_bytes());
                    record.extend(&case.bytes);
                    // Whoever does not read any more says why itself.
                    if input.write_all(&record).is_err() || sender.send(case).is_err() {
                        return;
                    }
                }
            });
            let mut heard = 0;
            for (line, case) in output.lines().zip(asked) {
                hear(heard, &case, &line.unwrap());
                heard += 1;
            }
            assert_eq!(heard, cases, "the reference reader stopped early");
        });
        assert!(program.wait().unwrap().success());
    }

    /// Takes the program away.
    pub fn remove(&self) {
        drop(fs::remove_file(&self.0));
    }

    fn start(&self) -> Child {
        Command::new(&self.0)
            // Go 1.24.12 and 1.25.6 brought this limit. Programs built without a module may
            // get older settings than the engines.
            .env("GODEBUG", "urlmaxqueryparams=10000")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    }
}
