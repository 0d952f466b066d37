//! Small files: read whole, within bounds, and recognised when their content has changed.

mod access;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::ErrorKind::InvalidData;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use secrecy::zeroize::Zeroizing;

pub use self::access::Access;

/// A file's text.
#[derive(Debug)]
pub struct Text {
    /// All of it. It may be a secret, and is wiped.
    pub text: Zeroizing<String>,
    /// What its permissions allow others.
    pub access: Access,
}

/// Reads a file that holds at most so many bytes of UTF-8, or says why that is not to be had.
pub fn read(path: &Path, max_bytes: u64) -> Result<Text, String> {
    let unreadable = |error: std::io::Error| format!("cannot be read: {error}");
    let file = File::open(path).map_err(unreadable)?;
    let about = file.metadata().map_err(unreadable)?;
    if about.is_dir() {
        return Err("cannot be read: it is a directory".into());
    }
    // Room for all of it at once: what has to move to grow leaves copies behind.
    let size = usize::try_from(about.len().min(max_bytes)).unwrap_or_default();
    let mut text = Zeroizing::new(String::with_capacity(size + 1));
    let read = file.take(max_bytes + 1).read_to_string(&mut text).map_err(|error| {
        if error.kind() == InvalidData {
            "cannot be read: it is not UTF-8 text".into()
        } else {
            unreadable(error)
        }
    })?;
    if read as u64 > max_bytes {
        return Err(format!("cannot be read: it is larger than {max_bytes} bytes"));
    }
    Ok(Text { text, access: Access::of(&about) })
}

/// What files held when they were looked at, as far as is needed to see that it has changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot(BTreeMap<PathBuf, Option<[u8; 32]>>);

/// More of a file is not looked at.
const MAX_LOOK: u64 = 4 << 20;

impl Snapshot {
    /// Takes down what a file was found to hold.
    pub fn note(&mut self, path: PathBuf, text: &str) {
        self.0.insert(path, Some(sha256(text.as_bytes())));
    }

    /// The same of a file that was read, or could not be: it may be there all the same, too large
    /// or no text, and is recognised by its bytes.
    pub fn note_read(&mut self, path: &Path, read: &Result<Text, String>) {
        match read {
            Ok(read) => self.note(path.to_owned(), &read.text),
            Err(_) => {
                self.0.insert(path.to_owned(), now(path, None));
            }
        }
    }

    /// The same files as they are now. Blocks for as long as reading them takes.
    pub fn again(&self) -> Self {
        Self(self.0.iter().map(|(path, then)| (path.clone(), now(path, *then))).collect())
    }
}

fn now(path: &Path, then: Option<[u8; 32]>) -> Option<[u8; 32]> {
    // What is no file (a pipe, say) cannot be read twice: it is taken to hold what it held.
    if std::fs::metadata(path).is_ok_and(|about| !about.is_file()) {
        return then;
    }
    let mut content = Vec::new();
    File::open(path).ok()?.take(MAX_LOOK).read_to_end(&mut content).ok()?;
    Some(sha256(&content))
}

/// SHA-256.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let digest = digest(&SHA256, bytes);
    let mut out = [0; 32];
    out.iter_mut().zip(digest.as_ref()).for_each(|(out, byte)| *out = *byte);
    out
}

/// Notices that files have changed, and that they have come to rest: an editor or a tool may write
/// a file in several steps, or one file after another.
#[derive(Debug)]
pub struct Watch {
    known: Snapshot,
    last: Option<Snapshot>,
}

impl Watch {
    /// Begins with what is known already.
    pub fn new(known: Snapshot) -> Self {
        Self { known, last: None }
    }

    /// Looks once: whether there is something new, and it was the same the last time. Blocks.
    pub fn look(&mut self) -> bool {
        let now = self.known.again();
        if now == self.known {
            self.last = None;
            return false;
        }
        let at_rest = self.last.as_ref() == Some(&now);
        self.last = Some(now);
        at_rest
    }

    /// Whether there is nothing new in that.
    pub fn knows(&self, noted: &Snapshot) -> bool {
        self.known == *noted
    }

    /// What is known from now on.
    pub fn set(&mut self, known: Snapshot) {
        *self = Self::new(known);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch(path: &Path) -> Watch {
        let mut known = Snapshot::default();
        known.note_read(path, &read(path, 100));
        Watch::new(known)
    }

    #[test]
    fn what_cannot_be_read_as_text_is_no_news_for_ever() {
        let directory = tempfile::tempdir().unwrap();
        for (name, content) in [("binary", &b"\xff\xfe\x00"[..]), ("large", &[b'x'; 101])] {
            let path = directory.path().join(name);
            std::fs::write(&path, content).unwrap();
            assert!(read(&path, 100).is_err());
            let mut watch = watch(&path);
            assert!(!watch.look() && !watch.look(), "{name}");
            std::fs::write(&path, "text").unwrap();
            assert!(!watch.look() && watch.look(), "{name}");
        }
    }

    #[test]
    fn a_change_is_told_when_it_has_come_to_rest() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        std::fs::write(&path, "one").unwrap();
        let mut watch = watch(&path);
        assert!(!watch.look() && !watch.look());
        std::fs::write(&path, "tw").unwrap();
        assert!(!watch.look());
        std::fs::write(&path, "two").unwrap();
        assert!(!watch.look(), "still being written");
        assert!(watch.look());
        // Written again with the same content, or changed back: nothing new.
        std::fs::write(&path, "one").unwrap();
        assert!(!watch.look() && !watch.look());
        std::fs::remove_file(&path).unwrap();
        assert!(!watch.look());
        assert!(watch.look(), "gone is a change too");
        watch.set(watch.known.again());
        assert!(!watch.look() && !watch.look());
    }

    #[test]
    fn what_is_no_file_is_not_read_again() {
        let mut known = Snapshot::default();
        known.note("/dev/null".into(), "what a pipe held");
        let mut watch = Watch::new(known);
        assert!(!watch.look() && !watch.look());
    }

    #[test]
    fn a_swapped_link_is_a_change() {
        use std::os::unix::fs::symlink;
        // As Kubernetes mounts a ConfigMap: file -> ..data/file, ..data -> ..some_time.
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        for (version, text) in [("..1", "one"), ("..2", "two")] {
            std::fs::create_dir(at(version)).unwrap();
            std::fs::write(at(version).join("a"), text).unwrap();
        }
        symlink("..1", at("..data")).unwrap();
        symlink("..data/a", at("a")).unwrap();
        let mut watch = watch(&at("a"));
        assert!(!watch.look());
        symlink("..2", at("..data_tmp")).unwrap();
        std::fs::rename(at("..data_tmp"), at("..data")).unwrap();
        assert!(!watch.look());
        assert!(watch.look());
    }
}
