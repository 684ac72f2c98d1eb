//! Image names. What was read and written out reads the same again.

#![no_main]

use countersign::image::{ImageName, Reference};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(name) = text.parse::<ImageName>() {
        let written = name.to_string();
        assert!(written.bytes().all(|byte| byte.is_ascii_graphic()), "{written:?}");
        assert_eq!(written.parse(), Ok(name), "{text:?}");
    }
    if let Ok(reference) = text.parse::<Reference>() {
        let repository = &reference.repository;
        let joined = format!("{}/{}", repository.host(), repository.path());
        assert_eq!(joined, repository.as_str());
        assert_eq!(joined.parse().as_ref(), Ok(repository), "{text:?}");
        assert_eq!(text.parse(), Ok(ImageName::Named(reference)), "{text:?}");
    }
});
