//! countersign lets a Docker host run only images signed by the people its policy names.

pub mod image;
pub mod json;
pub mod source;
