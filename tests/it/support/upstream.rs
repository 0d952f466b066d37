//! An upstream that says what it is told to, byte for byte, and remembers what it was asked.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// A request as it arrived.
#[derive(Clone, Debug, Default)]
pub(crate) struct Received {
    pub(crate) method: String,
    pub(crate) target: String,
    /// Names in lower case, in the order of arrival.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Received {
    /// A field's value; empty if there is none.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(found, _)| found == name).map_or("", |(_, value)| value)
    }
}

/// A running upstream.
#[derive(Clone, Debug)]
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    received: Arc<Mutex<Vec<Received>>>,
}

/// What it says: the answer's bytes. A connection is closed after an answer that says so.
type Script = Arc<dyn Fn(&Received) -> String + Send + Sync>;

impl Upstream {
    /// Answers every request by `script`, which writes whole answers.
    pub(crate) async fn start(
        script: impl Fn(&Received) -> String + Send + Sync + 'static,
    ) -> Self {
        Self::late(Duration::ZERO, script).await
    }

    /// The same, and takes so long for each.
    pub(crate) async fn late(
        delay: Duration,
        script: impl Fn(&Received) -> String + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let upstream = Self { address: listener.local_addr().unwrap(), received: Arc::default() };
        let received = Arc::clone(&upstream.received);
        let script: Script = Arc::new(script);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(connection(stream, delay, Arc::clone(&received), Arc::clone(&script)));
            }
        });
        upstream
    }

    /// Answers with the request itself, as JSON.
    pub(crate) async fn echo() -> Self {
        Self::start(|request| {
            let headers: serde_json::Map<_, _> =
                request.headers.iter().map(|(n, v)| (n.clone(), v.as_str().into())).collect();
            let body = serde_json::json!({
                "method": request.method, "target": request.target, "headers": headers,
                "body": request.body,
            });
            answer(200, "content-type: application/json\r\n", &body.to_string())
        })
        .await
    }

    /// Everything it was asked, in order.
    pub(crate) fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    /// How often it was asked for a target that begins so.
    pub(crate) fn count(&self, target: &str) -> usize {
        self.received().iter().filter(|request| request.target.starts_with(target)).count()
    }
}

/// An answer with a `Content-Length`.
pub(crate) fn answer(status: u16, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n{headers}\r\n{body}", body.len())
}

async fn connection(
    mut stream: TcpStream,
    delay: Duration,
    received: Arc<Mutex<Vec<Received>>>,
    script: Script,
) {
    let mut bytes = Vec::new();
    loop {
        let (request, length) = loop {
            if let Some(request) = parse(&bytes) {
                break request;
            }
            match stream.read_buf(&mut bytes).await {
                Ok(1..) => {}
                _ => return,
            }
        };
        bytes.drain(..length);
        let said = script(&request);
        received.lock().unwrap().push(request);
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        if said.is_empty() || stream.write_all(said.as_bytes()).await.is_err() {
            return;
        }
        if said.contains("connection: close") {
            return;
        }
    }
}

/// A whole request and its length, once it is there.
fn parse(bytes: &[u8]) -> Option<(Received, usize)> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (head, rest) = text.split_once("\r\n\r\n")?;
    let mut lines = head.split("\r\n");
    let mut words = lines.next()?.split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let headers: Vec<_> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let mut request = Received { method, target, headers, body: String::new() };
    let length = request.header("content-length").parse().unwrap_or(0);
    rest.get(..length)?.clone_into(&mut request.body);
    Some((request, head.len() + 4 + length))
}
