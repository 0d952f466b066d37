//! Two ways over one connection: what can be answered at once, and what hyper is needed for.

use super::*;
use crate::serve::{Bare, Express, Seat};

/// Answers what begins with `/fast`.
#[derive(Clone, Copy, Debug)]
struct Fast;

const BIG: usize = 16 << 20;

impl Express for Fast {
    fn seat(&self, _peer: PeerAddr, _certificate: Option<&PeerCertificate>) -> Box<dyn Seat> {
        Box::new(*self)
    }
}

impl Seat for Fast {
    fn answer(&mut self, request: Bare<'_>, head: &mut Vec<u8>) -> Option<Bytes> {
        let body = match request.target {
            "/fast" => Bytes::from_static(b"fast"),
            "/fast/big" => Bytes::from(vec![b'x'; BIG]),
            "/panic" => panic!("as told"),
            _ => return None,
        };
        let text = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
        head.extend_from_slice(text.as_bytes());
        Some(body)
    }
}

async fn start_fast(limits: Limits) -> Fixture {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let express: Arc<dyn Express> = Arc::new(Fast);
    start_at(Entrance { express: Some(express), ..listener.into() }, address, limits)
}

fn get(target: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nHost: weir\r\n\r\n").into_bytes()
}

/// Whether the next answer came the fast way.
async fn comes_fast(stream: &mut TcpStream, target: &str) -> bool {
    stream.write_all(&get(target)).await.unwrap();
    answer(stream).await.ends_with("\r\n\r\nfast")
}

#[tokio::test]
async fn what_came_together_is_answered_in_turn_whichever_way_it_goes() {
    let fixture = start_fast(limits()).await;
    let content = b"POST /content HTTP/1.1\r\nHost: weir\r\nContent-Length: 4\r\n\r\nabcd".to_vec();
    let head = b"HEAD /fast HTTP/1.1\r\nHost: weir\r\n\r\n".to_vec();
    let requests = [get("/fast"), get("/fast"), get("/other"), get("/fast"), content, head];
    let all = [requests.concat(), b"GET /bad HTTP/1.1\n\n".to_vec()].concat();
    for piece in [1, 7, 40, 41, 100, all.len()] {
        let mut stream = fixture.connect().await;
        let (mut reads, mut writes) = stream.split();
        let write = async {
            for piece in all.chunks(piece) {
                writes.write_all(piece).await.unwrap();
                tokio::task::yield_now().await;
            }
        };
        let (text, ()) = tokio::join!(rest(&mut reads), write);
        assert_eq!(text.matches("HTTP/1.1 200 OK\r\n").count(), 6, "{piece}: {text}");
        assert_eq!(text.matches("HTTP/1.1 400 ").count(), 1, "{piece}: {text}");
        if piece == all.len() {
            assert_eq!(text.matches("\r\n\r\nfast").count(), 2, "{text}");
        }
    }
}

#[tokio::test]
async fn who_had_to_wait_once_comes_back_to_the_fast_way() {
    let mut fixture = start_fast(limits()).await;
    let mut stream = fixture.connect().await;
    assert!(comes_fast(&mut stream, "/fast").await && comes_fast(&mut stream, "/fast").await);
    stream.write_all(&get("/held")).await.unwrap();
    assert_eq!(fixture.begun().await, "/held");
    fixture.release.add_permits(1);
    answer(&mut stream).await;
    assert!(!comes_fast(&mut stream, "/fast").await, "hyper is there, and may be needed again");
    assert_eq!(fixture.begun().await, "/fast");
    assert!(comes_fast(&mut stream, "/fast").await);
}

#[tokio::test]
async fn who_needs_hyper_each_time_keeps_it_until_it_rests() {
    let mut fixture = start_fast(limits()).await;
    let mut stream = fixture.connect().await;
    for target in ["/other", "/fast", "/other", "/fast"] {
        assert!(!comes_fast(&mut stream, target).await, "{target}");
        assert_eq!(fixture.begun().await, target);
    }
    let rested = async {
        while !comes_fast(&mut stream, "/fast").await {
            tokio::time::sleep(Duration::from_millis(350)).await;
        }
    };
    timeout(PATIENCE, rested).await.unwrap();
}

#[tokio::test]
async fn who_does_not_take_a_fast_answer_is_cut_and_who_does_has_it_whole() {
    let taking =
        LeastRate { grace: Duration::from_millis(300), per_second: NonZeroU64::new(1 << 20) };
    let patience = Patience { taking, ..limits().patience };
    let fixture = start_fast(Limits { patience, ..limits() }).await;
    let mut reader = fixture.send(&[get("/fast/big"), get("/fast")].concat()).await;
    let mut idler = fixture.send(&get("/fast/big")).await;
    let all = format!("HTTP/1.1 200 OK\r\ncontent-length: {BIG}\r\n\r\n").len() + BIG;
    let mut whole = vec![0; all];
    timeout(PATIENCE, reader.read_exact(&mut whole)).await.unwrap().unwrap();
    assert!(answer(&mut reader).await.ends_with("\r\n\r\nfast"));
    // Its end is seen without taking a byte.
    timeout(PATIENCE, async {
        while fixture.open.get() > 1 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("the one who does not read is cut");
    let mut some = Vec::new();
    let read = timeout(PATIENCE, idler.read_to_end(&mut some)).await.unwrap();
    assert!(read.is_err() && some.len() < all, "reset in the middle");
}

#[tokio::test]
async fn a_panic_leaves_it_to_the_long_way() {
    let mut fixture = start_fast(limits()).await;
    let mut stream = fixture.connect().await;
    assert!(comes_fast(&mut stream, "/fast").await);
    assert!(!comes_fast(&mut stream, "/panic").await);
    assert_eq!(fixture.begun().await, "/panic");
}

#[tokio::test]
async fn who_is_told_to_leave_is_told_by_the_long_way() {
    let mut fixture = start_fast(limits()).await;
    let mut stream = fixture.connect().await;
    assert!(comes_fast(&mut stream, "/fast").await);
    fixture.drain.begin();
    stream.write_all(&get("/fast")).await.unwrap();
    let told = rest(&mut stream).await;
    assert!(told.contains("connection: close"), "{told}");
    assert_eq!(fixture.begun().await, "/fast");
}
