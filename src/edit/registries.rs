//! `[[registries]]`

use toml_edit::{ArrayOfTables, InlineTable, Item, Table, TableLike, Value};

use super::draft::{Draft, EditError};

const SECTION: &str = "registries";
const HOST: &str = "host_address";
const WHAT: &str = "registry";

/// A registry to be written down.
#[derive(Clone, Debug, Default)]
pub struct NewRegistry {
    /// Host and, unless 443, port.
    pub host: String,
    /// A file with the CA of its certificates, relative to the policy.
    pub ca_file: Option<String>,
    /// The URL of its trust server.
    pub trust_server: Option<String>,
    /// A docker `config.json` with a login for it.
    pub docker_config: Option<String>,
}

/// A registry as it is written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistryEntry {
    /// Host and, unless 443, port.
    pub host: String,
    /// Where the CA of its certificates is.
    pub ca: Option<String>,
    /// The URL of its trust server, where that is not the registry's own.
    pub trust_server: Option<String>,
}

impl Draft {
    /// The registries, in the order written.
    pub fn registries(&self) -> Vec<RegistryEntry> {
        let Some(item) = self.document.get(SECTION) else { return Vec::new() };
        let tables: Vec<&dyn TableLike> = match item {
            Item::ArrayOfTables(tables) => {
                tables.iter().map(|table| -> &dyn TableLike { table }).collect()
            }
            Item::Value(Value::Array(list)) => {
                let tables = list.iter().filter_map(Value::as_inline_table);
                tables.map(|table| -> &dyn TableLike { table }).collect()
            }
            _ => Vec::new(),
        };
        tables.into_iter().filter_map(entry).collect()
    }

    /// Writes a registry down, after the others.
    pub fn add_registry(&mut self, new: &NewRegistry) -> Result<(), EditError> {
        if self.registries().iter().any(|one| one.host == new.host) {
            return Err(EditError::Exists { what: WHAT, name: new.host.clone() });
        }
        let members = [
            (HOST, Some(&new.host)),
            ("ca_file", new.ca_file.as_ref()),
            ("trust_server", new.trust_server.as_ref()),
            ("docker_config", new.docker_config.as_ref()),
        ];
        let members = members.into_iter().filter_map(|(key, value)| Some((key, value?)));
        let item = self
            .document
            .entry(SECTION)
            .or_insert_with(|| Item::ArrayOfTables(ArrayOfTables::new()));
        match item {
            Item::ArrayOfTables(tables) => {
                let mut table = Table::new();
                for (key, text) in members {
                    table.insert(key, Item::Value(text.into()));
                }
                tables.push(table);
            }
            Item::Value(Value::Array(list)) => {
                let mut table = InlineTable::new();
                for (key, text) in members {
                    table.insert(key, text.into());
                }
                list.push(table);
            }
            _ => return Err(EditError::Form(SECTION.to_owned(), "a list of tables")),
        }
        Ok(())
    }

    /// Strikes a registry out.
    pub fn remove_registry(&mut self, host: &str) -> Result<(), EditError> {
        let named = |table: &dyn TableLike| {
            table.get(HOST).and_then(Item::as_str).is_some_and(|one| one == host)
        };
        match self.document.get_mut(SECTION) {
            Some(Item::ArrayOfTables(tables)) => {
                let at = tables.iter().position(|table| named(table));
                if let Some(at) = at {
                    tables.remove(at);
                    return Ok(());
                }
            }
            Some(Item::Value(Value::Array(list))) => {
                let is = |value: &Value| value.as_inline_table().is_some_and(|one| named(one));
                let at = list.iter().position(is);
                if let Some(at) = at {
                    list.remove(at);
                    return Ok(());
                }
            }
            _ => {}
        }
        let there = self.registries();
        Err(EditError::absent(WHAT, host, there.iter().map(|one| one.host.as_str())))
    }
}

fn entry(table: &dyn TableLike) -> Option<RegistryEntry> {
    let text = |key| table.get(key).and_then(Item::as_str).map(ToOwned::to_owned);
    let inline = table.get("ca_bundle").map(|_| "in the policy (ca_bundle)".to_owned());
    Some(RegistryEntry {
        host: text(HOST)?,
        ca: text("ca_file").or(inline),
        trust_server: text("trust_server"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(host: &str) -> NewRegistry {
        NewRegistry {
            host: host.to_owned(),
            ca_file: Some("registries/h.io/ca.pem".to_owned()),
            ..NewRegistry::default()
        }
    }

    #[test]
    fn registries_come_after_the_others() {
        let entry = "host_address = \"h.io\"\nca_file = \"registries/h.io/ca.pem\"\n";
        for (before, after) in [
            ("# top\na = 1\n", format!("# top\na = 1\n\n[[registries]]\n{entry}")),
            (
                "[[registries]] # one\nhost_address = 'a.io'\n\n[teams] # people\nCI = []\n",
                format!(
                    "[[registries]] # one\nhost_address = 'a.io'\n\n[[registries]]\n{entry}\n\
                     [teams] # people\nCI = []\n"
                ),
            ),
            (
                "registries = [{ host_address = 'a.io' }]\n",
                "registries = [{ host_address = 'a.io' }, { host_address = \"h.io\", \
                 ca_file = \"registries/h.io/ca.pem\" }]\n"
                    .to_owned(),
            ),
        ] {
            let mut draft = Draft::open(before).unwrap();
            draft.add_registry(&new("h.io")).unwrap();
            assert_eq!(draft.text(), after, "{before}");
            let hosts: Vec<_> = draft.registries().into_iter().map(|one| one.host).collect();
            assert_eq!(hosts.last().unwrap(), "h.io");
            let twice = draft.add_registry(&new("h.io"));
            assert!(matches!(twice, Err(EditError::Exists { .. })), "{before}");
            draft.remove_registry("h.io").unwrap();
            let gone = draft.remove_registry("h.io").unwrap_err().to_string();
            assert!(gone.starts_with("there is no registry \"h.io\""), "{gone}");
            assert!(!draft.text().contains("h.io"), "{}", draft.text());
        }
        let mut odd = Draft::open("registries = 1\n").unwrap();
        assert!(matches!(odd.add_registry(&new("h.io")), Err(EditError::Form(..))));
    }
}
