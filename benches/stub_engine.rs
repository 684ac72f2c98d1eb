//! An engine that answers at once what an image is, and knows nothing else: so that what
//! the real one takes for it is not counted. A process of its own.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

use countersign::image::Digest;
use countersign::trust::crypto::sha256;

/// The digest that a tag of a repository has here, signed and held alike.
pub fn digest_of(image: &str) -> [u8; 32] {
    sha256(image.as_bytes())
}

/// Answers by name, as long as they were asked for before.
type Answers = Arc<Mutex<HashMap<String, Arc<[u8]>>>>;

/// Serves until it is killed.
pub fn serve(socket: &Path) -> ! {
    let listener = UnixListener::bind(socket).unwrap();
    let answers = Answers::default();
    loop {
        let (stream, _) = listener.accept().unwrap();
        let answers = Arc::clone(&answers);
        std::thread::spawn(move || converse(&stream, &answers));
    }
}

fn converse(stream: &UnixStream, answers: &Answers) {
    let (mut reader, mut writer) = (BufReader::new(stream), stream);
    let mut line = String::new();
    while reader.read_line(&mut line).is_ok_and(|read| read > 0) {
        let asked = line.split(' ').nth(1).unwrap_or_default().to_owned();
        while line != "\r\n" {
            line.clear();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
        }
        line.clear();
        let answer = {
            let mut answers = answers.lock().unwrap();
            Arc::clone(answers.entry(asked).or_insert_with_key(|asked| answer(asked)))
        };
        if writer.write_all(&answer).is_err() {
            return;
        }
    }
}

fn answer(asked: &str) -> Arc<[u8]> {
    let image = asked.strip_prefix("/images/").and_then(|rest| rest.strip_suffix("/json"));
    let (status, body) = match image.and_then(|image| Some((image, image.rsplit_once(':')?))) {
        Some((image, (repository, _))) => ("200 OK", inspected(image, repository)),
        None => ("404 Not Found", r#"{"message":"a stub"}"#.to_owned()),
    };
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nApi-Version: 1.41\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body.as_bytes()].concat().into()
}

/// What engine 20.10 says of an image of the lab, about as long.
fn inspected(image: &str, repository: &str) -> String {
    let id = Digest::from_bytes(sha256(format!("configuration of {image}").as_bytes()));
    let digest = Digest::from_bytes(digest_of(image));
    let empty = r#""Hostname":"","Domainname":"","User":"","AttachStdin":false,"AttachStdout":false,
        "AttachStderr":false,"Tty":false,"OpenStdin":false,"StdinOnce":false,"Env":["PATH=/bin"],
        "Cmd":["/bin/cat","/text"],"Image":"","Volumes":null,"WorkingDir":"","Entrypoint":null,
        "OnBuild":null,"Labels":null"#;
    format!(
        r#"{{"Id":"{id}","RepoTags":["{image}"],"RepoDigests":["{repository}@{digest}"],
        "Parent":"","Comment":"countersign lab","Created":"1970-01-01T00:00:00Z","Container":"",
        "ContainerConfig":{{{empty}}},"DockerVersion":"","Author":"","Config":{{{empty}}},
        "Architecture":"amd64","Os":"linux","Size":1987000,"VirtualSize":1987000,
        "GraphDriver":{{"Data":{{"MergedDir":"/x/merged","UpperDir":"/x/diff","WorkDir":"/x/work"}},
        "Name":"overlay2"}},"RootFS":{{"Type":"layers","Layers":["{id}"]}},
        "Metadata":{{"LastTagTime":"2026-11-27T00:00:00Z"}}}}"#
    )
}
