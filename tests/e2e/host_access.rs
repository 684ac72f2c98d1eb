//! Signed images that ask for the host, on a real engine.

use std::fs;
use std::os::unix::fs::symlink;

use crate::node::{Engine, Node};
use crate::outcome::Outcome;
use crate::stage::Stage;

crate::stories![
    a_signed_image_gets_nothing_of_the_host,
    a_named_repository_gets_the_host,
    volumes_lead_nowhere_else,
    what_was_made_before_is_judged_at_its_start,
    a_running_container_gets_no_more,
    no_container_moves_what_another_binds,
    a_command_prepared_before_gets_no_more,
    services_reach_no_node,
    a_guard_that_logs_lets_everything_by,
];

#[track_caller]
fn expect_refused(outcome: Outcome, app: &str, asked: &str) {
    outcome.expect_denied(&format!("{app} may not reach the host, and it asks for {asked}"));
}

fn a_signed_image_gets_nothing_of_the_host(stage: &Stage) {
    let (app, policy) = stage.signed_app();
    let node = Node::obeying(stage, &policy);
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let link = folder.path().join("link");
    fs::create_dir(&data).unwrap();
    symlink("/etc", &link).unwrap();
    let (data, link) = (data.to_str().unwrap(), link.to_str().unwrap());
    let own = node.plugin.files().state.display().to_string();

    for (options, asked) in [
        ("--privileged", "Privileged"),
        ("--pid host", "PidMode \"host\""),
        ("--ipc host", "IpcMode \"host\""),
        ("--userns host", "UsernsMode \"host\""),
        ("--cap-add sys_admin", "capability \"SYS_ADMIN\""),
        ("--device /dev/kmsg", "device \"/dev/kmsg\""),
        ("--security-opt apparmor=unconfined", "security option \"apparmor=unconfined\""),
        (
            "--security-opt systempaths=unconfined",
            "MaskedPaths without the engine's defaults, ReadonlyPaths without the engine's defaults",
        ),
        ("--cgroup-parent /x", "parent cgroup \"/x\""),
        ("-v /:/h", "bind of \"/\""),
        ("-v /etc:/h:ro", "bind of \"/etc\", read-only"),
        ("-v /tmp/../run/docker/plugins:/h", "bind of \"/tmp/../run/docker/plugins\""),
        ("-v /opt/containerd/bin:/h", "bind of \"/opt/containerd/bin\""),
        ("-v /home/jane/.ssh:/h", "bind of \"/home/jane/.ssh\""),
        ("--mount type=bind,src=/var/run/docker.sock,dst=/s", "bind of \"/var/run/docker.sock\""),
        (&format!("-v {own}:/h"), &format!("bind of {own:?}")),
        (&format!("-v {link}:/h"), &format!("bind of {link:?}")),
        (&format!("-v {link}/docker/new:/h"), &format!("bind of \"{link}/docker/new\"")),
    ] {
        expect_refused(node.docker(format!("run --rm {options} {app}:1")), &app, asked);
    }
    node.docker("volume create named").expect_ok();
    for options in [
        "",
        "--network host --uts host --init --read-only --tmpfs /t --cap-drop ALL --cap-add CHOWN",
        "--security-opt no-new-privileges --runtime runc --device /dev/null",
        "-v /etc/localtime:/etc/localtime:ro -v named:/n",
        &format!("-v {data}:/data:ro -v {data}/new:/new"),
    ] {
        node.docker(format!("run --rm {options} {app}:1")).expect_ok().and_says("hello");
    }
}

fn a_named_repository_gets_the_host(stage: &Stage) {
    let (app, policy) = stage.signed_app();
    let agent = stage.repository("ops/agent");
    stage.admit(&agent, &["jenkins"]);
    stage.push_signed(&format!("{agent}:1"), "watching", "jenkins");
    let (base, _) = agent.rsplit_once('/').unwrap();
    let rule = format!("[[rules]]\nrepository = \"{base}/**\"\nallow_host_access = true");
    let node = Node::obeying(stage, &policy.with(&rule));
    let options = "-v /etc:/host:ro";
    node.docker(format!("create --privileged --pid host {agent}:1")).expect_ok();
    node.docker(format!("run --rm {options} {agent}:1")).expect_ok().and_says("watching");
    node.docker(format!("run --rm {options} {app}:1")).expect_failure().and_says(
        "to do: leave it out; or have the operator add to countersign.toml: [[rules]] with",
    );
    // The name alone gives nothing.
    node.docker(format!("pull {app}:1")).expect_ok();
    node.docker(format!("tag {app}:1 {agent}:2")).expect_ok();
    let outcome = node.docker(format!("run --rm --privileged {agent}:2"));
    expect_refused(outcome, &app, "Privileged");
}

fn volumes_lead_nowhere_else(stage: &Stage) {
    let (app, policy) = stage.signed_app();
    let engine = Engine::unguarded(stage);
    let options = "--opt type=none --opt o=bind --opt device=/etc";
    engine.docker(format!("volume create {options} before")).expect_ok();
    let node = Node::guarding(stage, engine, &policy);

    node.docker(format!("volume create {options} after"))
        .expect_denied("this call may not reach the host, and it asks for bind of \"/etc\"");
    node.docker("volume create plain").expect_ok();
    node.docker("volume create --opt type=tmpfs --opt device=tmpfs memory").expect_ok();
    node.docker(format!("run --rm -v plain:/p -v memory:/m {app}:1")).expect_ok();
    let outcome = node.docker(format!("run --rm -v before:/h {app}:1"));
    expect_refused(outcome, &app, "bind of \"/etc\"");
    let mount = "type=volume,dst=/h,volume-opt=o=bind,volume-opt=device=/etc";
    let outcome = node.docker(format!("run --rm --mount {mount} {app}:1"));
    expect_refused(outcome, &app, "bind of \"/etc\"");
    node.docker(format!("create --name other -v plain:/p {app}:1")).expect_ok();
    let outcome = node.docker(format!("run --rm --volumes-from other {app}:1"));
    expect_refused(outcome, &app, "volumes from container \"other\"");
}

/// Engines follow a bind's path anew when they restart a container, and ask nobody.
fn no_container_moves_what_another_binds(stage: &Stage) {
    let (app, policy) = stage.signed_app();
    let node = Node::obeying(stage, &policy);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let nested =
        format!("bind of \"{path}/a/b\" beside one of \"{path}/a\" that can be written to");
    let call = "this call may not reach the host, and it asks for";
    let (outer, inner) = (format!("-v {path}/a:/o"), format!("-v {path}/a/b:/i:ro"));
    let volume = |name: &str, device: &str| {
        format!("volume create --opt type=none --opt o=bind --opt device={path}/{device} {name}")
    };

    let outcome = node.docker(format!("run --rm {outer} {inner} {app}:1"));
    expect_refused(outcome, &app, &nested);
    node.docker(format!("create --name outer {outer} {app}:1")).expect_ok();
    let outcome = node.docker(format!("create --restart always {inner} {app}:1"));
    expect_refused(outcome, &app, &nested);
    node.docker(volume("inner", "a/b")).expect_denied(&format!("{call} {nested}"));
    node.docker(format!("run --rm {outer} -v {path}/c:/c {app}:1")).expect_ok();
    node.docker("rm outer").expect_ok();
    node.docker(format!("create --name inner {inner} {app}:1")).expect_ok();
    expect_refused(node.docker(format!("create {outer} {app}:1")), &app, &nested);
    node.docker(volume("outer", "a")).expect_denied(&format!("{call} {nested}"));
    node.docker("start -a inner").expect_ok();
    node.docker("rm inner").expect_ok();
    node.docker(volume("outer", "a")).expect_ok();
    let outcome = node.docker(format!("create {inner} {app}:1"));
    expect_refused(outcome, &app, &nested);
}

fn what_was_made_before_is_judged_at_its_start(stage: &Stage) {
    let (app, policy) = stage.signed_app();
    let engine = Engine::unguarded(stage);
    engine.docker(format!("pull {app}:1")).expect_ok();
    engine.docker(format!("create --name strong --privileged {app}:1")).expect_ok();
    engine.docker(format!("create --name bound -v /etc:/h {app}:1")).expect_ok();
    engine.docker(format!("create --name heir --volumes-from bound {app}:1")).expect_ok();
    engine.docker(format!("create --name plain -v /srv:/h {app}:1")).expect_ok();
    // Of no image at all, to be filled with files.
    let bare = r#"{"Image":"","Cmd":["/bin/sh"]}"#;
    engine.post_in_background("containers/create?name=bare", bare).outcome(stage).expect_ok();
    let node = Node::guarding(stage, engine, &policy);
    node.docker("start bare")
        .expect_denied("container bare was made of no image, so nobody can have signed it");
    // Engines add the option to what is privileged.
    let strong = "Privileged, security option \"label=disable\"";
    expect_refused(node.docker("start strong"), &app, strong);
    expect_refused(node.docker("restart strong"), &app, strong);
    expect_refused(node.docker("start bound"), &app, "bind of \"/etc\"");
    let heir = "bind of \"/etc\", volumes from container \"bound\"";
    expect_refused(node.docker("start heir"), &app, heir);
    node.docker("start --attach plain").expect_ok().and_says("hello");
}

fn a_running_container_gets_no_more(stage: &Stage) {
    let (app, policy) = stage.signed_app();
    let node = Node::obeying(stage, &policy);
    node.docker(format!("run --detach --name web --entrypoint sleep {app}:1 100")).expect_ok();
    node.docker("exec web echo inside").expect_ok().and_says("inside");
    expect_refused(node.docker("exec --privileged web echo inside"), &app, "Privileged");
    node.docker("update --memory 64m --memory-swap 64m web").expect_ok();
}

/// The engine keeps prepared commands while it runs: it is told of its plugin by a reload.
fn a_command_prepared_before_gets_no_more(stage: &Stage) {
    let (app, policy) = stage.signed_app();
    let engine = Engine::unguarded(stage);
    engine.docker(format!("run --detach --name web --entrypoint sleep {app}:1 100")).expect_ok();
    let prepare = |privileged: bool| {
        let config = format!(r#"{{"Cmd":["true"],"Privileged":{privileged}}}"#);
        let answer = engine.post_in_background("containers/web/exec", &config).outcome(stage);
        answer.expect_ok().json_lines()[0]["Id"].as_str().unwrap().to_owned()
    };
    let (strong, plain) = (prepare(true), prepare(false));
    let node = Node::guarding_at_once(stage, engine, &policy);
    let start = |id: &str| {
        node.engine
            .post_in_background(&format!("exec/{id}/start"), r#"{"Detach":true}"#)
            .outcome(stage)
    };
    let refused = format!("{app} may not reach the host, and it asks for Privileged");
    start(&strong).expect_failure().and_says(refused);
    start(&plain).expect_ok();
    start(&"0".repeat(64)).expect_failure().and_says("No such exec instance");
}

fn services_reach_no_node(stage: &Stage) {
    let (app, policy) = stage.signed_app();
    let engine = Engine::unguarded(stage);
    engine.docker("swarm init --advertise-addr 127.0.0.1 --listen-addr 127.0.0.1:2377").expect_ok();
    let node = Node::guarding(stage, engine, &policy);
    let create = "service create --detach --replicas 0";
    for (options, asked) in [
        ("--mount type=bind,src=/run/docker/plugins,dst=/p", "bind of \"/run/docker/plugins\""),
        ("--cap-add SYS_ADMIN", "capability \"SYS_ADMIN\""),
    ] {
        expect_refused(node.docker(format!("{create} {options} {app}:1")), &app, asked);
    }
    node.docker(format!("{create} --name web --mount type=tmpfs,dst=/t {app}:1")).expect_ok();
    let mount = "--mount-add type=bind,src=/etc,dst=/h";
    let update = node.docker(format!("service update --detach {mount} web"));
    expect_refused(update, &app, "bind of \"/etc\"");
}

fn a_guard_that_logs_lets_everything_by(stage: &Stage) {
    let (app, policy) = stage.signed_app();
    let node = Node::obeying(stage, &policy.with("[guard]\nmode = \"log\""));
    node.docker(format!("run --rm -v /etc:/h {app}:1")).expect_ok().and_says("hello");
    let log = node.plugin.files().said();
    assert!(log.contains("would refuse this"), "the log tells of it: {log}");
}
