use proptest::prelude::*;

use super::*;

const LIMITS: HeadLimits =
    HeadLimits { head_bytes: 2048, uri_bytes: 200, field_bytes: 300, fields: 10 };

/// What goes on, and why the rest does not, when bytes come in pieces of this size.
fn read(bytes: &[u8], piece: usize) -> (Vec<u8>, Option<Fault>, Framing) {
    let mut framing = Framing::new(LIMITS);
    let (mut held, mut passed) = (Vec::new(), Vec::new());
    for piece in bytes.chunks(piece) {
        held.extend_from_slice(piece);
        let Verdict { pass, fault } = framing.feed(&mut held);
        passed.extend(held.drain(..pass));
        if fault.is_some() {
            assert_eq!(framing.feed(&mut held), Verdict { pass: 0, fault }, "a fault is for good");
            return (passed, fault, framing);
        }
    }
    (passed, None, framing)
}

#[track_caller]
fn goes_on(text: &str, requests: u64) {
    for piece in 1..=text.len() {
        let (passed, fault, framing) = read(text.as_bytes(), piece);
        assert_eq!(fault, None, "{text:?} in pieces of {piece}");
        assert_eq!(String::from_utf8_lossy(&passed), text, "in pieces of {piece}");
        assert_eq!(framing.heads(), requests, "{text:?}");
        assert!(framing.is_between_requests(), "{text:?}");
    }
}

#[track_caller]
fn is_refused(text: &[u8]) -> Fault {
    let (passed, whole, _) = read(text, text.len());
    let whole = whole.unwrap_or_else(|| panic!("not refused: {:?}", String::from_utf8_lossy(text)));
    for piece in 1..text.len() {
        let (in_pieces, fault, _) = read(text, piece);
        assert_eq!(in_pieces, passed, "{:?} in pieces of {piece}", String::from_utf8_lossy(text));
        assert!(fault.is_some(), "{:?} in pieces of {piece}", String::from_utf8_lossy(text));
    }
    whole
}

#[test]
fn what_the_rules_allow_goes_on_as_it_came() {
    for request in [
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
        "GET / HTTP/1.0\r\nHost: a\r\n\r\n",
        "\r\n\r\nGET / HTTP/1.1\r\nhost:a\r\n\r\n",
        "GET /%2F..;a?b=c&d=%00|{} HTTP/1.1\r\nhOsT: \t a:80 \t\r\nx:\r\nX-Y: \u{e4} \t\"z\"\r\n\r\n",
        "GET http://a.b:80/c?d HTTP/1.1\r\nHost: other\r\n\r\n",
        "GET HTTPS://[::1] HTTP/1.1\r\nHost: a\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
        "CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n",
        "M-SEARCH / HTTP/1.1\r\nHost: a\r\n!#$%&'*+-.^_`|~09az: v\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 005\r\n\r\na\r\n\0b",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nGET /\r\n00A\r\n\r\n\r\n\n 1234\r\n000\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
         1;a\r\nx\r\n1 ; a = b ;c=\"d \\\" ;\\\\\"\r\ny\r\n0;z\r\nT: 1\r\nU:\r\n\r\n",
    ] {
        goes_on(request, 1);
    }
    let three = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc\
                 \r\nPUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n\
                 GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    goes_on(three, 3);
}

#[test]
fn a_later_minor_version_is_read_as_ours() {
    for minor in 2..=9 {
        let text = format!("GET / HTTP/1.{minor}\r\nHost: a\r\n\r\n");
        let (passed, fault, _) = read(text.as_bytes(), text.len());
        assert_eq!(fault, None);
        assert_eq!(passed, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    }
}

/// Request lines.
const BAD_LINES: &[&str] = &[
    "GET",
    "GET /",
    "GET  / HTTP/1.1",
    "GET / HTTP/1.1 ",
    "GET /  HTTP/1.1",
    " GET / HTTP/1.1",
    "GET\t/ HTTP/1.1",
    "GET / a HTTP/1.1",
    "GET /\tHTTP/1.1",
    "G(T / HTTP/1.1",
    "G\u{e4}T / HTTP/1.1",
    "GET / http/1.1",
    "GET / HTTP/1.1.",
    "GET / HTTP/1.10",
    "GET / HTTP/11.1",
    "GET / HTTP/1",
    "GET / HTTP/1.",
    "GET / HTTP/.1",
    "GET / HTTP 1.1",
    "GET / HTTP/1.x",
    "GET / HTTP/a.1",
    "GET / HTTP/-1.1",
    "GET / HTTPS/1.1",
    "GET /a#b HTTP/1.1",
    "GET /a<b HTTP/1.1",
    "GET /?a>b HTTP/1.1",
    "GET /a`b HTTP/1.1",
    "GET /?\"a HTTP/1.1",
    "GET /\u{e4} HTTP/1.1",
    "GET /\u{7f} HTTP/1.1",
    "GET /\0 HTTP/1.1",
    "GET a HTTP/1.1",
    "GET ?a HTTP/1.1",
    "GET * HTTP/1.1",
    "GET http:/a HTTP/1.1",
    "GET http:///a HTTP/1.1",
    "GET http://u@a/ HTTP/1.1",
    "GET http://a:x/ HTTP/1.1",
    "GET ftp://a/ HTTP/1.1",
    "GET file:///a HTTP/1.1",
    "GET a:443 HTTP/1.1",
    "CONNECT / HTTP/1.1",
    "CONNECT http://a/ HTTP/1.1",
    "OPTIONS ** HTTP/1.1",
    "/ HTTP/1.1",
    "HTTP/1.1",
    "HTTP/1.1 200 OK",
    "\u{16}\u{3}\u{1}",
    "GET /\r HTTP/1.1",
    "\rGET / HTTP/1.1",
];

/// Fields after a good line and a good Host.
const BAD_FIELDS: &[&str] = &[
    "Host: a",
    "Host: b",
    "Content-Length: 1\r\nContent-Length: 1",
    "Content-Length: 1\r\nContent-Length: 2",
    "Content-Length: 1, 1",
    "Content-Length: +1",
    "Content-Length: -1",
    "Content-Length: 0x1",
    "Content-Length: 1 1",
    "Content-Length: 1;",
    "Content-Length:",
    "Content-Length: 1.0",
    "Content-Length: 1000000000000000000",
    "Content-Length: \u{661}",
    "Content-Length : 1",
    "Content-Length\t: 1",
    "Transfer-Encoding: chunked\r\nContent-Length: 0",
    "Content-Length: 0\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding: chunked, chunked",
    "Transfer-Encoding: chunked, gzip",
    "Transfer-Encoding: identity",
    "Transfer-Encoding:",
    "Transfer-Encoding: xchunked",
    "Transfer-Encoding: chunked;",
    "Transfer-Encoding: \"chunked\"",
    "Transfer-Encoding: chunked ,",
    "Transfer-Encoding: ,chunked",
    "Transfer-Encoding: \u{b}chunked",
    "Transfer-Encoding : chunked",
    "Transfer Encoding: chunked",
    " Transfer-Encoding: chunked",
    "\tx: y",
    "x: y\r\n z",
    "x: y\r\n\tz: 1",
    "x",
    ": y",
    "x y: z",
    "x\0: y",
    "x: \0",
    "x: a\rb",
    "x: \u{7f}",
    "x: \u{1}",
    "x(: y",
    "\u{e4}: y",
    "x: y\r",
    "x: y\r\r",
    "\"x\": y",
];

/// Whole heads.
const BAD_HEADS: &[&str] = &[
    "GET / HTTP/1.1\r\n\r\n",
    "GET / HTTP/1.1\r\nHost:\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: \t\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: http://a\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a:b\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n",
    "GET / HTTP/1.1\nHost: a\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\n\n",
    "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET / HTTP/1.1\r\n Host: a\r\n\r\n",
    "GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
    "GET / HTTP/1.0\r\nHost: a b\r\n\r\n",
    "GET http://a/ HTTP/1.1\r\n\r\n",
];

#[test]
fn a_head_with_a_doubt_does_not_go_on() {
    let line = |line: &str| format!("{line}\r\nHost: a\r\n\r\n");
    let field = |field: &&str| format!("GET / HTTP/1.1\r\nHost: a\r\n{field}\r\n\r\n");
    let lines = BAD_LINES.iter().map(|text| line(text));
    let too_long = line(&format!("{} / HTTP/1.1", "M".repeat(MAX_METHOD_PLUS_ONE)));
    let heads = BAD_HEADS.iter().map(|text| (*text).to_owned());
    for text in lines.chain(BAD_FIELDS.iter().map(field)).chain(heads).chain([too_long]) {
        let fault = is_refused(text.as_bytes());
        assert!(matches!(fault, Fault::Malformed(_)), "{text:?}: {fault:?}");
        assert_eq!(read(text.as_bytes(), text.len()).0, b"", "nothing of it goes on: {text:?}");
    }
}

const MAX_METHOD_PLUS_ONE: usize = 33;

#[test]
fn what_is_only_not_spoken_here_is_told_so() {
    for (text, fault) in [
        ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", Fault::Version),
        ("GET / HTTP/0.9\r\nHost: a\r\n\r\n", Fault::Version),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip;q=1 ,\tchunked\r\n\r\n",
            Fault::TransferCoding,
        ),
    ] {
        assert_eq!(is_refused(text.as_bytes()), fault, "{text:?}");
    }
}

#[test]
fn content_that_lies_about_its_bounds_does_not_go_on() {
    for content in [
        "5 \r\nabcde\r\n",
        " 5\r\nabcde\r\n",
        "\r\n",
        ";a\r\n",
        "-1\r\n",
        "+5\r\n",
        "0x5\r\n",
        "5g\r\n",
        "5\nabcde",
        "5\r\nabcdef",
        "5\r\nabcde\n",
        "5\r\nabcde\r5",
        "5\r\nabcde\r\r\n",
        "1234567890123456\r\n",
        "5;\r\n",
        "5;;a\r\n",
        "5; a b\r\n",
        "5;a=\r\n",
        "5;a=\"\r\n",
        "5;a=\"b\"c\r\n",
        "5;a=b c\r\n",
        "5;a=\"\\\r\n",
        "5;\0\r\n",
        "5;a\rb\r\n",
        "5;a=\"\u{7f}\"\r\n",
        "5,a\r\n",
        "5\u{e4}\r\n",
        "5;\u{e4}\r\n",
        "0\r\n x: y\r\n\r\n",
        "0\r\nx\r\n\r\n",
        "0\r\nx : y\r\n\r\n",
        "0\r\nx: \0\r\n\r\n",
        "0\r\nx: y\n\r\n",
        "0\r\nHost: a\r\n\r\n",
        "0\r\nContent-Length: 0\r\n\r\n",
        "0\r\nTransfer-Encoding: chunked\r\n\r\n",
        "0\r\nGET / HTTP/1.1\r\n\r\n",
        "0\r\n\n",
    ] {
        let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        let fault = is_refused(format!("{head}{content}").as_bytes());
        assert!(matches!(fault, Fault::Content(_)), "{content:?}: {fault:?}");
    }
}

#[test]
fn every_bound_holds_exactly() {
    let head =
        |target: &str, fields: &str| format!("GET {target} HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
    let uri = format!("/{}", "u".repeat(LIMITS.uri_bytes - 1));
    goes_on(&head(&uri, ""), 1);
    assert_eq!(is_refused(head(&format!("{uri}u"), "").as_bytes()), Fault::UriTooLong);
    // Also without an end.
    assert_eq!(is_refused(format!("GET {uri}u").as_bytes()), Fault::UriTooLong);

    let field = format!("x: {}", "v".repeat(LIMITS.field_bytes - 3));
    goes_on(&head("/", &format!("{field}\r\n")), 1);
    assert_eq!(is_refused(head("/", &format!("{field}v\r\n")).as_bytes()), field::TOO_LONG);
    assert_eq!(is_refused(format!("GET / HTTP/1.1\r\n{field}vv").as_bytes()), field::TOO_LONG);

    let fields = "x: y\r\n".repeat(LIMITS.fields - 1);
    goes_on(&head("/", &fields), 1);
    assert_eq!(is_refused(head("/", &format!("{fields}x: y\r\n")).as_bytes()), field::TOO_MANY);

    let chunked = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let trailers = "x: y\r\n".repeat(LIMITS.fields);
    goes_on(&format!("{chunked}0\r\n{trailers}\r\n"), 1);
    is_refused(format!("{chunked}0\r\n{trailers}x: y\r\n\r\n").as_bytes());
    let long = format!("1;{}", "e".repeat(1020));
    goes_on(&format!("{chunked}{long}\r\na\r\n0\r\n\r\n"), 1);
    is_refused(format!("{chunked}{long}ee\r\na\r\n0\r\n\r\n").as_bytes());
    is_refused(format!("{chunked}{}0\r\n\r\n", format!("{long}\r\na\r\n").repeat(17)).as_bytes());

    let limits = HeadLimits { head_bytes: 40, ..LIMITS };
    for (more, fits) in [(0, true), (1, false)] {
        let text = format!("GET / HTTP/1.1\r\nHost: a\r\nx: {}\r\n\r\n", "v".repeat(8 + more));
        assert_eq!(text.len(), 40 + more);
        let verdict = Framing::new(limits).feed(&mut text.into_bytes());
        assert_eq!(verdict.fault.is_none(), fits);
    }
    let mut framing = Framing::new(limits);
    let endless = &mut [b'v'; 41];
    endless[..4].copy_from_slice(b"GET ");
    endless[4] = b'/';
    assert_eq!(framing.feed(endless).fault, Some(Fault::HeadTooLarge("all of it")));
}

#[test]
fn what_is_refused_from_outside_stays_refused() {
    let mut framing = Framing::new(LIMITS);
    assert_eq!(framing.feed(&mut b"GET / HT".to_vec()), Verdict { pass: 0, fault: None });
    assert!(!framing.is_between_requests());
    framing.refuse(Fault::HeadTimeout);
    let Verdict { pass, fault } = framing.feed(&mut b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec());
    assert_eq!((pass, fault), (0, Some(Fault::HeadTimeout)));
}

proptest! {
    /// Whatever comes, and in whatever pieces: the same bytes go on and the same are refused.
    #[test]
    fn pieces_make_no_difference(
        parts in prop::collection::vec(prop_oneof![
            Just("GET / HTTP/1.1\r\n"), Just("POST /x HTTP/1.1\r\n"), Just("Host: a\r\n"), Just("\r\n"),
            Just("Transfer-Encoding: chunked\r\n"), Just("Content-Length: 5\r\n"), Just("5\r\nabcde\r\n"),
            Just("0\r\n"), Just("x: y\r\n"), Just("abcde"), Just("\n"), Just("\r"), Just(" "), Just("1;a=\"b\"\r\nz\r\n"),
        ], 0..14),
        cuts in prop::collection::vec(1_usize..9, 1..60),
    ) {
        let text = parts.concat().into_bytes();
        let (passed, fault, _) = read(&text, text.len().max(1));
        let mut framing = Framing::new(LIMITS);
        let (mut held, mut in_pieces, mut found) = (Vec::new(), Vec::new(), None);
        let (mut rest, mut cuts) = (&text[..], cuts.iter().cycle());
        while !rest.is_empty() && found.is_none() {
            let (piece, after) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
            rest = after;
            held.extend_from_slice(piece);
            let verdict = framing.feed(&mut held);
            in_pieces.extend(held.drain(..verdict.pass));
            found = verdict.fault;
        }
        prop_assert_eq!(fault.is_some(), found.is_some());
        prop_assert_eq!(passed, in_pieces);
    }

    /// What is known from the request before changes nothing about the next.
    #[test]
    fn what_was_good_before_is_judged_as_if_it_were_new(
        parts in prop::collection::vec((
            prop::sample::select(vec![
                "GET / HTTP/1.1\r\n", "GET /x HTTP/1.0\r\n", "POST / HTTP/1.1\r\n", "GET / HTTP/1.9\r\n",
                "\r\nGET / HTTP/1.1\r\n", "GET / HTTP/2.0\r\n",
            ]),
            prop::sample::select(vec![
                "Host: a\r\n\r\n", "Host: a\r\nx: y\r\n\r\n", "\r\n", "Host: a\r\nx : y\r\n\r\n",
                "Host: a\r\nContent-Length: 0\r\n\r\n", "Host: a\r\nContent-Length: 2\r\n\r\nab",
                "Host: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "Host: a\r\n\n",
            ]),
        ), 1..8),
    ) {
        let text: String = parts.iter().flat_map(|(line, rest)| [*line, *rest]).collect();
        let read = |forgets: bool| {
            let mut framing = Framing::new(LIMITS);
            let (mut held, mut verdicts) = (text.clone().into_bytes(), Vec::new());
            loop {
                if forgets {
                    framing.give_back();
                }
                let verdict = framing.next(&mut held);
                held.drain(..verdict.pass);
                verdicts.push((verdict, framing.heads(), framing.had_content()));
                if verdict.pass == 0 {
                    return (verdicts, held);
                }
            }
        };
        prop_assert_eq!(read(false), read(true));
    }

    /// No bytes make it panic, and what goes on is never more than came.
    #[test]
    fn anything_at_all_is_judged(mut bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let mut framing = Framing::new(LIMITS);
        let length = bytes.len();
        prop_assert!(framing.feed(&mut bytes).pass <= length);
    }
}

#[test]
fn the_same_fields_are_not_read_again() {
    let head = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: a\r\nx: y\r\n\r\n");
    let mut framing = Framing::new(LIMITS);
    for target in ["/one", "/another"] {
        let mut bytes = head(target).into_bytes();
        assert_eq!(framing.feed(&mut bytes).pass, bytes.len());
        assert_eq!(framing.good, b"Host: a\r\nx: y\r\n\r\n");
    }
    let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "x: 0123456789\r\n".repeat(80));
    let limits = HeadLimits { fields: 100, ..LIMITS };
    let mut framing = Framing::new(limits);
    assert_eq!(framing.feed(&mut many.clone().into_bytes()).pass, many.len());
    assert!(framing.good.is_empty(), "long ones are not kept");
}
