//! Ways to write a call so that the engine and its plugin could read it differently.

use super::draft::{Body, Draft, Framing};
use super::json::{Json, Members};
use super::rng::Rng;
use super::smuggle::respelled;

/// A change of a call.
pub type Bend = fn(&mut Draft, &mut Rng);

/// All of them, with their names and how often they are chosen.
pub const BENDS: &[(usize, (&str, Bend))] = &[
    (6, ("another version", another_version)),
    (3, ("an encoded letter in the path", encoded_letter)),
    (2, ("an encoded slash in the path", encoded_slash)),
    (2, ("an unclean path", unclean_path)),
    (1, ("a path that ends otherwise", other_ending)),
    (2, ("the absolute form", absolute_form)),
    (1, ("a path in other letters", path_in_other_letters)),
    (4, ("a parameter twice", parameter_twice)),
    (3, ("a parameter in the body", parameter_in_the_body)),
    (3, ("a parameter that cannot be read", bad_parameter)),
    (4, ("what no URL has after the query", after_the_query)),
    (2, ("a parameter in other letters", respelled_parameter)),
    (2, ("an encoded parameter", encoded_parameter)),
    (7, ("another Content-Type", other_content_type)),
    (5, ("two Content-Types", two_content_types)),
    (4, ("no Content-Type", no_content_type)),
    (6, ("chunks", in_chunks)),
    (3, ("chunks, oddly", in_odd_chunks)),
    (2, ("chunks beside a length", chunks_and_length)),
    (2, ("a length that lies", lying_length)),
    (2, ("two lengths", two_lengths)),
    (1, ("no length", no_length)),
    (2, ("another Transfer-Encoding", other_transfer_encoding)),
    (2, ("Connection: Upgrade", upgrade)),
    (1, ("Expect", expect)),
    (2, ("another method in a header", method_override)),
    (1, ("another method", other_method)),
    (1, ("HTTP/1.0", http_1_0)),
    (1, ("a Content-Encoding", content_encoding)),
    (2, ("another Host", other_host)),
    (1, ("headers that name others", connection_names)),
    (4, ("members that mean nothing", odd_members)),
    (3, ("members in another order", reordered)),
    (2, ("odd white space", odd_white_space)),
    (2, ("something around the document", around_the_document)),
    (3, ("a member twice", member_twice)),
    (2, ("a member in other letters", respelled_member)),
    (2, ("a value of another type", other_type)),
    (2, ("a body where none belongs", unasked_body)),
    (1, ("a pipeline", pipeline)),
];

fn another_version(draft: &mut Draft, rng: &mut Rng) {
    const VERSIONS: [&str; 21] = [
        "", "/v1.12", "/v1.18", "/v1.21", "/v1.22", "/v1.23", "/v1.24", "/v1.25", "/v1.29",
        "/v1.30", "/v1.40", "/v1.41", "/v1.43", "/v1.45", "/v1.48", "/v1.51", "/v1.99", "/v01.041",
        "/v1.41.0", "/v1%2E41", "/v1",
    ];
    draft.version = rng.pick(&VERSIONS).into();
}

/// Where a letter stands that may be escaped.
fn some_letter(text: &str, rng: &mut Rng) -> Option<usize> {
    let letters: Vec<usize> =
        text.bytes().enumerate().filter(|(_, byte)| *byte != b'/').map(|(at, _)| at).collect();
    (!letters.is_empty()).then(|| rng.pick(&letters))
}

fn escape_at(text: &str, at: usize) -> String {
    let byte = text.as_bytes()[at];
    format!("{}%{byte:02X}{}", &text[..at], &text[at + 1..])
}

fn encoded_letter(draft: &mut Draft, rng: &mut Rng) {
    if let Some(at) = some_letter(&draft.path, rng) {
        draft.path = escape_at(&draft.path, at);
    }
}

fn some_slash(path: &str, rng: &mut Rng) -> usize {
    let slashes: Vec<usize> = path.match_indices('/').map(|(at, _)| at).collect();
    if slashes.is_empty() { 0 } else { rng.pick(&slashes) }
}

fn encoded_slash(draft: &mut Draft, rng: &mut Rng) {
    let at = some_slash(&draft.path, rng);
    if draft.path.as_bytes().get(at) == Some(&b'/') {
        draft.path = escape_at(&draft.path, at);
    }
}

fn unclean_path(draft: &mut Draft, rng: &mut Rng) {
    const UNCLEAN: [&str; 7] = ["/", "/.", "/x/..", "/%2e", "/x/%2e%2e", "/x%2f..", "/..;"];
    let at = some_slash(&draft.path, rng);
    draft.path.insert_str(at, rng.pick(&UNCLEAN));
}

fn other_ending(draft: &mut Draft, rng: &mut Rng) {
    const ENDINGS: [&str; 8] = ["/", "%00", ";x", "%20", "\\", "%0d%0a", "/json", "%3fx=1"];
    draft.path.push_str(rng.pick(&ENDINGS));
}

fn absolute_form(draft: &mut Draft, rng: &mut Rng) {
    const AUTHORITIES: [&str; 7] =
        ["http://h", "http://u:p@h:1", "http://", "x:", "unix://", "https://h/../", "docker:"];
    draft.authority = rng.pick(&AUTHORITIES).into();
}

fn path_in_other_letters(draft: &mut Draft, rng: &mut Rng) {
    let at = some_slash(&draft.path, rng);
    let (left, right) = draft.path.split_at(at);
    draft.path = left.to_owned() + &right.to_uppercase();
}

fn parameter_twice(draft: &mut Draft, rng: &mut Rng) {
    const VALUES: [&str; 6] = ["", "1", "x", "previous", "$EVIL", "0"];
    if draft.query.is_empty() {
        return;
    }
    let (name, value) = draft.query[rng.below(draft.query.len())].clone();
    let other = if rng.percent(30) { value } else { rng.pick(&VALUES).to_owned() };
    let at = if rng.percent(50) { 0 } else { draft.query.len() };
    draft.query.insert(at, (name, other));
}

/// Engines take values of a form before those of the query.
fn parameter_in_the_body(draft: &mut Draft, rng: &mut Rng) {
    const FORMS: [&str; 6] = [
        "fromImage=$APP&tag=remote",
        "fromImage=$OTHER",
        "repo=$APP&tag=1",
        "name=$EVIL_CID",
        "rollback=previous",
        "checkpoint=c",
    ];
    if !matches!(draft.body, Body::Absent) {
        return;
    }
    draft.body = Body::Bytes(rng.pick(&FORMS).as_bytes().to_vec());
    draft.set_header("Content-Type", "application/x-www-form-urlencoded");
    if rng.percent(60) {
        draft.add_header("Content-Type", rng.pick(&["text/plain", "application/json", ""]));
    }
    if rng.percent(60) {
        draft.framing = Framing::chunked();
    }
}

fn bad_parameter(draft: &mut Draft, rng: &mut Rng) {
    const BAD: [(&str, &str); 9] = [
        ("x", "%zz"),
        ("%zz", "1"),
        ("", "x"),
        ("x;y", "1"),
        ("x", "1;rollback=previous"),
        ("%", ""),
        ("x", "\u{e9}"),
        ("x", "%ff"),
        ("x", "a+b%2Bc"),
    ];
    let (name, value) = rng.pick(&BAD);
    let at = rng.below(draft.query.len() + 1);
    draft.query.insert(at, ((*name).to_owned(), (*value).to_owned()));
}

fn after_the_query(draft: &mut Draft, rng: &mut Rng) {
    const AFTER: [&str; 8] = ["#%zz", "#x", "?", "#/auth", "?x=/auth", "&x=#%zz", "#", "?a=b#%"];
    let after = rng.pick(&AFTER);
    draft.after_query = match after.strip_prefix('&') {
        Some(rest) if draft.query.is_empty() => format!("?{rest}"),
        _ => after.into(),
    };
}

fn respelled_parameter(draft: &mut Draft, rng: &mut Rng) {
    if draft.query.is_empty() {
        return;
    }
    let at = rng.below(draft.query.len());
    let name = draft.query[at].0.clone();
    draft.query[at].0 = match rng.below(3) {
        0 => name.to_lowercase(),
        1 => name.to_uppercase(),
        _ => format!("{name}[]"),
    };
}

fn encoded_parameter(draft: &mut Draft, rng: &mut Rng) {
    if draft.query.is_empty() {
        return;
    }
    let at = rng.below(draft.query.len());
    let (name, value) = &mut draft.query[at];
    let text = if rng.percent(50) || value.is_empty() { name } else { value };
    if text.is_ascii()
        && let Some(letter) = some_letter(text, rng)
    {
        *text = escape_at(text, letter);
    }
}

const TYPES: [&str; 15] = [
    "application/json",
    "Application/JSON",
    "application/json; charset=utf-8",
    "application/json;",
    "application/json; a",
    "application/json; a=1; a=2",
    " application/json",
    "application/jsonx",
    "application/x-www-form-urlencoded",
    "application/x-tar",
    "text/plain",
    "multipart/form-data; boundary=x",
    "application/grpc",
    "",
    "*/*",
];

fn other_content_type(draft: &mut Draft, rng: &mut Rng) {
    draft.set_header("Content-Type", rng.pick(&TYPES));
}

fn two_content_types(draft: &mut Draft, rng: &mut Rng) {
    if rng.percent(60) {
        draft.add_header("Content-Type", rng.pick(&TYPES));
    } else {
        draft.headers.insert(0, ("content-type".to_owned(), rng.pick(&TYPES).to_owned()));
    }
}

fn no_content_type(draft: &mut Draft, _: &mut Rng) {
    draft.headers.retain(|(name, _)| !name.eq_ignore_ascii_case("Content-Type"));
}

fn in_chunks(draft: &mut Draft, _: &mut Rng) {
    draft.framing = Framing::chunked();
}

fn in_odd_chunks(draft: &mut Draft, rng: &mut Rng) {
    draft.framing = Framing::Chunked {
        lines: vec![("Transfer-Encoding".to_owned(), "chunked".to_owned())],
        size: rng.pick(&[1, 7, 100, 1 << 16]),
        extension: rng.pick(&["", ";a=b", ";a=\"b\"", " ", ";"]).to_owned(),
        trailer: rng
            .pick(&[
                "",
                "X: y\r\n",
                "Content-Length: 0\r\n",
                "Content-Type: text/plain\r\n",
                "Transfer-Encoding: identity\r\n",
            ])
            .to_owned(),
    };
}

fn chunks_and_length(draft: &mut Draft, rng: &mut Rng) {
    let lengths = ["0", "1", "5", "2000000", "-1"];
    let line = ("Content-Length".to_owned(), rng.pick(&lengths).to_owned());
    draft.framing = Framing::chunked();
    if let Framing::Chunked { lines, .. } = &mut draft.framing {
        lines.insert(rng.below(2), line);
    }
}

fn lying_length(draft: &mut Draft, rng: &mut Rng) {
    let length = draft.body.bytes().len();
    let said = match rng.below(6) {
        0 => "0".to_owned(),
        1 => length.saturating_sub(1).to_string(),
        2 => (length + 1).to_string(),
        3 => format!("+{length}"),
        4 => format!("0{length}"),
        _ => format!("{length}.0"),
    };
    draft.framing = Framing::Claim(vec![("Content-Length".to_owned(), said)]);
}

fn two_lengths(draft: &mut Draft, rng: &mut Rng) {
    let length = draft.body.bytes().len().to_string();
    let second = if rng.percent(60) { length.clone() } else { "0".to_owned() };
    let line = |value: String| ("Content-Length".to_owned(), value);
    let mut lines = vec![line(length), line(second)];
    if rng.percent(50) {
        lines.reverse();
    }
    draft.framing = Framing::Claim(lines);
}

fn no_length(draft: &mut Draft, _: &mut Rng) {
    draft.framing = Framing::Nothing;
}

fn other_transfer_encoding(draft: &mut Draft, rng: &mut Rng) {
    const NAMES: [&str; 4] =
        ["Transfer-Encoding", "transfer-encoding", "Transfer-Encoding ", "Transfer_Encoding"];
    const VALUES: [&str; 9] = [
        "Chunked",
        "chunked ",
        "\tchunked",
        "gzip, chunked",
        "chunked, identity",
        "identity",
        "xchunked",
        "chunked\r\nTransfer-Encoding: chunked",
        "",
    ];
    let lines = vec![(rng.pick(&NAMES).to_owned(), rng.pick(&VALUES).to_owned())];
    draft.framing =
        Framing::Chunked { lines, size: 1 << 16, extension: String::new(), trailer: String::new() };
}

fn upgrade(draft: &mut Draft, rng: &mut Rng) {
    draft.set_header("Connection", rng.pick(&["Upgrade, close", "close,upgrade", "close"]));
    draft.set_header("Upgrade", rng.pick(&["tcp", "h2c", "websocket"]));
}

fn expect(draft: &mut Draft, rng: &mut Rng) {
    draft.set_header("Expect", rng.pick(&["100-continue", "100-Continue", "200-ok"]));
}

fn method_override(draft: &mut Draft, rng: &mut Rng) {
    let method = draft.method.clone();
    let name = rng.pick(&["X-HTTP-Method-Override", "X-Method-Override", "X-HTTP-Method"]);
    draft.set_header(name, &method);
    draft.method = rng.pick(&["GET", "HEAD", "OPTIONS"]).into();
}

fn other_method(draft: &mut Draft, rng: &mut Rng) {
    const METHODS: [&str; 9] =
        ["post", "PUT", "PATCH", "GET", "HEAD", "OPTIONS", "DELETE", "CONNECT", "POST\t"];
    draft.method = rng.pick(&METHODS).into();
}

fn http_1_0(draft: &mut Draft, _: &mut Rng) {
    draft.protocol = "HTTP/1.0";
}

fn content_encoding(draft: &mut Draft, rng: &mut Rng) {
    draft.set_header("Content-Encoding", rng.pick(&["gzip", "identity", "deflate"]));
}

fn other_host(draft: &mut Draft, rng: &mut Rng) {
    draft.set_header("Host", rng.pick(&["", "a/b", "x:1", "docker/containers/create", "%zz"]));
}

/// A proxy drops the headers that `Connection` names.
fn connection_names(draft: &mut Draft, rng: &mut Rng) {
    const NAMES: [&str; 3] =
        ["close, Content-Length", "close, Content-Type", "Transfer-Encoding, close"];
    draft.set_header("Connection", rng.pick(&NAMES));
}

fn odd_members(draft: &mut Draft, rng: &mut Rng) {
    const VALUES: [&[u8]; 11] = [
        b"1e999",
        b"-0",
        b"18446744073709551616",
        b"\"\\ud800\"",
        b"\"\xff\xfe\"",
        b"\"\\u0000\"",
        b"{\"Image\":\"$EVIL\"}",
        b"[[[[[[[[[[{}]]]]]]]]]]",
        b"1.0e1",
        b"\"a\tb\"",
        b"NaN",
    ];
    const NAMES: [&[u8]; 6] = [b"Unknown", b"", b"Labels", b"\\u0000", b"\xff", b"Hostname"];
    let value = if rng.percent(15) {
        let depth = rng.pick(&[63, 64, 65, 128, 1000, 10_001]);
        ["[".repeat(depth), "]".repeat(depth)].concat().into_bytes()
    } else {
        rng.pick(&VALUES).to_vec()
    };
    let name = rng.pick(&NAMES).to_vec();
    if let Some(members) = draft.document().and_then(Json::members) {
        let at = rng.below(members.len() + 1);
        members.insert(at, (name, Json::Raw(value)));
    }
}

fn reordered(draft: &mut Draft, rng: &mut Rng) {
    if let Some(document) = draft.document() {
        document.each_object(&mut |members| {
            for at in (1..members.len()).rev() {
                members.swap(at, rng.below(at + 1));
            }
        });
    }
}

fn odd_white_space(draft: &mut Draft, rng: &mut Rng) {
    const SPACES: [&[u8]; 7] = [b" ", b"\r\n", b"\t", b"\x0b", b"\xc2\xa0", b"\0", b"/**/"];
    let space = rng.pick(&SPACES);
    if let Body::Json { before, after, .. } = &mut draft.body {
        if rng.percent(50) {
            before.splice(..0, space.iter().copied());
        } else {
            after.extend(space);
        }
    }
}

fn around_the_document(draft: &mut Draft, rng: &mut Rng) {
    const AFTER: [&[u8]; 7] = [
        b"}",
        b"]",
        b"{}",
        b"null",
        b"{\"Image\":\"$EVIL\"}",
        b"\xff",
        b"{\"HostConfig\":{\"Privileged\":true}}",
    ];
    const BEFORE: [&[u8]; 4] = [b"\xef\xbb\xbf", b"null", b"{}", b")]}'\n"];
    if let Body::Json { before, after, .. } = &mut draft.body {
        if rng.percent(75) {
            after.extend(rng.pick(&AFTER));
        } else {
            before.splice(..0, rng.pick(&BEFORE).iter().copied());
        }
    }
}

/// Some object of the document.
fn in_some_object(draft: &mut Draft, rng: &mut Rng, change: fn(&mut Members, &mut Rng)) {
    let Some(document) = draft.document() else { return };
    let mut count = 0;
    document.each_object(&mut |members| count += usize::from(!members.is_empty()));
    if count == 0 {
        return;
    }
    let mut left = rng.below(count) + 1;
    document.each_object(&mut |members| {
        if !members.is_empty() {
            left = left.wrapping_sub(1);
            if left == 0 {
                change(members, rng);
            }
        }
    });
}

fn member_twice(draft: &mut Draft, rng: &mut Rng) {
    in_some_object(draft, rng, |members, rng| {
        let member = members[rng.below(members.len())].clone();
        members.push(member);
    });
}

fn respelled_member(draft: &mut Draft, rng: &mut Rng) {
    in_some_object(draft, rng, |members, rng| {
        let at = rng.below(members.len());
        members[at].0 = respelled(&String::from_utf8_lossy(&members[at].0), rng);
    });
}

fn other_type(draft: &mut Draft, rng: &mut Rng) {
    const VALUES: [&str; 8] = ["null", "1", "\"x\"", "[]", "{}", "true", "[null]", "1e3"];
    in_some_object(draft, rng, |members, rng| {
        let at = rng.below(members.len());
        members[at].1 = Json::raw(rng.pick(&VALUES));
    });
}

fn unasked_body(draft: &mut Draft, rng: &mut Rng) {
    const BODIES: [&str; 4] = ["{}", "{\"Privileged\":true}", "{\"Binds\":[\"/etc:/h\"]}", "null"];
    if matches!(draft.body, Body::Absent) {
        draft.body = Body::Bytes(rng.pick(&BODIES).as_bytes().to_vec());
        draft.set_header("Content-Type", "application/json");
    }
}

/// A read before the call on the same connection, or the call once more behind it.
fn pipeline(draft: &mut Draft, rng: &mut Rng) {
    const READ: &[u8] = b"GET /_ping HTTP/1.1\r\nHost: docker\r\n\r\n";
    let once_more = draft.bytes();
    match rng.below(3) {
        0 => draft.around.0 = vec![READ.to_vec()],
        1 => draft.around.1 = once_more,
        _ => {
            draft.around.0 = vec![READ.to_vec(); 2];
            draft.framing = Framing::Claim(vec![("Content-Length".to_owned(), "0".to_owned())]);
        }
    }
}
