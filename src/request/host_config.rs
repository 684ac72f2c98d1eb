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
/// there though nobody asked for it (`postContainersCreate`). So are sockets to log to: the
/// operator's own stand there as well (`mergeAndVerifyLogConfig`).
pub fn stored_access(host_config: &str) -> Result<Vec<HostAccess>, Refusal> {
    let document = body::document(host_config.as_bytes())?;
    if document == crate::json::Value::Null {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    read(&Fields::root(&document)?, &mut found)?;
    found
        .retain(|access| !matches!(access, HostAccess::CgroupnsMode(_) | HostAccess::LogSocket(_)));
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
    if let Some(log) = config.object("LogConfig")? {
        log_sockets(&log.map("Config")?, found);
    }
    mounts::read(config, found)
}

/// Keeps the sockets of this host that a log driver would write to (`syslog-address`,
/// `fluentd-address`), but the one that is there for it. Lines of the caller's come there from
/// the engine, which is root: systemd's own socket takes them, say (`tag` may hold line ends).
pub(super) fn log_sockets(options: &[(&str, &str)], found: &mut Vec<HostAccess>) {
    for (_, address) in options.iter().filter(|(name, _)| name.ends_with("-address")) {
        let scheme = address.split(':').next().unwrap_or_default().to_ascii_lowercase();
        let is_socket = matches!(scheme.as_str(), "unix" | "unixgram");
        if is_socket && !matches!(*address, "unix:///dev/log" | "unixgram:///dev/log") {
            found.push(HostAccess::LogSocket(excerpt(address)));
        }
    }
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

#[cfg(test)]
mod tests {
    use super::super::recorded::reached as told;
    use super::*;

    #[test]
    fn reads_what_lifts_confinement() {
        for (host_config, meant) in [
            ("null", ""),
            ("{}", ""),
            (r#"{"Privileged":false,"NetworkMode":"host","UTSMode":"host","Init":true}"#, ""),
            (r#"{"Privileged":null,"CapAdd":null,"Devices":null,"Binds":null}"#, ""),
            (r#"{"Privileged":true}"#, "Privileged"),
            (r#"{"PidMode":"host"}"#, r#"PidMode "host""#),
            (r#"{"PidMode":"container:a"}"#, r#"PidMode "container:a""#),
            (r#"{"PidMode":"","IpcMode":"private","UsernsMode":""}"#, ""),
            (r#"{"IpcMode":"shareable"}"#, ""),
            (r#"{"IpcMode":"host"}"#, r#"IpcMode "host""#),
            (r#"{"UsernsMode":"host"}"#, r#"UsernsMode "host""#),
            (r#"{"CapAdd":["CHOWN","cap_net_raw"],"CapDrop":["ALL"]}"#, ""),
            (r#"{"CapAdd":["cap_sys_admin"]}"#, r#"capability "SYS_ADMIN""#),
            (r#"{"CapAdd":["all","BPF"]}"#, r#"capability "ALL", capability "BPF""#),
            (r#"{"Devices":[{"PathOnHost":"/dev/null"}]}"#, ""),
            (r#"{"Devices":[{"PathOnHost":"/dev/null/../sda"}]}"#, r#"device "/dev/null/../sda""#),
            (r#"{"Devices":[{"PathOnHost":"/dev/kvm"}]}"#, r#"device "/dev/kvm""#),
            (r#"{"LogConfig":{"Type":"fluentd","Config":{"fluentd-address":"unix:///x"}}}"#, ""),
            (r#"{"DeviceCgroupRules":["c 1:3 r"]}"#, r#"device rule "c 1:3 r""#),
            (
                r#"{"DeviceRequests":[{"Driver":"nvidia","Count":-1}]}"#,
                r#"device request "nvidia""#,
            ),
            (r#"{"DeviceRequests":[{}]}"#, r#"device request """#),
            (r#"{"SecurityOpt":["no-new-privileges","no-new-privileges:true"]}"#, ""),
            (r#"{"SecurityOpt":["seccomp=builtin","apparmor=docker-default"]}"#, ""),
            (
                r#"{"SecurityOpt":["seccomp=unconfined"]}"#,
                r#"security option "seccomp=unconfined""#,
            ),
            (r#"{"SecurityOpt":["label:disable"]}"#, r#"security option "label:disable""#),
            (r#"{"SecurityOpt":["seccomp={}"]}"#, r#"security option "seccomp={}""#),
            (r#"{"MaskedPaths":null}"#, ""),
            (r#"{"MaskedPaths":[]}"#, "MaskedPaths without the engine's defaults"),
            (r#"{"ReadonlyPaths":["/proc/bus"]}"#, "ReadonlyPaths without the engine's defaults"),
            (r#"{"Runtime":"runc"}"#, r#"runtime "runc""#),
            (r#"{"Runtime":"","CgroupParent":"","Annotations":{}}"#, ""),
            (r#"{"CgroupParent":"system.slice"}"#, r#"parent cgroup "system.slice""#),
            (
                r#"{"Annotations":{"org.systemd.property.X":"1"}}"#,
                r#"annotation "org.systemd.property.X""#,
            ),
        ] {
            assert_eq!(told(host_config), meant, "{host_config}");
        }
    }

    /// As Docker Engine 20.10 stores them for `docker create IMAGE` where cgroups are of
    /// version 1, and with the paths that later engines add.
    #[test]
    fn what_engines_store_by_themselves_asks_for_nothing() {
        let masked = r#"["/proc/asound","/proc/acpi","/proc/kcore","/proc/keys",
            "/proc/latency_stats","/proc/timer_list","/proc/timer_stats","/proc/sched_debug",
            "/proc/scsi","/sys/firmware"]"#;
        let newer = masked.replace(']', r#","/proc/interrupts","/sys/devices/virtual/powercap"]"#);
        for masked in [masked, &newer] {
            let host_config = format!(
                r#"{{"Binds":null,"ContainerIDFile":"","NetworkMode":"default","VolumesFrom":null,
                    "CapAdd":null,"CgroupnsMode":"host","IpcMode":"private","Cgroup":"",
                    "PidMode":"","Privileged":false,"SecurityOpt":null,"UTSMode":"",
                    "UsernsMode":"","ShmSize":67108864,"CgroupParent":"","Devices":[],
                    "DeviceCgroupRules":null,"DeviceRequests":null,"MaskedPaths":{masked},
                    "ReadonlyPaths":["/proc/bus","/proc/fs","/proc/irq","/proc/sys",
                    "/proc/sysrq-trigger"]}}"#
            );
            assert_eq!(told(&host_config), "", "{host_config}");
        }
    }

    #[test]
    fn refuses_what_engines_could_read_otherwise() {
        for (host_config, code) in [
            (r#"{"privileged":true}"#, "ambiguous-name"),
            (r#"{"CAPADD":["ALL"]}"#, "ambiguous-name"),
            (r#"{"Device\u017f":[]}"#, "ambiguous-name"),
            (r#"{"Devices":[{"pathOnHost":"/dev/sda"}]}"#, "ambiguous-name"),
            (r#"{"Privileged":false,"Privileged":true}"#, "body-malformed"),
            (r#"{"Privileged":"true"}"#, "body-malformed"),
            (r#"{"CapAdd":"ALL"}"#, "body-malformed"),
            (r#"{"CapAdd":[null]}"#, "body-malformed"),
            (r#"{"Annotations":["a"]}"#, "body-malformed"),
            ("[]", "body-malformed"),
        ] {
            assert_eq!(told(host_config), format!("deny {code}"), "{host_config}");
        }
    }

    #[test]
    fn reads_where_a_log_goes() {
        for (name, address, is_told) in [
            ("fluentd-address", "unix:///run/x.sock", true),
            ("fluentd-address", "UNIX:///run/x.sock", true),
            ("syslog-address", "unixgram:///run/systemd/notify", true),
            ("syslog-address", "unixgram:///dev/log/../x", true),
            ("syslog-address", "unixgram:///dev/log", false),
            ("syslog-address", "udp://h.io:514", false),
            ("fluentd-address", "h.io:24224", false),
            ("gelf-address", "udp://unix:1", false),
            ("tag", "unix:///run/x.sock", false),
        ] {
            let mut found = Vec::new();
            log_sockets(&[("max-size", "1m"), (name, address)], &mut found);
            assert_eq!(!found.is_empty(), is_told, "{name} {address}: {found:?}");
        }
    }
}
