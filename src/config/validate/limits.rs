//! `[server.limits]`

use std::num::NonZeroU64;

use super::server::{LEAST_HEADER_BYTES, at_most, positive, size, some};
use crate::config::fault::Report;
use crate::config::raw;
use crate::config::settings::ConnectionLimits;
use crate::policy::frames::FrameLimits;
use crate::policy::framing::HeadLimits;
use crate::policy::patience::{LeastRate, Patience};

const MOST_FIELDS: u32 = 1000;
const MOST_STREAMS: u32 = 10_000;

pub(super) fn limits(raw: &raw::Server, report: &mut Report) -> ConnectionLimits {
    let key = |name: &str| format!("server.limits.{name}");
    let limits = &raw.limits;
    at_most(&key("max_fields"), limits.max_fields.into(), MOST_FIELDS.into(), report);
    at_most(&key("http2_streams"), limits.http2_streams.into(), MOST_STREAMS.into(), report);
    for (name, bytes) in
        [("max_uri_bytes", limits.max_uri_bytes), ("max_field_bytes", limits.max_field_bytes)]
    {
        if bytes.0 == 0 {
            report.fault(&key(name), "is 0");
        } else if bytes > raw.max_header_bytes && raw.max_header_bytes.0 >= LEAST_HEADER_BYTES {
            let why = format!("is more than server.max_header_bytes ({})", raw.max_header_bytes);
            report.fault(&key(name), why);
        }
    }
    let taking = LeastRate {
        grace: positive(&key("stall_timeout"), limits.stall_timeout, report),
        per_second: NonZeroU64::new(limits.least_rate.0),
    };
    ConnectionLimits {
        patience: Patience {
            head: positive("server.header_timeout", raw.header_timeout, report),
            idle: positive(&key("idle_timeout"), limits.idle_timeout, report),
            taking,
        },
        head: HeadLimits {
            head_bytes: size(raw.max_header_bytes.0),
            uri_bytes: size(limits.max_uri_bytes.0),
            field_bytes: size(limits.max_field_bytes.0),
            fields: some(&key("max_fields"), limits.max_fields, report),
        },
        max_per_address: some(
            &key("max_connections_per_address"),
            limits.max_connections_per_address,
            report,
        ),
        max_streams: limits.http2_streams.max(1),
        frames: FrameLimits { resets: limits.http2_resets, idle_frames: limits.http2_idle_frames },
    }
}
