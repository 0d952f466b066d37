//! The fast way says, counts and logs what the stack does.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use arc_swap::ArcSwap;
use bytes::Bytes;
use futures_util::FutureExt as _;
use http::StatusCode;
use http_body_util::BodyExt as _;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use tokio::runtime::Runtime;
use tower::ServiceExt as _;

use super::*;
use crate::layers::observe::CutShort;
use crate::layers::route;
use crate::layers::testing::{Rig, SECOND, keyed, seconds, site};
use crate::metrics::Face;
use crate::peer::PeerAddr;
use crate::policy::coding::{Coding, NoTransform};
use crate::policy::endpoint::{CacheRule, Lifetimes, Respect, SetCookie};
use crate::policy::framing::HeadLimits;
use crate::policy::freshness::{Stale, Times};
use crate::serve::{Bare, Seat};
use crate::store::entry::{Content, Entry, Kept};
use crate::store::purges::Membership;
use crate::telemetry::testing::Sink;
use crate::telemetry::{AccessLog, Format};
use crate::world::{Clients, World};

type Said = (StatusCode, Vec<(String, String)>, Bytes);
type Fields<'f> = [(&'f str, &'f str)];

/// Both ways to the same answers, each with its own figures.
struct House {
    rig: Rig,
    witness: Arc<Witness>,
    written: Sink,
    parts: Parts,
    stack: Box<dyn Fn(Request<Body>) -> Response<Body>>,
    express: Arc<dyn Express>,
}

const PEER: &str = "192.0.2.7:4711";
const KEY: &str = "key-of-the-console";

/// What encodes, and what the stack's timers need.
fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(1).enable_all().build().unwrap()
    })
}

#[derive(Clone, Copy, Debug)]
enum Callers {
    Anybody,
    Keyed,
}

fn world(rig: &Rig, callers: Callers) -> World {
    let client = Arc::clone(&rig.client);
    let clients = match callers {
        Callers::Anybody => Clients::Anonymous(client),
        Callers::Keyed => keyed(&[(KEY, client)]),
    };
    rig.world_of(vec![site("", vec![Arc::clone(&rig.route)])], clients)
}

fn house(rule: &CacheRule, callers: Callers, quota: Option<(u32, u32)>) -> House {
    let rig = Rig::with(|setup| (setup.cache, setup.quota) = (rule.clone(), quota));
    let written = Sink::default();
    let dropped = rig.metrics.access_log_dropped.clone();
    let log = AccessLog::new(Box::new(written.clone()), Format::Json, dropped).unwrap();
    let witness = Arc::new(Witness {
        clock: rig.clock.clone(),
        metrics: Arc::clone(&rig.metrics),
        access_log: Some(log),
        cut: CutShort::default(),
        world: Arc::new(ArcSwap::from_pointee(world(&rig, callers))),
    });
    let head = HeadLimits { head_bytes: 9999, uri_bytes: 999, field_bytes: 999, fields: 50 };
    let parts = Parts {
        clock: rig.clock.clone(),
        witness: Arc::clone(&witness),
        entries: EntryCache::new(1 << 20, rig.clock.clone(), Box::new(|_| {})),
        cache_limits: Limits {
            max_entry_bytes: 1000,
            max_fetching_bytes: usize::MAX,
            remember_uncacheable: SECOND,
            remember_failure: SECOND,
        },
        purges: rig.purges.clone(),
        rules: Rules { head, name: "weir".to_owned(), trusted_proxies: Vec::new() },
        coming: LeastRate { grace: SECOND, per_second: None },
    };
    let (service, express) = stack::<Body>(&parts);
    let stack = Box::new(move |request| {
        let answer = service.clone().oneshot(request).now_or_never();
        answer.expect("nothing is to be waited for").unwrap_or_else(|never| match never {})
    });
    let house = House { rig, witness, written, parts, stack, express };
    house.store("/things/plain", 200, "plain", None);
    house.store("/things/lost", 404, "{}", None);
    house.store("/things/text", 200, &"text ".repeat(1000), Some(NoTransform::Heeded));
    house
}

impl House {
    fn store(&self, path: &str, status: u16, body: &str, transform: Option<NoTransform>) {
        let times = Times {
            made_at: self.rig.clock.now(),
            initial_age: 3 * SECOND,
            lifetimes: Lifetimes::only_fresh(1000 * SECOND),
            oldest_age: None,
            stale: Stale::Allowed,
            immutable: false,
            keep: 1000 * SECOND,
        };
        let kept = Kept {
            times,
            selector: None,
            without: Vec::new(),
            chain: None,
            set_cookie: SetCookie::Strip,
            transform,
        };
        let asks = route::Asks { method: &http::Method::GET, path, query: None };
        let world = self.witness.world.load();
        let located = route::locate(&world, &self.rig.client, asks, |_| {}).unwrap();
        let scopes = self.parts.purges.scopes(&located.key, []);
        let membership = Membership::new(scopes, self.parts.purges.mark());
        let content = Bytes::copy_from_slice(body.as_bytes());
        let headers = [("content-type", "text/plain"), ("via", "1.1 other"), ("etag", "\"tag\"")];
        let headers = headers
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        let (headers, wall) = (headers.into_iter().collect(), self.rig.clock.wall());
        let status = StatusCode::from_u16(status).unwrap();
        let content = Content::Arrived(content, crate::http::Room::unbounded().part());
        let entry = Arc::new(Entry::new(status, headers, content, wall, kept, membership));
        runtime().block_on(entry.encode(Coding::Gzip, &crate::http::Room::unbounded()));
        assert!(self.parts.entries.insert(&Arc::new(located.key), &entry));
    }

    fn by_the_stack(&self, target: &str, fields: &Fields<'_>) -> Said {
        let mut request = Request::get(target).body(Body::Empty).unwrap();
        for (name, value) in fields {
            let name = HeaderName::try_from(*name).unwrap();
            request.headers_mut().append(name, HeaderValue::try_from(*value).unwrap());
        }
        request.extensions_mut().insert(PeerAddr(Some(PEER.parse().unwrap())));
        let (head, body) = (self.stack)(request).into_parts();
        let body = body.collect().now_or_never().unwrap().unwrap().to_bytes();
        let headers = head
            .headers
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
        (head.status, sorted(headers.collect()), body)
    }

    fn seat(&self) -> Box<dyn Seat> {
        self.express.seat(PeerAddr(Some(PEER.parse().unwrap())), None)
    }
}

fn fast(seat: &mut dyn Seat, target: &str, fields: &Fields<'_>) -> Option<Said> {
    let text: String = fields.iter().flat_map(|(n, v)| [*n, ": ", *v, "\r\n"]).collect();
    let mut head = Vec::new();
    let bare = Bare { target, fields: text.as_bytes() };
    let Some(body) = seat.answer(bare, &mut head) else {
        assert!(head.is_empty(), "what is left to the stack is left untouched");
        return None;
    };
    let head = String::from_utf8(head).unwrap();
    let mut lines = head.strip_suffix("\r\n\r\n").unwrap().split("\r\n");
    let status = lines.next().unwrap().strip_prefix("HTTP/1.1 ").unwrap();
    let status = StatusCode::from_bytes(&status.as_bytes()[..3]).unwrap();
    let fields = lines.map(|line| line.split_once(": ").unwrap());
    let fields = fields.map(|(name, value)| (name.to_owned(), value.to_owned()));
    Some((status, sorted(fields.collect()), body))
}

impl House {
    /// All that was counted, less how long it took.
    fn counted(&self) -> BTreeMap<String, String> {
        let text = self.rig.metrics.encode(Face::Text);
        let series = text.lines().filter(|line| !line.starts_with('#'));
        let series = series.filter_map(|line| line.rsplit_once(' '));
        let counts = series.filter(|(name, _)| {
            name.starts_with("weir_") && !name.contains("_bucket") && !name.contains("_sum")
        });
        counts.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    /// All that was logged, less what differs from one time to the next.
    fn logged(&self) -> Vec<serde_json::Value> {
        self.witness.access_log.as_ref().unwrap().flush();
        let text = self.written.text();
        let line = |line: &str| {
            let mut line: serde_json::Value = serde_json::from_str(line).unwrap();
            for varies in ["time", "duration_ms", "request_id"] {
                assert!(line.as_object_mut().unwrap().remove(varies).is_some(), "{varies}");
            }
            line
        };
        text.lines().map(line).collect()
    }
}

/// A request id that was made here is another each time.
fn sorted(mut fields: Vec<(String, String)>) -> Vec<(String, String)> {
    for (name, value) in &mut fields {
        if name == "x-request-id" && value.len() == 32 {
            assert!(value.bytes().all(|byte| byte.is_ascii_hexdigit()));
            *value = "made".to_owned();
        }
    }
    fields.sort();
    fields
}

const RESPECT: CacheRule =
    CacheRule::Respect(Respect { refresh_ahead: None, set_cookie: SetCookie::Private });

/// Fields that change nothing, or what is answered.
const PLAIN: [(&str, &str); 17] = [
    ("accept", "*/*"),
    ("accept-encoding", "gzip"),
    ("accept-encoding", "deflate, gzip;q=0.5"),
    ("user-agent", "test"),
    ("x-request-id", "given-1"),
    ("x-request-id", "not sane"),
    ("cookie", "a=b"),
    ("connection", "Keep-Alive"),
    ("x-forwarded-for", "198.51.100.1"),
    ("via", "1.1 other"),
    ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ("if-none-match", "\"tag\""),
    ("if-none-match", "\"other\", W/\"tag-gzip\""),
    ("if-none-match", "*"),
    ("if-modified-since", "Sat, 01 Jan 2050 00:00:00 GMT"),
    ("cache-control", "max-age=60"),
    ("cache-control", "only-if-cached"),
];

/// Fields with which the fast way has nothing to do.
const LEFT: [(&str, &str); 11] = [
    ("te", "trailers"),
    ("connection", "close"),
    ("connection", "keep-alive, x"),
    ("range", "bytes=0-1"),
    ("if-match", "\"tag\""),
    ("if-unmodified-since", "Sat, 01 Jan 2000 00:00:00 GMT"),
    ("content-length", "0"),
    ("expect", "100-continue"),
    ("upgrade", "h2c"),
    ("via", "1.1 weir"),
    ("authorization", "Bearer of-nobody"),
];

const TARGETS: [&str; 9] = [
    "/things/plain",
    "/things/plain?",
    "/things/pl%61in",
    "/things/plain?x=1",
    "/things/lost",
    "/things/text",
    "/nothing",
    "/things/..%2fplain",
    "/things/%zz",
];

fn requests() -> impl Strategy<Value = Vec<(&'static str, Vec<(&'static str, &'static str)>)>> {
    let plain = subsequence(PLAIN.to_vec(), 0..4).prop_shuffle();
    // Some conditions are the source's to judge, which there is none of.
    let left: Vec<_> = LEFT.into_iter().filter(|(name, _)| !name.starts_with("if-")).collect();
    let left = prop_oneof![6 => Just(None), 1 => select(left).prop_map(Some)];
    let fields = (plain, left).prop_map(|(mut fields, left)| {
        fields.extend(left);
        fields
    });
    proptest::collection::vec((select(TARGETS.to_vec()), fields), 1..6)
}

/// Misses have no upstream here.
fn is_stored(target: &str) -> bool {
    !target.contains("?x")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn the_fast_way_says_counts_and_logs_what_the_stack_does(
        requests in requests(),
        rule in select(vec![seconds(1000, 0, 0), RESPECT]),
        callers in select(vec![Callers::Anybody, Callers::Keyed]),
        again in any::<bool>(),
    ) {
        let _entered = runtime().enter();
        let [mixed, stack] = [(); 2].map(|()| house(&rule, callers, None));
        let mut seat = mixed.seat();
        for (target, mut fields) in requests {
            fields.insert(0, ("host", "gateway"));
            if matches!(callers, Callers::Keyed) {
                fields.push(("authorization", "Bearer key-of-the-console"));
            }
            for _ in 0..=usize::from(again) {
                let quickly = fast(&mut *seat, target, &fields);
                let is_stored = is_stored(target);
                prop_assert!(is_stored || quickly.is_none());
                if !is_stored {
                    continue;
                }
                let by_the_stack = stack.by_the_stack(target, &fields);
                match quickly {
                    Some(said) => prop_assert_eq!(said, by_the_stack, "{} {:?}", target, fields),
                    None => drop(mixed.by_the_stack(target, &fields)),
                }
            }
        }
        prop_assert_eq!(mixed.counted(), stack.counted());
        prop_assert_eq!(mixed.logged(), stack.logged());
    }
}

#[test]
fn what_is_plain_goes_the_fast_way_and_nothing_else() {
    let _entered = runtime().enter();
    let house = house(&seconds(1000, 0, 0), Callers::Anybody, None);
    let mut seat = house.seat();
    let mut goes = |target, fields: &Fields<'_>| fast(&mut *seat, target, fields).is_some();
    for field in PLAIN {
        assert!(goes("/things/plain", &[("host", "gateway"), field]), "{field:?}");
    }
    for field in LEFT.into_iter().filter(|(name, _)| *name != "authorization") {
        assert!(!goes("/things/plain", &[("host", "gateway"), field]), "{field:?}");
    }
    let long = "x".repeat(5000);
    assert!(!goes("/things/plain", &[("host", "gateway"), ("accept", &long)]));
    for target in ["/things/plain?", "/things/pl%61in", "/things/lost", "/things/text"] {
        assert!(goes(target, &[]), "{target}");
    }
    assert!(goes("/things/text", &[("accept-encoding", "gzip")]));
    assert!(!goes("/things/text", &[("accept-encoding", "zstd")]), "it has to be made first");
    for target in ["/things/new", "/nothing", "/things/..%2fplain"] {
        assert!(!goes(target, &[]), "{target}");
    }
}

#[test]
fn what_was_learnt_is_forgotten_with_its_configuration_and_its_answer() {
    let _entered = runtime().enter();
    let house = house(&seconds(1000, 0, 0), Callers::Anybody, None);
    let mut seat = house.seat();
    let mut goes = || fast(&mut *seat, "/things/plain", &[("host", "gateway")]).is_some();
    assert!(goes() && goes());
    house.witness.world.store(Arc::new(world(&house.rig, Callers::Keyed)));
    assert!(!goes(), "a key is wanted now");
    house.witness.world.store(Arc::new(world(&house.rig, Callers::Anybody)));
    assert!(goes());
    house.parts.purges.purge(house.parts.purges.everything(), crate::store::purges::Mode::Soft);
    assert!(!goes(), "it was purged");
    house.store("/things/plain", 200, "new", None);
    assert!(goes());
    house.rig.clock.advance(1000 * SECOND);
    assert!(!goes(), "it is stale");
}

#[test]
fn a_clients_own_share_counts_on_the_fast_way_too() {
    let _entered = runtime().enter();
    let house = house(&seconds(1000, 0, 0), Callers::Anybody, Some((1, 2)));
    let mut seat = house.seat();
    let mut goes = || fast(&mut *seat, "/things/plain", &[]).is_some();
    assert!(goes() && goes());
    assert!(!goes(), "the stack refuses it");
    let (status, ..) = house.by_the_stack("/things/plain", &[]);
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
}
