//! What may be quoted of a name or a path: whoever pastes the secret itself in its place must not
//! find it in a message, or in a log.

/// Longer words are taken for keys and tokens.
const LONGEST_WORD: usize = 32;
const LONGEST: usize = 255;

/// The path of a file, if it looks like one.
pub(super) fn path(text: &str) -> String {
    let legal = |c: char| c.is_ascii_alphanumeric() || "/._- ".contains(c);
    if text.len() <= LONGEST && text.chars().all(legal) && has_short_words(text) {
        format!("{text:?}")
    } else {
        "what is written there is not shown, for it may be the secret itself; it".to_owned()
    }
}

/// The name of an environment variable, if it looks like one.
pub(super) fn variable(text: &str) -> &str {
    let legal = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    if text.len() <= LONGEST && text.chars().all(legal) && has_short_words(text) {
        text
    } else {
        "of that name (not shown, for it may be the secret itself)"
    }
}

fn has_short_words(text: &str) -> bool {
    text.split(|c: char| !c.is_ascii_alphanumeric()).all(|word| word.len() <= LONGEST_WORD)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_and_secrets_are_not() {
        for name in ["/run/secrets/zoom_api_secret", "tls/server.pem", "a b.txt", "nowhere"] {
            assert_eq!(path(name), format!("{name:?}"));
        }
        for secret in [
            "-----BEGIN PRIVATE KEY-----\nMIIE",
            "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7",
            "sk_live_51HabcdefGHIJKLmnopqrstuvwxyz0123456789",
            "{\"keys\":[]}",
            "abc+def/ghi==",
        ] {
            assert!(!path(secret).contains(secret.get(..8).unwrap()), "{secret}");
            assert!(!variable(secret).contains(secret.get(..8).unwrap()), "{secret}");
        }
        assert_eq!(variable("ZOOM_API_KEY"), "ZOOM_API_KEY");
        assert!(!variable("hunter2").contains("hunter2"));
    }
}
