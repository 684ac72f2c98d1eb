//! Many clients for minutes, the trust server cut off halfway: is every verdict right, does
//! every call get an answer, does memory stay flat?

use std::cell::{Cell, RefCell};
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use crate::Effort;
use crate::stack::{Stack, run};
use crate::stats::{Round, median};
use crate::table::{Row, Target, Unit};
use crate::wire::{self, Message, Verdict};

/// Clients that speak to the plugin as the engine does, on connections that are kept.
const AT_THE_PLUGIN: usize = 150;
/// Clients of the guarded engine, with a connection for each call, as command lines have.
const AT_THE_ENGINE: usize = 50;
/// No call takes longer: a decision may wait ten seconds for others and five for the
/// network, and the engine is busy besides.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often memory is looked at.
const SAMPLE: Duration = Duration::from_millis(500);
/// How long it goes on where nothing else is asked for.
const MINUTES: f64 = 5.0;

/// What is there to be called.
struct Scene {
    signed: String,
    /// Of a repository that nobody signs in.
    unsigned: String,
    /// A tag that nobody signed, in the repository of the signed one.
    stray: String,
    /// A container of the signed image, running.
    good: String,
    /// One of the image that nobody signed, from before the engine was guarded.
    bad: String,
}

/// What went wrong, and what did not.
#[derive(Default)]
struct Tally {
    calls: Cell<usize>,
    wrong: RefCell<Vec<String>>,
    failed: RefCell<Vec<String>>,
    /// Of the calls at the plugin that pass, which wait for nobody.
    passing: RefCell<Vec<Duration>>,
}

impl Tally {
    fn count<T: PartialEq + std::fmt::Debug>(
        &self,
        what: &str,
        wanted: &T,
        got: Result<T, String>,
    ) {
        self.calls.set(self.calls.get() + 1);
        match got {
            Ok(got) if got == *wanted => {}
            Ok(got) => self.wrong.borrow_mut().push(format!("{what}: {got:?}, not {wanted:?}")),
            Err(error) => self.failed.borrow_mut().push(format!("{what}: {error}")),
        }
    }
}

pub fn load(effort: Effort) -> Vec<Row> {
    let minutes = std::env::var(crate::MINUTES).ok().and_then(|text| text.parse().ok());
    let whole = match effort {
        Effort::Quick => Duration::from_secs(4),
        Effort::Full => Duration::from_secs_f64(60.0 * minutes.unwrap_or(MINUTES)),
    };
    let stack = Stack::new();
    let scene = prepare(&stack);
    let (plugin, name) = stack.plugin("load");
    stack.script(&["engine", "start", "load", "--plugin", &name]);
    run(stack.docker_on("load").args(["start", &scene.good]));
    let (tally, memory) = (Rc::new(Tally::default()), RefCell::new(Vec::new()));
    let (began, socket) = (Instant::now(), stack.lab.engine_socket("load"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let end = began + whole;
        let at_the_plugin = (0..AT_THE_PLUGIN)
            .map(|number| at_the_plugin(plugin.socket(), &scene, number, end, &tally));
        let at_the_engine =
            (0..AT_THE_ENGINE).map(|number| at_the_engine(&socket, &scene, number, end, &tally));
        let watching = async {
            while Instant::now() < end {
                memory.borrow_mut().push((began.elapsed(), plugin.resident() as f64));
                tokio::time::sleep(SAMPLE).await;
            }
        };
        tokio::join!(
            futures_util::future::join_all(at_the_plugin),
            futures_util::future::join_all(at_the_engine),
            cut_off(&stack, began, whole),
            watching,
        );
    });
    let took = began.elapsed();
    stack.script(&["trust-up"]);
    stack.script(&["engine", "stop", "load", "--purge"]);
    report(&tally, took, whole, &memory.into_inner(), &plugin.log())
}

/// What is signed and what is not, and containers of both on an engine nobody guards yet.
fn prepare(stack: &Stack) -> Scene {
    stack.load_key();
    let repository = stack.repository("load");
    let unsigned = format!("{}/bench/unsigned:1", stack.lab.registry());
    let (signed, stray) = (format!("{repository}:1"), format!("{repository}:2"));
    for image in [&signed, &unsigned, &stray] {
        stack.script(&["image", image]);
    }
    stack.docker("jenkins", &format!("trust sign {signed}"));
    stack.docker("admin", &format!("push {unsigned}"));
    stack.docker("admin", &format!("push {stray}"));
    stack.script(&["engine", "start", "load"]);
    for image in [&signed, &unsigned, &stray] {
        run(stack.docker_on("load").args(["pull", "--quiet", image]));
    }
    let made = |image: &str| {
        let options = ["create", "--network", "none", image, "/bin/sleep", "100000"];
        run(stack.docker_on("load").args(options))
    };
    let (good, bad) = (made(&signed), made(&unsigned));
    stack.script(&["engine", "stop", "load"]);
    Scene { signed, unsigned, stray, good, bad }
}

/// Halfway the trust server hangs; after three quarters it refuses connections.
async fn cut_off(stack: &Stack, began: Instant, whole: Duration) {
    let script = |arguments: &[&str]| {
        let mut script = stack.lab.script(arguments);
        tokio::task::spawn_blocking(move || run(&mut script))
    };
    tokio::time::sleep_until((began + whole / 2).into()).await;
    script(&["trust-down", "--hang"]).await.unwrap();
    tokio::time::sleep_until((began + whole * 3 / 4).into()).await;
    script(&["trust-up"]).await.unwrap();
    script(&["trust-down"]).await.unwrap();
}

async fn at_the_plugin(socket: &Path, scene: &Scene, number: usize, end: Instant, tally: &Tally) {
    use Verdict::{Allowed, Denied};
    let calls = [
        ("a read", Message::get(), Allowed),
        ("a create, signed", Message::create(&scene.signed), Allowed),
        ("a read", Message::get(), Allowed),
        ("a create, unsigned", Message::create(&scene.unsigned), Denied),
        ("a read", Message::get(), Allowed),
        ("a start, signed", Message::start(&scene.good), Allowed),
        ("a read", Message::get(), Allowed),
        ("a create of a stray tag", Message::create(&scene.stray), Denied),
        ("a read", Message::get(), Allowed),
        ("a start, unsigned", Message::start(&scene.bad), Denied),
    ];
    let mut stream = UnixStream::connect(socket).await.unwrap();
    for (what, message, wanted) in calls.iter().cycle().skip(number) {
        if Instant::now() >= end {
            return;
        }
        let called = Instant::now();
        let got = tokio::time::timeout(PATIENCE, wire::call(&mut stream, message)).await;
        let got = got.unwrap_or_else(|_| Err("no answer".to_owned()));
        let lost = got.is_err();
        tally.count(&format!("{what}, at the plugin"), wanted, got);
        if *what == "a read" {
            tally.passing.borrow_mut().push(called.elapsed());
        }
        if lost {
            stream = UnixStream::connect(socket).await.unwrap();
        }
    }
}

async fn at_the_engine(socket: &Path, scene: &Scene, number: usize, end: Instant, tally: &Tally) {
    for step in (0..).skip(number) {
        if Instant::now() >= end {
            return;
        }
        let ask = |method: &'static str, path: String, body: String| async move {
            let asked = tokio::time::timeout(PATIENCE, exchange(socket, method, &path, &body));
            asked.await.unwrap_or_else(|_| Err("no answer".to_owned()))
        };
        let create = |image: &str| {
            let body = serde_json::json!({"Image": image, "Cmd": ["/bin/true"],
                "HostConfig": {"NetworkMode": "none"}});
            ask("POST", "/containers/create".to_owned(), body.to_string())
        };
        let start = |id: &str| ask("POST", format!("/containers/{id}/start"), String::new());
        let (what, wanted, got) = match step % 6 {
            0 => ("a read", 200, ask("GET", "/containers/json".to_owned(), String::new()).await),
            1 => ("a create, unsigned", 403, create(&scene.unsigned).await),
            2 => ("a start, signed", 304, start(&scene.good).await),
            3 => ("a create of a stray tag", 403, create(&scene.stray).await),
            4 => ("a start, unsigned", 403, start(&scene.bad).await),
            _ => {
                let made = create(&scene.signed).await;
                if let Ok((201, body)) = &made {
                    let made: serde_json::Value = serde_json::from_str(body).unwrap();
                    let path = format!("/containers/{}", made["Id"].as_str().unwrap());
                    let removed = ask("DELETE", path, String::new()).await;
                    let removed = removed.map(|(status, _)| status);
                    tally.count("a removal, at the engine", &204, removed);
                }
                ("a create, signed", 201, made)
            }
        };
        let got = got.map(|(status, _)| status);
        tally.count(&format!("{what}, at the engine"), &wanted, got);
    }
}

/// One exchange on a connection of its own: status and body.
async fn exchange(
    socket: &Path,
    method: &str,
    path: &str,
    body: &str,
) -> Result<(u16, String), String> {
    let failed = |error: std::io::Error| error.to_string();
    let mut stream = UnixStream::connect(socket).await.map_err(failed)?;
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.map_err(failed)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.map_err(failed)?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("half an answer")?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    Ok((status.ok_or_else(|| format!("no status: {head}"))?, body.to_owned()))
}

fn report(
    tally: &Tally,
    took: Duration,
    whole: Duration,
    memory: &[(Duration, f64)],
    log: &str,
) -> Vec<Row> {
    let calls = tally.calls.get();
    let trouble = |what: &str, list: &RefCell<Vec<String>>| {
        let list = list.borrow();
        let row = Row::alone(what, list.len() as f64, Unit::Count, Target::None);
        match list.first() {
            Some(first) => row.noting(format!("the first: {first}")),
            None => row,
        }
    };
    // What it had after a fifth of the time, and in the last fifth.
    let fifth = |number: u32| {
        let within = whole * number / 5..whole * (number + 1) / 5;
        median(memory.iter().filter(|(when, _)| within.contains(when)).map(|(_, size)| *size))
    };
    // Calls that pass wait for no one, whatever the others wait for.
    let passing = Round::new(tally.passing.take(), took);
    let panics = log.lines().filter(|line| line.contains("panicked")).count();
    let minutes = whole.as_secs_f64() / 60.0;
    vec![
        trouble(&format!("load, {minutes:.1} min, {calls} calls: wrong verdicts"), &tally.wrong),
        trouble("load: calls that failed", &tally.failed),
        Row::alone("load: panics in the log", panics as f64, Unit::Count, Target::None),
        Row::against(
            "load: resident, last fifth",
            fifth(4),
            ("second fifth", fifth(1)),
            Unit::Memory,
            Target::AtMost(1.1),
        ),
        Row::alone("load: reads at the plugin: p99", passing.p99, Unit::Time, Target::AtMost(1e6)),
    ]
}
