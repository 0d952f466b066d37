//! A stored answer in other codings: each made when first asked for, once, and kept.

use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, ETAG, HeaderMap, HeaderValue};
use tokio::sync::OnceCell;

use crate::policy::coding::{Coding, PREFERRED, etag_of};
use crate::store::encode::encode;

/// The codings of one answer.
#[derive(Debug, Default)]
pub(super) struct Codings {
    /// By place in `PREFERRED`; none within = it would not be smaller.
    made: [OnceCell<Option<Coded>>; PREFERRED.len()],
    size: AtomicUsize,
}

/// An answer's content in a coding, with the fields that differ.
#[derive(Debug)]
pub(super) struct Coded {
    coding: HeaderValue,
    etag: HeaderValue,
    body: Bytes,
}

impl Coded {
    pub(super) fn body(&self) -> &Bytes {
        &self.body
    }

    pub(super) fn etag(&self) -> &HeaderValue {
        &self.etag
    }

    /// RFC 9110, section 8.8.3.3: another coding has another tag.
    pub(super) fn onto(&self, headers: &mut HeaderMap) {
        headers.insert(CONTENT_ENCODING, self.coding.clone());
        headers.insert(CONTENT_LENGTH, HeaderValue::from(self.body.len()));
        headers.insert(ETAG, self.etag.clone());
    }
}

impl Codings {
    fn cell(&self, coding: Coding) -> Option<&OnceCell<Option<Coded>>> {
        let place = PREFERRED.iter().position(|preferred| *preferred == coding)?;
        self.made.get(place)
    }

    /// The coding, if it is one and has not been made yet.
    pub(super) fn lacks(&self, coding: Coding) -> Option<Coding> {
        self.cell(coding)?.get().is_none().then_some(coding)
    }

    /// What has been made in this coding; none = send the answer as it is.
    pub(super) fn made(&self, coding: Coding) -> Option<&Coded> {
        self.cell(coding)?.get()?.as_ref()
    }

    /// Bytes they occupy.
    pub(super) fn size(&self) -> usize {
        self.size.load(Ordering::Relaxed)
    }

    /// Makes one, on a thread where that harms nobody; whoever comes meanwhile waits for it.
    pub(super) async fn make(&self, coding: Coding, body: Bytes, etag: Option<&HeaderValue>) {
        let (Some(cell), Some(field)) = (self.cell(coding), coding.field()) else { return };
        let made = async {
            let encoded = tokio::task::spawn_blocking(move || encode(&body, coding)).await;
            let body = encoded.ok().flatten()?;
            let etag = etag_of(etag?, coding);
            self.size.fetch_add(body.len() + size_of::<Coded>(), Ordering::Relaxed);
            Some(Coded { coding: field, etag, body })
        };
        cell.get_or_init(|| made).await;
    }
}
