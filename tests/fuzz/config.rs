//! Configuration files. The input is `countersign.toml`; the files it may name are a
//! certificate and a public key, and nothing else can be read.

#![no_main]

use std::io;
use std::path::Path;

use countersign::policy::Policy;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let read = |path: &Path| match path.to_str() {
        Some("cert.pem") => Ok(include_str!("../data/users/alice/cert.pem").to_owned()),
        Some("pub.pem") => Ok(include_str!("../data/users/bob/pub.pem").to_owned()),
        Some("ca.pem") => Ok(include_str!("../data/users/ucp-client-ca.crt").to_owned()),
        _ => Err(io::ErrorKind::NotFound.into()),
    };
    match Policy::from_toml(text, &read) {
        Ok(policy) => {
            for registry in policy.registries() {
                let found = policy.registry(&registry.host).map(|found| &found.host);
                assert_eq!(found, Some(&registry.host));
            }
        }
        Err(error) => {
            let line = text.split('\n').nth(error.line - 1).expect("the line is one of the file's");
            let last = line.chars().count() + 1;
            assert!((1..=last).contains(&error.column), "{error} in a line of {last} columns");
        }
    }
});
