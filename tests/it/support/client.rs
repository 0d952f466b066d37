//! An HTTP client, and what it is told.

use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use super::PATIENCE;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A client of one server. Clones share connections.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    inner: legacy::Client<HttpConnector, Full<Bytes>>,
    base: String,
    headers: HeaderMap,
}

impl Client {
    /// HTTP/1.1.
    pub(crate) fn new(server: std::net::SocketAddr) -> Self {
        Self::of(server, false)
    }

    /// HTTP/2 with prior knowledge: everything over one connection.
    pub(crate) fn http2(server: std::net::SocketAddr) -> Self {
        Self::of(server, true)
    }

    fn of(server: std::net::SocketAddr, http2: bool) -> Self {
        let inner = legacy::Client::builder(TokioExecutor::new()).http2_only(http2).build_http();
        Self { inner, base: format!("http://{server}"), headers: HeaderMap::new() }
    }

    /// The same client, sending this field with every request.
    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.append(name, value.parse().unwrap());
        self
    }

    pub(crate) async fn get(&self, target: &str) -> Answer {
        self.request(Method::GET, target, "").await
    }

    pub(crate) async fn request(&self, method: Method, target: &str, body: &str) -> Answer {
        let answer = self.try_request(method, target, body).await;
        answer.unwrap_or_else(|error| panic!("{target}: {error:?}"))
    }

    /// An error if there is no answer, or not a whole one.
    pub(crate) async fn try_request(
        &self,
        method: Method,
        target: &str,
        body: &str,
    ) -> Result<Answer, BoxError> {
        let mut request = Request::new(Full::new(Bytes::from(body.to_owned())));
        *request.method_mut() = method;
        *request.uri_mut() = format!("{}{target}", self.base).parse()?;
        *request.headers_mut() = self.headers.clone();
        tokio::time::timeout(PATIENCE * 3, async {
            let (head, body) = self.inner.request(request).await?.into_parts();
            let body = body.collect().await?.to_bytes();
            Ok(Answer { status: head.status.as_u16(), headers: head.headers, body })
        })
        .await?
    }
}

/// A whole answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    /// A field's value; empty if there is none.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn cache_status(&self) -> &str {
        self.header("cache-status")
    }

    /// Answered from memory.
    pub(crate) fn is_hit(&self) -> bool {
        self.cache_status().starts_with("weir; hit")
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The token of the page after this one; empty on the last.
    pub(crate) fn next_page(&self) -> String {
        self.json()["next_page_token"].as_str().unwrap().to_owned()
    }

    /// Everything that was said, for searching.
    pub(crate) fn everything(&self) -> String {
        format!("{:?}\n{}", self.headers, String::from_utf8_lossy(&self.body))
    }

    /// Asserts an error of weir's own, told as RFC 9457 says; returns the problem.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16, code: &str) -> Value {
        assert_eq!((self.status, self.header("weir-error")), (status, code), "{self:?}");
        assert_eq!(self.header("content-type"), "application/problem+json");
        let problem = self.json();
        assert_eq!(problem["type"], format!("urn:weir:problem:{code}"));
        assert_eq!((&problem["status"], &problem["code"]), (&status.into(), &status.into()));
        assert_eq!(problem["request_id"], self.header("x-request-id"));
        problem
    }
}
