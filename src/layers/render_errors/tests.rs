use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt as _;

use super::*;
use crate::error::QuotaFields;
use crate::policy::params::BadParameter;
use crate::store::limiter::{Reason, Refused};

async fn rendered(error: GatewayError) -> (Response<()>, serde_json::Value) {
    let id = HeaderValue::from_static("abc");
    let (head, body) = render(&error, Some(&id)).into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (Response::from_parts(head, ()), serde_json::from_slice(&body).unwrap())
}

#[tokio::test]
async fn a_refusal_tells_when_to_come_back_in_whole_seconds() {
    let refused = Refused { reason: Reason::Rate, retry_after: Duration::from_millis(1001) };
    let (head, body) = rendered(GatewayError::Limited { refused, quota: Arc::default() }).await;
    assert_eq!(
        (head.status().as_u16(), &head.headers()["retry-after"]),
        (429, &"2".parse().unwrap())
    );
    assert_eq!(head.headers()["weir-error"], "rate-second");
    assert_eq!(body["type"], "urn:weir:problem:rate-second");
    assert_eq!((&body["code"], &body["request_id"]), (&429.into(), &"abc".into()));
    assert_eq!(body["message"], body["detail"]);
}

#[tokio::test]
async fn a_bad_parameter_is_named() {
    let bad = BadParameter { name: "type".into(), why: "must be one of live, past".into() };
    let (head, body) = rendered(bad.into()).await;
    assert_eq!((head.status().as_u16(), &body["parameter"]), (400, &"type".into()));
    assert_eq!(head.headers()["content-type"], "application/problem+json");
}

#[tokio::test]
async fn a_refusal_tells_what_is_left() {
    let refused = Refused { reason: Reason::Day, retry_after: Duration::from_secs(60) };
    let quota = QuotaFields { policy: "\"daily\";q=9".into(), current: "\"daily\";r=0".into() };
    let quota = Arc::new(quota);
    let (head, _) = rendered(GatewayError::Limited { refused, quota }).await;
    assert_eq!(head.headers()["ratelimit-policy"], "\"daily\";q=9");
    assert_eq!(head.headers()["ratelimit"], "\"daily\";r=0");
    assert_eq!(
        (head.status().as_u16(), &head.headers()["retry-after"]),
        (429, &"60".parse().unwrap())
    );
}

#[tokio::test]
async fn what_stops_the_gateway_is_no_fault_of_the_client() {
    let refused = Refused { reason: Reason::Draining, retry_after: Duration::ZERO };
    let (head, _) = rendered(GatewayError::Limited { refused, quota: Arc::default() }).await;
    assert_eq!(
        (head.status().as_u16(), &head.headers()["retry-after"]),
        (503, &"1".parse().unwrap())
    );
    assert!(!head.headers().contains_key("ratelimit"), "nothing to tell");
}
