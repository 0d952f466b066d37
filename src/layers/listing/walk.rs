//! One page after the other.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{self, HeaderMap};
use http::{Method, Response, StatusCode};
use tower::{Service, ServiceExt as _};

use super::Memory;
use super::answer::Told;
use crate::clock::Clock;
use crate::error::{GatewayError, QuotaFields};
use crate::http::{Body, Gathered, Room, gather};
use crate::metrics::CacheResult;
use crate::policy::cache_key::CacheKey;
use crate::policy::endpoint::{PageTokenRule, WholeRule};
use crate::policy::listing::{
    Extent, ListingFault, Merge, fits, may_restart, most_in, refuses_token, rest,
};
use crate::policy::quota::Mode;
use crate::request::{RoutedRequest, Spent};
use crate::upstream::UpstreamError;

/// A walk through a listing for one request.
pub(super) struct Walk<S> {
    inner: S,
    memory: Memory,
    clock: Clock,
    asked: RoutedRequest,
    /// Of the requests for pages.
    headers: HeaderMap,
    token: PageTokenRule,
    whole: WholeRule,
    began: Instant,
    /// Tokens, given up walks included.
    spent: u32,
    /// Pages that were paid for, and the quickest answer among them.
    paid: u32,
    fastest: Option<Duration>,
}

/// How a walk ended.
pub(super) enum Outcome {
    /// All of it.
    Whole(Response<Body>),
    /// The upstream's error about one of the pages.
    Refused(Response<Body>),
}

/// How one pass from the first page ended.
enum Pass {
    Ended(Outcome),
    /// The token that a page named is worth nothing.
    TokenRefused {
        answer: Response<Body>,
        walked: HashSet<Arc<CacheKey>>,
    },
}

impl<S> Walk<S> {
    /// None if the endpoint has no rule for it.
    pub(super) fn new(
        inner: S,
        memory: Memory,
        clock: Clock,
        asked: RoutedRequest,
    ) -> Option<Self> {
        let (token, whole) = asked.route.endpoint.whole()?;
        let (token, whole, began) = (token.clone(), whole.clone(), clock.now());
        let headers = for_pages(&asked.headers);
        let (spent, paid, fastest) = (0, 0, None);
        Some(Self {
            inner,
            memory,
            clock,
            asked,
            headers,
            token,
            whole,
            began,
            spent,
            paid,
            fastest,
        })
    }
}

impl<S> Walk<S>
where
    S: Service<RoutedRequest, Response = Response<Body>, Error = GatewayError> + Clone + Send,
    S::Future: Send,
{
    /// To the last page; once more from the first, if a token is refused on the way.
    pub(super) async fn run(mut self) -> Result<Outcome, GatewayError> {
        let outcome = match self.pass().await? {
            Pass::TokenRefused { walked, .. } if self.may_restart() => {
                for key in &walked {
                    self.memory.forget(key);
                }
                self.pass().await?
            }
            pass => pass,
        };
        Ok(match outcome {
            Pass::Ended(outcome) => outcome,
            Pass::TokenRefused { answer, .. } => Outcome::Refused(answer),
        })
    }

    fn may_restart(&self) -> bool {
        let now = self.clock.now();
        may_restart(now.saturating_duration_since(self.began), self.time_left(now))
    }

    fn time_left(&self, now: Instant) -> Duration {
        self.asked.deadline.saturating_duration_since(now)
    }

    async fn pass(&mut self) -> Result<Pass, GatewayError> {
        let mut merge = Merge::new(&self.token, &self.whole);
        let (mut told, mut estimate, mut walked) = (Told::default(), None, HashSet::new());
        let mut key = Arc::clone(&self.asked.key);
        loop {
            let answer = self.ask(&key, &mut told).await?;
            let status = answer.status();
            if status != StatusCode::OK {
                return self.not_a_page(answer, merge.pages() + 1, walked);
            }
            let body = self.read(answer.into_body()).await?;
            let page = merge.add(&body)?;
            let pages = merge.pages();
            if pages == 1 {
                estimate = page.counts.estimate();
            }
            let Some(next) = page.next else {
                let answer = told.answer(&self.asked, merge.finish(), pages, self.spent);
                return Ok(Pass::Ended(Outcome::Whole(answer)));
            };
            let next = self.asked.key.parameters().with(&self.token.request, &next);
            let next = Arc::new(self.asked.key.asking(next));
            walked.insert(key);
            if walked.contains(&next) {
                let why = "it names one before it as the next";
                return Err(ListingFault::Unusable { page: pages, why }.into());
            }
            self.go_on(pages, estimate, &next)?;
            key = next;
            // Pages from memory wait for nothing: others shall have their turn all the same.
            tokio::task::yield_now().await;
        }
    }

    /// An answer that has no items. A success is nothing that all pages could be answered with.
    fn not_a_page(
        &self,
        mut answer: Response<Body>,
        page: u32,
        walked: HashSet<Arc<CacheKey>>,
    ) -> Result<Pass, GatewayError> {
        if answer.status().is_success() {
            let why = "its status is not 200";
            return Err(ListingFault::Unusable { page, why }.into());
        }
        if self.asked.method == Method::HEAD {
            *answer.body_mut() = Body::Empty;
        }
        if page > 1 && refuses_token(answer.status()) {
            return Ok(Pass::TokenRefused { answer, walked });
        }
        Ok(Pass::Ended(Outcome::Refused(answer)))
    }

    /// Asks for one page as any client would, and notes what it has cost.
    async fn ask(
        &mut self,
        key: &Arc<CacheKey>,
        told: &mut Told,
    ) -> Result<Response<Body>, GatewayError> {
        let asked_at = self.clock.now();
        if asked_at >= self.asked.deadline {
            return Err(GatewayError::Deadline);
        }
        let request = self.page(key);
        let until = self.clock.timer(self.asked.deadline);
        let answer = tokio::time::timeout_at(until, self.inner.clone().oneshot(request)).await;
        let answer = answer.unwrap_or(Err(GatewayError::Deadline))?;
        let source = self.asked.record.cache().unwrap_or(CacheResult::Miss);
        let spent = match answer.extensions().get::<Spent>() {
            Some(Spent(tokens)) => *tokens,
            None => u32::from(self.asked.route.label.is_some() && is_paid(source)),
        };
        if spent > 0 {
            let took = self.clock.now().saturating_duration_since(asked_at);
            self.fastest = Some(self.fastest.map_or(took, |fastest| fastest.min(took)));
            self.paid += 1;
            self.spent += spent;
        }
        told.page(&answer, source);
        Ok(answer)
    }

    /// The request for a page, as any client could send it.
    fn page(&self, key: &Arc<CacheKey>) -> RoutedRequest {
        let asked = &self.asked;
        RoutedRequest {
            method: Method::GET,
            route: Arc::clone(&asked.route),
            client: Arc::clone(&asked.client),
            key: Arc::clone(key),
            headers: self.headers.clone(),
            body: Body::Empty,
            max_body_bytes: asked.max_body_bytes,
            max_flights: asked.max_flights,
            world: Arc::clone(&asked.world),
            deadline: asked.deadline,
            record: Arc::clone(&asked.record),
            extent: Extent::Page,
        }
    }

    async fn read(&mut self, body: Body) -> Result<Bytes, GatewayError> {
        let max_bytes = self.whole.max_bytes;
        let until = self.clock.timer(self.asked.deadline);
        match tokio::time::timeout_at(until, gather(body, max_bytes, Room::unbounded().part()))
            .await
        {
            Ok(Ok(Gathered::Whole(body, _))) => Ok(body),
            Ok(Ok(Gathered::TooLarge(_) | Gathered::NoRoom(_))) => {
                Err(ListingFault::TooLarge { max_bytes }.into())
            }
            Ok(Err(error)) => Err(match error.downcast_ref::<UpstreamError>() {
                Some(error) => error.clone().into(),
                None => GatewayError::FlightLost,
            }),
            Err(_elapsed) => Err(GatewayError::Deadline),
        }
    }

    /// Whether all that is still needed can be had, as far as is known: nothing is spent on a
    /// listing that would be given up half-way. What is in memory asks for nothing.
    fn go_on(
        &self,
        pages: u32,
        estimate: Option<u64>,
        next: &Arc<CacheKey>,
    ) -> Result<(), GatewayError> {
        let rest = rest(pages, estimate);
        let (at_least, max_pages) = (rest.saturating_add(pages.into()), self.whole.max_pages);
        if at_least > u64::from(max_pages) {
            return Err(ListingFault::TooLong { pages: at_least, max_pages }.into());
        }
        if self.memory.has(next, &self.headers) {
            return Ok(());
        }
        let label = self.asked.route.label.as_ref();
        let left = self.time_left(self.clock.now());
        let holding = label.filter(|label| label.spec.mode == Mode::Enforce);
        let most = holding.and_then(|label| most_in(label.spec.windows.iter().copied(), left));
        // The first may have had to make the connection.
        let fastest = self.fastest.filter(|_| self.paid > 1);
        if !fits(rest, most, fastest, left) {
            return Err(ListingFault::NoTime { rest }.into());
        }
        let Some(label) = label else { return Ok(()) };
        let limiter = &self.asked.route.upstream.limiter;
        let count = u32::try_from(rest).unwrap_or(u32::MAX);
        let pays = limiter.day_pays(label.index, &self.asked.client.share, count);
        pays.map_err(|refused| {
            let quota = QuotaFields::of(&label.spec.id, &limiter.budget(label.index));
            GatewayError::Unaffordable { rest, refused, quota: Arc::new(quota) }
        })
    }
}

/// Whether an answer cost a token, where it does not say so itself.
fn is_paid(source: CacheResult) -> bool {
    match source {
        CacheResult::Miss | CacheResult::Bypass | CacheResult::Revalidated => true,
        CacheResult::Hit | CacheResult::Stale | CacheResult::Collapsed => false,
    }
}

/// The fields of the requests for pages: whole, unconditional and uncoded ones, whatever the client
/// sent.
fn for_pages(asked: &HeaderMap) -> HeaderMap {
    let mut headers = asked.clone();
    for name in [
        header::IF_MATCH,
        header::IF_NONE_MATCH,
        header::IF_MODIFIED_SINCE,
        header::IF_UNMODIFIED_SINCE,
        header::IF_RANGE,
        header::RANGE,
        header::ACCEPT_ENCODING,
        header::CONTENT_LENGTH,
        header::CONTENT_TYPE,
        header::CONTENT_ENCODING,
        header::EXPECT,
    ] {
        headers.remove(name);
    }
    headers
}
