//! Which face of the metrics a scraper prefers (RFC 9110, section 12.5.1).

use http::HeaderMap;
use http::header::ACCEPT;

use crate::metrics::Face;

/// OpenMetrics when the scraper likes it at least as well as text; text when nothing is said.
pub(super) fn preferred(headers: &HeaderMap) -> Face {
    let (mut openmetrics, mut text) = (0, 0);
    let ranges = headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    for range in ranges {
        let mut parts = range.split(';').map(str::trim);
        let media_type = parts.next().unwrap_or_default();
        let (mut version, mut quality) = (None, 1000);
        for (name, value) in parts.filter_map(|part| part.split_once('=')) {
            match name.trim().to_ascii_lowercase().as_str() {
                "version" => version = Some(value.trim().trim_matches('"')),
                "q" => quality = thousandths(value.trim()),
                _ => {}
            }
        }
        if media_type.eq_ignore_ascii_case("application/openmetrics-text") {
            if version.is_none_or(|version| version == "1.0.0") {
                openmetrics = openmetrics.max(quality);
            }
        } else if media_type.eq_ignore_ascii_case("text/plain") {
            text = text.max(quality);
        }
    }
    if openmetrics > 0 && openmetrics >= text { Face::OpenMetrics } else { Face::Text }
}

/// A quality value; what is none counts as refused.
fn thousandths(value: &str) -> u32 {
    match value.parse::<f32>() {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 0 and 1000"
        )]
        Ok(quality) if (0.0..=1.0).contains(&quality) => (quality * 1000.0).round() as u32,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn face(accept: &'static str) -> Face {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, accept.parse().unwrap());
        preferred(&headers)
    }

    #[test]
    fn openmetrics_only_when_it_is_asked_for() {
        assert_eq!(preferred(&HeaderMap::new()), Face::Text);
        assert_eq!(face("*/*"), Face::Text);
        assert_eq!(face("text/plain"), Face::Text);
        assert_eq!(face("application/openmetrics-text"), Face::OpenMetrics);
        assert_eq!(face("Application/OpenMetrics-Text; Version=1.0.0"), Face::OpenMetrics);
        assert_eq!(face("application/openmetrics-text;version=0.0.1"), Face::Text);
        assert_eq!(face("application/openmetrics-text;q=0"), Face::Text);
        assert_eq!(face("application/openmetrics-text;q=x, text/plain;q=0.1"), Face::Text);
    }

    #[test]
    fn what_prometheus_sends_prefers_openmetrics() {
        let prometheus = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
            application/openmetrics-text;version=0.0.1;q=0.5,\
            text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,\
            */*;q=0.2";
        assert_eq!(face(prometheus), Face::OpenMetrics);
        assert_eq!(face("text/plain;q=0.9,application/openmetrics-text;q=0.8"), Face::Text);
    }
}
