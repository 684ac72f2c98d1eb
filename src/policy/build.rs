//! From the document to the policy: names resolved, certificates read, nonsense refused.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Range;
use std::path::Path;

use toml::Spanned;

use super::document::{
    ConfigError, Document, ExceptionEntry, RegistryEntry, RuleEntry, Until, UserEntry,
};
use super::exception::{self, Excepted, Exception};
use super::rules::{DockerConfig, Policy, Proxy, Registry, User, UserKey};
use super::scope::Rule;
use crate::image::{Digest, Repository, RepositoryPattern};
use crate::request::Permission;
use crate::trust::KeyId;
use crate::trust::certificate::{Certificate, SpkiKey};
use crate::trust::crypto::sha256;
use crate::trust::notary::RootPolicy;

/// Reads a file that the configuration names. Relative paths are the caller's to resolve.
pub type ReadFile<'f> = &'f dyn Fn(&Path) -> io::Result<String>;

/// Hex digits by which a policy is told from others.
const FINGERPRINT: usize = 12;

/// What is allowed where `[api]` does not say: running commands in containers that were
/// verified is everyday work and needs no new image content.
pub(super) const ALLOWED_BY_DEFAULT: [Permission; 1] = [Permission::Exec];

impl Policy {
    /// Reads a `countersign.toml`, with the files it names. The first fault is returned,
    /// with its place in `text`.
    pub fn from_toml(text: &str, read: ReadFile<'_>) -> Result<Self, ConfigError> {
        let document = Document::parse(text)?;
        let seen = RefCell::new(vec![sha256(text.as_bytes())]);
        let read = |file: &Path| {
            let content = read(file)?;
            seen.borrow_mut().push(sha256(content.as_bytes()));
            Ok(content)
        };
        let mut policy = Builder { text, read: &read }.policy(document)?;
        let mut fingerprint = Digest::from_bytes(sha256(&seen.take().concat())).hex();
        fingerprint.truncate(FINGERPRINT);
        policy.fingerprint = fingerprint;
        Ok(policy)
    }
}

pub(super) struct Builder<'b> {
    text: &'b str,
    read: ReadFile<'b>,
}

impl Builder<'_> {
    fn policy(&self, document: Document) -> Result<Policy, ConfigError> {
        let trust = document.trust_configuration;
        let registries = self.registries(document.registries)?;
        let freshness = self.freshness(&trust, &registries)?;
        let users_ca = match &trust.users_ca {
            Some(ca) => self.authorities(ca, "users_ca")?,
            None => Vec::new(),
        };
        let users = self.users(document.users, !users_ca.is_empty())?;
        let teams = self.teams(document.teams, &users, !users_ca.is_empty())?;
        Ok(Policy {
            enforced: trust.require_content_trust,
            mode: trust.mode,
            required_teams: self.required(trust.require_signature_from, &teams)?,
            rules: self.rules(document.rules, &teams)?,
            registries,
            teams,
            users,
            users_ca,
            count_nested: trust.count_nested_delegations,
            on_violation: trust.on_violation,
            allowed: self.permissions(document.api)?,
            guard_mode: document.guard.mode,
            exceptions: self.exceptions(document.exceptions)?,
            fingerprint: String::new(),
            freshness,
        })
    }

    /// Teams that are to sign, each once.
    fn required(
        &self,
        written: Vec<Spanned<String>>,
        teams: &BTreeMap<String, BTreeSet<String>>,
    ) -> Result<Vec<String>, ConfigError> {
        let mut required: Vec<String> = Vec::new();
        for team in written {
            if !teams.contains_key(team.get_ref()) {
                let what = format!("there is no team {:?} in [teams]", team.get_ref());
                return Err(self.error(&team, what));
            }
            if !required.contains(team.get_ref()) {
                required.push(team.into_inner());
            }
        }
        Ok(required)
    }

    fn users(
        &self,
        entries: BTreeMap<Spanned<String>, UserEntry>,
        has_ca: bool,
    ) -> Result<BTreeMap<String, User>, ConfigError> {
        let mut users: BTreeMap<String, User> = BTreeMap::new();
        for (name, entry) in entries {
            if entry.certificates.is_empty() && !has_ca {
                let what = format!(
                    "user {:?} has no certificates, so nothing can be signed by them: \
                     add certificates = [\"cert.pem\"]",
                    name.get_ref()
                );
                return Err(self.error(&name, what));
            }
            let mut user = User::default();
            for certificate in &entry.certificates {
                for (id, key) in self.keys(certificate)? {
                    if let Some((other, _)) = users.iter().find(|(_, u)| u.keys.contains_key(&id)) {
                        let what = format!(
                            "its key {id} is also {other:?}'s; a key tells who signed only if \
                             one person has it"
                        );
                        return Err(self.error(certificate, what));
                    }
                    user.keys.entry(id).or_default().certificates.extend(key.certificates);
                }
            }
            for id in &entry.revoked {
                user.revoked.insert(self.key_id(id)?);
            }
            users.insert(name.into_inner(), user);
        }
        Ok(users)
    }

    /// The keys of one `certificates` entry: the certificates of a PEM text, or a bare
    /// public key.
    fn keys(&self, source: &Spanned<String>) -> Result<Vec<(KeyId, UserKey)>, ConfigError> {
        let pem = self.pem(source)?;
        if let Some(der) = public_key(&pem) {
            let key = SpkiKey::from_der(&der).map_err(|e| self.error(source, e.to_string()))?;
            return Ok(vec![(key.id, UserKey::default())]);
        }
        let bundle = Certificate::from_pem(pem.as_bytes()).map_err(|error| {
            let hint = if pem.contains("PRIVATE KEY-----") {
                "; a private key is not wanted here, and nobody should have it but its owner"
            } else {
                ""
            };
            self.error(source, format!("{}: {error}{hint}", shown(source)))
        })?;
        // A cert.pem may hold its chain; the person's own certificate stands first, and
        // Notary takes that one alone.
        let Some(own) = bundle.into_iter().next() else { return Ok(Vec::new()) };
        if let Some(weakness) = own.weakness() {
            return Err(self.error(source, format!("{}: {weakness}", shown(source))));
        }
        let dates = vec![(own.not_before, own.not_after)];
        Ok(vec![(own.key.id, UserKey { certificates: dates })])
    }

    fn teams(
        &self,
        entries: BTreeMap<Spanned<String>, Vec<Spanned<String>>>,
        users: &BTreeMap<String, User>,
        has_ca: bool,
    ) -> Result<BTreeMap<String, BTreeSet<String>>, ConfigError> {
        let mut teams = BTreeMap::new();
        for (team, members) in entries {
            let mut names = BTreeSet::new();
            for member in members {
                // With a CA of users, a name needs no entry of its own.
                if !has_ca && !users.contains_key(member.get_ref()) {
                    let what = format!(
                        "team {:?} has the member {:?}, who is not in [users]",
                        team.get_ref(),
                        member.get_ref()
                    );
                    return Err(self.error(&member, what));
                }
                names.insert(member.into_inner());
            }
            teams.insert(team.into_inner(), names);
        }
        Ok(teams)
    }

    fn registries(
        &self,
        entries: Vec<Spanned<RegistryEntry>>,
    ) -> Result<Vec<Registry>, ConfigError> {
        let mut registries: Vec<Registry> = Vec::new();
        for entry in entries {
            let entry = entry.into_inner();
            let host = self.host(&entry.host_address)?;
            if registries.iter().any(|registry| registry.host == host) {
                let what = format!("{host} is registered twice");
                return Err(self.error(&entry.host_address, what));
            }
            registries.push(self.registry(host, &entry)?);
        }
        Ok(registries)
    }

    fn registry(&self, host: String, entry: &RegistryEntry) -> Result<Registry, ConfigError> {
        let ca = match (&entry.ca_bundle, &entry.ca_file) {
            (Some(_), Some(file)) => {
                let what = "give ca_bundle or ca_file, not both".to_owned();
                return Err(self.error(file, what));
            }
            (Some(bundle), None) => {
                self.certificates(bundle, bundle.get_ref())?;
                Some(bundle.get_ref().clone())
            }
            (None, Some(file)) => {
                let pem = self.file(file, file.get_ref())?;
                self.certificates(file, &pem)?;
                Some(pem)
            }
            (None, None) => None,
        };
        let trust_server = match &entry.trust_server {
            Some(url) if url.get_ref().starts_with("https://") => Some(url.get_ref().clone()),
            Some(url) => {
                let what = "trust_server must be a URL that starts with https://".to_owned();
                return Err(self.error(url, what));
            }
            None => None,
        };
        let proxy = match &entry.proxy {
            None => Proxy::Environment,
            Some(proxy) if proxy.get_ref() == "none" => Proxy::None,
            Some(proxy) if proxy.get_ref().starts_with("http://") => {
                Proxy::Url(proxy.get_ref().clone())
            }
            // Not repeated: it may hold a password.
            Some(proxy) => {
                let what = "proxy must be \"none\", or a URL that starts with http://".to_owned();
                return Err(self.error(proxy, what));
            }
        };
        let docker_config = match &entry.docker_config {
            Some(path) => Some(DockerConfig(self.file(path, path.get_ref())?)),
            None => None,
        };
        let root = RootPolicy {
            pins: entry.root_pins.iter().map(|id| self.key_id(id)).collect::<Result<_, _>>()?,
            ca: match &entry.root_ca {
                Some(ca) => self.authorities(ca, "root_ca")?,
                None => Vec::new(),
            },
            trust_on_first_use: entry.trust_on_first_use,
        };
        Ok(Registry { host, ca, trust_server, proxy, docker_config, root })
    }

    /// A host address is what stands before the first slash of a reference.
    fn host(&self, written: &Spanned<String>) -> Result<String, ConfigError> {
        let host = written.get_ref().to_ascii_lowercase();
        let repository = format!("{host}/x").parse::<Repository>();
        match repository {
            Ok(repository) if repository.host() == host => Ok(host),
            _ => {
                let what = format!(
                    "host_address {:?} must be a host name with an optional port, without \
                     scheme or path, as it stands in image names (dtr.example.com, \
                     localhost:5000)",
                    written.get_ref()
                );
                Err(self.error(written, what))
            }
        }
    }

    fn permissions(
        &self,
        entries: BTreeMap<Spanned<String>, bool>,
    ) -> Result<BTreeSet<Permission>, ConfigError> {
        let mut allowed = BTreeSet::from(ALLOWED_BY_DEFAULT);
        for (key, allow) in entries {
            let known = Permission::ALL.into_iter().find(|one| one.key() == key.get_ref());
            let Some(permission) = known else {
                let keys: Vec<_> = Permission::ALL.iter().map(|one| one.key()).collect();
                let what = format!(
                    "unknown key {:?} in [api]; there are {}",
                    key.get_ref(),
                    keys.join(", ")
                );
                return Err(self.error(&key, what));
            };
            if allow {
                allowed.insert(permission);
            } else {
                allowed.remove(&permission);
            }
        }
        Ok(allowed)
    }

    fn rules(
        &self,
        entries: Vec<RuleEntry>,
        teams: &BTreeMap<String, BTreeSet<String>>,
    ) -> Result<Vec<Rule>, ConfigError> {
        let mut rules: Vec<Rule> = Vec::new();
        for entry in entries {
            let repository = self.pattern(&entry.repository)?;
            if rules.iter().any(|rule| rule.repository == repository) {
                let what = format!("there are two rules for {repository}");
                return Err(self.error(&entry.repository, what));
            }
            let required_teams =
                entry.require_signature_from.map(|written| self.required(written, teams));
            let rule = Rule {
                repository,
                required_teams: required_teams.transpose()?,
                mode: entry.mode,
                allow_host_access: entry.allow_host_access,
                offline_grace: entry.offline_grace.as_ref().map(|it| self.grace(it)).transpose()?,
            };
            if rule.is_empty() {
                let what = "a rule that says nothing: give it require_signature_from, mode, \
                            allow_host_access or offline_grace";
                return Err(self.error(&entry.repository, what.to_owned()));
            }
            rules.push(rule);
        }
        Ok(rules)
    }

    fn exceptions(
        &self,
        entries: Vec<Spanned<ExceptionEntry>>,
    ) -> Result<Vec<Exception>, ConfigError> {
        entries.into_iter().map(|entry| self.exception(entry)).collect()
    }

    fn exception(&self, entry: Spanned<ExceptionEntry>) -> Result<Exception, ConfigError> {
        let span = entry.span();
        let entry = entry.into_inner();
        let of = match (&entry.digest, &entry.repository) {
            (Some(digest), None) => {
                Excepted::Digest(digest.get_ref().parse().map_err(|e| {
                    self.error(digest, format!("digest {:?}: {e}", digest.get_ref()))
                })?)
            }
            (None, Some(repository)) => Excepted::Repository(self.pattern(repository)?),
            (Some(_), Some(repository)) => {
                let what = "give a digest or a repository, not both".to_owned();
                return Err(self.error(repository, what));
            }
            (None, None) => {
                let what = "say what this exception is for: digest = \"sha256:...\", or \
                            repository = \"registry.example.com/legacy/**\"";
                return Err(ConfigError::at(self.text, span, what.to_owned()));
            }
        };
        for (key, text) in [("owner", &entry.owner), ("reason", &entry.reason)] {
            if text.get_ref().trim().is_empty() {
                return Err(self.error(text, format!("{key} is empty: say who, and what for")));
            }
        }
        let written_until = match entry.until.get_ref() {
            Until::Date(date) => date.to_string(),
            Until::Text(text) => text.clone(),
        };
        let until = exception::end(&written_until).ok_or_else(|| {
            let what = format!(
                "until = {written_until:?} must be a last day (2027-01-31, in UTC) or a time with \
                 its zone (2027-01-31T18:00:00Z)"
            );
            self.error(&entry.until, what)
        })?;
        Ok(Exception {
            of,
            owner: entry.owner.into_inner(),
            reason: entry.reason.into_inner(),
            until,
            written_until,
            allow_host_access: entry.allow_host_access,
        })
    }

    fn pattern(&self, written: &Spanned<String>) -> Result<RepositoryPattern, ConfigError> {
        let text = written.get_ref();
        text.parse().map_err(|e| self.error(written, format!("repository {text:?}: {e}")))
    }

    fn authorities(
        &self,
        source: &Spanned<String>,
        key: &str,
    ) -> Result<Vec<Certificate>, ConfigError> {
        let pem = self.pem(source)?;
        let certificates = self.certificates(source, &pem)?;
        if let Some(other) = certificates.iter().find(|certificate| !certificate.is_ca) {
            let name = other.common_name.as_deref().unwrap_or("without a name");
            let what = format!("{key}: the certificate {name:?} is not a CA's");
            return Err(self.error(source, what));
        }
        Ok(certificates)
    }

    fn certificates<T>(
        &self,
        place: &Spanned<T>,
        pem: &str,
    ) -> Result<Vec<Certificate>, ConfigError> {
        Certificate::from_pem(pem.as_bytes()).map_err(|e| self.error(place, e.to_string()))
    }

    /// PEM text that stands in the document itself, or in the file it names.
    fn pem(&self, source: &Spanned<String>) -> Result<String, ConfigError> {
        if is_pem(source.get_ref()) {
            Ok(source.get_ref().clone())
        } else {
            self.file(source, Path::new(source.get_ref()))
        }
    }

    fn file<T>(&self, place: &Spanned<T>, path: &Path) -> Result<String, ConfigError> {
        (self.read)(path)
            .map_err(|error| self.error(place, format!("cannot read {}: {error}", path.display())))
    }

    fn key_id(&self, id: &Spanned<String>) -> Result<KeyId, ConfigError> {
        id.get_ref().parse().map_err(|_| {
            let what = format!("{:?} is not a key ID, which has 64 hex digits", id.get_ref());
            self.error(id, what)
        })
    }

    pub(super) fn error<T>(&self, place: &Spanned<T>, what: String) -> ConfigError {
        let Range { start, end } = place.span();
        ConfigError::at(self.text, start..end, what)
    }
}

fn is_pem(text: &str) -> bool {
    text.contains("-----BEGIN ")
}

/// How an entry is called in a message: by its path, if it is one.
fn shown(source: &Spanned<String>) -> &str {
    if is_pem(source.get_ref()) { "the PEM text" } else { source.get_ref() }
}

/// The DER of a bare public key (`-----BEGIN PUBLIC KEY-----`), if the text is one.
fn public_key(pem: &str) -> Option<Vec<u8>> {
    use base64::Engine as _;
    let body = pem.split_once("-----BEGIN PUBLIC KEY-----")?.1;
    let body = body.split_once("-----END PUBLIC KEY-----")?.0;
    let text: String = body.split_whitespace().collect();
    base64::engine::general_purpose::STANDARD.decode(text).ok()
}
