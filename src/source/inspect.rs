//! What an engine says of its containers, services and volumes, and of itself.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::engine::{Engine, no_slash};
use super::engine_error::EngineError;
use super::url;

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

/// A volume of the local driver.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Volume {
    /// Its name.
    pub name: String,
    /// What the driver was told when it was made.
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

    /// The volumes of these names, as far as the local driver has them.
    ///
    /// Asked by a list, since an engine that is asked for one name alone asks each volume
    /// plugin, and waits for those that are gone (`VolumeStore.getVolume`).
    pub async fn local_volumes(&self, names: &[String]) -> Result<Vec<Volume>, EngineError> {
        let filters = serde_json::json!({ "driver": ["local"], "name": names }).to_string();
        let path = format!("volumes?filters={}", url::query_value(&filters));
        let found = self.ask::<VolumesAnswer>(&path).await?;
        let mut volumes = found.and_then(|found| found.volumes).unwrap_or_default();
        // Engines take the names for parts of names.
        volumes.retain(|volume| names.contains(&volume.name));
        Ok(volumes)
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
        let (_folder, seen, engine) = start(|asked| match asked.line() {
            "GET /info" => ok(r#"{"ID":"x","DockerRootDir":"/data","DefaultRuntime":"runc"}"#),
            line if line.contains("none") => ok(r#"{"Volumes":null,"Warnings":null}"#),
            _ => ok(r#"{"Volumes":[{"Name":"a","Driver":"local","Options":null},
                {"Name":"etc","Options":{"o":"bind","device":"/etc"}},{"Name":"etcetera"}]}"#),
        });
        let names = ["a".to_owned(), "etc".to_owned(), "gone".to_owned()];
        let found = engine.local_volumes(&names).await.unwrap();
        let options = BTreeMap::from(
            [("o", "bind"), ("device", "/etc")]
                .map(|(key, value)| (key.to_owned(), value.to_owned())),
        );
        assert_eq!(
            found,
            [
                Volume { name: "a".to_owned(), options: None },
                Volume { name: "etc".to_owned(), options: Some(options) },
            ]
        );
        let filters = "%7B%22driver%22%3A%5B%22local%22%5D%2C%22name%22%3A%5B%22a%22%2C%22etc%22\
                       %2C%22gone%22%5D%7D";
        assert_eq!(seen.lines(), [format!("GET /volumes?filters={filters}")]);
        assert_eq!(engine.local_volumes(&["none".to_owned()]).await.unwrap(), []);
        let defaults = engine.defaults().await.unwrap();
        assert_eq!((&*defaults.docker_root_dir, &*defaults.default_runtime), ("/data", "runc"));
    }
}
