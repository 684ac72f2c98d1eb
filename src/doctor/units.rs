//! Systemd: does it start the engine and the plugin in the right order, and again?

use super::facts::UnitFacts;
use super::finding::Finding;

pub(super) fn examine(units: &UnitFacts, findings: &mut Vec<Finding>) {
    // Where systemd starts no engine, others see to it.
    let Some(engine) = &units.engine else { return };
    ordered(engine, units, findings);
    restarted(units, findings);
}

fn ordered(engine: &str, units: &UnitFacts, findings: &mut Vec<Finding>) {
    const ID: &str = "plugin.unit-order";
    let socket = format!("{}.socket", units.name);
    let service = format!("{}.service", units.name);
    let requires = settings(engine, "Requires").chain(settings(engine, "BindsTo"));
    let is_ours = |unit: &str| unit == socket || unit == service;
    if requires.flat_map(str::split_whitespace).any(is_ours) {
        findings.push(Finding::ok(ID, format!("docker.service does not start without {socket}")));
        return;
    }
    findings.push(Finding::warning(
        ID,
        format!("docker.service does not require {socket}"),
        "an engine that starts before its plugin's socket is there starts the containers that a \
         restart policy names, waits 15 seconds for the socket and then ends, and leaves them \
         running",
        "run countersign enable, which adds that; or copy plugin/docker.service.d to \
         /etc/systemd/system/docker.service.d; then: systemctl daemon-reload",
    ));
}

fn restarted(units: &UnitFacts, findings: &mut Vec<Finding>) {
    const ID: &str = "plugin.unit-restart";
    let service = format!("{}.service", units.name);
    let why = "while the plugin is away the engine refuses every call, after 15 seconds each";
    findings.push(match &units.plugin {
        None => Finding::note(
            ID,
            format!("systemd knows no {service}"),
            "nothing here says what starts the plugin again when it ends",
            "copy plugin/countersign.service and plugin/countersign.socket to \
             /etc/systemd/system, unless something else looks after it",
        ),
        Some(own) if settings(own, "Restart").last() == Some("always") => {
            Finding::ok(ID, format!("systemd starts {service} again whenever it ends"))
        }
        Some(_) => Finding::warning(
            ID,
            format!("{service} is not started again whenever it ends"),
            why,
            format!("set Restart=always in its [Service] section (systemctl edit {service})"),
        ),
    });
}

/// The values of a setting, in order. Comments and continued lines are no settings here.
fn settings<'t>(unit: &'t str, key: &str) -> impl Iterator<Item = &'t str> {
    unit.lines()
        .filter_map(move |line| line.trim().strip_prefix(key)?.trim_start().strip_prefix('='))
        .map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::super::finding::{Severity, told};
    use super::*;
    use Severity::{Note, Warning};

    const OWN: &str = include_str!("../../plugin/countersign.service");
    const DROP_IN: &str = include_str!("../../plugin/docker.service.d/countersign.conf");

    fn findings(engine: Option<&str>, plugin: Option<&str>) -> Vec<(&'static str, Severity)> {
        let units = UnitFacts {
            name: "countersign".to_owned(),
            engine: engine.map(ToOwned::to_owned),
            plugin: plugin.map(ToOwned::to_owned),
        };
        let mut findings = Vec::new();
        examine(&units, &mut findings);
        told(&findings)
    }

    #[test]
    fn how_systemd_starts_them() {
        let docker = "[Unit]\nRequires=docker.socket\n[Service]\nExecStart=/usr/bin/dockerd\n";
        let order = ("plugin.unit-order", Warning);
        let restart = ("plugin.unit-restart", Warning);
        let guarded = format!("{docker}{DROP_IN}");
        let wants = format!("{docker}Wants=countersign.socket\n#Requires=countersign.socket\n");
        let once = OWN.replace("Restart=always", "Restart=always\nRestart = on-failure");
        for (engine, plugin, expected) in [
            (Some(guarded.as_str()), Some(OWN), &[][..]),
            (Some("[Unit]\nBindsTo = a.socket countersign.service\n"), Some(OWN), &[]),
            (Some(docker), Some(OWN), &[order]),
            (Some(&wants), Some(OWN), &[order]),
            (Some(&guarded), Some(&once), &[restart]),
            (Some(&guarded), Some("[Service]\n"), &[restart]),
            (Some(&guarded), None, &[("plugin.unit-restart", Note)]),
            (None, None, &[]),
        ] {
            assert_eq!(findings(engine, plugin), expected, "{engine:?}");
        }
    }
}
