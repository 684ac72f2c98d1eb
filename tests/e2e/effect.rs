//! What calls did to an engine: everything that counts, looked up before and after.
//!
//! An engine that is guarded can be asked as well, since the plugin lets every read pass.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::wire::Request;

/// Reads are answered sooner than this.
const LIMIT: Duration = Duration::from_secs(30);

/// The start of a container that never was started.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// What an engine holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// By ID.
    pub containers: BTreeMap<String, Container>,
    /// By ID: the names with tag and those with digest.
    pub images: BTreeMap<String, BTreeSet<String>>,
    /// What each name with a tag leads to.
    pub tags: BTreeMap<String, String>,
    /// By name: driver and options.
    pub volumes: BTreeMap<String, String>,
    /// By name: whether it is enabled, and its settings.
    pub plugins: BTreeMap<String, String>,
    /// By name.
    pub services: BTreeMap<String, Service>,
    /// The node's part in a swarm.
    pub swarm: String,
}

/// A container.
#[derive(Clone, Debug, PartialEq)]
pub struct Container {
    pub name: String,
    /// The image's ID; empty for one made of no image.
    pub image: String,
    pub state: String,
    /// When it was started last; `None` if never.
    pub started: Option<String>,
    /// How many processes were added to it that are still there.
    pub execs: usize,
    /// `HostConfig`, as the engine keeps it.
    pub host_config: Value,
    /// The images that are mounted into it, by name or ID.
    pub image_mounts: Vec<String>,
}

/// A service.
#[derive(Clone, Debug, PartialEq)]
pub struct Service {
    /// As the specification names it.
    pub image: String,
    /// What the service would go back to.
    pub previous: Option<String>,
    pub version: u64,
    /// The task's specification, all of it.
    pub task: Value,
}

/// Which images may run.
#[derive(Clone, Debug, Default)]
pub struct Signed {
    /// IDs, as the engine under test has them.
    pub ids: BTreeSet<String>,
    /// Manifest digests, `sha256:…`, for services.
    pub digests: BTreeSet<String>,
}

/// Something that is there, or happened, and that no signature covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unsigned {
    /// A container was made of such an image (or of none).
    Made { container: String, image: String },
    /// It was started.
    Started { container: String, image: String },
    /// A process was added to it.
    Exec { container: String, image: String },
    /// Such an image is mounted into it.
    Mounted { container: String, image: String },
    /// Such an image came to the engine.
    Image { image: String },
    /// A name leads to it that did not.
    Tag { name: String, image: String },
    /// A service would run it, or run it after a rollback.
    Service { service: String, image: String },
    /// A managed plugin came, went or was changed.
    Plugin { plugin: String },
    /// The node's part in the swarm is another.
    Swarm,
}

impl Snapshot {
    /// Looks everything up.
    #[track_caller]
    pub fn of(socket: &Path) -> Self {
        Self::default().now(socket)
    }

    /// The same after a while. A container that is created and was so before is not looked at
    /// again: nothing has run in it.
    #[track_caller]
    pub fn now(&self, socket: &Path) -> Self {
        let mut snapshot = Self::default();
        for listed in list(&get(socket, "/containers/json?all=1")) {
            let id = text(&listed["Id"]);
            let is_idle = |was: &&Container| was.state == "created" && listed["State"] == "created";
            let container = match self.containers.get(&id).filter(is_idle) {
                Some(was) => Some(Container { name: text(&listed["Names"][0]), ..was.clone() }),
                None => Container::look_up(socket, &id),
            };
            snapshot.containers.extend(container.map(|container| (id, container)));
        }
        for image in list(&get(socket, "/images/json?all=1")) {
            let id = text(&image["Id"]);
            let tags = names(&image["RepoTags"]);
            let digests = names(&image["RepoDigests"]);
            snapshot.tags.extend(tags.iter().map(|tag| (tag.clone(), id.clone())));
            snapshot.images.entry(id).or_default().extend(tags.into_iter().chain(digests));
        }
        for volume in list(&get(socket, "/volumes")["Volumes"]) {
            let told = format!("{} {}", text(&volume["Driver"]), volume["Options"]);
            snapshot.volumes.insert(text(&volume["Name"]), told);
        }
        for plugin in list(&get(socket, "/plugins")) {
            let told = format!("enabled: {}, {}", plugin["Enabled"], plugin["Settings"]);
            snapshot.plugins.insert(text(&plugin["Name"]), told);
        }
        // Cheaper than `/info`, for which engines run programs. What is no manager says what it is.
        let nodes = Request::new("GET", "/nodes").send(socket, LIMIT);
        if nodes.status() == Some(200) {
            for service in list(&get(socket, "/services")) {
                snapshot.services.insert(text(&service["Spec"]["Name"]), Service::of(&service));
            }
            let nodes = list(&serde_json::from_str(&nodes.text()).expect("engines tell JSON"));
            let told = nodes.iter().map(|node| format!("{} {} ", node["ID"], node["Spec"]));
            let cluster = &get(socket, "/info")["Swarm"]["Cluster"];
            snapshot.swarm = told.collect::<String>() + &cluster["Version"].to_string();
        } else {
            snapshot.swarm = nodes.text();
        }
        snapshot
    }

    /// What is here, was not `before`, and no signature covers.
    pub fn unsigned_since(&self, before: &Self, signed: &Signed) -> Vec<Unsigned> {
        let mut found = Vec::new();
        for (id, now) in &self.containers {
            self.container_since(before.containers.get(id), now, signed, &mut found);
        }
        for id in self.images.keys() {
            if !before.images.contains_key(id) && !signed.ids.contains(id) {
                found.push(Unsigned::Image { image: id.clone() });
            }
        }
        for (name, image) in &self.tags {
            if before.tags.get(name) != Some(image) && !signed.ids.contains(image) {
                found.push(Unsigned::Tag { name: name.clone(), image: image.clone() });
            }
        }
        for (name, now) in &self.services {
            let was = before.services.get(name);
            let known =
                |image: &String| was.is_some_and(|was| was.previous.as_ref() == Some(image));
            let back = now.previous.iter().filter(|image| !known(image));
            for image in back.chain([&now.image]).filter(|image| !signed.covers_name(image)) {
                if was.is_none_or(|was| was.image != *image) {
                    let (service, image) = (name.clone(), image.clone());
                    found.push(Unsigned::Service { service, image });
                }
            }
        }
        let plugins: BTreeSet<_> = self.plugins.keys().chain(before.plugins.keys()).collect();
        for plugin in plugins {
            if self.plugins.get(plugin) != before.plugins.get(plugin) {
                found.push(Unsigned::Plugin { plugin: plugin.clone() });
            }
        }
        if self.swarm != before.swarm {
            found.push(Unsigned::Swarm);
        }
        found
    }

    fn container_since(
        &self,
        was: Option<&Container>,
        now: &Container,
        signed: &Signed,
        found: &mut Vec<Unsigned>,
    ) {
        let (container, image) = (now.name.clone(), now.image.clone());
        if was.is_none() {
            for image in &now.image_mounts {
                let id = self.tags.get(image).unwrap_or(image);
                if !signed.ids.contains(id) && !signed.covers_name(image) {
                    let (container, image) = (container.clone(), image.clone());
                    found.push(Unsigned::Mounted { container, image });
                }
            }
        }
        if signed.ids.contains(&image) {
            return;
        }
        if now.started.is_some() && was.and_then(|was| was.started.as_ref()) != now.started.as_ref()
        {
            found.push(Unsigned::Started { container, image });
        } else if was.is_none() {
            found.push(Unsigned::Made { container, image });
        } else if was.is_some_and(|was| now.execs > was.execs) {
            found.push(Unsigned::Exec { container, image });
        }
    }

    /// The containers by name and ID, for people.
    fn named(&self) -> BTreeMap<String, &Container> {
        let all = self.containers.iter();
        all.map(|(id, container)| (format!("{} ({id:.12})", container.name), container)).collect()
    }

    /// Everything that is not as it was, a line each; none if `self == before`.
    pub fn changes_since(&self, before: &Self) -> Vec<String> {
        let mut lines = Vec::new();
        compare("container", &before.named(), &self.named(), &mut lines);
        compare("image", &before.images, &self.images, &mut lines);
        compare("tag", &before.tags, &self.tags, &mut lines);
        compare("volume", &before.volumes, &self.volumes, &mut lines);
        compare("plugin", &before.plugins, &self.plugins, &mut lines);
        compare("service", &before.services, &self.services, &mut lines);
        if self.swarm != before.swarm {
            lines.push(format!("swarm: {} became {}", before.swarm, self.swarm));
        }
        lines
    }
}

fn compare<T: PartialEq + fmt::Debug>(
    what: &str,
    before: &BTreeMap<String, T>,
    after: &BTreeMap<String, T>,
    lines: &mut Vec<String>,
) {
    for (name, was) in before {
        match after.get(name) {
            None => lines.push(format!("{what} {name} is gone")),
            Some(now) if now != was => lines.push(format!("{what} {name}: {was:?} became {now:?}")),
            Some(_) => {}
        }
    }
    let new = after.iter().filter(|(name, _)| !before.contains_key(*name));
    lines.extend(new.map(|(name, now)| format!("{what} {name} is new: {now:?}")));
}

impl Signed {
    /// A name with a digest that is signed, or a signed image's ID.
    pub fn covers_name(&self, image: &str) -> bool {
        let digest = image.rsplit_once('@').map(|(_, digest)| digest);
        self.ids.contains(image) || digest.is_some_and(|digest| self.digests.contains(digest))
    }
}

impl Container {
    /// One that is just being removed may be listed and not be there.
    fn look_up(socket: &Path, id: &str) -> Option<Self> {
        let found = Request::new("GET", format!("/containers/{id}/json")).send(socket, LIMIT);
        let is_there = found.status() == Some(200);
        is_there.then(|| Self::of(&serde_json::from_str(&found.text()).expect("engines tell JSON")))
    }

    fn of(inspected: &Value) -> Self {
        let state = &inspected["State"];
        let started = Some(text(&state["StartedAt"])).filter(|at| at != NEVER && !at.is_empty());
        let mounts = list(&inspected["HostConfig"]["Mounts"]);
        let images = mounts.iter().filter(|mount| mount["Type"] == "image");
        Self {
            name: text(&inspected["Name"]),
            image: text(&inspected["Image"]),
            state: text(&state["Status"]),
            started,
            execs: list(&inspected["ExecIDs"]).len(),
            host_config: inspected["HostConfig"].clone(),
            image_mounts: images.map(|mount| text(&mount["Source"])).collect(),
        }
    }
}

impl Service {
    fn of(service: &Value) -> Self {
        let image = |spec: &Value| text(&spec["TaskTemplate"]["ContainerSpec"]["Image"]);
        let previous = Some(&service["PreviousSpec"]).filter(|spec| spec.is_object());
        Self {
            image: image(&service["Spec"]),
            previous: previous.map(image),
            version: service["Version"]["Index"].as_u64().unwrap_or_default(),
            task: service["Spec"]["TaskTemplate"].clone(),
        }
    }
}

impl fmt::Display for Unsigned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Made { container, image } => {
                write!(f, "container {container} was made of unsigned image {image:?}")
            }
            Self::Started { container, image } => {
                write!(f, "container {container} of unsigned image {image:?} was started")
            }
            Self::Exec { container, image } => {
                write!(f, "a process was added to {container} of unsigned image {image:?}")
            }
            Self::Mounted { container, image } => {
                write!(f, "unsigned image {image} is mounted into container {container}")
            }
            Self::Image { image } => write!(f, "unsigned image {image} came to the engine"),
            Self::Tag { name, image } => write!(f, "{name} leads to unsigned image {image}"),
            Self::Service { service, image } => {
                write!(f, "service {service} would run unsigned image {image}")
            }
            Self::Plugin { plugin } => write!(f, "managed plugin {plugin} came, went or changed"),
            Self::Swarm => f.write_str("the node's part in a swarm is another"),
        }
    }
}

/// What the engine says to a read.
#[track_caller]
pub fn get(socket: &Path, target: &str) -> Value {
    let answer = Request::new("GET", target).send(socket, LIMIT);
    assert_eq!(answer.status(), Some(200), "GET {target}: {answer}");
    serde_json::from_str(&answer.text()).unwrap_or_else(|error| panic!("GET {target}: {error}"))
}

fn list(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_default()
}

fn names(value: &Value) -> BTreeSet<String> {
    let all = list(value).iter().map(text).collect::<Vec<_>>();
    all.into_iter().filter(|name| !name.starts_with("<none>")).collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
