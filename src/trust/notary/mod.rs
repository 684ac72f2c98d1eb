//! Docker Content Trust: Notary v1, an early dialect of TUF.
//!
//! [`Update`] reads and verifies a repository's files one by one; [`TrustData`] is what
//! comes of it and answers who signed a tag. Rules and format: Notary 0.7.
//!
//! - `canonical`, `along`, `key`, `metadata`, `tags`: the format.
//! - `signed`, `root`, `tree`, `update`, `steps`: the verification.
//! - `file`: a verified file, and when it need not be verified again; `grace`: what may have run
//!   out lately.
//! - `data`: the answers; `stated`: what a file says of itself, unverified.
//! - `limits`: the budgets; `fault`: what can be wrong.

mod along;
mod canonical;
mod data;
mod fault;
mod file;
mod grace;
mod history;
mod key;
mod limits;
mod metadata;
mod role;
mod root;
mod signed;
mod stated;
mod steps;
mod tags;
mod tree;
mod update;

pub use data::{Claim, Objection, TrustData};
pub use fault::Fault;
pub use grace::Grace;
pub use history::{Examined, History};
pub use role::{DelegationName, FileName, Role};
pub use root::RootPolicy;
pub use stated::{Stated, stated};
pub use update::{Update, Wanted};
