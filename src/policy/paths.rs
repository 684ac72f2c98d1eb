//! Which paths of the host must stay out of containers.
//!
//! Whoever can write there can replace the engine, countersign, or what root's programs run
//! and trust; whoever can read there can take keys.

/// Folders that are the host itself, and those of engines. A `*` stands for any one name.
///
/// Beside what is plain: containerd runs what lies in `/opt/containerd/bin` before anything of
/// the same name elsewhere, `runc` too (its `opt` plugin puts that folder first in the
/// `PATH`); package managers run scripts that they keep in `/var/lib`, and so do init systems;
/// other engines have sockets there that are as good as root; and keys in `.ssh` let their
/// holders in as people who may do more.
const PROTECTED: [&str; 53] = [
    "/bin",
    "/boot",
    "/dev",
    "/efi",
    "/etc",
    "/home/*/.ssh",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/nix",
    "/opt/cni",
    "/opt/containerd",
    "/ostree",
    "/proc",
    "/root",
    "/run",
    "/sbin",
    "/snap",
    "/swap.img",
    "/swapfile",
    "/sys",
    "/sysroot",
    "/usr",
    "/var/db/sudo",
    "/var/lib/apt",
    "/var/lib/buildkit",
    "/var/lib/cloud",
    "/var/lib/cni",
    "/var/lib/confexts",
    "/var/lib/containerd",
    "/var/lib/containers",
    "/var/lib/dkms",
    "/var/lib/docker",
    "/var/lib/dpkg",
    "/var/lib/extensions",
    "/var/lib/incus",
    "/var/lib/kubelet",
    "/var/lib/lxc",
    "/var/lib/lxd",
    "/var/lib/machines",
    "/var/lib/portables",
    "/var/lib/rancher",
    "/var/lib/rpm",
    "/var/lib/snapd",
    "/var/lib/sudo",
    "/var/lib/systemd",
    "/var/run",
    "/var/snap",
    "/var/spool/anacron",
    "/var/spool/at",
    "/var/spool/cron",
    "/var/spool/incron",
];

/// Devices that are in every container's `/dev` anyway.
const HARMLESS: [&str; 5] = ["/dev/full", "/dev/null", "/dev/random", "/dev/urandom", "/dev/zero"];

/// What ordinary containers read: public, and owned by root, so that what it links to is
/// root's choice. Harmless where it is mounted read-only.
const READABLE: [&str; 8] = [
    "/etc/hosts",
    "/etc/localtime",
    "/etc/resolv.conf",
    "/etc/ssl/certs",
    "/etc/timezone",
    "/usr/local/share/ca-certificates",
    "/usr/share/ca-certificates",
    "/usr/share/zoneinfo",
];

/// The one spelling of an absolute path, as engines clean the sources of binds
/// (`path.Clean`): by its text alone. Nothing where it is not absolute, or no path.
pub fn clean(path: &str) -> Option<String> {
    if !path.starts_with('/') || path.contains('\0') {
        return None;
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            name => parts.push(name),
        }
    }
    Some(format!("/{}", parts.join("/")))
}

/// Whether a clean path may be in a container, wherever it leads.
pub(super) fn is_harmless(path: &str, read_only: bool) -> bool {
    HARMLESS.contains(&path) || (read_only && READABLE.iter().any(|one| lies_in(path, one)))
}

/// Whether a clean path is, contains or lies in one that is protected, or one of `more`.
pub fn is_protected(path: &str, more: &[String]) -> bool {
    PROTECTED.into_iter().any(|one| meets(path, one))
        || more.iter().any(|one| lies_in(path, one) || lies_in(one, path))
}

/// Whether of a clean path and a pattern of one the shorter is the beginning of the longer.
fn meets(path: &str, pattern: &str) -> bool {
    let names = path.split('/').skip(1).filter(|name| !name.is_empty());
    names.zip(pattern.split('/').skip(1)).all(|(name, part)| part == "*" || part == name)
}

/// Whether `path` lies in `folder`, and is not the folder itself.
pub(super) fn lies_below(path: &str, folder: &str) -> bool {
    path != folder && lies_in(path, folder)
}

/// Whether `path` is `folder` or lies in it.
fn lies_in(path: &str, folder: &str) -> bool {
    let folder = folder.trim_end_matches('/');
    path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cleans_as_the_engine_does() {
        for (path, cleaned) in [
            ("/", Some("/")),
            ("//a/./b//", Some("/a/b")),
            ("/tmp/../run/docker/plugins", Some("/run/docker/plugins")),
            ("/../../etc", Some("/etc")),
            ("/a/..", Some("/")),
            ("/...", Some("/...")),
            ("", None),
            ("a/b", None),
            ("./a", None),
            ("~/a", None),
            ("/a\0b", None),
        ] {
            assert_eq!(clean(path).as_deref(), cleaned, "{path:?}");
        }
    }

    #[test]
    fn protects_what_is_contains_or_lies_in() {
        let own = ["/srv/sign/state".to_owned(), "/data/docker/".to_owned()];
        for (path, protected) in [
            ("/", true),
            ("/etc", true),
            ("/etc/docker/daemon.json", true),
            ("/etcetera", false),
            ("/usr/local/bin", true),
            ("/lib", true),
            ("/lib64/x", true),
            ("/libx32", true),
            ("/library", false),
            ("/var", true),
            ("/var/lib", true),
            ("/var/lib/docker/volumes/x/_data", true),
            ("/var/lib/dockerx", false),
            ("/var/lib/postgresql", false),
            ("/var/log", false),
            ("/var/run/docker.sock", true),
            ("/run/user/1000", true),
            ("/proc/1/root", true),
            ("/dev/shm", true),
            ("/srv", true),
            ("/srv/sign", true),
            ("/srv/sign/state/trust", true),
            ("/srv/sign/other", false),
            ("/srv/site", false),
            ("/data", true),
            ("/data/docker/overlay2", true),
            ("/home/jane/project", false),
            ("/home/jane/.sshd", false),
            ("/home/jane/.ssh/authorized_keys", true),
            ("/home/jane", true),
            ("/home", true),
            ("/opt", true),
            ("/opt/containerd/bin", true),
            ("/opt/containers", false),
            ("/var/lib/dpkg/info", true),
            ("/var/snap/lxd/common/lxd/unix.socket", true),
            ("/tmp/x", false),
            ("/opt/app", false),
        ] {
            assert_eq!(is_protected(path, &own), protected, "{path}");
        }
    }

    #[test]
    fn ordinary_reads_are_harmless() {
        for (path, read_only, harmless) in [
            ("/etc/localtime", true, true),
            ("/etc/localtime", false, false),
            ("/etc/timezone", true, true),
            ("/etc/ssl/certs/ca.pem", true, true),
            ("/etc/ssl/private", true, false),
            ("/etc/ssl", true, false),
            ("/etc/shadow", true, false),
            ("/etc/hosts.allow", true, false),
            ("/dev/null", false, true),
            ("/dev/sda", true, false),
            ("/run/docker.sock", true, false),
        ] {
            assert_eq!(is_harmless(path, read_only), harmless, "{path} {read_only}");
        }
    }
}
