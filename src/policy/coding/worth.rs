//! Whether a stored answer gains by being encoded, and whether it may be.

use http::HeaderMap;
use http::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_RANGE, CONTENT_TYPE, HeaderName, HeaderValue,
};

/// Bytes. A smaller body fits one packet as it is: nothing would arrive earlier.
pub const SMALLEST: usize = 860;

/// Whether to encode an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worth {
    /// Encode it.
    Encode,
    /// Its body is shorter than [`SMALLEST`].
    TooSmall,
    /// Its media type is unknown or dense already, like an image.
    Dense,
    /// The upstream has encoded it.
    Encoded,
    /// The upstream forbids it, or says something that holds for these very bytes only.
    Forbidden,
}

/// RFC 9530, sections 2 and 3, and its ancestors: digests are made over the encoded content.
const OF_THESE_BYTES: [HeaderName; 5] = [
    CONTENT_RANGE,
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("content-md5"),
];

/// Whether the upstream's `no-transform` counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoTransform {
    /// RFC 9110, section 7.7.
    Heeded,
    /// Our own rule stands above what the upstream says of caching.
    Ignored,
}

/// Decides by the fields of the upstream's answer and the length of its body in bytes.
pub fn worth(response: &HeaderMap, len: usize, no_transform: NoTransform) -> Worth {
    if len < SMALLEST {
        return Worth::TooSmall;
    }
    if !response.get(CONTENT_TYPE).is_some_and(is_compressible) {
        return Worth::Dense;
    }
    let identity = |coding: &HeaderValue| coding.as_bytes().eq_ignore_ascii_case(b"identity");
    if !response.get_all(CONTENT_ENCODING).iter().all(identity) {
        return Worth::Encoded;
    }
    let forbidden = no_transform == NoTransform::Heeded && forbids_transformation(response);
    if forbidden || OF_THESE_BYTES.iter().any(|n| response.contains_key(n)) {
        return Worth::Forbidden;
    }
    Worth::Encode
}

/// RFC 9110, section 7.7; RFC 9111, section 5.2.2.6.
fn forbids_transformation(response: &HeaderMap) -> bool {
    response.get_all(CACHE_CONTROL).iter().any(|field| {
        let mut directives = field.as_bytes().split(|&byte| byte == b',');
        directives.any(|directive| directive.trim_ascii().eq_ignore_ascii_case(b"no-transform"))
    })
}

/// Text in the widest sense. RFC 9110, section 8.3.1: types ignore case and carry parameters.
fn is_compressible(content_type: &HeaderValue) -> bool {
    const PREFIXES: [&[u8]; 1] = [b"text/"];
    const SUFFIXES: [&[u8]; 3] = [b"+json", b"+xml", b"+yaml"];
    const TYPES: [&[u8]; 18] = [
        b"application/json",
        b"application/javascript",
        b"application/xml",
        b"application/wasm",
        b"application/x-ndjson",
        b"application/ndjson",
        b"application/jsonl",
        b"application/json-seq",
        b"application/yaml",
        b"application/toml",
        b"application/graphql",
        b"application/x-javascript",
        b"application/x-www-form-urlencoded",
        b"application/sql",
        b"font/ttf",
        b"font/otf",
        b"image/bmp",
        b"image/x-icon",
    ];
    let essence = content_type.as_bytes().split(|&byte| byte == b';').next().unwrap_or_default();
    let essence = essence.trim_ascii();
    let begins = |with: &[u8]| {
        essence.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with))
    };
    let ends = |with: &[u8]| {
        let start = essence.len().saturating_sub(with.len());
        essence.get(start..).is_some_and(|end| end.eq_ignore_ascii_case(with))
    };
    TYPES.iter().any(|known| essence.eq_ignore_ascii_case(known))
        || PREFIXES.iter().any(|with| begins(with))
        || SUFFIXES.iter().any(|with| ends(with))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(fields: &[(&str, &str)], len: usize) -> Worth {
        let parsed = |&(name, value): &(&str, &str)| {
            (name.parse::<HeaderName>().unwrap(), value.parse::<HeaderValue>().unwrap())
        };
        worth(&fields.iter().map(parsed).collect(), len, NoTransform::Heeded)
    }

    #[test]
    fn text_is_worth_it_and_dense_or_unknown_types_are_not() {
        for (kind, expected) in [
            ("application/json", Worth::Encode),
            ("Application/JSON; charset=utf-8", Worth::Encode),
            ("application/problem+json", Worth::Encode),
            ("application/atom+XML ;a=b", Worth::Encode),
            ("application/xml", Worth::Encode),
            ("image/svg+xml", Worth::Encode),
            ("text/html", Worth::Encode),
            ("TEXT/csv", Worth::Encode),
            ("application/javascript", Worth::Encode),
            ("application/wasm", Worth::Encode),
            ("image/png", Worth::Dense),
            ("application/octet-stream", Worth::Dense),
            ("application/zip", Worth::Dense),
            ("application/x;y=+json", Worth::Dense),
            ("video/text/", Worth::Dense),
            ("json", Worth::Dense),
            ("", Worth::Dense),
        ] {
            assert_eq!(of(&[("content-type", kind)], SMALLEST), expected, "{kind}");
        }
        assert_eq!(of(&[], SMALLEST), Worth::Dense);
    }

    #[test]
    fn what_fits_one_packet_is_left_alone() {
        let json = [("content-type", "application/json")];
        for (len, expected) in
            [(0, Worth::TooSmall), (SMALLEST - 1, Worth::TooSmall), (SMALLEST, Worth::Encode)]
        {
            assert_eq!(of(&json, len), expected, "{len}");
        }
    }

    #[test]
    fn the_upstream_may_forbid_it() {
        for (name, value, expected) in [
            // RFC 9110, section 7.7
            ("cache-control", "no-transform", Worth::Forbidden),
            ("cache-control", "max-age=1,No-Transform ", Worth::Forbidden),
            ("cache-control", "max-age=1, no-transformer", Worth::Encode),
            // RFC 9110, section 8.4: one more coding would need a list
            ("content-encoding", "gzip", Worth::Encoded),
            ("content-encoding", "identity, br", Worth::Encoded),
            ("content-encoding", "Identity", Worth::Encode),
            // RFC 9530, section 2
            ("content-digest", "sha-256=:YQ==:", Worth::Forbidden),
            ("repr-digest", "sha-256=:YQ==:", Worth::Forbidden),
            // RFC 9110, section 14.4
            ("content-range", "bytes 0-1/2", Worth::Forbidden),
            ("etag", "\"a\"", Worth::Encode),
        ] {
            let fields = [("content-type", "text/plain"), (name, value)];
            assert_eq!(of(&fields, 9999), expected, "{name}: {value}");
        }
        let told = [("content-type", "text/plain"), ("cache-control", "no-transform")];
        let told = told.map(|(n, v)| (n.parse().unwrap(), v.parse().unwrap()));
        let told: HeaderMap = told.into_iter().collect();
        assert_eq!(worth(&told, 9999, NoTransform::Ignored), Worth::Encode);
    }
}
