//! What a call asks of the host, beside running an image.

use std::fmt;

use super::refusal::excerpt;

/// One thing that lifts a container's confinement, or could: a closed list.
///
/// What every container has anyway is not among it: capabilities of the default set, the
/// devices that are in each `/dev`, the default profiles. Neither is the host's network,
/// which reaches no file and no process.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HostAccess {
    /// Everything at once: `--privileged`.
    Privileged,
    /// Another PID namespace than its own: `host` or `container:NAME`.
    PidMode(String),
    /// Another IPC namespace than its own: `host` or `container:NAME`.
    IpcMode(String),
    /// Another user namespace than the engine's choice.
    UsernsMode(String),
    /// The host's cgroup namespace.
    CgroupnsMode(String),
    /// A capability beyond the default set, in upper case and without `CAP_`; or `ALL`.
    Capability(String),
    /// A device of the host, by its path.
    Device(String),
    /// A rule that opens devices to the container's cgroup.
    DeviceCgroupRule(String),
    /// Devices of a driver, such as GPUs.
    DeviceRequest(String),
    /// A security option other than the harmless ones.
    SecurityOpt(String),
    /// `MaskedPaths` or `ReadonlyPaths` that leave out what engines cover by default.
    Uncovered(&'static str),
    /// A named OCI runtime. Harmful unless it is the engine's default.
    Runtime(String),
    /// A parent cgroup.
    CgroupParent(String),
    /// An annotation, which is an instruction to the OCI runtime.
    Annotation(String),
    /// A socket of the host that the engine itself would write the container's output to.
    LogSocket(String),
    /// A folder or file of the host. Harmful if it leads where enforcement lives.
    Bind {
        /// Its path, as the caller wrote it.
        source: String,
        /// Whether the container can only read it.
        read_only: bool,
    },
    /// A folder or file below a folder that a container can write to: it could be replaced by
    /// a link to anywhere, which the engine follows at the next start. Nothing that a call
    /// says by itself.
    Nested {
        /// The folder that can be written to.
        outer: String,
        /// What is bound of what is below it.
        inner: String,
    },
    /// A device or file system that a volume of the local driver mounts.
    VolumeDevice(String),
    /// A named volume. Harmful if the engine's volume of that name is.
    Volume(String),
    /// All mounts of another container.
    VolumesFrom(String),
}

impl HostAccess {
    /// What it would allow, as the end of a sentence that begins "it could".
    pub const fn would(&self) -> &'static str {
        match self {
            Self::Privileged
            | Self::Capability(_)
            | Self::Device(_)
            | Self::DeviceCgroupRule(_)
            | Self::VolumeDevice(_) => {
                "take over the host, and with it the check of signatures itself"
            }
            Self::PidMode(_) => "signal and inspect the engine and countersign",
            Self::IpcMode(_) => "read and change memory that programs of the host share",
            Self::UsernsMode(_) => "run as the host's root where the engine maps users",
            Self::CgroupnsMode(_) | Self::CgroupParent(_) => {
                "take part in the resource control of the host's own services"
            }
            Self::DeviceRequest(_) => "use devices of the host",
            Self::SecurityOpt(_) | Self::Uncovered(_) => {
                "do what the engine's default profiles keep every container from"
            }
            Self::Runtime(_) | Self::Annotation(_) => {
                "be run otherwise than this engine confines containers"
            }
            Self::LogSocket(_) => "say anything to programs of the host, and that as the engine",
            Self::Bind { .. } | Self::Volume(_) => {
                "read or replace what the engine, countersign or the host itself run and trust"
            }
            Self::Nested { .. } => {
                "put a link to any folder in the place of the inner one, which the engine follows \
                 when it starts the container again"
            }
            Self::VolumesFrom(_) => "reach whatever that container may reach",
        }
    }
}

/// What is asked for, in the words of the API.
impl fmt::Display for HostAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Privileged => f.write_str("Privileged"),
            Self::PidMode(mode) => write!(f, "PidMode {mode:?}"),
            Self::IpcMode(mode) => write!(f, "IpcMode {mode:?}"),
            Self::UsernsMode(mode) => write!(f, "UsernsMode {mode:?}"),
            Self::CgroupnsMode(mode) => write!(f, "CgroupnsMode {mode:?}"),
            Self::Capability(name) => write!(f, "capability {name:?}"),
            Self::Device(path) => write!(f, "device {path:?}"),
            Self::DeviceCgroupRule(rule) => write!(f, "device rule {rule:?}"),
            Self::DeviceRequest(driver) => write!(f, "device request {driver:?}"),
            Self::SecurityOpt(option) => write!(f, "security option {option:?}"),
            Self::Uncovered(name) => write!(f, "{name} without the engine's defaults"),
            Self::Runtime(name) => write!(f, "runtime {name:?}"),
            Self::CgroupParent(name) => write!(f, "parent cgroup {name:?}"),
            Self::Annotation(name) => write!(f, "annotation {name:?}"),
            Self::LogSocket(address) => write!(f, "log socket {address:?}"),
            Self::Bind { source, read_only } => {
                let how = if *read_only { ", read-only" } else { "" };
                write!(f, "bind of {:?}{how}", excerpt(source))
            }
            Self::Nested { outer, inner } => {
                let (outer, inner) = (excerpt(outer), excerpt(inner));
                write!(f, "bind of {inner:?} beside one of {outer:?} that can be written to")
            }
            Self::VolumeDevice(device) => write!(f, "volume on device {device:?}"),
            Self::Volume(name) => write!(f, "volume {:?}", excerpt(name)),
            Self::VolumesFrom(container) => write!(f, "volumes from container {container:?}"),
        }
    }
}
