//! The corpus: each with the way it is told.

use std::time::Duration;

use crate::support::scripted::{Act, say};

pub(super) type Case = (String, Vec<Act>);

fn whole(head: &str, body: &str) -> String {
    format!("{head}\r\n\r\n{body}")
}

/// Heads that are malformed; the connection stays open, so that nothing but the head is to blame.
const HEADS: [(&str, &str); 60] = [
    ("length and coding", "HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked"),
    ("coding and length", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 3"),
    ("two lengths", "HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 1"),
    ("two lengths, alike", "HTTP/1.1 200 OK\r\ncontent-length: 3\r\nContent-Length: 3"),
    ("lengths in a list", "HTTP/1.1 200 OK\r\ncontent-length: 3, 3"),
    ("lengths in a list that differ", "HTTP/1.1 200 OK\r\ncontent-length: 3, 1"),
    ("negative length", "HTTP/1.1 200 OK\r\ncontent-length: -1"),
    ("signed length", "HTTP/1.1 200 OK\r\ncontent-length: +3"),
    ("length in words", "HTTP/1.1 200 OK\r\ncontent-length: three"),
    ("length in hex", "HTTP/1.1 200 OK\r\ncontent-length: 0x3"),
    ("length with a fraction", "HTTP/1.1 200 OK\r\ncontent-length: 3.0"),
    ("length with a unit", "HTTP/1.1 200 OK\r\ncontent-length: 3 bytes"),
    ("length with a space in it", "HTTP/1.1 200 OK\r\ncontent-length: 1 0"),
    ("empty length", "HTTP/1.1 200 OK\r\ncontent-length:"),
    ("length beyond 64 bits", "HTTP/1.1 200 OK\r\ncontent-length: 18446744073709551617"),
    ("length of 64 bits", "HTTP/1.1 200 OK\r\ncontent-length: 18446744073709551615"),
    ("quoted length", "HTTP/1.1 200 OK\r\ncontent-length: \"3\""),
    ("unknown coding", "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip"),
    ("coding before chunked", "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked"),
    ("coding after chunked", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked, gzip"),
    ("chunked twice", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked, chunked"),
    (
        "chunked in two fields",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked",
    ),
    ("identity", "HTTP/1.1 200 OK\r\ntransfer-encoding: identity"),
    ("nearly chunked", "HTTP/1.1 200 OK\r\ntransfer-encoding: xchunked"),
    ("quoted chunked", "HTTP/1.1 200 OK\r\ntransfer-encoding: \"chunked\""),
    ("empty coding", "HTTP/1.1 200 OK\r\ntransfer-encoding:"),
    ("chunked with a parameter", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked;q=1"),
    ("chunked in HTTP/1.0", "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked"),
    ("space before the colon", "HTTP/1.1 200 OK\r\ncontent-length : 3"),
    ("tab before the colon", "HTTP/1.1 200 OK\r\nx-a\t: b"),
    ("space before the name", "HTTP/1.1 200 OK\r\n x-a: b"),
    ("no colon", "HTTP/1.1 200 OK\r\ncontent-length 3"),
    ("no name", "HTTP/1.1 200 OK\r\n: 3"),
    ("space in the name", "HTTP/1.1 200 OK\r\nx a: b"),
    ("bracket in the name", "HTTP/1.1 200 OK\r\nx(a): b"),
    ("line folded", "HTTP/1.1 200 OK\r\nx-a: b\r\n c"),
    ("line folded by a tab", "HTTP/1.1 200 OK\r\nx-a: b\r\n\tc"),
    ("bare CR in a value", "HTTP/1.1 200 OK\r\nx-a: b\rc: d"),
    ("bare LF in a value", "HTTP/1.1 200 OK\r\nx-a: b\nset-cookie: d"),
    ("bare LF after the status", "HTTP/1.1 200 OK\ncontent-length: 3"),
    ("two CR", "HTTP/1.1 200 OK\r\r\ncontent-length: 3"),
    ("NUL in a value", "HTTP/1.1 200 OK\r\nx-a: b\0c"),
    ("NUL in a name", "HTTP/1.1 200 OK\r\nx\0a: b"),
    ("NUL in the reason", "HTTP/1.1 200 O\0K\r\ncontent-length: 3"),
    ("control in a value", "HTTP/1.1 200 OK\r\nx-a: b\x01c"),
    ("DEL in a value", "HTTP/1.1 200 OK\r\nx-a: b\x7fc"),
    ("letters for digits", "HTTP/1.1 2OO OK\r\ncontent-length: 3"),
    ("two digits", "HTTP/1.1 99 OK\r\ncontent-length: 3"),
    ("four digits", "HTTP/1.1 1000 OK\r\ncontent-length: 3"),
    ("status 000", "HTTP/1.1 000 OK\r\ncontent-length: 3"),
    ("status 600", "HTTP/1.1 600 OK\r\ncontent-length: 3"),
    ("status -200", "HTTP/1.1 -200 OK\r\ncontent-length: 3"),
    ("no status", "HTTP/1.1\r\ncontent-length: 3"),
    ("version 3.7", "HTTP/3.7 200 OK\r\ncontent-length: 3"),
    ("version 1.2", "HTTP/1.2 200 OK\r\ncontent-length: 3"),
    ("version 2", "HTTP/2 200\r\ncontent-length: 3"),
    ("version in small letters", "http/1.1 200 OK\r\ncontent-length: 3"),
    ("another protocol's status", "ICY 200 OK\r\ncontent-length: 3"),
    ("empty line first", "\r\nHTTP/1.1 200 OK\r\ncontent-length: 3"),
    ("protocols switched", "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade"),
];

/// Chunked bodies that are malformed.
const CHUNKS: [(&str, &str); 22] = [
    ("no size", "\r\nabc\r\n0\r\n\r\n"),
    ("negative size", "-3\r\nabc\r\n0\r\n\r\n"),
    ("signed size", "+3\r\nabc\r\n0\r\n\r\n"),
    ("prefixed size", "0x3\r\nabc\r\n0\r\n\r\n"),
    ("size in words", "three\r\nabc\r\n0\r\n\r\n"),
    ("space before the size", " 3\r\nabc\r\n0\r\n\r\n"),
    ("space after the size", "3 \r\nabc\r\n0\r\n\r\n"),
    ("tab after the size", "3\t\r\nabc\r\n0\r\n\r\n"),
    ("size beyond 64 bits", "10000000000000003\r\nabc\r\n0\r\n\r\n"),
    ("huge size", "ffffffffffffffff\r\nabc\r\n0\r\n\r\n"),
    ("size ended by LF", "3\nabc\r\n0\r\n\r\n"),
    ("size ended by CR", "3\rabc\r\n0\r\n\r\n"),
    ("more than the size", "3\r\nabcd\r\n0\r\n\r\n"),
    ("less than the size", "4\r\nabc\r\n0\r\n\r\n"),
    ("data ended by LF", "3\r\nabc\n0\r\n\r\n"),
    ("data without an end", "3\r\nabc0\r\n\r\n"),
    ("LF in an extension", "3;a\nb\r\nabc\r\n0\r\n\r\n"),
    ("NUL in an extension", "3;a\0b\r\nabc\r\n0\r\n\r\n"),
    ("last chunk ended by LF", "3\r\nabc\r\n0\n\r\n"),
    ("body ended by LF", "3\r\nabc\r\n0\r\n\n"),
    ("a bare LF in a trailer", "3\r\nabc\r\n0\r\nx: y\nz: a\r\n\r\n"),
    ("comma in the size", "3,0\r\nabc\r\n0\r\n\r\n"),
];

/// What is no HTTP/1 at all.
const JUNK: [(&str, &[u8]); 10] = [
    ("HTTP/0.9", b"<html>hello</html>"),
    ("SSH", b"SSH-2.0-OpenSSH_9.6\r\n"),
    ("SMTP", b"220 mail.example ESMTP\r\n"),
    ("TLS alert", b"\x15\x03\x03\x00\x02\x02\x28"),
    ("TLS greeting", b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00"),
    ("HTTP/2 settings", b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"),
    ("zeroes", b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),
    ("an empty line", b"\r\n\r\n"),
    ("a request", b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"),
    ("JSON", b"{\"status\":200}\r\n\r\n"),
];

/// Answers that would be good if they came whole.
const WHOLE: [&str; 3] = [
    "HTTP/1.1 200 OK\r\ncontent-length: 12\r\n\r\nabcdefghijkl",
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nabcd\r\n5;x=y\r\nefghi\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx-sum: 1\r\n\r\n",
];

pub(super) fn all() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, head) in HEADS {
        cases.push((name.to_owned(), vec![say(whole(head, "abc")), Act::Hang]));
    }
    for (name, body) in CHUNKS {
        let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked";
        cases.push((format!("chunked: {name}"), vec![say(whole(head, body)), Act::Close]));
    }
    for (name, bytes) in JUNK {
        cases.push((format!("junk: {name}"), vec![say(bytes), Act::Close]));
    }
    for (kind, answer) in WHOLE.iter().enumerate() {
        for cut in (0..answer.len()).step_by(7).chain([answer.len() - 1]) {
            let end = if cut % 2 == 0 { Act::Close } else { Act::Reset };
            let name = format!("answer {kind} cut at {cut}: {end:?}");
            cases.push((name, vec![say(&answer[..cut]), end]));
        }
        // Half a head, half a body.
        for cut in [30, answer.len() - 3] {
            let name = format!("answer {kind} stops at {cut}");
            cases.push((name, vec![say(&answer[..cut]), Act::Hang]));
        }
    }
    cases.extend(large());
    cases.extend(slow_and_bodiless());
    cases
}

fn large() -> Vec<Case> {
    let head = |fields: String| format!("HTTP/1.1 200 OK\r\n{fields}content-length: 3\r\n\r\nabc");
    let flood = "HTTP/1.1 102 Processing\r\n\r\n".repeat(40) + &head(String::new());
    let trailers = "x: y\r\n".repeat(10_000);
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n";
    let extension = chunked.replace("3\r\n", &format!("3;{}\r\n", "x".repeat(100_000)));
    [
        ("a head of 1 MB", head("x-a: bbbbbbbbbbbbbbbbbbbb\r\n".repeat(40_000))),
        ("a field of 1 MB", head(format!("x-a: {}\r\n", "b".repeat(1 << 20)))),
        ("100,000 fields", head("a: b\r\n".repeat(100_000))),
        ("101 fields", head("a: b\r\n".repeat(101))),
        ("a name of 1 MB", head(format!("{}: b\r\n", "a".repeat(1 << 20)))),
        ("a reason of 1 MB", format!("HTTP/1.1 200 {}\r\n\r\nabc", "b".repeat(1 << 20))),
        ("40 interim answers", flood),
        ("10,000 trailers", format!("{chunked}{trailers}\r\n")),
        ("an extension of 100 kB", format!("{extension}\r\n")),
    ]
    .map(|(name, answer)| (name.to_owned(), vec![say(answer), Act::Hang]))
    .into()
}

fn slow_and_bodiless() -> Vec<Case> {
    let pause = Duration::from_millis(60);
    let drip = |text: &str| Act::Drip(text.into(), pause);
    let endless = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let interim = "HTTP/1.1 103 Early Hints\r\n\r\n";
    [
        ("nothing, FIN", vec![Act::Close]),
        ("nothing, RST", vec![Act::Reset]),
        ("nothing at all", vec![Act::Hang]),
        ("a head that drips", vec![drip("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc")]),
        (
            "a body that drips",
            vec![say("HTTP/1.1 200 OK\r\ncontent-length: 60\r\n\r\n"), drip(&"a".repeat(60))],
        ),
        ("chunks that drip", vec![say(endless), drip(&"1\r\na\r\n".repeat(10))]),
        ("interim answers that drip", vec![drip(&interim.repeat(9))]),
        ("an interim answer and no other", vec![say(interim), Act::Close]),
        ("an interim answer and silence", vec![say(interim), Act::Hang]),
        ("204 with a length", vec![say("HTTP/1.1 204 No\r\ncontent-length: 3\r\n\r\nabc")]),
        (
            "204 with chunks",
            vec![say("HTTP/1.1 204 No\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n")],
        ),
        ("204 with a body", vec![say("HTTP/1.1 204 No\r\n\r\nabc")]),
        ("304 that nobody asked for", vec![say("HTTP/1.1 304 Not\r\netag: \"a\"\r\n\r\n")]),
        (
            "206 that nobody asked for",
            vec![say(
                "HTTP/1.1 206 Part\r\ncontent-range: bytes 0-2/9\r\ncontent-length: 3\r\n\r\nabc",
            )],
        ),
        ("205 with a length", vec![say("HTTP/1.1 205 Reset\r\ncontent-length: 3\r\n\r\nabc")]),
        (
            "205 with chunks",
            vec![say(
                "HTTP/1.1 205 Reset\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            )],
        ),
        ("205 until FIN", vec![say("HTTP/1.1 205 Reset\r\n\r\nabc"), Act::Close]),
        (
            "two media types",
            vec![say("HTTP/1.1 200 OK\r\ncontent-type: a/b\r\ncontent-type: a/c\r\n\
                 content-length: 3\r\n\r\nabc")],
        ),
        (
            "two places",
            vec![say(
                "HTTP/1.1 302 Found\r\nlocation: /a\r\nlocation: /b\r\ncontent-length: 0\r\n\r\n",
            )],
        ),
        ("304 with a body", vec![say("HTTP/1.1 304 Not\r\n\r\nabc")]),
        (
            "103 with a length",
            vec![say("HTTP/1.1 103 Hm\r\ncontent-length: 3\r\n\r\nabc"), Act::Hang],
        ),
        ("until RST", vec![say("HTTP/1.1 200 OK\r\n\r\nabc"), drip("abc"), Act::Reset]),
        ("until nothing more comes", vec![say("HTTP/1.1 200 OK\r\n\r\nabc"), Act::Hang]),
    ]
    .map(|(name, acts)| (name.to_owned(), acts))
    .into()
}
