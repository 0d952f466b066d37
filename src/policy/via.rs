//! Whether a request has been here before (RFC 9110, section 7.6.3).

/// Whether one of a `Via` field's members was written by whoever goes by this name.
pub fn names(field: &[u8], name: &str) -> bool {
    field.split(|byte| *byte == b',').any(|member| {
        let mut words =
            member.split(|byte| matches!(byte, b' ' | b'\t')).filter(|word| !word.is_empty());
        let (_protocol, received_by) = (words.next(), words.next());
        received_by.is_some_and(|by| by.eq_ignore_ascii_case(name.as_bytes()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_says_who_received_it() {
        for (field, named) in [
            ("1.1 weir", true),
            ("HTTP/1.1 WEIR", true),
            ("1.0 fred, 1.1\t weir (a comment)", true),
            ("1.1 weirs", false),
            ("1.1 fred (weir)", false),
            ("weir", false),
            ("1.1 weir:80", false),
            ("", false),
            (",,", false),
        ] {
            assert_eq!(names(field.as_bytes(), "weir"), named, "{field}");
        }
    }
}
