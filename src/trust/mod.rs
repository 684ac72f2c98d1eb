//! **Proof.** Who signed what?
//!
//! Pure: bytes and `now` come in as arguments, verified facts go out. Knows `image`
//! and `json`. Only this room can build a [`Proof`], so a `Proof` in hand means that
//! every check behind it was made.
//!
//! - [`crypto`]: signatures and hashes; the only file that imports `ring`.
//! - [`certificate`]: X.509; the only file that imports `x509-parser` and `webpki`.
//! - [`Content`]: what a digest stands for, and so what a signature on it covers.
//! - [`notary`]: Docker Content Trust (Notary v1), a TUF dialect, as a state machine.
//! - [`Proof`]: what any scheme yields, so that the policy need not know the scheme.

pub mod certificate;
mod content;
pub mod crypto;
mod key_id;
pub mod notary;
mod proof;

pub use content::{Content, Listed, WrongContent};
pub use key_id::KeyId;
pub use proof::{Proof, Scheme, SigningKey};
