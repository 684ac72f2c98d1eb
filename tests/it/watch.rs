//! Containers that no call starts: what is made of those an engine tells of.

use std::collections::HashSet;
use std::thread;
use std::time::Duration;

use crate::scene::{Engine, Scene, id, start};

const WAITING: &str = "waiting for the engine";
const REPORTED: &str = "a container runs that may not";
const KILLED: &str = "a container that may not run: killed";

#[test]
fn an_engine_that_is_not_there_yet_is_waited_for_in_silence() {
    let engine = Engine { running: vec![1], ..Engine::default() };
    let scene = Scene::without_engine("report", engine);
    scene.wait("it waits", |scene| scene.count(WAITING) == 1);
    thread::sleep(Duration::from_secs(2));
    assert_eq!(scene.count(WAITING), 1);
    scene.let_engine_start();
    scene.wait("it reports", |scene| scene.count(REPORTED) == 1);
    assert_eq!(scene.count(WAITING), 1);
    scene.end();
}

#[test]
fn what_runs_and_what_starts_is_told_once() {
    let scene = Scene::new("report", Engine { running: vec![1, 2], ..Engine::default() });
    scene.wait("both are told", |scene| scene.count(REPORTED) == 2);
    for (sent, number) in [3, 1, 3, 1, 3, 1].into_iter().enumerate() {
        scene.send(&format!("{}\n", start(number)));
        scene.wait("it is looked at", |scene| scene.engine().looks == 3 + sent);
    }
    scene.wait("the third is told", |scene| scene.count(REPORTED) == 3);
    for number in 1..=3 {
        assert_eq!(scene.count(&id(number)), 1, "{}", scene.log());
        let told = ["WARN", "code=\"unregistered-registry\"", &format!("name=\"c{number}\"")];
        let log = scene.log();
        assert!(log.lines().any(|line| told.iter().all(|part| line.contains(part))), "{log}");
    }
    assert!(scene.engine().killed.is_empty(), "a report stops nothing");
    scene.end();
}

#[test]
fn what_the_policy_stops_is_killed_each_time() {
    let scene = Scene::new("stop", Engine { running: vec![1], ..Engine::default() });
    scene.wait("it is killed", |scene| scene.count(KILLED) == 1);
    scene.send(&format!("{}\n", start(1)));
    scene.wait("and again", |scene| scene.count(KILLED) == 2);
    assert_eq!(scene.engine().killed, HashSet::from([id(1)]));
    scene.end();
}

#[test]
fn few_are_looked_at_a_time() {
    let engine = Engine {
        running: (1..=60).collect(),
        slowness: Duration::from_millis(50),
        ..Engine::default()
    };
    let scene = Scene::new("report", engine);
    scene.wait("all are told", |scene| scene.count(REPORTED) == 60);
    assert_eq!(scene.engine().looks, 60);
    assert_eq!(scene.engine().most_looks, 4);
    scene.end();
}

/// What was missed while nobody listened is found by looking at all that runs.
#[test]
fn events_that_cannot_be_read_lose_nothing() {
    let long = "x".repeat(1024 * 1024);
    let endings: [&dyn Fn(&Scene); 3] = [
        &|scene| scene.send("nonsense\n"),
        &|scene| (0..5).for_each(|_| scene.send(&long)),
        &|scene| scene.engine().listener = None,
    ];
    let scene = Scene::new("report", Engine { running: vec![1], ..Engine::default() });
    for (round, end) in endings.iter().enumerate() {
        scene.wait("all are told", |scene| scene.count(REPORTED) == round + 1);
        scene.engine().running.push(round + 2);
        end(&scene);
    }
    scene.wait("all are told", |scene| scene.count(REPORTED) == 4);
    scene.end();
}

#[test]
fn it_ends_while_it_looks() {
    let engine = Engine {
        running: (1..=10).collect(),
        slowness: Duration::from_secs(5),
        ..Engine::default()
    };
    let scene = Scene::new("stop", engine);
    scene.wait("it looks", |scene| scene.engine().looks > 0);
    scene.end();
}

#[test]
fn where_nothing_is_enforced_nothing_is_looked_at() {
    let scene = Scene::enforcing(false, "stop", Engine { running: vec![1], ..Engine::default() });
    scene.let_engine_start();
    thread::sleep(Duration::from_secs(1));
    assert_eq!(scene.engine().sweeps, 0);
    assert_eq!(scene.engine().looks, 0);
    scene.end();
}
