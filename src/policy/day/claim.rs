//! How far the day's spend is written down, and what stands there.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// How well a restart will remember.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeping {
    /// Not at all: there is no `state_dir`.
    Off,
    /// Everything.
    Kept,
    /// The disk refuses.
    Failing,
}

impl Keeping {
    /// As it stands on the status page.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "memory",
            Self::Kept => "kept",
            Self::Failing => "failing",
        }
    }
}

/// What is written down. `claimed` is what a restart after a crash takes for spent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// When the day ends; seconds since 1970.
    pub ends: u64,
    /// No more than this has been spent.
    pub claimed: u32,
    /// So much was, when this was written.
    pub spent: u32,
    /// By client.
    pub clients: BTreeMap<String, u32>,
    /// What a client that is not named may have spent before a crash.
    #[serde(default)]
    pub unnamed: u32,
    /// What others had spent by the upstream's own count, by label.
    pub others: BTreeMap<String, u32>,
    /// The upstream has closed the day until then; seconds since 1970.
    pub closed_until: Option<u64>,
}

/// How far the spend is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Claim {
    /// It is not.
    Off,
    /// Up to here; perhaps soon up to there.
    Kept {
        claimed: u32,
        writing: Option<u32>,
        /// Something besides the spend has changed that is worth writing down.
        news: bool,
        /// Somebody wants to spend what is not claimed. Without that nothing is claimed that was
        /// not spent: a process that starts again and again would claim the day away.
        wanted: bool,
    },
    /// The disk refuses: spending goes on, and a crash may forget some of it.
    Failing { writing: bool },
}

impl Claim {
    pub(super) fn of(claimed: u32) -> Self {
        Self::Kept { claimed, writing: None, news: false, wanted: false }
    }

    /// Whether one more may be spent. While a write is under way either figure may stand on the
    /// disk.
    pub(super) fn allows(&mut self, spent: u32) -> bool {
        let Self::Kept { claimed, writing, wanted, .. } = self else { return true };
        let allows = spent < (*claimed).min(writing.unwrap_or(*claimed));
        *wanted |= !allows;
        allows
    }

    /// Half a block ahead, so that nobody waits for the disk but the first; and back again where
    /// what was claimed has been given back.
    pub(super) fn is_due(self, spent: u32, block: u32, target: u32) -> bool {
        let Self::Kept { claimed, writing: None, news, wanted } = self else { return false };
        let unspent = claimed.saturating_sub(spent);
        let short = (wanted && unspent == 0) || (1..=block / 2).contains(&unspent);
        news || unspent > block || (short && claimed < target)
    }

    pub(super) fn begin_write(&mut self, target: u32) -> Option<()> {
        match self {
            Self::Kept { writing: writing @ None, news, wanted, .. } => {
                (*writing, *news, *wanted) = (Some(target), false, false);
            }
            Self::Failing { writing: writing @ false } => *writing = true,
            _ => return None,
        }
        Some(())
    }

    pub(super) fn written(&mut self, claimed: u32) {
        let (news, wanted) = match self {
            Self::Kept { news, wanted, .. } => (*news, *wanted),
            Self::Off | Self::Failing { .. } => (false, false),
        };
        *self = Self::Kept { claimed, writing: None, news, wanted };
    }

    pub(super) fn failed(&mut self) {
        *self = Self::Failing { writing: false };
    }

    /// What is written down is about a day that is over.
    pub(super) fn begin_day(&mut self) {
        if let Self::Kept { claimed, .. } = self {
            *claimed = 0;
        }
    }

    pub(super) fn news(&mut self) {
        if let Self::Kept { news, .. } = self {
            *news = true;
        }
    }

    pub(super) fn keeping(self) -> Keeping {
        match self {
            Self::Off => Keeping::Off,
            Self::Kept { .. } => Keeping::Kept,
            Self::Failing { .. } => Keeping::Failing,
        }
    }
}
