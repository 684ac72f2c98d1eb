//! Advisories about engines that withhold bodies from authorization plugins.
//!
//! countersign refuses every call that needs a body and comes without, so none of them lets
//! an unsigned image in; what is lost are honest calls of the same form.

use super::debian;
use super::finding::Finding;

/// A version of Docker Engine: the three numbers, and what a builder appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Version<'v> {
    pub numbers: (u32, u32, u32),
    pub suffix: &'v str,
}

impl<'v> Version<'v> {
    /// Reads `20.10.24+dfsg1`, `28.5.1`, `29.0.0-rc.1`.
    pub fn read(text: &'v str) -> Option<Self> {
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (numbers, suffix) = text.split_at(end);
        let mut numbers = numbers.split('.').map(|number| number.parse().ok());
        let (major, minor, patch) = (numbers.next()??, numbers.next()??, numbers.next()??);
        numbers.next().is_none().then_some(Self { numbers: (major, minor, patch), suffix })
    }
}

/// An advisory.
#[derive(Debug)]
struct Advisory {
    id: &'static str,
    name: &'static str,
    /// Whether the release of these numbers is open to it.
    affects: fn((u32, u32, u32)) -> bool,
    /// Debian packages that mend a version that is open by its numbers.
    mended: &'static [&'static str],
    /// Debian packages that are known not to.
    open: &'static [&'static str],
    /// Which calls arrive without their body.
    withheld: &'static str,
    upgrade: &'static str,
}

/// Sources: the advisories, the tags of moby, and the changelogs of Debian's docker.io.
const ADVISORIES: [Advisory; 2] = [
    Advisory {
        id: "engine.CVE-2024-41110",
        name: "CVE-2024-41110",
        affects: |version| match version.0 {
            0..=17 | 19..=22 | 24 => true,
            18 => version < (18, 9, 1),
            23 => version < (23, 0, 15),
            25 => version < (25, 0, 6),
            26 => version < (26, 1, 5),
            27 => version < (27, 1, 1),
            _ => false,
        },
        mended: &["20.10.24+dfsg1-1+deb12u1"],
        open: &["20.10.24+dfsg1-1"],
        withheld: "sent in chunks or to a path that ends in /auth",
        upgrade: "upgrade the engine to 23.0.15, 25.0.6, 26.1.5 or 27.1.1, or to a later one \
                  below 29.2; on Debian 12, to docker.io 20.10.24+dfsg1-1+deb12u1 or later",
    },
    Advisory {
        id: "engine.CVE-2026-34040",
        name: "CVE-2026-34040",
        affects: |version| match version.0 {
            0..=24 | 26..=28 => true,
            25 => version < (25, 0, 16),
            29 => version < (29, 3, 1),
            _ => false,
        },
        mended: &["26.1.5+dfsg1-9+deb13u1", "28.5.2+dfsg4-2"],
        open: &["20.10.24+dfsg1-1+deb12u1", "26.1.5+dfsg1-9", "28.5.2+dfsg4-1"],
        withheld: "of 1 MiB and more",
        upgrade: "upgrade the engine to 25.0.16, or on Debian to docker.io \
                  26.1.5+dfsg1-9+deb13u1 or 28.5.2+dfsg4-2; 29.3.1 mends it too, but engines \
                  from 29.2 on speak gRPC past every plugin",
    },
];

/// Whether an engine is open to an advisory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exposure {
    Mended,
    Open,
    /// A distribution built it, and may have mended it under the same numbers.
    Unsure,
}

/// Compares an engine with every advisory.
pub(super) fn examine(version: Version<'_>, package: Option<&str>, findings: &mut Vec<Finding>) {
    for advisory in &ADVISORIES {
        let Advisory { id, name, withheld, upgrade, .. } = *advisory;
        let why = format!(
            "the engine withholds bodies {withheld} from plugins. countersign refuses such \
             calls, so nothing unsigned runs by it; honest calls of that form fail too"
        );
        findings.push(match exposure(advisory, version, package) {
            Exposure::Mended => Finding::ok(id, format!("{name} is mended in this engine")),
            Exposure::Open => {
                Finding::warning(id, format!("{name} is not mended in this engine"), why, upgrade)
            }
            Exposure::Unsure => {
                let remedy = format!("look {name} up in your distribution's security tracker");
                Finding::note(id, format!("{name} may not be mended in this engine"), why, remedy)
            }
        });
    }
}

fn exposure(advisory: &Advisory, version: Version<'_>, package: Option<&str>) -> Exposure {
    if !(advisory.affects)(version.numbers) {
        return Exposure::Mended;
    }
    let Some(package) = package else {
        // Docker's own builds append nothing, but for "-ce" long ago.
        let own = matches!(version.suffix, "" | "-ce");
        return if own { Exposure::Open } else { Exposure::Unsure };
    };
    // Rebuilds ("+b2") change nothing but their number.
    let package = match package.rsplit_once("+b") {
        Some((source, number)) if number.bytes().all(|b| b.is_ascii_digit()) => source,
        _ => package,
    };
    // Ubuntu mends the same versions under other revisions.
    let comparable = |known: &&&str| {
        let same = Version::read(known).is_some_and(|known| known.numbers == version.numbers);
        same && package.contains("+dfsg") && !package.contains("ubuntu")
    };
    let at_least = |known: &str| debian::compare(package, known).is_ge();
    let at_most = |known: &str| debian::compare(package, known).is_le();
    if advisory.mended.iter().filter(comparable).any(|known| at_least(known)) {
        Exposure::Mended
    } else if advisory.open.iter().filter(comparable).any(|known| at_most(known)) {
        Exposure::Open
    } else {
        Exposure::Unsure
    }
}

#[cfg(test)]
mod tests {
    use super::Exposure::{Mended, Open, Unsure};
    use super::*;

    #[test]
    fn reads_versions() {
        for (text, read) in [
            ("20.10.24+dfsg1", Some(((20, 10, 24), "+dfsg1"))),
            ("29.7.2", Some(((29, 7, 2), ""))),
            ("29.0.0-rc.1", Some(((29, 0, 0), "-rc.1"))),
            ("28.5", None),
            ("1.2.3.4", None),
            ("dev", None),
            ("", None),
            ("1..2", None),
            ("99999999999.1.1", None),
        ] {
            let found = Version::read(text).map(|found| (found.numbers, found.suffix));
            assert_eq!(found, read, "{text}");
        }
    }

    #[test]
    fn which_engines_are_open() {
        for (version, package, expected) in [
            ("18.09.0", None, [Open, Open]),
            ("18.09.1-ce", None, [Mended, Open]),
            ("19.03.15", None, [Open, Open]),
            ("20.10.24", None, [Open, Open]),
            ("20.10.24+dfsg1", None, [Unsure, Unsure]),
            ("20.10.24+dfsg1", Some("20.10.24+dfsg1-1+deb12u1"), [Mended, Open]),
            ("20.10.24+dfsg1", Some("20.10.24+dfsg1-1+deb12u1+b2"), [Mended, Open]),
            ("20.10.24+dfsg1", Some("20.10.24+dfsg1-1+b3"), [Open, Open]),
            ("20.10.24+dfsg1", Some("20.10.24+dfsg1-1+deb12u3"), [Mended, Unsure]),
            ("25.0.6", None, [Mended, Open]),
            ("25.0.15", None, [Mended, Open]),
            ("28.5.2+dfsg4", Some("28.5.2+dfsg4-1"), [Mended, Open]),
            ("28.5.2+dfsg4", Some("28.5.2+dfsg4-2"), [Mended, Mended]),
            ("29.2.0", None, [Mended, Open]),
            ("20.10.5+dfsg1", Some("20.10.5+dfsg1-1+deb11u2"), [Unsure, Unsure]),
            ("23.0.14", None, [Open, Open]),
            ("23.0.15", None, [Mended, Open]),
            ("24.0.9", None, [Open, Open]),
            ("24.0.7", Some("24.0.7-0ubuntu4.1"), [Unsure, Unsure]),
            ("25.0.5", None, [Open, Open]),
            ("25.0.16", None, [Mended, Mended]),
            ("26.1.4", None, [Open, Open]),
            ("26.1.5", None, [Mended, Open]),
            ("26.1.5+dfsg1", Some("26.1.5+dfsg1-9+b9"), [Mended, Open]),
            ("26.1.5+dfsg1", Some("26.1.5+dfsg1-9+deb13u1"), [Mended, Mended]),
            ("26.1.5+dfsg1", Some("26.1.5+dfsg1-0ubuntu1"), [Mended, Unsure]),
            ("27.1.0", None, [Open, Open]),
            ("27.1.1", None, [Mended, Open]),
            ("28.0.0", None, [Mended, Open]),
            ("28.5.2", None, [Mended, Open]),
            ("28.5.2+dfsg4", Some("28.5.2+dfsg4-5"), [Mended, Mended]),
            ("28.5.2+dfsg3", Some("28.5.2+dfsg3-3"), [Mended, Open]),
            ("29.3.0", None, [Mended, Open]),
            ("29.3.1", None, [Mended, Mended]),
            ("30.0.0", None, [Mended, Mended]),
        ] {
            let read = Version::read(version).unwrap();
            let found = ADVISORIES.each_ref().map(|one| exposure(one, read, package));
            assert_eq!(found, expected, "{version} {package:?}");
        }
    }
}
