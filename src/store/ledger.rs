//! The days' spend on disk: one small file a pool, replaced whole.
//!
//! A record is written beside the old one, brought to the disk, and put in its place, so that there
//! is always one that is whole. A crash in between leaves the older one, and what the newer one
//! would have allowed has not been spent yet.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;

use crate::policy::day::Record;
use crate::policy::endpoint::UpstreamId;
use crate::policy::quota::PoolId;

/// Why the directory or a file in it is of no use.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// It cannot be made, opened or written.
    #[error("cannot use {} (server.state_dir): {source}", .path.display())]
    Directory {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Two that spend one account's budget would not know of one another.
    #[error("{} (server.state_dir) is in use by another weir", .path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// A file is there and cannot be read.
    #[error("cannot read {}: {source}", .path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file is there and says nothing.
    #[error(
        "{} is corrupt ({why}): what was spent today is not known; remove the file to begin with \
         an untouched day, or write it anew", .path.display()
    )]
    Corrupt {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

/// A directory that this process alone writes to.
#[derive(Debug)]
pub struct Ledger {
    directory: PathBuf,
    /// One write at a time: two would share the new file.
    turn: Mutex<()>,
    /// Held as long as the ledger lives; the system lets go of it when the process ends, however.
    lock: File,
    last_run: LastRun,
}

/// How the process ended that had the directory before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastRun {
    /// There was none.
    None,
    /// By itself, then.
    Ended(SystemTime),
    /// It may have sent something until just now.
    Crashed,
}

impl LastRun {
    fn read(text: &str) -> Self {
        let ended = text.trim().strip_prefix("ended ").and_then(|ms| ms.parse::<u64>().ok());
        match ended {
            Some(ms) if ms < LAST_MS => {
                Self::Ended(SystemTime::UNIX_EPOCH + Duration::from_millis(ms))
            }
            _ if text.is_empty() => Self::None,
            _ => Self::Crashed,
        }
    }
}

/// The year 5138: instants beyond are nonsense.
const LAST_MS: u64 = 100_000_000_000_000;

/// A record takes some hundred bytes and up to a hundred a client, of which there may be many.
const MAX_RECORD: u64 = 64 << 20;

impl Ledger {
    /// Makes the directory if it is not there, and makes sure that it can be written to.
    pub fn open(directory: &Path) -> Result<Self, LedgerError> {
        let failed = |source| LedgerError::Directory { path: directory.to_owned(), source };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
        let lock = directory.join("lock");
        let mut options = OpenOptions::new();
        let options = options.create(true).read(true).write(true).truncate(false).mode(0o600);
        let lock = options.open(lock).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(LedgerError::InUse { path: directory.to_owned() });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        let mut text = Vec::new();
        (&lock).take(64).read_to_end(&mut text).map_err(failed)?;
        let last_run = LastRun::read(&String::from_utf8_lossy(&text));
        // A full disk shows here, and not with the first request.
        say(&lock, "running\n").map_err(failed)?;
        Ok(Self { directory: directory.to_owned(), turn: Mutex::default(), lock, last_run })
    }

    /// How the process ended that had the directory before.
    pub fn last_run(&self) -> LastRun {
        self.last_run
    }

    /// Nothing is sent any more. Blocks.
    pub fn ended(&self, wall: SystemTime) -> io::Result<()> {
        let ms = wall.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis();
        say(&self.lock, &format!("ended {ms}\n"))
    }

    fn path(&self, upstream: &UpstreamId, pool: &PoolId) -> PathBuf {
        // Names are letters, digits, "-" and "_".
        self.directory.join(format!("{upstream}.{pool}.json"))
    }

    /// What was written last; none if nothing ever was.
    pub fn read(
        &self,
        upstream: &UpstreamId,
        pool: &PoolId,
    ) -> Result<Option<Record>, LedgerError> {
        let path = self.path(upstream, pool);
        let corrupt = |why: String| LedgerError::Corrupt { path: path.clone(), why };
        let text = match fs::metadata(&path) {
            Ok(found) if found.len() > MAX_RECORD => return Err(corrupt("too large".into())),
            Ok(_) => fs::read(&path),
            Err(error) => Err(error),
        };
        match text {
            Ok(text) => {
                let record = serde_json::from_slice(&text);
                record.map(Some).map_err(|error| corrupt(error.to_string()))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(LedgerError::Unreadable { path, source }),
        }
    }

    /// Brings a record to the disk. Blocks.
    pub fn write(&self, upstream: &UpstreamId, pool: &PoolId, record: &Record) -> io::Result<()> {
        self.write_unless(|| false, upstream, pool, record)
    }

    /// The same, unless it is too late once it is its turn.
    pub fn write_unless(
        &self,
        too_late: impl FnOnce() -> bool,
        upstream: &UpstreamId,
        pool: &PoolId,
        record: &Record,
    ) -> io::Result<()> {
        let _turn = self.turn.lock();
        if too_late() {
            return Ok(());
        }
        let path = self.path(upstream, pool);
        let new = path.with_extension("new");
        let mut file = OpenOptions::new();
        let file = file.create(true).write(true).truncate(true).mode(0o600);
        let mut file = file.open(&new)?;
        let mut text = serde_json::to_vec(record)?;
        text.push(b'\n');
        file.write_all(&text)?;
        file.sync_data()?;
        fs::rename(&new, &path)?;
        File::open(&self.directory)?.sync_all()
    }
}

/// Puts a text in the place of a file's.
fn say(mut file: &File, text: &str) -> io::Result<()> {
    file.set_len(0)?;
    file.seek(SeekFrom::Start(0))?;
    file.write_all(text.as_bytes())?;
    file.sync_data()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn record(claimed: u32) -> Record {
        Record {
            ends: 1_764_028_800,
            claimed,
            spent: claimed.saturating_sub(1),
            clients: BTreeMap::from([("console".to_owned(), 1)]),
            unnamed: 0,
            others: BTreeMap::new(),
            closed_until: None,
        }
    }

    fn names() -> (UpstreamId, PoolId) {
        (UpstreamId::new("zoom"), PoolId::new("daily"))
    }

    #[test]
    fn what_was_written_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("a/b");
        let (zoom, daily) = names();
        let ledger = Ledger::open(&state).unwrap();
        assert_eq!(ledger.read(&zoom, &daily).unwrap(), None);
        for claimed in [7, 9] {
            ledger.write(&zoom, &daily, &record(claimed)).unwrap();
            assert_eq!(ledger.read(&zoom, &daily).unwrap(), Some(record(claimed)));
        }
        assert_eq!(ledger.read(&zoom, &PoolId::new("other")).unwrap(), None);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&state), mode(&state.join("zoom.daily.json"))), (0o700, 0o600));
    }

    #[test]
    fn two_that_write_at_once_leave_a_whole_record() {
        let directory = tempfile::tempdir().unwrap();
        let (zoom, daily) = names();
        let ledger = Ledger::open(directory.path()).unwrap();
        std::thread::scope(|scope| {
            for claimed in [7, 4_000_000_000] {
                let (ledger, zoom, daily) = (&ledger, &zoom, &daily);
                scope.spawn(move || {
                    for _ in 0..50 {
                        ledger.write(zoom, daily, &record(claimed)).unwrap();
                        ledger.read(zoom, daily).unwrap();
                    }
                });
            }
        });
        ledger.write(&zoom, &daily, &record(9)).unwrap();
        ledger.write_unless(|| true, &zoom, &daily, &record(8)).unwrap();
        assert_eq!(ledger.read(&zoom, &daily).unwrap(), Some(record(9)), "the last word");
    }

    #[test]
    fn how_the_last_run_ended_is_known() {
        let directory = tempfile::tempdir().unwrap();
        let at = SystemTime::UNIX_EPOCH + Duration::from_millis(1_764_028_800_123);
        let first = Ledger::open(directory.path()).unwrap();
        assert_eq!(first.last_run(), LastRun::None);
        first.ended(at).unwrap();
        drop(first);
        // Not ended: as after kill -9.
        assert_eq!(Ledger::open(directory.path()).unwrap().last_run(), LastRun::Ended(at));
        assert_eq!(Ledger::open(directory.path()).unwrap().last_run(), LastRun::Crashed);
        for rubbish in ["ended", "ended x", "ended 99999999999999999999", "\u{0}", " "] {
            fs::write(directory.path().join("lock"), rubbish).unwrap();
            assert_eq!(Ledger::open(directory.path()).unwrap().last_run(), LastRun::Crashed);
        }
    }

    #[test]
    fn a_second_one_is_told_and_a_dead_one_lets_go() {
        let directory = tempfile::tempdir().unwrap();
        let first = Ledger::open(directory.path()).unwrap();
        let refused = Ledger::open(directory.path()).unwrap_err().to_string();
        assert!(refused.ends_with("(server.state_dir) is in use by another weir"), "{refused}");
        drop(first);
        Ledger::open(directory.path()).unwrap();
    }

    #[test]
    fn rubbish_is_named_and_not_taken_for_an_untouched_day() {
        let directory = tempfile::tempdir().unwrap();
        let (zoom, daily) = names();
        let ledger = Ledger::open(directory.path()).unwrap();
        let path = directory.path().join("zoom.daily.json");
        let whole = serde_json::to_string(&record(5)).unwrap();
        let large = " ".repeat((16 << 20) + 1);
        let negative = whole.replace("\"claimed\":5", "\"claimed\":-5");
        let (half, _) = whole.split_at(whole.len() / 2);
        for text in ["", "{}", half, &negative, "\u{0}\u{0}", &large] {
            fs::write(&path, text).unwrap();
            let error = ledger.read(&zoom, &daily).unwrap_err();
            assert!(matches!(error, LedgerError::Corrupt { .. }), "{error}");
            assert!(error.to_string().contains("remove the file"), "{error}");
        }
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        let error = ledger.read(&zoom, &daily).unwrap_err();
        assert!(matches!(error, LedgerError::Unreadable { .. }), "{error}");
        assert!(ledger.write(&zoom, &daily, &record(1)).is_err());
    }

    #[test]
    fn a_place_that_cannot_be_written_to_is_named_at_once() {
        for path in ["/proc/weir", "/dev/null/weir"] {
            let error = Ledger::open(Path::new(path)).unwrap_err();
            let text = error.to_string();
            assert!(text.starts_with(&format!("cannot use {path} (server.state_dir): ")), "{text}");
        }
    }

    #[test]
    fn as_many_clients_as_there_may_be_are_read_again() {
        let directory = tempfile::tempdir().unwrap();
        let (zoom, daily) = names();
        let ledger = Ledger::open(directory.path()).unwrap();
        let mut record = record(9);
        record.clients = (0..20_000).map(|n| (format!("{n:064}"), n)).collect();
        ledger.write(&zoom, &daily, &record).unwrap();
        assert_eq!(ledger.read(&zoom, &daily).unwrap(), Some(record));
    }
}
