//! What came of a create, and what is done about it before the caller gets to know.

use std::collections::HashSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::scene::{Engine, Scene, id};

/// The engine's message about a create that gave this answer.
fn made(body: &str) -> Value {
    json!({
        "RequestMethod": "POST",
        "RequestUri": "/v1.41/containers/create?name=web",
        "RequestBody": STANDARD.encode(r#"{"Image":"quay.example/app:1"}"#),
        "ResponseStatusCode": 201,
        "ResponseHeaders": {"Content-Type": "application/json"},
        "ResponseBody": STANDARD.encode(body),
    })
}

fn made_container() -> Value {
    made(&format!(r#"{{"Id":"{}","Warnings":[]}}"#, id(7)))
}

fn review(scene: &Scene, message: &Value) -> Value {
    scene.ask("/AuthZPlugin.AuthZRes", message)
}

#[test]
fn a_container_that_may_not_run_is_removed() {
    let scene = Scene::new("report", Engine::default());
    let answer = review(&scene, &made_container());
    assert_eq!(answer["Allow"], false);
    let told = answer["Msg"].as_str().unwrap();
    assert!(told.starts_with("quay.example must be a registered trusted registry"), "{told}");
    assert_eq!(scene.engine().removed, HashSet::from([id(7)]));
    scene.end();
}

#[test]
fn one_that_cannot_be_looked_at_is_refused_and_left() {
    let scene = Scene::new("report", Engine { is_broken: true, ..Engine::default() });
    let answer = review(&scene, &made_container());
    assert_eq!(answer["Allow"], false);
    let told = answer["Msg"].as_str().unwrap();
    assert!(told.starts_with("the engine could not be asked: the engine answered 500"), "{told}");
    assert_eq!(scene.engine().removed, HashSet::new());
    scene.end();
}

/// The handler failed, or its answer was too long to be shown: start decides.
#[test]
fn what_was_made_out_of_sight_is_left_alone() {
    let scene = Scene::new("report", Engine::default());
    let mut blind = made_container();
    for field in ["ResponseStatusCode", "ResponseHeaders", "ResponseBody"] {
        blind.as_object_mut().unwrap().remove(field);
    }
    for message in [blind, made(""), made("{}"), made(r#"{"Id":"web"}"#)] {
        assert_eq!(review(&scene, &message), json!({"Allow": true}), "{message}");
    }
    assert_eq!(scene.engine().looks, 0);
    assert_eq!(scene.engine().removed, HashSet::new());
    scene.end();
}

#[test]
fn a_message_that_cannot_be_read_is_refused() {
    let scene = Scene::new("report", Engine::default());
    let mut message = made_container();
    message["ResponseStatusCode"] = json!("201");
    assert_eq!(review(&scene, &message)["Allow"], false);
    assert_eq!(scene.engine().removed, HashSet::new());
    scene.end();
}

#[test]
fn where_nothing_is_enforced_containers_stay() {
    let scene = Scene::enforcing(false, "report", Engine::default());
    scene.let_engine_start();
    assert_eq!(review(&scene, &made_container()), json!({"Allow": true}));
    assert_eq!(scene.engine().removed, HashSet::new());
    scene.end();
}
