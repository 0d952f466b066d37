use super::*;

/// Read whole, and byte by byte: both must come to the same. Whether it has ended.
fn read(asked: Asked, answer: &[u8]) -> Result<bool, Breach> {
    let mut whole = Framing::default();
    whole.asked(asked);
    let outcome = whole.read(answer);
    let mut slow = Framing::default();
    slow.asked(asked);
    let by_byte = answer.iter().try_for_each(|byte| slow.read(&[*byte]));
    // A body where there is none shows by itself as bytes that nobody asked for.
    let same = outcome == by_byte || (outcome.is_err() && by_byte.is_err());
    assert!(same, "{outcome:?} {by_byte:?} {}", String::from_utf8_lossy(answer));
    outcome.map(|()| whole.is_at_rest())
}

#[test]
fn an_answer_ends_where_it_says() {
    for (answer, rest) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", true),
        ("HTTP/1.1 200 OK\r\nContent-Length:2  \r\n\r\no", false),
        ("HTTP/1.1 200\r\ncontent-length: 0\r\n\r\n", true),
        ("HTTP/1.1 200 \r\ncontent-length: 0\r\nx: \u{e9}\t.\r\n\r\n", true),
        ("HTTP/1.0 404 Not Found\r\n\r\nuntil it closes", false),
        ("HTTP/1.1 204 No Content\r\n\r\n", true),
        ("HTTP/1.1 304 Not Modified\r\ncontent-length: 99\r\n\r\n", true),
        ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No\r\ncontent-length: 0\r\n\r\n", true),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n2;a=b\r\nok\r\n0\r\n\r\n", true),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\na: b\r\n\r\n", true),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n", false),
    ] {
        assert_eq!(read(Asked::ForAll, answer.as_bytes()), Ok(rest), "{answer}");
    }
    let head = b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n";
    assert_eq!(read(Asked::ForHead, head), Ok(true));
}

#[test]
fn an_answer_with_something_after_it_is_none() {
    let mut framing = Framing::default();
    assert_eq!(framing.read(b"HTTP/1.1 200 OK\r\n"), Err(Breach::Unasked));
    let length = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
    let empty = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
    for answer in [length, chunked, empty] {
        for more in ["x", "\r\n", "HTTP/1.1 200 OK\r\n", answer] {
            let all = format!("{answer}{more}");
            assert_eq!(read(Asked::ForAll, all.as_bytes()), Err(Breach::Unasked), "{all}");
        }
    }
    assert_eq!(read(Asked::ForHead, length.as_bytes()), Err(Breach::Unasked));
}

#[test]
fn an_answer_before_its_request_was_whole_does_not_confuse_the_next() {
    let mut framing = Framing::default();
    framing.asked(Asked::ForAll);
    let early = b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n";
    assert_eq!(framing.read(early), Ok(()));
    // The rest of the first, and then the next.
    framing.asked(Asked::ForAll);
    framing.asked(Asked::ForHead);
    let head = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n";
    assert_eq!((framing.read(head), framing.is_at_rest()), (Ok(()), true));
}

#[test]
fn every_breach_is_found() {
    let head = |fields: &str| format!("HTTP/1.1 200 OK\r\n{fields}\r\n");
    let chunked = |body: &str| head("transfer-encoding: chunked\r\n") + body;
    let flood = "HTTP/1.1 103 Early\r\n\r\n".repeat(33);
    let long = head(&format!("x: {}\r\n", "y".repeat(MAX_HEAD)));
    let cases = [
        ("\r\nHTTP/1.1 200 OK\r\n\r\n".to_owned(), Breach::StatusLine),
        ("HTTP/1.1 2OO OK\r\n\r\n".to_owned(), Breach::StatusLine),
        ("HTTP/1.1 99 OK\r\n\r\n".to_owned(), Breach::StatusLine),
        ("HTTP/1.1 1000 OK\r\n\r\n".to_owned(), Breach::StatusLine),
        ("HTTP/1.1 600 OK\r\n\r\n".to_owned(), Breach::StatusLine),
        ("HTTP/3.7 200 OK\r\n\r\n".to_owned(), Breach::StatusLine),
        ("HTTP/1.1  200 OK\r\n\r\n".to_owned(), Breach::StatusLine),
        ("HTTP/1.1 200 OK\n\n".to_owned(), Breach::StatusLine),
        ("\n".to_owned(), Breach::StatusLine),
        (head("a: b\nc: d\r\n"), Breach::BareControl),
        (head("a: b\rc: d\r\n"), Breach::BareControl),
        (head("a: b\0\r\n"), Breach::BareControl),
        (head("a: b\r\n c\r\n"), Breach::Field),
        (head("a : b\r\n"), Breach::Field),
        (head("a\r\n"), Breach::Field),
        (head("a: \u{1}\r\n"), Breach::Field),
        (head("content-length: 2\r\ncontent-length: 3\r\n"), Breach::Length),
        (head("content-length: 2\r\ncontent-length: 2\r\n"), Breach::Length),
        (head("content-length: 2, 2\r\n"), Breach::Length),
        (head("content-length: -2\r\n"), Breach::Length),
        (head("content-length: +2\r\n"), Breach::Length),
        (head("content-length: 0x2\r\n"), Breach::Length),
        (head("content-length: 99999999999999999999\r\n"), Breach::Length),
        (head("content-length: \r\n"), Breach::Length),
        (head("content-length: 2\r\ntransfer-encoding: chunked\r\n"), Breach::Length),
        (head("transfer-encoding: gzip, chunked\r\n"), Breach::Coding),
        (head("transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n"), Breach::Coding),
        (head("transfer-encoding: identity\r\n"), Breach::Coding),
        ("HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_owned(), Breach::Coding),
        ("HTTP/1.1 204 No\r\ncontent-length: 2\r\n\r\nok".to_owned(), Breach::Body),
        ("HTTP/1.1 103 Hm\r\ntransfer-encoding: chunked\r\n\r\n".to_owned(), Breach::Body),
        ("HTTP/1.1 101 Switching Protocols\r\n\r\n".to_owned(), Breach::Interim),
        (flood, Breach::Interim),
        (long, Breach::HeadTooLarge),
        (chunked("\r\n"), Breach::Chunk),
        (chunked("-2\r\nok\r\n"), Breach::Chunk),
        (chunked("2;\u{1}=\u{7f}\r\nok\r\n"), Breach::Chunk),
        (chunked("0\r\nx: \u{1}\r\n\r\n"), Breach::Chunk),
        (chunked("0x2\r\nok\r\n"), Breach::Chunk),
        (chunked(" 2\r\nok\r\n"), Breach::Chunk),
        (chunked("2\nok\r\n"), Breach::Chunk),
        (chunked("2\r\nok0\r\n\r\n"), Breach::Chunk),
        (chunked("fffffffffffffffff\r\n"), Breach::Chunk),
        (chunked("2;a\nb\r\nok\r\n"), Breach::Chunk),
        (chunked(&format!("2;{}\r\n", "a".repeat(17_000))), Breach::Chunk),
        (chunked(&format!("0\r\n{}", "a: b\r\n".repeat(5000))), Breach::Chunk),
    ];
    for (answer, breach) in cases {
        let shown: String = answer.chars().take(90).collect();
        assert_eq!(read(Asked::ForAll, answer.as_bytes()), Err(breach), "{shown:?}");
    }
    // A body of what has none, in one piece with it.
    for status in ["204 No Content", "304 Not Modified"] {
        let mut framing = Framing::default();
        framing.asked(Asked::ForAll);
        let answer = format!("HTTP/1.1 {status}\r\n\r\nbody");
        assert_eq!(framing.read(answer.as_bytes()), Err(Breach::Body));
    }
}
