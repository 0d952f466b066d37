//! The service as a client meets it.

mod access;
mod control;
mod faults;
mod headers;
mod lists;
mod others;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use serde_json::Value;
use tower::ServiceExt as _;

use super::*;

const NOW: u64 = 1_728_046_800; // 2024-10-04T13:00:00Z
const TODAY: &str = "from=2024-10-04&to=2024-10-04";

fn start() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(NOW)
}

fn sandbox() -> Sandbox {
    with(Options { plan: Plan::Business, ..Options::default() })
}

fn with(options: Options) -> Sandbox {
    Sandbox::new(options, Clock::starting_at(start()))
}

fn request(sandbox: &Sandbox, method: Method, target: &str) -> Request<Full<Bytes>> {
    let token = sandbox.jwt().unwrap();
    Request::builder()
        .method(method)
        .uri(target)
        .header("authorization", format!("Bearer {}", token.expose()))
        .body(Full::default())
        .unwrap()
}

async fn send(sandbox: &Sandbox, request: Request<Full<Bytes>>) -> Response<Bytes> {
    let (head, body) = sandbox.clone().oneshot(request).await.unwrap().into_parts();
    Response::from_parts(head, body.collect().await.unwrap().to_bytes())
}

async fn get(sandbox: &Sandbox, target: &str) -> Response<Bytes> {
    send(sandbox, request(sandbox, Method::GET, target)).await
}

async fn get_json(sandbox: &Sandbox, target: &str) -> (u16, Value) {
    read(&get(sandbox, target).await)
}

async fn steer(sandbox: &Sandbox, method: Method, target: &str) -> (u16, Value) {
    let request = Request::builder().method(method).uri(target).body(Full::default()).unwrap();
    read(&send(sandbox, request).await)
}

fn read(response: &Response<Bytes>) -> (u16, Value) {
    (response.status().as_u16(), serde_json::from_slice(response.body()).unwrap_or(Value::Null))
}

/// `encodeURIComponent`, twice.
fn twice(id: &str) -> String {
    let once = |text: &str| {
        percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
    };
    once(&once(id))
}

fn users_path(id: &str) -> String {
    format!("/v2/videosdk/sessions/{}/users", twice(id))
}

/// Follows the pages of a list to the end.
async fn walk(sandbox: &Sandbox, path: &str, list: &str, query: &str) -> Vec<Value> {
    let (mut all, mut token) = (Vec::new(), String::new());
    loop {
        tokio::time::advance(Duration::from_millis(100)).await;
        let (status, page) =
            get_json(sandbox, &format!("{path}?{query}&next_page_token={token}")).await;
        assert_eq!(status, 200, "{page}");
        all.extend(page[list].as_array().unwrap().iter().cloned());
        token = page["next_page_token"].as_str().unwrap().to_owned();
        if token.is_empty() {
            return all;
        }
    }
}

fn ids(users: &[Value]) -> Vec<&str> {
    users.iter().map(|user| user["id"].as_str().unwrap()).collect()
}
