//! What the system lets this process do, and others do to it.

use std::io;

use rustix::process::{
    DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit,
};

/// Files that are open beside connections: listeners, logs, ledgers, the runtime's own.
const OTHER_FILES: u64 = 64;

/// Keeps this process's memory out of core files, and out of the sight of other processes of its
/// user.
#[derive(Debug)]
pub(super) struct Sealed {
    /// As it was found.
    core: Rlimit,
}

impl Sealed {
    /// Before any secret is read.
    pub(super) fn new() -> (Self, io::Result<()>) {
        let core = getrlimit(Resource::Core);
        // The hard limit stays until the configuration has been read: it could not be raised again.
        let soft = setrlimit(Resource::Core, Rlimit { current: Some(0), ..core });
        let hidden = set_dumpable_behavior(DumpableBehavior::NotDumpable);
        (Self { core }, soft.and(hidden).map_err(Into::into))
    }

    /// For good.
    pub(super) fn keep() -> io::Result<()> {
        let none = Rlimit { current: Some(0), maximum: Some(0) };
        setrlimit(Resource::Core, none).map_err(Into::into)
    }

    /// As it was found: `server.allow_core_dumps`.
    pub(super) fn open(self) -> io::Result<()> {
        let soft = setrlimit(Resource::Core, self.core);
        soft.and(set_dumpable_behavior(DumpableBehavior::Dumpable)).map_err(Into::into)
    }
}

/// Takes as many file descriptors as the system gives, and tells if these are fewer than the
/// configuration asks for: each connection needs one, and another towards the upstream.
pub(super) fn raise_file_limit(max_connections: usize) -> Result<(), String> {
    let found = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: found.maximum, ..found });
    let have = getrlimit(Resource::Nofile).current;
    let connections = u64::try_from(max_connections).unwrap_or(u64::MAX);
    let need = connections.saturating_mul(2).saturating_add(OTHER_FILES);
    match have.filter(|have| *have < need) {
        None => Ok(()),
        Some(have) => {
            let why = raised.err().map(|error| format!(" ({error})")).unwrap_or_default();
            Err(format!(
                "{have} files may be open at a time{why}; server.max_connections = \
                 {max_connections} may need {need}"
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use rustix::process::dumpable_behavior;

    use super::*;

    #[test]
    fn memory_is_kept_in_or_left_as_it_was() {
        let before = getrlimit(Resource::Core);
        let core = || getrlimit(Resource::Core);
        let (sealed, done) = Sealed::new();
        done.unwrap();
        assert_eq!(core().current, Some(0));
        assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
        sealed.open().unwrap();
        assert_eq!(core(), before);
        assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::Dumpable);
        let (_, done) = Sealed::new();
        done.and_then(|()| Sealed::keep()).unwrap();
        assert_eq!((core().current, core().maximum), (Some(0), Some(0)));
        assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
    }

    #[test]
    fn as_many_files_as_there_are_and_a_word_where_they_are_few() {
        assert_eq!(raise_file_limit(1), Ok(()));
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current, limit.maximum);
        let few = raise_file_limit(usize::MAX);
        assert_eq!(few.is_err(), limit.current.is_some());
    }
}
