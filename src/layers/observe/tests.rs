use futures_util::FutureExt as _;

use super::*;
use crate::error::GatewayError;
use crate::layers::admit::AdmitLayer;
use crate::layers::identify::IdentifyLayer;
use crate::layers::render_errors::RenderErrorsLayer;
use crate::layers::route::RouteLayer;
use crate::layers::testing::{Fake, Rig, SECOND, answer, field, keyed, send, site, text};
use crate::request::RoutedRequest;
use crate::telemetry::Format;
use crate::telemetry::testing::Sink;

/// A witness, and what it has written so far.
fn witness(rig: &Rig) -> (Arc<Witness>, impl Fn() -> Vec<serde_json::Value> + use<>) {
    let sink = Sink::default();
    let log = AccessLog::new(
        Box::new(sink.clone()),
        Format::Json,
        rig.metrics.access_log_dropped.clone(),
    );
    let witness = Arc::new(Witness {
        clock: rig.clock.clone(),
        metrics: Arc::clone(&rig.metrics),
        access_log: Some(log.unwrap()),
        cut: CutShort::default(),
        world: Arc::new(ArcSwap::from_pointee(rig.world())),
    });
    let lines = {
        let witness = Arc::clone(&witness);
        move || {
            witness.access_log.as_ref().unwrap().flush();
            let written = sink.text();
            written.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
        }
    };
    (witness, lines)
}

type Stack<S> = Observe<<RenderErrorsLayer as Layer<<AdmitLayer as Layer<S>>::Service>>::Service>;

fn edge<S>(witness: &Arc<Witness>, inner: S) -> Stack<S> {
    let inner = RenderErrorsLayer.layer(AdmitLayer::default().layer(inner));
    ObserveLayer::new(Arc::clone(witness)).layer(inner)
}

/// Does what the path says.
fn obedient() -> Fake<EdgeRequest> {
    Fake::new(|_, request: EdgeRequest| {
        let path = request.http.uri().path().to_owned();
        assert!(path != "/panic-in-call", "as told");
        async move {
            match path.as_str() {
                "/ok" => Ok(answer(200, &[], "seven..")),
                "/error" => Err(GatewayError::Deadline),
                "/panic" => panic!("as told"),
                _ => std::future::pending().await,
            }
        }
    })
}

fn request(path: &str) -> Request<Body> {
    Request::get(path).header("x-request-id", "id-1").body(Body::Empty).unwrap()
}

fn requests(rig: &Rig) -> u64 {
    use crate::metrics::Face;
    let text = rig.metrics.encode(Face::Text);
    let counts = text.lines().filter_map(|line| {
        line.strip_prefix("weir_request_duration_seconds_count{")?.rsplit(' ').next()
    });
    counts.map(|count| count.parse::<u64>().unwrap()).sum()
}

#[tokio::test(start_paused = true)]
async fn every_request_is_one_line_and_one_count_whatever_becomes_of_it() {
    for (path, status) in [("/ok", 200), ("/error", 504), ("/panic", 500), ("/panic-in-call", 500)]
    {
        let rig = Rig::new();
        let (witness, lines) = witness(&rig);
        let answer = send(&edge(&witness, obedient()), request(path)).await.unwrap();
        assert_eq!(answer.status(), status, "{path}");
        if status != 200 {
            assert_eq!(field(&answer, "content-type"), "application/problem+json");
            let problem: serde_json::Value = serde_json::from_str(&text(answer).await).unwrap();
            assert_eq!(
                (&problem["status"], &problem["request_id"]),
                (&status.into(), &"id-1".into())
            );
        }
        let lines = lines();
        assert_eq!(lines.len(), 1, "{path}");
        assert_eq!(lines[0]["http.response.status_code"], status, "{path}");
        assert_eq!(lines[0]["request_id"], "id-1");
        assert_eq!((requests(&rig), rig.metrics.in_flight.get()), (1, 0), "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_hangs_up_is_counted_too() {
    let rig = Rig::new();
    let (witness, lines) = witness(&rig);
    let mut waiting = edge(&witness, obedient()).call(request("/wait"));
    assert!((&mut waiting).now_or_never().is_none());
    assert_eq!((rig.metrics.in_flight.get(), lines().len()), (1, 0));
    rig.clock.advance(3 * SECOND);
    drop(waiting);
    let lines = lines();
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0]["http.response.status_code"], 499);
    assert_eq!(lines[0]["duration_ms"].as_f64(), Some(3000.0));
    assert_eq!((requests(&rig), rig.metrics.in_flight.get()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_panic_takes_no_place_with_it() {
    let rig = Rig::new();
    let (witness, _) = witness(&rig);
    let stack = edge(&witness, obedient());
    for path in ["/panic", "/panic-in-call", "/panic", "/panic-in-call", "/panic"] {
        assert_eq!(send(&stack, request(path)).await.unwrap().status(), 500);
    }
    assert_eq!(send(&stack, request("/ok")).await.unwrap().status(), 200);
}

#[tokio::test(start_paused = true)]
async fn who_is_shed_is_told_to_come_back() {
    let rig = Rig::new();
    let (witness, lines) = witness(&rig);
    let mut stack = edge(&witness, obedient());
    let mut waiting = [stack.call(request("/wait")), stack.call(request("/wait"))];
    for one in &mut waiting {
        assert!(one.now_or_never().is_none());
    }
    let shed = send(&stack, request("/ok")).await.unwrap();
    assert_eq!((shed.status().as_u16(), field(&shed, "retry-after")), (503, "1"));
    assert_eq!((field(&shed, "weir-error"), rig.metrics.in_flight.get()), ("overloaded", 2));
    drop(waiting);
    assert_eq!((lines().len(), rig.metrics.in_flight.get()), (3, 0));
}

#[tokio::test(start_paused = true)]
async fn a_line_names_the_endpoint_and_no_text_of_the_clients() {
    let rig = Rig::new();
    let (witness, lines) = witness(&rig);
    let fake = Fake::new(|_, request: RoutedRequest| async move {
        request.record.looked_up(CacheResult::Miss);
        request.record.waited(SECOND);
        Ok(answer(200, &[], "seven.."))
    });
    let stack = edge(&witness, IdentifyLayer.layer(RouteLayer.layer(fake)));
    for path in ["/things/zecret?zecret=zecret", "/zecret?zecret"] {
        let mut request = request(path);
        for name in ["user-agent", "referer", "authorization", "cookie", "x-own", "host"] {
            request.headers_mut().insert(name, "zecret".parse().unwrap());
        }
        send(&stack, request).await.unwrap();
    }
    let lines = lines();
    assert!(!format!("{lines:?}").contains("zecret"), "{lines:?}");
    let (found, lost) = (&lines[0], &lines[1]);
    for (member, expected) in [
        ("url.template", "/things/{id}"),
        ("endpoint", "things"),
        ("client", "console"),
        ("cache", "miss"),
        ("label", "heavy"),
        ("http.request.method", "GET"),
    ] {
        assert_eq!(found[member], expected);
    }
    assert_eq!((&found["wait_ms"].as_f64(), &found["bytes"]), (&Some(1000.0), &7.into()));
    assert_eq!((&lost["http.response.status_code"], &lost["endpoint"]), (&404.into(), &().into()));
    let series = "weir_requests_total{endpoint=\"things\",client=\"console\",status=\"200\"}";
    assert_eq!(rig.counted(series), 1);
    assert_eq!(rig.counted("weir_cache_requests_total{endpoint=\"things\",result=\"miss\"}"), 1);
    let series = "weir_requests_total{endpoint=\"none\",client=\"console\",status=\"404\"}";
    assert_eq!(rig.counted(series), 1);
    assert_eq!(lines[0]["time"].as_str().unwrap().get(..10), Some("2024-10-04"));
}

#[tokio::test]
async fn the_field_of_clients_keys_is_marked_before_anybody_sees_it() {
    let rig = Rig::new();
    let clients = keyed(&[("k1", Arc::clone(&rig.client))]);
    let world = rig.world_of(vec![site("", vec![Arc::clone(&rig.route)])], clients);
    let (witness, _) = witness(&rig);
    witness.world.store(Arc::new(world));
    let fake = Fake::new(|_, request: EdgeRequest| async move {
        let given = request.http.headers().get_all("authorization").iter();
        assert_eq!(given.filter(|value| value.is_sensitive()).count(), 2);
        // Nor is it shown, or what else may be a secret, when the request is printed.
        let shown = format!("{request:?} {:?}", request.http.headers());
        assert!(!shown.contains("s3cr3t"), "{shown}");
        Ok(answer(200, &[], "x"))
    });
    let http = Request::get("/things/s3cr3t?token=s3cr3t")
        .header("authorization", "Bearer s3cr3t")
        .header("authorization", "Bearer another-s3cr3t");
    let told = send(&edge(&witness, fake.clone()), http.body(Body::Empty).unwrap()).await.unwrap();
    assert_eq!((told.status().as_u16(), fake.calls()), (200, 1));
}
