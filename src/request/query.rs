//! The query string, read strictly.
//!
//! Go's `url.ParseQuery` decodes names as well as values, lets the first of repeated
//! names win (`Values.Get`) and, where a handler goes through `URL.Query`, drops bad
//! pairs without a word; later Go drops the whole of a query of many. Whatever two readers
//! could see differently is refused.

use std::borrow::Cow;

use super::refusal::{Refusal, excerpt};

/// The most pairs of a query, the empty ones included. Go since 1.24.12 reads none of a query
/// of more than 10,000; engines built with older Go read them all.
const MAX_PAIRS: usize = 1000;

/// The parameters of a query, decoded, in the order written.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub fn parse(raw: &str) -> Result<Self, Refusal> {
        if raw.split('&').count() > MAX_PAIRS {
            return Err(fault(raw, "has more than 1000 parameters"));
        }
        raw.split('&').filter(|pair| !pair.is_empty()).map(pair).collect::<Result<_, _>>().map(Self)
    }

    /// The value of a parameter that the engine interprets.
    pub fn one(&self, name: &str) -> Result<Option<&str>, Refusal> {
        let mut values = self.0.iter().filter(|(written, _)| written == name);
        let value = values.next().map(|(_, value)| value.as_str());
        match values.next() {
            Some(_) => Err(fault(name, "is given twice")),
            None => Ok(value),
        }
    }

    /// Refuses parameters other than these.
    pub fn only(&self, known: &[&str]) -> Result<(), Refusal> {
        match self.0.iter().find(|(name, _)| !known.contains(&name.as_str())) {
            Some((name, _)) => Err(fault(name, "is not a parameter of this call")),
            None => Ok(()),
        }
    }
}

fn fault(name: &str, fault: &'static str) -> Refusal {
    Refusal::Query { name: excerpt(name), fault }
}

fn pair(raw: &str) -> Result<(String, String), Refusal> {
    // Go refuses the pair or drops it; older Go took ';' for '&'.
    if raw.contains(';') {
        return Err(fault(raw, "has a ';'"));
    }
    let (name, value) = raw.split_once('=').unwrap_or((raw, ""));
    match (decode(name), decode(value)) {
        (Some(name), Some(value)) => Ok((name, value)),
        _ => Err(fault(raw, "has a percent escape that is not UTF-8 text")),
    }
}

fn decode(raw: &str) -> Option<String> {
    let spaced: Cow<'_, str> =
        if raw.contains('+') { raw.replace('+', " ").into() } else { raw.into() };
    let mut pieces = spaced.split('%');
    let mut bytes = pieces.next()?.as_bytes().to_vec();
    for piece in pieces {
        let digits = piece.get(..2).filter(|two| two.bytes().all(|d| d.is_ascii_hexdigit()))?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend_from_slice(piece.get(2..)?.as_bytes());
    }
    // U+FFFD is what others write for bytes they could not read.
    String::from_utf8(bytes).ok().filter(|text| !text.contains('\u{fffd}'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_as_go_does() {
        let query =
            Query::parse("from%49mage=h.io%2Fx%3a1&tag=&a=b+c%2B&&flag&%c3%a4=%E2%82%AC&=v");
        let query = query.unwrap();
        for (name, value) in [
            ("fromImage", Some("h.io/x:1")),
            ("tag", Some("")),
            ("a", Some("b c+")),
            ("flag", Some("")),
            ("ä", Some("€")),
            ("", Some("v")),
            ("fromimage", None),
        ] {
            assert_eq!(query.one(name), Ok(value), "{name:?}");
        }
        assert_eq!(Query::parse(""), Ok(Query(Vec::new())));
    }

    #[test]
    fn refuses_what_go_drops_or_replaces() {
        for raw in [
            "a=1;b=2",
            "x=%zz",
            "x=%4",
            "x=%",
            "x=%+1",
            "%zz=1",
            "x=%ff",
            "x=%ed%a0%80",
            "x=%EF%BF%BD",
            "x=%é0",
        ] {
            assert!(matches!(Query::parse(raw), Err(Refusal::Query { .. })), "{raw}");
        }
    }

    #[test]
    fn refuses_more_pairs_than_every_engine_reads() {
        let most = "a=1".to_owned() + &"&".repeat(MAX_PAIRS - 1);
        assert_eq!(Query::parse(&most).unwrap().one("a"), Ok(Some("1")));
        let refusal = Query::parse(&(most + "&")).unwrap_err();
        assert!(matches!(refusal, Refusal::Query { .. }), "{refusal}");
    }

    #[test]
    fn refuses_repeated_and_unknown_names() {
        let query = Query::parse("a=1&%61=2&b=3").unwrap();
        assert_eq!(query.one("a"), Err(fault("a", "is given twice")));
        assert_eq!(query.one("b"), Ok(Some("3")));
        assert_eq!(query.only(&["a", "b"]), Ok(()));
        assert_eq!(query.only(&["a"]), Err(fault("b", "is not a parameter of this call")));
    }
}
