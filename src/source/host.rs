//! This host: its processes, its files, its packages. Only read, never changed.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Largest file read, in bytes: the list of installed packages is a few megabytes.
const MAX_FILE: u64 = 64 * 1024 * 1024;

/// Where systemd looks for units; the first counts.
const UNITS: [&str; 5] = [
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];

/// The host below a root directory: `/`, and another one in tests.
#[derive(Clone, Debug)]
pub struct Host {
    root: PathBuf,
}

/// A running dockerd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Daemon {
    /// Its process ID.
    pub pid: i32,
    /// Its command line, the program's name included.
    pub args: Vec<String>,
}

/// What the file system says of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileFacts {
    /// What it is.
    pub kind: Kind,
    /// Who owns it.
    pub uid: u32,
    /// Who may do what: the lower twelve bits of the mode.
    pub mode: u32,
}

/// A group of users.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its name; where it has none, its number.
    pub name: String,
    /// Who was put into it.
    pub members: Vec<String>,
}

/// What a path is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A folder.
    Folder,
    /// A socket.
    Socket,
    /// A file or whatever else.
    Other,
}

impl Default for Host {
    fn default() -> Self {
        Self::below(Path::new("/"))
    }
}

impl Host {
    /// A host whose files are below `root`.
    pub fn below(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// Every dockerd that runs, by process ID.
    pub fn daemons(&self) -> Vec<Daemon> {
        let Ok(entries) = fs::read_dir(self.path(Path::new("/proc"))) else { return Vec::new() };
        let mut found: Vec<_> = entries
            .filter_map(|entry| {
                let entry = entry.ok()?;
                let pid = entry.file_name().to_str()?.parse().ok()?;
                let text = fs::read(entry.path().join("cmdline")).ok()?;
                let args = arguments(&text);
                let program = Path::new(args.first()?).file_name()?;
                (program == "dockerd").then_some(Daemon { pid, args })
            })
            .collect();
        found.sort_unstable_by_key(|daemon| daemon.pid);
        found
    }

    /// A text file, or `None` where there is none. With a process, the file that this
    /// process would find at that path.
    pub fn text(&self, path: &Path, of: Option<&Daemon>) -> io::Result<Option<String>> {
        use std::io::Read;
        let path = match of {
            Some(daemon) => {
                let process = PathBuf::from(format!("/proc/{}", daemon.pid));
                let seen_from = if path.is_absolute() { "root" } else { "cwd" };
                self.path(&process).join(seen_from).join(relative(path))
            }
            None => self.path(path),
        };
        let file = match fs::File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        let mut text = String::new();
        file.take(MAX_FILE).read_to_string(&mut text)?;
        Ok(Some(text))
    }

    /// What is at a path, links followed; `None` where nothing is.
    pub fn look(&self, path: &Path) -> io::Result<Option<FileFacts>> {
        match fs::metadata(self.path(path)) {
            Ok(metadata) => Ok(Some(FileFacts::new(&metadata))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What is at a path, and the folders above it from the nearest on, links followed.
    pub fn way(&self, path: &Path) -> io::Result<Vec<FileFacts>> {
        let path = fs::canonicalize(self.path(path))?;
        path.ancestors().map(|one| fs::metadata(one).map(|one| FileFacts::new(&one))).collect()
    }

    /// The group of a file, where its members may write and it is not root's own.
    pub fn group(&self, path: &Path) -> Option<Group> {
        let facts = fs::metadata(self.path(path)).ok()?;
        if facts.mode() & 0o020 == 0 || facts.gid() == 0 {
            return None;
        }
        let number = facts.gid().to_string();
        let groups = self.text(Path::new("/etc/group"), None).ok().flatten().unwrap_or_default();
        let listed = groups.lines().find_map(|line| group(line, &number));
        Some(listed.unwrap_or(Group { name: number, members: Vec::new() }))
    }

    /// A unit as systemd was told of it, all that is added to it at the end; `None` where
    /// systemd does not run or does not know it.
    pub fn unit(&self, name: &str) -> Option<String> {
        if !self.path(Path::new("/run/systemd/system")).is_dir() {
            return None;
        }
        let folders = UNITS.map(|folder| self.path(Path::new(folder)));
        let mut text =
            folders.iter().find_map(|folder| fs::read_to_string(folder.join(name)).ok())?;
        // Of two that have one name the first counts; all are read in the order of their names.
        let mut added = BTreeMap::new();
        for folder in &folders {
            let entries = fs::read_dir(folder.join(format!("{name}.d"))).into_iter().flatten();
            for entry in entries.flatten().filter(|entry| is_conf(&entry.path())) {
                added.entry(entry.file_name()).or_insert(entry.path());
            }
        }
        for path in added.values() {
            text.push('\n');
            text.push_str(&fs::read_to_string(path).unwrap_or_default());
        }
        Some(text)
    }

    /// The version of an installed Debian package.
    pub fn package(&self, name: &str) -> Option<String> {
        let status = self.text(Path::new("/var/lib/dpkg/status"), None).ok()??;
        status
            .split("\n\n")
            .find_map(|stanza| {
                let field = |key: &str| {
                    stanza.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(": "))
                };
                let installed = field("Status")?.ends_with(" installed");
                (field("Package")? == name && installed).then(|| field("Version"))?
            })
            .map(ToOwned::to_owned)
    }

    /// 32 hexadecimal digits that nobody can guess: 122 random bits of the kernel's.
    pub fn nonce(&self) -> Option<String> {
        let uuid = self.text(Path::new("/proc/sys/kernel/random/uuid"), None).ok()??;
        Some(uuid.trim().replace('-', ""))
    }

    /// How long the host has been up.
    pub fn uptime(&self) -> Option<Duration> {
        let text = self.text(Path::new("/proc/uptime"), None).ok()??;
        let seconds: f64 = text.split_whitespace().next()?.parse().ok()?;
        Duration::try_from_secs_f64(seconds).ok()
    }

    fn path(&self, path: &Path) -> PathBuf {
        self.root.join(relative(path))
    }
}

impl FileFacts {
    fn new(metadata: &Metadata) -> Self {
        let kind = metadata.file_type();
        let kind = if kind.is_dir() {
            Kind::Folder
        } else if kind.is_socket() {
            Kind::Socket
        } else {
            Kind::Other
        };
        Self { kind, uid: metadata.uid(), mode: metadata.mode() & 0o7777 }
    }
}

/// Whether nobody but root can connect to the socket at the end of this way ([`Host::way`]):
/// because of its own mode, or because of a folder that others cannot enter.
pub fn is_roots_alone(way: &[FileFacts]) -> bool {
    let closes = |facts: &FileFacts| {
        let needed = if facts.kind == Kind::Folder { 0o011 } else { 0o022 };
        facts.uid == 0 && facts.mode & needed == 0
    };
    way.iter().any(closes)
}

/// A line `NAME:PASSWORD:NUMBER:MEMBER,MEMBER` of `/etc/group`, if it is that of a number.
fn group(line: &str, number: &str) -> Option<Group> {
    let fields: Vec<_> = line.split(':').collect();
    let [name, _, found, members] = fields[..] else { return None };
    let members = members.split(',').filter(|member| !member.is_empty());
    (found == number)
        .then(|| Group { name: name.to_owned(), members: members.map(ToOwned::to_owned).collect() })
}

fn is_conf(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "conf")
}

fn relative(path: &Path) -> &Path {
    path.strip_prefix("/").unwrap_or(path)
}

/// `/proc/PID/cmdline`: arguments, each with a NUL behind it.
fn arguments(text: &[u8]) -> Vec<String> {
    let text = text.strip_suffix(b"\0").unwrap_or(text);
    text.split(|byte| *byte == 0).map(|arg| String::from_utf8_lossy(arg).into_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(files: &[(&str, &str)]) -> (tempfile::TempDir, Host) {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let host = Host::below(root.path());
        (root, host)
    }

    #[test]
    fn finds_engines_among_processes() {
        let (_root, host) = host(&[
            ("proc/7/cmdline", "/usr/bin/dockerd\0--config-file\0d.json\0"),
            ("proc/7/cwd/d.json", "{}"),
            ("proc/7/root/etc/docker/daemon.json", "[]"),
            ("proc/12/cmdline", "vi\0dockerd\0"),
            ("proc/13/cmdline", ""),
            ("proc/5/cmdline", "dockerd\0-H\0\0"),
            ("proc/uptime", "61.25 120.00\n"),
            ("proc/sys/kernel/random/uuid", "83cc6379-0a0c-4dd5-a1c1-9aa2e3bbf2e6\n"),
        ]);
        let daemons = host.daemons();
        let args: Vec<_> = daemons.iter().map(|daemon| daemon.args.join(" ")).collect();
        assert_eq!(args, ["dockerd -H ", "/usr/bin/dockerd --config-file d.json"]);
        let read = |path: &str| host.text(Path::new(path), daemons.last()).unwrap();
        assert_eq!(read("d.json").as_deref(), Some("{}"));
        assert_eq!(read("/etc/docker/daemon.json").as_deref(), Some("[]"));
        assert_eq!(read("/etc/absent"), None);
        assert_eq!(host.nonce().unwrap(), "83cc63790a0c4dd5a1c19aa2e3bbf2e6");
        assert_eq!(host.uptime(), Some(Duration::from_millis(61_250)));
    }

    #[test]
    fn reads_the_version_of_a_package() {
        let (_root, host) = host(&[(
            "var/lib/dpkg/status",
            "Package: docker.io-doc\nStatus: install ok installed\nVersion: 1\n\n\
             Package: docker.io\nStatus: install ok installed\nDescription: engine\n more\n\
             Version: 20.10.24+dfsg1-1+deb12u1\n\n\
             Package: gone\nStatus: deinstall ok config-files\nVersion: 3\n",
        )]);
        assert_eq!(host.package("docker.io").as_deref(), Some("20.10.24+dfsg1-1+deb12u1"));
        assert_eq!(host.package("gone"), None);
        assert_eq!(host.package("docker"), None);
    }

    #[test]
    fn reads_units_with_what_is_added_to_them() {
        let (root, host) = host(&[
            ("etc/systemd/system/docker.service.d/b.conf", "etc b"),
            ("etc/systemd/system/docker.service.d/off", "no"),
            ("usr/lib/systemd/system/docker.service", "docker"),
            ("usr/lib/systemd/system/docker.service.d/a.conf", "usr a"),
            ("usr/lib/systemd/system/docker.service.d/b.conf", "usr b"),
        ]);
        assert_eq!(host.unit("docker.service"), None, "systemd does not run");
        fs::create_dir_all(root.path().join("run/systemd/system")).unwrap();
        assert_eq!(host.unit("docker.service").as_deref(), Some("docker\nusr a\netc b"));
        assert_eq!(host.unit("other.service"), None);
    }

    #[test]
    fn tells_the_members_of_a_files_group() {
        use std::os::unix::fs::{PermissionsExt, chown};
        let (root, host) =
            host(&[("s.sock", ""), ("etc/group", "root:x:0:\ndocker:x:998:alice,bob\na:x:99:\n")]);
        let path = root.path().join("s.sock");
        let group = |mode, id: u32| {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            chown(&path, None, Some(id)).unwrap();
            host.group(Path::new("/s.sock")).map(|group| (group.name, group.members.len()))
        };
        // None but root may give a file to another group.
        if fs::metadata("/proc/self").unwrap().uid() == 0 {
            assert_eq!(group(0o660, 998), Some(("docker".to_owned(), 2)));
            assert_eq!(group(0o660, 99), Some(("a".to_owned(), 0)));
            assert_eq!(group(0o660, 7), Some(("7".to_owned(), 0)));
            assert_eq!(group(0o600, 998), None);
            assert_eq!(group(0o660, 0), None);
        }
    }

    #[test]
    fn what_others_than_root_cannot_reach() {
        let folder = |uid, mode| FileFacts { kind: Kind::Folder, uid, mode };
        let socket = |uid, mode| FileFacts { kind: Kind::Socket, uid, mode };
        let run = folder(0, 0o755);
        for (way, expected) in [
            (vec![socket(0, 0o660), run], false),
            (vec![socket(0, 0o666), run], false),
            (vec![socket(0, 0o602), run], false),
            (vec![socket(0, 0o600), run], true),
            (vec![socket(0, 0o644), run], true),
            (vec![socket(1000, 0o600), run], false),
            (vec![socket(0, 0o666), folder(0, 0o700), run], true),
            (vec![socket(0, 0o666), folder(0, 0o755), folder(0, 0o700), run], true),
            (vec![socket(0, 0o666), folder(0, 0o766), run], true),
            (vec![socket(0, 0o660), folder(0, 0o710), run], false),
            (vec![socket(0, 0o660), folder(0, 0o701), run], false),
            (vec![socket(0, 0o660), folder(1000, 0o700), run], false),
            (vec![], false),
        ] {
            assert_eq!(is_roots_alone(&way), expected, "{way:?}");
        }
    }

    #[test]
    fn looks_without_touching() {
        use std::os::unix::fs::PermissionsExt;
        let (root, host) = host(&[("run/file", "")]);
        let folder = root.path().join("run");
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o1770)).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(folder.join("s.sock")).unwrap();
        let kind = |path: &str| host.look(Path::new(path)).unwrap().map(|facts| facts.kind);
        assert_eq!(host.look(Path::new("/run")).unwrap().unwrap().mode, 0o1770);
        std::os::unix::fs::symlink("run", root.path().join("link")).unwrap();
        let way = host.way(Path::new("/link/s.sock")).unwrap();
        assert_eq!(way.first().unwrap().kind, Kind::Socket);
        assert_eq!((way[1].kind, way[1].mode), (Kind::Folder, 0o1770));
        assert_eq!(way.last().unwrap().kind, Kind::Folder);
        assert!(host.way(Path::new("/run/absent")).is_err());
        assert_eq!(kind("/run"), Some(Kind::Folder));
        assert_eq!(kind("/run/file"), Some(Kind::Other));
        assert_eq!(kind("/run/s.sock"), Some(Kind::Socket));
        assert_eq!(kind("/run/absent"), None);
    }
}
