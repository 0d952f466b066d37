//! The same over HTTP/2: frames as they stand.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::Method;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::failed;
use crate::support::clock;
use crate::support::gateway::start;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// `:status: 200`, by its place in the static table.
const OK: &[u8] = &[0x88];

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A literal field that is never indexed.
fn field(name: &str, value: &str) -> Vec<u8> {
    let length = |text: &str| u8::try_from(text.len()).unwrap();
    [&[0x10, length(name)], name.as_bytes(), &[length(value)], value.as_bytes()].concat()
}

fn reset(stream: u32, code: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &code.to_be_bytes())
}

/// What comes after an answer's head and half its body.
fn half(stream: u32, rest: Vec<u8>) -> Vec<u8> {
    let head = frame(HEADERS, END_HEADERS, stream, OK);
    [head, frame(DATA, 0, stream, b"half"), rest].concat()
}

type Said = fn(u32) -> Vec<u8>;

const CASES: [(&str, Said); 26] = [
    ("reset without an error, mid-body", |s| half(s, reset(s, 0))),
    ("reset by a defect, mid-body", |s| half(s, reset(s, 2))),
    ("cancelled, mid-body", |s| half(s, reset(s, 8))),
    ("refused, mid-body", |s| half(s, reset(s, 7))),
    ("reset for flow control, mid-body", |s| half(s, reset(s, 3))),
    ("reset by an unknown code, mid-body", |s| half(s, reset(s, 999))),
    ("reset without an error", |s| reset(s, 0)),
    ("reset by a defect", |s| reset(s, 2)),
    ("refused", |s| reset(s, 7)),
    ("HTTP/1.1 required", |s| reset(s, 13)),
    ("goodbye", |_| frame(GOAWAY, 0, 0, &[0; 8])),
    ("goodbye with an error, mid-body", |s| {
        half(s, frame(GOAWAY, 0, 0, &[0, 0, 0, 0, 0, 0, 0, 1]))
    }),
    ("goodbye for too much calm", |_| frame(GOAWAY, 0, 0, &[0, 0, 0, 0, 0, 0, 0, 11])),
    ("junk, mid-body", |s| half(s, b"HTTP/1.1 200 OK\r\n\r\n".to_vec())),
    ("junk", |_| b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc".to_vec()),
    ("data before a head", |s| frame(DATA, END_STREAM, s, b"abc")),
    ("data on a stream that is not", |_| frame(DATA, END_STREAM, 99, b"abc")),
    ("a head on a stream that is not", |_| frame(HEADERS, END_HEADERS, 98, OK)),
    ("less than its length", |s| {
        let head = [OK, &field("content-length", "9")].concat();
        [frame(HEADERS, END_HEADERS, s, &head), frame(DATA, END_STREAM, s, b"abc")].concat()
    }),
    ("more than its length", |s| {
        let head = [OK, &field("content-length", "1")].concat();
        [frame(HEADERS, END_HEADERS, s, &head), frame(DATA, END_STREAM, s, b"abc")].concat()
    }),
    ("no status", |s| frame(HEADERS, END_HEADERS | END_STREAM, s, &field("a", "b"))),
    ("a field in capitals", |s| {
        frame(HEADERS, END_HEADERS | END_STREAM, s, &[OK, &field("A", "b")].concat())
    }),
    ("a broken field block", |s| frame(HEADERS, END_HEADERS | END_STREAM, s, &[0xff; 9])),
    ("a head without an end", |s| {
        let mut all = frame(HEADERS, 0, s, OK);
        for _ in 0..2000 {
            all.extend(frame(CONTINUATION, 0, s, &field("x-a", &"b".repeat(99))));
        }
        all
    }),
    ("a window that overflows", |_| frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff])),
    ("silence, mid-body", |s| half(s, Vec::new())),
];

/// Speaks HTTP/2 with prior knowledge: the first request gets what is said, the others `good`.
async fn server(said: Said) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let first = std::sync::Arc::new(AtomicBool::new(true));
        while let Ok((stream, _)) = listener.accept().await {
            let first = std::sync::Arc::clone(&first);
            tokio::spawn(async move { connection(stream, said, &first).await });
        }
    });
    address
}

async fn connection(mut stream: TcpStream, said: Said, first: &AtomicBool) -> Option<()> {
    stream.read_exact(&mut [0; 24]).await.ok()?;
    stream.write_all(&frame(SETTINGS, 0, 0, &[])).await.ok()?;
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await.ok()?;
        let [a, b, c, kind, flags, s0, s1, s2, s3] = head;
        let length = u32::from_be_bytes([0, a, b, c]);
        stream.read_exact(&mut vec![0; length as usize]).await.ok()?;
        let id = u32::from_be_bytes([s0, s1, s2, s3]);
        let answer = match kind {
            SETTINGS if flags == 0 => frame(SETTINGS, 1, 0, &[]),
            HEADERS if first.swap(false, Ordering::SeqCst) => said(id),
            HEADERS => {
                let head = frame(HEADERS, END_HEADERS, id, OK);
                [head, frame(DATA, END_STREAM, id, b"good")].concat()
            }
            _ => continue,
        };
        stream.write_all(&answer).await.ok()?;
    }
}

#[tokio::test]
async fn a_kept_connection_that_ends_is_replaced_once() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        // The first is answered, the second brings the connection down.
        let (stream, _) = listener.accept().await.unwrap();
        let mut served = h2::server::handshake(stream).await.unwrap();
        let (_, mut first) = served.accept().await.unwrap().unwrap();
        first.send_response(http::Response::new(()), true).unwrap();
        drop(first);
        drop(served.accept().await.unwrap().unwrap());
        drop(served);
        let (stream, _) = listener.accept().await.unwrap();
        let first = AtomicBool::new(false);
        connection(stream, |_| Vec::new(), &first).await;
    });
    let keys = "http2_prior_knowledge = true";
    let running = super::gateway(address, keys).await;
    assert_eq!(running.get("/passed/1").await.status, 200);
    assert_eq!(running.get("/passed/2").await.text(), "good");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_broken_stream_is_taken_for_whole_or_stored() {
    let mut config = "[server]\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n\
         [cache]\nremember_failure = \"0s\"\n"
        .to_owned();
    for (number, (_, said)) in CASES.iter().enumerate() {
        let address = server(*said).await;
        let upstream = format!(
            "[upstreams.u{number}]\nmount = \"/{number}\"\nbase_url = \"http://{address}\"\n\
             http2_prior_knowledge = true\nmax_retries = 0\nfirst_byte_timeout = \"400ms\"\n\
             total_timeout = \"800ms\"\nauth = {{ kind = \"none\" }}\n\
             [[upstreams.u{number}.endpoints]]\nid = \"kept\"\npath = \"/kept\"\n\
             cache = {{ mode = \"override\", fresh = \"1m\" }}\n\
             [[upstreams.u{number}.endpoints]]\nid = \"passed\"\npath = \"/passed\"\n"
        );
        config.push_str(&upstream);
    }
    let running = std::sync::Arc::new(start(&config, clock()).await);
    let asks = CASES.iter().enumerate().map(|(number, (name, _))| {
        let running = std::sync::Arc::clone(&running);
        async move {
            let kind = if number % 2 == 0 { "kept" } else { "passed" };
            let target = format!("/{number}/{kind}");
            failed(name, running.client().try_request(Method::GET, &target, "").await);
            // A connection that is still open may have to be given up first.
            tokio::time::timeout(Duration::from_secs(15), async {
                loop {
                    let good = running.client().get(&target).await;
                    assert!(!good.is_hit(), "{name}: something was stored");
                    if good.status == 200 {
                        return assert_eq!(good.text(), "good", "{name}");
                    }
                }
            })
            .await
            .unwrap_or_else(|_| panic!("{name}: no good answer afterwards"));
        }
    });
    crate::support::join_all(asks.collect::<Vec<_>>()).await;
}
