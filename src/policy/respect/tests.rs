//! What a shared cache may store.

use super::*;

mod failures;
mod freshening;
mod laws;
mod lifetime;
mod oracle;
mod staleness;
mod storing;

/// 2026-11-24 12:00:00 UTC, a Tuesday.
const NOW: u64 = 1_795_521_600;

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn http(seconds: u64) -> String {
    httpdate::fmt_http_date(at(seconds))
}

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn map<V: AsRef<[u8]>>(fields: &[(&'static str, V)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(*name, HeaderValue::from_bytes(value.as_ref()).unwrap());
    }
    headers
}

fn arrival() -> Arrival {
    Arrival {
        authorized: Authorized::No,
        set_cookie: SetCookie::Private,
        wall: at(NOW),
        delay: Duration::ZERO,
    }
}

/// Of an answer that nothing is special about.
fn kept<V: AsRef<[u8]>>(status: u16, fields: &[(&'static str, V)]) -> Option<Storable> {
    storable(StatusCode::from_u16(status).unwrap(), &map(fields), &arrival())
}

fn fresh<V: AsRef<[u8]>>(fields: &[(&'static str, V)]) -> Option<u64> {
    kept(200, fields).map(|kept| kept.lifetimes.fresh.as_secs())
}

fn with(cache_control: &'static str) -> Option<Storable> {
    kept(200, &[("cache-control", cache_control)])
}
