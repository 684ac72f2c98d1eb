//! How a verdict came about: from what was asked for, by digest, role and key, to people and
//! teams. For people and programs to read; it decides nothing.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;

use super::assess::Assessment;
use super::binding::Identity;
use super::evidence::{Evidence, Gap, Held, HeldImage};
use super::message::why_not;
use super::plan::{Subject, called};
use super::rules::Policy;
use super::scope::{Demand, Mode, Rule};
use super::verdict::{Doubt, Signer};
use crate::image::{Digest, ImageName, Reference, Repository, Tag};
use crate::trust::notary::{Claim, TrustData};

/// Most tags told of a repository: the one asked for, and those that name the image.
const MAX_TAGS: usize = 8;

/// What a verdict rests on.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Explanation {
    /// The image that the engine holds, where it was asked and holds one.
    pub image: Option<HeldPart>,
    /// What each repository that may speak for it says.
    pub repositories: Vec<RepositoryPart>,
}

/// An image that the engine holds.
#[derive(Clone, Debug, Serialize)]
pub struct HeldPart {
    /// Its ID.
    pub id: String,
    /// The digests it is known by, and those of signed indexes that list it.
    pub covered_by: Vec<String>,
    /// The repositories it was pulled from or pushed to: hints where to look.
    pub known_from: Vec<String>,
}

/// What the trust data of a repository says.
#[derive(Clone, Debug, Serialize)]
pub struct RepositoryPart {
    /// Its GUN.
    pub repository: String,
    /// Why there is no trust data to go by, if so.
    pub gap: Option<String>,
    /// The canonical IDs of the keys of its root.
    pub root_keys: Vec<String>,
    /// Its files: base roles first, then delegations, each after its parent.
    pub roles: Vec<RolePart>,
    /// Delegations that could not be relied on, and why.
    pub left_out: Vec<String>,
    /// The tag that was asked for, and those that name the image.
    pub tags: Vec<TagPart>,
    /// When its trust server last confirmed what is known of it.
    pub confirmed: Option<Timestamp>,
    /// What is demanded of its images, and by which rule.
    pub demand: DemandPart,
    /// The teams a member of each of which must have signed; none where any known user will do.
    pub teams: Vec<TeamPart>,
}

/// What counts for a repository.
#[derive(Clone, Debug, Serialize)]
pub struct DemandPart {
    /// The rule that names the teams; the policy for all where there is none.
    pub rule: Option<String>,
    /// What is done about what is refused.
    pub mode: Mode,
    /// The rule that says so; the policy for all where there is none.
    pub mode_rule: Option<String>,
}

/// A verified file.
#[derive(Clone, Debug, Serialize)]
pub struct RolePart {
    /// Its role.
    pub role: String,
    /// Its version.
    pub version: u64,
    /// When it runs out.
    pub expires: Timestamp,
}

/// What is said of a tag.
#[derive(Clone, Debug, Serialize)]
pub struct TagPart {
    /// Which.
    pub tag: String,
    /// What is released under it.
    pub released: Option<String>,
    /// Whether that is the image in question. Not known where there is none yet.
    pub is_the_image: Option<bool>,
    /// Who signed something about it.
    pub signatures: Vec<SignaturePart>,
}

/// A valid signature on a tag.
#[derive(Clone, Debug, Serialize)]
pub struct SignaturePart {
    /// The role signed.
    pub role: String,
    /// What was signed as that tag.
    pub digest: String,
    /// The canonical ID of the key that really signed.
    pub key_id: String,
    /// Whose key that is, where the policy knows.
    pub user: Option<String>,
    /// The user's teams.
    pub teams: Vec<String>,
    /// When the first of the files behind it runs out.
    pub good_until: Timestamp,
    /// Why it does not count, if so.
    pub objection: Option<String>,
}

/// A team a member of which must have signed.
#[derive(Clone, Debug, Serialize)]
pub struct TeamPart {
    /// Its name.
    pub team: String,
    /// The name asked for, where the rule for that demands it and the one for what vouches does
    /// not.
    pub asked: Option<String>,
    /// Its members.
    pub members: Vec<String>,
    /// Those of them whose signature on one of the tags told of counts.
    pub signed: Vec<String>,
}

/// Explains what [`judge`](super::judge) has to go by.
pub fn explain(
    policy: &Policy,
    subject: &Subject,
    evidence: &Evidence,
    now: Timestamp,
) -> Explanation {
    let held = match &evidence.held {
        Held::Image(image) => Some(image),
        _ => None,
    };
    let asked = asked(subject, held);
    let covering = match (held, asked.as_ref().and_then(|one| one.digest)) {
        (Some(image), _) => evidence.covering(&Identity::held(image)),
        (None, Some(digest)) => evidence.covering(&Identity::named(digest)),
        (None, None) => Vec::new(),
    };
    let inquiry = Inquiry { policy, evidence, asked: asked.as_ref(), covering: &covering, now };
    Explanation {
        image: held.map(|image| HeldPart {
            id: image.id.to_string(),
            covered_by: covering.iter().map(ToString::to_string).collect(),
            known_from: image.names.iter().map(ToString::to_string).collect(),
        }),
        repositories: evidence
            .trust
            .iter()
            .map(|(repository, data)| inquiry.repository(repository, data))
            .collect(),
    }
}

/// The name that was asked for, where it is one.
fn asked(subject: &Subject, held: Option<&HeldImage>) -> Option<Reference> {
    match (subject, held) {
        (Subject::Pull(one) | Subject::Service(one) | Subject::Name(one), _)
        | (Subject::Create { image: ImageName::Named(one), .. }, None) => {
            Some(one.clone().or_latest())
        }
        (_, Some(image)) => called(image),
        _ => None,
    }
}

/// What is explained.
struct Inquiry<'a> {
    policy: &'a Policy,
    evidence: &'a Evidence,
    asked: Option<&'a Reference>,
    /// The digests whose signature covers the image; none where there is no image yet.
    covering: &'a [Digest],
    now: Timestamp,
}

impl Inquiry<'_> {
    fn repository(
        &self,
        repository: &Repository,
        data: &Result<Arc<TrustData>, Gap>,
    ) -> RepositoryPart {
        let asked: Vec<&Reference> = self.asked.into_iter().collect();
        let demand = self.policy.demand(repository, &asked);
        let mut part = RepositoryPart {
            repository: repository.to_string(),
            gap: None,
            root_keys: Vec::new(),
            roles: Vec::new(),
            left_out: Vec::new(),
            tags: Vec::new(),
            confirmed: None,
            demand: self.demanded(repository),
            teams: Vec::new(),
        };
        match data {
            Err(gap) => part.gap = Some(gap.to_string()),
            Ok(data) => self.tell(data, demand.clone(), &mut part),
        }
        part.teams = self.teams(&demand, &part.tags);
        part
    }

    /// Which rules say what is demanded, and what is done where it is not met.
    fn demanded(&self, repository: &Repository) -> DemandPart {
        let by = |says: fn(&Rule) -> bool| {
            let rule = |rule| says(rule).then_some(&rule.repository);
            self.policy.rule(repository, rule).map(ToString::to_string)
        };
        DemandPart {
            rule: by(|rule| rule.required_teams.is_some()),
            mode: self.policy.mode_of(repository),
            mode_rule: by(|rule| rule.mode.is_some()),
        }
    }

    fn tell(&self, data: &TrustData, demand: Demand<'_>, part: &mut RepositoryPart) {
        part.gap = data
            .check_within(self.now, self.evidence.grace(data.repository()))
            .err()
            .map(|fault| fault.to_string());
        part.root_keys = data.root_keys().iter().map(|key| key.id.to_string()).collect();
        part.roles = data
            .files()
            .map(|(role, version, expires)| RolePart { role: role.to_string(), version, expires })
            .collect();
        part.left_out = data.left_out().map(|(_, fault)| fault.to_string()).collect();
        let assessment = Assessment::new(self.policy, demand, data, self.now);
        part.tags = self.tags(data).into_iter().map(|tag| self.tag(&assessment, tag)).collect();
    }

    fn teams(&self, demand: &Demand<'_>, tags: &[TagPart]) -> Vec<TeamPart> {
        let counted: BTreeSet<&str> = tags
            .iter()
            .flat_map(|tag| &tag.signatures)
            .filter(|signature| signature.objection.is_none())
            .filter_map(|signature| signature.user.as_deref())
            .collect();
        let members = |team: &str| -> Vec<String> {
            self.policy.members(team).map(ToOwned::to_owned).collect()
        };
        let signed = |member: &String| counted.contains(member.as_str());
        let of_team = |team: &&str| TeamPart {
            team: (*team).to_owned(),
            asked: demand.asked_with(&[*team]),
            members: members(team),
            signed: members(team).into_iter().filter(signed).collect(),
        };
        demand.teams.iter().map(of_team).collect()
    }

    /// The tags to tell of: the one asked for, then those released as the image, then those
    /// that any role names with it.
    fn tags(&self, data: &TrustData) -> Vec<String> {
        let own = self.asked.filter(|one| one.repository == *data.repository());
        let mut tags: Vec<String> =
            own.and_then(|one| one.tag.as_ref()).map(Tag::to_string).into_iter().collect();
        let released = self.covering.iter().flat_map(|digest| data.tags_of(*digest, self.now));
        let mentioned = self.covering.iter().flat_map(|digest| data.mentions(*digest));
        for tag in released.chain(mentioned) {
            if tags.len() == MAX_TAGS {
                break;
            }
            if tags.iter().all(|known| known != tag) {
                tags.push(tag.to_owned());
            }
        }
        tags
    }

    fn tag(&self, assessment: &Assessment<'_>, tag: String) -> TagPart {
        let released = assessment.data.released(&tag, self.now);
        let is_the_image = released.filter(|_| !self.covering.is_empty());
        TagPart {
            released: released.map(|digest| digest.to_string()),
            is_the_image: is_the_image.map(|digest| self.covering.contains(&digest)),
            signatures: assessment
                .account(&tag, released)
                .into_iter()
                .map(|(claim, signer)| signature(&claim, signer))
                .collect(),
            tag,
        }
    }
}

fn signature(claim: &Claim, signer: Signer) -> SignaturePart {
    SignaturePart {
        role: signer.role,
        digest: claim.proof.digest().to_string(),
        key_id: signer.key_id.to_string(),
        user: signer.user,
        teams: signer.teams,
        good_until: claim.proof.good_until(),
        objection: signer.doubt.map(objection),
    }
}

/// Why a signature does not count, as people say it.
fn objection(doubt: Doubt) -> String {
    let why = why_not(doubt);
    match why.strip_prefix("which does not count: ") {
        Some(plain) => plain.to_owned(),
        None => why,
    }
}
