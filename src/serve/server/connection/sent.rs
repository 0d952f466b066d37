//! An answer's body on its way out, piece by piece where somebody has to keep them.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use super::MAX_BUFFER;
use super::kept::{Kept, Piece};
use super::pulse::Busy;
use super::streams;
use crate::http::{Body, BoxError};

/// Largest piece that is handed over at once to HTTP/2: what that has taken it keeps, whether or not
/// the client ever opens its window for it. HTTP/1 takes all that is there.
const PIECE: usize = 16 * 1024;
/// Most that HTTP/2 keeps of one answer: it takes a piece while there is less than a buffer of it.
pub(super) const MOST_KEPT: u64 = (MAX_BUFFER + PIECE) as u64;

/// See the module.
#[derive(Debug)]
pub(super) struct Sent {
    body: Body,
    /// What has come of the body and has not been handed over.
    rest: Bytes,
    /// Where pieces are counted; none = HTTP/1 keeps none.
    kept: Option<Arc<Kept>>,
    _busy: Option<Busy>,
}

impl Sent {
    pub(super) fn new(body: Body, kept: Option<Arc<Kept>>, busy: Option<Busy>) -> Self {
        Self { body, rest: Bytes::new(), kept, _busy: busy }
    }

    fn piece(&mut self) -> Piece {
        match &self.kept {
            None => Piece::free(std::mem::take(&mut self.rest)),
            Some(kept) => Piece::kept(self.rest.split_to(self.rest.len().min(PIECE)), kept),
        }
    }
}

impl http_body::Body for Sent {
    type Data = Piece;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Piece>, BoxError>>> {
        let this = self.get_mut();
        if this.rest.is_empty() {
            let polled = Pin::new(&mut this.body).poll_frame(cx);
            if polled.is_pending() {
                streams::waits_for_us();
            }
            let Some(frame) = ready!(polled).transpose()? else { return Poll::Ready(None) };
            match frame.into_data() {
                Ok(bytes) => this.rest = bytes,
                Err(trailers) => {
                    streams::handed_over(0);
                    return Poll::Ready(Some(Ok(trailers.map_data(Piece::free))));
                }
            }
        }
        let before = this.rest.len();
        let piece = this.piece();
        streams::handed_over(before - this.rest.len());
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let mut hint = self.body.size_hint();
        let rest = self.rest.len() as u64;
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper.saturating_add(rest));
        }
        hint.set_lower(hint.lower().saturating_add(rest));
        hint
    }
}

#[cfg(test)]
mod tests {
    use bytes::Buf as _;
    use http_body::Body as _;
    use http_body_util::{BodyExt as _, StreamBody};

    use super::*;

    fn frames() -> Body {
        let content = [vec![7; 40_000], vec![], vec![7; PIECE]].map(Bytes::from).map(Frame::data);
        let trailers = Frame::trailers(http::HeaderMap::new());
        let frames = content.into_iter().chain([trailers]).map(Ok::<_, BoxError>);
        Body::stream(StreamBody::new(futures_util::stream::iter(frames)))
    }

    async fn pieces(body: Body, kept: Option<Arc<Kept>>) -> Vec<Option<usize>> {
        let mut sent = Sent::new(body, kept, None);
        let mut pieces = Vec::new();
        while let Some(frame) = sent.frame().await {
            pieces.push(frame.unwrap().data_ref().map(Piece::remaining));
        }
        pieces
    }

    #[tokio::test]
    async fn what_is_kept_is_handed_over_in_pieces_however_it_came() {
        let kept = Arc::new(Kept::default());
        let full = || Body::from(vec![7; 40_000]);
        assert_eq!(pieces(full(), None).await, [Some(40_000)]);
        let three = [Some(PIECE), Some(PIECE), Some(40_000 - 2 * PIECE)];
        assert_eq!(pieces(full(), Some(Arc::clone(&kept))).await, three);
        let rest = [Some(0), Some(PIECE), None];
        let whole = [&[Some(40_000)][..], &rest].concat();
        assert_eq!(pieces(frames(), None).await, whole);
        assert_eq!(pieces(frames(), Some(Arc::clone(&kept))).await, [&three[..], &rest].concat());
        assert!(kept.is_empty());
    }

    #[tokio::test]
    async fn what_is_left_is_known_at_every_piece() {
        let kept = Arc::new(Kept::default());
        let mut sent = Sent::new(Body::from(vec![7; 40_000]), Some(Arc::clone(&kept)), None);
        let mut held = Vec::new();
        for (left, is_over) in [(40_000, false), (23_616, false), (7_232, false), (0, true)] {
            assert_eq!((sent.size_hint().exact(), sent.is_end_stream()), (Some(left), is_over));
            held.extend(sent.frame().await);
        }
        assert_eq!(kept.pieces()[0], 3, "and not yet written");
    }
}
