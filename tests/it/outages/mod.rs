//! The world fails: servers, wires, names, clocks, certificates, proxies. A node that has
//! verified data goes on by it and says what failed; one that has none refuses in bounded
//! time and says host and cause, never that the image is not signed.

mod answers;
mod certificates;
mod clock;
mod cuts;
mod proxy;

use crate::builder::GUN;
use crate::site::{Site, decide};

/// What has to come of a failure: it is told with this text to a node that knows the
/// repository, and to one that does not.
async fn fails(site: &Site, what: &str) -> Result<(), String> {
    let node = site.node();
    let told = decide(&node.gate()).await;
    told.refused("trust-data-unavailable", what)?;
    if told.is_attack_like() {
        return Err(format!("it is logged as an attack: {}", told.log));
    }
    if !node.kept().is_empty() {
        return Err(format!("{:?} is kept", node.kept().keys()));
    }
    if told.message.contains(GUN) { Ok(()) } else { Err(told.message) }
}

/// The same of a failure that comes about by `mount`: it is told beside a decision of a node
/// that met the server before.
async fn both(site: &Site, what: &str, mount: impl FnOnce()) -> Result<(), String> {
    let known = site.node();
    let kept = {
        decide(&known.gate()).await.is_plain()?;
        known.kept()
    };
    mount();
    let told = decide(&known.gate()).await;
    told.stood(what)?;
    if told.is_attack_like() {
        return Err(format!("it is logged as an attack: {}", told.log));
    }
    if known.kept() != kept {
        return Err("something else is on disk".to_owned());
    }
    fails(site, what).await
}
