//! Tokens that cost a round trip: one refresh in flight, whoever asks.
//!
//! The refresh runs in a task of its own, so a caller who hangs up harms nobody. While the old token
//! serves, nobody waits; a refresh that fails then is tried again after a pause.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Method, Request, Uri};
use http_body_util::Full;
use parking_lot::Mutex;
use secrecy::zeroize::Zeroize as _;
use tokio::sync::watch;

use super::{AuthError, Generation, Renewable, Slot, TokenClient, basic, bearer};
use crate::clock::Clock;
use crate::policy::credential::{
    CredentialId, FAILURE_MEMORY, FailedRenewal, Grant, TokenLife, TokenPlan,
};
use crate::policy::oauth2::{TokenAnswer, client_user_pass};
use crate::secret::Secret;

/// The prepared request for a token.
pub(super) struct Asks {
    url: Uri,
    client: Result<HeaderValue, AuthError>,
    form: Bytes,
}

impl Asks {
    pub(super) fn new(url: Uri, id: &Secret, secret: &Secret, grant: &Grant) -> Self {
        Self { url, client: basic(&client_user_pass(id, secret)), form: grant.form().into() }
    }

    fn request(&self) -> Result<Request<Full<Bytes>>, AuthError> {
        let mut request = Request::new(Full::new(self.form.clone()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.url.clone();
        let form = HeaderValue::from_static("application/x-www-form-urlencoded");
        let headers = request.headers_mut();
        headers.insert(header::AUTHORIZATION, self.client.clone()?);
        headers.insert(header::CONTENT_TYPE, form);
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        Ok(request)
    }
}

type Outcome = Result<(), AuthError>;

pub(super) struct OAuth2 {
    id: CredentialId,
    asks: Asks,
    clock: Clock,
    http: TokenClient,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    slot: Slot,
    /// Tells how the refresh in flight ends; its sender is gone when there is none.
    refresh: Option<watch::Receiver<Option<Outcome>>>,
    failed: Option<(FailedRenewal, AuthError)>,
    rejected: Option<Instant>,
}

impl OAuth2 {
    pub(super) fn new(id: CredentialId, asks: Asks, clock: Clock, http: TokenClient) -> Self {
        Self { id, asks, clock, http, state: Mutex::default() }
    }

    pub(super) async fn ready(self: &Arc<Self>, deadline: Instant) -> Outcome {
        let Some(mut refresh) = self.refresh_to_await()? else { return Ok(()) };
        let deadline = self.clock.timer(deadline);
        match tokio::time::timeout_at(deadline, refresh.wait_for(Option::is_some)).await {
            Err(_elapsed) => Err(AuthError::Deadline),
            Ok(Err(_closed)) => Err(AuthError::TokenEndpointUnreachable("cancelled")),
            Ok(Ok(outcome)) => outcome.unwrap_or(Ok(())),
        }
    }

    fn refresh_to_await(
        self: &Arc<Self>,
    ) -> Result<Option<watch::Receiver<Option<Outcome>>>, AuthError> {
        let now = self.clock.now();
        let mut state = self.state.lock();
        let token = state.slot.state(self.clock.wall());
        match TokenPlan::of(token, state.failed.as_ref().map(|(failed, _)| failed), now) {
            TokenPlan::Use => Ok(None),
            TokenPlan::UseAndRenew => {
                self.start_or_join(&mut state);
                Ok(None)
            }
            TokenPlan::Await => Ok(Some(self.start_or_join(&mut state))),
            TokenPlan::Refuse => match state.failed {
                Some((_, error)) => Err(error),
                None => Err(AuthError::NotReady),
            },
        }
    }

    fn start_or_join(self: &Arc<Self>, state: &mut State) -> watch::Receiver<Option<Outcome>> {
        // The sender of a task that was cut off is gone, although the receiver still stands here.
        match &state.refresh {
            Some(refresh) if refresh.has_changed().is_ok() => refresh.clone(),
            _ => {
                let (report, refresh) = watch::channel(None);
                state.refresh = Some(refresh.clone());
                tokio::spawn(Arc::clone(self).refresh(report));
                refresh
            }
        }
    }

    async fn refresh(self: Arc<Self>, report: watch::Sender<Option<Outcome>>) {
        // The token lives from some moment after this one.
        let asked = self.clock.wall();
        let answer = self.fetch().await;
        let mut state = self.state.lock();
        state.refresh = None;
        let outcome = match answer {
            Ok((value, answer)) => {
                let life = TokenLife::fetched(answer.lifetime, fastrand::f64(), asked);
                state.slot.put(value, life);
                state.failed = None;
                Ok(())
            }
            Err(error) => {
                let previous = state.failed.as_ref().map(|(failed, _)| failed);
                let failed = FailedRenewal::after(previous, fastrand::f64(), self.clock.now());
                state.failed = Some((failed, error));
                tracing::warn!(credential = %self.id, %error, "no token");
                Err(error)
            }
        };
        report.send_replace(Some(outcome));
    }

    async fn fetch(&self) -> Result<(HeaderValue, TokenAnswer), AuthError> {
        let answer =
            (self.http)(self.asks.request()?).await.map_err(AuthError::TokenEndpointUnreachable)?;
        if !answer.status().is_success() {
            return Err(AuthError::TokenEndpoint { status: answer.status().as_u16() });
        }
        let body = answer.into_body();
        let answer = TokenAnswer::parse(&body);
        // It holds the token, and perhaps others. Where it is ours alone it is wiped.
        if let Ok(mut body) = body.try_into_mut() {
            body.as_mut().zeroize();
        }
        let answer = answer.ok_or(AuthError::BadTokenAnswer)?;
        Ok((bearer(answer.token.expose())?, answer))
    }

    pub(super) fn token(&self) -> Option<(HeaderValue, Generation)> {
        self.state.lock().slot.usable(self.clock.wall())
    }

    /// An upstream that refuses the next token too does not mind the token's age: within a moment
    /// of one rejection another changes nothing, or every refused request would cost a refresh.
    pub(super) fn reject(&self, generation: Generation) -> Renewable {
        let now = self.clock.now();
        let mut state = self.state.lock();
        if !state.slot.holds(generation) {
            return Renewable::Retry;
        }
        if state.rejected.is_some_and(|at| now.saturating_duration_since(at) < FAILURE_MEMORY) {
            return Renewable::Final;
        }
        state.rejected = Some(now);
        state.slot.discard(generation);
        Renewable::Retry
    }
}
