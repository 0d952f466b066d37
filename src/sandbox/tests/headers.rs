//! What the answers say of the limits.

use http::StatusCode;
use serde_json::json;

use super::*;

const STATED: [&str; 5] = [
    "x-ratelimit-category",
    "x-ratelimit-type",
    "x-ratelimit-limit",
    "x-ratelimit-remaining",
    "retry-after",
];

/// One Heavy request a second and two a day, so that both refusals are near.
fn narrow() -> Sandbox {
    let figures = Figures { heavy: 1, daily: 2, ..Plan::Pro.figures() };
    with(Options { figures: Some(figures), ..Options::default() })
}

async fn heavy(sandbox: &Sandbox) -> Response<Bytes> {
    get(sandbox, &users_path(&sandbox.biggest_session_id())).await
}

async fn light(sandbox: &Sandbox) -> Response<Bytes> {
    let id = twice(&sandbox.session_id(IdKind::Plain));
    let put = request(sandbox, Method::PUT, &format!("/v2/videosdk/sessions/{id}/status"));
    send(sandbox, put).await
}

/// An admitted Heavy request, one over the second's limit, one over the day's, and a Light one.
async fn answers(sandbox: &Sandbox) -> [Response<Bytes>; 4] {
    let (admitted, second) = (heavy(sandbox).await, heavy(sandbox).await);
    sandbox.spend(Label::Heavy, 1);
    let day = heavy(sandbox).await;
    let light = light(sandbox).await;
    let statuses = [&admitted, &second, &day].map(|answer| answer.status().as_u16());
    assert_eq!(statuses, [200, 429, 429]);
    [admitted, second, day, light]
}

/// The values of `STATED` in that order, "" for none.
fn stated(answer: &Response<Bytes>) -> [&str; 5] {
    STATED.map(|name| {
        let values: Vec<_> = answer.headers().get_all(name).iter().collect();
        assert!(values.len() < 2, "{name} stands twice");
        values.first().map_or("", |value| value.to_str().unwrap())
    })
}

fn text(text: &str) -> HeaderText {
    text.parse().unwrap()
}

#[tokio::test(start_paused = true)]
async fn honest_headers_tell_what_is_so() {
    let answers = answers(&narrow()).await;
    assert_eq!(
        answers.each_ref().map(stated),
        [
            ["Heavy", "", "2", "1", ""],
            ["Heavy", "QPS", "2", "1", ""],
            ["Heavy", "Daily-limit", "2", "0", "2024-10-05T00:00:00Z"],
            ["Light", "", "", "", ""],
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn missing_headers_stay_away_until_honesty_returns() {
    let sandbox = narrow();
    sandbox.set_headers(HeaderStyle::Missing);
    for answer in answers(&sandbox).await {
        assert_eq!(stated(&answer), [""; 5], "{}", answer.status());
        assert!(answer.headers().contains_key("x-zm-trackingid"), "only these stay away");
    }
    sandbox.set_headers(HeaderStyle::Honest);
    assert_eq!(stated(&heavy(&sandbox).await)[1], "Daily-limit");
}

#[tokio::test(start_paused = true)]
async fn a_lie_about_what_remains_is_on_every_labelled_answer() {
    for lie in ["0", "-5", "99999999999", "soon"] {
        let sandbox = narrow();
        sandbox.set_headers(HeaderStyle::Lying(Lies {
            remaining: Some(text(lie)),
            ..Lies::default()
        }));
        let answers = answers(&sandbox).await;
        assert_eq!(
            answers.each_ref().map(stated),
            [
                ["Heavy", "", "2", lie, ""],
                ["Heavy", "QPS", "2", lie, ""],
                ["Heavy", "Daily-limit", "2", lie, "2024-10-05T00:00:00Z"],
                ["Light", "", "", lie, ""],
            ]
        );
        // Who is not let in hears nothing of the limits, true or not.
        let path = users_path(&sandbox.biggest_session_id());
        let stranger = Request::get(path).body(Full::default()).unwrap();
        assert_eq!(stated(&send(&sandbox, stranger).await), [""; 5]);
        assert_eq!(sandbox.counters().daily.unwrap().remaining, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_lie_about_retrying_is_on_every_429_and_one_about_the_category_where_it_stands() {
    let sandbox = narrow();
    let lies =
        Lies { retry_after: Some(text("soon")), category: Some(text("Light")), remaining: None };
    sandbox.set_headers(HeaderStyle::Lying(lies));
    assert_eq!(
        answers(&sandbox).await.each_ref().map(stated),
        [
            ["Light", "", "2", "1", ""],
            ["Light", "QPS", "2", "1", "soon"],
            ["Light", "Daily-limit", "2", "0", "soon"],
            ["Light", "", "", "", ""],
        ]
    );
    // A 429 that a fault ordered is one as well, even of the token endpoint.
    sandbox.inject(Fault::new(FaultKind::Status(StatusCode::TOO_MANY_REQUESTS), 2));
    assert_eq!(stated(&light(&sandbox).await), ["Light", "QPS", "", "", "soon"]);
    let token = Request::post("/oauth/token").body(Full::default()).unwrap();
    assert_eq!(stated(&send(&sandbox, token).await), ["", "", "", "", "soon"]);
}

#[tokio::test(start_paused = true)]
async fn people_choose_the_style_by_the_control_surface() {
    let sandbox = narrow();
    let post = async |query: &str| {
        steer(&sandbox, Method::POST, &format!("/_sandbox/headers?{query}")).await
    };
    heavy(&sandbox).await;
    let now = async || {
        let answer = heavy(&sandbox).await;
        stated(&answer).map(str::to_owned)
    };
    for (query, expected) in [
        ("style=missing", ["", "", "", "", ""]),
        ("remaining=-5", ["Heavy", "QPS", "2", "-5", ""]),
        ("retry_after=in%20a%20while", ["Heavy", "QPS", "2", "1", "in a while"]),
        ("category=Light", ["Light", "QPS", "2", "1", ""]),
        ("remaining=0&retry_after=1&category=x", ["x", "QPS", "2", "0", "1"]),
        ("style=honest", ["Heavy", "QPS", "2", "1", ""]),
    ] {
        assert_eq!(post(query).await, (200, json!({ "ok": true })), "{query}");
        assert_eq!(now().await, expected, "{query}");
        // It stands until it is set again, and neither of these sets it.
        steer(&sandbox, Method::DELETE, "/_sandbox/fault").await;
        steer(&sandbox, Method::POST, "/_sandbox/reset").await;
        assert_eq!(now().await, expected, "{query}");
    }
    let long = "x".repeat(128);
    assert_eq!(post(&format!("remaining={long}")).await.0, 200);
    assert_eq!(now().await[3], long);
    for bad in [
        "",
        "style=",
        "style=kind",
        "style=honest&remaining=0",
        "style=missing&category=Light",
        "remaining=a%0Ab",
        "retry_after=%00",
        "category=a%0D%0Ab:c",
        &format!("remaining={long}x"),
        &format!("retry_after={long}x"),
        &format!("category={long}x"),
    ] {
        let (status, body) = post(bad).await;
        assert_eq!(status, 400, "{bad}");
        assert!(body["error"].is_string(), "{body}");
    }
    assert_eq!(now().await[3], long, "what was refused changed nothing");
}

#[test]
fn a_text_is_a_legal_value_of_bounded_length() {
    for good in ["", "0", "a b", &"x".repeat(128)] {
        assert_eq!(good.parse::<HeaderText>().unwrap().to_string(), good);
    }
    for bad in ["a\nb", "\0", &"x".repeat(129)] {
        assert!(bad.parse::<HeaderText>().is_err(), "{bad:?}");
    }
}
