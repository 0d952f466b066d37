//! Addresses of upstreams and token endpoints.

use http::Uri;

use crate::config::fault::Report;

/// Whether it is this machine.
pub(super) fn is_loopback(url: &Uri) -> bool {
    let host = url.host().unwrap_or_default().trim_matches(['[', ']']);
    host.parse::<std::net::IpAddr>().map_or(host == "localhost", |ip| ip.is_loopback())
}

/// An http or https address without credentials. Never quoted: it could hold a password.
pub(super) fn absolute_url(path: &str, text: &str, report: &mut Report) -> Option<Uri> {
    let hint = r#"write "https://host/path""#;
    if text.contains('#') {
        report.fault_try(path, "has a fragment", hint);
        return None;
    }
    let url =
        text.parse::<Uri>().ok().filter(|url| url.host().is_some_and(|host| !host.is_empty()));
    let Some(url) = url.filter(|url| matches!(url.scheme_str(), Some("http" | "https"))) else {
        report.fault_try(path, "is not an http or https address", hint);
        return None;
    };
    if url.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        report.fault_try(path, "holds credentials", "put them under auth");
        return None;
    }
    Some(url)
}
