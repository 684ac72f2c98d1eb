//! What calls did to the engine: what is unsigned, and what reaches the host. Here nothing is
//! taken from the plugin; the engine is asked what it holds.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::world::World;
use crate::effect::{Container, Snapshot, Unsigned, get};
use crate::wire::Request;

/// Reads are answered sooner than this.
const LIMIT: Duration = Duration::from_secs(30);

/// Where files would be if an archive was put there.
const PLANTED: [&str; 3] = ["idle", "evil", "web"];

/// The one folder of the host that calls may ask for; all binds of seeds lead there.
const HARMLESS_FOLDER: &str = "/srv";

const CAPABILITIES: [&str; 14] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "NET_RAW",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// An engine between two batches of calls.
#[derive(Clone)]
pub struct State {
    pub held: Snapshot,
    /// Containers with a planted file.
    planted: BTreeSet<&'static str>,
    /// Processes added to a container with all privileges.
    privileged_execs: BTreeSet<String>,
}

impl State {
    #[track_caller]
    pub fn of(world: &World<'_>) -> Self {
        let socket = world.socket();
        let held = Snapshot::of(&socket);
        let has_file = |container: &&&str| {
            let target = format!("/containers/{container}/archive?path=/planted");
            Request::new("HEAD", target).send(&socket, LIMIT).status() == Some(200)
        };
        let planted = PLANTED.iter().filter(has_file).copied().collect();
        let privileged_execs = privileged_execs(&socket);
        Self { held, planted, privileged_execs }
    }

    /// What must not have come about since.
    pub fn violations_since(&self, before: &Self, world: &World<'_>) -> Vec<String> {
        let unsigned = self.held.unsigned_since(&before.held, &world.signed);
        let app = world.app();
        let counts = |found: &Unsigned| match found {
            // A name proves nothing, and anyone may give one; but not this repository's, as no
            // call of ours asks for it where engines look.
            Unsigned::Tag { name, .. } => name.starts_with(app),
            _ => true,
        };
        let unsigned = unsigned.into_iter().filter(counts).map(|found| found.to_string());
        let mut found: Vec<String> = unsigned.collect();
        self.containers_that_reach(before, &mut found);
        let volumes =
            self.held.volumes.iter().filter(|(name, told)| {
                before.held.volumes.get(*name) != Some(*told) && is_bind(told)
            });
        found.extend(volumes.map(|(name, told)| format!("volume {name} is {told}")));
        for (name, service) in &self.held.services {
            if before.held.services.get(name).is_none_or(|was| was.task != service.task) {
                let reached = reached_by_service(&service.task["ContainerSpec"]);
                found.extend(reached.into_iter().map(|what| format!("service {name} has {what}")));
            }
        }
        let planted = self.planted.difference(&before.planted);
        found.extend(planted.map(|container| format!("a file was planted in {container}")));
        let execs = self.privileged_execs.difference(&before.privileged_execs);
        found.extend(execs.map(|id| format!("exec {id} is privileged")));
        found
    }

    fn containers_that_reach(&self, before: &Self, found: &mut Vec<String>) {
        for (id, now) in &self.held.containers {
            let was = before.held.containers.get(id);
            let is_new = was.is_none();
            let is_started =
                now.started.is_some() && was.is_some_and(|was| was.started != now.started);
            let is_changed = was.is_some_and(|was| was.host_config != now.host_config);
            if is_new || is_started || is_changed {
                let how = if is_started { "was started and has" } else { "has" };
                let reached = reached_by(now);
                found.extend(
                    reached.into_iter().map(|what| format!("container {} {how} {what}", now.name)),
                );
            }
            if now.name.trim_start_matches('/').len() == 64
                && was.is_none_or(|w| w.name != now.name)
            {
                found.push(format!("container {id} has the name of an ID, {}", now.name));
            }
        }
    }
}

fn privileged_execs(socket: &Path) -> BTreeSet<String> {
    let execs = get(socket, "/containers/json?all=1&filters={\"status\":[\"running\"]}");
    let mut found = BTreeSet::new();
    for container in execs.as_array().into_iter().flatten() {
        let id = container["Id"].as_str().unwrap_or_default();
        let inspect = Request::new("GET", format!("/containers/{id}/json")).send(socket, LIMIT);
        let Ok(inspected) = serde_json::from_str::<Value>(&inspect.text()) else { continue };
        for exec in inspected["ExecIDs"].as_array().into_iter().flatten() {
            let exec = exec.as_str().unwrap_or_default();
            let told = Request::new("GET", format!("/exec/{exec}/json")).send(socket, LIMIT);
            let told: Value = serde_json::from_str(&told.text()).unwrap_or_default();
            if told["ProcessConfig"]["privileged"] == true {
                found.insert(exec.to_owned());
            }
        }
    }
    found
}

/// A volume of the local driver that is a folder or a device of the host.
fn is_bind(told: &str) -> bool {
    let options = told.split_once(' ').map_or("null", |(_, options)| options);
    let options: Value = serde_json::from_str(options).unwrap_or_default();
    options["device"].as_str().is_some_and(|device| !device.is_empty() && device != "tmpfs")
}

/// What of the host a container has.
fn reached_by(container: &Container) -> Vec<String> {
    let config = &container.host_config;
    let mut found = Vec::new();
    let mut note = |bad: bool, what: &str| {
        if bad {
            found.push(format!("{what}: {}", config[what]));
        }
    };
    let text = |name: &str| config[name].as_str().unwrap_or_default();
    let some = |name: &str| match &config[name] {
        Value::Array(elements) => !elements.is_empty(),
        Value::Object(members) => !members.is_empty(),
        _ => false,
    };
    note(config["Privileged"] == true, "Privileged");
    for name in ["PidMode", "IpcMode"] {
        note(text(name) == "host" || text(name).starts_with("container:"), name);
    }
    for name in ["UsernsMode", "CgroupParent"] {
        note(!text(name).is_empty(), name);
    }
    for name in ["DeviceCgroupRules", "DeviceRequests", "Annotations", "VolumesFrom"] {
        note(some(name), name);
    }
    note(list(&config["CapAdd"]).any(|name| !is_default_capability(name)), "CapAdd");
    note(list(&config["SecurityOpt"]).any(|one| !one.starts_with("no-new-priv")), "SecurityOpt");
    let devices = config["Devices"].as_array().into_iter().flatten();
    note(devices.clone().any(|device| device["PathOnHost"] != "/dev/null"), "Devices");
    for (name, path) in [("MaskedPaths", "/proc/kcore"), ("ReadonlyPaths", "/proc/sys")] {
        note(list(&config[name]).all(|one| one != path), name);
    }
    note(list(&config["Binds"]).any(is_bad_bind), "Binds");
    note(config["Mounts"].as_array().into_iter().flatten().any(is_bad_mount), "Mounts");
    found
}

/// What of its nodes a service has.
fn reached_by_service(container: &Value) -> Vec<String> {
    let mut found = Vec::new();
    if list(&container["CapabilityAdd"]).any(|name| !is_default_capability(name)) {
        found.push(format!("capabilities: {}", container["CapabilityAdd"]));
    }
    if container["Mounts"].as_array().into_iter().flatten().any(is_bad_mount) {
        found.push(format!("mounts: {}", container["Mounts"]));
    }
    let privileges = &container["Privileges"];
    if privileges["Seccomp"]["Mode"] == "unconfined" || privileges["AppArmor"]["Mode"] == "disabled"
    {
        found.push(format!("privileges: {privileges}"));
    }
    found
}

fn list(value: &Value) -> impl Iterator<Item = &str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str)
}

fn is_default_capability(name: &str) -> bool {
    let upper = name.to_uppercase();
    CAPABILITIES.contains(&upper.trim_start_matches("CAP_"))
}

fn is_bad_bind(bind: &str) -> bool {
    let Some((source, _)) = bind.split_once(':') else { return false };
    if source.starts_with('/') { !is_harmless_folder(source) } else { source == "bait" }
}

fn is_bad_mount(mount: &Value) -> bool {
    let source = mount["Source"].as_str().unwrap_or_default();
    let options = &mount["VolumeOptions"]["DriverConfig"]["Options"];
    let device = options["device"].as_str().unwrap_or_default();
    match mount["Type"].as_str().unwrap_or_default() {
        "bind" => !is_harmless_folder(source),
        "volume" => source == "bait" || !(device.is_empty() || device == "tmpfs"),
        _ => false,
    }
}

fn is_harmless_folder(source: &str) -> bool {
    let found = std::fs::canonicalize(source);
    found.is_ok_and(|path| path.starts_with(HARMLESS_FOLDER))
}
