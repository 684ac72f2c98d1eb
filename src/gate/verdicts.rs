//! Verdicts that still hold: what was proven is not judged again while all that it rests on
//! is the same.
//!
//! A verdict rests on the policy (a gate has one for its life), on what is asked, on the trust
//! data of the repositories that were asked, on what is known of registry and host, and on the
//! time. All of these but the policy are compared, nothing is assumed; what a signed digest
//! stands for never changes and is left out. Only what is signed is kept: a refusal may end
//! with the next signature, and what is allowed for another reason costs nothing to judge.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use jiff::Timestamp;
use lru::LruCache;

use super::contents::Case;
use crate::image::Repository;
use crate::policy::{self, Gap, Grant, Held, HeldImage, Host, Policy, Served, Subject, Verdict};
use crate::trust::notary::TrustData;

/// Verdicts kept. One takes about a kilobyte.
const KEPT: NonZeroUsize = NonZeroUsize::new(1024).unwrap();
/// Most folders of the host that one may rest on.
const MAX_BOUND: usize = 64;

/// The verdicts of one gate.
pub(super) struct Verdicts {
    kept: Mutex<LruCache<u64, Kept>>,
    hasher: RandomState,
}

/// A verdict, and the warning that goes with it.
pub(super) type Judged = (Verdict, Option<String>);

struct Kept {
    question: Question,
    trust: Vec<(Repository, Result<Weak<TrustData>, Gap>)>,
    served: Served,
    host: Host,
    /// It holds from here on.
    from: Timestamp,
    /// Here something begins or ends.
    until: Option<Timestamp>,
    judged: Judged,
}

/// What a verdict is about.
enum Question {
    Image(HeldImage),
    Name(Subject),
}

/// The same, borrowed.
#[derive(PartialEq, Hash)]
enum Asked<'c> {
    /// An image that the engine holds: whatever container it is for.
    Image(&'c HeldImage),
    /// A name alone.
    Name(&'c Subject),
}

impl Default for Verdicts {
    fn default() -> Self {
        Self { kept: Mutex::new(LruCache::new(KEPT)), hasher: RandomState::new() }
    }
}

impl Verdicts {
    /// The verdict on a case as it was gathered, where judging it would come to the same.
    pub fn recall(&self, case: &Case) -> Option<Judged> {
        let asked = asked(case)?;
        let slot = self.hasher.hash_one((&asked, &case.evidence.host.asked));
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let found = kept.get(&slot)?;
        let holds = found.from <= case.now && found.until.is_none_or(|until| case.now < until);
        (holds && found.is_about(&asked, case)).then(|| found.judged.clone())
    }

    /// Keeps the verdict on a case, if it is one to keep.
    pub fn keep(&self, policy: &Policy, case: &Case, judged: &Judged) {
        let (Some(asked), (Verdict::Allow(Grant::Proven { .. }), _)) = (asked(case), judged) else {
            return;
        };
        let evidence = &case.evidence;
        if evidence.host.bound.len() > MAX_BOUND {
            return;
        }
        let slot = self.hasher.hash_one((&asked, &evidence.host.asked));
        let known = |(repository, data): &(Repository, Result<Arc<TrustData>, Gap>)| {
            (repository.clone(), data.as_ref().map(Arc::downgrade).map_err(Clone::clone))
        };
        let kept = Kept {
            question: match asked {
                Asked::Image(image) => Question::Image(image.clone()),
                Asked::Name(subject) => Question::Name(subject.clone()),
            },
            trust: evidence.trust.iter().map(known).collect(),
            served: evidence.served,
            host: evidence.host.clone(),
            from: case.now,
            until: policy::next_change(policy, evidence, case.now),
            judged: judged.clone(),
        };
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).put(slot, kept);
    }
}

impl Kept {
    fn is_about(&self, asked: &Asked<'_>, case: &Case) -> bool {
        let question = match &self.question {
            Question::Image(image) => Asked::Image(image),
            Question::Name(subject) => Asked::Name(subject),
        };
        let same = |((one, data), (other, now)): (&(_, _), &(_, _))| {
            one == other
                && match (data, now) {
                    // A place in memory is not used again as long as something points there.
                    (Ok(data), Ok(now)) => std::ptr::eq(Weak::as_ptr(data), Arc::as_ptr(now)),
                    (Err(gap), Err(now)) => gap == now,
                    _ => false,
                }
        };
        let evidence = &case.evidence;
        question == *asked
            && self.trust.len() == evidence.trust.len()
            && self.trust.iter().zip(&evidence.trust).all(same)
            && self.served == evidence.served
            && self.host == evidence.host
    }
}

/// What the verdict on a case is about, where it may be kept: not while trust data serves
/// by grace, which is told and counted each time.
fn asked(case: &Case) -> Option<Asked<'_>> {
    if !case.evidence.graces.is_empty() {
        return None;
    }
    match (&case.subject, &case.evidence.held) {
        (
            Subject::Create { .. } | Subject::Container(_) | Subject::Running(_),
            Held::Image(image),
        ) => Some(Asked::Image(image)),
        (subject @ Subject::Create { .. }, Held::Absent)
        | (subject @ (Subject::Pull(_) | Subject::Service(_) | Subject::Name(_)), Held::NotAsked) => {
            Some(Asked::Name(subject))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::testing;
    use super::*;
    use crate::image::{Digest, ImageId};
    use crate::policy::{Bound, Evidence};
    use crate::request::HostAccess;

    /// jenkins must have signed; a second user's certificate ends at another time.
    fn policy() -> Policy {
        let certificate = |name: &str| testing::text(&format!("users/{name}/cert.pem"));
        let text = format!(
            r#"
[trust_configuration]
require_content_trust = true
require_signature_from = ["CI"]
[[registries]]
host_address = "localhost:5443"
[guard]
mode = "log"
[teams]
CI = ["jenkins"]
[users.jenkins]
certificates = ["""{}"""]
[users.dave]
certificates = ["""{}"""]
"#,
            certificate("jenkins"),
            certificate("dave")
        );
        let nothing = |_: &std::path::Path| Err(std::io::ErrorKind::NotFound.into());
        Policy::from_toml(&text, &nothing).unwrap_or_else(|error| panic!("{error}"))
    }

    struct Draw(u64);

    impl Draw {
        fn below(&mut self, bound: usize) -> usize {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            usize::try_from((mixed ^ (mixed >> 27)) % bound as u64).unwrap()
        }

        fn of<T: Clone>(&mut self, all: &[T]) -> T {
            all[self.below(all.len())].clone()
        }
    }

    fn judge(policy: &Policy, case: &Case) -> Judged {
        let verdict = policy::judge(policy, &case.subject, &case.evidence, case.now);
        let warning = policy::warning(policy, &verdict, &case.evidence.host);
        (verdict, warning)
    }

    /// Whatever is asked, in whatever order and at whatever time: what is recalled is what
    /// judging says.
    #[test]
    fn what_is_recalled_is_what_judging_says() {
        let policy = policy();
        // Two copies of one repository, and one more.
        let kept = ["tags-10", "tags-10", "two-signers"].map(|name| testing::kept(name, true).data);
        let gun = kept[0].repository().clone();
        let tags = ["v0.0.0", "v0.0.1", "none"];
        let digests: Vec<_> = tags[..2]
            .iter()
            .filter_map(|tag| kept[0].released(tag, testing::recorded()))
            .chain([Digest::from_bytes([7; 32])])
            .collect();
        let mut times: Vec<Timestamp> =
            kept.iter().flat_map(|data| data.dates()).chain([testing::recorded()]).collect();
        times.extend(policy::next_change(&policy, &Evidence::default(), Timestamp::UNIX_EPOCH));
        let second = jiff::SignedDuration::from_secs(1);
        let bounds = [vec![], vec![Bound { path: "/a".to_owned(), writable: true }]];
        let (verdicts, mut draw) = (Verdicts::default(), Draw(1));
        let (mut recalled, mut warned) = (0, 0);
        for round in 0..20_000 {
            let reference = format!("{gun}:{}", draw.of(&tags));
            let named = Subject::Name(reference.parse().unwrap());
            let create =
                Subject::Create { written: reference.clone(), image: reference.parse().unwrap() };
            let subject = draw.of(&[
                named,
                create,
                Subject::Pull(reference.parse().unwrap()),
                Subject::Container(round.to_string()),
                Subject::Running(round.to_string()),
                Subject::Tag { written: reference.clone(), name: gun.clone() },
                Subject::Volume,
            ]);
            let digest = draw.of(&digests);
            let image = Held::Image(HeldImage {
                id: ImageId(digest),
                digests: vec![digest],
                names: vec![gun.clone()],
                called: draw.of(&[reference, "local".to_owned()]),
                id_is_config: false,
                architecture: String::new(),
            });
            let held = match subject {
                Subject::Name(_) | Subject::Pull(_) | Subject::Volume => Held::NotAsked,
                _ => draw.of(&[image.clone(), image, Held::Absent]),
            };
            let data = [Ok(Arc::clone(&kept[draw.below(2)])), Err(Gap::NoTrustData)];
            let other = [Ok(Arc::clone(&kept[2])), Err(Gap::Unregistered), Err(Gap::NoTrustData)];
            let first = usize::from(draw.below(8) == 0);
            let mut trust = vec![(gun.clone(), data[first].clone())];
            if draw.below(2) == 0 {
                trust.push((kept[2].repository().clone(), draw.of(&other)));
            }
            let asked = draw.of(&[vec![], vec![], vec![HostAccess::Privileged]]);
            let host = Host { asked, bound: draw.of(&bounds), ..Host::default() };
            let served = draw.of(&[Served::Unknown, Served::Digest(digest)]);
            let served = if matches!(subject, Subject::Pull(_)) { served } else { Served::Unknown };
            let evidence = Evidence { held, trust, served, host, ..Evidence::default() };
            let time = draw.of(&times);
            let now = match draw.below(8) {
                0 => draw.of(&[time, time - second, time + second]),
                _ => testing::recorded(),
            };
            let (remembered, unasked, notes) = (false, Vec::new(), BTreeMap::new());
            let case = Case { subject, evidence, now, remembered, unasked, notes };
            let judged = judge(&policy, &case);
            match verdicts.recall(&case) {
                Some(found) => {
                    recalled += 1;
                    warned += usize::from(found.1.is_some());
                    let (found, judged) = (format!("{found:?}"), format!("{judged:?}"));
                    assert_eq!(found, judged, "{:?} at {now}", case.subject);
                }
                None => verdicts.keep(&policy, &case, &judged),
            }
        }
        assert!(recalled > 300 && warned > 100, "{recalled} recalled, {warned} with a warning");
    }

    #[test]
    fn what_serves_by_grace_is_not_recalled() {
        let policy = policy();
        let data = testing::kept("tags-10", true).data;
        let gun = data.repository().clone();
        let subject = Subject::Name(format!("{gun}:v0.0.0").parse().unwrap());
        let evidence = Evidence { trust: vec![(gun.clone(), Ok(data))], ..Evidence::default() };
        let (unasked, notes) = (Vec::new(), BTreeMap::new());
        let now = testing::recorded();
        let mut case = Case { subject, evidence, now, remembered: false, unasked, notes };
        let verdicts = Verdicts::default();
        verdicts.keep(&policy, &case, &judge(&policy, &case));
        assert!(verdicts.recall(&case).is_some());
        case.evidence.graces.insert(gun, crate::trust::notary::Grace::NONE);
        assert!(verdicts.recall(&case).is_none());
    }
}
