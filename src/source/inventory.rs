//! All that an engine holds: images, containers, services.

use hyper::{Method, StatusCode};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::engine::{Engine, read, refused};
use super::engine_error::EngineError;
use super::unavailable::quote;
use crate::image::{ContainerId, ImageId};

/// Most bytes of a list. An entry has a kilobyte or two, labels and specifications more; no
/// host holds so many.
const MAX_LIST: u64 = 64 * 1024 * 1024;

/// An image that the engine holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedImage {
    /// Its ID.
    pub id: ImageId,
    /// The names it can be run by, in order; none for one that lost them.
    pub names: Vec<String>,
}

/// A container that the engine holds, running or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedContainer {
    /// Its ID.
    pub id: ContainerId,
    /// Its first name, for messages.
    pub name: String,
    /// Whether it runs, or is paused.
    pub runs: bool,
}

/// A service of the swarm that the engine manages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedService {
    /// Its ID.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The image that its tasks run; none where they are no containers.
    pub image: Option<String>,
    /// Its whole `ContainerSpec`, as JSON.
    pub container_spec: String,
}

impl Engine {
    /// All images, in order of their first name.
    pub async fn images(&self) -> Result<Vec<ListedImage>, EngineError> {
        let found: Vec<ImageAnswer> = self.list("images/json").await?;
        let mut images = found.into_iter().map(ListedImage::told).collect::<Result<Vec<_>, _>>()?;
        images.sort_unstable_by(|one, other| (&one.names, one.id).cmp(&(&other.names, other.id)));
        Ok(images)
    }

    /// All containers, in order of name.
    pub async fn all_containers(&self) -> Result<Vec<ListedContainer>, EngineError> {
        let found: Vec<ContainerAnswer> = self.list("containers/json?all=1").await?;
        let mut containers =
            found.into_iter().map(ListedContainer::told).collect::<Result<Vec<_>, _>>()?;
        containers.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        Ok(containers)
    }

    /// All services, in order of name. None where the engine manages no swarm.
    pub async fn services(&self) -> Result<Option<Vec<ListedService>>, EngineError> {
        let answer = self.send(Method::GET, Self::url("services")?, MAX_LIST).await?;
        // "This node is not a swarm manager": 503 since Docker Engine 1.13.
        if answer.status == StatusCode::SERVICE_UNAVAILABLE {
            return Ok(None);
        }
        let found: Vec<ServiceAnswer> = read(&answer)?;
        let mut services =
            found.into_iter().map(ListedService::told).collect::<Result<Vec<_>, _>>()?;
        services.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        Ok(Some(services))
    }

    async fn list<T: for<'d> Deserialize<'d>>(&self, path: &str) -> Result<Vec<T>, EngineError> {
        let answer = self.send(Method::GET, Self::url(path)?, MAX_LIST).await?;
        if answer.status == StatusCode::OK { read(&answer) } else { Err(refused(&answer)) }
    }
}

impl ListedImage {
    fn told(answer: ImageAnswer) -> Result<Self, EngineError> {
        let id = answer.id.parse().map_err(|error| {
            EngineError::BadAnswer(format!("the image ID {}: {error}", quote(&answer.id)))
        })?;
        let mut names = answer.repo_tags.unwrap_or_default();
        // What engines call an image that lost its name.
        names.retain(|name| !name.contains("<none>"));
        names.sort_unstable();
        Ok(Self { id: ImageId(id), names })
    }
}

impl ListedContainer {
    fn told(answer: ContainerAnswer) -> Result<Self, EngineError> {
        let id = ContainerId::from_hex(&answer.id).ok_or_else(|| {
            EngineError::BadAnswer(format!("{} is not a container's ID", quote(&answer.id)))
        })?;
        let names = answer.names.unwrap_or_default();
        let name = names.first().map_or(id.as_str(), |name| name.trim_start_matches('/'));
        let runs = matches!(answer.state.as_str(), "running" | "paused" | "restarting");
        Ok(Self { name: name.to_owned(), id, runs })
    }
}

impl ListedService {
    fn told(answer: ServiceAnswer) -> Result<Self, EngineError> {
        let spec = answer.spec.task_template.container_spec;
        let image = spec.as_ref().map(|spec| serde_json::from_str::<ImageOf>(spec.get()));
        let image = image.transpose().map_err(|error| EngineError::BadAnswer(error.to_string()))?;
        Ok(Self {
            id: answer.id,
            name: answer.spec.name,
            image: image.map(|found| found.image),
            container_spec: spec.map_or_else(String::new, |spec| spec.get().to_owned()),
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ImageAnswer {
    id: String,
    repo_tags: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ContainerAnswer {
    id: String,
    names: Option<Vec<String>>,
    #[serde(default)]
    state: String,
}

#[derive(Deserialize)]
struct ServiceAnswer {
    #[serde(rename = "ID")]
    id: String,
    #[serde(rename = "Spec")]
    spec: SpecAnswer,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SpecAnswer {
    name: String,
    task_template: TaskAnswer,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TaskAnswer {
    container_spec: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ImageOf {
    image: String,
}

#[cfg(test)]
mod tests {
    use super::super::testing::{answer, ok, start_engine};

    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

    #[tokio::test]
    async fn lists_images_by_the_names_they_run_by() {
        let (_folder, seen, engine) = start_engine(|_| {
            ok(&format!(
                r#"[{{"Id":"sha256:{A}","RepoTags":["z:1","h.io/x:1"],"RepoDigests":null}},
                    {{"Id":"sha256:{B}","RepoTags":["<none>:<none>"]}}]"#
            ))
        });
        let images = engine.images().await.unwrap();
        let names: Vec<_> = images.iter().map(|image| image.names.join(" ")).collect();
        assert_eq!(names, ["", "h.io/x:1 z:1"]);
        assert_eq!(seen.lines(), ["GET /images/json"]);
    }

    #[tokio::test]
    async fn lists_containers_that_run_and_that_do_not() {
        let (_folder, seen, engine) = start_engine(|_| {
            ok(&format!(
                r#"[{{"Id":"{B}","Names":["/web"],"State":"exited"}},
                    {{"Id":"{A}","Names":["/db"],"State":"running"}}]"#
            ))
        });
        let found = engine.all_containers().await.unwrap();
        let told: Vec<_> = found.iter().map(|one| (one.name.as_str(), one.runs)).collect();
        assert_eq!(told, [("db", true), ("web", false)]);
        assert_eq!(seen.lines(), ["GET /containers/json?all=1"]);
    }

    #[tokio::test]
    async fn lists_services_where_there_are_any() {
        let (_folder, _seen, engine) = start_engine(|_| {
            ok(
                r#"[{"ID":"x","Spec":{"Name":"web","TaskTemplate":{"ContainerSpec":{"Image":"h.io/x:1"}}}},
                   {"ID":"y","Spec":{"Name":"ext","TaskTemplate":{"Runtime":"plugin"}}}]"#,
            )
        });
        let services = engine.services().await.unwrap().unwrap();
        let told: Vec<_> = services.iter().map(|one| (&*one.name, one.image.as_deref())).collect();
        assert_eq!(told, [("ext", None), ("web", Some("h.io/x:1"))]);

        let (_folder, _seen, engine) = start_engine(|_| {
            answer(
                "503 Service Unavailable",
                &[],
                r#"{"message":"This node is not a swarm manager."}"#,
            )
        });
        assert_eq!(engine.services().await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_list_that_cannot_be_read_is_an_error() {
        for body in ["{}", r#"[{"Id":"web"}]"#, r#"[{"Spec":{}}]"#, "[", ""] {
            let (_folder, _seen, engine) = start_engine(move |_| ok(body));
            assert!(engine.images().await.is_err(), "{body}");
            assert!(engine.all_containers().await.is_err(), "{body}");
            assert!(engine.services().await.is_err(), "{body}");
        }
    }
}
