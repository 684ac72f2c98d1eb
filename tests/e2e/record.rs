//! The record in a real journal, and metrics at a real Prometheus.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::node::{Engine, Plugin};
use crate::outcome::{NOT_MET, Outcome};
use crate::policy::Policy;
use crate::stage::Stage;

crate::stories![
    decisions_stand_in_the_journal_with_fields_of_their_own,
    prometheus_scrapes_what_was_decided_and_loads_the_alerts,
    alerts_fire_when_they_should,
];

const RULES: &str = "plugin/prometheus/countersign.rules.yml";

fn repository(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// An engine guarded by a plugin with words before its own on the command line.
fn guarded<'a>(stage: &'a Stage, policy: &Policy, prefix: &[&str]) -> (Engine<'a>, Plugin<'a>) {
    let engine = Engine::absent(stage);
    let plugin = Plugin::start_as(stage, policy, &engine, prefix);
    engine.start(&["--plugin", plugin.name()]);
    (engine, plugin)
}

/// Asks until something is so.
#[track_caller]
fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = ask() {
            return found;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "waited in vain for: {what}");
        thread::sleep(Duration::from_millis(200));
    }
}

/// A journal of its own, in a namespace that nobody else sees, for the program that follows;
/// that is started as systemd starts it, with its standard error in the journal.
const JOURNALLED: &str = r#"set -e
mount -t tmpfs none /run/systemd && mkdir -p /run/systemd/journal /run/log/journal
mount --bind "$0" /run/log/journal
setpriv --pdeathsig KILL /lib/systemd/systemd-journald &
until [ -S /run/systemd/journal/stdout ] && [ -S /run/systemd/journal/socket ]; do sleep 0.05; done
exec systemd-cat bash -c 'export JOURNAL_STREAM=$(stat -L -c %d:%i /dev/stderr); exec "$0" "$@"' "$@""#;

fn decisions_stand_in_the_journal_with_fields_of_their_own(stage: &Stage) {
    let (app, policy) = stage.signed_app();
    stage.admit(&app, &["moby"]);
    stage.push_signed(&format!("{app}:2"), "hello", "moby");
    let journal = stage.dir().join("journal");
    fs::create_dir(&journal).unwrap();
    let folder = journal.display().to_string();
    let prefix = ["unshare", "--mount", "bash", "-c", JOURNALLED, &folder];
    let (engine, _plugin) = guarded(stage, &policy, &prefix);
    engine.docker(format!("run --rm {app}:1")).expect_ok();
    engine.docker(format!("pull {app}:2")).expect_denied(NOT_MET);

    let read = |matches: &[&str]| {
        let mut command = Command::new("journalctl");
        command.args(["--quiet", "--output=json", "--directory"]).arg(&journal).args(matches);
        let read = stage.run(&format!("journalctl {}", matches.join(" ")), &mut command);
        read.expect_ok().json_lines()
    };
    let denied = until("the refusal", || {
        read(&["COUNTERSIGN_VERDICT=deny", "COUNTERSIGN_VERB=pull"]).into_iter().next()
    });
    assert_eq!(denied["COUNTERSIGN_CODE"], "signature-missing");
    assert_eq!(denied["COUNTERSIGN_SUBJECT"], format!("{app}:2"));
    assert_eq!(denied["COUNTERSIGN_MISSING_TEAM"], "CI");
    assert_eq!(denied["COUNTERSIGN_REASON"], NOT_MET);
    assert_eq!(denied["PRIORITY"], "5");
    assert_eq!(denied["_COMM"], "countersign", "the journal itself says who sent it");
    let message = denied["MESSAGE"].as_str().unwrap();
    assert!(message.starts_with("deny POST /v1."), "{message}");
    let started = until("the start", || {
        read(&["COUNTERSIGN_VERDICT=allow", "COUNTERSIGN_VERB=start"]).into_iter().next()
    });
    assert_eq!(started["COUNTERSIGN_CODE"], "signed");
    assert_eq!(started["COUNTERSIGN_REPOSITORY"], app);
    assert_eq!(started["COUNTERSIGN_DIGEST"], stage.digest(&format!("{app}:1")));
    assert!(
        signers(&started).iter().any(|one| one.starts_with("jenkins targets/jenkins ")),
        "{started}"
    );
    assert!(started["COUNTERSIGN_PHASE_TRUST_US"].is_string(), "{started}");
    // The log stands in the same journal and does not say it all again.
    let lines = read(&[]);
    let said = |line: &Value| line["MESSAGE"].as_str().unwrap_or_default().to_owned();
    assert!(lines.iter().any(|line| said(line).contains("ready")), "the log is there");
    assert!(!lines.iter().any(|line| said(line).contains("decided")), "{lines:?}");
}

/// The journal gives a list where a field came more than once.
fn signers(entry: &Value) -> Vec<&str> {
    match &entry["COUNTERSIGN_SIGNER"] {
        Value::String(one) => vec![one],
        Value::Array(many) => many.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// A Prometheus server that scrapes once a second; it ends with the story.
struct Prometheus<'a> {
    stage: &'a Stage,
    process: Child,
    address: String,
}

impl<'a> Prometheus<'a> {
    fn start(stage: &'a Stage, target: &str) -> Self {
        let config = stage.dir().join("prometheus.yml");
        let rules = repository(RULES);
        let text = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\n\
             rule_files: [{}]\n\
             scrape_configs:\n\
             - job_name: countersign\n  static_configs:\n  - targets: [\"{target}\"]\n",
            rules.display()
        );
        fs::write(&config, text).unwrap();
        let address = format!("127.0.0.1:{}", free_port());
        let log = fs::File::create(stage.log_file("prometheus.log")).unwrap();
        let process = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--", "prometheus"])
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", stage.dir().join("tsdb").display()))
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let prometheus = Self { stage, process, address };
        until("Prometheus", || prometheus.get("/-/ready").succeeded().then_some(()));
        prometheus
    }

    fn get(&self, path: &str) -> Outcome {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--fail", "--max-time", "10", "--globoff"]);
        curl.arg(format!("http://{}{path}", self.address));
        self.stage.run(&format!("GET {path}"), &mut curl)
    }

    /// The value of a query that has one answer.
    fn query(&self, query: &str) -> Option<f64> {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--fail", "--max-time", "10", "--get"]);
        curl.arg("--data-urlencode").arg(format!("query={query}"));
        curl.arg(format!("http://{}/api/v1/query", self.address));
        let answer = self.stage.run(&format!("query {query}"), &mut curl).expect_ok().json_lines();
        let value = answer[0]["data"]["result"][0]["value"][1].as_str()?;
        Some(value.parse().unwrap())
    }

    #[track_caller]
    fn await_value(&self, query: &str, wanted: f64) {
        until(query, || (self.query(query) == Some(wanted)).then_some(()));
    }
}

impl Drop for Prometheus<'_> {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn prometheus_scrapes_what_was_decided_and_loads_the_alerts(stage: &Stage) {
    let (app, policy) = stage.signed_app();
    stage.admit(&app, &["moby"]);
    stage.push_signed(&format!("{app}:2"), "hello", "moby");
    let target = format!("127.0.0.1:{}", free_port());
    let record = stage.dir().join("record.jsonl");
    let prefix = [
        "env",
        &format!("COUNTERSIGN_METRICS={target}"),
        &format!("COUNTERSIGN_RECORD={}", record.display()),
    ];
    let (engine, _plugin) = guarded(stage, &policy, &prefix);
    engine.docker(format!("run --rm {app}:1")).expect_ok();
    for _ in 0..2 {
        engine.docker(format!("pull {app}:2")).expect_denied(NOT_MET);
    }
    let prometheus = Prometheus::start(stage, &target);
    prometheus.await_value("up{job=\"countersign\"}", 1.0);
    let decided = |labels: &str| format!("sum(countersign_decisions_total{{{labels}}})");
    prometheus
        .await_value(&decided("verb=\"pull\",verdict=\"deny\",code=\"signature-missing\""), 2.0);
    prometheus.await_value(&decided("verb=\"start\",verdict=\"allow\",code=\"signed\""), 1.0);
    let registry = stage.lab().registry();
    let value = |query: &str| until(query, || prometheus.query(query));
    let of = format!("registry=\"{registry}\"");
    assert!(value(&decided("code=\"not-judged\"")) >= 1.0);
    assert!(value("sum(countersign_decision_seconds_count{phase=\"trust\"})") >= 3.0);
    assert!(value("countersign_build_info") >= 1.0);
    assert!(value(&format!("countersign_trust_server_away{{{of}}}")) <= 0.0);
    assert!(value(&format!("countersign_repositories{{{of}}}")) >= 1.0);
    assert!(value(&format!("countersign_trust_data_age_seconds{{bound=\"max\",{of}}}")) < 600.0);
    for role in ["root", "timestamp", "snapshot", "targets", "delegation"] {
        let end =
            format!("countersign_trust_data_expiry_timestamp_seconds{{role=\"{role}\",{of}}}");
        assert!(value(&format!("{end} - time()")) > 86400.0, "{role}");
    }
    for kind in ["user", "registry_ca"] {
        let end = format!("countersign_certificate_expiry_timestamp_seconds{{kind=\"{kind}\"}}");
        assert!(value(&format!("{end} - time()")) > 0.0, "{kind}");
    }

    // Every rule was evaluated, on these metrics, without a fault.
    let rules = until("all rules evaluated", || {
        let answer = prometheus.get("/api/v1/rules").expect_ok().json_lines();
        let rules = answer[0]["data"]["groups"][0]["rules"].as_array()?.clone();
        rules.iter().all(|rule| rule["health"] == "ok").then_some(rules)
    });
    let named = fs::read_to_string(repository(RULES)).unwrap().matches("- alert:").count();
    assert_eq!(rules.len(), named);

    // And the record tells of the same decisions.
    let text = fs::read_to_string(&record).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of =
        |verb: &str| lines.iter().filter(|line| line["verb"] == verb).cloned().collect::<Vec<_>>();
    let pulls = of("pull");
    assert_eq!(
        pulls.iter().filter(|pull| pull["code"] == "signature-missing").count(),
        2,
        "{text}"
    );
    let start = &of("start")[0];
    assert_eq!(start["code"], "signed");
    assert_eq!(start["repository"], app);
    assert_eq!(start["digest"], stage.digest(&format!("{app}:1")));
    let counts = |signer: &&Value| signer["counts"] == true;
    let signers = start["signers"].as_array().unwrap();
    assert_eq!(signers.iter().find(counts).unwrap()["user"], "jenkins");
}

fn alerts_fire_when_they_should(stage: &Stage) {
    let check = |what: &str, path: &Path| {
        let mut promtool = Command::new("promtool");
        promtool.args(what.split(' ')).arg(path);
        stage.run(&format!("promtool {what}"), &mut promtool).expect_ok();
    };
    check("check rules", &repository(RULES));
    check("test rules", &repository("tests/data/prometheus/rules.test.yml"));
}
