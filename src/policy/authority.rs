//! What may stand in `Host` and `:authority`: a name or an address, and a port.

/// Longest authority; a DNS name has 253 bytes at most.
const MAX_LEN: usize = 512;

/// Whether this names a host: `uri-host [ ":" port ]`, and not nothing (RFC 9110, section 7.2).
///
/// User information is no part of it, and a request for nobody's host is nobody's to answer.
pub fn is_host(text: &[u8]) -> bool {
    if text.len() > MAX_LEN {
        return false;
    }
    let (host, port, is_sound) = if let Some(literal) = text.strip_prefix(b"[") {
        let end = literal.iter().position(|byte| *byte == b']').unwrap_or(literal.len());
        let (host, rest) = literal.split_at(end);
        let port = rest.strip_prefix(b"]");
        (host, port.unwrap_or_default(), port.is_some() && is_ip_literal(host))
    } else {
        let end = text.iter().position(|byte| *byte == b':').unwrap_or(text.len());
        let (host, port) = text.split_at(end);
        (host, port, is_reg_name(host))
    };
    is_sound && !host.is_empty() && is_port(port)
}

/// Whether both name the same host and port, the scheme's own port left aside.
pub fn same_host(one: &[u8], other: &[u8]) -> bool {
    one.eq_ignore_ascii_case(other)
        || without_default_port(one).eq_ignore_ascii_case(without_default_port(other))
}

fn without_default_port(authority: &[u8]) -> &[u8] {
    [&b":80"[..], b":443", b":"]
        .iter()
        .find_map(|port| authority.strip_suffix(*port))
        .unwrap_or(authority)
}

/// RFC 3986, section 3.2.2: letters, digits, `-._~`, sub-delims and escapes.
fn is_reg_name(name: &[u8]) -> bool {
    // Nearly all names are of these, and looked at without a branch for each letter.
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
    if name.iter().filter(|byte| plain(byte)).count() == name.len() {
        return true;
    }
    let mut bytes = name.iter();
    while let Some(byte) = bytes.next() {
        let legal = match byte {
            b'%' => {
                bytes.next().is_some_and(u8::is_ascii_hexdigit)
                    && bytes.next().is_some_and(u8::is_ascii_hexdigit)
            }
            byte => byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(byte),
        };
        if !legal {
            return false;
        }
    }
    true
}

/// An IPv6 address; what a later version of IP may write is not known here.
fn is_ip_literal(text: &[u8]) -> bool {
    std::str::from_utf8(text).is_ok_and(|text| text.parse::<core::net::Ipv6Addr>().is_ok())
}

/// Nothing, or a colon and a number of 16 bits; RFC 3986 lets the number be absent.
fn is_port(port: &[u8]) -> bool {
    let Some(digits) = port.strip_prefix(b":") else { return port.is_empty() };
    let number = digits.iter().try_fold(0_u16, |number, digit| {
        let digit = digit.is_ascii_digit().then(|| u16::from(digit - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    });
    number.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_or_an_address_and_maybe_a_port() {
        let longest = "a".repeat(MAX_LEN);
        for host in [
            "a",
            "a.b",
            "localhost:8080",
            "127.0.0.1",
            "127.0.0.1:80",
            "[::1]",
            "[::1]:8080",
            "A-b_c",
            "a:",
            "x%41",
            "api.zoom.us.",
            "a:65535",
            &longest,
        ] {
            assert!(is_host(host.as_bytes()), "{host}");
        }
        let too_long = "a".repeat(MAX_LEN + 1);
        for host in [
            "",
            ":80",
            "a b",
            " a",
            "a ",
            "a:b",
            "a:65536",
            "a:-1",
            "a:+1",
            "a:8 0",
            "a:80:80",
            "u@a",
            "a/b",
            "a?b",
            "a#b",
            "a\\b",
            "[::1",
            "::1",
            "[::1]x",
            "[]",
            "[a]",
            "[1.2.3.4]",
            "a%",
            "a%4",
            "a%4g",
            "a\u{e4}",
            "\"a\"",
            "<a>",
            "a\0",
            "a\tb",
            "{a}",
            "a|b",
            "a^b",
            &too_long,
        ] {
            assert!(!is_host(host.as_bytes()), "{host:?}");
        }
    }

    #[test]
    fn a_scheme_s_own_port_makes_no_other_host() {
        for (one, other, same) in [
            ("a", "A", true),
            ("a:80", "a", true),
            ("a", "a:443", true),
            ("a:", "a", true),
            ("a:8080", "a", false),
            ("a:8080", "a:8080", true),
            ("a", "b", false),
            ("a", "", false),
        ] {
            assert_eq!(same_host(one.as_bytes(), other.as_bytes()), same, "{one} {other}");
        }
    }
}
