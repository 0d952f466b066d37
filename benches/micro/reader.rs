//! The strict reader, which sees every byte of HTTP/1 before the parser does.

use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use weir::policy::framing::{Framing, HeadLimits, Verdict};

/// The configuration's defaults.
const LIMITS: HeadLimits =
    HeadLimits { head_bytes: 65_536, uri_bytes: 8_192, field_bytes: 16_384, fields: 100 };

const SMALL: &str = "GET /orders/4711 HTTP/1.1\r\nHost: weir.internal\r\nAccept: */*\r\n\
     User-Agent: curl/8.5.0\r\n\r\n";

/// A browser's, or one that has passed through a mesh: many fields, and long ones.
fn large() -> String {
    let field = |number: usize| {
        let value = "0123456789abcdef".repeat(number % 7 + 1);
        format!("X-Field-Of-A-Mesh-{number}: {value}\r\n")
    };
    let fields = SMALL.trim_end().to_owned() + "\r\n" + &(0..16).map(field).collect::<String>();
    let rest = 2_048 - fields.len() - "Cookie: \r\n\r\n".len();
    format!("{fields}Cookie: {}\r\n\r\n", "c".repeat(rest))
}

/// One head after the other on a connection.
fn read(bencher: Bencher<'_, '_>, head: String) {
    let mut head = head.into_bytes();
    let length = head.len();
    let mut framing = Framing::new(LIMITS);
    bencher.counter(BytesCount::new(length)).bench_local(|| {
        let verdict = framing.feed(black_box(&mut head));
        assert_eq!(verdict, Verdict { pass: length, fault: None });
    });
}

#[divan::bench]
fn small_head(bencher: Bencher<'_, '_>) {
    read(bencher, SMALL.to_owned());
}

#[divan::bench]
fn head_of_2_kib(bencher: Bencher<'_, '_>) {
    read(bencher, large());
}
