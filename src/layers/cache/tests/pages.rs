//! Pages of a listing, and what is never kept.

use super::*;
use crate::policy::endpoint::PageTokenRule;

fn rig() -> Rig {
    Rig::with(|setup| {
        setup.cache = seconds(10, 0, 0);
        setup.page_token = Some(PageTokenRule {
            request: "next_page_token".into(),
            response: "next_page_token".into(),
            lifetime: 900 * SECOND,
            margin: 120 * SECOND,
            all: None,
        });
    })
}

fn page(rig: &Rig, token: Option<&str>) -> RoutedRequest {
    let mut request = rig.get();
    if let Some(token) = token {
        let parameters = request.key.parameters().with("next_page_token", token);
        request.key = Arc::new(request.key.asking(parameters));
    }
    request
}

/// An upstream whose listing has two pages, and which names the second always the same, or by the
/// listing's generation.
fn listing(generations: usize, token: fn(usize) -> String) -> Fake<FetchRequest> {
    Fake::new(move |n, question: FetchRequest| async move {
        let generation = n.min(generations);
        let body = if question.target.contains("next_page_token") {
            format!(r#"{{"page":2,"of":{generation},"next_page_token":""}}"#)
        } else {
            format!(r#"{{"of":{generation},"next_page_token":"{}"}}"#, token(generation))
        };
        Ok(answer(200, &[], body))
    })
}

async fn read(cache: &Caching<Fake<FetchRequest>>, request: RoutedRequest) -> (bool, String) {
    let answer = send(cache, request).await.unwrap();
    (status(&answer).contains("hit"), text(answer).await)
}

#[tokio::test(start_paused = true)]
async fn a_page_named_anew_by_a_changed_listing_is_asked_for_anew() {
    let rig = rig();
    let cache = rig.cached(listing(usize::MAX, |_| "t".to_owned()));
    read(&cache, page(&rig, None)).await;
    rig.clock.advance(8 * SECOND);
    let (_, old) = read(&cache, page(&rig, Some("t"))).await;
    assert!(old.contains("\"of\":1"), "{old}");
    assert!(read(&cache, page(&rig, Some("t"))).await.0, "in memory");
    // The first page is refreshed; it has changed, and names the second as before.
    rig.clock.advance(2 * SECOND);
    let (_, first) = read(&cache, page(&rig, None)).await;
    assert!(first.contains("\"of\":2"), "{first}");
    let (hit, second) = read(&cache, page(&rig, Some("t"))).await;
    assert!(!hit && second.contains("\"of\":3"), "{hit} {second}");
    assert!(read(&cache, page(&rig, Some("t"))).await.0, "in memory again");
}

#[tokio::test(start_paused = true)]
async fn a_refresh_that_changes_nothing_leaves_the_pages_as_they_are() {
    let rig = rig();
    let cache = rig.cached(listing(0, |_| "t".to_owned()));
    read(&cache, page(&rig, None)).await;
    rig.clock.advance(8 * SECOND);
    read(&cache, page(&rig, Some("t"))).await;
    rig.clock.advance(2 * SECOND);
    assert!(!read(&cache, page(&rig, None)).await.0);
    assert!(read(&cache, page(&rig, Some("t"))).await.0);
}

#[tokio::test(start_paused = true)]
async fn a_reader_half_way_through_keeps_the_listing_that_was_begun() {
    let rig = rig();
    let cache = rig.cached(listing(usize::MAX, |generation| format!("t{generation}")));
    read(&cache, page(&rig, None)).await;
    rig.clock.advance(8 * SECOND);
    let (_, old) = read(&cache, page(&rig, Some("t0"))).await;
    rig.clock.advance(2 * SECOND);
    let (_, first) = read(&cache, page(&rig, None)).await;
    assert!(first.contains("\"t2\""), "{first}");
    assert_eq!(read(&cache, page(&rig, Some("t0"))).await, (true, old));
}

#[tokio::test(start_paused = true)]
async fn a_page_that_names_another_is_never_confirmed_only_fetched() {
    let rig = rig();
    let fake = Fake::new(|_, question: FetchRequest| async move {
        assert!(!question.headers.contains_key(IF_NONE_MATCH), "its token would be old");
        Ok(answer(200, &[("etag", "\"1\"")], r#"{"next_page_token":"t"}"#))
    });
    let cache = rig.cached(fake.clone());
    read(&cache, page(&rig, None)).await;
    rig.clock.advance(10 * SECOND);
    read(&cache, page(&rig, None)).await;
    assert_eq!(fake.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_carries_a_secret_is_for_the_one_who_asked() {
    let rig = Rig::new();
    let fake = Fake::new(|n, _: FetchRequest| async move {
        Ok(answer(200, &[], format!(r#"{{"access_token":"s{n}"}}"#)))
    });
    let cache = rig.cached(fake.clone());
    for n in 0..2 {
        let told = send(&cache, rig.get()).await.unwrap();
        assert_eq!(status(&told), "weir; fwd=miss; fwd-status=200");
        assert_eq!(text(told).await, format!(r#"{{"access_token":"s{n}"}}"#));
    }
    assert_eq!(fake.calls(), 2);
}
