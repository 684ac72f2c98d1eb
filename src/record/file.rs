//! Records in a file that others may rotate.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A file that lines are appended to.
///
/// Before each line the path is looked at: where the file was moved away or removed, a new
/// one is made. So rotation needs no signal, and no line is lost by it.
pub(super) struct Appended {
    path: PathBuf,
    open: Option<Open>,
}

struct Open {
    file: File,
    identity: (u64, u64),
    /// Whether the last line lacks its end.
    torn: bool,
}

impl Appended {
    pub fn new(path: PathBuf) -> Self {
        Self { path, open: None }
    }

    /// Appends a line, which brings its own end.
    pub fn append(&mut self, line: &[u8]) -> io::Result<()> {
        let there = fs::metadata(&self.path).map(|found| identity(&found)).ok();
        let open = match self.open.take().filter(|open| there == Some(open.identity)) {
            Some(open) => open,
            None => Open::at(&self.path)?,
        };
        self.open.insert(open).append(line)
    }
}

impl Open {
    fn at(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
        let metadata = file.metadata()?;
        let torn = metadata.is_file() && ends_within_a_line(path, metadata.len())?;
        Ok(Self { file, identity: identity(&metadata), torn })
    }

    fn append(&mut self, line: &[u8]) -> io::Result<()> {
        if self.torn {
            // What is left of the last one shall spoil no other.
            self.file.write_all(b"\n")?;
            self.torn = false;
        }
        let mut left = line;
        while !left.is_empty() {
            match self.file.write(left) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    left = left.get(count..).unwrap_or_default();
                    self.torn = !left.is_empty();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Whether the program, or the machine, ended while it wrote there.
fn ends_within_a_line(path: &Path, length: u64) -> io::Result<bool> {
    let Some(last) = length.checked_sub(1) else { return Ok(false) };
    let mut byte = [0];
    File::open(path)?.read_exact_at(&mut byte, last)?;
    Ok(byte != *b"\n")
}

fn identity(metadata: &fs::Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn lines_are_appended_and_rotation_loses_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("record");
        let read = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
        let mut file = Appended::new(path.clone());
        file.append(b"1\n").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::rename(&path, dir.path().join("record.1")).unwrap();
        file.append(b"2\n").unwrap();
        file.append(b"3\n").unwrap();
        assert_eq!((read("record.1"), read("record")), ("1\n".into(), "2\n3\n".into()));
        fs::remove_file(&path).unwrap();
        file.append(b"4\n").unwrap();
        assert_eq!(read("record"), "4\n");
        // As `copytruncate` does.
        File::options().write(true).truncate(true).open(&path).unwrap();
        file.append(b"5\n").unwrap();
        assert_eq!(read("record"), "5\n");
        File::options().append(true).open(&path).unwrap().write_all(b"to").unwrap();
        Appended::new(path).append(b"6\n").unwrap();
        assert_eq!(read("record"), "5\nto\n6\n", "what was torn spoils one line, not two");
    }

    #[test]
    fn what_cannot_be_written_is_an_error_and_is_tried_again() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("later");
        let mut file = Appended::new(folder.join("record"));
        assert_eq!(file.append(b"1\n").unwrap_err().kind(), io::ErrorKind::NotFound);
        fs::create_dir(&folder).unwrap();
        file.append(b"2\n").unwrap();
        assert_eq!(fs::read(folder.join("record")).unwrap(), b"2\n");
        let full = Appended::new("/dev/full".into()).append(b"1\n").unwrap_err();
        assert_eq!(full.kind(), io::ErrorKind::StorageFull);
    }
}
