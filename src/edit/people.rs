//! `[users]` and `[teams]`

use toml_edit::{Item, TableLike};

use super::draft::{Draft, EditError, entry_for, list, texts};
use super::list::{add, remove};

const USERS: &str = "users";
const TEAMS: &str = "teams";
const TRUST: &str = "trust_configuration";
const REQUIRED: &str = "require_signature_from";
const CERTIFICATES: &str = "certificates";
const REVOKED: &str = "revoked";

/// A user as written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserEntry {
    /// Their name.
    pub name: String,
    /// Certificates, each a path or PEM text.
    pub certificates: Vec<String>,
    /// IDs of keys that count no more.
    pub revoked: Vec<String>,
    /// The teams they are in.
    pub teams: Vec<String>,
}

/// Whether a user's name can be that of a folder, too: letters, digits, and `.`, `_`, `-`,
/// `@` where they do not stand first; 64 bytes at most.
pub fn is_file_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-@".contains(&byte);
    name.len() <= 64
        && name.bytes().all(fits)
        && name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric())
}

impl Draft {
    /// The users, in the order written.
    pub fn users(&self) -> Vec<UserEntry> {
        let teams = self.teams();
        let Some(users) = self.look(USERS) else { return Vec::new() };
        let entry = |(name, item): (&str, &Item)| {
            let table = item.as_table_like();
            let get = |key| texts(table.and_then(|table| table.get(key)));
            let of = teams.iter().filter(|(_, members)| members.iter().any(|one| one == name));
            UserEntry {
                name: name.to_owned(),
                certificates: get(CERTIFICATES),
                revoked: get(REVOKED),
                teams: of.map(|(team, _)| team.clone()).collect(),
            }
        };
        users.iter().map(entry).collect()
    }

    /// Adds a certificate to a user, who is made where they are not there yet.
    pub fn add_certificate(&mut self, user: &str, certificate: &str) -> Result<(), EditError> {
        add(list(self.user(user)?, CERTIFICATES)?, &[certificate]);
        Ok(())
    }

    /// Strikes a user out, and out of every team. The teams they were in.
    pub fn remove_user(&mut self, user: &str) -> Result<Vec<String>, EditError> {
        let there = self.users();
        if !there.iter().any(|one| one.name == user) {
            return Err(EditError::absent("user", user, there.iter().map(|one| one.name.as_str())));
        }
        self.section(USERS)?.remove(user);
        self.remove_if_empty(USERS);
        let mut left = Vec::new();
        for (team, _) in self.teams() {
            if remove(list(self.section(TEAMS)?, &team)?, user) {
                left.push(team);
            }
        }
        Ok(left)
    }

    /// Has a key of a user count no more.
    pub fn revoke(&mut self, user: &str, key_id: &str) -> Result<(), EditError> {
        let there = self.users();
        if !there.iter().any(|one| one.name == user) {
            return Err(EditError::absent("user", user, there.iter().map(|one| one.name.as_str())));
        }
        add(list(self.user(user)?, REVOKED)?, &[key_id]);
        Ok(())
    }

    /// The teams and their members, in the order written.
    pub fn teams(&self) -> Vec<(String, Vec<String>)> {
        let Some(teams) = self.look(TEAMS) else { return Vec::new() };
        teams.iter().map(|(name, item)| (name.to_owned(), texts(Some(item)))).collect()
    }

    /// Puts users into a team, which is made where it is not there yet.
    pub fn add_to_team(&mut self, team: &str, users: &[String]) -> Result<(), EditError> {
        add(list(self.section(TEAMS)?, team)?, users);
        Ok(())
    }

    /// Demands a signature of a team.
    pub fn require_team(&mut self, team: &str) -> Result<(), EditError> {
        add(list(self.section(TRUST)?, REQUIRED)?, &[team]);
        Ok(())
    }

    /// The teams whose signature is demanded of every image.
    pub fn required_teams(&self) -> Vec<String> {
        texts(self.look(TRUST).and_then(|table| table.get(REQUIRED)))
    }

    /// Strikes a team out.
    pub fn remove_team(&mut self, team: &str) -> Result<(), EditError> {
        self.team(team)?;
        self.section(TEAMS)?.remove(team);
        self.remove_if_empty(TEAMS);
        Ok(())
    }

    /// Takes users out of a team.
    pub fn remove_from_team(&mut self, team: &str, users: &[String]) -> Result<(), EditError> {
        let members = self.team(team)?;
        if let Some(user) = users.iter().find(|user| !members.contains(user)) {
            let there = members.iter().map(String::as_str);
            return Err(EditError::absent("member of the team", user, there));
        }
        let list = list(self.section(TEAMS)?, team)?;
        for user in users {
            remove(list, user);
        }
        Ok(())
    }

    fn team(&self, team: &str) -> Result<Vec<String>, EditError> {
        let there = self.teams();
        let names = there.iter().map(|(name, _)| name.as_str());
        let error = EditError::absent("team", team, names);
        there.into_iter().find(|(name, _)| name == team).map(|(_, members)| members).ok_or(error)
    }

    fn user(&mut self, user: &str) -> Result<&mut dyn TableLike, EditError> {
        let is_inline = self.document.get(USERS).is_some_and(Item::is_inline_table);
        let users = self.section(USERS)?;
        let new = entry_for(users, is_inline);
        let entry = users.entry(user).or_insert(new);
        entry
            .as_table_like_mut()
            .ok_or_else(|| EditError::Form(format!("[users.{user}]"), "a table"))
    }

    /// A section that nothing is left of, and that nobody wrote a header for, goes as well.
    fn remove_if_empty(&mut self, section: &str) {
        let table = self.document.get(section).and_then(Item::as_table);
        if table.is_some_and(|table| table.is_empty() && table.is_implicit()) {
            self.document.remove(section);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edited(
        before: &str,
        edit: impl Fn(&mut Draft) -> Result<(), EditError>,
    ) -> Result<String, String> {
        let mut draft = Draft::open(before).unwrap();
        edit(&mut draft).map_err(|error| error.to_string())?;
        let text = draft.text();
        assert!(Draft::open(&text).is_ok(), "{text}");
        Ok(text)
    }

    #[test]
    fn users_come_in_the_form_of_the_others() {
        for (before, after) in [
            ("", "[users.bob]\ncertificates = [\"c.pem\"]\n"),
            (
                "[teams]\nCI = [] # nobody\n",
                "[teams]\nCI = [] # nobody\n\n[users.bob]\ncertificates = [\"c.pem\"]\n",
            ),
            (
                "[users.al] # Al\ncertificates = ['a']\n\n[guard]\nmode = 'log'\n",
                "[users.al] # Al\ncertificates = ['a']\n\n[users.bob]\ncertificates = \
                 [\"c.pem\"]\n\n[guard]\nmode = 'log'\n",
            ),
            (
                "[users]\nal = { certificates = ['a'] }\n",
                "[users]\nal = { certificates = ['a'] }\nbob = { certificates = [\"c.pem\"] }\n",
            ),
            (
                "users = { al = { certificates = ['a'] } }\n",
                "users = { al = { certificates = ['a'] } , bob = { certificates = [\"c.pem\"] } }\n",
            ),
            (
                "[users.bob]\ncertificates = [\n  'b', # old\n]\n",
                "[users.bob]\ncertificates = [\n  'b', # old\n  \"c.pem\",\n]\n",
            ),
            (
                "[users.bob]\r\ncertificates = ['b'] # old\r\n",
                "[users.bob]\r\ncertificates = ['b', \"c.pem\"] # old\r\n",
            ),
            ("users.bob.certificates = ['b']\n", "users.bob.certificates = ['b', \"c.pem\"]\n"),
        ] {
            let text = edited(before, |draft| draft.add_certificate("bob", "c.pem")).unwrap();
            assert_eq!(text, after, "{before}");
        }
        let odd = edited("users = 1\n", |draft| draft.add_certificate("bob", "c.pem"));
        assert!(odd.unwrap_err().contains("edit it by hand"));
    }

    #[test]
    fn who_goes_leaves_every_team() {
        let before = "# People\n[teams] # of ours\nCI = ['al', 'bob']\nQA = [\n  'bob', # since 2020\n  \
                      'al', # boss\n]\n\n[users.al] # Al\ncertificates = ['a']\n\n# Bob left\n\
                      [users.bob]\ncertificates = ['b']\nrevoked = []\n";
        let after = "# People\n[teams] # of ours\nCI = ['al']\nQA = [\n  'al', # boss\n]\n\n\
                     [users.al] # Al\ncertificates = ['a']\n";
        let mut draft = Draft::open(before).unwrap();
        assert_eq!(draft.remove_user("bob").unwrap(), ["CI", "QA"]);
        assert_eq!(draft.text(), after);
        let gone = draft.remove_user("bob").unwrap_err().to_string();
        assert_eq!(gone, "there is no user \"bob\" in the policy; there is al");
        draft.remove_user("al").unwrap();
        assert!(draft.users().is_empty());
    }

    #[test]
    fn keys_and_teams() {
        let users = "[users.al]\ncertificates = ['a']\n";
        let revoked = edited(users, |draft| draft.revoke("al", "00ff")).unwrap();
        assert_eq!(revoked, format!("{users}revoked = [\"00ff\"]\n"));
        assert!(edited(users, |draft| draft.revoke("bob", "00ff")).is_err());

        let names = ["al".to_owned(), "bob".to_owned()];
        for (before, after) in [
            ("", "[teams]\nCI = [\"al\", \"bob\"]\n"),
            ("[teams]\nCI = ['al'] # ci\n", "[teams]\nCI = ['al', \"bob\"] # ci\n"),
            ("teams.CI = ['bob']\n", "teams.CI = ['bob', \"al\"]\n"),
            ("teams = { CI = [] }\n", "teams = { CI = [\"al\", \"bob\"] }\n"),
        ] {
            let text = edited(before, |draft| draft.add_to_team("CI", &names)).unwrap();
            assert_eq!(text, after, "{before}");
        }
        let trust = "[trust_configuration]\nrequire_signature_from = []\n";
        let required = edited(trust, |draft| draft.require_team("CI")).unwrap();
        assert_eq!(required, trust.replace("[]", "[\"CI\"]"));

        let teams = "[teams]\nCI = ['al', 'bob']\n# the others\nQA = []\n";
        let one = edited(teams, |draft| draft.remove_from_team("CI", &names[..1])).unwrap();
        assert_eq!(one, teams.replace("'al', ", ""));
        let whole = edited(teams, |draft| draft.remove_team("CI")).unwrap();
        assert_eq!(whole, "[teams]\n# the others\nQA = []\n");
        assert!(edited(teams, |draft| draft.remove_team("X")).unwrap_err().contains("CI, QA"));
        let stranger = edited(teams, |draft| draft.remove_from_team("QA", &names[..1]));
        assert!(stranger.unwrap_err().contains("no member of the team \"al\""));
    }

    #[test]
    fn names_that_can_be_folders() {
        for (name, fits) in [
            ("jenkins", true),
            ("al.b-c_d@e.com", true),
            ("7", true),
            ("", false),
            (".", false),
            ("..", false),
            ("-x", false),
            ("a/b", false),
            ("a\0", false),
            ("é", false),
            (&"x".repeat(65), false),
        ] {
            assert_eq!(is_file_name(name), fits, "{name:?}");
        }
    }
}
