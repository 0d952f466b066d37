//! When an HTTP/2 connection ends: over a pair of sockets, with time that passes when all wait.

use tokio::net::UnixStream;

use super::*;

const IDLE: Duration = Duration::from_secs(80);
/// An eighth, and a second for who does not answer.
const IDLE_AT_MOST: Duration = Duration::from_millis(91_100);

/// A connection, and the task that serves it.
fn connected(drain: &Drain) -> (UnixStream, JoinHandle<()>) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let service = service_fn(|request: Request<Incoming>| async move {
        let (takes, said) = match request.uri().path() {
            "/late" => (IDLE * 5, ""),
            "/empty" => (Duration::ZERO, ""),
            _ => (Duration::from_millis(10), "too much"),
        };
        tokio::time::sleep(takes).await;
        Ok::<_, BoxError>(Response::new(Body::from(said)))
    });
    // hyper asks after who has been mute for that long.
    let patience = Patience { idle: IDLE, head: IDLE * 9, ..Limits::default().patience };
    let server = Arc::new(Server {
        service,
        limits: Limits { patience, ..Limits::default() },
        tls: None,
        express: None,
        drain: drain.clone(),
        metrics: ConnectionMetrics::default(),
        addresses: Addresses::new(1),
        clock: Clock::system(),
    });
    (theirs, tokio::spawn(server.connection(Socket::Unix(ours), PeerAddr(None))))
}

/// GET / of `a`.
fn ask(stream: u8) -> Vec<u8> {
    [b"\0\0\x06\x01\x05\0\0\0", &[stream][..], b"\x82\x86\x84\x41\x01a"].concat()
}

#[tokio::test(start_paused = true)]
async fn who_asks_nothing_more_is_let_go_in_time_also_if_it_is_mute() {
    for asks_after in [&[][..], &[0], &[5], &[79], &[0, 0], &[1, 79, 79, 11]] {
        let drain = Drain::new();
        let (mut client, mut served) = connected(&drain);
        client.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
        for (number, after) in (0..).zip(asks_after) {
            tokio::time::sleep(Duration::from_secs(*after)).await;
            client.write_all(&ask(number * 2 + 1)).await.unwrap();
        }
        let early = timeout(IDLE, &mut served).await;
        assert!(early.is_err(), "{asks_after:?}");
        timeout(IDLE_AT_MOST - IDLE, served).await.expect("let go").unwrap();
    }
}

type Asking = h2::client::SendRequest<Bytes>;

/// A client whose windows are so large.
async fn client_of(stream: UnixStream, window: u32) -> Asking {
    let mut builder = h2::client::Builder::new();
    let (asking, connection) = builder.initial_window_size(window).handshake(stream).await.unwrap();
    tokio::spawn(connection);
    asking
}

async fn get(asking: &Asking, path: &str) -> Result<h2::RecvStream, h2::Error> {
    let mut asking = asking.clone().ready().await?;
    let (told, _) = asking.send_request(http2_get(path).map(drop), true)?;
    Ok(told.await?.into_body())
}

/// 80 KiB at 1 KiB a second, and 20 seconds.
const KEPT: Duration = Duration::from_secs(100);

#[tokio::test(start_paused = true)]
async fn what_is_left_of_answers_is_kept_for_a_time_whatever_else_is_asked() {
    for (stuck, every) in [(1, 1), (100, 1), (100, 30)] {
        let drain = Drain::new();
        let (client, served) = connected(&drain);
        let asking = client_of(client, 1).await;
        let mut kept = Vec::new();
        for _ in 0..stuck {
            kept.push(get(&asking, "/").await.unwrap());
        }
        let clock = Clock::system();
        let began = clock.now();
        let most = KEPT + KEPT / 4 + Duration::from_secs(10 + every);
        while get(&asking, "/empty").await.is_ok() {
            assert!(clock.now() - began <= most, "{stuck} {every}");
            tokio::time::sleep(Duration::from_secs(every)).await;
        }
        assert!(clock.now() - began >= KEPT - Duration::from_secs(2), "{stuck} {every}");
        served.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_us_is_not_who_keeps_us_waiting() {
    let drain = Drain::new();
    let (client, _served) = connected(&drain);
    let asking = client_of(client, 1).await;
    let waits = asking.clone();
    let late = tokio::spawn(async move { get(&waits, "/late").await.map(drop) });
    // One after the other is taken just in time.
    let mut taken = 0;
    while !late.is_finished() {
        let mut body = get(&asking, "/").await.unwrap();
        tokio::time::sleep(KEPT * 9 / 10).await;
        while let Some(piece) = body.data().await {
            body.flow_control().release_capacity(piece.unwrap().len()).unwrap();
        }
        taken += 1;
    }
    assert!(taken > 3, "{taken}");
    late.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_stop_waits_for_who_still_takes_its_answer() {
    let drain = Drain::new();
    let (client, mut served) = connected(&drain);
    let asking = client_of(client, 1).await;
    let mut body = get(&asking, "/").await.unwrap();
    assert_eq!(body.data().await.unwrap().unwrap(), "t");
    let stop = drain.clone();
    tokio::spawn(async move { stop.finish(IDLE).await });
    assert!(timeout(Duration::from_secs(3), &mut served).await.is_err(), "there is more to take");
    body.flow_control().release_capacity(1).unwrap();
    let mut rest = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece.unwrap();
        body.flow_control().release_capacity(piece.len()).unwrap();
        rest.extend(piece);
    }
    assert_eq!(rest, b"oo much");
    timeout(Duration::from_secs(2), served).await.expect("let go").unwrap();
}
