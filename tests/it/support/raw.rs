//! A connection without a client on it: what is on the wire, and nothing else.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::PATIENCE;

/// A TCP connection to a server. Dropped, it is closed.
#[derive(Debug)]
pub(crate) struct Raw {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Raw {
    pub(crate) async fn connect(server: SocketAddr) -> Self {
        Self { stream: TcpStream::connect(server).await.unwrap(), read: Vec::new() }
    }

    /// Writes as it stands.
    pub(crate) async fn write(&mut self, text: &str) {
        self.write_bytes(text.as_bytes()).await;
    }

    pub(crate) async fn write_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// The server may have closed long before the last of it.
    pub(crate) async fn try_write(&mut self, bytes: &[u8]) {
        drop(self.stream.write_all(bytes).await);
    }

    /// A GET with nothing in it that is not needed.
    pub(crate) async fn get(&mut self, target: &str) {
        self.write(&format!("GET {target} HTTP/1.1\r\nhost: weir\r\n\r\n")).await;
    }

    /// Everything until the server closes, in whatever way.
    pub(crate) async fn rest(mut self) -> String {
        let read = self.stream.read_to_end(&mut self.read);
        drop(tokio::time::timeout(PATIENCE, read).await.expect("the server closes"));
        String::from_utf8_lossy(&self.read).into_owned()
    }

    /// Whether the server ends the connection without an orderly end, or without a word.
    pub(crate) async fn is_reset(&mut self) -> bool {
        let read = self.stream.read_to_end(&mut self.read);
        let ended = tokio::time::timeout(PATIENCE, read).await.expect("the server closes");
        ended.is_err() || self.read.is_empty()
    }

    /// One answer with a `Content-Length`: its head and its body.
    pub(crate) async fn answer(&mut self) -> (String, String) {
        self.answer_to(false).await
    }

    /// The same; that to a HEAD has no body.
    pub(crate) async fn answer_to(&mut self, head: bool) -> (String, String) {
        let whole = async {
            loop {
                if let Some(answer) = self.take_answer(head) {
                    return answer;
                }
                let read = self.stream.read_buf(&mut self.read).await.unwrap();
                assert!(read > 0, "closed after {:?}", String::from_utf8_lossy(&self.read));
            }
        };
        tokio::time::timeout(PATIENCE, whole).await.expect("an answer comes")
    }

    fn take_answer(&mut self, to_head: bool) -> Option<(String, String)> {
        let text = String::from_utf8_lossy(&self.read).into_owned();
        let (head, rest) = text.split_once("\r\n\r\n")?;
        let length = head.to_ascii_lowercase();
        let length = length
            .split("content-length: ")
            .nth(1)
            .filter(|_| !to_head)
            .map_or(0, |rest| rest.lines().next().unwrap().parse::<usize>().unwrap());
        let body = rest.get(..length)?.to_owned();
        self.read.drain(..head.len() + 4 + length);
        Some((head.to_owned(), body))
    }
}
