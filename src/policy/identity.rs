//! What a request shows to prove who calls. Two proofs, or half of one, are none: nothing is
//! guessed.

use std::fmt;

use http::header::{AUTHORIZATION, HeaderMap, HeaderName};

use super::token::TokenFault;

/// Longest API key that is looked at, bytes.
pub const MAX_KEY: usize = 4096;
/// Longest token that is looked at, bytes.
pub const MAX_TOKEN: usize = 8192;

/// The field that carries a client's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyField {
    /// `Authorization: Bearer <key>` (RFC 6750, section 2.1).
    Authorization,
    /// A field whose value is the key.
    Own(HeaderName),
}

/// What a request shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown<'r> {
    /// No key.
    Nothing,
    /// A key or token, not empty.
    Key(&'r [u8]),
}

impl KeyField {
    /// Its name.
    pub fn name(&self) -> &HeaderName {
        match self {
            Self::Authorization => &AUTHORIZATION,
            Self::Own(name) => name,
        }
    }

    /// The key in a request's fields.
    pub fn shown<'r>(&self, headers: &'r HeaderMap) -> Result<Shown<'r>, Doubt> {
        let mut values = headers.get_all(self.name()).iter();
        let Some(value) = values.next() else { return Ok(Shown::Nothing) };
        if values.next().is_some() {
            return Err(Doubt::TwoKeys);
        }
        let value = value.as_bytes();
        let key = match self {
            Self::Own(_) => value,
            // RFC 9110, section 11.1: the scheme is compared without regard to case.
            Self::Authorization => match value.split_at_checked(7) {
                Some((scheme, key)) if scheme.eq_ignore_ascii_case(b"bearer ") => key,
                // White space at the end of a value is gone by now.
                _ if value.eq_ignore_ascii_case(b"bearer") => b"",
                _ => return Ok(Shown::Nothing),
            },
        };
        match key.trim_ascii() {
            b"" => Err(Doubt::Empty),
            key => Ok(Shown::Key(key)),
        }
    }
}

/// Whether it has the three parts of a JWT (RFC 7515, section 7.1).
pub fn looks_like_token(shown: &[u8]) -> bool {
    shown.split(|byte| *byte == b'.').count() == 3
}

/// Why nobody is recognised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unidentified {
    /// Nothing is shown by which anybody could be.
    Missing(Ways),
    /// What is shown is not good.
    Doubtful(Doubt),
}

impl From<Doubt> for Unidentified {
    fn from(doubt: Doubt) -> Self {
        Self::Doubtful(doubt)
    }
}

/// How a client can say who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ways {
    /// By a key or token in this field.
    pub field: KeyField,
    /// Whether some clients are known by their certificates.
    pub certificates: bool,
}

impl fmt::Display for Ways {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.field {
            KeyField::Authorization => {
                f.write_str("an API key is needed: Authorization: Bearer <key>")?;
            }
            KeyField::Own(name) => write!(f, "an API key is needed: {name}: <key>")?,
        }
        if self.certificates {
            f.write_str(", or a client certificate that is known here")?;
        }
        Ok(())
    }
}

/// What is wrong with what is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Doubt {
    /// The field is there twice.
    #[error("more than one API key is given")]
    TwoKeys,
    /// The field is there, and nothing in it.
    #[error("the API key is empty")]
    Empty,
    /// Nobody's key is so long.
    #[error("the API key is longer than {MAX_KEY} bytes")]
    TooLong,
    /// Nobody has it.
    #[error("this API key is not known here")]
    Unknown,
    /// The certificate is that of several clients.
    #[error("the client certificate holds the names of more than one client")]
    Several,
    /// The token is not good.
    #[error(transparent)]
    Token(TokenFault),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn one_key_or_none_and_never_a_guess() {
        let own = KeyField::Own(HeaderName::from_static("x-api-key"));
        let bearer = KeyField::Authorization;
        let a = "authorization";
        let key = |text: &'static str| Ok(Shown::Key(text.as_bytes()));
        for (field, fields, shown) in [
            (&bearer, vec![], Ok(Shown::Nothing)),
            (&bearer, vec![(a, "Bearer k1")], key("k1")),
            (&bearer, vec![(a, "bearer  k1 ")], key("k1")),
            (&bearer, vec![(a, "Bearer ")], Err(Doubt::Empty)),
            (&bearer, vec![(a, "Bearer")], Err(Doubt::Empty)),
            (&bearer, vec![(a, "Bearer   ")], Err(Doubt::Empty)),
            (&bearer, vec![(a, "Basic k1")], Ok(Shown::Nothing)),
            (&bearer, vec![(a, "k1")], Ok(Shown::Nothing)),
            (&bearer, vec![(a, "Bearer k1"), (a, "Bearer k1")], Err(Doubt::TwoKeys)),
            (&bearer, vec![(a, "Basic k1"), (a, "Bearer k1")], Err(Doubt::TwoKeys)),
            (&bearer, vec![("x-api-key", "k1")], Ok(Shown::Nothing)),
            (&own, vec![("x-api-key", "k1")], key("k1")),
            (&own, vec![("x-api-key", "Bearer k1")], key("Bearer k1")),
            (&own, vec![("x-api-key", "")], Err(Doubt::Empty)),
            (&own, vec![("x-api-key", "k1"), ("x-api-key", "k2")], Err(Doubt::TwoKeys)),
            (&own, vec![(a, "Bearer k1")], Ok(Shown::Nothing)),
        ] {
            assert_eq!(field.shown(&headers(&fields)), shown, "{field:?} {fields:?}");
        }
    }

    #[test]
    fn a_token_has_three_parts() {
        for (text, is) in
            [("a.b.c", true), ("..", true), ("a.b", false), ("a.b.c.d", false), ("key", false)]
        {
            assert_eq!(looks_like_token(text.as_bytes()), is, "{text}");
        }
    }

    #[test]
    fn who_shows_nothing_is_told_every_way() {
        let own = KeyField::Own(HeaderName::from_static("x-api-key"));
        let ways = |field, certificates| Ways { field, certificates }.to_string();
        assert_eq!(
            ways(KeyField::Authorization, false),
            "an API key is needed: Authorization: Bearer <key>"
        );
        assert_eq!(
            ways(own, true),
            "an API key is needed: x-api-key: <key>, or a client certificate that is known here"
        );
    }
}
