//! What enforcement would say of everything that an engine holds already.
//!
//! Each thing is judged by the line that a call about it would take from `prove` on, so that
//! nothing is told here which would turn out otherwise; and whatever the policy's mode, so
//! that it is known before it is switched on.

use super::{Decision, Gate};
use crate::image::ImageName;
use crate::policy::{self, Reason, Refusal, Subject, Verdict};
use crate::request::{self, HostAccess};
use crate::source::{self, EngineError, ListedContainer, ListedImage, ListedService};

/// Something that an engine holds.
#[derive(Clone, Debug)]
pub enum Holding {
    /// An image, as it would be run: by this name, or this ID where it has none.
    Image(String),
    /// A container, as it would be started.
    Container(ListedContainer),
    /// A service, as it would be created anew.
    Service(ListedService),
}

impl Holding {
    /// What people call it.
    pub fn name(&self) -> &str {
        match self {
            Self::Image(name) => name,
            Self::Container(container) => &container.name,
            Self::Service(service) => &service.name,
        }
    }
}

impl Gate {
    /// All that the engine holds: images, containers, services, each in order of name.
    ///
    /// # Errors
    /// Where there is no engine, or it does not tell.
    pub async fn holdings(&self) -> Result<Vec<Holding>, EngineError> {
        let Some(engine) = &self.engine else { return Ok(Vec::new()) };
        let images = engine.images().await?;
        let containers = engine.all_containers().await?;
        let services = engine.services().await?.unwrap_or_default();
        Ok(images
            .into_iter()
            .flat_map(names)
            .map(Holding::Image)
            .chain(containers.into_iter().map(Holding::Container))
            .chain(services.into_iter().map(Holding::Service))
            .collect())
    }

    /// Judges something that the engine holds, as enforcement would.
    pub async fn rehearse(&self, held: &Holding) -> Decision {
        let now = source::now();
        let decision = match held {
            Holding::Image(name) => match name.parse() {
                Ok(image) => self.prove(created(name, image), Vec::new(), now).await,
                Err(_) => denied(Reason::Unnamed { reference: name.clone() }, name),
            },
            Holding::Container(container) => {
                self.prove(Subject::Container(container.id.to_string()), Vec::new(), now).await
            }
            Holding::Service(service) => match specified(service) {
                Ok((subject, access)) => self.prove(subject, access, now).await,
                Err(decision) => *decision,
            },
        };
        Decision { verdict: decision.verdict.enforced(), ..decision }
    }
}

/// What a service's specification would run, and what it asks of the nodes; or the decision
/// where it can be decided by itself.
pub(super) fn specified(
    service: &ListedService,
) -> Result<(Subject, Vec<HostAccess>), Box<Decision>> {
    let Some(image) = &service.image else { return Err(Box::new(Decision::not_judged())) };
    let access = request::specified_access(&service.container_spec)
        .map_err(|refusal| Box::new(denied(Reason::Request(refusal), image)))?;
    let subject = policy::previous(image)
        .map_err(|refusal| Box::new(settled(Verdict::Deny(refusal), image)))?;
    Ok((subject, access))
}

/// The names that an image can be run by.
fn names(image: ListedImage) -> Vec<String> {
    if image.names.is_empty() { vec![image.id.to_string()] } else { image.names }
}

fn created(name: &str, image: ImageName) -> Subject {
    Subject::Create { written: name.to_owned(), image }
}

fn denied(reason: Reason, subject: &str) -> Decision {
    settled(Verdict::Deny(Refusal::new(reason)), subject)
}

fn settled(verdict: Verdict, subject: &str) -> Decision {
    Decision { subject: subject.to_owned(), ..Decision::settled(verdict) }
}
