//! Documents as clients write them, and as nobody but an attacker would.

use crate::chance::Chance;

/// What stands in a member.
#[derive(Clone, Copy)]
pub enum Kind {
    Text(&'static [&'static str]),
    Texts(&'static [&'static str]),
    Flag,
    Number,
    /// Names of the caller's, with texts.
    Map(&'static [&'static str], &'static [&'static str]),
    Object(&'static [Field]),
    Objects(&'static [Field]),
}

/// A member of an object.
#[derive(Clone, Copy)]
pub struct Field {
    pub name: &'static str,
    pub kind: Kind,
    /// Whether a document without it means nothing.
    pub needed: bool,
}

/// How far a document is from what clients send.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// As Go's encoder writes it.
    Plain,
    /// With white space, escapes and unknown members, and as unambiguous.
    Varied,
    /// With this many faults, or fewer.
    Faulty(usize),
}

/// A document of these members.
pub fn document(chance: &mut Chance, fields: &'static [Field], manner: Manner) -> Vec<u8> {
    let faults = if let Manner::Faulty(faults) = manner { faults } else { 0 };
    let varied = manner != Manner::Plain && (faults == 0 || chance.once_in(4));
    let mut writer = Writer { chance, text: Vec::new(), faults, varied, depth: 0 };
    writer.object(fields);
    while writer.faults > 0 {
        writer.faults -= 1;
        writer.around(fields);
    }
    writer.text
}

const UNKNOWN: [&str; 8] = ["x", "Zone", "image2", "é", "Im_age", "", "$ref", "_"];
/// Values that mean much somewhere.
const HOSTILE: [&str; 9] =
    ["image", "host", "evil/x", "", "container:a", "previous", "plugin", "/", "\\u0000"];
/// Values that are none of a kind, or none at all.
const ODD: [&str; 30] = [
    "null",
    "null",
    "true",
    "false",
    "{}",
    "[]",
    "[null]",
    "\"\"",
    "\"true\"",
    "0",
    "-0",
    "-0.0",
    "1e3",
    "1E+2",
    "1e999",
    "-1e-999",
    "01",
    "+1",
    "1.",
    ".5",
    "0x1",
    "NaN",
    "Infinity",
    "18446744073709551615",
    "18446744073709551616",
    "-9223372036854775809",
    "123456789012345678901234567890",
    "nul",
    "'x'",
    "",
];
/// What texts are broken by.
const BROKEN: [&[u8]; 16] = [
    b"\\ud800",
    b"\\udc00",
    b"\\ud83d\\ude00",
    b"\\ud83dx",
    b"\\udc00\\ud800",
    b"\\uD83D\\u0041",
    b"\xff",
    b"\xed\xa0\x80",
    b"\xc0\x80",
    b"\xf4\x90\x80\x80",
    b"\xef\xbf\xbd",
    b"\\x41",
    b"\\u12",
    b"\n",
    b"\\/",
    b"\xe2\x80\xa8",
];

struct Writer<'c> {
    chance: &'c mut Chance,
    text: Vec<u8>,
    faults: usize,
    varied: bool,
    depth: usize,
}

impl Writer<'_> {
    /// Whether something goes wrong here.
    fn fault(&mut self) -> bool {
        let wrong = self.faults > 0 && self.chance.once_in(15);
        self.faults -= usize::from(wrong);
        wrong
    }

    fn put(&mut self, text: &str) {
        self.text.extend(text.as_bytes());
    }

    /// White space, or what is none. This is everywhere, so it seldom goes wrong.
    fn space(&mut self) {
        if self.varied && self.chance.once_in(3) {
            let space = self.chance.pick(&[" ", "\n", "\t", "\r\n", "    "]);
            self.put(space);
        }
        if self.chance.once_in(10) && self.fault() {
            let odd = self.chance.pick(&["\u{a0}", "\u{feff}", "/**/", "\u{c}", "\0", ",", "//\n"]);
            self.put(odd);
        }
    }

    fn object(&mut self, fields: &'static [Field]) {
        self.depth += 1;
        self.put("{");
        let mut first = true;
        let start = self.chance.below(fields.len());
        let (after, before) = fields.split_at(start);
        for field in before.iter().chain(after) {
            let wanted = if field.needed { !self.fault() } else { self.chance.once_in(3) };
            if wanted {
                self.member(field, &mut first);
            }
        }
        // Objects of few members stand for maps, whose members are all known.
        if self.varied && fields.len() > 2 && self.chance.once_in(3) {
            let name = self.chance.pick(&UNKNOWN);
            self.comma(&mut first);
            self.string(name);
            self.put(":");
            self.anything();
        }
        self.space();
        if self.chance.once_in(5) && self.fault() {
            self.put(",");
        }
        self.put("}");
        self.depth -= 1;
    }

    fn comma(&mut self, first: &mut bool) {
        if !*first {
            self.put(",");
        }
        *first = false;
        self.space();
    }

    /// A member, and perhaps the same again.
    fn member(&mut self, field: &Field, first: &mut bool) {
        loop {
            self.comma(first);
            self.name(field.name);
            self.space();
            self.put(":");
            self.space();
            self.value(field.kind);
            self.space();
            if !self.fault() {
                return;
            }
        }
    }

    fn name(&mut self, name: &str) {
        if self.fault() {
            let respelled = self.respelled(name);
            return self.string(&respelled);
        }
        self.string(name);
    }

    /// A name that some reader takes for the same.
    fn respelled(&mut self, name: &str) -> String {
        match self.chance.below(8) {
            0 => name.to_lowercase(),
            1 => name.to_uppercase(),
            2 => name.replace('s', "\u{17f}").replace('k', "\u{212a}"),
            3 => name.replace(['i', 'I'], self.chance.pick(&["\u{131}", "\u{130}"])),
            4 => format!("{name}{}", self.chance.pick(&["\0", " ", "_", "\u{ad}", "\u{fe0f}"])),
            5 => name.replace('e', self.chance.pick(&["_e", "-e", "\u{435}", "e\u{301}"])),
            _ => {
                let at = self.chance.below(name.len() + 1);
                let flip = |c: char| {
                    if c.is_uppercase() { c.to_ascii_lowercase() } else { c.to_ascii_uppercase() }
                };
                let swap = |(i, c): (usize, char)| if i == at { flip(c) } else { c };
                name.char_indices().map(swap).collect()
            }
        }
    }

    fn string(&mut self, text: &str) {
        self.put("\"");
        let broken = self.fault().then(|| self.chance.below(text.len() + 1));
        for (at, c) in text.char_indices() {
            if broken == Some(at) {
                let broken = self.chance.pick(&BROKEN);
                self.text.extend(broken);
            }
            if c < ' ' || c == '"' || c == '\\' || (self.varied && self.chance.once_in(12)) {
                let mut units = [0; 2];
                for unit in c.encode_utf16(&mut units) {
                    let escape = format!("\\u{unit:04x}");
                    self.put(&escape);
                }
            } else {
                self.put(c.encode_utf8(&mut [0; 4]));
            }
        }
        if broken == Some(text.len()) {
            let broken = self.chance.pick(&BROKEN);
            self.text.extend(broken);
        }
        self.put("\"");
    }

    fn value(&mut self, kind: Kind) {
        if self.fault() {
            return match self.chance.below(5) {
                0 => self.anything(),
                1 => {
                    let text = self.chance.pick(&HOSTILE);
                    self.put(&format!("\"{text}\""));
                }
                2 => self.nested(),
                _ => {
                    let odd = self.chance.pick(&ODD);
                    self.put(odd);
                }
            };
        }
        match kind {
            Kind::Text(texts) => self.one_of(texts),
            Kind::Flag => {
                let flag = self.chance.pick(&["true", "false"]);
                self.put(flag);
            }
            Kind::Number => {
                let number = self.chance.pick(&["0", "1", "42", "1000", "200"]);
                self.put(number);
            }
            Kind::Texts(texts) => self.list(|writer| writer.one_of(texts)),
            Kind::Map(names, texts) => self.map(names, texts),
            Kind::Object(fields) => self.object(fields),
            Kind::Objects(fields) => self.list(|writer| writer.object(fields)),
        }
    }

    fn one_of(&mut self, texts: &[&str]) {
        let text = self.chance.pick(texts);
        self.string(text);
    }

    fn list(&mut self, mut element: impl FnMut(&mut Self)) {
        self.put("[");
        let mut first = true;
        for _ in 0..self.chance.below(4) {
            self.comma(&mut first);
            if self.fault() {
                let odd = self.chance.pick(&ODD);
                self.put(odd);
            } else {
                element(self);
            }
            self.space();
        }
        self.put("]");
    }

    fn map(&mut self, names: &[&str], texts: &[&str]) {
        self.put("{");
        let mut first = true;
        for name in names {
            while self.chance.once_in(2) {
                self.comma(&mut first);
                self.name(name);
                self.put(":");
                self.one_of(texts);
                if !self.fault() {
                    break;
                }
            }
        }
        self.put("}");
    }

    /// A value that nobody has to understand.
    fn anything(&mut self) {
        self.depth += 1;
        match self.chance.below(if self.depth > 5 { 4 } else { 6 }) {
            0 => {
                const NUMBERS: [&str; 8] =
                    ["0", "-1", "1.5", "-2.5e-7", "1E400", "9007199254740993", "0.1e1", "3e8"];
                let last = NUMBERS.len() - usize::from(self.faults == 0);
                let number = NUMBERS[self.chance.below(last)].replace("1E400", "1E40");
                self.put(&number);
            }
            1 => self.one_of(&["", "x", "é", "\u{1f600}", "a\"b\\c", "\u{fffd}"]),
            2 => self.put("true"),
            3 => self.put("null"),
            4 => self.list(Self::anything),
            _ => {
                self.put("{");
                let mut first = true;
                for name in UNKNOWN {
                    if self.chance.once_in(4) {
                        self.comma(&mut first);
                        self.name(name);
                        self.put(":");
                        self.anything();
                        if self.fault() {
                            self.put(",");
                            self.name(name);
                            self.put(":1");
                        }
                    }
                }
                self.put("}");
            }
        }
        self.depth -= 1;
    }

    /// Deep nesting, around the limits of one reader or the other.
    fn nested(&mut self) {
        let deep = self.chance.pick(&[10, 62, 63, 64, 65, 127, 128, 9_999, 10_001]);
        let (open, close) = self.chance.pick(&[("[", "]"), ("{\"a\":", "}")]);
        let text = format!("{}1{}", open.repeat(deep), close.repeat(deep));
        self.put(&text);
    }

    /// Something wrong with the document as a whole.
    fn around(&mut self, fields: &'static [Field]) {
        match self.chance.below(12) {
            0 => {
                let after =
                    self.chance.pick(&["{}", "]", "}", "x", "\0", ",", "null", "//", "\u{feff}"]);
                self.put(after);
            }
            1 => self.object(fields),
            2 => {
                let before = self.chance.pick(&["\u{feff}", "\0", "[", "{", ")]}'\n", "null"]);
                self.text.splice(..0, before.bytes());
            }
            3 => self.text.clear(),
            4 => {
                let whole = self.chance.pick(&["null", "[]", "\"x\"", "1", "true", " ", "{", "{}"]);
                self.text = whole.into();
            }
            5 => {
                self.text.insert(0, b'[');
                self.text.push(b']');
            }
            6 => {
                let end = self.chance.below(self.text.len() + 1);
                self.text.truncate(end);
            }
            _ => self.chance.damage(&mut self.text),
        }
    }
}
