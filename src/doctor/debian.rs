//! The order of Debian package versions (deb-version(7), of which epochs are not needed).

use std::cmp::Ordering;

/// Compares two versions without epoch: upstream version, then revision.
pub(super) fn compare(one: &str, other: &str) -> Ordering {
    let (one, other) = (split(one), split(other));
    part(one.0, other.0).then_with(|| part(one.1, other.1))
}

fn split(version: &str) -> (&str, &str) {
    version.rsplit_once('-').unwrap_or((version, ""))
}

/// Stretches of other characters and of digits take turns, the former first.
fn part(mut one: &str, mut other: &str) -> Ordering {
    while !(one.is_empty() && other.is_empty()) {
        let (text, rest) = one.split_at(span(one, |byte| !byte.is_ascii_digit()));
        let (other_text, other_rest) = other.split_at(span(other, |byte| !byte.is_ascii_digit()));
        let (digits, rest) = rest.split_at(span(rest, |byte| byte.is_ascii_digit()));
        let (other_digits, other_rest) =
            other_rest.split_at(span(other_rest, |byte| byte.is_ascii_digit()));
        let order = words(text, other_text).then_with(|| numbers(digits, other_digits));
        if order.is_ne() {
            return order;
        }
        (one, other) = (rest, other_rest);
    }
    Ordering::Equal
}

/// `~` before the end, the end before letters, letters before everything else.
fn words(one: &str, other: &str) -> Ordering {
    let weigh = |byte: u8| match byte {
        b'~' => -1,
        _ if byte.is_ascii_alphabetic() => i32::from(byte),
        _ => i32::from(byte) + 256,
    };
    let weights = |text: &str| text.bytes().map(weigh).chain([0]).collect::<Vec<_>>();
    weights(one).cmp(&weights(other))
}

fn numbers(one: &str, other: &str) -> Ordering {
    let (one, other) = (one.trim_start_matches('0'), other.trim_start_matches('0'));
    one.len().cmp(&other.len()).then_with(|| one.cmp(other))
}

/// How many bytes from the start fit. All that fit or not are ASCII classes, so the end is
/// one of a character: bytes of longer characters are never digits.
fn span(text: &str, fits: impl Fn(u8) -> bool) -> usize {
    text.bytes().take_while(|byte| fits(*byte)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_as_dpkg_does() {
        // dpkg --compare-versions ONE lt OTHER
        for (one, other) in [
            ("20.10.24+dfsg1-1", "20.10.24+dfsg1-1+deb12u1"),
            ("20.10.24+dfsg1-1+deb12u1", "20.10.24+dfsg1-1+deb12u2"),
            ("26.1.5+dfsg1-9", "26.1.5+dfsg1-9+deb13u1"),
            ("26.1.5+dfsg1-9+b3", "26.1.5+dfsg1-9+deb13u1"),
            ("28.5.2+dfsg4-2", "28.5.2+dfsg4-10"),
            ("28.5.2+dfsg3-9", "28.5.2+dfsg4-2"),
            ("1.0~rc1-1", "1.0-1"),
            ("1.0-1~bpo12", "1.0-1"),
            ("1.9", "1.10"),
            ("1.0a", "1.0+"),
        ] {
            assert_eq!(compare(one, other), Ordering::Less, "{one} {other}");
            assert_eq!(compare(other, one), Ordering::Greater, "{other} {one}");
        }
        assert_eq!(compare("1.00-1", "1.0-01"), Ordering::Equal);
        assert_eq!(compare("1é2", "1é2"), Ordering::Equal);
    }
}
