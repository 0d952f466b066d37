use http::{Method, Request};

use super::*;
use crate::layers::identify::IdentifyLayer;
use crate::layers::render_errors::RenderErrorsLayer;
use crate::layers::testing::{
    Fake, Rig, Setup, answer, endpoint, field, keyed, route, send, share, site, text, upstream,
};
use crate::policy::credential::AuthScheme;
use crate::policy::endpoint::{
    CacheRule, Endpoint, EndpointId, KeyRule, Methods, Parameter, ParameterKind, UpstreamId,
};
use crate::policy::params::Canonical;
use crate::policy::permission::EndpointSet;
use crate::secret::Secret;
use crate::world::locate::MAX_PATH;
use crate::world::{Client, Clients, Site, World};

fn of(rig: &Rig, mount: &str, name: &str, endpoints: Vec<Endpoint>) -> Site {
    let upstream = upstream(name, Setup::default(), &rig.metrics, &rig.clock);
    let routes = endpoints.into_iter().map(|endpoint| route(&upstream, endpoint, &rig.metrics));
    site(mount, routes.collect())
}

/// The root, `/a` and `/a/b`, each with an upstream of its own.
fn three(rig: &Rig) -> World {
    let listed =
        |methods: &[Method], path| endpoint("listed", Methods::Listed(methods.to_vec()), path);
    let type_ = Parameter {
        name: "type".into(),
        kind: ParameterKind::OneOf(vec!["live".into(), "past".into()]),
        default: Some("live".into()),
        required: false,
    };
    let sites = vec![
        of(rig, "/a/b", "deep", vec![listed(&[Method::GET, Method::PUT], "/x/{id}")]),
        of(
            rig,
            "/a",
            "shallow",
            vec![listed(&[Method::GET], "/b/x/{id}"), listed(&[Method::GET], "/y/{id}")],
        ),
        of(
            rig,
            "",
            "root",
            vec![
                Endpoint {
                    id: EndpointId::new("users"),
                    parameters: vec![type_],
                    key: KeyRule::Only(vec!["type".into()]),
                    ..listed(&[Method::GET], "/users")
                },
                listed(&[Method::POST], "/c/{id}"),
                endpoint("rest", Methods::Any, "/files/{*rest}"),
            ],
        ),
    ];
    rig.world_of(sites, Clients::Anonymous(Arc::clone(&rig.client)))
}

/// Says where a request was led, and what would be asked there.
fn telltale() -> Fake<RoutedRequest> {
    Fake::new(|_, request: RoutedRequest| async move {
        let parameters = request.key.parameters();
        let target = parameters.target(&request.route.endpoint.path, request.route.spelling);
        let mut names: Vec<_> = request.headers.keys().map(http::HeaderName::as_str).collect();
        names.sort_unstable();
        let led = format!("{} {} {target}", request.method, request.route.upstream.id);
        Ok(answer(200, &[("x-seen", &names.join(" "))], led))
    })
}

async fn led(rig: &Rig, method: Method, uri: &str) -> String {
    let stack = RenderErrorsLayer.layer(IdentifyLayer.layer(RouteLayer.layer(telltale())));
    let http = Request::builder().method(method).uri(uri).body(Body::Empty).unwrap();
    let answer = send(&stack, rig.edge(three(rig), http)).await.unwrap();
    match field(&answer, "weir-error") {
        "" => text(answer).await,
        "method-not-allowed" => format!("405 {}", field(&answer, "allow")),
        code => format!("{} {code}", answer.status().as_u16()),
    }
}

#[tokio::test]
async fn the_longest_mount_that_has_an_answer_wins() {
    let rig = Rig::new();
    for (uri, expected) in [
        ("/a/b/x/1", "GET deep /x/1"),
        ("/a/y/1", "GET shallow /y/1"),
        ("/users", "GET root /users?type=live"),
        ("http://other.test/a/b/x/1", "GET deep /x/1"),
        ("/ab/x/1", "404 unknown-endpoint"),
        ("/a/bx/1", "404 unknown-endpoint"),
        ("/a", "404 unknown-endpoint"),
        ("/nowhere", "404 unknown-endpoint"),
        ("/A/b/x/1", "404 unknown-endpoint"),
        ("/", "404 unknown-endpoint"),
    ] {
        assert_eq!(led(&rig, Method::GET, uri).await, expected, "{uri}");
    }
}

#[tokio::test]
async fn a_method_that_is_not_there_is_told_which_are() {
    let rig = Rig::new();
    for (method, uri, expected) in [
        (Method::HEAD, "/a/b/x/1", "HEAD deep /x/1"),
        (Method::PUT, "/a/b/x/1", "PUT deep /x/1"),
        (Method::DELETE, "/a/b/x/1", "405 GET, HEAD, PUT"),
        (Method::DELETE, "/users", "405 GET, HEAD"),
        (Method::GET, "/c/1", "405 POST"),
        (Method::DELETE, "/files/x", "DELETE root /files/x"),
        (Method::DELETE, "/nowhere", "404 unknown-endpoint"),
    ] {
        let told = led(&rig, method.clone(), uri).await;
        assert_eq!(told, expected, "{method} {uri}");
    }
}

#[tokio::test]
async fn dot_segments_are_refused_however_they_are_spelt() {
    let rig = Rig::new();
    for path in [
        "/files/../users",
        "/files/%2e%2e/users",
        "/files/.%2E/users",
        "/files/%2E./users",
        "/files/./x",
        "/files/%2e",
        "/..",
        "/a/b/x/..",
        "/a/../users",
        "/a/b/x/%252e%252e",
    ] {
        assert_eq!(led(&rig, Method::GET, path).await, "400 bad-path", "{path}");
    }
    for path in ["/files/...", "/files/..x", "/files/x.."] {
        assert!(led(&rig, Method::GET, path).await.starts_with("GET "), "{path}");
    }
    let long = format!("/files/{}", "x".repeat(MAX_PATH));
    assert_eq!(led(&rig, Method::GET, &long).await, "400 bad-path");
    assert_eq!(led(&rig, Method::OPTIONS, "*").await, "400 bad-path");
}

#[tokio::test]
async fn parameters_are_checked_and_spelt_one_way() {
    let rig = Rig::new();
    for (uri, expected) in [
        ("/users?type=past&other=1", "GET root /users?type=past"),
        ("/users?type=nonsense", "400 bad-parameter"),
        ("/users?type=live&type=past", "400 bad-parameter"),
        ("/a/b/x/%41%2f?b=2&a=1", "GET deep /x/A%2F?a=1&b=2"),
        ("/a/b/x/%ff", "400 bad-parameter"),
    ] {
        assert_eq!(led(&rig, Method::GET, uri).await, expected, "{uri}");
    }
}

#[tokio::test]
async fn what_was_for_us_goes_no_further() {
    let rig = Rig::new();
    let mut http = Request::get("/a/y/1").body(Body::Empty).unwrap();
    for (name, value) in [
        ("authorization", "Bearer k1"),
        ("proxy-authorization", "Basic x"),
        ("cookie", "a=b"),
        ("host", "weir.test"),
        ("connection", "keep-alive, x-hop"),
        ("x-hop", "1"),
        ("te", "trailers"),
        ("upgrade", "h2c"),
        ("accept", "application/json"),
        ("x-own", "1"),
    ] {
        http.headers_mut().append(name, value.parse().unwrap());
    }
    http.headers_mut().append("authorization", "Bearer another".parse().unwrap());
    let stack = IdentifyLayer.layer(RouteLayer.layer(telltale()));
    let request = rig.edge(three(&rig), http);
    let record = Arc::clone(&request.record);
    let answer = send(&stack, request).await.unwrap();
    // Nobody has to prove anything here, nor do we to the upstream: it is between those two.
    assert_eq!(field(&answer, "x-seen"), "accept authorization x-own");
    assert_eq!(record.route().unwrap().upstream.id.as_str(), "shallow");
}

#[tokio::test]
async fn a_key_of_ours_goes_no_further_nor_does_anything_beside_our_credential() {
    type Who = fn(&Rig) -> Clients;
    let key = |rig: &Rig| keyed(&[("k1", Arc::clone(&rig.client))]);
    let anonymous = |rig: &Rig| Clients::Anonymous(Arc::clone(&rig.client));
    let bearer = AuthScheme::Bearer { token: Secret::new("ours") };
    for (who, auth) in [(key as Who, AuthScheme::None), (anonymous as Who, bearer)] {
        let rig = Rig::with(|setup| setup.auth = auth);
        let site = site("", vec![Arc::clone(&rig.route)]);
        let world = rig.world_of(vec![site], who(&rig));
        let http = Request::get("/things/a").header("authorization", "Bearer k1");
        let request = rig.edge(world, http.header("accept", "*/*").body(Body::Empty).unwrap());
        let stack = IdentifyLayer.layer(RouteLayer.layer(telltale()));
        let answer = send(&stack, request).await.unwrap();
        assert_eq!(field(&answer, "x-seen"), "accept");
    }
}

#[tokio::test]
async fn a_request_that_would_echo_our_credential_or_open_a_tunnel_is_refused() {
    let rig = Rig::new();
    for method in [Method::TRACE, Method::CONNECT] {
        let answer = led(&rig, method, "/files/x").await;
        assert!(answer.starts_with("405 GET, HEAD, POST"), "{answer}");
    }
}

#[tokio::test]
async fn an_upstreams_own_path_means_what_a_clients_does() {
    let rig = Rig::new();
    let world = three(&rig);
    let deep = world.table(&UpstreamId::new("deep")).unwrap();
    let ours = world.locate(&Method::GET, "/a/b/x/%41", Some("b=2&a=1"), |_| {}).unwrap();
    let theirs = deep.locate(&Method::GET, "/x/A", Some("a=1&b=2")).unwrap();
    let key = |(route, parameters): (Arc<Route>, _)| route.key(Some(&rig.client), parameters);
    assert_eq!(key(ours), key(theirs));
    for (method, path) in
        [(Method::GET, "/x/%2e%2e"), (Method::GET, "/x/%zz"), (Method::TRACE, "/x/A")]
    {
        assert!(deep.locate(&method, path, None).is_err(), "{method} {path}");
    }
    assert!(world.table(&UpstreamId::new("nowhere")).is_none());
}

#[tokio::test]
async fn the_client_is_part_of_a_key_where_the_rule_says_so_and_never_of_the_question() {
    for (vary_by_client, same) in [(true, false), (false, true)] {
        let rig = Rig::with(|setup| {
            if let CacheRule::Override(rule) = &mut setup.cache {
                rule.vary_by_client = vary_by_client;
            }
        });
        let nothing = || Canonical::of(&[], &[]);
        let (one, nobody) =
            (rig.route.key(Some(&rig.client), nothing()), rig.route.key(None, nothing()));
        assert_eq!(one == nobody, same);
        assert_eq!(one.question(), nobody.question());
    }
}

#[tokio::test]
async fn a_client_asks_what_it_may_and_learns_nothing_of_the_rest() {
    let rig = Rig::new();
    for (allowed, target, expected) in [
        (EndpointSet::All, "/things/a", "200 "),
        (EndpointSet::only([0]), "/things/a", "200 "),
        (EndpointSet::only([1]), "/things/a", "403 forbidden"),
        (EndpointSet::only([]), "/things/a", "403 forbidden"),
        // Whether its parameters would be good is not its business either.
        (EndpointSet::only([]), "/things/%ff", "403 forbidden"),
        (EndpointSet::All, "/things/%ff", "400 bad-parameter"),
        (EndpointSet::only([]), "/nowhere", "404 unknown-endpoint"),
    ] {
        let client = Client::new(0, share("console"), None, &rig.clock).limited_to(allowed.clone());
        let site = site("", vec![Arc::clone(&rig.route)]);
        let world = rig.world_of(vec![site], keyed(&[("k1", Arc::new(client))]));
        let http = Request::get(target).header("authorization", "Bearer k1");
        let request = rig.edge(world, http.body(Body::Empty).unwrap());
        let record = Arc::clone(&request.record);
        let fake = telltale();
        let stack = RenderErrorsLayer.layer(IdentifyLayer.layer(RouteLayer.layer(fake.clone())));
        let answer = send(&stack, request).await.unwrap();
        let told = format!("{} {}", answer.status().as_u16(), field(&answer, "weir-error"));
        assert_eq!(told, expected, "{allowed:?} {target}");
        assert_eq!(fake.calls(), usize::from(expected == "200 "), "{allowed:?} {target}");
        // It is counted with client and endpoint all the same.
        assert_eq!(record.route().is_some(), target != "/nowhere");
        assert!(record.client().is_some());
    }
}

#[tokio::test]
async fn a_request_that_is_printed_shows_nothing_that_a_client_sent() {
    let rig = Rig::new();
    let mut request = rig.ask(Method::GET, "s3cr3t");
    let mut fetch = rig.fetch(Method::GET);
    fetch.target = "/things/s3cr3t?access_token=s3cr3t".into();
    for headers in [&mut request.headers, &mut fetch.headers] {
        headers.insert("x-api-key", "s3cr3t".parse().unwrap());
    }
    let shown = format!("{request:?} {fetch:?}");
    assert!(shown.contains("things") && !shown.contains("s3cr3t"), "{shown}");
}
