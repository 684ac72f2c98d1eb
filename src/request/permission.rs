//! What an operator may open in the `[api]` section of the configuration.

use std::fmt;

/// A group of API calls that go around the check of signatures, or could.
///
/// Denied unless the operator allows them. What is allowed by default is for the
/// policy to say, not for this room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Permission {
    /// Build images, classic or with `BuildKit`, its sessions and gRPC included.
    Build,
    /// Make an image of a container.
    Commit,
    /// Load images from an archive.
    Load,
    /// Import a file system as an image.
    Import,
    /// Copy files into a container.
    ArchiveUpload,
    /// Run further commands in a container.
    Exec,
    /// Change the swarm and its nodes.
    SwarmAdmin,
    /// Install, change and remove managed plugins.
    Plugins,
    /// Make and remove checkpoints.
    Checkpoint,
}

impl Permission {
    /// Every permission, in the order of the documentation.
    pub const ALL: [Self; 9] = [
        Self::Build,
        Self::Commit,
        Self::Load,
        Self::Import,
        Self::ArchiveUpload,
        Self::Exec,
        Self::SwarmAdmin,
        Self::Plugins,
        Self::Checkpoint,
    ];

    /// Its name in the `[api]` section.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Build => "build",
            Self::Commit => "commit",
            Self::Load => "load",
            Self::Import => "import",
            Self::ArchiveUpload => "archive_upload",
            Self::Exec => "exec",
            Self::SwarmAdmin => "swarm_admin",
            Self::Plugins => "plugins",
            Self::Checkpoint => "checkpoint",
        }
    }

    /// One line for an operator: what is allowed, and what that gives away.
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Build => "build images; build steps run unsigned base images unseen",
            Self::Commit => "make images of containers, under any name",
            Self::Load => "load images from archives, under any name",
            Self::Import => "import file systems as images, or pull any image, under any name",
            Self::ArchiveUpload => "copy files into containers, replacing what was signed",
            Self::Exec => "run any command inside a container that was verified",
            Self::SwarmAdmin => "change the swarm; foreign managers can run anything on this node",
            Self::Plugins => "manage engine plugins, which run unsigned and can replace this one",
            Self::Checkpoint => "make and remove checkpoints of containers",
        }
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.key())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_distinct_and_bare() {
        for (at, permission) in Permission::ALL.iter().enumerate() {
            let key = permission.key();
            assert!(key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{key}");
            assert!(Permission::ALL[..at].iter().all(|other| other.key() != key), "{key}");
            assert!(!permission.describe().contains('\n'), "{key}");
        }
    }
}
