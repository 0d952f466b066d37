//! Who else on this machine may read or change what weir relies on.

use std::fs::Metadata;

/// What the permissions of a file or directory allow others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Access {
    mode: u32,
}

impl Access {
    /// Of what this is about.
    #[cfg(unix)]
    pub fn of(about: &Metadata) -> Self {
        use std::os::unix::fs::PermissionsExt as _;
        Self { mode: about.permissions().mode() }
    }

    /// Nothing is known here.
    #[cfg(not(unix))]
    pub fn of(_: &Metadata) -> Self {
        Self::default()
    }

    /// What is too much for something that others may read, but not change.
    pub fn to_change(self) -> Option<&'static str> {
        if self.mode & 0o002 != 0 {
            Some("can be changed by every user of this machine")
        } else if self.mode & 0o020 != 0 {
            Some("can be changed by everybody in its group")
        } else {
            None
        }
    }

    /// What is too much for a secret.
    pub fn to_secret(self) -> impl Iterator<Item = &'static str> {
        let readable = self.mode & 0o004 != 0;
        let read = readable.then_some("can be read by every user of this machine");
        read.into_iter().chain(self.to_change())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_may_neither_read_a_secret_nor_change_anything() {
        let read = "can be read by every user of this machine";
        let change = "can be changed by every user of this machine";
        let group = "can be changed by everybody in its group";
        for (mode, secret, other) in [
            (0o100_600, vec![], None),
            (0o100_640, vec![], None),
            (0o100_644, vec![read], None),
            (0o100_660, vec![group], Some(group)),
            (0o100_664, vec![read, group], Some(group)),
            (0o100_602, vec![change], Some(change)),
            (0o100_666, vec![read, change], Some(change)),
            (0o040_700, vec![], None),
        ] {
            let access = Access { mode };
            assert_eq!(access.to_secret().collect::<Vec<_>>(), secret, "{mode:o}");
            assert_eq!(access.to_change(), other, "{mode:o}");
        }
    }
}
