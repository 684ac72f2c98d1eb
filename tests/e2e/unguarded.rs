//! The recorded calls once more, to an engine that nobody guards: those that are there because
//! they do harm must do it. Else that a guarded engine came to no harm would say nothing.

use std::time::Duration;

use crate::effect::Snapshot;
use crate::prepared::{Part, Prepared};
use crate::recorded::{cases, make_room, send};
use crate::stage::Stage;
use crate::wire::{Body, Request};

crate::stories![calls_to_a_node_do_harm, calls_to_a_manager_do_harm];

/// Calls are answered sooner than this.
const LIMIT: Duration = Duration::from_secs(30);

fn calls_to_a_node_do_harm(stage: &Stage) {
    play(stage, Part::Node);
}

fn calls_to_a_manager_do_harm(stage: &Stage) {
    play(stage, Part::Manager);
}

fn play(stage: &Stage, part: Part) {
    let prepared = Prepared::unguarded(stage, part);
    let socket = prepared.engine.socket();
    let mut held = Snapshot::of(&socket);
    let mut wrong = Vec::new();
    for case in cases(part).filter(|case| case.plugin.is_none()) {
        make_room(&prepared, &case, &mut held);
        let answer = send(&prepared, &case);
        let now = held.now(&socket);
        let mut changes = now.changes_since(&held);
        if let Some(target) = &case.absent {
            let found = Request::new("GET", prepared.fill(target)).send(&socket, LIMIT);
            changes.extend((found.status() == Some(200)).then(|| format!("there is {target}")));
        }
        if changes.is_empty() == (case.harms || case.changes.is_some()) {
            let (id, why) = (case.id, case.why);
            wrong.push(format!("{id} ({why}): {changes:?}\n    answer: {answer}"));
        }
        undo(&prepared, &held, &now);
        held = now.now(&socket);
    }
    assert!(wrong.is_empty(), "on engine {}:\n{}", stage.make(), wrong.join("\n"));
}

/// Takes away what came of a call, as far as later ones could stumble over it.
fn undo(prepared: &Prepared<'_>, before: &Snapshot, now: &Snapshot) {
    let socket = prepared.engine.socket();
    let call = |method: &str, target: String| {
        Request::new(method, target).body(Body::Length(Vec::new())).send(&socket, LIMIT)
    };
    for (id, container) in &now.containers {
        if !before.containers.contains_key(id) {
            call("DELETE", format!("/containers/{id}?force=1"));
        } else if container.state == "running" {
            call("POST", format!("/containers/{id}/kill"));
        }
    }
    for service in now.services.keys().filter(|name| !before.services.contains_key(*name)) {
        call("DELETE", format!("/services/{service}"));
    }
    for plugin in now.plugins.keys().filter(|name| !before.plugins.contains_key(*name)) {
        call("DELETE", format!("/plugins/{plugin}?force=1"));
    }
    for (name, image) in before.tags.iter().filter(|(name, id)| now.tags.get(*name) != Some(id)) {
        let (repository, tag) = name.rsplit_once(':').expect("names have tags");
        call("POST", format!("/images/{image}/tag?repo={repository}&tag={tag}"));
    }
    if now.swarm != before.swarm && now.services.is_empty() {
        call("POST", "/swarm/leave?force=1".to_owned());
    }
}
