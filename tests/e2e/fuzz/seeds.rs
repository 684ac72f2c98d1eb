//! Calls that an engine would carry out, and what an attacker would put into them.
//!
//! `$NAME` stands for something of the engine under test (`world.rs`).

/// A call to begin with, and lures: what a plugin must not let by.
pub struct Seed {
    /// How often it is chosen, among all.
    pub weight: usize,
    pub method: &'static str,
    /// Path and query. `$NEW` is a name nobody has yet.
    pub target: &'static str,
    pub body: Body,
    pub lures: &'static [Lure],
}

/// What a call carries.
pub enum Body {
    Absent,
    Json(&'static str),
    /// An archive of this name (`World::archive`).
    Tar(&'static str),
}

/// Something that must not happen, as one piece put into a call.
#[derive(Clone, Copy)]
pub enum Lure {
    /// A member of the document: its path, and its value as JSON.
    Member(&'static str, &'static str),
    /// A parameter of the query.
    Parameter(&'static str, &'static str),
    /// Another path.
    Path(&'static str),
}
use Lure::{Member, Parameter, Path};

const fn seed(
    weight: usize,
    method: &'static str,
    target: &'static str,
    body: Body,
    lures: &'static [Lure],
) -> Seed {
    Seed { weight, method, target, body, lures }
}

/// The document of a container like those that people make.
const CONTAINER: &str = r#"{"Hostname":"a","Env":["A=1"],"Cmd":["/bin/true"],"Image":"$GOOD",
    "Labels":{"image":"x"},"Volumes":{},"HostConfig":{"NetworkMode":"none","Memory":67108864,
    "Binds":["/srv:/data:ro"],"Mounts":[{"Type":"tmpfs","Target":"/t"}],"Privileged":false,
    "CapAdd":[],"RestartPolicy":{"Name":"no","MaximumRetryCount":0}}}"#;

const CONTAINER_LURES: &[Lure] = &[
    Member("Image", r#""$EVIL""#),
    Member("Image", r#""$EVIL""#),
    Member("Image", r#""$EVIL""#),
    Member("Image", r#""$EVIL_ID""#),
    Member("Image", r#""$EVIL_HEX""#),
    Member("Image", r#""$EVIL_SHORT""#),
    Member("Image", r#""$APP@$EVIL_DIGEST""#),
    Member("Image", r#""$APP:1@$EVIL_DIGEST""#),
    Member("Image", r#""$SHADOW""#),
    Member("Image", r#""lane:evil""#),
    Member("Image", r#""""#),
    Member("Image", "null"),
    Parameter("name", "$EVIL_CID_SHORT"),
    Parameter("platform", "linux/other"),
    Member("HostConfig.Privileged", "true"),
    Member("HostConfig.Privileged", "true"),
    Member("HostConfig.PidMode", r#""host""#),
    Member("HostConfig.PidMode", r#""container:strong""#),
    Member("HostConfig.IpcMode", r#""host""#),
    Member("HostConfig.UsernsMode", r#""host""#),
    Member("HostConfig.CapAdd", r#"["SYS_ADMIN"]"#),
    Member("HostConfig.CapAdd", r#"["CHOWN","cap_sys_ptrace"]"#),
    Member("HostConfig.CapAdd", r#"["ALL"]"#),
    Member(
        "HostConfig.Devices",
        r#"[{"PathOnHost":"/dev/kmsg","PathInContainer":"/dev/null","CgroupPermissions":"rwm"}]"#,
    ),
    Member("HostConfig.DeviceCgroupRules", r#"["a *:* rwm"]"#),
    Member("HostConfig.SecurityOpt", r#"["seccomp=unconfined"]"#),
    Member("HostConfig.SecurityOpt", r#"["no-new-privileges","apparmor=unconfined"]"#),
    Member("HostConfig.MaskedPaths", "[]"),
    Member("HostConfig.ReadonlyPaths", "[]"),
    Member("HostConfig.CgroupParent", r#""/fuzzed""#),
    Member("HostConfig.Annotations", r#"{"org.systemd.property.X":"1"}"#),
    Member("HostConfig.Binds", r#"["/:/h"]"#),
    Member("HostConfig.Binds", r#"["/srv:/data","/etc:/h"]"#),
    Member("HostConfig.Binds", r#"["//srv/../etc:/h:ro"]"#),
    Member("HostConfig.Binds", r#"["/tmp/./../run/docker/plugins:/p"]"#),
    Member("HostConfig.Binds", r#"["$LINK:/h"]"#),
    Member("HostConfig.Binds", r#"["bait:/h"]"#),
    Member("HostConfig.Mounts", r#"[{"Type":"bind","Source":"/etc","Target":"/h"}]"#),
    Member(
        "HostConfig.Mounts",
        r#"[{"Type":"tmpfs","Target":"/t"},{"Type":"bind","Source":"/","Target":"/h"}]"#,
    ),
    Member("HostConfig.Mounts", r#"[{"Type":"volume","Source":"bait","Target":"/h"}]"#),
    Member(
        "HostConfig.Mounts",
        r#"[{"Type":"volume","Target":"/h","VolumeOptions":{"DriverConfig":{"Name":"local",
            "Options":{"type":"none","o":"bind","device":"/etc"}}}}]"#,
    ),
    Member("HostConfig.Mounts", r#"[{"Type":"image","Source":"$EVIL","Target":"/h"}]"#),
    Member("HostConfig.Mounts", r#"[{"Type":"image","Source":"$GOOD","Target":"/h"}]"#),
    Member("HostConfig.VolumesFrom", r#"["bound"]"#),
    Member("HostConfig.VolumesFrom", r#"["$BOUND_CID:ro"]"#),
];

/// Containers that must not be started.
const START_LURES: &[Lure] = &[
    Path("/containers/evil/start"),
    Path("/containers/evil/restart"),
    Path("/containers/$EVIL_CID/start"),
    Path("/containers/$EVIL_CID_SHORT/start"),
    Path("/containers/$EVIL_CID_SHORT/restart"),
    Path("/containers/strong/start"),
    Path("/containers/bound/start"),
    Path("/containers/heir/start"),
    Path("/containers/heir/restart"),
    Parameter("checkpoint", "c"),
    Member("Privileged", "true"),
    Member("Binds", r#"["/etc:/h"]"#),
];

const SERVICE: &str = r#"{"Name":"$NEW","Mode":{"Replicated":{"Replicas":0}},"Labels":{"Image":"x"},
    "TaskTemplate":{"ContainerSpec":{"Image":"$PINNED","Args":["true"],
    "Mounts":[{"Type":"tmpfs","Target":"/t"}]},"Runtime":"container","ForceUpdate":1},
    "UpdateConfig":{"Parallelism":1}}"#;

const SERVICE_UPDATE: &str = r#"{"Name":"$SERVICE","Mode":{"Replicated":{"Replicas":0}},
    "TaskTemplate":{"ContainerSpec":{"Image":"$PINNED","Args":["false"],
    "Privileges":{"NoNewPrivileges":true}},"ForceUpdate":2}}"#;

const SERVICE_LURES: &[Lure] = &[
    Member("TaskTemplate.ContainerSpec.Image", r#""$EVIL""#),
    Member("TaskTemplate.ContainerSpec.Image", r#""$EVIL""#),
    Member("TaskTemplate.ContainerSpec.Image", r#""$EVIL_PINNED""#),
    Member("TaskTemplate.ContainerSpec.Image", r#""$EVIL_PINNED""#),
    Member("TaskTemplate.ContainerSpec.Image", r#""$EVIL_ID""#),
    Member("TaskTemplate.ContainerSpec.Image", r#""$GOOD""#),
    Member("TaskTemplate.ContainerSpec.CapabilityAdd", r#"["CAP_SYS_ADMIN"]"#),
    Member(
        "TaskTemplate.ContainerSpec.Mounts",
        r#"[{"Type":"bind","Source":"/etc","Target":"/h"}]"#,
    ),
    Member(
        "TaskTemplate.ContainerSpec.Mounts",
        r#"[{"Type":"volume","Source":"v","Target":"/h","VolumeOptions":{"DriverConfig":
            {"Name":"local","Options":{"o":"bind","device":"/etc"}}}}]"#,
    ),
    Member("TaskTemplate.ContainerSpec.Mounts", r#"[{"Source":"/etc","Target":"/h"}]"#),
    Member(
        "TaskTemplate.ContainerSpec.Mounts",
        r#"[{"Type":"BIND","Source":"/etc","Target":"/h"}]"#,
    ),
    Member("TaskTemplate.ContainerSpec.Privileges", r#"{"Seccomp":{"Mode":"unconfined"}}"#),
    Member("TaskTemplate.Runtime", r#""plugin""#),
];

const SERVICE_UPDATE_LURES: &[Lure] = &[
    Member("TaskTemplate.ContainerSpec.Image", r#""$EVIL""#),
    Member("TaskTemplate.ContainerSpec.Image", r#""$EVIL_PINNED""#),
    Member("TaskTemplate.ContainerSpec.Image", r#""$EVIL_ID""#),
    Member("TaskTemplate.ContainerSpec.Mounts", r#"[{"Type":"bind","Source":"/","Target":"/h"}]"#),
    Member("TaskTemplate.ContainerSpec.CapabilityAdd", r#"["ALL"]"#),
    Path("/services/turned/update?version=$VERSION_TURNED&rollback=previous"),
    Parameter("rollback", "previous"),
];

/// What it was before its last update must not come back.
const TURNED_LURES: &[Lure] = &[
    Parameter("rollback", "previous"),
    Parameter("rollback", "previous"),
    Path("/services/$TURNED_ID/update?version=$VERSION_TURNED&rollback=previous"),
    Path("/services/turned/update?rollback=previous&version=$VERSION_TURNED"),
    Member("TaskTemplate.ContainerSpec.Image", r#""$EVIL_PINNED""#),
];

/// All seeds.
pub const SEEDS: &[Seed] = &[
    seed(34, "POST", "/containers/create?name=$NEW", Body::Json(CONTAINER), CONTAINER_LURES),
    seed(4, "POST", "/containers/create", Body::Json(r#"{"Image":"$GOOD_ID"}"#), CONTAINER_LURES),
    seed(8, "POST", "/containers/idle/start", Body::Absent, START_LURES),
    seed(3, "POST", "/containers/$RECENT/start", Body::Absent, START_LURES),
    seed(2, "POST", "/containers/$IDLE_CID/restart?t=0", Body::Absent, START_LURES),
    seed(
        2,
        "POST",
        "/containers/idle/start",
        Body::Json(r#"{"NetworkMode":"none","Memory":0}"#),
        START_LURES,
    ),
    seed(12, "POST", "/services/create", Body::Json(SERVICE), SERVICE_LURES),
    seed(
        10,
        "POST",
        "/services/$SERVICE/update?version=$VERSION",
        Body::Json(SERVICE_UPDATE),
        SERVICE_UPDATE_LURES,
    ),
    seed(
        4,
        "POST",
        "/services/turned/update?version=$VERSION_TURNED",
        Body::Json(
            r#"{"Name":"turned","Mode":{"Replicated":{"Replicas":0}},
                "TaskTemplate":{"ContainerSpec":{"Image":"$PINNED"},"ForceUpdate":3}}"#,
        ),
        TURNED_LURES,
    ),
    seed(
        10,
        "POST",
        "/images/create?fromImage=$APP&tag=1",
        Body::Absent,
        &[
            Parameter("tag", "remote"),
            Parameter("fromImage", "$APP:remote"),
            Parameter("fromImage", "$OTHER"),
            Parameter("tag", "$REMOTE_DIGEST"),
            Parameter("fromImage", "$APP@$REMOTE_DIGEST"),
            Parameter("tag", ""),
            Parameter("fromSrc", "-"),
            Path("/images/create?fromImage=$APP:1&tag=remote"),
            Path("/images/create?fromImage=$OTHER"),
            Path("/images/create?fromSrc=-&repo=$APP&tag=new"),
        ],
    ),
    seed(
        4,
        "POST",
        "/images/$GOOD/tag?repo=scratch&tag=$NEW",
        Body::Absent,
        &[
            Path("/images/$EVIL/tag?repo=scratch&tag=$NEW"),
            Path("/images/$EVIL_ID/tag?repo=scratch&tag=$NEW"),
        ],
    ),
    seed(
        5,
        "POST",
        "/volumes/create",
        Body::Json(r#"{"Name":"$NEW","Driver":"local","DriverOpts":{},"Labels":{}}"#),
        &[
            Member("DriverOpts", r#"{"type":"none","o":"bind","device":"/etc"}"#),
            Member("DriverOpts", r#"{"o":"size=1,rbind","device":"/"}"#),
            Member("DriverOpts.device", r#""/etc""#),
            Member("DriverOpts", r#"{"type":"none","o":"bind","device":"/srv/../etc"}"#),
        ],
    ),
    seed(
        5,
        "POST",
        "/containers/web/exec",
        Body::Json(r#"{"Cmd":["/bin/sleep","60"],"AttachStdout":true,"Privileged":false}"#),
        &[Member("Privileged", "true"), Member("Privileged", "true"), Member("User", r#""0""#)],
    ),
    seed(
        3,
        "POST",
        "/containers/idle/update",
        Body::Json(r#"{"Memory":67108864,"MemorySwap":67108864,"RestartPolicy":{"Name":"no"}}"#),
        &[
            Member("Devices", r#"[{"PathOnHost":"/dev/kmsg","CgroupPermissions":"rwm"}]"#),
            Member("DeviceCgroupRules", r#"["a *:* rwm"]"#),
            Member("CgroupParent", r#""/fuzzed""#),
            Member("Privileged", "true"),
        ],
    ),
    seed(
        3,
        "POST",
        "/containers/$RECENT/rename?name=$NEW",
        Body::Absent,
        &[
            Parameter("name", "$EVIL_CID"),
            Parameter("name", "/$WEB_CID"),
            Parameter("name", "$EVIL_CID_SHORT"),
        ],
    ),
    seed(
        3,
        "POST",
        "/commit?container=idle&repo=scratch&tag=$NEW",
        Body::Json(r#"{"Cmd":["/bin/true"]}"#),
        &[Parameter("repo", "$APP"), Parameter("container", "evil")],
    ),
    seed(2, "POST", "/commit?container=idle&repo=scratch&tag=$NEW", Body::Absent, &[]),
    seed(2, "POST", "/images/load?quiet=1", Body::Tar("image"), &[]),
    seed(
        3,
        "POST",
        "/images/create?fromSrc=-&repo=scratch&tag=$NEW",
        Body::Tar("root"),
        &[Parameter("repo", "$APP"), Parameter("fromImage", "$APP:1")],
    ),
    seed(
        3,
        "POST",
        "/build?t=scratch:$NEW&networkmode=none",
        Body::Tar("build"),
        &[Parameter("version", "2"), Parameter("version", "1"), Parameter("t", "$APP:built")],
    ),
    seed(
        4,
        "PUT",
        "/containers/idle/archive?path=/",
        Body::Tar("planted"),
        &[Path("/containers/evil/archive?path=/"), Path("/containers/web/archive?path=/")],
    ),
    seed(2, "POST", "/plugins/create?name=$NEW", Body::Tar("plugin"), &[]),
    seed(1, "POST", "/plugins/pull?remote=$APP:1&name=$NEW", Body::Json("[]"), &[]),
    seed(
        3,
        "POST",
        "/plugins/sleeper:latest/set",
        Body::Json(r#"["A=b"]"#),
        &[Path("/plugins/sleeper:latest/enable?timeout=1"), Path("/plugins/sleeper/upgrade")],
    ),
    seed(1, "DELETE", "/plugins/sleeper:latest?force=1", Body::Absent, &[]),
    seed(
        3,
        "POST",
        "/swarm/update?version=$VERSION_SWARM",
        Body::Json(r#"{"Name":"default","Orchestration":{"TaskHistoryRetentionLimit":3}}"#),
        &[
            Parameter("rotateWorkerToken", "true"),
            Parameter("rotateManagerToken", "1"),
            Path("/swarm/leave?force=1"),
        ],
    ),
    seed(
        1,
        "POST",
        "/nodes/$NODE_ID/update?version=$VERSION_NODE",
        Body::Json(r#"{"Role":"manager","Availability":"drain","Labels":{"a":"b"}}"#),
        &[Path("/nodes/$NODE_ID/update")],
    ),
    seed(1, "POST", "/swarm/init", Body::Json(r#"{"ListenAddr":"127.0.0.1:2999"}"#), &[]),
    seed(
        1,
        "POST",
        "/swarm/join",
        Body::Json(
            r#"{"ListenAddr":"127.0.0.1:2999","RemoteAddrs":["127.0.0.1:1"],"JoinToken":"x"}"#,
        ),
        &[],
    ),
    seed(
        1,
        "POST",
        "/containers/web/checkpoints",
        Body::Json(r#"{"CheckpointID":"c","Exit":false}"#),
        &[],
    ),
    seed(2, "POST", "/session", Body::Absent, &[Path("/grpc")]),
    seed(1, "POST", "/networks/create", Body::Json(r#"{"Name":"$NEW","Driver":"overlay"}"#), &[]),
    seed(
        1,
        "POST",
        "/configs/create",
        Body::Json(r#"{"Name":"$NEW","Labels":{},"Data":"YQ=="}"#),
        &[],
    ),
    seed(1, "POST", "/images/$GOOD/push?tag=pushed", Body::Absent, &[]),
    seed(1, "GET", "/containers/json?all=1", Body::Absent, START_LURES),
];
