//! `Retry-After`, and the dates of HTTP.

use std::time::Duration;

use hyper::header::{DATE, HeaderMap, HeaderName, RETRY_AFTER};
use jiff::Timestamp;
use jiff::fmt::rfc2822;

use super::clock;

/// Longest silence that a server is granted. It may ask for more: one that could switch
/// off the questions about its trust data for a year would have no need to forge any.
const LONGEST: Duration = Duration::from_secs(3600);

/// How long a server asks to be left alone: seconds or a date (RFC 9110, section 10.2.3),
/// an hour at most. `None` where it does not say, or not in a way that can be read.
///
/// A date counts from the server's own `Date`, so that it means the same where our clock
/// is wrong.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let asked = if is_number {
        // More than fits is more than is granted.
        text.parse().map_or(LONGEST, Duration::from_secs)
    } else {
        let sent = date(headers, &DATE).unwrap_or_else(clock::now);
        // A date that has passed: at once.
        let until = date(headers, &RETRY_AFTER)?.duration_since(sent);
        until.max(jiff::SignedDuration::ZERO).unsigned_abs()
    };
    Some(asked.min(LONGEST))
}

/// A header that holds a date: `Sun, 06 Nov 1994 08:49:37 GMT`.
pub(super) fn date(headers: &HeaderMap, name: &HeaderName) -> Option<Timestamp> {
    let text = headers.get(name)?.to_str().ok()?;
    let written = rfc2822::DateTimeParser::new().parse_zoned(text).ok()?;
    Some(written.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    #[test]
    fn seconds_and_dates_within_bounds() {
        const SENT: &str = "Fri, 27 Nov 2026 07:00:00 GMT";
        for (asked, sent, seconds) in [
            ("0", None, Some(0)),
            ("30", None, Some(30)),
            (" 30 ", None, Some(30)),
            ("3600", None, Some(3600)),
            ("3601", None, Some(3600)),
            ("31536000", None, Some(3600)),
            ("99999999999999999999999999", None, Some(3600)),
            ("Fri, 27 Nov 2026 07:00:30 GMT", Some(SENT), Some(30)),
            ("Fri, 27 Nov 2026 06:00:00 GMT", Some(SENT), Some(0)),
            ("Sat, 27 Nov 2027 07:00:00 GMT", Some(SENT), Some(3600)),
            ("Wed, 29 Dec 9999 23:59:59 GMT", Some("Sat, 01 Jan 2000 00:00:00 GMT"), Some(3600)),
            ("Sat, 27 Nov 1999 07:00:00 GMT", None, Some(0)),
            ("Wed, 29 Dec 9999 23:59:59 GMT", None, Some(3600)),
            ("", None, None),
            ("-1", None, None),
            ("+1", None, None),
            ("1.5", None, None),
            ("0x10", None, None),
            ("soon", Some(SENT), None),
            ("Fri, 99 Nov 2026 07:00:30 GMT", Some(SENT), None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, HeaderValue::from_static(asked));
            if let Some(sent) = sent {
                headers.insert(DATE, HeaderValue::from_static(sent));
            }
            let expected = seconds.map(Duration::from_secs);
            assert_eq!(retry_after(&headers), expected, "{asked:?} sent {sent:?}");
        }
        assert_eq!(retry_after(&HeaderMap::new()), None);
        let garbage = HeaderValue::from_bytes(b"\xff30").unwrap();
        assert_eq!(retry_after(&HeaderMap::from_iter([(RETRY_AFTER, garbage)])), None);
    }
}
