//! What becomes of connections when the server stops.

use super::*;

#[tokio::test]
async fn drain_answers_what_is_in_flight_and_closes_what_is_idle() {
    let mut fixture = start(limits()).await;
    let mut silent = fixture.connect().await;
    let mut idle = fixture.send(GET).await;
    answer(&mut idle).await;
    assert_eq!(fixture.begun().await, "/");
    let mut busy = fixture.requesting("/held").await;
    let mut client = http2_client(fixture.connect().await).await;
    let streaming = tokio::spawn(client.send_request(http2_get("/held")));
    assert_eq!(fixture.begun().await, "/held");

    let drain = fixture.drain.clone();
    let finish = tokio::spawn(async move { drain.finish(PATIENCE).await });
    assert_eq!(rest(&mut idle).await, "");
    assert_eq!(rest(&mut silent).await, "");
    timeout(PATIENCE, &mut fixture.server).await.unwrap().unwrap();
    assert!(TcpStream::connect(fixture.address).await.is_err(), "still listening");
    assert!(!finish.is_finished());

    fixture.release.add_permits(2);
    let text = rest(&mut busy).await;
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
    assert!(text.contains("\r\nconnection: close\r\n"), "{text}");
    assert_eq!(streaming.await.unwrap().unwrap().status(), 200);
    assert_eq!(finish.await.unwrap(), Finished::default());
    assert_eq!(fixture.open.get(), 0);
}

#[tokio::test]
async fn while_draining_a_kept_alive_request_is_answered_and_told_to_leave() {
    let mut fixture = start(limits()).await;
    let mut stream = fixture.send(GET).await;
    answer(&mut stream).await;
    fixture.drain.begin();
    stream.write_all(GET).await.unwrap();
    let text = rest(&mut stream).await;
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
    assert!(text.contains("connection: close"), "{text}");
    assert_eq!(fixture.begun().await, "/");
}

#[tokio::test]
async fn a_request_that_waited_in_the_kernel_is_answered() {
    let limits = Limits { max_connections: 1, ..limits() };
    let mut fixture = start(limits).await;
    let mut first = fixture.requesting("/held").await;
    let mut waiting = fixture.send(GET).await;
    fixture.drain.begin();
    let drain = fixture.drain.clone();
    fixture.release.add_permits(1);
    assert!(rest(&mut first).await.starts_with("HTTP/1.1 200 OK\r\n"));
    let finish = tokio::spawn(async move { drain.finish(PATIENCE).await });
    assert!(rest(&mut waiting).await.starts_with("HTTP/1.1 200 OK\r\n"));
    assert_eq!(finish.await.unwrap(), Finished::default());
}

#[tokio::test]
async fn the_deadline_cuts_what_hangs_and_counts_it() {
    let mut fixture = start(limits()).await;
    let mut hanging = fixture.requesting("/for-ever").await;
    let mut client = http2_client(fixture.connect().await).await;
    let streaming = tokio::spawn(client.send_request(http2_get("/for-ever")));
    assert_eq!(fixture.begun().await, "/for-ever");
    let finished = fixture.drain.finish(Duration::from_millis(200)).await;
    assert_eq!(finished, Finished { cut: 2, abandoned: 0 });
    assert_eq!(rest(&mut hanging).await, "");
    assert!(streaming.await.unwrap().is_err());
    for _ in 0..2 {
        assert_eq!(fixture.ended().await, "/for-ever", "its work was dropped");
    }
    assert_eq!(fixture.open.get(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_of_a_busy_client_is_lost_in_a_drain() {
    let fixture = start(limits()).await;
    let Fixture { mut begun, address, drain, .. } = fixture;
    let clients: Vec<_> = (0..20)
        .map(|_| {
            tokio::spawn(async move {
                let mut stream = TcpStream::connect(address).await.unwrap();
                loop {
                    stream.write_all(GET).await.unwrap();
                    let text = answer(&mut stream).await;
                    assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
                    if text.contains("connection: close") {
                        return;
                    }
                }
            })
        })
        .collect();
    for _ in 0..100 {
        begun.recv().await.unwrap();
    }
    let discard = tokio::spawn(async move { while begun.recv().await.is_some() {} });
    assert_eq!(drain.finish(PATIENCE).await, Finished::default());
    for client in clients {
        client.await.expect("every request was answered");
    }
    discard.await.unwrap();
}

/// Until a later phase is asked for, new connections are served, and told to leave.
#[tokio::test]
async fn who_comes_while_draining_is_served() {
    let mut fixture = start(limits()).await;
    let drain = fixture.drain.clone();
    let finish = tokio::spawn(async move { drain.finish_after(PATIENCE * 3, PATIENCE * 4).await });
    fixture.drain.cancelled().await;
    for _ in 0..3 {
        let mut stream = fixture.send(GET).await;
        let text = rest(&mut stream).await;
        assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
        assert!(text.contains("connection: close"), "{text}");
    }
    for _ in 0..3 {
        let mut client = http2_client(fixture.connect().await).await;
        let answered = timeout(PATIENCE, client.send_request(http2_get("/"))).await.unwrap();
        assert_eq!(answered.expect("served").status(), 200);
        // And then told to leave: GOAWAY.
        let gone = async { while client.send_request(http2_get("/")).await.is_ok() {} };
        timeout(PATIENCE, gone).await.expect("told to leave");
    }
    // A silent one is not waited for.
    let mut silent = fixture.connect().await;
    assert!(!finish.is_finished());
    finish.abort();
    let drain = fixture.drain.clone();
    assert_eq!(drain.finish(PATIENCE).await, Finished::default());
    assert_eq!(rest(&mut silent).await, "");
    timeout(PATIENCE, &mut fixture.server).await.unwrap().unwrap();
}

/// Reads frames until the answer to our PING; their types (RFC 9113, section 6).
async fn until_pong(stream: &mut TcpStream) -> Vec<u8> {
    let mut types = Vec::new();
    loop {
        let mut head = [0; 9];
        timeout(PATIENCE, stream.read_exact(&mut head)).await.unwrap().unwrap();
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        timeout(PATIENCE, stream.read_exact(&mut payload)).await.unwrap().unwrap();
        types.push(head[3]);
        if head[3] == PING && payload == [7; 8] {
            return types;
        }
    }
}

const PING: u8 = 6;
const GOAWAY: u8 = 7;

/// A client that is told to leave before it has asked anything would come again, and again.
#[tokio::test]
async fn a_connection_made_ahead_is_not_told_to_leave_before_it_has_served() {
    let fixture = start(limits()).await;
    fixture.drain.begin();
    let mut stream = fixture.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.unwrap();
    for _ in 0..3 {
        let ping = [&[0, 0, 8, PING, 0, 0, 0, 0, 0][..], &[7; 8]].concat();
        stream.write_all(&ping).await.unwrap();
        let types = until_pong(&mut stream).await;
        assert!(!types.contains(&GOAWAY), "{types:?}");
    }
}

#[tokio::test]
async fn a_mute_http2_client_does_not_hold_up_a_stop() {
    let fixture = start(limits()).await;
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let settings = b"\0\0\0\x04\0\0\0\0\0";
    let mut mute = Vec::new();
    for said in [&preface[..], &[&preface[..], settings].concat()] {
        let mut stream = fixture.send(said).await;
        // Its own settings say that it is served.
        timeout(PATIENCE, stream.read_u8()).await.unwrap().unwrap();
        mute.push(stream);
    }
    let stopped = timeout(PATIENCE / 2, fixture.drain.finish(PATIENCE)).await;
    assert_eq!(stopped.expect("nobody is waited for"), Finished::default());
}
