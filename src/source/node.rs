//! What an engine says of itself.

use hyper::StatusCode;
use serde::Deserialize;

use super::engine::Engine;
use super::engine_error::EngineError;

/// `GET /info`, as far as it concerns us.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct NodeInfo {
    /// The engine's version: `20.10.24+dfsg1`, `28.5.1`.
    #[serde(default)]
    pub server_version: String,
    /// The plugins of each kind.
    #[serde(default)]
    plugins: Plugins,
    /// Its part in a swarm.
    #[serde(default)]
    swarm: Swarm,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Plugins {
    authorization: Option<Vec<String>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Swarm {
    #[serde(default)]
    local_node_state: String,
    #[serde(default)]
    control_available: bool,
}

impl NodeInfo {
    /// The authorization plugins it was started with, in the order in which it asks them.
    /// Whether it still does is another question.
    pub fn authorization(&self) -> &[String] {
        self.plugins.authorization.as_deref().unwrap_or_default()
    }

    /// Whether it is in a swarm, as a manager (`true`) or a worker.
    pub fn swarm_manager(&self) -> Option<bool> {
        (self.swarm.local_node_state == "active").then_some(self.swarm.control_available)
    }
}

/// A managed plugin (`docker plugin ls`).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ManagedPlugin {
    /// `NAME:TAG`.
    pub name: String,
    /// Whether it is switched on.
    #[serde(default)]
    pub enabled: bool,
}

impl Engine {
    /// What the engine says of itself.
    pub async fn info(&self) -> Result<NodeInfo, EngineError> {
        let nothing = || EngineError::BadAnswer("it knows no /info".to_owned());
        self.ask("info").await?.ok_or_else(nothing)
    }

    /// The managed plugins it has.
    pub async fn managed_plugins(&self) -> Result<Vec<ManagedPlugin>, EngineError> {
        Ok(self.ask::<Option<_>>("plugins").await?.flatten().unwrap_or_default())
    }

    /// Makes a call that does nothing and that its authorization plugin can know by `nonce`.
    pub async fn probe(&self, nonce: &str) -> Result<(), EngineError> {
        let answer = self.fetch(&format!("_ping?countersign-nonce={nonce}")).await?;
        match answer.status {
            StatusCode::OK => Ok(()),
            status => {
                let message = "to a ping".to_owned();
                Err(EngineError::Status { status: status.as_u16(), message })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{answer, engine, ok};
    use super::*;

    #[tokio::test]
    async fn reads_what_engines_say_of_themselves() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("docker.sock");
        let seen = engine(&socket, |asked| match asked.line() {
            "GET /info" => ok(r#"{"ServerVersion":"28.5.2","Plugins":{"Volume":["local"],
                "Authorization":["countersign"]},"Swarm":{"LocalNodeState":"active",
                "ControlAvailable":true}}"#),
            "GET /plugins" => ok(r#"[{"Id":"5","Name":"x/y:latest","Enabled":true}]"#),
            _ => ok("OK"),
        });
        let engine = Engine::new(&socket).unwrap();
        let info = engine.info().await.unwrap();
        assert_eq!(info.server_version, "28.5.2");
        assert_eq!(info.authorization(), ["countersign"]);
        assert_eq!(info.swarm_manager(), Some(true));
        let plugins = engine.managed_plugins().await.unwrap();
        assert_eq!(plugins, [ManagedPlugin { name: "x/y:latest".to_owned(), enabled: true }]);
        engine.probe("00ff").await.unwrap();
        let lines = seen.lines();
        assert_eq!(lines.last().map(String::as_str), Some("GET /_ping?countersign-nonce=00ff"));
    }

    #[tokio::test]
    async fn what_is_not_there_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("docker.sock");
        engine(&socket, |asked| match asked.line() {
            "GET /info" => ok(r#"{"Plugins":{"Authorization":null},
                "Swarm":{"LocalNodeState":"inactive"}}"#),
            "GET /plugins" => ok("null"),
            _ => answer("403 Forbidden", &[], ""),
        });
        let engine = Engine::new(&socket).unwrap();
        let info = engine.info().await.unwrap();
        assert_eq!((info.authorization(), info.swarm_manager()), (&[][..], None));
        assert_eq!(engine.managed_plugins().await.unwrap(), []);
        assert!(engine.probe("00ff").await.is_err());
    }
}
