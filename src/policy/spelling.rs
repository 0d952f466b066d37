//! How path parameters are spelt.
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// RFC 3986, section 2.3: everything but the unreserved characters is encoded.
pub const ENCODED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// How path parameters of an upstream are spelt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Spelling {
    /// As RFC 3986 says: one segment, percent-encoded once.
    #[default]
    Plain,
    /// Zoom session ids: base64 with slashes, encoded none to three times, sent on encoded twice.
    ZoomSessionId,
}

impl Spelling {
    /// The upstream's spelling of one path parameter.
    pub fn encode(self, value: &str) -> String {
        let once = utf8_percent_encode(value, ENCODED).to_string();
        match self {
            Self::ZoomSessionId if is_session_id(value) => {
                utf8_percent_encode(&once, ENCODED).to_string()
            }
            _ => once,
        }
    }
}

fn is_session_id(value: &str) -> bool {
    value.len() == 24 && value.ends_with("==")
}
