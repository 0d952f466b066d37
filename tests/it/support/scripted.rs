//! An upstream that plays a script: bytes as they stand, drips, resets, silence.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// A step.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// Writes this.
    Say(Vec<u8>),
    /// Writes this byte by byte, so slowly.
    Drip(Vec<u8>, Duration),
    /// Reads the next request before it goes on.
    Next,
    /// Closes in good order.
    Close,
    /// Tears the connection down.
    Reset,
    /// Says nothing until the other side closes.
    Hang,
}

/// Writes this.
pub(crate) fn say(text: impl AsRef<[u8]>) -> Act {
    Act::Say(text.as_ref().to_vec())
}

/// What to do about the first line of a request's head, and on which connection it came.
type Script = Arc<dyn Fn(&str, usize) -> Vec<Act> + Send + Sync>;

/// A running one.
#[derive(Clone, Debug)]
pub(crate) struct Scripted {
    pub(crate) address: SocketAddr,
    /// The first lines it was asked, and on which connection.
    pub(crate) asked: Arc<Mutex<Vec<(String, usize)>>>,
}

impl Scripted {
    pub(crate) async fn start(
        script: impl Fn(&str, usize) -> Vec<Act> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::on(listener, script)
    }

    pub(crate) fn on(
        listener: TcpListener,
        script: impl Fn(&str, usize) -> Vec<Act> + Send + Sync + 'static,
    ) -> Self {
        let server = Self { address: listener.local_addr().unwrap(), asked: Arc::default() };
        let (asked, script): (_, Script) = (Arc::clone(&server.asked), Arc::new(script));
        tokio::spawn(async move {
            for connection in 0.. {
                let Ok((stream, _)) = listener.accept().await else { return };
                tokio::spawn(play(stream, connection, Arc::clone(&asked), Arc::clone(&script)));
            }
        });
        server
    }
}

async fn head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).ok()?;
    let length = head.to_ascii_lowercase();
    let length = length.split("content-length: ").nth(1);
    let length = length.map_or(0, |rest| rest.lines().next().unwrap().parse().unwrap());
    stream.read_exact(&mut vec![0; length]).await.ok()?;
    Some(head.lines().next()?.to_owned())
}

async fn play(
    mut stream: TcpStream,
    connection: usize,
    asked: Arc<Mutex<Vec<(String, usize)>>>,
    script: Script,
) {
    while let Some(line) = head(&mut stream).await {
        asked.lock().unwrap().push((line.clone(), connection));
        for act in script(&line, connection) {
            let written = match act {
                Act::Say(bytes) => stream.write_all(&bytes).await,
                Act::Drip(bytes, pause) => drip(&mut stream, &bytes, pause).await,
                Act::Next => match head(&mut stream).await {
                    Some(line) => {
                        asked.lock().unwrap().push((line, connection));
                        Ok(())
                    }
                    None => return,
                },
                Act::Close => return,
                Act::Reset => {
                    let socket = socket2::SockRef::from(&stream);
                    socket.set_linger(Some(Duration::ZERO)).unwrap();
                    return;
                }
                Act::Hang => {
                    // Whatever comes is thrown away.
                    while stream.read_u8().await.is_ok() {}
                    return;
                }
            };
            if written.is_err() {
                return;
            }
        }
    }
}

async fn drip(stream: &mut TcpStream, bytes: &[u8], pause: Duration) -> std::io::Result<()> {
    for byte in bytes {
        stream.write_all(&[*byte]).await?;
        tokio::time::sleep(pause).await;
    }
    Ok(())
}
