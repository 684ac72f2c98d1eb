//! The units, where systemd runs.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::file::{self, FileError, Found};
use crate::source::{Daemon, Host};

/// Where what was added to the engine's unit stands.
const DROP_IN: &str = "/etc/systemd/system/docker.service.d/countersign.conf";
/// What is added to it.
const TEXT: &str = include_str!("../../plugin/docker.service.d/countersign.conf");
/// The name that our units are made for.
const NAME: &str = "countersign";
/// The engine's unit.
const ENGINE: &str = "docker.service";

/// Systemd on this host, which starts the engine.
#[derive(Clone, Debug)]
pub struct Systemd {
    host: Host,
}

/// What has the engine wait for our socket at each boot.
#[derive(Debug)]
pub struct DropIn {
    found: Found,
}

impl Systemd {
    /// Systemd, where it runs and knows the engine.
    pub fn of(host: &Host) -> Option<Self> {
        host.unit(ENGINE).map(|_| Self { host: host.clone() })
    }

    /// Whether it knows the units of the plugin.
    pub fn has_plugin(&self, plugin: &str) -> bool {
        let unit = |kind: &str| self.host.unit(&format!("{plugin}.{kind}")).is_some();
        unit("socket") && unit("service")
    }

    /// Starts the plugin, now and at each boot.
    pub fn start_plugin(&self, plugin: &str) -> Result<(), String> {
        let units = ["socket", "service"].map(|kind| format!("{plugin}.{kind}"));
        systemctl(&["enable", "--now", &units[0], &units[1]])
    }

    /// Whether this engine is the one that the engine's unit started.
    pub fn started(&self, daemon: &Daemon) -> bool {
        let path = PathBuf::from(format!("/proc/{}/cgroup", daemon.pid));
        let groups = self.host.text(&path, None).ok().flatten().unwrap_or_default();
        groups.lines().any(|line| line.ends_with(&format!("/{ENGINE}")))
    }

    /// Starts the engine, however often that failed before. One that runs goes on.
    pub fn start_engine(&self) -> Result<(), String> {
        // Fails where it never failed.
        let _ = systemctl(&["reset-failed", ENGINE]);
        systemctl(&["start", ENGINE])
    }

    /// Starts the engine anew.
    pub fn restart_engine(&self) -> Result<(), String> {
        let _ = systemctl(&["reset-failed", ENGINE]);
        systemctl(&["restart", ENGINE])
    }

    /// What is to be added to the engine's unit for a plugin: nothing where the unit has the
    /// engine wait already, or where our units are not that plugin's.
    pub fn wanted(&self, plugin: &str) -> Result<Option<DropIn>, FileError> {
        let unit = self.host.unit(ENGINE).unwrap_or_default();
        if plugin != NAME || !self.has_plugin(plugin) || unit.contains(TEXT.trim_end()) {
            return Ok(None);
        }
        let found = Found::read(Path::new(DROP_IN))?;
        Ok((!found.exists()).then_some(DropIn { found }))
    }
}

impl DropIn {
    /// Ours, where it is there and as we make it.
    pub fn look() -> Result<Option<Self>, FileError> {
        let found = Found::read(Path::new(DROP_IN))?;
        Ok((found.text() == TEXT).then_some(Self { found }))
    }

    /// Where it stands.
    pub fn path(&self) -> &Path {
        self.found.path()
    }

    /// Puts it there and has systemd read it; or leaves nothing there.
    pub fn add(&self) -> Result<(), String> {
        self.found.replace(TEXT).map_err(|error| error.to_string())?;
        systemctl(&["daemon-reload"]).inspect_err(|_| _ = file::remove(self.path()))
    }

    /// Takes it away and has systemd read that.
    pub fn remove(&self) -> Result<(), String> {
        file::remove(self.path()).map_err(|error| error.to_string())?;
        systemctl(&["daemon-reload"])
    }
}

/// The error is a sentence that names the command.
fn systemctl(arguments: &[&str]) -> Result<(), String> {
    let command = format!("systemctl {}", arguments.join(" "));
    match Command::new("systemctl").args(arguments).output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            Err(format!("{command}: {}", said.trim().escape_debug()))
        }
        Err(error) => Err(format!("{command}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn tells_whose_engine_it_is() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let host = Host::below(root.path());
        write("proc/7/cgroup", "0::/system.slice/docker.service\n");
        write("proc/8/cgroup", "0::/user.slice\n");
        write("usr/lib/systemd/system/docker.service", "[Unit]\n");
        assert!(Systemd::of(&host).is_none(), "systemd does not run");
        fs::create_dir_all(root.path().join("run/systemd/system")).unwrap();
        let systemd = Systemd::of(&host).unwrap();
        let daemon = |pid| Daemon { pid, args: Vec::new() };
        assert!(systemd.started(&daemon(7)));
        assert!(!systemd.started(&daemon(8)) && !systemd.started(&daemon(9)));

        assert!(!systemd.has_plugin(NAME) && systemd.wanted(NAME).unwrap().is_none());
        write("etc/systemd/system/countersign.socket", "");
        assert!(!systemd.has_plugin(NAME));
        write("etc/systemd/system/countersign.service", "");
        assert!(systemd.has_plugin(NAME) && systemd.wanted("other").unwrap().is_none());
        write("etc/systemd/system/docker.service.d/countersign.conf", TEXT);
        assert!(systemd.wanted(NAME).unwrap().is_none(), "it waits already");
    }
}
