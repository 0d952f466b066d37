//! Replicas, trust, proxies, breakers.

use super::*;
use crate::policy::trust::SystemRoots;

fn zoom(keys: &str, tables: &str) -> String {
    let auth = r#"auth = { kind = "none" }"#;
    format!(
        "[upstreams.a]\n{auth}\n{keys}\n{tables}\n[[upstreams.a.endpoints]]\nid = \"x\"\npath = \"/x\"\n"
    )
}

const URL: &str = r#"base_url = "http://127.0.0.1:9/v""#;

#[test]
fn replicas_differ_by_host_and_port_alone() {
    let many = r#"base_url = ["http://127.0.0.1:9/v", "http://127.0.0.1:10/v"]"#;
    let loaded = good(&zoom(many, ""));
    let reach = &only(&loaded).reach;
    assert_eq!(reach.places.len(), 2);
    assert_eq!((reach.breaker.open.as_secs(), reach.breaker.open_max.as_secs()), (5, 60));
    let alone = good(&zoom(URL, ""));
    let reach = &only(&alone).reach;
    assert_eq!((reach.breaker.open.as_secs(), reach.breaker.open_max.as_secs()), (1, 10));
    let list = |n: usize| {
        let urls: Vec<_> = (1..=n).map(|n| format!("\"http://127.0.0.1:{n}\"")).collect();
        format!("base_url = [{}]", urls.join(", "))
    };
    assert_eq!(only(&good(&zoom(&list(64), ""))).reach.places.len(), 64);
    for (keys, why) in [
        (r#"base_url = ["http://a/v", "https://b/v"]"#.to_owned(), "other schemes or paths"),
        (r#"base_url = ["http://a/v", "http://b/w"]"#.to_owned(), "other schemes or paths"),
        (r#"base_url = ["http://a/v", "http://a/v"]"#.to_owned(), "one of them twice"),
        ("base_url = []".to_owned(), "is required"),
        (list(65), "more than 64"),
        (format!("{many}\nresolve = \"5s\""), "is for one base_url"),
        (format!("{URL}\nresolve = \"5ms\""), "less than 1s"),
        (format!("{URL}\nresolve = \"5s\"\negress_proxy = \"http://p:1\""), "behind egress_proxy"),
    ] {
        let faults = bad(&zoom(&keys, ""));
        assert!(faults.iter().any(|fault| fault.contains(why)), "{why}: {faults:?}");
    }
}

#[test]
fn the_environment_may_say_where_an_upstream_is() {
    let variables = [
        ("WEIR_UPSTREAMS__A__BASE_URL", "http://127.0.0.1:7"),
        ("WEIR_UPSTREAMS__A__EGRESS_PROXY", "http://u:hunter2@own:8"),
        ("WEIR_UPSTREAMS__A__BREAKER__FAILURES", "7"),
    ];
    for keys in [URL, r#"base_url = ["http://a", "http://b"]"#] {
        let loaded = good_with(&zoom(keys, ""), &variables);
        let upstream = only(&loaded);
        assert_eq!((upstream.reach.places.len(), upstream.base_url.port_u16()), (1, Some(7)));
        assert_eq!(upstream.reach.breaker.failures, 7);
        assert!(upstream.reach.places[0].egress.is_some());
        assert!(!format!("{loaded:?}").contains("hunter2"));
        assert!(!loaded.warnings.iter().any(|w| w.to_string().contains("password")));
    }
}

#[test]
fn figures_that_make_no_sense_are_faults() {
    for (table, why) in [
        ("[upstreams.a.breaker]\nopen = \"0s\"", "breaker.open: is zero"),
        ("[upstreams.a.breaker]\nopen = \"5s\"\nopen_max = \"1s\"", "is less than open"),
        ("[upstreams.a.health]\ninterval = \"5s\"", "health.path: is not a path"),
        ("[upstreams.a.health]\npath = \"healthz\"", "health.path: is not a path"),
        ("[upstreams.a.health]\npath = \"/h\"\ninterval = \"1ms\"", "less than 100ms"),
        ("[upstreams.a.health]\npath = \"/h\"\nunhealthy = 0", "health.unhealthy: is zero"),
        ("[upstreams.a.health]\npath = \"/h\"\ntimeout = \"0s\"", "health.timeout: is zero"),
    ] {
        let faults = bad(&zoom(URL, table));
        assert!(faults.iter().any(|fault| fault.contains(why)), "{why}: {faults:?}");
    }
    let never = good(&zoom(URL, "[upstreams.a.breaker]\nfailures = 0"));
    assert_eq!(only(&never).reach.breaker.failures, u32::MAX);
}

#[test]
fn a_proxy_is_the_upstreams_own_or_the_environments_and_never_before_this_machine() {
    let env = |pairs: &[(&str, &str)]| -> Env {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    };
    let proxies = env(&[
        ("HTTPS_PROXY", "http://user:pass@outer:3128"),
        ("http_proxy", "http://plain:1"),
        ("NO_PROXY", "internal.test,10.0.0.0/8"),
        ("P", "http://u:hunter2@own:8"),
    ]);
    for (keys, proxy, authorized) in [
        ("base_url = \"https://api.test\"", Some("http://outer:3128/"), true),
        ("base_url = \"http://api.test\"", Some("http://plain:1/"), false),
        ("base_url = \"https://a.internal.test\"", None, false),
        ("base_url = \"http://10.1.2.3\"", None, false),
        ("base_url = \"http://localhost\"", None, false),
        ("base_url = \"http://[::1]:8\"", None, false),
        ("base_url = \"https://api.test\"\negress_proxy = \"none\"", None, false),
        (
            "base_url = \"http://127.0.0.1:8\"\negress_proxy = { env = \"P\" }",
            Some("http://own:8/"),
            true,
        ),
    ] {
        let loaded = from_text("weir.toml", &zoom(keys, ""), &proxies).unwrap();
        let egress = only(&loaded).reach.places[0].egress.clone();
        let found = egress.as_ref().map(|egress| egress.proxy.to_string());
        assert_eq!(found.as_deref(), proxy, "{keys}");
        let basic = egress.as_ref().is_some_and(|egress| egress.authorization.is_some());
        assert_eq!(basic, authorized, "{keys}");
        let all = format!("{loaded:?}");
        assert!(!all.contains("hunter2") && !all.contains("pass@"), "{keys}");
    }
    let written =
        zoom("base_url = \"http://a.test\"\negress_proxy = \"http://u:hunter2@own:8\"", "");
    let loaded = good(&written);
    assert!(loaded.effective.contains("http://***@own:8"), "{}", loaded.effective);
    assert!(!format!("{loaded:?}").contains("hunter2"));
    assert!(loaded.warnings.iter().any(|w| w.to_string().contains("a password stands")));
    for wrong in ["socks5://p:1", "https://p:1", "p", "http://", "", "http://hunter2@"] {
        let keys = format!("base_url = \"http://a.test\"\negress_proxy = {wrong:?}");
        let faults = bad(&zoom(&keys, ""));
        assert!(faults[0].contains("is not the address of an http proxy"), "{wrong}: {faults:?}");
        assert!(!faults[0].contains("hunter2"));
    }
}

#[test]
fn certificates_are_read_and_have_to_fit() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let made = || rcgen::generate_simple_self_signed(["a.test".to_owned()]).unwrap();
    let (one, other) = (made(), made());
    std::fs::write(at("ca.pem"), one.cert.pem().repeat(200)).unwrap();
    std::fs::write(at("cert.pem"), one.cert.pem()).unwrap();
    std::fs::write(at("key.pem"), one.signing_key.serialize_pem()).unwrap();
    std::fs::write(at("other.pem"), other.signing_key.serialize_pem()).unwrap();
    std::fs::write(at("empty.pem"), "").unwrap();
    let load = |tls: &str| {
        let table = format!("[upstreams.a.tls]\n{tls}");
        std::fs::write(at("weir.toml"), zoom("base_url = \"https://a.test\"", &table)).unwrap();
        load(&at("weir.toml"), &Env::new())
    };
    let all = "ca_file = \"ca.pem\"\nsystem_roots = false\nclient_cert = \"cert.pem\"\n\
               client_key = \"key.pem\"\nserver_name = \"other.test\"";
    let loaded = load(all).unwrap();
    let trust = only(&loaded).reach.trust.clone();
    assert!(std::fs::metadata(at("ca.pem")).unwrap().len() > 64 << 10, "larger than a secret");
    assert_eq!((trust.authorities.len(), trust.system), (200, SystemRoots::Ignored));
    assert!(trust.identity.is_some() && trust.server_name.is_some());
    assert_eq!(only(&load(all).unwrap()).reach, only(&loaded).reach, "nothing has changed");
    std::fs::write(at("ca.pem"), other.cert.pem()).unwrap();
    assert_ne!(only(&load(all).unwrap()).reach, only(&loaded).reach, "what it says has");
    for (tls, why) in [
        ("ca_file = \"nowhere.pem\"", "tls.ca_file: \"nowhere.pem\" cannot be read"),
        ("ca_file = \"empty.pem\"", "tls.ca_file: holds no certificate"),
        ("ca_file = \"key.pem\"", "tls.ca_file: holds no certificate"),
        ("system_roots = false", "tls.system_roots: leaves nobody to trust"),
        ("client_cert = \"cert.pem\"", "tls.client_key: is required with client_cert"),
        ("client_key = \"key.pem\"", "tls.client_cert: is required with client_key"),
        ("client_cert = \"cert.pem\"\nclient_key = \"other.pem\"", "is not the key of"),
        ("client_cert = \"empty.pem\"\nclient_key = \"key.pem\"", "holds no certificate"),
        ("server_name = \"a b\"", "tls.server_name: is not a host's name"),
    ] {
        let faults = load(tls).unwrap_err().to_string();
        assert!(faults.contains(why), "{why}: {faults}");
    }
}

#[test]
fn a_secret_in_the_place_of_its_name_is_not_quoted() {
    let secret = "sk_live_51HabcdefGHIJKLmnopqrstuvwxyz0123456789";
    let pem = "-----BEGIN PRIVATE KEY-----\\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSj";
    let named = format!(
        "[upstreams.a]\nbase_url = \"https://a.test\"\n\
         tls = {{ ca_file = \"{pem}\", client_cert = \"{pem}\", client_key = \"{pem}\", \
         server_name = \"{secret} x\" }}\n\
         [upstreams.a.auth]\nkind = \"bearer\"\ntoken = {{ file = \"{secret}\" }}\n\
         [[upstreams.a.endpoints]]\nid = \"a\"\npath = \"/a\"\n\
         [[clients]]\nname = \"a\"\nkey = {{ env = \"{secret}\" }}\nsubjects = [\"s\"]\n\
         [server.jwt]\njwks = \"{{{secret}}}\"\nissuer = \"a\"\naudience = \"a\"\n"
    );
    let faults = bad(&named);
    for key in
        ["ca_file", "client_cert", "client_key", "server_name", "token.file", "key.env", "jwks"]
    {
        assert!(faults.iter().any(|fault| fault.contains(key)), "{key}: {faults:#?}");
    }
    for fault in faults {
        assert!(!fault.contains("sk_live") && !fault.contains("MIIEvQ"), "{fault}");
    }
}

#[test]
fn a_proxy_that_cannot_be_one_is_a_fault() {
    for (proxy, good) in [
        ("http://127.0.0.1:3128", true),
        ("http://u:p@proxy:3128/", true),
        ("http://proxy", true),
        ("http://proxy:99999", false),
        ("http://proxy:0", false),
        ("http://proxy:x", false),
        ("http://proxy:3128/path", false),
        ("http://proxy:3128?query", false),
    ] {
        let text = format!(
            "[upstreams.a]\nbase_url = \"http://a.test\"\negress_proxy = \"{proxy}\"\n\
             auth = {{ kind = \"none\" }}\n[[upstreams.a.endpoints]]\nid = \"a\"\npath = \"/a\"\n"
        );
        let loaded = from_text("weir.toml", &text, &Env::new());
        assert_eq!(loaded.is_ok(), good, "{proxy}");
    }
}
