//! Whether a web page may be behind a request that would change something.
//!
//! A page may send "simple" requests to any address, loopback included, and a name that it owns may
//! lead there (DNS rebinding). The browser says so in fields that no page can change.

use std::fmt;
use std::str::FromStr as _;

use http::header::{HOST, HeaderMap, ORIGIN};
use http::uri::Authority;

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrossSite {
    /// A page sent it (RFC 6454, section 7).
    Origin,
    /// A page of another site sent it (Fetch Metadata).
    Fetch,
    /// It was sent to a name that may be anybody's.
    Host,
}

impl fmt::Display for CrossSite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Origin => "a web page sends this (it has an Origin)",
            Self::Fetch => "a web page of another site sends this (Sec-Fetch-Site)",
            Self::Host => "this was sent to a name (Host) that is neither an address nor localhost",
        })
    }
}

/// Refuses what a web page could have sent. `target` is the authority in the request's own target
/// (HTTP/2 has it there), `names` are those that are ours.
pub fn check(
    headers: &HeaderMap,
    target: Option<&Authority>,
    names: &[String],
) -> Result<(), CrossSite> {
    if headers.contains_key(ORIGIN) {
        return Err(CrossSite::Origin);
    }
    let same = |site: &[u8]| site == b"none" || site == b"same-origin";
    if headers.get_all("sec-fetch-site").iter().any(|site| !same(site.as_bytes())) {
        return Err(CrossSite::Fetch);
    }
    let mut hosts = headers.get_all(HOST).iter();
    let host = match (target, hosts.next(), hosts.next()) {
        (Some(target), ..) => Some(target.clone()),
        (None, Some(only), None) => only.to_str().ok().and_then(|t| Authority::from_str(t).ok()),
        (None, ..) => None,
    };
    host.filter(|host| is_ours(host.host(), names)).map(|_| ()).ok_or(CrossSite::Host)
}

/// What no page can make its own: an address, this machine, a name that the operator vouches for.
fn is_ours(host: &str, names: &[String]) -> bool {
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    address.parse::<core::net::IpAddr>().is_ok()
        || host.eq_ignore_ascii_case("localhost")
        || names.iter().any(|name| host.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(fields: &[(&'static str, &str)]) -> Result<(), CrossSite> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().unwrap());
        }
        check(&headers, None, &["weir-admin.internal".to_owned()])
    }

    #[test]
    fn what_a_page_could_have_sent_is_refused() {
        for host in [
            "127.0.0.1:9090",
            "10.1.2.3",
            "[::1]:9090",
            "[::1]",
            "localhost:9090",
            "LocalHost",
            "weir-admin.internal:9090",
            "Weir-Admin.internal",
        ] {
            assert_eq!(told(&[("host", host)]), Ok(()), "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example:9090",
            "weir-admin.internal.evil.example",
            "a@b",
            "",
            "localhost.",
            "2130706433",
        ] {
            assert_eq!(told(&[("host", host)]), Err(CrossSite::Host), "{host}");
        }
        let here = ("host", "localhost");
        for (fields, expected) in [
            (vec![], Err(CrossSite::Host)),
            (vec![here, ("host", "evil.example")], Err(CrossSite::Host)),
            (vec![here, ("origin", "https://evil.example")], Err(CrossSite::Origin)),
            (vec![here, ("origin", "null")], Err(CrossSite::Origin)),
            (vec![here, ("origin", "http://localhost")], Err(CrossSite::Origin)),
            (vec![here, ("sec-fetch-site", "cross-site")], Err(CrossSite::Fetch)),
            (vec![here, ("sec-fetch-site", "same-site")], Err(CrossSite::Fetch)),
            (
                vec![here, ("sec-fetch-site", "none"), ("sec-fetch-site", "x")],
                Err(CrossSite::Fetch),
            ),
            (vec![here, ("sec-fetch-site", "none")], Ok(())),
            (vec![here, ("sec-fetch-site", "same-origin")], Ok(())),
        ] {
            assert_eq!(told(&fields), expected, "{fields:?}");
        }
        let (page, ours) =
            (Authority::from_static("evil.example"), Authority::from_static("[::1]:1"));
        let mut headers = HeaderMap::new();
        assert_eq!(check(&headers, Some(&ours), &[]), Ok(()));
        headers.insert(HOST, "localhost".parse().unwrap());
        assert_eq!(check(&headers, Some(&page), &[]), Err(CrossSite::Host));
    }
}
