//! No secret of a client, of the operator or of a token endpoint in any output, at any level.

use http::Method;
use weir::clock::Clock;

use crate::support::child::{argument, file, run};
use crate::support::issuer::Issuer;
use crate::support::upstream::{Received, answer};
use crate::support::{Child, Client, Upstream, until};

const KEY: &str = "k3y-in-the-file-0123456789";
const KEY_FROM_FILE: &str = "k3y-from-a-file-0123456789";
const WRONG_KEY: &str = "wr0ng-key-0123456789";
const ADMIN: &str = "adm1n-token-0123456789";
const WRONG_ADMIN: &str = "wr0ng-admin-0123456789";
const PASSWORD: &str = "p4ssword-of-basic-0123456789";
const HEADER: &str = "h3ader-value-0123456789";
const CLIENT_SECRET: &str = "cl1ent-secret-0123456789";
const ACCESS_TOKEN: &str = "acc3ss-token-0123456789";
const REFUSAL: &str = "r3fusal-of-the-token-endpoint-0123456789";
const UPSTREAM_COOKIE: &str = "upstr3am-cookie-0123456789";
const OWN_BEARER: &str = "0wn-bearer-0123456789";
const SIGNATURE: &str = "v0=s1gnature-0123456789";
const IN_URL: &str = "1n-the-url-0123456789";

fn upstream(request: &Received) -> String {
    let cookie = format!("set-cookie: s={UPSTREAM_COOKIE}\r\ncache-control: no-store\r\n");
    match request.target.split('?').next().unwrap_or_default() {
        "/token" => {
            let body = format!("{{\"access_token\":\"{ACCESS_TOKEN}\",\"expires_in\":3600}}");
            answer(200, "content-type: application/json\r\n", &body)
        }
        "/no-token" => answer(400, "", &format!("{{\"error\":\"{REFUSAL}\"}}")),
        "/x/garbage" => "what is this".to_owned(),
        "/x/refused" => answer(401, &cookie, "no"),
        "/x/stumbles" => answer(500, &cookie, "no"),
        _ => answer(200, &cookie, "ok"),
    }
}

/// One upstream for each kind of credential.
fn config(at: &Upstream, issuer: &Issuer, key_file: &str) -> String {
    let address = at.address;
    let oauth2 = |path: &str| {
        format!(
            "kind = \"oauth2\"\ntoken_url = \"http://{address}/{path}\"\n\
             client_id = {{ value = \"id\" }}\nclient_secret = {{ value = \"{CLIENT_SECRET}\" }}"
        )
    };
    let upstreams: Vec<String> = [
        ("basic", format!("kind = \"basic\"\nusername = {{ value = \"u\" }}\npassword = {{ value = \"{PASSWORD}\" }}")),
        ("header", format!("kind = \"header\"\nname = \"x-secret\"\nvalue = {{ value = \"{HEADER}\" }}")),
        ("oauth2", oauth2("token")),
        ("refused", oauth2("no-token")),
    ]
    .iter()
    .map(|(name, auth)| {
        format!(
            "[upstreams.{name}]\nbase_url = \"http://{address}/x\"\nmount = \"/{name}\"\nmax_retries = 0\n\
             [upstreams.{name}.auth]\n{auth}\n\
             [[upstreams.{name}.endpoints]]\nid = \"all\"\nmethod = \"*\"\npath = \"/{{*rest}}\"\n"
        )
    })
    .collect();
    format!(
        "[server]\nlisten = \"127.0.0.1:0\"\nkey_header = \"x-api-key\"\n{}\
         [admin]\nlisten = \"127.0.0.1:0\"\ntoken = {{ value = \"{ADMIN}\" }}\n\
         [log]\nformat = \"json\"\nlevel = \"trace\"\n\
         [[clients]]\nname = \"console\"\nkey = {{ value = \"{KEY}\" }}\n\
         keys = [{{ file = {key_file:?} }}]\nsubjects = [\"svc\"]\n{}",
        issuer.table(),
        upstreams.concat(),
    )
}

fn base64(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}

/// Everything that clients and the operator are told; what they sent is in `secrets` by then.
async fn provoke(child: &Child, shown: &[String]) -> String {
    let mut told = String::new();
    for key in shown {
        let client = Client::new(child.public)
            .with("x-api-key", key)
            .with("authorization", &format!("Bearer {OWN_BEARER}"))
            .with("x-zm-signature", SIGNATURE)
            .with("cookie", &format!("s={OWN_BEARER}"));
        for upstream in ["basic", "header", "oauth2", "refused", "nowhere"] {
            for path in ["good", "garbage", "refused", "stumbles"] {
                let names = ["access_token", "signature", "key", "token", "password", "secret"];
                let query: Vec<_> = names.iter().map(|name| format!("{name}={IN_URL}")).collect();
                let target = format!("/{upstream}/{path}?{}", query.join("&"));
                told += &client.get(&target).await.everything();
            }
        }
    }
    for token in [ADMIN, WRONG_ADMIN] {
        let admin = Client::new(child.admin).with("authorization", &format!("Bearer {token}"));
        for action in ["/purge?all=true", "/purge?tag=none", "/reopen", "/nowhere"] {
            told += &admin.request(Method::POST, action, "").await.everything();
        }
        for page in ["/metrics", "/status", "/readyz", "/livez"] {
            told += &admin.get(page).await.everything();
        }
    }
    told
}

#[track_caller]
fn assert_none(place: &str, text: &str, secrets: &[String]) {
    for secret in secrets {
        let line = text.lines().find(|line| line.contains(secret.as_str()));
        assert!(line.is_none(), "{place} tells {secret}: {line:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_proves_anything_is_told() {
    let at = Upstream::start(upstream).await;
    let issuer = Issuer::new();
    let (_directory, key_file) = file(KEY_FROM_FILE);
    let text = config(&at, &issuer, argument(&key_file));
    let now = Clock::system().wall();
    let tokens = [
        issuer.token("svc", 600, now),
        issuer.token("stranger", 600, now),
        issuer.token("svc", -600, now),
        Issuer::new().token("svc", 600, now),
    ];
    let mut shown: Vec<String> = [KEY, KEY_FROM_FILE, WRONG_KEY].map(Into::into).into();
    shown.extend(tokens.iter().cloned());
    let mut secrets: Vec<String> = [
        KEY,
        KEY_FROM_FILE,
        WRONG_KEY,
        ADMIN,
        WRONG_ADMIN,
        PASSWORD,
        HEADER,
        CLIENT_SECRET,
        ACCESS_TOKEN,
        REFUSAL,
        OWN_BEARER,
        SIGNATURE,
        IN_URL,
    ]
    .map(Into::into)
    .into();
    // Neither whole nor in part: the signature is what counts. Nor in another coding.
    secrets.extend(tokens.iter().map(|token| token.rsplit('.').next().unwrap().to_owned()));
    secrets.push(base64(&format!("u:{PASSWORD}")));
    secrets.push(base64(&format!("id:{CLIENT_SECRET}")));

    let mut child = Child::serve(&text).await;
    let told = provoke(&child, &shown).await;
    assert!(told.contains(UPSTREAM_COOKIE), "who asks gets the upstream's cookie");
    assert_none("an answer", &told, &secrets);
    secrets.push(UPSTREAM_COOKIE.to_owned());
    child.signal("HUP").await;
    until("reloaded", async || child.said().contains("configuration reloaded").then_some(())).await;
    child.signal("TERM").await;
    assert_eq!(child.ended().await, Some(0));
    let said = child.said();
    assert!(said.contains("\"level\":\"TRACE\"") && said.contains("request failed"), "{said}");
    assert!(said.contains("no token") && said.contains("\"client\":\"console\""), "{said}");
    assert_none("the log", &said, &secrets);
}

#[tokio::test(flavor = "multi_thread")]
async fn check_tells_none_of_them_either() {
    let at = Upstream::start(upstream).await;
    let issuer = Issuer::new();
    let (_directory, key_file) = file(KEY_FROM_FILE);
    let good = config(&at, &issuer, argument(&key_file));
    let secrets = [KEY, KEY_FROM_FILE, ADMIN, PASSWORD, HEADER, CLIENT_SECRET, "url-pass"]
        .map(ToOwned::to_owned);
    let key = format!("key = {{ value = \"{KEY}\" }}");
    for (text, code) in [
        (good.clone(), 0),
        (good.replace(&key, &format!("key = \"{KEY}\"")), 78),
        (good.replace(&key, &format!("keys = \"{KEY}\"")), 78),
        (good.replace(&key, &format!("key = {{ sha256 = \"{KEY}\" }}")), 78),
        (
            good.replace(&key, &format!("{key}\ncertificates = 7\nsubjects = {{ x = \"{KEY}\" }}")),
            78,
        ),
        // The same key twice, and a credential where it does not belong.
        (good.replace("keys = [{", &format!("keys = [{{ value = \"{KEY}\" }}, {{")), 78),
        (good.replace("http://127", "http://user:url-pass@127"), 78),
    ] {
        let (_directory, path) = file(&text);
        let output = run(&["check", "-c", argument(&path)]).await;
        let said =
            String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert_none("check", &said, &secrets);
    }
}
