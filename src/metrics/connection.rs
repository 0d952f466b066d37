//! What a listener counts.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;

use super::families::Families;

/// Why a connection was cut off or not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Its address has as many as it may.
    Address,
    /// It sent too little of a request for too long.
    Head,
    /// It did not take its answer.
    Stalled,
    /// It gave up too many streams.
    Resets,
    /// It sent too many frames that carry nothing.
    Frames,
}

impl Cut {
    const ALL: [Self; 5] = [Self::Address, Self::Head, Self::Stalled, Self::Resets, Self::Frames];

    /// As a metric label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Head => "head",
            Self::Stalled => "stalled",
            Self::Resets => "resets",
            Self::Frames => "frames",
        }
    }
}

/// Handles of one listener's connections. The default counts for nobody.
#[derive(Clone, Debug, Default)]
pub struct ConnectionMetrics {
    /// `weir_connections`
    pub open: Gauge,
    cut: [Counter; Cut::ALL.len()],
}

impl ConnectionMetrics {
    pub(super) fn new(open: Gauge, families: &Families) -> Self {
        Self { open, cut: Cut::ALL.map(|why| families.connections_cut(why.as_str())) }
    }

    /// Counts one that was cut off, or not taken.
    pub fn cut(&self, why: Cut) {
        if let Some(counter) = self.cut.get(why as usize) {
            counter.inc();
        }
    }
}
