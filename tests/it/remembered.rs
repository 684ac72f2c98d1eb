//! What the engine said is remembered for a while: how often it is asked what.

use serde_json::{Value, json};

use crate::builder::{B, GUN};
use crate::scene::{Engine, Scene, id, start};
use crate::site::{Site, honest};

/// An engine whose containers are made of what jenkins signed.
fn engine() -> Engine {
    Engine {
        called: Some(format!("{GUN}:1.0")),
        runtimes: Some(("runc", "runc")),
        ..Engine::default()
    }
}

/// A plugin that has seen what runs: nothing.
fn scene(site: &Site) -> Scene {
    let scene = Scene::at(site, engine());
    scene.wait("it watches", |scene| scene.count("looking at the containers that run") == 1);
    scene
}

/// Asks for a container's start.
fn ask(scene: &Scene, number: usize) -> Value {
    let uri = format!("/v1.41/containers/{}/start", id(number));
    let headers = json!({"Content-Length": "0"});
    let call = json!({"RequestMethod": "POST", "RequestUri": uri, "RequestHeaders": headers});
    scene.ask("/AuthZPlugin.AuthZReq", &call)
}

/// A start that may be.
#[track_caller]
fn expect_allowed(scene: &Scene, number: usize) {
    assert_eq!(ask(scene, number), json!({"Allow": true}), "{}", scene.log());
}

/// How often containers, images and the engine itself were asked about.
fn asked(scene: &Scene) -> [usize; 3] {
    let engine = scene.engine();
    let count = |is_it: fn(&str) -> bool| engine.asked.iter().filter(|path| is_it(path)).count();
    let container = |path: &str| path.starts_with("/containers/") && path.len() > 64;
    [count(container), count(|path| path.starts_with("/images/")), count(|path| path == "/info")]
}

#[test]
fn a_start_asks_for_its_container_alone() {
    let site = Site::new();
    let scene = scene(&site);
    for number in 1..=3 {
        expect_allowed(&scene, number);
        assert_eq!(asked(&scene), [number, 1, 1], "start {number}");
    }
    scene.end();
}

#[test]
fn nothing_is_refused_by_what_is_remembered() {
    let site = Site::new();
    let scene = scene(&site);
    expect_allowed(&scene, 1);
    let mut other = honest(3);
    other.at("root").version(2);
    for role in ["targets/releases", "targets/jenkins"] {
        other.at(role).tag("1.0", B);
    }
    site.server.publish_built(GUN, &other.publish());
    assert_eq!(ask(&scene, 1)["Allow"], false, "{}", scene.log());
    assert_eq!(asked(&scene), [2, 2, 1]);
    scene.end();
}

#[test]
fn another_engine_is_asked_anew() {
    let site = Site::new();
    let scene = scene(&site);
    expect_allowed(&scene, 1);
    scene.engine().listener = None;
    scene.wait("it watches again", |scene| scene.engine().sweeps == 2);
    expect_allowed(&scene, 1);
    assert_eq!(asked(&scene), [2, 2, 2]);
    scene.end();
}

/// The engine was told to read its configuration anew, and has another default since.
#[test]
fn a_new_default_runtime_counts_at_once() {
    let site = Site::new();
    let scene = scene(&site);
    expect_allowed(&scene, 1);
    scene.engine().runtimes = Some(("crun", "crun"));
    expect_allowed(&scene, 2);
    scene.engine().runtimes = Some(("runc", "crun"));
    assert_eq!(ask(&scene, 3)["Allow"], false);
    assert_eq!(ask(&scene, 3)["Allow"], false);
    // Each look at a runtime that may be refused asks anew, and for the image as well.
    assert_eq!(asked(&scene), [4, 3, 4]);
    scene.end();
}

/// One look for each start that no call asked for, and none for the one that a call did.
#[test]
fn what_a_call_started_is_not_looked_at_again() {
    let site = Site::new();
    let scene = scene(&site);
    expect_allowed(&scene, 1);
    for (number, looks) in [(1, 0), (2, 1), (1, 2)] {
        scene.send(&format!("{}\n", start(number)));
        // One more, as a sign that this one was dealt with.
        scene.send(&format!("{}\n", start(100 + looks)));
        scene.wait("it is dealt with", |scene| scene.engine().looks >= 2 + 2 * looks);
    }
    let engine = scene.engine();
    let looks = |number: usize| {
        let path = format!("/containers/{}/json", id(number));
        engine.asked.iter().filter(|asked| **asked == path).count()
    };
    // The call's own, and the second start, of which no call is known.
    assert_eq!((looks(1), looks(2)), (2, 1));
    drop(engine);
    scene.end();
}
