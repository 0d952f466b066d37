//! Pure decisions: no IO, no clock, no async, no logging, no globals.
//!
//! `now` is a parameter and the last one; answers are enums; the caller acts in one `match`.

pub mod answer_framing;
pub mod answer_head;
pub mod authority;
pub mod breaker;
pub mod cache_key;
pub mod certificate;
pub mod coding;
pub mod condition;
pub mod credential;
pub mod cross_site;
pub mod day;
pub mod directives;
pub mod endpoint;
pub mod etag;
pub mod fair_queue;
pub mod feedback;
pub mod frames;
pub mod framing;
pub mod freshness;
mod id;
pub mod identity;
pub mod invalidate;
pub mod jwks;
pub mod listing;
pub mod oauth2;
pub mod pace;
pub mod page;
pub mod params;
pub mod patience;
pub mod permission;
pub mod quota;
pub mod range;
pub mod reach;
pub mod respect;
pub mod retry;
pub mod rounds;
pub mod route;
pub mod share;
pub mod spelling;
pub mod telltale;
pub mod token;
pub mod trust;
pub mod vary;
pub mod via;
pub mod window;
