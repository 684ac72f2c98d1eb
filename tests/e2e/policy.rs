//! A policy file, as an operator would write it.

use std::fmt::{self, Display, Write};
use std::path::{Path, PathBuf};

use crate::lab::Lab;

/// The parts of a policy file that stories change.
#[derive(Clone)]
pub struct Policy {
    require: Vec<String>,
    users_ca: Option<PathBuf>,
    on_violation: Option<&'static str>,
    host: String,
    ca: PathBuf,
    trust_server: String,
    proxy: Option<String>,
    teams: Vec<(String, Vec<String>)>,
    users: Vec<(String, PathBuf)>,
    trusting: String,
    more: String,
}

impl Policy {
    /// The lab's registry, and images signed by a member of each team.
    pub fn requiring(lab: &Lab, teams: &[&str]) -> Self {
        Self {
            require: owned(teams),
            users_ca: None,
            on_violation: None,
            host: lab.registry(),
            ca: lab.ca(),
            trust_server: lab.trust_server(),
            proxy: None,
            teams: Vec::new(),
            users: Vec::new(),
            trusting: String::new(),
            more: String::new(),
        }
    }

    pub fn team(mut self, name: &str, members: &[&str]) -> Self {
        self.teams.push((name.into(), owned(members)));
        self
    }

    /// A user of the lab, known by the certificate of their client bundle.
    pub fn user(self, lab: &Lab, name: &str) -> Self {
        self.user_known_by(name, lab.certificate(name))
    }

    pub fn user_known_by(mut self, name: &str, certificate: PathBuf) -> Self {
        self.users.push((name.into(), certificate));
        self
    }

    pub fn users_ca(mut self, certificate: PathBuf) -> Self {
        self.users_ca = Some(certificate);
        self
    }

    /// What is done about running containers that may not run.
    pub fn on_violation(mut self, what: &'static str) -> Self {
        self.on_violation = Some(what);
        self
    }

    /// The CA that the registry's and the trust server's certificates are held against.
    pub fn ca(mut self, certificate: PathBuf) -> Self {
        self.ca = certificate;
        self
    }

    pub fn trust_server(mut self, url: String) -> Self {
        self.trust_server = url;
        self
    }

    /// Adds a line to `[trust_configuration]`.
    pub fn trusting(mut self, line: &str) -> Self {
        writeln!(self.trusting, "{line}").expect("a string takes everything");
        self
    }

    /// Under which each decision asks the trust server, so that a revocation is seen at once.
    pub fn asking_always(self) -> Self {
        self.trusting("max_staleness = \"0s\"")
    }

    /// The HTTP proxy that leads to the trust server.
    pub fn proxy(mut self, url: String) -> Self {
        self.proxy = Some(url);
        self
    }

    /// Adds a section.
    pub fn with(mut self, section: &str) -> Self {
        writeln!(self.more, "\n{section}").expect("a string takes everything");
        self
    }
}

/// A path as a TOML string.
fn quoted(path: &Path) -> String {
    format!("{:?}", path.to_str().expect("paths of our own making are text"))
}

/// The file's text.
impl Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "[trust_configuration]\nrequire_content_trust = true")?;
        writeln!(f, "require_signature_from = {:?}", self.require)?;
        if let Some(authority) = &self.users_ca {
            writeln!(f, "users_ca = {}", quoted(authority))?;
        }
        if let Some(what) = self.on_violation {
            writeln!(f, "on_violation = {what:?}")?;
        }
        f.write_str(&self.trusting)?;
        writeln!(f, "\n[[registries]]\nhost_address = {:?}", self.host)?;
        writeln!(f, "ca_file = {}\ntrust_server = {:?}", quoted(&self.ca), self.trust_server)?;
        if let Some(proxy) = &self.proxy {
            writeln!(f, "proxy = {proxy:?}")?;
        }
        writeln!(f, "\n[teams]")?;
        for (team, members) in &self.teams {
            writeln!(f, "{team} = {members:?}")?;
        }
        for (user, certificate) in &self.users {
            writeln!(f, "\n[users.{user}]\ncertificates = [{}]", quoted(certificate))?;
        }
        f.write_str(&self.more)
    }
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}
