//! Looking into signed digests, from the registry over the disk to the verdict.

use std::fs;

use countersign::image::Digest;
use countersign::trust::crypto::sha256;
use serde_json::json;

use crate::builder::Repo;
use crate::builder::key::person;
use crate::node::Node;
use crate::static_server::StaticServer;

/// A registry with a repository whose releases are indexes that jenkins signed.
struct Scene {
    server: StaticServer,
    gun: String,
    node: Node,
}

fn hash(text: &str) -> Digest {
    Digest::from_bytes(sha256(text.as_bytes()))
}

/// An index that lists this manifest, and nothing like it.
fn index(of: &str, listed: Digest) -> String {
    json!({"schemaVersion": 2, "annotations": {"of": of}, "manifests": [{"digest": listed.to_string()}]})
        .to_string()
}

fn digest(byte: u8) -> Digest {
    Digest::from_bytes([byte; 32])
}

impl Scene {
    /// Tags, and the index released under each. The registry has them all.
    fn new(tags: &[(String, String)]) -> Self {
        let server = StaticServer::new(&[]);
        let gun = format!("{}/team/app", server.host());
        let mut repo = Repo::signed_by_jenkins().of(&gun);
        repo.at("timestamp").signed["expires"] = json!("2036-01-01T00:00:00Z");
        for role in ["targets/releases", "targets/jenkins"] {
            repo.at(role).signed["targets"] = json!({});
            for (tag, text) in tags {
                repo.at(role).tag(tag, *hash(text).as_bytes());
            }
        }
        server.publish_built(&gun, &repo.publish());
        let scene = Self { node: Node::new(&policy(&server)), server, gun };
        for (_, text) in tags {
            scene.store(hash(text), text);
        }
        fs::write(scene.node.path("ca.pem"), &scene.server.ca).unwrap();
        scene
    }

    fn store(&self, digest: Digest, text: &str) {
        self.server.serve(&format!("/v2/team/app/manifests/{digest}"), text.as_bytes().to_vec());
    }

    /// The code and the message for a reference, and which manifests were asked for.
    fn check(&self, rest: &str, more: &[&str]) -> (String, String, Vec<String>) {
        let name = format!("{}{rest}", self.gun);
        let report = self.node.check(&[&["--json", name.as_str()], more].concat()).report();
        let said = |key: &str| report[key].as_str().unwrap().to_owned();
        let asked = self.server.requests().into_iter().filter(|one| one.starts_with("sha256:"));
        (said("code"), said("message"), asked.collect())
    }

    fn kept(&self) -> usize {
        let host = self.server.host();
        let folder = self.node.path(&format!("state/trust/{host}/team/app/_trust/manifests"));
        fs::read_dir(folder).map_or(0, Iterator::count)
    }
}

fn policy(server: &StaticServer) -> String {
    let jenkins = person("jenkins").pem();
    format!(
        "[trust_configuration]\nrequire_content_trust = true\n\
         [[registries]]\nhost_address = \"{}\"\nca_file = \"ca.pem\"\n\
         [users.jenkins]\ncertificates = [\"\"\"{jenkins}\"\"\"]\n",
        server.host()
    )
}

fn versions(count: u8) -> Vec<(String, String)> {
    (1..=count).map(|n| (format!("1.{n:03}"), index(&n.to_string(), digest(n)))).collect()
}

#[test]
fn what_was_fetched_once_is_kept() {
    let tags = versions(3);
    let scene = Scene::new(&tags);
    let of = |n: usize| hash(&tags[n - 1].1).to_string();
    let platform = format!("@{}", digest(2));
    let (code, message, asked) = scene.check(&platform, &["--offline"]);
    assert_eq!((code.as_str(), asked.len()), ("trust-data-unavailable", 0), "{message}");

    let (code, _, asked) = scene.check(&format!(":1.002{platform}"), &[]);
    assert_eq!((code.as_str(), asked), ("signed", vec![of(2)]), "the tag says where to look");
    for (rest, more, fetched) in [
        (platform.clone(), &[][..], vec![]),
        (platform.clone(), &["--offline"], vec![]),
        (format!(":9{platform}"), &[], vec![]),
        // The tag that is asked for comes first, also where another would do.
        (format!(":1.003{platform}"), &[], vec![of(3)]),
        (format!(":1.003{platform}"), &["--offline"], vec![]),
    ] {
        let (code, message, asked) = scene.check(&rest, more);
        assert_eq!((code.as_str(), asked), ("signed", fetched), "{rest} {more:?}: {message}");
    }
    // One that is damaged on disk is fetched anew.
    let host = scene.server.host();
    let file =
        format!("state/trust/{host}/team/app/_trust/manifests/{}.json", hash(&tags[1].1).hex());
    fs::write(scene.node.path(&file), "{}").unwrap();
    let (code, _, asked) = scene.check(&format!(":1.002{platform}"), &[]);
    assert_eq!((code.as_str(), asked), ("signed", vec![of(2)]));
}

#[test]
fn a_digest_that_nothing_lists_is_refused_after_a_few_questions() {
    let scene = Scene::new(&versions(40));
    let (code, message, asked) = scene.check(&format!("@{}", digest(200)), &[]);
    assert_eq!((code.as_str(), asked.len()), ("manifest-unavailable", 16), "{message}");
    assert!(message.contains("name the tag beside the digest"), "{message}");
    let first = hash(&versions(40)[39].1).to_string();
    assert!(asked[..4].contains(&first), "the highest versions come first: {asked:?}");
    assert_eq!(scene.kept(), 16);
    // What was looked into is remembered, so that trying again comes to an end.
    let (_, _, asked) = scene.check(&format!("@{}", digest(200)), &[]);
    assert_eq!((asked.len(), scene.kept()), (16, 32));
    let (code, message, asked) = scene.check(&format!("@{}", digest(200)), &[]);
    assert_eq!((code.as_str(), asked.len()), ("not-signed", 8), "{message}");
    let (code, _, asked) = scene.check(&format!("@{}", digest(1)), &[]);
    assert_eq!((code.as_str(), asked.len()), ("signed", 0));
}

#[test]
fn a_registry_that_lies_or_has_nothing_binds_nothing() {
    let tags = versions(1);
    let scene = Scene::new(&tags);
    let (right, platform) = (hash(&tags[0].1), format!(":1.001@{}", digest(7)));
    // Signed is an index of another image; the registry shows one of what is asked for.
    scene.store(right, &index("a lie", digest(7)));
    let (code, message, _) = scene.check(&platform, &[]);
    assert_eq!(code, "manifest-unavailable", "{message}");
    let cause = format!("is not to be relied on: what it gave for {right} is sha256:");
    assert!(message.contains(&cause), "{message}");
    assert_eq!(scene.kept(), 0, "nothing of it is kept");

    scene.store(right, "no JSON at all");
    assert_eq!(scene.check(&platform, &[]).0, "manifest-unavailable");
    scene.store(right, &tags[0].1);
    assert_eq!(scene.check(&platform, &[]).0, "other-image");
    scene.server.close();
    let (code, message, _) = scene.check(&format!(":1.001@{}", digest(1)), &["--offline"]);
    assert_eq!(code, "signed", "{message}");

    // What was signed and is there no more binds nothing either.
    let scene = Scene::new(&tags);
    scene.server.withdraw(&format!("/v2/team/app/manifests/{right}"));
    assert_eq!(scene.check(&format!(":1.001@{}", digest(1)), &[]).0, "other-image");
}
