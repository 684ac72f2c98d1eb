//! Gathering: what does the engine hold, what does the trust data say, what would the
//! registry serve, what does a container reach?

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use jiff::Timestamp;
use tracing::debug;

use super::asked_ahead::AskedAhead;
use super::asking::{Question, Told};
use super::contents::Case;
use super::{Decision, Gate, NETWORK, Phases, reach};
use crate::image::{ContainerId, Digest, ImageId, ImageName, Reference, Repository};
use crate::policy::{
    self, Evidence, Grant, Held, HeldImage, Host, Reason, Refusal, Served, Subject, Verdict,
};
use crate::request::{self, HostAccess};
use crate::source::{Deadline, Engine, LocalImage};

/// What was gathered for a subject.
pub(super) struct Gathered {
    pub case: Case,
    /// The subject as people call it.
    pub told: String,
    pub question: Question,
    /// Where the time went so far.
    pub phases: Phases,
}

/// What the engine holds for a subject, and what is found by that.
struct Found {
    held: Held,
    /// Whether the image is remembered.
    remembered: bool,
    /// What was asked with.
    question: Question,
    /// The trust data of repositories that it was pulled from or pushed to.
    more: Vec<(Repository, Told)>,
    served: Served,
    host: Host,
    /// How long the engine was waited for.
    engine: Duration,
}

impl Gate {
    /// Gathers the evidence for a subject, or decides where nothing can be gathered.
    pub(super) async fn gather(
        &self,
        subject: Subject,
        mut access: Vec<HostAccess>,
        now: Timestamp,
        ahead: Option<AskedAhead<'_>>,
    ) -> Result<Gathered, Box<Decision>> {
        let subject = match subject {
            Subject::Rollback(service) => {
                let (subject, asked) = self.previous(&service).await.map_err(Box::new)?;
                access.extend(asked);
                subject
            }
            Subject::Exec(exec) => {
                access.push(HostAccess::Privileged);
                Subject::Running(self.privileged_in(&exec).await.map_err(Box::new)?)
            }
            other => other,
        };
        let named = self.named_in(&subject);
        let began = Instant::now();
        let question = Question { began, now, deadline: Deadline::after(NETWORK), anew: false };
        // What the subject's own name leads to is looked up while the engine is asked.
        let (found, answers) = tokio::join!(
            self.found(&subject, access, &named, now, ahead),
            self.trust(named.clone(), question),
        );
        let Found { held, remembered, question, more, served, host, engine } = match found {
            Ok(found) => found,
            Err(refusal) => {
                return Err(Box::new(denied(Reason::Request(refusal), called(&subject))));
            }
        };
        let trust = began.elapsed().saturating_sub(engine);
        let told = match &held {
            Held::Image(image) => format!("{} ({})", image.called, image.id),
            _ => called(&subject),
        };
        let evidence = Evidence { held, served, host, ..Evidence::default() };
        let (unasked, notes) = (Vec::new(), BTreeMap::new());
        let mut case = Case { subject, evidence, now, remembered, unasked, notes };
        case.take(answers);
        case.take(more);
        let phases = Phases { engine, trust, ..Phases::default() };
        Ok(Gathered { case, told, question, phases })
    }

    /// The repository that a subject names, where the engine is asked what it holds besides.
    fn named_in(&self, subject: &Subject) -> Vec<Repository> {
        match subject {
            Subject::Create { .. } if self.engine.is_some() => {
                policy::repositories(&self.policy, subject, &Held::NotAsked)
            }
            _ => Vec::new(),
        }
    }

    /// What the engine holds for a subject, and what is found by that, but for the trust data
    /// of the repository it names.
    async fn found(
        &self,
        subject: &Subject,
        mut access: Vec<HostAccess>,
        named: &[Repository],
        now: Timestamp,
        ahead: Option<AskedAhead<'_>>,
    ) -> Result<Found, request::Refusal> {
        let began = Instant::now();
        let (held, remembered) = self.held(subject, &mut access, ahead).await?;
        let engine = began.elapsed();
        let deadline = Deadline::after(NETWORK);
        let question = Question { began: Instant::now(), now, deadline, anew: false };
        let mut asked = policy::repositories(&self.policy, subject, &held);
        asked.retain(|repository| !named.contains(repository));
        let (more, served, host) = tokio::join!(
            self.trust(asked, question),
            self.served(subject, &held, deadline),
            self.host(access, deadline),
        );
        Ok(Found { held, remembered, question, more, served, host, engine })
    }

    /// The trust data of repositories. All at once: one slow server must not use up the time
    /// of another.
    async fn trust(&self, asked: Vec<Repository>, question: Question) -> Vec<(Repository, Told)> {
        join_all(asked.into_iter().map(|repository| async {
            let told = self.repositories().trust_data(&repository, question).await;
            (repository, told)
        }))
        .await
    }

    /// Asks the trust servers after all that were not asked for this decision. Whether
    /// anything is another than it was.
    pub(super) async fn ask_after_all(&self, case: &mut Case, question: Question) -> bool {
        let unasked = std::mem::take(&mut case.unasked);
        let question = Question { anew: true, ..question };
        case.take(self.trust(unasked, question).await)
    }

    /// Asks the engine after all for an image that was remembered, and for the trust data that
    /// goes with what it says. Whether it says anything else than it did.
    pub(super) async fn ask_engine_after_all(&self, case: &mut Case, question: Question) -> bool {
        let (Some(engine), Held::Image(image)) = (&self.engine, &case.evidence.held) else {
            return false;
        };
        if !std::mem::take(&mut case.remembered) {
            return false;
        }
        let held = image_by_id(engine, image.id, image.called.clone()).await;
        if held == case.evidence.held {
            return false;
        }
        let asked = policy::repositories(&self.policy, &case.subject, &held);
        case.evidence.held = held;
        case.evidence.trust.clear();
        case.evidence.graces.clear();
        case.unasked.clear();
        case.notes.clear();
        case.take(self.trust(asked, question).await);
        true
    }

    /// What the engine holds for a subject, where that is what decides, and whether that is
    /// remembered. Adds to `access` what a container that exists may reach.
    async fn held(
        &self,
        subject: &Subject,
        access: &mut Vec<HostAccess>,
        ahead: Option<AskedAhead<'_>>,
    ) -> Result<(Held, bool), request::Refusal> {
        let asked = |held| Ok((held, false));
        let Some(engine) = &self.engine else { return asked(Held::NotAsked) };
        let name = match subject {
            Subject::Pull(_)
            | Subject::Service(_)
            | Subject::Rollback(_)
            | Subject::Exec(_)
            | Subject::Name(_)
            | Subject::Volume => return asked(Held::NotAsked),
            Subject::Create { written, .. } | Subject::Tag { written, .. } => {
                let answer = match ahead {
                    Some(ahead) => ahead.answer(written).await,
                    None => engine.image(written).await,
                };
                return asked(match answer {
                    Ok(Some(image)) => Held::Image(describe(&image, written)),
                    Ok(None) => Held::Absent,
                    Err(error) => Held::Unknown(error.to_string()),
                });
            }
            Subject::Container(name) | Subject::Running(name) => name,
        };
        let container = match engine.container(name).await {
            Ok(Some(container)) => container,
            Ok(None) => return asked(Held::Absent),
            Err(error) => return asked(Held::Unknown(error.to_string())),
        };
        // Where a whole ID's container is gone, one of that name is another.
        if ContainerId::from_hex(name).is_some() && container.id != *name {
            return asked(Held::Absent);
        }
        if matches!(subject, Subject::Container(_)) {
            access.extend(reach::of_container(&container)?);
        }
        if container.image.is_empty() {
            return asked(Held::NoImage);
        }
        let Ok(ImageName::Id(id)) = container.image.parse() else {
            let cause = "it gives a container's image no ID that is one".to_owned();
            return asked(Held::Unknown(cause));
        };
        match self.remembered.images.get(&id, &container.config_image) {
            Some(image) => Ok((Held::Image(image), true)),
            None => asked(image_by_id(engine, id, container.config_image).await),
        }
    }

    /// What the registry would serve for a tag that is to be pulled. No answer is no
    /// reason to refuse: what is pulled is judged again before it runs.
    async fn served(&self, subject: &Subject, held: &Held, deadline: Deadline) -> Served {
        let reference = match (subject, held) {
            (Subject::Pull(reference), _) => reference,
            // The call that makes people's clients pull: an exception may be for what comes.
            (Subject::Create { image: ImageName::Named(reference), .. }, Held::Absent)
                if self.policy.excepts_digests() =>
            {
                reference
            }
            _ => return Served::Unknown,
        };
        let Reference { repository, tag: Some(tag), digest: None } = reference else {
            return Served::Unknown;
        };
        match self.repositories().served(repository, tag, deadline).await {
            Some(Ok(Some(digest))) => Served::Digest(digest),
            Some(Ok(None)) | None => Served::Unknown,
            Some(Err(error)) => {
                debug!(%repository, %tag, %error, "what the registry serves is not known");
                Served::Unknown
            }
        }
    }

    /// The container in which a prepared command would run privileged. One that would not is
    /// allowed, and one that is not there does nothing.
    async fn privileged_in(&self, exec: &str) -> Result<String, Decision> {
        let deny = |reason| denied(reason, format!("command {exec}"));
        let Some(engine) = &self.engine else { return Err(deny(Reason::Internal)) };
        match engine.exec(exec).await {
            Ok(Some(found)) if found.privileged => Ok(found.container),
            Ok(Some(_)) => Err(Decision::not_judged()),
            Ok(None) => Err(Decision::settled(Verdict::Allow(Grant::NothingThere))),
            Err(error) => Err(deny(Reason::Engine { cause: error.to_string() })),
        }
    }

    /// The subject of a rollback: the previous specification, which only the engine knows,
    /// and what that asks of the nodes.
    async fn previous(&self, service: &str) -> Result<(Subject, Vec<HostAccess>), Decision> {
        let deny = |reason| denied(reason, format!("service {service}"));
        let Some(engine) = &self.engine else { return Err(deny(Reason::Internal)) };
        let found = engine
            .service(service)
            .await
            .map_err(|error| deny(Reason::Engine { cause: error.to_string() }))?;
        let previous = found.and_then(|service| service.previous).ok_or_else(|| {
            let what = format!("previous specification of service {service}");
            deny(Reason::NothingThere { what })
        })?;
        let access = request::specified_access(&previous.container_spec)
            .map_err(|refusal| deny(Reason::Request(refusal)))?;
        let subject = policy::previous(&previous.image)
            .map_err(|refusal| Decision::on(previous.image, Verdict::Deny(refusal)))?;
        Ok((subject, access))
    }
}

/// The image of a container, which the engine may hold no more.
async fn image_by_id(engine: &Engine, id: ImageId, called: String) -> Held {
    match engine.image(&id.to_string()).await {
        Ok(Some(image)) => Held::Image(describe(&image, &called)),
        // Removed by force since: its ID is all there is to go by.
        Ok(None) => Held::Image(HeldImage {
            id,
            digests: vec![id.0],
            names: Vec::new(),
            called,
            id_is_config: true,
            architecture: String::new(),
        }),
        Err(error) => Held::Unknown(error.to_string()),
    }
}

/// A subject as people call it.
fn called(subject: &Subject) -> String {
    match subject {
        Subject::Pull(one) | Subject::Service(one) | Subject::Name(one) => one.to_string(),
        Subject::Create { written, .. } | Subject::Tag { written, .. } => written.clone(),
        Subject::Container(name)
        | Subject::Running(name)
        | Subject::Exec(name)
        | Subject::Rollback(name) => name.clone(),
        Subject::Volume => "a volume".to_owned(),
    }
}

fn denied(reason: Reason, subject: String) -> Decision {
    Decision::on(subject, Verdict::Deny(Refusal::new(reason)))
}

/// What of an engine's image the policy may go by.
fn describe(image: &LocalImage, called: &str) -> HeldImage {
    let mut digests: Vec<Digest> = vec![image.id.0];
    let known = image.repo_digests.iter().map(|(_, digest)| *digest);
    let known = known.filter(|_| image.has_graph_driver);
    for digest in image.descriptor.into_iter().chain(known) {
        if !digests.contains(&digest) {
            digests.push(digest);
        }
    }
    let names = image.repo_digests.iter().filter_map(|(name, _)| name.parse().ok()).collect();
    HeldImage {
        id: image.id,
        digests,
        names,
        called: called.to_owned(),
        id_is_config: image.has_graph_driver,
        architecture: image.architecture.clone(),
    }
}
