//! countersign lets a Docker host run only images signed by the people its policy names.

pub mod cli;
pub mod gate;
pub mod image;
pub mod json;
pub mod policy;
pub mod request;
pub mod server;
pub mod source;
pub mod trust;
