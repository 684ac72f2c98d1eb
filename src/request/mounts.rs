//! Mounts and volumes: what of the host do they bring in?
//!
//! Source: `volume/mounts/linux_parser.go` (`ParseMountRaw`), `volume/local/local_unix.go`
//! (`setOpts`, `mount`), `daemon/cluster/convert/container.go` (`containerToGRPC`) and
//! `api/types/mount` of Docker Engine 20.10, 26, 28 and 29.

use super::body::{self, Fields};
use super::host_access::HostAccess;
use super::intent::{Intent, Routed};
use super::query::Query;
use super::refusal::{Refusal, excerpt};

/// File systems of the local driver that are on another machine, or in memory: what they
/// hold is no file of this host.
const ELSEWHERE: [&str; 4] = ["cifs", "nfs", "nfs4", "tmpfs"];

/// `POST /volumes/create`.
pub(super) fn create_volume(request: &Routed<'_>) -> Result<Intent, Refusal> {
    Query::parse(request.target.query)?;
    let document = body::json(request.call)?;
    let volume = Fields::root(&document)?;
    let driver = volume.text("Driver")?.unwrap_or_default();
    let access: Vec<_> = volume_access(driver, &volume.map("DriverOpts")?).into_iter().collect();
    Ok(if access.is_empty() { Intent::Pass } else { Intent::Volume { access } })
}

/// The mounts of a `HostConfig`.
pub(super) fn read(config: &Fields<'_>, found: &mut Vec<HostAccess>) -> Result<(), Refusal> {
    found.extend(config.texts("Binds")?.into_iter().filter_map(bind));
    for container in config.texts("VolumesFrom")? {
        found.push(HostAccess::VolumesFrom(excerpt(container)));
    }
    read_mounts(config, found)
}

/// The `Mounts` of a `HostConfig` or of a service's `ContainerSpec`.
pub(super) fn read_mounts(holder: &Fields<'_>, found: &mut Vec<HostAccess>) -> Result<(), Refusal> {
    for (at, mount) in holder.objects("Mounts")?.into_iter().enumerate() {
        let source = mount.text("Source")?.unwrap_or_default();
        match mount.text("Type")?.unwrap_or_default() {
            // The content of an image that nobody asked about (API 1.48, `mount.TypeImage`):
            // no signature covers it, whatever the container may reach.
            "image" => {
                let place = format!("{}[{at}]", holder.place("Mounts"));
                return Err(Refusal::ImageMount { place });
            }
            "bind" => found.push(HostAccess::Bind {
                source: source.to_owned(),
                read_only: mount.flag("ReadOnly")?,
            }),
            "volume" => {
                if let Some(options) = mount.object("VolumeOptions")?
                    && let Some(driver) = options.object("DriverConfig")?
                {
                    let name = driver.text("Name")?.unwrap_or_default();
                    found.extend(volume_access(name, &driver.map("Options")?));
                }
                if !source.is_empty() {
                    found.push(HostAccess::Volume(source.to_owned()));
                }
            }
            // In memory, or nothing that a Linux engine mounts from itself.
            "tmpfs" | "npipe" | "cluster" => {}
            // In a service, no type is a bind, and so are BIND and b\u{131}nd: swarm looks the
            // type up in upper case, and its default is the first in its list.
            _ => {
                let place = format!("{}[{at}].Type", holder.place("Mounts"));
                return body::malformed(&place, "is not a type of mount");
            }
        }
    }
    Ok(())
}

/// One of `Binds`: `SOURCE:TARGET[:MODE]`, or a target alone, which is a new volume.
fn bind(written: &str) -> Option<HostAccess> {
    let mut parts = written.splitn(4, ':');
    let (source, _target) = (parts.next()?, parts.next()?);
    Some(if source.starts_with('/') {
        let read_only = parts.next().is_some_and(|mode| mode.split(',').any(|o| o == "ro"));
        HostAccess::Bind { source: source.to_owned(), read_only }
    } else {
        HostAccess::Volume(source.to_owned())
    })
}

/// What a volume of this driver, with these options, brings in. Options of other drivers
/// are theirs to read.
pub fn volume_access(driver: &str, options: &[(&str, &str)]) -> Option<HostAccess> {
    if !matches!(driver, "" | "local") {
        return None;
    }
    let option =
        |name: &str| options.iter().find(|(key, _)| *key == name).map_or("", |(_, value)| *value);
    let (kind, device) = (option("type"), option("device"));
    let mut flags = option("o").split(',');
    let binds = flags.clone().any(|flag| matches!(flag, "bind" | "rbind"));
    if binds && is_plain_path(device) {
        let read_only = flags.any(|flag| flag == "ro");
        return Some(HostAccess::Bind { source: device.to_owned(), read_only });
    }
    // mount(2) takes a type of none with a device for nothing but a bind; all else, such as
    // an overlay, has its paths among its options.
    let none = kind.is_empty() && device.is_empty() && !binds;
    let elsewhere = ELSEWHERE.contains(&kind) && !binds;
    (!none && !elsewhere).then(|| HostAccess::VolumeDevice(excerpt(device)))
}

/// Whether a path means the same before and after cleaning. The local driver hands paths to
/// the kernel uncleaned, where `..` leads out of what a link leads into.
fn is_plain_path(path: &str) -> bool {
    path.starts_with('/') && !path.split('/').any(|part| part == "..")
}

#[cfg(test)]
mod tests {
    use super::super::recorded::{call, outcome, reached as told};

    #[test]
    fn reads_binds_as_the_engine_splits_them() {
        for (bind, meant) in [
            ("/data", ""),
            ("/etc:/h", r#"bind of "/etc""#),
            ("/etc:/h:rw", r#"bind of "/etc""#),
            ("/etc:/h:ro", r#"bind of "/etc", read-only"#),
            ("/etc:/h:z,ro", r#"bind of "/etc", read-only"#),
            ("/etc:/h:rro", r#"bind of "/etc""#),
            ("/etc:ro", r#"bind of "/etc""#),
            ("//etc/../x:/h", r#"bind of "//etc/../x""#),
            ("name:/h:ro", r#"volume "name""#),
            ("./x:/h", r#"volume "./x""#),
            (":/h", r#"volume """#),
        ] {
            assert_eq!(told(&format!(r#"{{"Binds":["{bind}"]}}"#)), meant, "{bind}");
        }
    }

    #[test]
    fn reads_mounts() {
        for (mount, meant) in [
            (r#"{"Type":"bind","Source":"/srv"}"#, r#"bind of "/srv""#),
            (r#"{"Type":"bind","Source":"/srv","ReadOnly":true}"#, r#"bind of "/srv", read-only"#),
            (r#"{"Type":"tmpfs","Target":"/t"}"#, ""),
            (r#"{"Type":"volume","Target":"/t"}"#, ""),
            (r#"{"Type":"volume","Source":"v","VolumeOptions":null}"#, r#"volume "v""#),
            (
                r#"{"Type":"volume","VolumeOptions":{"DriverConfig":{"Options":
                    {"o":"bind","device":"/etc"}}}}"#,
                r#"bind of "/etc""#,
            ),
            (r#"{"Type":"cluster","Source":"x"}"#, ""),
            (r#"{"Type":"image","Source":"x"}"#, "deny image-mount"),
            (r#"{"Source":"/etc"}"#, "deny body-malformed"),
            (r#"{"Type":"","Source":"/etc"}"#, "deny body-malformed"),
            (r#"{"Type":"BIND","Source":"/etc"}"#, "deny body-malformed"),
            (r#"{"Type":"b\u0131nd","Source":"/etc"}"#, "deny body-malformed"),
            (r#"{"Type":"bind ","Source":"/etc"}"#, "deny body-malformed"),
            (r#"{"Type":"bind","source":"/etc"}"#, "deny ambiguous-name"),
            (r#"{"Type":"bind","ReadOnly":"yes"}"#, "deny body-malformed"),
            (r#"{"Type":"volume","VolumeOptions":{"driverConfig":{}}}"#, "deny ambiguous-name"),
        ] {
            assert_eq!(told(&format!(r#"{{"Mounts":[{mount}]}}"#)), meant, "{mount}");
        }
        assert_eq!(told(r#"{"VolumesFrom":["a:ro"]}"#), r#"volumes from container "a:ro""#);
    }

    #[test]
    fn reads_options_of_the_local_driver() {
        for (driver, options, meant) in [
            ("", "null", "pass"),
            ("local", "{}", "pass"),
            ("local", r#"{"size":"1g"}"#, "pass"),
            ("local", r#"{"type":"tmpfs","device":"tmpfs","o":"size=1m"}"#, "pass"),
            ("local", r#"{"type":"nfs","device":":/x","o":"addr=10.0.0.1,rw"}"#, "pass"),
            ("local", r#"{"type":"cifs","device":"//h/x","o":"addr=h"}"#, "pass"),
            ("rclone", r#"{"o":"bind","device":"/etc"}"#, "pass"),
            ("", r#"{"o":"bind","device":"/etc"}"#, r#"volume asking bind of "/etc""#),
            (
                "local",
                r#"{"type":"none","o":"ro,rbind","device":"/etc"}"#,
                r#"volume asking bind of "/etc", read-only"#,
            ),
            (
                "local",
                r#"{"type":"nfs","o":"bind","device":"/etc"}"#,
                r#"volume asking bind of "/etc""#,
            ),
            (
                "local",
                r#"{"o":"bind","device":"/srv/link/../../etc"}"#,
                r#"volume asking volume on device "/srv/link/../../etc""#,
            ),
            (
                "local",
                r#"{"type":"ext4","device":"/dev/sda1"}"#,
                r#"volume asking volume on device "/dev/sda1""#,
            ),
            (
                "local",
                r#"{"type":"overlay","device":"overlay","o":"lowerdir=/etc"}"#,
                r#"volume asking volume on device "overlay""#,
            ),
            ("local", r#"{"type":"proc"}"#, r#"volume asking volume on device """#),
            ("local", r#"{"o":1}"#, "deny body-malformed"),
        ] {
            let body = format!(r#"{{"Name":"v","Driver":"{driver}","DriverOpts":{options}}}"#);
            let headers = [("Content-Type", "application/json")];
            let call = call("POST", "/v1.41/volumes/create", &headers, &body);
            assert_eq!(outcome(&call), meant, "{driver} {options}");
        }
        let hidden = call("POST", "/v1.41/volumes/create", &[], "");
        assert_eq!(outcome(&hidden), "deny body-withheld");
    }
}
