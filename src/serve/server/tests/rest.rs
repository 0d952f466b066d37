//! Connections that have nothing to do, and wake up.

use super::*;

/// How many there are of the service: one a connection that is not at rest, and our own.
struct Counted {
    address: SocketAddr,
    copies: Arc<()>,
}

async fn counted(limits: Limits) -> Counted {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let copies = Arc::new(());
    let kept = Arc::clone(&copies);
    let service = service_fn(move |request: Request<Incoming>| {
        let body = format!("{}{:?}", request.uri().path(), Arc::strong_count(&kept) > 0);
        async move { Ok::<_, BoxError>(Response::new(Body::from(body))) }
    });
    let metrics = ConnectionMetrics::default();
    tokio::spawn(serve(listener, Refusing(service), limits, Drain::new(), metrics));
    Counted { address, copies }
}

impl Counted {
    /// Until hyper holds nothing for anybody.
    async fn all_rest(&self) {
        let at_rest = async {
            while Arc::strong_count(&self.copies) > 2 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, at_rest).await.expect("they come to rest");
    }
}

#[tokio::test]
async fn a_connection_gives_back_what_it_needs_not_and_takes_it_again() {
    let server = counted(limits()).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    for round in 0..3 {
        stream.write_all(GET).await.unwrap();
        assert!(answer(&mut stream).await.starts_with("HTTP/1.1 200 OK\r\n"), "{round}");
        server.all_rest().await;
    }
    // In pieces, and two at once.
    let (some, rest) = GET.split_at(9);
    stream.write_all(some).await.unwrap();
    tokio::task::yield_now().await;
    stream.write_all(&[rest, GET].concat()).await.unwrap();
    answer_times(&mut stream, 2).await;
    server.all_rest().await;
    stream.write_all(b"GET /bad HTTP/1.1\n").await.unwrap();
    assert!(rest_of(stream).await.starts_with("HTTP/1.1 400 "));
}

async fn answer_times(stream: &mut TcpStream, times: usize) {
    let mut bytes = Vec::new();
    while String::from_utf8_lossy(&bytes).matches("/true").count() < times {
        let read = timeout(PATIENCE, stream.read_buf(&mut bytes)).await.unwrap().unwrap();
        assert_ne!(read, 0, "closed too early");
    }
}

async fn rest_of(mut stream: TcpStream) -> String {
    rest(&mut stream).await
}

#[tokio::test]
async fn half_a_head_after_a_rest_is_refused_in_time_and_a_silent_rest_ends() {
    let head = Duration::from_millis(200);
    let patience = Patience { head, idle: Duration::from_secs(2), ..limits().patience };
    let server = counted(Limits { patience, ..limits() }).await;
    let (mut half, mut silent) = (
        TcpStream::connect(server.address).await.unwrap(),
        TcpStream::connect(server.address).await.unwrap(),
    );
    for stream in [&mut half, &mut silent] {
        stream.write_all(GET).await.unwrap();
        answer(stream).await;
    }
    server.all_rest().await;
    half.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    assert!(rest_of(half).await.starts_with("HTTP/1.1 408 "));
    assert_eq!(rest_of(silent).await, "");
}
