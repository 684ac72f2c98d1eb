//! Patterns of repositories, as rules of the policy name them.

use std::fmt;
use std::str::FromStr;

use super::reference::Repository;

/// Repositories, by their whole name or by its beginning. It starts with a host and goes by
/// whole parts, so that no name that merely contains a trusted one matches.
///
/// `h.io/ops/agent` is one repository, `h.io/ops/*` all directly below `h.io/ops`, and
/// `h.io/ops/**` all below it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RepositoryPattern {
    /// The repository, or what stands before the stars.
    name: String,
    below: Below,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Below {
    /// `/**`
    All,
    /// `/*`
    One,
    /// The repository itself.
    Itself,
}

impl RepositoryPattern {
    /// Whether a repository is one of those named.
    pub fn matches(&self, repository: &Repository) -> bool {
        let rest = repository.as_str().strip_prefix(&self.name);
        match self.below {
            Below::Itself => rest == Some(""),
            Below::One => {
                rest.and_then(|rest| rest.strip_prefix('/')).is_some_and(|rest| !rest.contains('/'))
            }
            Below::All => rest.is_some_and(|rest| rest.starts_with('/')),
        }
    }

    /// The host, which all that match have.
    pub fn host(&self) -> &str {
        self.name.split_once('/').map_or(self.name.as_str(), |(host, _)| host)
    }

    /// Orders patterns that match the same repository: the greater says more about it.
    pub fn specificity(&self) -> impl Ord + use<> {
        (self.name.len(), self.below)
    }
}

impl fmt::Display for RepositoryPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stars = match self.below {
            Below::All => "/**",
            Below::One => "/*",
            Below::Itself => "",
        };
        write!(f, "{}{stars}", self.name)
    }
}

/// The text is no pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "write a whole repository with its host (registry.example.com/ops/agent, \
     docker.io/library/busybox), or the beginning of some with /* or /** \
     (registry.example.com/ops/**)"
)]
pub struct PatternError;

impl FromStr for RepositoryPattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let (name, below) = if let Some(name) = text.strip_suffix("/**") {
            (name, Below::All)
        } else if let Some(name) = text.strip_suffix("/*") {
            (name, Below::One)
        } else {
            (text, Below::Itself)
        };
        // A beginning is one if a repository can stand below it. Two parts, since below
        // docker.io alone one would be read as of library/.
        let written = if below == Below::Itself { name.to_owned() } else { format!("{name}/x/x") };
        match written.parse::<Repository>() {
            Ok(repository) if repository.as_str() == written => {
                Ok(Self { name: name.to_owned(), below })
            }
            _ => Err(PatternError),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_whole_parts_from_the_host_on() {
        for (pattern, repository, matches) in [
            ("h.io/ops/agent", "h.io/ops/agent", true),
            ("h.io/ops/agent", "h.io/ops/agent2", false),
            ("h.io/ops/agent", "h.io/ops/agent/x", false),
            ("h.io/ops/agent", "evil.io/h.io/ops/agent", false),
            ("h.io/ops/*", "h.io/ops/agent", true),
            ("h.io/ops/*", "h.io/ops/a/b", false),
            ("h.io/ops/*", "h.io/ops2/agent", false),
            ("h.io/ops/**", "h.io/ops/a/b/c", true),
            ("h.io/ops/**", "h.io/ops", false),
            ("h.io/ops/**", "h.io/opsx/a", false),
            ("h.io/ops/**", "h.io:5000/ops/a", false),
            ("h.io/ops/**", "evil.io/h.io/ops/a", false),
            ("h.io/**", "h.io/a", true),
            ("h.io/**", "h.io.evil.com/a", false),
            ("h.io:5000/*", "h.io:5000/a", true),
            ("docker.io/library/busybox", "busybox", true),
            ("docker.io/library/*", "busybox", true),
            ("docker.io/**", "someone/tool", true),
        ] {
            let parsed: RepositoryPattern = pattern.parse().unwrap();
            let found = parsed.matches(&repository.parse().unwrap());
            assert_eq!(found, matches, "{pattern} {repository}");
            assert_eq!(parsed.to_string(), pattern);
        }
    }

    #[test]
    fn the_longer_says_more() {
        let ordered = ["h.io/**", "h.io/*", "h.io/ops/**", "h.io/ops/*", "h.io/ops/agent"];
        for pair in ordered.windows(2) {
            let [less, more] = [pair[0], pair[1]].map(str::parse::<RepositoryPattern>);
            assert!(less.unwrap().specificity() < more.unwrap().specificity(), "{pair:?}");
        }
    }

    #[test]
    fn refuses_what_names_no_host_or_part_of_a_part() {
        for text in [
            "",
            "*",
            "**",
            "/**",
            "busybox",
            "ops/**",
            "ops/agent",
            "h.io",
            "h.io/",
            "h.io/op*",
            "h.io/*/agent",
            "*.io/**",
            "h.io/ops/",
            "h.io/ops//**",
            "H.io/ops/**",
            "h.io/ops:1",
            "https://h.io/ops/**",
            "h.io/**/**",
            "h.io/ops/***",
            " h.io/ops/**",
        ] {
            assert_eq!(text.parse::<RepositoryPattern>(), Err(PatternError), "{text:?}");
        }
    }
}
