//! A whole listing in one answer: who asks for it, how long it is, whether it can be had, and how
//! its pages become one (`merge`).

use std::time::Duration;

use http::{Method, StatusCode};

use super::endpoint::Endpoint;
use super::params::{BadParameter, bad, parse_query};
use super::quota::WindowSpec;

mod merge;

pub use merge::{Merge, Page};

/// How much of a listing a request asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Extent {
    /// What the upstream answers to it.
    #[default]
    Page,
    /// All pages, in one answer.
    Whole,
}

impl Extent {
    /// Reads it off the raw query. Where an endpoint has no rule for it, no parameter means it.
    ///
    /// Whatever else the rule's parameter says is refused: who misspells it would take the first
    /// page for the whole.
    pub fn asked(
        endpoint: &Endpoint,
        method: &Method,
        query: Option<&str>,
    ) -> Result<Self, BadParameter> {
        let (Some((token, whole)), Some(query)) = (endpoint.whole(), query) else {
            return Ok(Self::Page);
        };
        let name = whole.parameter.as_str();
        let query = parse_query(query)?;
        let query = query.as_slice();
        let mut given = query.iter().filter(|(n, _)| n == name).map(|(_, value)| value);
        let Some(value) = given.next() else { return Ok(Self::Page) };
        if given.next().is_some() {
            return Err(bad(name, "is given more than once"));
        }
        if *value != whole.value {
            return Err(bad(name, format!("must be {}, for all pages in one answer", whole.value)));
        }
        if method != Method::GET && method != Method::HEAD {
            return Err(bad(name, "is for GET and HEAD"));
        }
        if query.iter().any(|(n, value)| *n == token.request && !value.is_empty()) {
            let why =
                format!("cannot be given with {name}={value}, which begins at the first page");
            return Err(bad(&token.request, why));
        }
        Ok(Self::Whole)
    }
}

/// Why a whole listing cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ListingFault {
    /// More pages than the rule allows.
    #[error(
        "the listing has {pages} pages at least, more than max_pages = {max_pages}: ask for larger \
         pages, ask page by page, or raise the endpoint's page_token.all.max_pages"
    )]
    TooLong {
        /// As far as is known.
        pages: u64,
        /// The rule's.
        max_pages: u32,
    },
    /// More bytes than the rule allows.
    #[error(
        "the listing is larger than max_bytes = {max_bytes}: ask page by page, or raise the \
         endpoint's page_token.all.max_bytes"
    )]
    TooLarge {
        /// The rule's.
        max_bytes: usize,
    },
    /// The label's pace or the upstream's does not allow so many in the time that is left.
    #[error(
        "{rest} more pages do not fit into what is left of the request's time: ask for larger \
         pages, or page by page"
    )]
    NoTime {
        /// How many are still needed.
        rest: u64,
    },
    /// A page that is not what the rule says.
    #[error("page {page} of the listing cannot be used: {why}")]
    Unusable {
        /// Which, from 1.
        page: u32,
        /// What is wrong with it.
        why: &'static str,
    },
}

/// What the first page says of the whole listing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// `page_count`
    pub pages: Option<u64>,
    /// `total_records`
    pub records: Option<u64>,
    /// `page_size`
    pub size: Option<u64>,
    /// How many items it holds itself.
    pub items: u64,
}

impl Counts {
    /// How many pages there are, if that can be told.
    pub fn estimate(&self) -> Option<u64> {
        let size = self.size.filter(|size| *size > 0).or((self.items > 0).then_some(self.items));
        self.pages.or_else(|| Some(self.records?.div_ceil(size?)))
    }
}

/// How many pages are still needed after one that names a next: at least that.
pub fn rest(walked: u32, estimate: Option<u64>) -> u64 {
    estimate.unwrap_or(0).saturating_sub(u64::from(walked)).max(1)
}

/// The most that can leave through all of these windows in a time, whatever has left before.
pub fn most_in(windows: impl IntoIterator<Item = WindowSpec>, time: Duration) -> Option<u64> {
    let most = |window: WindowSpec| {
        let whole = time.as_nanos() / window.per.as_nanos().max(1);
        let begun = u64::try_from(whole).unwrap_or(u64::MAX).saturating_add(1);
        begun.saturating_mul(u64::from(window.limit.get()))
    };
    windows.into_iter().map(most).min()
}

/// Whether so many more pages can be asked for one after the other in a time: `fastest` is the
/// quickest answer so far, `most` what the label lets through.
pub fn fits(rest: u64, most: Option<u64>, fastest: Option<Duration>, time: Duration) -> bool {
    let slowly = |each: Duration| u32::try_from(rest).ok().and_then(|rest| each.checked_mul(rest));
    most.is_none_or(|most| rest <= most)
        && fastest.is_none_or(|each| slowly(each).is_some_and(|needed| needed <= time))
}

/// Whether the answer to a later page says that its token is worth nothing: all else in the
/// question was good enough for the first.
pub fn refuses_token(status: StatusCode) -> bool {
    matches!(status, StatusCode::BAD_REQUEST | StatusCode::GONE | StatusCode::UNPROCESSABLE_ENTITY)
}

/// Whether there is time for another walk from the first page, which will hardly take less.
pub fn may_restart(taken: Duration, left: Duration) -> bool {
    taken <= left
}

#[cfg(test)]
mod tests;
