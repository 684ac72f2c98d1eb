//! Tests against recorded data: trust data made by the real programs, and calls sent by
//! real engines. One binary, so that it links once.

mod notary;
mod repositories;
