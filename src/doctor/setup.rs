//! What an engine was told at its start: command line and `daemon.json`.

use std::path::PathBuf;

use serde::Deserialize;

/// Where engines look for their configuration, unless told otherwise.
const CONFIG_FILE: &str = "/etc/docker/daemon.json";

/// Both, as far as they concern us.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Setup {
    /// Authorization plugins named on the command line.
    pub flag_plugins: Vec<String>,
    /// Those named in the file.
    pub file_plugins: Vec<String>,
    /// Where it listens, as written.
    pub hosts: Vec<String>,
    /// Whether clients over TCP have to show a certificate.
    pub tls_verify: bool,
}

/// The keys of `daemon.json` that are read.
#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct File {
    #[serde(default)]
    authorization_plugins: Vec<String>,
    #[serde(default)]
    hosts: Vec<String>,
    tlsverify: Option<bool>,
}

/// The configuration file that a command line names.
pub fn config_file(args: &[String]) -> PathBuf {
    let named = values(args, "--config-file", None).pop();
    PathBuf::from(named.unwrap_or_else(|| CONFIG_FILE.to_owned()))
}

impl Setup {
    /// Reads both. The error says what is wrong with the file.
    pub fn read(args: &[String], file: Option<&str>) -> Result<Self, String> {
        let file: File = match file {
            Some(text) => serde_json::from_str(text).map_err(|error| error.to_string())?,
            None => File::default(),
        };
        let mut hosts = values(args, "--host", Some("-H"));
        hosts.extend(file.hosts);
        // A command line that says neither leaves it to the file; one that says both does
        // not start an engine.
        let flag = args.iter().rev().find_map(|arg| match arg.strip_prefix("--tlsverify")? {
            "" => Some(true),
            value => Some(matches!(value, "=true" | "=1" | "=t" | "=T" | "=TRUE" | "=True")),
        });
        Ok(Self {
            flag_plugins: values(args, "--authorization-plugin", None),
            file_plugins: file.authorization_plugins,
            hosts,
            tls_verify: flag.or(file.tlsverify).unwrap_or(false),
        })
    }

    /// The Unix sockets that are named.
    pub fn sockets(&self) -> Vec<PathBuf> {
        let path = |host: &String| host.strip_prefix("unix://").map(PathBuf::from);
        self.hosts.iter().filter_map(path).collect()
    }

    /// Addresses at which anybody who reaches them may do everything.
    pub fn open_hosts(&self) -> impl Iterator<Item = &str> {
        let open = |host: &&str| {
            let scheme = host.split_once("://").map_or("tcp", |(scheme, _)| scheme);
            scheme == "tcp" && !host.is_empty() && !self.tls_verify
        };
        self.hosts.iter().map(String::as_str).filter(open)
    }
}

/// The values of a flag, in each of the ways to write one: `--flag V`, `--flag=V`, and for
/// the short form `-f V`, `-f=V`, `-fV`.
fn values(args: &[String], long: &str, short: Option<&str>) -> Vec<String> {
    let mut found = Vec::new();
    let mut args = args.iter().skip(1);
    while let Some(arg) = args.next() {
        let attached = match (arg.strip_prefix(long), short.and_then(|s| arg.strip_prefix(s))) {
            (Some(""), _) | (_, Some("")) => args.next().map(String::as_str),
            (Some(value), _) => value.strip_prefix('='),
            (_, Some(value)) => Some(value.strip_prefix('=').unwrap_or(value)),
            _ => None,
        };
        found.extend(attached.map(ToOwned::to_owned));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(line: &str) -> Vec<String> {
        line.split(' ').map(ToOwned::to_owned).collect()
    }

    #[test]
    fn reads_command_lines() {
        for (line, file) in [
            ("dockerd", CONFIG_FILE),
            ("dockerd --config-file /x.json", "/x.json"),
            ("dockerd --config-file=x.json -D", "x.json"),
            ("dockerd --config-files=x.json", CONFIG_FILE),
        ] {
            assert_eq!(config_file(&args(line)), PathBuf::from(file), "{line}");
        }
        let line = "dockerd -H fd:// -H unix:///d.sock --host tcp://0:1 -Htcp://0:2 --host=tcp://0:3 -H=:4 \
                    --authorization-plugin a --authorization-plugin=b --tlsverify=false";
        let setup = Setup::read(&args(line), None).unwrap();
        assert_eq!(
            setup.hosts,
            ["fd://", "unix:///d.sock", "tcp://0:1", "tcp://0:2", "tcp://0:3", ":4"]
        );
        assert_eq!(setup.flag_plugins, ["a", "b"]);
        assert_eq!(setup.sockets(), [PathBuf::from("/d.sock")]);
        assert!(!setup.tls_verify);
    }

    #[test]
    fn reads_the_file_beside_the_command_line() {
        let file = r#"{"authorization-plugins":["countersign"],"hosts":["tcp://:2376"],
                       "tlsverify":true,"log-level":"info","dns":["1.1.1.1"]}"#;
        let setup = Setup::read(&args("dockerd"), Some(file)).unwrap();
        assert_eq!(setup.file_plugins, ["countersign"]);
        assert_eq!(setup.open_hosts().count(), 0);
        let setup = Setup::read(&args("dockerd --tlsverify=0"), Some(file)).unwrap();
        assert_eq!(setup.open_hosts().collect::<Vec<_>>(), ["tcp://:2376"]);
        assert!(Setup::read(&args("dockerd"), Some("{,}")).unwrap_err().contains("line 1"));
        assert!(Setup::read(&args("dockerd"), Some(r#"{"hosts":1}"#)).is_err());
    }

    #[test]
    fn tells_open_addresses() {
        let hosts = |hosts: &[&str], tls_verify| {
            let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
            let setup = Setup { hosts, tls_verify, ..Setup::default() };
            setup.open_hosts().count()
        };
        assert_eq!(hosts(&["unix:///var/run/docker.sock", "fd://", "npipe://x", ""], false), 0);
        assert_eq!(hosts(&["tcp://127.0.0.1:2375", "0.0.0.0:2375", ":2375"], false), 3);
        assert_eq!(hosts(&["tcp://0.0.0.0:2376"], true), 0);
    }
}
