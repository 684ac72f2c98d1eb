//! Requests against `net/http` and `net/url`: whatever a request means to us, it means to the
//! engine that accepts it.
//!
//! The reference reader takes raw HTTP. It answers with the message that the engine shows its
//! plugins, the route that its router takes, and the same request written plainly, with just
//! what the handler looks at. Both messages must give the very same intent.

use countersign::request::{Call, Intent, Permission, StartVerb, read};
use libtest_mimic::Failed;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::Plan;
use crate::chance::Chance;
use crate::findings::Findings;
use crate::reader::{Case, Reader};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer<'a> {
    /// What plugins are shown, unless the server refuses before that.
    #[serde(borrow)]
    message: Option<&'a RawValue>,
    #[serde(borrow)]
    plain: Option<&'a RawValue>,
    #[serde(default)]
    route: String,
    #[serde(default)]
    name: String,
}

pub fn same_intents(reader: &Reader, plan: &Plan) -> Result<(), Failed> {
    let mut findings = Findings::default();
    reader.ask(
        plan.cases,
        |at| case(plan.seed, at),
        |at, case, line| match compare(case, &serde_json::from_str(line).unwrap()) {
            Ok(what) => findings.count(what),
            Err(wrong) => findings.wrong(at, case, &wrong),
        },
    );
    findings.expect("read as Go does", plan.cases / 4);
    findings.expect("refused, and acted on by Go", plan.cases / 20);
    findings.told("requests", plan.seed)
}

/// What came of a case, or what is wrong with it.
fn compare(case: &Case, answer: &Answer<'_>) -> Result<&'static str, String> {
    let Some(message) = answer.message else {
        return Ok("refused by Go before it asks");
    };
    let call = Call::from_json(message.get().as_bytes()).map_err(|error| error.to_string())?;
    let ours = match read(&call) {
        Ok(intent) => intent,
        Err(refusal) if case.ordinary => return Err(refusal.to_string()),
        Err(_) if answer.plain.is_some() => {
            return Ok("refused, and acted on by Go");
        }
        Err(_) => return Ok("refused, and nothing to Go"),
    };
    let Some(plain) = answer.plain else {
        return Ok("read, and nothing of weight to Go");
    };
    let plain = Call::from_json(plain.get().as_bytes()).unwrap();
    match read(&plain) {
        Ok(theirs) if theirs == ours => {}
        // A form can make a pull of an import. Who may import may bring in anything.
        _ if is_import(&ours) => {}
        Ok(theirs) => return Err(format!("ours {ours:?}, Go's {theirs:?}; {plain:?}")),
        Err(refusal) => {
            return Err(format!("ours {ours:?}, Go's is refused: {refusal}; {plain:?}"));
        }
    }
    if !fits(&ours, answer) {
        return Err(format!("{ours:?}, but Go's route is {} {:?}", answer.route, answer.name));
    }
    Ok("read as Go does")
}

fn is_import(intent: &Intent) -> bool {
    matches!(intent, Intent::Guarded { permission: Permission::Import, .. })
}

/// Whether the intent is one of the route, and of the name in the path.
fn fits(intent: &Intent, answer: &Answer<'_>) -> bool {
    let named = |route: &str, name: &str| answer.route == route && answer.name == name;
    match intent {
        Intent::Pass => {
            matches!(answer.route.as_str(), "/containers/{name:.*}/update" | "/volumes/create")
        }
        Intent::Guarded { route, .. } => answer.route == *route,
        Intent::Tag { written, .. } => named("/images/{name:.*}/tag", written),
        Intent::Pull(_) => answer.route == "/images/create",
        Intent::Create { .. } => answer.route == "/containers/create",
        Intent::Start { container, verb: StartVerb::Start } => {
            named("/containers/{name:.*}/start", container)
        }
        Intent::Start { container, verb: StartVerb::Restart } => {
            named("/containers/{name:.*}/restart", container)
        }
        Intent::Rename => answer.route == "/containers/{name:.*}/rename",
        Intent::Service { .. } => answer.route.starts_with("/services/"),
        Intent::Rollback { service } => named("/services/{id}/update", service),
        Intent::Volume { .. } => answer.route == "/volumes/create",
        Intent::Exec { container, .. } => named("/containers/{name:.*}/exec", container),
        Intent::ExecStart { exec, .. } => named("/exec/{name:.*}/start", exec),
        Intent::Update { container, .. } => named("/containers/{name:.*}/update", container),
    }
}

/// What a client may call: method, path, parameters, and the body.
type Endpoint =
    (&'static str, &'static str, &'static [(&'static str, &'static [&'static str])], &'static str);

const NAMES: &[&str] = &["web", "a.b_c-1", "h.io:5/a/b", "create", "start", "x@sha256:00"];
const IMAGES: &[&str] = &["busybox:1", "h.io:5/x:2", "me/app:1.0"];
const WORDS: &[&str] = &["", "1", "web", "a b", "linux/amd64", "é", "a+b&c=d"];

/// Called by ordinary clients, and read.
const ENDPOINTS: &[Endpoint] = &[
    ("POST", "/images/create", &[("fromImage", IMAGES), ("platform", WORDS)], ""),
    (
        "POST",
        "/images/create",
        &[("fromImage", &["busybox", "h.io/x"]), ("tag", &["1", "a_b"])],
        "",
    ),
    ("POST", "/images/create", &[("fromSrc", &["-"]), ("repo", WORDS), ("tag", WORDS)], ""),
    ("POST", "/images/NAME/tag", &[("repo", &["h.io/x", "busybox"]), ("tag", WORDS)], ""),
    ("POST", "/containers/create", &[("name", WORDS)], r#"{"Image":"busybox"}"#),
    ("POST", "/containers/NAME/start", &[("detachKeys", WORDS)], ""),
    ("POST", "/containers/NAME/restart", &[("t", &["10"])], ""),
    ("POST", "/containers/NAME/rename", &[("name", &["b", "/c"])], ""),
    ("POST", "/containers/NAME/exec", &[], r#"{"Cmd":["sh"],"Privileged":true}"#),
    ("POST", "/containers/NAME/update", &[], r#"{"CgroupParent":"/x"}"#),
    ("POST", "/services/ONE/update", &[("version", &["7"]), ("rollback", &["previous"])], SERVICE),
    ("POST", "/services/ONE/update", &[("version", &["7"]), ("registryAuthFrom", WORDS)], SERVICE),
    ("POST", "/services/create", &[], SERVICE),
    ("POST", "/volumes/create", &[], r#"{"Name":"v"}"#),
    ("POST", "/build", &[("t", WORDS), ("remote", WORDS)], ""),
    ("POST", "/commit", &[("container", WORDS)], ""),
    ("PUT", "/containers/NAME/archive", &[("path", WORDS)], ""),
    ("POST", "/exec/ONE/start", &[], ""),
    ("POST", "/plugins/NAME/enable", &[("timeout", &["0"])], ""),
    ("DELETE", "/plugins/NAME", &[], ""),
    ("POST", "/swarm/leave", &[("force", &["1"])], ""),
    ("GET", "/swarm", &[], ""),
    ("POST", "/session", &[], ""),
    ("GET", "/containers/json", &[("filters", WORDS)], ""),
    ("POST", "/containers/NAME/stop", &[("t", &["1"])], ""),
];
const SERVICE: &str = r#"{"TaskTemplate":{"ContainerSpec":{"Image":"h.io/x@sha256:145efec3e7674af0ea621617610fabe76eb46cfa88a9b225311d118e1d70acd8"}}}"#;

fn case(seed: u64, at: usize) -> Case {
    let mut chance = Chance::of(seed, at);
    let ordinary = at.is_multiple_of(4);
    let faults = if ordinary { 0 } else { chance.pick(&[1, 1, 2, 3]) };
    let mut writer = Writer { chance: &mut chance, faults };
    let bytes = writer.request();
    Case { kind: b'h', bytes, ordinary }
}

struct Writer<'c> {
    chance: &'c mut Chance,
    faults: usize,
}

impl Writer<'_> {
    /// Whether something goes wrong here, as often as once in `times`.
    fn fault(&mut self, times: usize) -> bool {
        let wrong = self.faults > 0 && self.chance.once_in(times);
        self.faults -= usize::from(wrong);
        wrong
    }

    fn request(&mut self) -> Vec<u8> {
        let (method, path, parameters, body) = self.chance.pick(ENDPOINTS);
        let mut method = method;
        if self.fault(30) {
            method = self.chance.pick(&[
                "GET", "POST", "post", "PUT", "HEAD", "OPTIONS", "CONNECT", "TRACE", "PATCH",
                "DELETE",
            ]);
        }
        let mut target = self.path(path).into_bytes();
        let query = self.query(parameters);
        if !query.is_empty() {
            target.push(b'?');
            target.extend(query);
        }
        if self.fault(6) {
            self.chance.damage(&mut target);
        }
        let mut request = format!("{method} ").into_bytes();
        request.extend(target);
        request.extend(b" HTTP/1.1\r\nHost: docker\r\n");
        self.headers_and_body(body, &mut request);
        request
    }

    fn path(&mut self, pattern: &str) -> String {
        let version = self.chance.pick(&["", "/v1.41", "/v1.51"]);
        let name = self.chance.pick(NAMES);
        let one = self.chance.pick(&["web", "7ab"]);
        let path = pattern.replace("NAME", name).replace("ONE", one);
        let mut path = format!("{version}{path}");
        if self.fault(6) {
            path = self.odd_form(&path);
        }
        if self.fault(3) {
            path = self.odd_piece(&path);
        }
        path.chars().map(|c| self.escaped_oddly(c)).collect()
    }

    /// A target that is not the plain path.
    fn odd_form(&mut self, path: &str) -> String {
        match self.chance.below(12) {
            0 => format!("http://docker{path}"),
            1 => format!("http://{path}"),
            2 => format!("x:{path}"),
            3 => format!("//docker{path}"),
            4 => format!("/{path}"),
            5 => path.trim_start_matches('/').to_owned(),
            6 => "*".to_owned(),
            7 => "docker:80".to_owned(),
            8 => format!("{path}/"),
            9 => format!("/v1.41.0.0{path}"),
            10 => format!("/v1{path}"),
            _ => format!("unix://{path}"),
        }
    }

    /// Something at one of the path's slashes.
    fn odd_piece(&mut self, path: &str) -> String {
        const PIECES: [&str; 18] = [
            "//", "/./", "/x/../", "/../", "%2f", "%2F", "/%2e%2e/", "/%2e/", "/%2f", ";x/", "/;/",
            "#/", "\\", "/%00/", "/%0a/", "/ /", "/+/", "/a%20b/",
        ];
        let slashes: Vec<usize> = path.match_indices('/').map(|(at, _)| at).collect();
        let Some(&at) = slashes.get(self.chance.below(slashes.len() + 1)) else {
            return format!(
                "{path}{}",
                self.chance.pick(&["/", "%2f", "#", ";x", "%0a", "%", "?", "\u{e9}"])
            );
        };
        format!("{}{}{}", &path[..at], self.chance.pick(&PIECES), &path[at + 1..])
    }

    /// A character that one reader decodes where another does not.
    fn escaped_oddly(&mut self, c: char) -> String {
        if !self.fault(60) {
            return c.to_string();
        }
        let code = u32::from(c);
        match self.chance.below(6) {
            0 => format!("{c}%"),
            1 => format!("%{c}"),
            2 => format!("%25{code:02x}"),
            3 => format!("%{code:02x}"),
            _ => format!("%{code:02X}"),
        }
    }

    fn query(&mut self, parameters: &[(&str, &[&str])]) -> Vec<u8> {
        let mut query = Vec::new();
        for (name, values) in parameters {
            loop {
                if !query.is_empty() {
                    let odd = if self.fault(12) {
                        self.chance.pick(&["&&", ";", "?", "&=&", "&;"])
                    } else {
                        "&"
                    };
                    query.extend(odd.bytes());
                }
                let value = self.chance.pick(values);
                let name = if self.fault(12) { self.respelled(name) } else { (*name).to_owned() };
                query.extend(self.encoded(&name));
                if !self.fault(20) {
                    query.push(b'=');
                    query.extend(self.encoded(value));
                }
                if !self.fault(8) {
                    break;
                }
            }
        }
        if self.fault(10) {
            let more = self.chance.pick(&[
                &b"&fromImage=evil"[..],
                b"&tag=2",
                b"&name=b",
                b"&rollback=previous",
                b"&version=8",
                b"&x=%zz",
                b"&x=%",
                b"&x=%ff",
                b"&x=#%zz",
                b"&x=\xff",
                b"&%66romImage=evil",
                b"&x=a;b",
                b"&checkpoint=c",
                b"&=",
                b"#",
                b"&fromSrc=-",
                b"&x=\xe2\x80\xa8",
                b"& x=1",
            ]);
            query.extend(more);
        }
        if self.fault(200) {
            // Around the 10,000 that later Go takes.
            let many = self.chance.pick(&[900, 9_990, 10_001]);
            let at = if self.chance.once_in(2) { 0 } else { query.len() };
            query.splice(at..at, std::iter::repeat_n(b'&', many));
        }
        query
    }

    fn respelled(&mut self, name: &str) -> String {
        match self.chance.below(4) {
            0 => name.to_lowercase(),
            1 => format!("{name}[]"),
            2 => format!("+{name}"),
            _ => format!("{name}\0"),
        }
    }

    /// Percent-encoded, with more than is needed and perhaps not as it should be.
    fn encoded(&mut self, text: &str) -> Vec<u8> {
        let mut encoded = Vec::new();
        for byte in text.bytes() {
            let plain = byte.is_ascii_alphanumeric() || b"-._~/:".contains(&byte);
            if self.fault(60) {
                let odd =
                    self.chance.pick(&["%", "%4", "%zz", "+", "%ff", "%u0041", ";", "%EF%BF%BD"]);
                encoded.extend(odd.bytes());
            }
            if byte == b' ' && self.chance.once_in(2) {
                encoded.push(b'+');
            } else if plain && !self.chance.once_in(8) {
                encoded.push(byte);
            } else {
                encoded.extend(format!("%{byte:02X}").bytes());
            }
        }
        encoded
    }

    fn headers_and_body(&mut self, body: &str, request: &mut Vec<u8>) {
        const JSON: &str = "application/json";
        const FORM: &str = "application/x-www-form-urlencoded";
        const HIDDEN: &str = "fromImage=evil:1&tag=2&name=b&checkpoint=c&rollback=previous";
        let mut kinds = if body.is_empty() { vec![] } else { vec![JSON.to_owned()] };
        let mut body = body.to_owned();
        let mut chunked = false;
        let mut length = None;
        if self.fault(4) {
            match self.chance.below(7) {
                0 => kinds = vec![],
                1 => kinds.push("text/plain".to_owned()),
                2 => kinds.insert(0, "text/plain".to_owned()),
                3 => chunked = true,
                4 => length = Some(self.chance.pick(&["", "0", "00", "1", "+0", "0, 0", "-1"])),
                5 => kinds = vec![format!("{JSON}; {}", self.chance.pick(&["a", "charset=utf-8"]))],
                _ => body.push_str(self.chance.pick(&[" ", "{}", "]", "x"])),
            }
        }
        if self.fault(4) {
            HIDDEN.clone_into(&mut body);
            kinds = vec![match self.chance.below(5) {
                0 => format!("{FORM}; a"),
                1 => FORM.to_uppercase(),
                2 => format!(" {FORM} ; charset=utf-8"),
                3 => format!("{FORM};a=1;a=2"),
                _ => FORM.to_owned(),
            }];
            if self.chance.once_in(2) {
                kinds.push("text/plain".to_owned());
            }
            chunked |= self.chance.once_in(2);
        }
        for kind in kinds {
            request.extend(format!("Content-Type: {kind}\r\n").bytes());
        }
        if chunked {
            request.extend(b"Transfer-Encoding: chunked\r\n");
            body = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
        }
        let own = body.len().to_string();
        if !chunked || self.chance.once_in(3) {
            request.extend(format!("Content-Length: {}\r\n", length.unwrap_or(&own)).bytes());
        }
        request.extend(b"\r\n");
        request.extend(body.bytes());
    }
}
