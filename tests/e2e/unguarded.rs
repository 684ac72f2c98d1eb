//! The recorded calls once more, to an engine that nobody guards: those that are there because
//! they do harm must do it. Else that a guarded engine came to no harm would say nothing.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::effect::{Snapshot, get};
use crate::prepared::{Part, Prepared};
use crate::recorded::{Asked, Case, Name, cases, create, make_room, recorded_names, send};
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

/// Of the versions that were tried, the newest one that is not newer than the engine.
fn version(engine: &Path) -> &'static str {
    let found = get(engine, "/version");
    let number = found["Version"].as_str().unwrap().split('.').next().unwrap().parse::<u32>();
    match number.unwrap() {
        ..26 => "20.10",
        26..28 => "26.1",
        28.. => "28.5",
    }
}

fn play(stage: &Stage, part: Part) {
    let prepared = Prepared::unguarded(stage, part);
    let socket = prepared.engine.socket();
    let version = version(&socket);
    let mut held = Snapshot::of(&socket);
    let mut wrong = Vec::new();
    // What engines may refuse at first sight, or may not, shows nothing here.
    let is_told = |case: &Case| case.plugin.is_none() && case.asked != Asked::Sometimes;
    for case in cases(part).filter(is_told) {
        make_room(&prepared, &case, &mut held);
        let answer = send(&prepared, &case);
        let now = held.now(&socket);
        let mut changes = now.changes_since(&held);
        if let Some(target) = &case.absent {
            let found = Request::new("GET", prepared.fill(target)).send(&socket, LIMIT);
            changes.extend((found.status() == Some(200)).then(|| format!("there is {target}")));
        }
        let is_to_harm = case.harms.iter().any(|engine| engine == version);
        if changes.is_empty() == (is_to_harm || case.changes.is_some()) {
            let (id, why) = (case.id, case.why);
            wrong.push(format!("{id} ({why}): {changes:?}\n    answer: {answer}"));
        }
        undo(&prepared, &held, &now);
        held = now.now(&socket);
    }
    if part == Part::Node {
        wrong.extend(names(&socket, version));
    }
    assert!(wrong.is_empty(), "on engine {}:\n{}", stage.make(), wrong.join("\n"));
}

/// What the engine reads otherwise than recorded: `src/image` holds its own reading to that.
fn names(socket: &Path, version: &str) -> Vec<String> {
    let read_otherwise = |name: Name| {
        let recorded = if version == "20.10" { name.old } else { name.new };
        let answer = create(socket, &name.image);
        let told: Value = serde_json::from_str(&answer.text()).unwrap_or_default();
        let sought = told["message"].as_str().and_then(|text| text.strip_prefix("No such image: "));
        (sought != recorded.as_deref()).then(|| format!("name {:?}: {answer}", name.image))
    };
    recorded_names().into_iter().filter_map(read_otherwise).collect()
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
