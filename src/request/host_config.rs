//! Reading `HostConfig`, of a call or of a container that exists.
//!
//! Source: `container.HostConfig` and `container.Resources` of Docker Engine 20.10, 26, 28
//! and 29 (`api/types/container/hostconfig.go`).

use super::body::{self, Fields};
use super::host_access::HostAccess;
use super::mounts;
use super::refusal::{Refusal, excerpt};

/// The capabilities of every container (`oci/caps/defaults.go`, `DefaultCapabilities`).
const DEFAULT_CAPABILITIES: [&str; 14] = [
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

/// The devices in every container's `/dev` (`specconv.AllowedDevices` of runc).
pub(super) const DEFAULT_DEVICES: [&str; 6] =
    ["/dev/full", "/dev/null", "/dev/random", "/dev/tty", "/dev/urandom", "/dev/zero"];

/// What every engine from 20.10 to 29 covers where a call does not say (`oci/defaults.go`).
/// Engines store their defaults with the container, so lists that hold these are theirs.
const COVERED: [(&str, &[&str]); 2] = [
    (
        "MaskedPaths",
        &[
            "/proc/acpi",
            "/proc/kcore",
            "/proc/keys",
            "/proc/latency_stats",
            "/proc/timer_list",
            "/proc/sched_debug",
            "/proc/scsi",
            "/sys/firmware",
        ],
    ),
    ("ReadonlyPaths", &["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]),
];

/// Reads the `HostConfig` of a container that exists, as the engine tells it.
///
/// `CgroupnsMode` is left out: on hosts with cgroups of version 1, engines store `host`
/// there though nobody asked for it (`postContainersCreate`).
pub fn stored_access(host_config: &str) -> Result<Vec<HostAccess>, Refusal> {
    let document = body::document(host_config.as_bytes())?;
    if document == crate::json::Value::Null {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    read(&Fields::root(&document)?, &mut found)?;
    found.retain(|access| !matches!(access, HostAccess::CgroupnsMode(_)));
    Ok(found)
}

/// Reads one `HostConfig` into `found`.
pub(super) fn read(config: &Fields<'_>, found: &mut Vec<HostAccess>) -> Result<(), Refusal> {
    if config.flag("Privileged")? {
        found.push(HostAccess::Privileged);
    }
    namespaces(config, found)?;
    capabilities(&config.texts("CapAdd")?, found);
    resources(config, found)?;
    for option in config.texts("SecurityOpt")? {
        if !is_harmless_option(option) {
            found.push(HostAccess::SecurityOpt(excerpt(option)));
        }
    }
    for (name, defaults) in COVERED {
        if config.has(name)? {
            let paths = config.texts(name)?;
            if defaults.iter().any(|path| !paths.contains(path)) {
                found.push(HostAccess::Uncovered(name));
            }
        }
    }
    if let Some(runtime) = written(config, "Runtime")? {
        found.push(HostAccess::Runtime(excerpt(runtime)));
    }
    for (name, _) in config.map("Annotations")? {
        found.push(HostAccess::Annotation(excerpt(name)));
    }
    mounts::read(config, found)
}

/// Reads the resources of a `HostConfig`, or of `POST /containers/{name}/update`.
pub(super) fn resources(config: &Fields<'_>, found: &mut Vec<HostAccess>) -> Result<(), Refusal> {
    if let Some(parent) = written(config, "CgroupParent")? {
        found.push(HostAccess::CgroupParent(excerpt(parent)));
    }
    for device in config.objects("Devices")? {
        let path = device.text("PathOnHost")?.unwrap_or_default();
        if !DEFAULT_DEVICES.contains(&path) {
            found.push(HostAccess::Device(excerpt(path)));
        }
    }
    for rule in config.texts("DeviceCgroupRules")? {
        found.push(HostAccess::DeviceCgroupRule(excerpt(rule)));
    }
    for request in config.objects("DeviceRequests")? {
        let driver = request.text("Driver")?.unwrap_or_default();
        found.push(HostAccess::DeviceRequest(excerpt(driver)));
    }
    Ok(())
}

/// Keeps the capabilities that are beyond the default set, spelled as engines compare them
/// (`caps.NormalizeLegacyCapabilities`).
pub(super) fn capabilities(names: &[&str], found: &mut Vec<HostAccess>) {
    for name in names {
        let upper = name.to_ascii_uppercase();
        let bare = upper.strip_prefix("CAP_").unwrap_or(&upper);
        if !DEFAULT_CAPABILITIES.contains(&bare) {
            found.push(HostAccess::Capability(excerpt(bare)));
        }
    }
}

fn namespaces(config: &Fields<'_>, found: &mut Vec<HostAccess>) -> Result<(), Refusal> {
    let joins = |mode: &&str| *mode == "host" || mode.starts_with("container:");
    if let Some(mode) = config.text("PidMode")?.filter(joins) {
        found.push(HostAccess::PidMode(excerpt(mode)));
    }
    if let Some(mode) = config.text("IpcMode")?.filter(joins) {
        found.push(HostAccess::IpcMode(excerpt(mode)));
    }
    if let Some(mode) = written(config, "UsernsMode")? {
        found.push(HostAccess::UsernsMode(excerpt(mode)));
    }
    if let Some(mode) = config.text("CgroupnsMode")?.filter(joins) {
        found.push(HostAccess::CgroupnsMode(excerpt(mode)));
    }
    Ok(())
}

/// A text that is there and not empty.
fn written<'v>(config: &Fields<'v>, name: &str) -> Result<Option<&'v str>, Refusal> {
    Ok(config.text(name)?.filter(|text| !text.is_empty()))
}

/// Options that tighten, or that spell out the default (`parseSecurityOpt`).
fn is_harmless_option(option: &str) -> bool {
    matches!(
        option,
        "seccomp=builtin"
            | "apparmor=docker-default"
            | "seccomp:builtin"
            | "apparmor:docker-default"
    ) || option == "no-new-privileges"
        || option.starts_with("no-new-privileges=")
        || option.starts_with("no-new-privileges:")
}
