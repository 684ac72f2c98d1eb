//! **Names.** What is this name, this digest, this ID?
//!
//! Knows nothing of the other rooms. The grammar is the engine's own
//! (`distribution/reference` as vendored by Docker Engine 20.10 to 29), narrowed
//! where engine versions disagree: what two engines read differently is refused.

mod container;
mod digest;
mod pattern;
mod reference;

pub use container::ContainerId;
pub use digest::{Digest, DigestError, ImageId};
pub use pattern::{PatternError, RepositoryPattern};
pub use reference::{ImageName, NameError, Reference, Repository, Tag};
