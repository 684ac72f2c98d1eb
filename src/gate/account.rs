//! Explanations: a decision, and all that it rests on.

use jiff::Timestamp;

use super::contents::Case;
use super::refresh::TIMESTAMP_FILE;
use super::rehearsal::specified;
use super::{Decision, Gate};
use crate::image::ImageName;
use crate::policy::{self, Explanation, Reason, Refusal, Subject, Verdict};
use crate::source;

/// What is to be explained.
#[derive(Clone, Debug)]
pub enum Asked {
    /// An image: may it run?
    Image {
        /// As it is written, which is what the engine resolves.
        written: String,
        /// The same, read.
        image: ImageName,
    },
    /// A container, by name or ID: may it start?
    Container(String),
    /// A service, by name or ID: could it be created anew?
    Service(String),
}

/// A decision, and what it rests on.
#[derive(Clone, Debug)]
pub struct Account {
    /// What was decided.
    pub decision: Decision,
    /// How that came about.
    pub explanation: Explanation,
    /// When.
    pub now: Timestamp,
}

impl Gate {
    /// Decides, and tells how that comes about. Without an engine, an image is judged by its
    /// name alone.
    pub async fn account(&self, asked: Asked) -> Account {
        let now = source::now();
        let (decision, case) = match asked {
            Asked::Image { image: ImageName::Named(reference), .. } if self.engine.is_none() => {
                self.weigh(Subject::Name(reference.or_latest()), Vec::new(), now).await
            }
            Asked::Image { written, image } => {
                self.weigh(Subject::Create { written, image }, Vec::new(), now).await
            }
            Asked::Container(name) => self.weigh(Subject::Container(name), Vec::new(), now).await,
            Asked::Service(name) => self.weigh_service(&name, now).await,
        };
        let explain =
            |case: &Case| policy::explain(&self.policy, &case.subject, &case.evidence, now);
        let mut explanation = case.as_ref().map(explain).unwrap_or_default();
        // What was asked just now was dated, too.
        for part in &mut explanation.repositories {
            let repository = part.repository.parse().ok();
            let date = |one| self.repositories().store.date(&one, TIMESTAMP_FILE);
            part.confirmed = repository.and_then(date);
        }
        Account { decision, explanation, now }
    }

    async fn weigh_service(&self, name: &str, now: Timestamp) -> (Decision, Option<Case>) {
        let deny = |reason| {
            let verdict = Verdict::Deny(Refusal::new(reason));
            let subject = format!("service {name}");
            (Decision { subject, ..Decision::settled(verdict) }, None)
        };
        let Some(engine) = &self.engine else { return deny(Reason::Internal) };
        let found = match engine.services().await {
            Ok(found) => found.unwrap_or_default(),
            Err(error) => return deny(Reason::Engine { cause: error.to_string() }),
        };
        let Some(service) = found.into_iter().find(|one| one.name == name || one.id == name) else {
            return deny(Reason::NothingThere { what: format!("service {name}") });
        };
        match specified(&service) {
            Ok((subject, access)) => self.weigh(subject, access, now).await,
            Err(decision) => (*decision, None),
        }
    }
}
