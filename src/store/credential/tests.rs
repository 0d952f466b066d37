use std::sync::atomic::{AtomicU32, Ordering};
use std::time::UNIX_EPOCH;

use http::{Response, StatusCode, Uri};
use http_body_util::BodyExt as _;
use tokio::sync::Semaphore;

use super::*;
use crate::policy::credential::Grant;

fn clock() -> Clock {
    Clock::starting_at(UNIX_EPOCH + Duration::from_secs(1_700_000_000))
}

fn credential(scheme: AuthScheme, clock: &Clock) -> Credential {
    let http: TokenClient = Arc::new(|_| unreachable!("nothing to fetch"));
    Credential::new(CredentialId::new("c"), scheme, clock.clone(), http)
}

fn soon(clock: &Clock) -> Instant {
    clock.now() + Duration::from_secs(5)
}

fn sent(credential: &Credential) -> (String, Generation) {
    let mut headers = HeaderMap::new();
    let generation = credential.apply(&mut headers).unwrap();
    assert!(headers[header::AUTHORIZATION].is_sensitive());
    (headers[header::AUTHORIZATION].to_str().unwrap().to_owned(), generation)
}

#[tokio::test]
async fn whatever_the_client_sent_is_removed_and_ours_put_in() {
    let clock = clock();
    let secret = Secret::new;
    for (scheme, name, value) in [
        (AuthScheme::Bearer { token: secret("t") }, "authorization", "Bearer t"),
        (
            AuthScheme::Basic { username: secret("Aladdin"), password: secret("open sesame") },
            "authorization",
            "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
        ),
        (
            AuthScheme::Header { name: "x-api-key".parse().unwrap(), value: secret("v") },
            "x-api-key",
            "v",
        ),
    ] {
        let credential = credential(scheme, &clock);
        credential.ready(soon(&clock)).await.unwrap();
        let mut headers = HeaderMap::new();
        for theirs in ["authorization", "proxy-authorization", "cookie", "x-api-key", "accept"] {
            let field: HeaderName = theirs.parse().unwrap();
            headers.append(field.clone(), HeaderValue::from_static("theirs"));
            headers.append(field, HeaderValue::from_static("theirs too"));
        }
        let generation = credential.apply(&mut headers).unwrap();
        let ours: Vec<_> = headers.get_all(name).iter().map(|v| v.to_str().unwrap()).collect();
        assert_eq!(ours, [value], "{credential:?}");
        for gone in ["authorization", "proxy-authorization", "cookie"] {
            assert!(gone == name || !headers.contains_key(gone), "{credential:?} {gone}");
        }
        assert_eq!(headers.get_all("accept").iter().count(), 2);
        assert!(headers.get(name).is_none_or(HeaderValue::is_sensitive));
        assert_eq!(credential.reject(generation), Renewable::Final);
    }
}

#[tokio::test]
async fn where_there_is_none_of_ours_the_clients_is_the_upstreams_business() {
    let credential = credential(AuthScheme::None, &clock());
    let mut headers = HeaderMap::new();
    for theirs in ["authorization", "proxy-authorization", "cookie"] {
        headers.insert(theirs.parse::<HeaderName>().unwrap(), HeaderValue::from_static("x"));
    }
    credential.apply(&mut headers).unwrap();
    let left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
    assert_eq!(left, ["authorization"]);
}

#[tokio::test]
async fn a_secret_that_no_header_can_hold_is_an_error_without_the_secret() {
    let clock = clock();
    let credential = credential(AuthScheme::Bearer { token: Secret::new("hunter\n2") }, &clock);
    assert_eq!(credential.ready(soon(&clock)).await, Err(AuthError::NotAHeaderValue));
    let mut headers = HeaderMap::from_iter([(header::COOKIE, HeaderValue::from_static("a=b"))]);
    let error = credential.apply(&mut headers).unwrap_err();
    assert!(headers.is_empty());
    assert!(!format!("{error} {error:?} {credential:?}").contains("hunter"));
}

fn jwt_scheme() -> AuthScheme {
    AuthScheme::Jwt {
        key: Secret::new("the-key"),
        secret: Secret::new("the-secret"),
        lifetime: Duration::from_hours(1),
    }
}

#[tokio::test(start_paused = true)]
async fn a_jwt_is_minted_once_and_again_well_before_it_expires() {
    let clock = clock();
    let credential = credential(jwt_scheme(), &clock);
    credential.ready(soon(&clock)).await.unwrap();
    let (first, generation) = sent(&credential);

    let mut validation = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::HS256);
    validation.validate_exp = false;
    let claims = jsonwebtoken::decode::<serde_json::Value>(
        first.strip_prefix("Bearer ").unwrap(),
        &jsonwebtoken::DecodingKey::from_secret(b"the-secret"),
        &validation,
    );
    assert_eq!(
        claims.unwrap().claims,
        serde_json::json!({"iss": "the-key", "iat": 1_699_999_940, "exp": 1_700_003_600})
    );

    clock.advance(Duration::from_secs(2879));
    assert_eq!(sent(&credential), (first.clone(), generation));
    clock.advance(Duration::from_secs(1));
    let (second, next) = sent(&credential);
    assert!(second != first && next > generation);
}

#[tokio::test(start_paused = true)]
async fn a_rejected_jwt_is_minted_anew_once() {
    let clock = clock();
    let credential = credential(jwt_scheme(), &clock);
    let (_, first) = sent(&credential);
    assert_eq!(credential.reject(first), Renewable::Retry);
    let (_, second) = sent(&credential);
    assert!(second > first);
    assert_eq!(credential.reject(first), Renewable::Retry);
    assert_eq!(sent(&credential).1, second);
}

/// Status and body, or why there is none.
type Answer = Result<(u16, &'static str), &'static str>;

/// A token endpoint that answers in turn, each time once it is let.
#[derive(Clone)]
struct Endpoint {
    calls: Arc<AtomicU32>,
    gate: Arc<Semaphore>,
    answers: Arc<Mutex<Vec<Answer>>>,
}

const TOKEN: Answer =
    Ok((200, r#"{"access_token":"tok-N","token_type":"bearer","expires_in":1000}"#));

impl Endpoint {
    fn new(answers: &[Answer]) -> Self {
        let mut answers = answers.to_vec();
        answers.reverse();
        Self {
            calls: Arc::default(),
            gate: Arc::new(Semaphore::new(1_000)),
            answers: Arc::new(Mutex::new(answers)),
        }
    }

    fn credential(&self, clock: &Clock) -> Credential {
        let endpoint = self.clone();
        let http: TokenClient = Arc::new(move |request| {
            let endpoint = endpoint.clone();
            let call = endpoint.calls.fetch_add(1, Ordering::SeqCst) + 1;
            Box::pin(async move {
                assert_eq!(request.method(), "POST");
                assert_eq!(request.uri(), "https://zoom.us/oauth/token");
                assert_eq!(
                    request.headers()[header::AUTHORIZATION],
                    "Basic aWQ6Y2xpZW50LXNlY3JldA=="
                );
                assert!(request.headers()[header::AUTHORIZATION].is_sensitive());
                assert_eq!(
                    request.headers()[header::CONTENT_TYPE],
                    "application/x-www-form-urlencoded"
                );
                let form = request.into_body().collect().await.unwrap().to_bytes();
                assert_eq!(form, "grant_type=account_credentials&account_id=acc");
                endpoint.gate.acquire().await.unwrap().forget();
                let (status, body) = endpoint.answers.lock().pop().unwrap_or(Err("spent"))?;
                let mut response = Response::new(Bytes::from(body.replace('N', &call.to_string())));
                *response.status_mut() = StatusCode::from_u16(status).unwrap();
                Ok(response)
            })
        });
        let scheme = AuthScheme::OAuth2 {
            token_url: Uri::from_static("https://zoom.us/oauth/token"),
            client_id: Secret::new("id"),
            client_secret: Secret::new("client-secret"),
            grant: Grant::AccountCredentials { account_id: "acc".into() },
        };
        Credential::new(CredentialId::new("zoom"), scheme, clock.clone(), http)
    }

    fn calls(&self) -> u32 {
        self.calls.load(Ordering::SeqCst)
    }

    fn close(&self) {
        self.gate.forget_permits(1_000);
    }
}

async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn any_number_of_callers_share_one_refresh_and_one_who_hangs_up_harms_nobody() {
    let (clock, endpoint) = (clock(), Endpoint::new(&[TOKEN]));
    endpoint.close();
    let credential = endpoint.credential(&clock);
    assert_eq!(credential.apply(&mut HeaderMap::new()), Err(AuthError::NotReady));

    let leader = tokio::spawn({
        let (credential, deadline) = (credential.clone(), soon(&clock));
        async move { credential.ready(deadline).await }
    });
    settle().await;
    assert_eq!(endpoint.calls(), 1);
    let waiters: Vec<_> = (0..50)
        .map(|_| {
            let (credential, deadline) = (credential.clone(), soon(&clock));
            tokio::spawn(async move { credential.ready(deadline).await })
        })
        .collect();
    settle().await;
    leader.abort();
    endpoint.gate.add_permits(1);
    for waiter in waiters {
        waiter.await.unwrap().unwrap();
    }
    assert_eq!(endpoint.calls(), 1);
    assert_eq!(sent(&credential).0, "Bearer tok-1");
}

#[tokio::test(start_paused = true)]
async fn a_caller_waits_no_longer_than_its_deadline() {
    let (clock, endpoint) = (clock(), Endpoint::new(&[TOKEN]));
    endpoint.close();
    let credential = endpoint.credential(&clock);
    let start = clock.now();
    let deadline = start + Duration::from_millis(300);
    assert_eq!(credential.ready(deadline).await, Err(AuthError::Deadline));
    assert_eq!(clock.now() - start, Duration::from_millis(300));
    endpoint.gate.add_permits(1);
    credential.ready(soon(&clock)).await.unwrap();
    assert_eq!(endpoint.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_ageing_token_is_renewed_behind_the_callers_back() {
    let (clock, endpoint) = (clock(), Endpoint::new(&[TOKEN, TOKEN]));
    let credential = endpoint.credential(&clock);
    credential.ready(soon(&clock)).await.unwrap();
    clock.advance(Duration::from_secs(749));
    credential.ready(soon(&clock)).await.unwrap();
    settle().await;
    assert_eq!(endpoint.calls(), 1);

    endpoint.close();
    clock.advance(Duration::from_secs(101));
    for _ in 0..10 {
        credential.ready(clock.now()).await.unwrap();
        settle().await;
    }
    assert_eq!((endpoint.calls(), sent(&credential).0.as_str()), (2, "Bearer tok-1"));
    endpoint.gate.add_permits(1);
    settle().await;
    assert_eq!(sent(&credential).0, "Bearer tok-2");
}

#[tokio::test(start_paused = true)]
async fn an_expired_token_is_never_injected() {
    let (clock, endpoint) = (clock(), Endpoint::new(&[TOKEN]));
    let credential = endpoint.credential(&clock);
    credential.ready(soon(&clock)).await.unwrap();
    clock.advance(Duration::from_secs(990));
    assert_eq!(credential.apply(&mut HeaderMap::new()), Err(AuthError::NotReady));
    assert!(credential.ready(soon(&clock)).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_failed_renewal_is_no_error_while_the_old_token_serves_and_is_tried_again() {
    let (clock, endpoint) =
        (clock(), Endpoint::new(&[TOKEN, Err("connect"), Ok((500, "")), TOKEN]));
    let credential = endpoint.credential(&clock);
    credential.ready(soon(&clock)).await.unwrap();
    clock.advance(Duration::from_secs(860));
    let mut calls = Vec::new();
    for _ in 0..12 {
        credential.ready(soon(&clock)).await.unwrap();
        settle().await;
        calls.push(endpoint.calls());
        clock.advance(Duration::from_millis(500));
    }
    assert_eq!(calls[0], 2);
    assert_eq!(calls[11], 4, "{calls:?}");
    // paused at least half a second after the first failure and a whole one after the second
    let first_with = |n| calls.iter().position(|&c| c == n).unwrap();
    assert!(first_with(3) >= 1 && first_with(4) >= first_with(3) + 2, "{calls:?}");
    assert_eq!(sent(&credential).0, "Bearer tok-4");
}

#[tokio::test(start_paused = true)]
async fn failures_are_typed_remembered_for_a_moment_and_tell_nothing() {
    for (answer, error) in [
        (Ok((401, "hunter2")), AuthError::TokenEndpoint { status: 401 }),
        (Err("connect_timeout"), AuthError::TokenEndpointUnreachable("connect_timeout")),
        (Ok((200, r#"{"token":"hunter2"}"#)), AuthError::BadTokenAnswer),
        (Ok((200, r#"{"access_token":"hunter\n2"}"#)), AuthError::NotAHeaderValue),
    ] {
        let (clock, endpoint) = (clock(), Endpoint::new(&[answer, TOKEN]));
        let credential = endpoint.credential(&clock);
        for _ in 0..100 {
            assert_eq!(credential.ready(soon(&clock)).await, Err(error));
        }
        assert_eq!(endpoint.calls(), 1);
        assert!(!format!("{error} {error:?}").contains("hunter"));
        clock.advance(Duration::from_secs(1));
        credential.ready(soon(&clock)).await.unwrap();
        assert_eq!(endpoint.calls(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_rejected_token_is_renewed_once_however_many_report_it() {
    let (clock, endpoint) = (clock(), Endpoint::new(&[TOKEN; 9]));
    let credential = endpoint.credential(&clock);
    credential.ready(soon(&clock)).await.unwrap();
    let (_, first) = sent(&credential);
    for _ in 0..20 {
        assert_eq!(credential.reject(first), Renewable::Retry);
        credential.ready(soon(&clock)).await.unwrap();
    }
    let (token, second) = sent(&credential);
    assert_eq!((endpoint.calls(), token.as_str()), (2, "Bearer tok-2"));

    assert_eq!(credential.reject(second), Renewable::Final);
    assert_eq!(sent(&credential).1, second);
    clock.advance(Duration::from_secs(1));
    assert_eq!(credential.reject(second), Renewable::Retry);
    credential.ready(soon(&clock)).await.unwrap();
    assert_eq!(sent(&credential).0, "Bearer tok-3");
}

#[test]
fn a_refresh_that_was_cut_off_is_started_again() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let endpoint = Endpoint::new(&[TOKEN]);
    endpoint.close();
    let clock = Clock::system();
    let credential = endpoint.credential(&clock);
    let first = runtime();
    first.block_on(async {
        let waiting = tokio::spawn({
            let (credential, deadline) = (credential.clone(), soon(&clock));
            async move { credential.ready(deadline).await }
        });
        settle().await;
        assert_eq!(endpoint.calls(), 1);
        waiting.abort();
    });
    drop(first);
    endpoint.gate.add_permits(1);
    runtime().block_on(credential.ready(soon(&clock))).unwrap();
    assert_eq!(endpoint.calls(), 2);
}
