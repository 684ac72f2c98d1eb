//! The plugin: is it there, does the engine know it, and does it really ask it?

use super::facts::{PluginFacts, Probe, SetupFacts};
use super::finding::Finding;
use crate::source::{FileFacts, Kind};

pub(super) fn examine(plugin: &PluginFacts, setup: &SetupFacts, findings: &mut Vec<Finding>) {
    socket(plugin, findings);
    configured(plugin, setup, findings);
    listed(plugin, findings);
    probed(plugin, findings);
    replaced(plugin, findings);
}

fn socket(plugin: &PluginFacts, findings: &mut Vec<Finding>) {
    const ID: &str = "plugin.socket";
    let socket = plugin.socket.display();
    let away = "an engine that is told to ask a plugin refuses every call while it is away, and \
                does not start without it";
    let start = "systemctl enable --now countersign.socket countersign.service; or run \
                 countersign serve";
    match &plugin.file {
        Err(cause) => findings.push(Finding::problem(
            ID,
            format!("{socket} cannot be looked at: {cause}"),
            "whether the plugin is there cannot be told",
            "run countersign doctor as root",
        )),
        Ok(None) => {
            findings.push(Finding::problem(ID, format!("there is no {socket}"), away, start));
            return;
        }
        Ok(Some(file)) => findings.push(match unsafe_socket(plugin, *file) {
            Some((title, remedy)) => {
                let why = "who may put another socket in its place answers for the plugin; who \
                           may open it can send it made-up calls";
                Finding::problem(ID, title, why, remedy)
            }
            None => Finding::ok(ID, format!("{socket} is root's alone")),
        }),
    }
    findings.push(match &plugin.activated {
        Ok(implements) if implements.iter().any(|one| one == "authz") => {
            Finding::ok("plugin.answers", "it answers as an authorization plugin")
        }
        Ok(_) => Finding::problem(
            "plugin.answers",
            format!("what answers on {socket} is no authorization plugin"),
            away,
            format!("stop what listens there; then: {start}"),
        ),
        Err(cause) => Finding::problem(
            "plugin.answers",
            format!("the plugin does not answer on {socket}: {cause}"),
            away,
            start,
        ),
    });
}

/// What is wrong with a socket's place, owner or mode, and what to do.
fn unsafe_socket(plugin: &PluginFacts, file: FileFacts) -> Option<(String, String)> {
    let socket = plugin.socket.display();
    if file.kind != Kind::Socket {
        let remedy = format!("remove it and start countersign again: rm {socket}");
        return Some((format!("{socket} is not a socket"), remedy));
    }
    if file.uid != 0 || file.mode & 0o077 != 0 {
        let title = format!(
            "{socket} is not root's alone (owner {}, mode {:o})",
            file.uid,
            file.mode & 0o777
        );
        return Some((title, format!("chown root:root {socket} && chmod 0600 {socket}")));
    }
    let folder = plugin.socket.parent()?.display();
    let open = plugin.folder.filter(|folder| folder.uid != 0 || folder.mode & 0o022 != 0)?;
    let title =
        format!("others than root may write {folder} (owner {}, mode {:o})", open.uid, open.mode);
    Some((title, format!("chown root:root {folder} && chmod go-w {folder}")))
}

fn configured(plugin: &PluginFacts, setup: &SetupFacts, findings: &mut Vec<Finding>) {
    const ID: &str = "plugin.configured";
    let (name, file) = (&plugin.name, setup.file.display());
    let tell =
        format!("set \"authorization-plugins\": [\"{name}\"] in {file} and restart the engine");
    let told = match &setup.setup {
        Ok(told) => told,
        Err(cause) => {
            findings.push(Finding::problem(
                ID,
                format!("{file} cannot be read: {cause}"),
                "an engine that starts with it cannot know of its plugins",
                format!("mend {file}; dockerd --validate tells more"),
            ));
            return;
        }
    };
    let named = |names: &[String]| names.iter().filter(|one| is(one, name)).count();
    findings.push(if named(&told.flag_plugins) > 0 {
        Finding::problem(
            ID,
            "the engine knows the plugin by --authorization-plugin on its command line",
            "when it reloads its configuration (SIGHUP, systemctl reload docker) it forgets the \
             flag: from then on it asks nobody, and docker info still lists the plugin",
            format!("remove the flag; {tell}"),
        )
    } else if named(&told.file_plugins) > 1 {
        Finding::note(
            ID,
            format!("{file} names the plugin twice"),
            "engines ask it once",
            format!("name it once in {file}"),
        )
    } else if named(&told.file_plugins) == 1 {
        Finding::ok(ID, format!("{file} names the plugin"))
    } else {
        let why = "the engine asks no plugin that it is not told of";
        Finding::problem(ID, format!("{file} does not name the plugin {name}"), why, tell)
    });
}

fn listed(plugin: &PluginFacts, findings: &mut Vec<Finding>) {
    const ID: &str = "plugin.listed";
    let Some(listed) = &plugin.listed else { return };
    let name = &plugin.name;
    let Some(place) = listed.iter().position(|one| is(one, name)) else {
        let title = format!("the running engine does not list the plugin {name}");
        findings.push(if plugin.probe == Probe::Shown {
            Finding::note(
                ID,
                title,
                "engines list the plugins that they were started with; this one was told of it \
                 since, by a reload, and asks it",
                "",
            )
        } else {
            Finding::problem(
                ID,
                title,
                "it was started without it, and asks it nothing",
                "restart the engine after it was told of the plugin",
            )
        });
        return;
    };
    let others: Vec<_> = listed.iter().filter(|one| !is(one, name)).map(String::as_str).collect();
    findings.push(if others.is_empty() {
        Finding::ok(ID, "the running engine lists the plugin")
    } else {
        let place = if place == 0 { "first" } else { "after others" };
        Finding::note(
            ID,
            format!("the engine asks other plugins too: {}", others.join(", ").escape_debug()),
            format!(
                "countersign is asked {place}; each plugin can refuse a call, and none can allow \
                 what another refuses. A plugin that is away stops every call"
            ),
            "see that each of them is wanted",
        )
    });
}

fn probed(plugin: &PluginFacts, findings: &mut Vec<Finding>) {
    const ID: &str = "plugin.asked";
    findings.push(match &plugin.probe {
        Probe::Shown => Finding::ok(ID, "the engine shows it calls (proven by one just made)"),
        Probe::NotShown => Finding::problem(
            ID,
            "the engine carried out a call without asking the plugin",
            "whatever is configured or listed, this engine runs images unsigned",
            format!(
                "name the plugin {} in the engine's daemon.json, not on its command line, and \
                 restart the engine; see that --engine and --socket belong together",
                plugin.name
            ),
        ),
        Probe::Unknown(cause) => Finding::warning(
            ID,
            format!("whether the engine asks the plugin could not be found out: {cause}"),
            "an engine can list a plugin and not ask it",
            "mend what else is found here, and run countersign doctor again as root",
        ),
    });
}

fn replaced(plugin: &PluginFacts, findings: &mut Vec<Finding>) {
    let name = &plugin.name;
    if let Some(managed) = &plugin.managed {
        let same = managed.iter().find(|one| is(&one.name, name));
        findings.push(match same {
            None => Finding::ok("plugin.managed", "no managed plugin has its name"),
            Some(other) => {
                let title = format!("a managed plugin is called {}", other.name.escape_debug());
                let state = if other.enabled {
                    "from its next start or reload on, the engine asks that one instead of the \
                     socket"
                } else {
                    "while it is switched off, the engine stops at its next start or reload"
                };
                let why = format!("managed plugins go before sockets of the same name: {state}");
                let remedy = format!(
                    "docker plugin rm -f {name} and restart the engine; find out who made it"
                );
                Finding::problem("plugin.managed", title, why, remedy)
            }
        });
    }
    for path in &plugin.descriptions {
        let path = path.display();
        findings.push(Finding::warning(
            "plugin.description",
            format!("{path} also tells engines where the plugin {name} is"),
            "an engine that finds no socket asks there, and who may write that file decides",
            format!("rm {path}"),
        ));
    }
}

/// Whether an entry names the plugin: engines take `name` and `name:latest` for the same.
fn is(entry: &str, name: &str) -> bool {
    entry.strip_suffix(":latest").unwrap_or(entry) == name
}

#[cfg(test)]
mod tests {
    use super::super::finding::{Severity, told};
    use super::super::setup::Setup;
    use super::*;
    use crate::source::ManagedPlugin;
    use Severity::{Note, Problem, Warning};

    fn own(name: &str) -> Vec<String> {
        name.split(' ').map(ToOwned::to_owned).collect()
    }

    fn file(kind: Kind, uid: u32, mode: u32) -> FileFacts {
        FileFacts { kind, uid, mode }
    }

    fn sound() -> (PluginFacts, SetupFacts) {
        let plugin = PluginFacts {
            name: "countersign".to_owned(),
            socket: "/run/docker/plugins/countersign.sock".into(),
            file: Ok(Some(file(Kind::Socket, 0, 0o600))),
            folder: Some(file(Kind::Folder, 0, 0o755)),
            activated: Ok(own("authz")),
            listed: Some(own("countersign")),
            probe: Probe::Shown,
            managed: Some(Vec::new()),
            descriptions: Vec::new(),
        };
        let setup = Setup { file_plugins: own("countersign"), ..Setup::default() };
        let file = "/etc/docker/daemon.json".into();
        (plugin, SetupFacts { found: true, file, setup: Ok(setup) })
    }

    type Change = fn(&mut PluginFacts, &mut SetupFacts);

    fn after(change: Change) -> Vec<(&'static str, Severity)> {
        let (mut plugin, mut setup) = sound();
        change(&mut plugin, &mut setup);
        let mut findings = Vec::new();
        examine(&plugin, &setup, &mut findings);
        told(&findings)
    }

    #[test]
    fn a_sound_node_has_nothing_to_tell() {
        assert_eq!(after(|_, _| ()), []);
    }

    #[test]
    fn its_socket() {
        let socket = [("plugin.socket", Problem)];
        for change in [
            (|p, _| p.file = Ok(None)) as Change,
            |p, _| p.file = Err("Permission denied".to_owned()),
            |p, _| p.file = Ok(Some(file(Kind::Other, 0, 0o600))),
            |p, _| p.file = Ok(Some(file(Kind::Socket, 1000, 0o600))),
            |p, _| p.file = Ok(Some(file(Kind::Socket, 0, 0o660))),
            |p, _| p.folder = Some(file(Kind::Folder, 0, 0o1777)),
            |p, _| p.folder = Some(file(Kind::Folder, 1000, 0o755)),
        ] {
            assert_eq!(after(change), socket);
        }
        let answers = [("plugin.answers", Problem)];
        assert_eq!(after(|p, _| p.activated = Err("it answered 500".to_owned())), answers);
        assert_eq!(after(|p, _| p.activated = Ok(own("VolumeDriver"))), answers);
    }

    #[test]
    fn how_the_engine_was_told() {
        let problem = &[("plugin.configured", Problem)][..];
        for (change, expected) in [
            ((|_, s| s.setup = Ok(Setup::default())) as Change, problem),
            (|_, s| s.setup = Err("expected value at line 1".to_owned()), problem),
            (
                |_, s| {
                    let flag_plugins = own("countersign");
                    s.setup = Ok(Setup { flag_plugins, ..Setup::default() });
                },
                problem,
            ),
            (
                |_, s| {
                    let file_plugins = own("countersign countersign:latest");
                    s.setup = Ok(Setup { file_plugins, ..Setup::default() });
                },
                &[("plugin.configured", Note)],
            ),
            (|p, _| p.listed = Some(own("other")), &[("plugin.listed", Note)]),
            (
                |p, _| {
                    p.listed = Some(own("other"));
                    p.probe = Probe::Unknown("it answered 404".to_owned());
                },
                &[("plugin.listed", Problem), ("plugin.asked", Warning)],
            ),
            (|p, _| p.listed = Some(own("other countersign")), &[("plugin.listed", Note)]),
            (|p, _| p.listed = Some(own("countersign:latest")), &[]),
            (|p, _| p.listed = None, &[]),
        ] {
            assert_eq!(after(change), expected);
        }
    }

    #[test]
    fn whether_it_is_asked() {
        assert_eq!(after(|p, _| p.probe = Probe::NotShown), [("plugin.asked", Problem)]);
        let unknown: Change = |p, _| p.probe = Probe::Unknown("it answered 404".to_owned());
        assert_eq!(after(unknown), [("plugin.asked", Warning)]);
    }

    #[test]
    fn what_could_take_its_place() {
        let managed = |name: &str, enabled| {
            let (mut plugin, setup) = sound();
            plugin.managed = Some(vec![ManagedPlugin { name: name.to_owned(), enabled }]);
            let mut findings = Vec::new();
            examine(&plugin, &setup, &mut findings);
            told(&findings)
        };
        for enabled in [true, false] {
            assert_eq!(managed("countersign:latest", enabled), [("plugin.managed", Problem)]);
            assert_eq!(managed("x/countersign:latest", enabled), []);
            assert_eq!(managed("countersign:2", enabled), []);
        }
        let change: Change =
            |p, _| p.descriptions = vec!["/etc/docker/plugins/countersign.spec".into()];
        assert_eq!(after(change), [("plugin.description", Warning)]);
    }
}
