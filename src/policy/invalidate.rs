//! Which stored answers a successful change makes invalid (RFC 9111, section 4.4).

use http::header::{CONTENT_LOCATION, HeaderName, LOCATION};
use http::{HeaderMap, Method, StatusCode, Uri};

/// Whether a request with this method and answer has changed something: an unsafe method (RFC 9110,
/// section 9.2.1) and no error.
pub fn changes(method: &Method, status: StatusCode) -> bool {
    let is_safe = [Method::GET, Method::HEAD, Method::OPTIONS, Method::TRACE].contains(method);
    !is_safe && (status.is_success() || status.is_redirection())
}

/// Path and query, below the upstream's base URL, of everything that such an answer says has
/// changed: what was asked for, and what `Location` and `Content-Location` name at the same origin.
///
/// `base` is the base URL, without a slash at its end; `target` the path and query below it.
pub fn changed(base: &str, target: &str, answer: &HeaderMap) -> Vec<String> {
    const NAMED: [HeaderName; 2] = [LOCATION, CONTENT_LOCATION];
    let mut all = vec![target.to_owned()];
    let Ok(origin) = base.parse::<Uri>() else { return all };
    let named = NAMED.iter().filter_map(|name| answer.get(name));
    for reference in named.filter_map(|value| value.to_str().ok()) {
        let path = resolved(&origin, target, reference.trim());
        if let Some(path) = path.filter(|path| !all.contains(path)) {
            all.push(path);
        }
    }
    all
}

/// RFC 3986, section 5.2, without dot segments: those are refused wherever they come from.
fn resolved(base: &Uri, target: &str, reference: &str) -> Option<String> {
    let reference = reference.split('#').next().unwrap_or_default();
    let whole = if let Some((scheme, rest)) = reference.split_once("://") {
        let own = base.scheme_str().filter(|own| own.eq_ignore_ascii_case(scheme));
        own.and_then(|_| at_same_authority(base, rest))?
    } else if let Some(rest) = reference.strip_prefix("//") {
        at_same_authority(base, rest)?
    } else if reference.starts_with('/') {
        reference.to_owned()
    } else {
        return Some(beside(target, reference));
    };
    let below = whole.strip_prefix(base.path().trim_end_matches('/'))?;
    below.starts_with('/').then(|| below.to_owned())
}

fn beside(target: &str, reference: &str) -> String {
    let path = target.split('?').next().unwrap_or_default();
    if reference.is_empty() {
        target.to_owned()
    } else if reference.starts_with('?') {
        format!("{path}{reference}")
    } else {
        let directory = path.rsplit_once('/').map_or("", |(directory, _)| directory);
        format!("{directory}/{reference}")
    }
}

fn at_same_authority(base: &Uri, rest: &str) -> Option<String> {
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let default = if base.scheme_str() == Some("https") { 443 } else { 80 };
    let parts = |authority: &http::uri::Authority| {
        (authority.host().to_ascii_lowercase(), authority.port_u16().unwrap_or(default))
    };
    let same = parts(&authority.parse().ok()?) == parts(base.authority()?);
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    same.then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_something() {
        for (method, status, expected) in [
            (Method::POST, 201, true),
            (Method::PUT, 204, true),
            (Method::DELETE, 303, true),
            (Method::from_bytes(b"M-SEARCH").unwrap(), 200, true),
            (Method::POST, 404, false),
            (Method::PATCH, 500, false),
            (Method::GET, 200, false),
            (Method::OPTIONS, 200, false),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(changes(&method, status), expected, "{method} {status}");
        }
    }

    #[test]
    fn what_an_answer_names_is_found_below_the_base_url() {
        let base = "https://api.example:443/v2";
        for (reference, expected) in [
            ("/v2/things/7?a=b#top", Some("/things/7?a=b")),
            ("https://API.example/v2/things/7", Some("/things/7")),
            ("//api.example/v2/things/7", Some("/things/7")),
            ("7", Some("/things/7")),
            ("?page=2", Some("/things/new?page=2")),
            ("", None),
            ("http://api.example/v2/things/7", None),
            ("https://api.example:8443/v2/things/7", None),
            ("https://other.example/v2/things/7", None),
            ("/v3/things/7", None),
            ("/v2x/things/7", None),
        ] {
            let answer = [(LOCATION, reference.parse().unwrap())].into_iter().collect();
            let all = changed(base, "/things/new?x=1", &answer);
            assert_eq!(all[0], "/things/new?x=1");
            assert_eq!(all.get(1).map(String::as_str), expected, "{reference}");
        }
    }
}
