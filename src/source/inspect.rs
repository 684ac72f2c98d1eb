//! What an engine says of its containers, services and volumes, and of itself.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::engine::{Engine, no_slash};
use super::engine_error::EngineError;
use super::url::query_value;

/// A container the engine holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// Its whole ID.
    pub id: String,
    /// The ID of the image it was made from (`.Image`), fixed for its life.
    pub image: String,
    /// The image as the caller wrote it (`.Config.Image`): for messages, never for proof.
    pub config_image: String,
    /// Its `HostConfig`, as JSON.
    pub host_config: String,
    /// What is mounted in it, other containers' mounts included.
    pub mounts: Vec<Mount>,
}

/// A mount of a container.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Mount {
    /// `bind`, `volume`, `tmpfs` and others.
    #[serde(rename = "Type")]
    pub kind: String,
    /// The volume's name, where it is one.
    #[serde(default)]
    pub name: String,
    /// The folder on the host.
    #[serde(default)]
    pub source: String,
    /// Whether the container can write there.
    #[serde(rename = "RW")]
    pub writable: bool,
}

/// A swarm service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// The specification a rollback would return to, where there is one and it runs an image.
    pub previous: Option<Previous>,
}

/// A service's previous specification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Previous {
    /// Its image.
    pub image: String,
    /// Its whole `ContainerSpec`, as JSON.
    pub container_spec: String,
}

/// A volume the engine holds.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Volume {
    /// The driver that mounts it.
    pub driver: String,
    /// What the driver was told when the volume was made.
    pub options: Option<BTreeMap<String, String>>,
}

/// What the engine does where a call does not say.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Defaults {
    /// The folder that holds its images, containers and volumes.
    pub docker_root_dir: String,
    /// The OCI runtime of its containers.
    pub default_runtime: String,
}

impl Engine {
    /// The container of this ID or name. Nothing if there is none.
    pub async fn container(&self, id: &str) -> Result<Option<Container>, EngineError> {
        let found = self.get::<ContainerAnswer>("containers", no_slash(id)?).await?;
        Ok(found.map(|found| Container {
            id: found.id,
            image: found.image,
            config_image: found.config.image,
            host_config: found.host_config.get().to_owned(),
            mounts: found.mounts.unwrap_or_default(),
        }))
    }

    /// The service of this ID or name. Nothing if there is none.
    pub async fn service(&self, id: &str) -> Result<Option<Service>, EngineError> {
        let found = self.get::<ServiceAnswer>("services", no_slash(id)?).await?;
        let Some(found) = found else { return Ok(None) };
        let previous = match found.previous_spec.and_then(|spec| spec.task_template.container_spec)
        {
            None => None,
            Some(spec) => {
                let ConfigAnswer { image } = serde_json::from_str(spec.get())
                    .map_err(|error| EngineError::BadAnswer(error.to_string()))?;
                Some(Previous { image, container_spec: spec.get().to_owned() })
            }
        };
        Ok(Some(Service { previous }))
    }

    /// The volume of this name. Nothing if there is none.
    ///
    /// Of one that is there, engines know the driver; for one that is not, they ask every
    /// volume plugin, and wait for those that are gone (`VolumeStore.getVolume`), as they do
    /// again when they make it.
    pub async fn volume(&self, name: &str) -> Result<Option<Volume>, EngineError> {
        self.get("volumes", no_slash(name)?).await
    }

    /// The volumes of the local driver. No volume plugin is asked about its own.
    pub async fn local_volumes(&self) -> Result<Vec<Volume>, EngineError> {
        let filters = query_value(r#"{"driver":["local"]}"#);
        let found: Option<VolumesAnswer> = self.ask(&format!("volumes?filters={filters}")).await?;
        Ok(found.and_then(|found| found.volumes).unwrap_or_default())
    }

    /// What it does where a call does not say.
    pub async fn defaults(&self) -> Result<Defaults, EngineError> {
        let nothing = || EngineError::BadAnswer("it knows no /info".to_owned());
        self.ask("info").await?.ok_or_else(nothing)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ContainerAnswer {
    id: String,
    image: String,
    config: ConfigAnswer,
    host_config: Box<RawValue>,
    mounts: Option<Vec<Mount>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct VolumesAnswer {
    volumes: Option<Vec<Volume>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ConfigAnswer {
    image: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ServiceAnswer {
    previous_spec: Option<SpecAnswer>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SpecAnswer {
    task_template: TaskAnswer,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TaskAnswer {
    container_spec: Option<Box<RawValue>>,
}

#[cfg(test)]
mod tests {
    use super::super::testing::{answer, ok, start_engine as start};
    use super::*;

    #[tokio::test]
    async fn reads_containers_and_services() {
        let (_folder, seen, engine) = start(|asked| match asked.line() {
            "GET /containers/web/json" => {
                ok(r#"{"Id":"c0ffee","Image":"sha256:aa","Name":"/web","Config":{"Image":"h.io/x"},
                    "HostConfig":{"Privileged":true},"Mounts":[{"Type":"volume","Name":"v",
                    "Source":"/d/v","Destination":"/v","RW":false}]}"#)
            }
            "GET /containers/bare/json" => ok(r#"{"Id":"0","Image":"","Config":{"Image":""}}"#),
            "GET /services/one" => {
                ok(r#"{"ID":"s1","Spec":{"Name":"one"},"PreviousSpec":{"TaskTemplate":
                        {"ContainerSpec":{"Image":"h.io/x:1"}}}}"#)
            }
            "GET /services/new" => ok(r#"{"ID":"s2","Spec":{"Name":"new"}}"#),
            "GET /services/plugin" => ok(r#"{"PreviousSpec":{"TaskTemplate":{"PluginSpec":{}}}}"#),
            _ => answer("404 Not Found", &[], r#"{"message":"no such thing"}"#),
        });
        let container = engine.container("web").await.unwrap().unwrap();
        let expected = Container {
            id: "c0ffee".to_owned(),
            image: "sha256:aa".to_owned(),
            config_image: "h.io/x".to_owned(),
            host_config: r#"{"Privileged":true}"#.to_owned(),
            mounts: vec![Mount {
                kind: "volume".to_owned(),
                name: "v".to_owned(),
                source: "/d/v".to_owned(),
                writable: false,
            }],
        };
        assert_eq!(container, expected);
        assert_eq!(engine.container("gone").await.unwrap(), None);
        let error = engine.container("bare").await.unwrap_err().to_string();
        assert!(error.contains("missing field `HostConfig`"), "{error}");
        let previous = Previous {
            image: "h.io/x:1".to_owned(),
            container_spec: r#"{"Image":"h.io/x:1"}"#.to_owned(),
        };
        for (name, service) in [
            ("one", Some(Service { previous: Some(previous) })),
            ("new", Some(Service { previous: None })),
            ("plugin", Some(Service { previous: None })),
            ("gone", None),
        ] {
            assert_eq!(engine.service(name).await.unwrap(), service, "{name}");
        }
        assert_eq!(seen.connections(), 1);
    }

    #[tokio::test]
    async fn reads_volumes_and_defaults() {
        let (_folder, _seen, engine) = start(|asked| match asked.line() {
            "GET /volumes/plain" => {
                ok(r#"{"Name":"plain","Driver":"local","Options":null,"Scope":"local"}"#)
            }
            "GET /volumes/etc" => {
                ok(r#"{"Driver":"local","Options":{"o":"bind","device":"/etc"}}"#)
            }
            "GET /info" => ok(r#"{"ID":"x","DockerRootDir":"/data","DefaultRuntime":"runc"}"#),
            _ => answer("404 Not Found", &[], r#"{"message":"no such volume"}"#),
        });
        let plain = engine.volume("plain").await.unwrap().unwrap();
        assert_eq!(plain, Volume { driver: "local".to_owned(), options: None });
        let bound = engine.volume("etc").await.unwrap().unwrap();
        assert_eq!(bound.options.unwrap()["device"], "/etc");
        assert_eq!(engine.volume("gone").await.unwrap(), None);
        let defaults = engine.defaults().await.unwrap();
        assert_eq!((&*defaults.docker_root_dir, &*defaults.default_runtime), ("/data", "runc"));
    }
}
