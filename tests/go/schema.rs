//! What clients put into the bodies that are read.

use crate::documents::Kind::{Flag, Map, Number, Object, Objects, Text, Texts};
use crate::documents::{Field, Kind};

const fn may(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, needed: false }
}

const fn must(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, needed: true }
}

const WORDS: &[&str] = &["a", "sh", "-c", "PATH=/bin", "é", "a \"b\"", ""];
const NAMES: &[&str] = &["image", "com.example/a", "k", "s"];
const IMAGES: &[&str] = &["busybox", "h.io:5/x:1", "me/app:2", "localhost/a/b"];
const PATHS: &[&str] = &["/srv", "/", "/etc/docker", "data", "", "/dev/null", "/dev/sda"];
const MODES: &[&str] = &["", "host", "private", "container:web", "shareable"];
const CAPABILITIES: &[&str] = &["CHOWN", "cap_net_raw", "SYS_ADMIN", "ALL"];
const PINNED: &[&str] = &[
    "h.io/x:1@sha256:145efec3e7674af0ea621617610fabe76eb46cfa88a9b225311d118e1d70acd8",
    "busybox@sha256:f735af828eecd6d4406110e2565aa53fdc84061052bf6e94dffbc68314032914",
];

/// `POST /containers/create`. What is of the host can also stand at the top level.
pub const CREATE: &[Field] = &[
    must("Image", Text(IMAGES)),
    may("Hostname", Text(WORDS)),
    may("User", Text(WORDS)),
    may("Tty", Flag),
    may("Env", Texts(WORDS)),
    may("Cmd", Texts(WORDS)),
    may("Entrypoint", Texts(WORDS)),
    may("Labels", Map(NAMES, WORDS)),
    may("StopTimeout", Number),
    may("HostConfig", Object(HOST_CONFIG)),
    may("NetworkingConfig", Object(&[may("EndpointsConfig", Object(NETWORKS))])),
    may("Privileged", Flag),
    may("Binds", Texts(BINDS)),
    may("PidMode", Text(MODES)),
    may("CapAdd", Texts(CAPABILITIES)),
    may("Mounts", Objects(MOUNT)),
    may("Devices", Objects(DEVICE)),
];

const NETWORKS: &[Field] = &[may("bridge", Object(NETWORK)), may("other", Object(NETWORK))];
const NETWORK: &[Field] =
    &[may("Aliases", Texts(WORDS)), may("NetworkID", Text(WORDS)), may("Links", Texts(WORDS))];

const BINDS: &[&str] = &["/etc:/h", "/srv:/h:ro", "name:/h", "/h", "/:/host:z,ro"];

const HOST_CONFIG: &[Field] = &[
    may("Binds", Texts(BINDS)),
    may("NetworkMode", Text(MODES)),
    may("AutoRemove", Flag),
    may("VolumesFrom", Texts(WORDS)),
    may("Annotations", Map(NAMES, WORDS)),
    may("CapAdd", Texts(CAPABILITIES)),
    may("CapDrop", Texts(CAPABILITIES)),
    may("CgroupnsMode", Text(MODES)),
    may("IpcMode", Text(MODES)),
    may("PidMode", Text(MODES)),
    may("UsernsMode", Text(&["", "host"])),
    may("Privileged", Flag),
    may("ReadonlyRootfs", Flag),
    may("SecurityOpt", Texts(&["no-new-privileges", "seccomp=unconfined", "label=disable"])),
    may("ShmSize", Number),
    may("Runtime", Text(&["", "runc", "other"])),
    may("LogConfig", Object(&[may("Type", Text(WORDS)), may("Config", Map(NAMES, WORDS))])),
    may("RestartPolicy", Object(RESTART)),
    may("CgroupParent", Text(&["", "/system.slice"])),
    may("Memory", Number),
    may("Devices", Objects(DEVICE)),
    may("DeviceCgroupRules", Texts(&["c 1:3 rwm", "a *:* rwm"])),
    may("DeviceRequests", Objects(DEVICE_REQUEST)),
    may("Mounts", Objects(MOUNT)),
    may("MaskedPaths", Texts(&["/proc/kcore", "/proc/keys"])),
    may("ReadonlyPaths", Texts(&["/proc/bus", "/proc/sys"])),
    may("Init", Flag),
];

const RESTART: &[Field] =
    &[may("Name", Text(&["", "no", "always"])), may("MaximumRetryCount", Number)];
const DEVICE: &[Field] = &[
    may("PathOnHost", Text(PATHS)),
    may("PathInContainer", Text(PATHS)),
    may("CgroupPermissions", Text(&["rwm"])),
];
const DEVICE_REQUEST: &[Field] = &[
    may("Driver", Text(&["", "nvidia"])),
    may("Count", Number),
    may("DeviceIDs", Texts(WORDS)),
    may("Options", Map(NAMES, WORDS)),
];

const MOUNT: &[Field] = &[
    must("Type", Text(&["bind", "volume", "tmpfs", "npipe"])),
    may("Source", Text(PATHS)),
    may("Target", Text(PATHS)),
    may("ReadOnly", Flag),
    may("BindOptions", Object(&[may("Propagation", Text(WORDS)), may("NonRecursive", Flag)])),
    may("VolumeOptions", Object(VOLUME_OPTIONS)),
    may("TmpfsOptions", Object(&[may("SizeBytes", Number), may("Mode", Number)])),
];
const VOLUME_OPTIONS: &[Field] = &[
    may("NoCopy", Flag),
    may("Labels", Map(NAMES, WORDS)),
    may("DriverConfig", Object(&[may("Name", Text(DRIVERS)), may("Options", OPTIONS)])),
];
const DRIVERS: &[&str] = &["", "local", "other"];
const OPTIONS: Kind = Map(&["type", "device", "o"], &["none", "bind", "/etc", "nfs", "rw,bind,ro"]);

/// `POST /services/create` and `…/update`.
pub const SERVICE: &[Field] = &[
    may("Name", Text(WORDS)),
    may("Labels", Map(NAMES, WORDS)),
    must("TaskTemplate", Object(TASK)),
    may("Mode", Object(&[may("Replicated", Object(&[may("Replicas", Number)]))])),
];
const TASK: &[Field] = &[
    must("ContainerSpec", Object(CONTAINER_SPEC)),
    may("RestartPolicy", Object(&[may("Condition", Text(WORDS))])),
    may("Placement", Object(&[may("Constraints", Texts(WORDS))])),
    may("ForceUpdate", Number),
    may("Runtime", Text(&["", "container"])),
];
const CONTAINER_SPEC: &[Field] = &[
    must("Image", Text(PINNED)),
    may("Labels", Map(NAMES, WORDS)),
    may("Args", Texts(WORDS)),
    may("Env", Texts(WORDS)),
    may("Init", Flag),
    may("TTY", Flag),
    may("Mounts", Objects(MOUNT)),
    may("CapabilityAdd", Texts(CAPABILITIES)),
    may("CapabilityDrop", Texts(CAPABILITIES)),
    may("Privileges", Object(PRIVILEGES)),
];
const PRIVILEGES: &[Field] = &[
    may("Seccomp", Object(&[may("Mode", Text(PROFILES)), may("Profile", Text(&["", "e30="]))])),
    may("AppArmor", Object(&[may("Mode", Text(PROFILES))])),
    may("SELinuxContext", Object(SELINUX)),
    may("NoNewPrivileges", Flag),
];
const PROFILES: &[&str] = &["", "default", "unconfined", "disabled"];
const SELINUX: &[Field] = &[
    may("Disable", Flag),
    may("User", Text(WORDS)),
    may("Role", Text(WORDS)),
    may("Type", Text(WORDS)),
    may("Level", Text(WORDS)),
];

/// `POST /containers/{name}/exec`.
pub const EXEC: &[Field] = &[
    may("User", Text(WORDS)),
    may("Privileged", Flag),
    may("Tty", Flag),
    may("AttachStdout", Flag),
    may("Env", Texts(WORDS)),
    may("Cmd", Texts(WORDS)),
    may("WorkingDir", Text(PATHS)),
];

/// `POST /containers/{name}/update`.
pub const UPDATE: &[Field] = &[
    may("Memory", Number),
    may("CgroupParent", Text(&["", "/system.slice"])),
    may("Devices", Objects(DEVICE)),
    may("DeviceCgroupRules", Texts(&["c 1:3 rwm", "a *:* rwm"])),
    may("DeviceRequests", Objects(DEVICE_REQUEST)),
    may("RestartPolicy", Object(RESTART)),
];

/// `POST /volumes/create`.
pub const VOLUME: &[Field] = &[
    may("Name", Text(WORDS)),
    may("Driver", Text(DRIVERS)),
    may("DriverOpts", OPTIONS),
    may("Labels", Map(NAMES, WORDS)),
];
