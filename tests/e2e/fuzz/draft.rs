//! A call in pieces, so that each piece can be bent before it is written out.

use super::json::Json;

/// A call that is still being written. Nothing in it is encoded: each piece goes out as it is.
#[derive(Clone, Debug)]
pub struct Draft {
    pub method: String,
    /// What stands before the path: a scheme and an authority, as proxies are sent; mostly nothing.
    pub authority: String,
    /// `/v1.41`, or nothing.
    pub version: String,
    pub path: String,
    /// Pairs, joined by `&`.
    pub query: Vec<(String, String)>,
    /// What stands after the query.
    pub after_query: String,
    pub protocol: &'static str,
    pub headers: Vec<(String, String)>,
    pub body: Body,
    pub framing: Framing,
    /// Requests before this one and after it, on the same connection.
    pub around: (Vec<Vec<u8>>, Vec<u8>),
}

/// What a call carries.
#[derive(Clone, Debug)]
pub enum Body {
    Absent,
    /// A document, and what stands before and after it.
    Json {
        before: Vec<u8>,
        document: Json,
        after: Vec<u8>,
    },
    Bytes(Vec<u8>),
}

/// How the body is announced.
#[derive(Clone, Debug)]
pub enum Framing {
    /// By its length. An absent body has the length 0.
    Length,
    /// Not at all.
    Nothing,
    /// By these header lines, without truth.
    Claim(Vec<(String, String)>),
    /// In chunks of this size, announced by these lines, with an extension and a trailer.
    Chunked { lines: Vec<(String, String)>, size: usize, extension: String, trailer: String },
}

impl Framing {
    pub fn chunked() -> Self {
        let lines = vec![("Transfer-Encoding".to_owned(), "chunked".to_owned())];
        Self::Chunked { lines, size: 1 << 16, extension: String::new(), trailer: String::new() }
    }
}

impl Draft {
    /// The document, where the call carries one.
    pub fn document(&mut self) -> Option<&mut Json> {
        match &mut self.body {
            Body::Json { document, .. } => Some(document),
            _ => None,
        }
    }

    pub fn set_header(&mut self, name: &str, value: &str) {
        self.headers.retain(|(written, _)| !written.eq_ignore_ascii_case(name));
        self.add_header(name, value);
    }

    pub fn add_header(&mut self, name: &str, value: &str) {
        self.headers.push((name.to_owned(), value.to_owned()));
    }

    pub fn set_query(&mut self, name: &str, value: &str) {
        match self.query.iter_mut().find(|(written, _)| written == name) {
            Some(pair) => value.clone_into(&mut pair.1),
            None => self.query.push((name.to_owned(), value.to_owned())),
        }
    }

    pub fn target(&self) -> String {
        let Self { authority, version, path, query, after_query, .. } = self;
        let mut target = format!("{authority}{version}{path}");
        for (at, (name, value)) in query.iter().enumerate() {
            target.push(if at == 0 { '?' } else { '&' });
            target.push_str(name);
            if !value.is_empty() {
                target.push('=');
                target.push_str(value);
            }
        }
        target + after_query
    }

    /// How many answers there are to what is written.
    pub fn answers(&self) -> usize {
        self.around.0.len() + 1 + usize::from(!self.around.1.is_empty())
    }

    /// What is written to the socket.
    pub fn bytes(&self) -> Vec<u8> {
        let body = self.body.bytes();
        let mut bytes = self.around.0.concat();
        let line = format!("{} {} {}\r\n", self.method, self.target(), self.protocol);
        bytes.extend(line.as_bytes());
        let mut head = |name: &str, value: &str| {
            bytes.extend(format!("{name}: {value}\r\n").as_bytes());
        };
        let has = |wanted: &str| {
            self.headers.iter().any(|(name, _)| name.trim().eq_ignore_ascii_case(wanted))
        };
        if !has("Host") {
            head("Host", "docker");
        }
        self.headers.iter().for_each(|(name, value)| head(name, value));
        match &self.framing {
            Framing::Length => head("Content-Length", &body.len().to_string()),
            Framing::Nothing => {}
            Framing::Claim(lines) | Framing::Chunked { lines, .. } => {
                for (name, value) in lines {
                    head(name, value);
                }
            }
        }
        if !has("Connection") && self.around.1.is_empty() {
            head("Connection", "close");
        }
        bytes.extend(b"\r\n");
        match &self.framing {
            Framing::Chunked { size, extension, trailer, .. } => {
                for piece in body.chunks(*size) {
                    bytes.extend(format!("{:x}{extension}\r\n", piece.len()).as_bytes());
                    bytes.extend(piece);
                    bytes.extend(b"\r\n");
                }
                bytes.extend(format!("0{extension}\r\n{trailer}\r\n").as_bytes());
            }
            _ => bytes.extend(&body),
        }
        bytes.extend(&self.around.1);
        bytes
    }
}

impl Body {
    pub fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Absent => Vec::new(),
            Self::Bytes(bytes) => bytes.clone(),
            Self::Json { before, document, after } => {
                let mut bytes = before.clone();
                document.write(&mut bytes);
                bytes.extend(after);
                bytes
            }
        }
    }
}
