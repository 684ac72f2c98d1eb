//! The engine is asked for a create's image before the call is read: what is read counts.

use crate::builder::GUN;
use crate::node::question;
use crate::scene::{Engine, Scene};
use crate::site::Site;

/// Asks for a create with this body; whether it may be.
fn ask(scene: &Scene, body: &str) -> bool {
    let call = question("POST", "/v1.41/containers/create?name=web", body);
    let call = serde_json::from_str(&call).unwrap();
    scene.ask("/AuthZPlugin.AuthZReq", &call)["Allow"].as_bool().unwrap()
}

/// The images that the engine was asked for since the last look.
fn images(scene: &Scene) -> Vec<String> {
    let asked = std::mem::take(&mut scene.engine().asked);
    let image = |path: &String| {
        let name = path.strip_prefix("/images/")?.strip_suffix("/json")?;
        Some(name.replace(GUN, "app"))
    };
    asked.iter().filter_map(image).collect()
}

#[test]
fn what_is_judged_is_what_the_call_means() {
    let site = Site::new();
    let scene = Scene::at(&site, Engine { unsigned: Some("other"), ..Engine::default() });
    let gun = |text: &str| text.replace("app:", &format!("{GUN}:"));
    for (what, body, image, allowed) in [
        ("as clients write it", r#"{"Image":"app:1.0"}"#, "app:1.0", true),
        ("unsigned", r#"{"Image":"app:other"}"#, "app:other", false),
        ("spaced", r#"{"Image" : "app:1.0"}"#, "app:1.0", true),
        ("escaped", r#"{"Image":"app:\u0031.0"}"#, "app:1.0", true),
    ] {
        assert_eq!(ask(&scene, &gun(body)), allowed, "{what}");
        assert_eq!(images(&scene), [image], "{what}: asked once; {}", scene.log());
    }
    // A connection is kept by now: the question is out before the call turns out to be none.
    for body in [r#"{"Image":"app:1.0","image":"app:1.0"}"#, r#"{"Labels":{"Image":"app:1.0"}}"#] {
        assert!(ask(&scene, &gun(r#"{"Image":"app:1.0"}"#)));
        images(&scene);
        assert!(!ask(&scene, &gun(body)), "{body}");
        scene.wait("it was asked", |scene| images(scene) == ["app:1.0"]);
    }
    for (what, body, allowed) in [
        (
            "a signed one in a label, before it",
            r#"{"Labels":{"Image":"app:1.0"},"Image":"app:other"}"#,
            false,
        ),
        (
            "an unsigned one in a label, before it",
            r#"{"Labels":{"Image":"app:other"},"Image":"app:1.0"}"#,
            true,
        ),
    ] {
        assert_eq!(ask(&scene, &gun(body)), allowed, "{what}");
    }
    scene.end();
}

#[test]
fn nothing_is_asked_where_nothing_is_judged() {
    let scene = Scene::enforcing(false, "report", Engine::default());
    scene.let_engine_start();
    assert!(ask(&scene, r#"{"Image":"app:1.0"}"#));
    assert_eq!(images(&scene), [""; 0]);
    scene.end();
}
