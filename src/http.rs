//! The body type every zone speaks, and small HTTP helpers that belong to no layer.

mod room;

use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{self, HeaderMap, HeaderName};
use http_body::{Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, StreamBody};

pub use room::{Grown, Held, Room};

/// Any error a body or a connector may carry.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A request or answer body: nothing, one buffer (a cache hit), or a stream.
#[derive(Debug, Default)]
pub enum Body {
    /// No content.
    #[default]
    Empty,
    /// The whole content, shared with whoever else holds it.
    Full(Bytes),
    /// Content that is still arriving.
    Stream(UnsyncBoxBody<Bytes, BoxError>),
}

impl Body {
    /// Wraps any body.
    pub fn stream<B>(body: B) -> Self
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        if body.is_end_stream() {
            return Self::Empty;
        }
        Self::Stream(UnsyncBoxBody::new(body.map_err(Into::into)))
    }

    /// The whole content, which gives its room back while it is passed on.
    pub fn held(bytes: Bytes, held: Held) -> Self {
        Self::stream(Continued { begun: Some((bytes, held)), rest: Self::Empty })
    }

    /// Content that broke off before it could be passed on.
    pub fn broken(error: BoxError) -> Self {
        let nothing = futures_util::stream::once(std::future::ready(Err(error)));
        Self::stream(StreamBody::new(nothing))
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        if bytes.is_empty() { Self::Empty } else { Self::Full(bytes) }
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Bytes::from(text).into()
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Bytes::from_static(text.as_bytes()).into()
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes::from(bytes).into()
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        match this {
            Self::Empty => Poll::Ready(None),
            Self::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                *this = Self::Empty;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Self::Stream(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Full(_) => false,
            Self::Stream(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Stream(body) => body.size_hint(),
        }
    }
}

/// A body was not sent fast enough.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the body came too slowly")]
pub struct TooSlow;

/// A `Retry-After` in seconds. Rounded up: whoever waits as long as told finds the door open.
pub fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0)).max(1)
}

/// Removes the fields that concern one connection only.
///
/// RFC 9110, section 7.6.1: an intermediary removes `Connection`, the fields it names, and the
/// other fields that are known to be hop-by-hop.
pub fn strip_hop_by_hop(headers: &mut HeaderMap) {
    const HOP_BY_HOP: [HeaderName; 7] = [
        header::CONNECTION,
        HeaderName::from_static("keep-alive"),
        HeaderName::from_static("proxy-connection"),
        header::TE,
        header::TRAILER,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
    ];
    if headers.contains_key(header::CONNECTION) {
        let named: Vec<HeaderName> = headers
            .get_all(header::CONNECTION)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .filter_map(|name| name.trim().parse().ok())
            .collect();
        for name in named {
            headers.remove(name);
        }
    }
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
}

/// A body that has been read up to a limit.
#[derive(Debug)]
pub enum Gathered {
    /// All of it, and the room that it takes.
    Whole(Bytes, Held),
    /// There is more; nothing of it is lost.
    TooLarge(Body),
    /// There may be more, and no room to hold it; nothing of it is lost.
    NoRoom(Body),
}

/// Reads a body into memory, unless it turns out larger than the limit.
pub async fn gather(body: Body, limit: usize, held: Held) -> Result<Gathered, BoxError> {
    gather_until(std::future::pending(), body, limit, held).await
}

/// The same, unless it takes too long: then there is more, too.
pub async fn gather_until(
    too_late: impl Future<Output = ()>,
    mut body: Body,
    limit: usize,
    mut held: Held,
) -> Result<Gathered, BoxError> {
    let mut too_late = pin!(too_late);
    if http_body::Body::size_hint(&body).lower() > limit as u64 {
        return Ok(Gathered::TooLarge(body));
    }
    let mut begun = BytesMut::new();
    let mut grown = Grown::Yes;
    while grown == Grown::Yes && begun.len() <= limit {
        let frame = tokio::select! {
            biased;
            frame = body.frame() => frame,
            () = &mut too_late => break,
        };
        let Some(frame) = frame else { return Ok(Gathered::Whole(begun.freeze(), held)) };
        if let Ok(data) = frame?.into_data() {
            // What has been read is passed on either way.
            grown = held.grow(data.len());
            begun.extend_from_slice(&data);
        }
    }
    let whole = Body::stream(Continued { begun: Some((begun.freeze(), held)), rest: body });
    Ok(match grown {
        Grown::Yes => Gathered::TooLarge(whole),
        Grown::No => Gathered::NoRoom(whole),
    })
}

/// Of what has been read already, so much is passed on at a time.
const PIECE: usize = 64 * 1024;

/// A body whose beginning has been read already.
struct Continued {
    /// Until it is passed on, with the room that it takes.
    begun: Option<(Bytes, Held)>,
    rest: Body,
}

impl Continued {
    fn ahead(&self) -> usize {
        self.begun.as_ref().map_or(0, |(begun, _)| begun.len())
    }
}

impl http_body::Body for Continued {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.begun.take().filter(|(begun, _)| !begun.is_empty()) {
            // In pieces: the room is given back when the last of it has been asked for, and not
            // while all of it waits for a client that takes its time.
            Some((mut begun, held)) if begun.len() > PIECE => {
                let piece = begun.split_to(PIECE);
                self.begun = Some((begun, held));
                Poll::Ready(Some(Ok(Frame::data(piece))))
            }
            Some((begun, _)) => Poll::Ready(Some(Ok(Frame::data(begun)))),
            None => Pin::new(&mut self.rest).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ahead() == 0 && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let begun = self.ahead() as u64;
        let rest = self.rest.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower() + begun);
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper + begun);
        }
        hint
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connection_and_the_fields_it_names_are_removed() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, X-Private"),
            ("keep-alive", "timeout=5"),
            ("transfer-encoding", "chunked"),
            ("x-private", "1"),
            ("x-public", "2"),
        ] {
            headers.insert(HeaderName::from_static(name), value.parse().unwrap());
        }
        strip_hop_by_hop(&mut headers);
        assert_eq!(headers.len(), 1);
        assert_eq!(headers["x-public"], "2");
    }

    #[tokio::test]
    async fn a_full_body_is_one_frame_and_then_ends() {
        let body = Body::from("abc");
        assert_eq!(http_body::Body::size_hint(&body).exact(), Some(3));
        assert_eq!(body.collect().await.unwrap().to_bytes(), "abc");
    }

    #[tokio::test]
    async fn what_was_too_large_keeps_its_room_until_it_has_been_asked_for() {
        let (room, large) = (Room::new(3 * PIECE), Bytes::from(vec![b'x'; 2 * PIECE + 1]));
        let unsized_body = StreamBody::new(futures_util::stream::iter([
            Ok::<_, BoxError>(Frame::data(large.clone())),
            Ok(Frame::data(Bytes::from_static(b"y"))),
        ]));
        let gathered = gather(Body::stream(unsized_body), 2 * PIECE, room.part()).await.unwrap();
        let Gathered::TooLarge(mut body) = gathered else { panic!("{gathered:?}") };
        let mut passed = 0;
        while passed < large.len() {
            assert_eq!(room.part().grow(2 * PIECE), Grown::No, "after {passed}");
            let piece = body.frame().await.unwrap().unwrap().into_data().unwrap();
            assert!(piece.len() <= PIECE);
            passed += piece.len();
        }
        assert_eq!(room.part().grow(2 * PIECE), Grown::Yes);
        assert_eq!(body.collect().await.unwrap().to_bytes(), "y");
    }
}
