//! A hostile trust server, or a man in the middle who has its certificate. Whatever it
//! serves: a node that met the honest one before goes on by what it verified then, keeps
//! nothing of it, says what is wrong and whether it looks like an attack; and so it is
//! after a restart. A node that meets it first refuses, and keeps nothing either.

mod answers;
mod contents;
mod freeze;
mod roles;

use crate::builder::{GUN, Server};
use crate::site::{ROLES, Site, Told, all_well, decide, successor};
use crate::static_server::{Asked, Step};

/// An attack, and what has to come of it.
struct Attack {
    name: String,
    mount: Box<dyn Fn(&Site) + Send>,
    /// What is told of it beside a decision by older data; `None`: it does nothing to a
    /// node that met the honest server before.
    told: Option<String>,
    like: Like,
    /// The code and text of the refusal at first contact; `None`: it cannot be told from
    /// an honest server then.
    first: Option<(&'static str, String)>,
}

/// What the log says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Like {
    Attack,
    Ordinary,
}

impl Attack {
    /// One that serves other files.
    fn of_files(name: impl Into<String>, fault: &str, code: &'static str, files: Server) -> Self {
        Self {
            name: name.into(),
            mount: Box::new(move |site| site.server.replace_built(GUN, &files)),
            told: Some(format!("what the trust server has now was refused: {fault}")),
            like: Like::Attack,
            first: Some((code, fault.to_owned())),
        }
    }

    /// One that answers these steps, whatever is asked for.
    fn of_answers(
        name: impl Into<String>,
        like: Like,
        what: &str,
        answer: impl Fn(&Asked) -> Vec<Step> + Clone + Send + Sync + 'static,
    ) -> Self {
        let mount = move |site: &Site| {
            let answer = answer.clone();
            site.server.twist(move |asked| Some(answer(asked)));
        };
        Self {
            name: name.into(),
            mount: Box::new(mount),
            told: Some(what.to_owned()),
            like,
            first: Some(("trust-data-unavailable", what.to_owned())),
        }
    }

    /// The log calls it ordinary: it may be neglect or an accident.
    fn ordinary(mut self) -> Self {
        self.like = Like::Ordinary;
        self
    }

    /// It takes what a node has seen to know that this is one.
    fn known_by_history_alone(mut self) -> Self {
        self.first = None;
        self
    }

    /// At first contact something else is told.
    fn at_first(mut self, code: &'static str, what: &str) -> Self {
        self.first = Some((code, what.to_owned()));
        self
    }

    /// What is wrong with what comes of it.
    async fn run(&self) -> Result<(), String> {
        let site = Site::new();
        let node = site.node();
        let gate = node.gate();
        decide(&gate).await.is_plain().map_err(|wrong| format!("before: {wrong}"))?;
        let kept = node.kept();
        assert!(kept.len() > ROLES.len(), "{kept:?}");

        (self.mount)(&site);
        for (when, gate) in [("later", gate), ("after a restart", node.gate())] {
            let told = decide(&gate).await;
            let outcome = match &self.told {
                Some(what) => told.stood(what).and_then(|()| self.is_logged(&told)),
                None => told.is_plain(),
            };
            outcome.map_err(|wrong| format!("{when}: {wrong}"))?;
            if node.kept() != kept {
                return Err(format!("{when}: something else is on disk"));
            }
        }
        let offline = decide(&node.offline()).await;
        offline.is_plain().map_err(|wrong| format!("without the server: {wrong}"))?;

        let other = site.node();
        let told = decide(&other.gate()).await;
        match &self.first {
            Some((code, what)) => {
                let outcome = told.refused(code, what).and_then(|()| self.is_logged(&told));
                outcome.map_err(|wrong| format!("at first contact: {wrong}"))?;
                if !other.kept().is_empty() {
                    return Err(format!("at first contact: {:?} is kept", other.kept().keys()));
                }
            }
            None => told.is_plain().map_err(|wrong| format!("at first contact: {wrong}"))?,
        }

        site.server.untwist();
        site.server.replace_built(GUN, &successor(2).publish());
        let told = decide(&node.gate()).await;
        told.is_plain().map_err(|wrong| format!("when it is honest again: {wrong}"))
    }

    fn is_logged(&self, told: &Told) -> Result<(), String> {
        if told.is_attack_like() == (self.like == Like::Attack) {
            Ok(())
        } else {
            Err(format!("the log does not say {:?}: {}", self.like, told.log))
        }
    }
}

/// Runs attacks, one after another, and tells of all that are not met as they have to be.
async fn run(attacks: impl IntoIterator<Item = Attack>) {
    let mut faults = Vec::new();
    for attack in attacks {
        if let Err(wrong) = attack.run().await {
            faults.push(format!("{}: {wrong}", attack.name));
        }
    }
    all_well(&faults);
}

/// The same with all at once, each in a thread of its own: they take their time.
fn run_together(attacks: impl IntoIterator<Item = Attack>) {
    let one = |attack: Attack| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let outcome = runtime.block_on(attack.run());
        outcome.err().map(|wrong| format!("{}: {wrong}", attack.name))
    };
    let threads: Vec<_> =
        attacks.into_iter().map(|attack| std::thread::spawn(move || one(attack))).collect();
    let faults = threads.into_iter().filter_map(|thread| thread.join().unwrap());
    all_well(&faults.collect::<Vec<_>>());
}
