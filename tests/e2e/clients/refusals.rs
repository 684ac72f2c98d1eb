//! What clients show of a refusal: the plugin's text, whole.

use super::twins::Twins;
use crate::node::Make;
use crate::outcome::{NOT_MET, no_trust_data};
use crate::policy::Policy;
use crate::stage::Stage;

/// How the clients make a container of `$IMAGE`.
const CREATES: &[&str] = &[
    "docker run --rm $IMAGE",
    "docker create $IMAGE",
    "/usr/bin/python3 -c 'import docker, os; docker.from_env().containers.run(os.environ[\"IMAGE\"])'",
];

/// How they get it.
const PULLS: &[&str] = &[
    "docker pull $IMAGE",
    "docker-compose up --detach",
    "/usr/bin/python3 -c 'import docker, os; docker.from_env().images.pull(os.environ[\"IMAGE\"])'",
];

const COMPOSE: &str = "version: '3.8'\nservices: {web: {image: $IMAGE}}\n";
const STACK: &str = "version: '3.8'\nservices: {web: {image: $IMAGE, networks: [outside]}}\n\
                     networks: {outside: {external: true, name: host}}\n";
const BUILD: &str = "version: '3.8'\nservices: {web: {build: {context: .}}}\n";

/// What brings in content, and the setting that allows it. What the Python SDK sends is short:
/// it fails without a word of the engine's when the engine answers before all is sent.
const BARRED: &[(&str, &str)] = &[
    ("docker load --input saved.tar", "load"),
    ("/usr/bin/python3 -c 'import docker; docker.from_env().images.load(b\"short\")'", "load"),
    ("docker import saved.tar mine:1", "import"),
    ("docker commit one mine:2", "commit"),
    (
        "/usr/bin/python3 -c 'import docker; docker.from_env().containers.get(\"one\").commit(\"mine\")'",
        "commit",
    ),
    ("docker cp saved.tar one:/", "archive_upload"),
    (
        "/usr/bin/python3 -c 'import docker; docker.from_env().containers.get(\"one\").put_archive(\"/\", b\"short\")'",
        "archive_upload",
    ),
    (
        "ask --upload-file Dockerfile 'http://localhost/v1.41/containers/one/archive?path=/'",
        "archive_upload",
    ),
    ("DOCKER_BUILDKIT=0 docker build --tag mine:3 .", "build"),
    ("docker-compose --file build.yml build", "build"),
    (
        "/usr/bin/python3 -c 'import docker; docker.from_env().images.build(fileobj=open(\"Dockerfile\", \"rb\"))'",
        "build",
    ),
];

/// Clients on a guarded engine, with images that may not run.
pub fn are_shown_whole(stage: &Stage, make: Make) {
    let (lab, (app, policy)) = (stage.lab(), stage.signed_app());
    let (moby, bare) = (stage.repository("moby"), format!("{app}:bare"));
    stage.admit(&moby, &["moby"]);
    stage.push_signed(&format!("{moby}:1"), "by moby", "moby");
    stage.push_unsigned(&bare, "not signed");
    let twins = managers(stage, &policy.user(lab, "moby"), make)
        .file("docker-compose.yml", COMPOSE)
        .file("stack.yml", STACK)
        .file("build.yml", BUILD)
        .file("Dockerfile", &format!("FROM {app}:1\n"));

    for (image, sentence, in_registry) in [
        (bare.as_str(), no_trust_data(&bare), true),
        (&format!("{moby}:1"), NOT_MET.to_owned(), true),
        (
            "quay.example/team/app:1",
            "quay.example must be a registered trusted registry".into(),
            false,
        ),
    ] {
        let create = format!(
            "--header 'Content-Type: application/json' --data '{{\"Image\": \"{image}\"}}' http://localhost/containers/create"
        );
        let pull = format!(
            "--request POST --header 'Content-Length: 0' http://localhost/images/create?fromImage={image}"
        );
        for (call, clients) in [(create, CREATES), (pull, PULLS)] {
            let whole = answer(&twins, &call);
            assert_eq!(whole.lines().next(), Some(sentence.as_str()));
            for line in clients {
                let outcome = twins.on_the_guarded(&format!("export IMAGE={image}; {line}"));
                outcome.expect_failure().and_says(&whole);
            }
        }
        if in_registry {
            let deploy =
                format!("IMAGE={image} docker stack deploy --compose-file stack.yml market");
            twins.on_the_guarded(&deploy).expect_failure().and_says(&sentence);
        }
    }

    twins.on_the_guarded(&format!("docker create --name one {app}:1")).expect_ok();
    twins.on_the_guarded(&format!("docker save --output saved.tar {app}:1")).expect_ok();
    for (line, setting) in BARRED {
        let remedy = format!(
            "the operator can allow it with `{setting} = true` in the [api] section of countersign.toml"
        );
        let outcome = twins.on_the_guarded(&format!("export IMAGE=mine:4; {line}"));
        outcome.expect_failure().and_says("is not allowed here").and_says(remedy);
    }
    // skopeo fails as well, and tells of the connection that the engine closed, at best.
    let copy = "skopeo --insecure-policy copy --dest-daemon-host unix://$DOCKER_SOCKET \
                docker-archive:saved.tar docker-daemon:a/b:1";
    twins.on_the_guarded(copy).expect_failure();
    twins.on_the_guarded("docker image inspect a/b:1").expect_failure();

    let every = twins.on_the_guarded(&format!("docker pull --all-tags {app}"));
    every.expect_failure().and_says("Pull one tag or digest at a time, without --all-tags.");
}

/// Twins that are managers of a swarm each.
pub fn managers<'a>(stage: &'a Stage, policy: &Policy, make: Make) -> Twins<'a> {
    Twins::prepared(stage, policy, make, |engine| {
        let init = "swarm init --advertise-addr 127.0.0.1 --listen-addr 127.0.0.1:2377";
        engine.docker(init).expect_ok();
    })
}

/// The plugin's text in the engine's answer to a call.
#[track_caller]
fn answer(twins: &Twins<'_>, call: &str) -> String {
    let answer = twins.on_the_guarded(&format!("ask {call}")).expect_failure();
    let answer: serde_json::Value = serde_json::from_str(answer.text()).expect("an error");
    let message = answer["message"].as_str().expect("a message").to_owned();
    let (_, text) = message.split_once(": ").expect("the plugin's name before it");
    text.to_owned()
}
