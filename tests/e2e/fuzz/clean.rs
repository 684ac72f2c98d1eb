//! Putting an engine in order after calls, so that the next ones find what the first ones found.

use std::path::Path;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::world::{World, specify};
use crate::effect::Snapshot;
use crate::wire::{Body, Request};

const LIMIT: Duration = Duration::from_secs(30);

/// Processes added to a container, beyond which it is started anew to be rid of them.
const MANY_EXECS: usize = 30;

/// Removes what calls have made, and stops what they have started.
pub fn clean(world: &World<'_>, first: &Snapshot, after: &Snapshot) {
    let socket = world.socket();
    let mut unwanted = Vec::new();
    for (id, container) in &after.containers {
        match first.containers.get(id) {
            None => unwanted.push(format!("/containers/{id}?force=1&v=1")),
            Some(was) if was.state != "running" && container.state == "running" => {
                post(&socket, &format!("/containers/{id}/kill"));
            }
            Some(_) if container.execs > MANY_EXECS => {
                post(&socket, &format!("/containers/{id}/restart?t=0"));
            }
            Some(_) => {}
        }
    }
    remove(&socket, &unwanted);
    let mut unwanted = Vec::new();
    let volumes = after.volumes.keys().filter(|name| !first.volumes.contains_key(*name));
    unwanted.extend(volumes.map(|name| format!("/volumes/{name}?force=1")));
    for (name, service) in &after.services {
        match first.services.get(name) {
            None => unwanted.push(format!("/services/{name}")),
            Some(_) if !world.signed.covers_name(&service.image) => {
                let call = format!("{name}/update?version={}", service.version);
                specify(&call, name, world.pinned()).send(&socket, LIMIT);
            }
            Some(_) => {}
        }
    }
    let tags = after.tags.keys().filter(|name| !first.tags.contains_key(*name));
    unwanted.extend(tags.map(|name| format!("/images/{name}")));
    let images = after.images.keys().filter(|id| !first.images.contains_key(*id));
    unwanted.extend(images.map(|id| format!("/images/{id}?force=1")));
    for (what, id) in [("networks", "Id"), ("configs", "ID")] {
        // Configs are there where there is a swarm.
        let listed = Request::new("GET", format!("/{what}")).send(&socket, LIMIT);
        let listed: Value = serde_json::from_str(&listed.text()).unwrap_or_default();
        for one in listed.as_array().into_iter().flatten() {
            let name = one["Name"].as_str().or(one["Spec"]["Name"].as_str()).unwrap_or_default();
            if name.starts_with('n') && name != "none" {
                unwanted.push(format!("/{what}/{}", one[id].as_str().unwrap_or_default()));
            }
        }
    }
    remove(&socket, &unwanted);
    // A name of a signed image that was moved.
    for tag in ["lane:race", "lane:1", world.good()] {
        if after.tags.get(tag) != first.tags.get(tag) {
            let (repository, tag) = tag.rsplit_once(':').expect("it has a tag");
            let image = world.good_id();
            post(&socket, &format!("/images/{image}/tag?repo={repository}&tag={tag}"));
        }
    }
}

fn post(socket: &Path, target: &str) {
    Request::new("POST", target).body(Body::Length(Vec::new())).send(socket, LIMIT);
}

/// Removes all of these, a few at a time.
fn remove(socket: &Path, targets: &[String]) {
    let next = Mutex::new(targets.iter());
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let Some(target) = next.lock().unwrap().next() else { return };
                    Request::new("DELETE", target.as_str()).send(socket, LIMIT);
                }
            });
        }
    });
}
