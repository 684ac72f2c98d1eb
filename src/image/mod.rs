//! **Names.** What is this name, this digest, this image ID?
//!
//! Knows nothing of the other rooms. The grammar is the engine's own
//! (`distribution/reference` as vendored by Docker Engine 20.10 to 29), narrowed
//! where engine versions disagree: what two engines read differently is refused.

mod digest;
mod pattern;
mod reference;

pub use digest::{Digest, DigestError, ImageId};
pub use pattern::{PatternError, RepositoryPattern};
pub use reference::{ImageName, NameError, Reference, Repository, Tag};
