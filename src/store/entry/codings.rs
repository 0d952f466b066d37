//! A stored answer in other codings: each made when first asked for, once, and kept.

use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, ETAG, HeaderMap, HeaderValue};
use tokio::sync::OnceCell;

use super::block::{block, occupied};
use super::{Prepared, head};
use crate::http::{Grown, Held};
use crate::policy::coding::{Coding, PREFERRED, etag_of};
use crate::store::encode::encode;

/// The codings of one answer.
#[derive(Debug, Default)]
pub(super) struct Codings {
    /// By place in `PREFERRED`; none within = it would not be smaller.
    made: [OnceCell<Option<Box<Coded>>>; PREFERRED.len()],
    size: AtomicUsize,
}

/// What the place for them costs.
const OVERHEAD: usize = size_of::<Codings>();

/// What one costs beyond its text: its place, and that of its block.
const EACH: usize = size_of::<Coded>() + 64;

/// An answer in a coding.
#[derive(Debug)]
pub(super) struct Coded {
    coding: HeaderValue,
    etag: HeaderValue,
    head: Bytes,
    body: Bytes,
}

/// There is no room to hold it just now.
#[derive(Debug)]
struct NoRoom;

impl Coded {
    pub(super) fn prepared(&self) -> Prepared<'_> {
        Prepared { head: &self.head, body: &self.body }
    }

    pub(super) fn body(&self) -> &Bytes {
        &self.body
    }

    /// The fields that differ.
    pub(super) fn onto(&self, headers: &mut HeaderMap) {
        onto(headers, &self.coding, self.body.len(), &self.etag);
    }
}

/// RFC 9110, section 8.8.3.3: another coding has another tag.
fn onto(headers: &mut HeaderMap, coding: &HeaderValue, length: usize, etag: &HeaderValue) {
    headers.insert(CONTENT_ENCODING, coding.clone());
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    headers.insert(ETAG, etag.clone());
}

/// The answer in this coding, head and body in one block.
fn coded(coding: Coding, body: &[u8], mut fields: HeaderMap, mut room: Held) -> Option<Coded> {
    let (field, etag) = (coding.field()?, etag_of(fields.get(ETAG)?, coding));
    onto(&mut fields, &field, body.len(), &etag);
    let mut text = head::write(StatusCode::OK, &fields, body.len());
    let end_of_head = text.len();
    text.extend_from_slice(body);
    room.shrink_to(occupied(text.len()));
    let block = block(text, room);
    let (head, body) = (block.slice(..end_of_head), block.slice(end_of_head..));
    // Its own text would be one more allocation.
    let etag = head::field(&head, &ETAG)?;
    Some(Coded { coding: field, etag, head, body })
}

fn cell_of(coding: Coding) -> Option<usize> {
    PREFERRED.iter().position(|preferred| *preferred == coding)
}

/// The coding, if it is one.
pub(super) fn is_one(coding: Coding) -> Option<Coding> {
    cell_of(coding).map(|_| coding)
}

impl Codings {
    fn cell(&self, coding: Coding) -> Option<&OnceCell<Option<Box<Coded>>>> {
        self.made.get(cell_of(coding)?)
    }

    /// The coding, if it is one and has not been made yet.
    pub(super) fn lacks(&self, coding: Coding) -> Option<Coding> {
        self.cell(coding)?.get().is_none().then_some(coding)
    }

    /// What has been made in this coding; none = send the answer as it is.
    pub(super) fn made(&self, coding: Coding) -> Option<&Coded> {
        self.cell(coding)?.get()?.as_deref()
    }

    /// Bytes they occupy.
    pub(super) fn size(&self) -> usize {
        OVERHEAD + self.size.load(Ordering::Relaxed)
    }

    /// Makes one of an answer with this head and body, on a thread where that harms nobody; whoever
    /// comes meanwhile waits for it. Without room it is not made, this time.
    pub(super) async fn make(&self, coding: Coding, head: &Bytes, body: &Bytes, mut room: Held) {
        let Some(cell) = self.cell(coding) else { return };
        let made = async {
            if room.grow(body.len()) == Grown::No {
                return Err(NoRoom);
            }
            let body = body.clone();
            let encoded = tokio::task::spawn_blocking(move || encode(&body, coding)).await;
            let Some(body) = encoded.ok().flatten() else { return Ok(None) };
            let coded = coded(coding, &body, head::read(head), room);
            if let Some(coded) = &coded {
                let size = EACH + occupied(coded.head.len() + coded.body.len());
                self.size.fetch_add(size, Ordering::Relaxed);
            }
            Ok(coded.map(Box::new))
        };
        // Without room the answer is sent as it is.
        drop(cell.get_or_try_init(|| made).await);
    }
}
