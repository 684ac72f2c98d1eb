//! The commands that edit files, on files.

use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// A folder with a policy, and what is typed there.
struct Desk {
    dir: TempDir,
}

#[derive(Debug)]
struct Said {
    code: i32,
    out: String,
    err: String,
}

impl Said {
    #[track_caller]
    fn ok(self, part: &str) -> Self {
        assert_eq!(self.code, 0, "{self:?}");
        assert!(self.out.contains(part), "{part:?}: {self:?}");
        self
    }

    #[track_caller]
    fn refused(self, code: i32, part: &str) -> Self {
        assert_eq!(self.code, code, "{self:?}");
        assert!(self.err.contains(part), "{part:?}: {self:?}");
        self
    }
}

const POLICY: &str = "# Ours.\n[trust_configuration] # strict\nrequire_content_trust = true\n\
                      require_signature_from = ['CI']\n\n[[registries]]\nhost_address = 'h.io' \
                      # the one\n\n[teams]\nCI = [\n  'alice', # since 2020\n]\n\n\
                      [users.alice] # Alice\ncertificates = ['alice.pem']\n";

impl Desk {
    fn new(policy: &str) -> Self {
        let desk = Self { dir: tempfile::tempdir().unwrap() };
        fs::write(desk.policy(), policy).unwrap();
        fs::copy(user("alice").join("cert.pem"), desk.path("alice.pem")).unwrap();
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn policy(&self) -> PathBuf {
        self.path("countersign.toml")
    }

    fn text(&self) -> String {
        fs::read_to_string(self.policy()).unwrap()
    }

    /// Types a command that edits, and whatever else it is given.
    fn types(&self, words: &str) -> Said {
        self.run(words, &[])
    }

    fn run(&self, words: &str, more: &[&Path]) -> Said {
        let mut program = Command::new(env!("CARGO_BIN_EXE_countersign"));
        program.args(words.split_whitespace()).args(more).arg("--config").arg(self.policy());
        let output = program.env_clear().stdin(Stdio::null()).output().unwrap();
        Said {
            code: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// The bundle of a recorded user.
fn user(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/users").join(name)
}

#[test]
fn the_change_is_shown_first_and_made_only_when_agreed_to() {
    let desk = Desk::new(POLICY);
    let shown = "+CI = [\"alice\", \"bob\"]";
    let bob = user("bob");
    desk.run("user add bob --yes", &[&bob]).ok("bob is a user now, with key ");
    let before = desk.text();
    for (words, code) in [("team add CI bob --dry-run", 0), ("team add CI bob", 2)] {
        let said = desk.types(words);
        assert_eq!(said.code, code, "{said:?}");
        assert!(said.out.contains("+  \"bob\","), "{shown}: {said:?}");
        assert_eq!(desk.text(), before, "{words}");
    }
    desk.types("team add CI bob").refused(2, "add --yes");
    fs::set_permissions(desk.policy(), Permissions::from_mode(0o640)).unwrap();
    desk.types("team add CI bob --yes").ok("a signature of a member of CI");
    let after = POLICY.replace("since 2020\n", "since 2020\n  \"bob\",\n")
        + "\n[users.bob]\ncertificates = [\"users/bob/cert.pem\"]\n";
    assert_eq!(desk.text(), after);
    assert_eq!(fs::metadata(desk.policy()).unwrap().mode() & 0o777, 0o640);
    desk.types("team add CI bob --yes").ok("nothing to change");
}

#[test]
fn an_edit_with_which_the_policy_would_not_load_is_refused() {
    let desk = Desk::new(POLICY);
    for (words, why) in [
        ("team remove CI --yes", "there is no team \"CI\" in [teams]"),
        ("team add CI nobody --yes", "\"nobody\", who is not in [users]"),
        ("registry add h.io --yes", "there is already a registry \"h.io\""),
        ("registry add j.io --trust-server http://n.io --yes", "starts with https://"),
        (
            "registry remove j.io --yes",
            "there is no registry \"j.io\" in the policy; there is h.io",
        ),
        ("user remove bob --yes", "there is no user \"bob\" in the policy; there is alice"),
        ("team remove CI bob --yes", "there is no member of the team \"bob\""),
    ] {
        desk.types(words).refused(1, why);
        assert_eq!(desk.text(), POLICY, "{words}");
    }
    // Alice's key is not Bob's: the loader refuses, and the certificate goes again.
    desk.run("user add bob --yes", &[&user("alice")]).refused(1, "is also \"alice\"'s");
    assert!(!desk.path("users").exists() || !desk.path("users/bob/cert.pem").exists());
    assert_eq!(desk.text(), POLICY);
}

#[test]
fn nonsense_is_refused_before_anything_is_looked_at() {
    let desk = Desk::new(POLICY);
    fs::write(desk.path("key.pem"), "-----BEGIN PRIVATE KEY-----\nAA\n-----END PRIVATE KEY-----\n")
        .unwrap();
    fs::create_dir(desk.path("empty")).unwrap();
    for (words, bundle, why) in [
        ("user add ../x --yes", "alice.pem", "cannot be a user's name here"),
        ("user add bob --yes", "empty", "No such file"),
        ("user add bob --yes", "absent.zip", "No such file"),
        ("user add bob --yes", "key.pem", "there is no certificate in it"),
        ("registry add https://j.io --yes --ca", "alice.pem", "without scheme and path"),
        ("registry add j.io --yes --ca", "countersign.toml", "there is no certificate in it"),
        ("user revoke-key alice --yes", "nonsense", "is not a key's ID"),
    ] {
        desk.run(words, &[&desk.path(bundle)]).refused(2, why);
    }
    assert_eq!(desk.text(), POLICY);
    let odd = Desk::new("[teams\n");
    odd.types("team add CI --yes").refused(2, "countersign.toml:1:7");
    fs::remove_file(odd.policy()).unwrap();
    odd.types("team add CI --yes").refused(2, "there is no policy");
}

#[test]
fn a_bundle_gives_its_certificate_and_keeps_its_key() {
    let desk = Desk::new(POLICY);
    let bundle = desk.path("bundle");
    fs::create_dir(&bundle).unwrap();
    let key = "-----BEGIN EC PRIVATE KEY-----\nc2VjcmV0\n-----END EC PRIVATE KEY-----\n";
    fs::write(bundle.join("key.pem"), key).unwrap();
    let certificate = fs::read_to_string(user("bob").join("cert.pem")).unwrap();
    // The key stands in the certificate's file, too.
    fs::write(bundle.join("cert.pem"), format!("{key}{certificate}")).unwrap();
    desk.run("user add bob --yes", &[&bundle]).ok("neither kept nor copied");
    let zip = desk.path("bundle.zip");
    let mut writer = zip::ZipWriter::new(fs::File::create(&zip).unwrap());
    for (name, text) in [
        ("key.pem", key.to_owned()),
        ("cert.pem", fs::read_to_string(user("carol").join("cert.pem")).unwrap()),
    ] {
        writer.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
        writer.write_all(text.as_bytes()).unwrap();
    }
    writer.finish().unwrap();
    desk.run("user add carol --yes", &[&zip]).ok("carol is a user now");
    // One person with two keys.
    desk.run("user add carol --yes", &[&user("dave")]).ok("carol is a user now");
    let of_carol = fs::read_dir(desk.path("users/carol")).unwrap().count();
    assert_eq!(of_carol, 2);
    for file in ["users/bob/cert.pem", "users/carol/cert.pem", "countersign.toml"] {
        let text = fs::read_to_string(desk.path(file)).unwrap();
        assert!(!text.contains("PRIVATE KEY") && !text.contains("c2VjcmV0"), "{file}: {text}");
    }
    assert!(bundle.join("key.pem").exists(), "nobody's files are taken away");

    let listed = desk.types("user list --json").ok("");
    let users: Vec<Value> =
        listed.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let names: Vec<_> = users.iter().map(|user| user["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["alice", "bob", "carol"]);
    assert_eq!(users[0]["teams"][0], "CI");
    assert_eq!(users[2]["keys"].as_array().unwrap().len(), 2);
    let id = users[2]["keys"][1]["id"].as_str().unwrap();
    desk.types(&format!("user revoke-key carol {} --yes", &id[..12])).ok("counts no more");
    assert!(desk.text().contains(&format!("revoked = [\"{id}\"]")), "{}", desk.text());
    desk.types("user list").ok(", revoked");

    desk.types("user remove carol --yes").ok("carol is no user any more");
    assert!(!desk.text().contains("carol"), "{}", desk.text());
    assert!(desk.path("users/carol/cert.pem").exists(), "certificates stay");
}

#[test]
fn registries_bring_their_ca_with_them() {
    let desk = Desk::new(POLICY);
    let ca = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/users/ucp-client-ca.crt");
    desk.run("registry add j.io:5000 --yes --trust-server https://n.io --ca", &[&ca])
        .ok("countersign registry test j.io:5000");
    let pem = fs::read_to_string(&ca).unwrap();
    let bundle = serde_json::json!({"hostAddress": "dtr.io:443", "caBundle": pem}).to_string();
    fs::write(desk.path("dtr-bundle.json"), bundle).unwrap();
    let path = desk.path("dtr-bundle.json");
    desk.run("registry add other.io --yes --dtr-bundle", &[&path]).refused(2, "not of other.io");
    desk.run("registry add --yes --dtr-bundle", &[&path]).ok("dtr.io is registered");
    let listed = desk.types("registry list --json").ok("");
    let hosts: Vec<Value> =
        listed.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(hosts[0]["host"], "h.io");
    assert_eq!(hosts[1]["ca"], "registries/j.io_5000/ca.pem");
    assert_eq!(hosts[1]["trust_server"], "https://n.io");
    assert_eq!(hosts[2]["host"], "dtr.io");
    assert!(desk.text().contains("host_address = 'h.io' # the one\n"));
    desk.types("registry remove j.io:5000 --yes").ok("registered no more");
    assert!(!desk.text().contains("j.io"));
    desk.types("registry test j.io:5000").refused(2, "j.io:5000 is not registered");

    // What nobody answers to is told by its step, with what to do.
    desk.types("registry add 127.0.0.1:1 --yes").ok("is registered");
    let tested = desk.types("registry test 127.0.0.1:1");
    assert_eq!(tested.code, 1, "{tested:?}");
    for part in
        ["127.0.0.1:1 resolves", "takes no connection: 127.0.0.1:1", "to do: see that it runs"]
    {
        assert!(tested.out.contains(part), "{part}: {tested:?}");
    }
}

#[test]
fn a_policy_is_begun_by_commands_and_linked_ones_stay_linked() {
    let desk = Desk::new("");
    fs::remove_file(desk.policy()).unwrap();
    desk.types("registry add h.io --yes").ok("+require_content_trust = true");
    desk.run("user add alice --yes", &[&user("alice")]).ok("alice is a user now");
    desk.types("team add CI alice --require --yes").ok("every image needs a signature");
    assert!(desk.text().contains("require_signature_from = [\"CI\"]\n"), "{}", desk.text());
    desk.types("team list").ok("CI (required): alice");

    let real = desk.path("real.toml");
    fs::rename(desk.policy(), &real).unwrap();
    symlink(&real, desk.policy()).unwrap();
    desk.types("team add QA --yes").ok("QA is a team");
    assert!(fs::symlink_metadata(desk.policy()).unwrap().is_symlink());
    assert!(fs::read_to_string(&real).unwrap().contains("QA = []"));
}

/// The commands in the blocks of a chapter, each as the words that a shell makes of it.
fn typed(chapter: &str) -> Vec<Vec<String>> {
    let blocks = chapter.split("\n```").skip(1).step_by(2);
    let lines = blocks.flat_map(str::lines).map(|line| line.trim_start_matches("# ").trim());
    let words = |line: &str| {
        let (mut words, mut is_quoted) = (vec![String::new()], false);
        for c in line.chars() {
            match c {
                '"' => is_quoted = !is_quoted,
                '#' | '>' | '|' if !is_quoted => break,
                ' ' if !is_quoted => words.push(String::new()),
                _ => words.last_mut().unwrap().push(c),
            }
        }
        words.retain(|word| !word.is_empty());
        words.split_off(1)
    };
    lines.filter(|line| line.starts_with("countersign ")).map(words).collect()
}

/// What README and chapters have people type is what this program takes. clap reads the whole
/// line before it shows help.
#[test]
fn the_chapters_have_people_type_what_there_is() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let chapters = fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let mut count = 0;
    for chapter in chapters.chain([root.join("README.md")]) {
        for words in typed(&fs::read_to_string(&chapter).unwrap()) {
            let mut program = Command::new(env!("CARGO_BIN_EXE_countersign"));
            let output = program.args(&words).arg("--help").output().unwrap();
            let said = String::from_utf8(output.stderr).unwrap();
            assert!(output.status.success(), "{}: {words:?}\n{said}", chapter.display());
            count += 1;
        }
    }
    assert!(count > 30, "{count}");
}
