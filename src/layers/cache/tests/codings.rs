//! A stored answer in several codings, each made once.

use std::io::Read as _;

use super::crowd::asking;
use super::*;
use crate::layers::testing::start;

/// A kilobyte and more of what compresses well.
fn json() -> String {
    let users: Vec<_> = (0..100).map(|n| format!("{{\"id\":{n},\"name\":\"user {n}\"}}")).collect();
    format!("[{}]", users.join(","))
}

fn cached(
    rig: &Rig,
    fields: &'static [(&str, &str)],
) -> (Caching<Fake<FetchRequest>>, Fake<FetchRequest>) {
    let fake = Fake::new(move |_, _| async move { Ok(answer(200, fields, json())) });
    let entries = EntryCache::new(1 << 20, rig.clock.clone(), Box::new(|_| {}));
    let limits = Limits {
        max_entry_bytes: 64 * 1024,
        max_fetching_bytes: usize::MAX,
        remember_uncacheable: 60 * SECOND,
        remember_failure: SECOND,
    };
    let layer = CacheLayer::new(entries, rig.purges.clone(), rig.clock.clone(), limits);
    (layer.layer(fake.clone()), fake)
}

const JSON: [(&str, &str); 3] =
    [("content-type", "application/json"), ("etag", "\"7\""), ("cache-control", "max-age=60")];

/// The coding's name, its tag, and what undoes it.
type Coded = (&'static str, &'static str, fn(&[u8]) -> String);

const CODINGS: [Coded; 4] = [
    ("", "\"7\"", |body| String::from_utf8(body.to_vec()).unwrap()),
    ("gzip", "\"7-gzip\"", |body| {
        let mut text = String::new();
        flate2::read::GzDecoder::new(body).read_to_string(&mut text).unwrap();
        text
    }),
    ("br", "\"7-br\"", |body| {
        let mut text = Vec::new();
        brotli::BrotliDecompress(&mut &*body, &mut text).unwrap();
        String::from_utf8(text).unwrap()
    }),
    ("zstd", "\"7-zstd\"", |body| {
        String::from_utf8(zstd::bulk::decompress(body, 1 << 20).unwrap()).unwrap()
    }),
];

fn wanting(request: RoutedRequest, coding: &str) -> RoutedRequest {
    let coding = if coding.is_empty() { "identity" } else { coding };
    asking(request, &[("accept-encoding", coding)])
}

/// Its content, without copying it.
fn bytes(answer: Response<Body>) -> Bytes {
    match answer.into_body() {
        Body::Full(bytes) => bytes,
        other => panic!("it is whole: {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn each_coding_is_made_once_whoever_asks_and_counts() {
    for ask_first in [true, false] {
        let rig = Rig::new();
        let (cache, fake) = cached(&rig, &JSON);
        // From a miss, or from a hit.
        if ask_first {
            send(&cache, rig.get()).await.unwrap();
        }
        for (coding, tag, decode) in CODINGS {
            let before = cache.state.entries.usage().1;
            let crowd: Vec<_> =
                (0..20).map(|_| start(&cache, wanting(rig.get(), coding))).collect();
            let mut all = Vec::new();
            for one in crowd {
                let told = one.await.unwrap().unwrap();
                assert_eq!((field(&told, "content-encoding"), field(&told, "etag")), (coding, tag));
                assert_eq!(field(&told, "vary"), "accept-encoding");
                let length = field(&told, "content-length").to_owned();
                let body = bytes(told);
                assert_eq!((body.len().to_string(), decode(&body)), (length, json()));
                all.push(body);
            }
            let first = &all[0];
            assert!(all.iter().all(|body| body.as_ptr() == first.as_ptr()), "one for all");
            let grown = cache.state.entries.usage().1 - before;
            if coding.is_empty() {
                assert!(!ask_first || grown == 0);
            } else {
                assert!(first.len() < json().len() / 2);
                let overhead = grown - first.len() as u64;
                // Its own head, and the first time the place for all of them.
                assert!((200..900).contains(&overhead), "{coding}: its bytes count: {grown}");
            }
        }
        assert_eq!(fake.calls(), 1);
        let full = cache.state.entries.usage();
        for (coding, ..) in CODINGS {
            send(&cache, wanting(rig.get(), coding)).await.unwrap();
        }
        assert_eq!(cache.state.entries.usage(), full, "and once only");
    }
}

#[tokio::test(start_paused = true)]
async fn who_has_it_in_this_coding_gets_304_and_who_has_it_in_another_does_not() {
    let rig = Rig::new();
    let (cache, _) = cached(&rig, &JSON);
    for (coding, tag, _) in CODINGS {
        for (_, known, _) in CODINGS {
            let request = asking(wanting(rig.get(), coding), &[("if-none-match", known)]);
            let told = send(&cache, request).await.unwrap();
            let expected = if known == tag { 304 } else { 200 };
            assert_eq!(told.status(), expected, "{known} for {coding}");
            assert_eq!((field(&told, "etag"), field(&told, "vary")), (tag, "accept-encoding"));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_not_to_be_transformed_is_not_unless_our_rule_is_above_it() {
    const FIELDS: [(&str, &str); 2] =
        [("content-type", "application/json"), ("cache-control", "max-age=60, no-transform")];
    for (rule, coding, vary) in [
        (CacheRule::Respect(Respect::default()), "", ""),
        (seconds(10, 0, 0), "zstd", "accept-encoding"),
    ] {
        let rig = Rig::with(|setup| setup.cache = rule);
        let (cache, _) = cached(&rig, &FIELDS);
        for _ in 0..2 {
            let told = send(&cache, wanting(rig.get(), "zstd")).await.unwrap();
            assert_eq!((field(&told, "content-encoding"), field(&told, "vary")), (coding, vary));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_upstream_has_coded_is_left_as_it_is() {
    const FIELDS: [(&str, &str); 2] = [("content-type", "text/plain"), ("content-encoding", "own")];
    let rig = Rig::new();
    let (cache, _) = cached(&rig, &FIELDS);
    for _ in 0..2 {
        let told = send(&cache, wanting(rig.get(), "zstd")).await.unwrap();
        assert_eq!((field(&told, "content-encoding"), field(&told, "vary")), ("own", ""));
    }
}

#[tokio::test(start_paused = true)]
async fn head_tells_of_the_coding_what_get_would() {
    let rig = Rig::new();
    let (cache, _) = cached(&rig, &JSON);
    for (coding, tag, _) in CODINGS {
        let head = send(&cache, wanting(rig.ask(Method::HEAD, "a"), coding)).await.unwrap();
        let get = send(&cache, wanting(rig.get(), coding)).await.unwrap();
        for name in ["content-length", "content-encoding", "content-type", "etag", "vary"] {
            assert_eq!(field(&head, name), field(&get, name), "{coding}: {name}");
        }
        assert_eq!(field(&head, "etag"), tag);
        assert_eq!(text(head).await, "");
    }
}

#[tokio::test(start_paused = true)]
async fn a_range_is_of_the_coding_that_is_sent() {
    for rule in [seconds(10, 0, 0), CacheRule::Respect(Respect::default())] {
        let rig = Rig::with(|setup| setup.cache = rule);
        let (cache, fake) = cached(&rig, &JSON);
        send(&cache, rig.get()).await.unwrap();
        for (coding, tag, _) in CODINGS {
            let whole = bytes(send(&cache, wanting(rig.get(), coding)).await.unwrap());
            let part = |range| asking(wanting(rig.get(), coding), &[("range", range)]);
            let told = send(&cache, part("bytes=3-9")).await.unwrap();
            assert_eq!((told.status().as_u16(), field(&told, "etag")), (206, tag));
            assert_eq!(field(&told, "content-range"), format!("bytes 3-9/{}", whole.len()));
            assert_eq!(field(&told, "content-encoding"), coding);
            assert_eq!(field(&told, "content-length"), "7");
            assert_eq!(bytes(told), whole.slice(3..10));

            let beyond = send(&cache, part("bytes=99999-")).await.unwrap();
            assert_eq!(beyond.status(), 416);
            assert_eq!(field(&beyond, "content-range"), format!("bytes */{}", whole.len()));

            for (_, known, _) in CODINGS {
                let told = send(&cache, asking(part("bytes=3-9"), &[("if-range", known)])).await;
                let expected = if known == tag { 206 } else { 200 };
                assert_eq!(told.unwrap().status(), expected, "{known} for {coding}");
            }
        }
        assert_eq!(fake.calls(), 1);
    }
}
