//! Wrong endpoints and credentials, and exactly what is printed about them.

use super::faults::{check, check_with_upstream};
use super::*;

#[test]
fn endpoints() {
    check_with_upstream(
        r#"[[upstreams.u.endpoints]]
path = "/nameless"
[[upstreams.u.endpoints]]
id = "all"
path = "/y"
[[upstreams.u.endpoints]]
id = "a"
method = ["GET", "get", "GET"]
path = "/a/{x}"
label = "heavy"
key = ["y", "y", ""]
[[upstreams.u.endpoints]]
id = "b"
path = "/a/{y}"
[[upstreams.u.endpoints]]
id = "c"
method = ["PUT", "GET"]
path = "/a/{x}"
[[upstreams.u.endpoints]]
id = "D"
method = ["*", "GET"]
path = "a"
[[upstreams.u.endpoints]]
id = "e"
path = "/e/{*a}/b"
"#,
        r#"weir.toml:1: upstreams.u.endpoints[0].id: is required
weir.toml:8: upstreams.u.endpoints[a].method: "get" is not a method; write "GET"
weir.toml:8: upstreams.u.endpoints[a].method: names GET twice
weir.toml:10: upstreams.u.endpoints[a].label: no such label: "heavy"; this upstream has no labels
weir.toml:11: upstreams.u.endpoints[a].key: has an empty name
weir.toml:11: upstreams.u.endpoints[a].key: leaves out "x" of the path: different paths would share an entry; add "x"
weir.toml:11: upstreams.u.endpoints[a].key: names "y" twice
weir.toml:14: upstreams.u.endpoints[b].path: cannot be told from "/a/{x}"; name the parameters alike where paths are alike
weir.toml:18: upstreams.u.endpoints[c].path: "a" answers to the same method and path; give it the same id to change that row
weir.toml:20: upstreams.u.endpoints[D].id: "D" is not a name; use up to 64 lower-case letters, digits, '-' and '_'
weir.toml:21: upstreams.u.endpoints[D].method: "*" is not a method; "*" stands alone
weir.toml:22: upstreams.u.endpoints[D].path: does not begin with '/'
weir.toml:25: upstreams.u.endpoints[e].path: is not a template: Catch-all parameters are only allowed at the end of a route
weir.toml:31: upstreams.u.endpoints[7].id: "all" is the id of endpoints[1] too"#,
    );
}

#[test]
fn caching_rules() {
    check_with_upstream(
        r#"[[upstreams.u.endpoints]]
id = "a"
path = "/a"
cache = { fresh = "1s" }
when = [{ y = 1, fresh = "2s" }]
[[upstreams.u.endpoints]]
id = "b"
path = "/b/{y}"
cache = { mode = "override" }
when = [{ y = 1 }, { fresh = "1s" }, { z = 1, fresh = "soon" }]
key = ["y"]
page_token = { request = "page", lifetime = "1m" }
[[upstreams.u.endpoints]]
id = "c"
method = "POST"
path = "/c"
cache = { mode = "respect", fresh = "1s" }
[[upstreams.u.endpoints]]
id = "f"
path = "/f"
key = ["q"]
cache = { mode = "override", fresh = "0s" }
parameters = { q = { one_of = ["x"] }, r = { required = true } }
when = [{ q = "y", fresh = "1s" }]
page_token = { request = "q", response = "next", margin = "1m" }
"#,
        r#"weir.toml:4: upstreams.u.endpoints[a].cache.mode: is required; override, respect or off
weir.toml:5: upstreams.u.endpoints[a].when: is for cache mode = "override"
weir.toml:9: upstreams.u.endpoints[b].cache.fresh: is required with mode = "override"; write fresh = "10s"
weir.toml:10: upstreams.u.endpoints[b].when[0]: changes nothing; give it fresh = "10m"
weir.toml:10: upstreams.u.endpoints[b].when[1]: has no condition; put its figures into cache
weir.toml:10: upstreams.u.endpoints[b].when[2].fresh: "soon" is not a duration
weir.toml:10: upstreams.u.endpoints[b].when[2].z: "z" is not in key, so it is never sent
weir.toml:12: upstreams.u.endpoints[b].page_token.margin: (2m) is not below lifetime (1m)
weir.toml:12: upstreams.u.endpoints[b].page_token.request: "page" is not in key, so all pages would share one entry
weir.toml:12: upstreams.u.endpoints[b].page_token.response: is required
weir.toml:17: upstreams.u.endpoints[c].cache: has figures, which only mode = "override" uses
weir.toml:17: upstreams.u.endpoints[c].cache: only answers to GET and HEAD can be stored
weir.toml:21: upstreams.u.endpoints[f].key: leaves out "r", which is required; add it
weir.toml:22: upstreams.u.endpoints[f].cache.fresh: is zero, and so are the others; to store nothing, set mode = "off"
weir.toml:24: upstreams.u.endpoints[f].when[0].q: "y" is not a value that this parameter may take
weir.toml:25: upstreams.u.endpoints[f].page_token.lifetime: is required"#,
    );
}

#[test]
fn parameters() {
    check_with_upstream(
        r#"[[upstreams.u.endpoints]]
id = "e"
path = "/e/{a}"
[upstreams.u.endpoints.parameters]
a = { min = 1 }
b = { one_of = [] }
c = { one_of = ["x", "x"], default = "y" }
d = { min = 5, max = 4, required = true, default = 5 }
e = { min = 5, max_length = 4 }
f = { max_length = 0 }
"" = {}
"#,
        r#"weir.toml:5: upstreams.u.endpoints[e].parameters.a: is a parameter of the path, which cannot be declared here
weir.toml:6: upstreams.u.endpoints[e].parameters.b.one_of: is empty: no value would be allowed
weir.toml:7: upstreams.u.endpoints[e].parameters.c.default: "y" is not a value that this parameter may take
weir.toml:7: upstreams.u.endpoints[e].parameters.c.one_of: names "x" twice
weir.toml:8: upstreams.u.endpoints[e].parameters.d: is required, so its default would never be used
weir.toml:8: upstreams.u.endpoints[e].parameters.d: its min (5) is more than its max (4)
weir.toml:8: upstreams.u.endpoints[e].parameters.d.default: "5" is not a value that this parameter may take
weir.toml:9: upstreams.u.endpoints[e].parameters.e: is of more than one kind; keep one_of, or min and max, or max_length
weir.toml:10: upstreams.u.endpoints[e].parameters.f.max_length: is not between 1 and 65536
weir.toml:11: upstreams.u.endpoints[e].parameters.: has no name"#,
    );
}

#[test]
fn every_kind_of_auth_demands_its_own_keys() {
    for (auth, expected) in [
        ("", "kind: is required; write jwt, bearer, basic, header, oauth2 or none"),
        (
            r#"kind = "jwt""#,
            r#"key: is required; write { env = "NAME" }
            secret: is required; write { env = "NAME" }"#,
        ),
        (
            r#"kind = "none", key = { env = "X" }"#,
            r#"key: is a key of kind = "jwt", and the kind is "none""#,
        ),
        (
            r#"kind = "jwt", key = { value = "a" }, secret = "hunter2", token = { value = "c" }, lifetime = "5s""#,
            r#"lifetime: is not between 1m and 48h
            secret: expected { env = "NAME" } or { file = "path" }, found a string
            token: is a key of kind = "bearer", and the kind is "jwt""#,
        ),
        (
            r#"kind = "basic", username = { value = "a:b" }"#,
            r#"password: is required; write { env = "NAME" }
            username: contains a colon, which basic credentials cannot carry"#,
        ),
        (
            r#"kind = "header", name = "Host", value = { value = "a\nb" }"#,
            r#"name: "host" cannot carry a credential
            value: holds characters that a header cannot carry"#,
        ),
        (
            r#"kind = "header", name = "a b", value = { value = "a" }"#,
            r#"name: "a b" is not a header name"#,
        ),
        (
            r#"kind = "oauth2", token_url = "x", client_id = { value = "a" }, client_secret = { value = 5 }, account_id = "a""#,
            r#"account_id: is for grant = "account_credentials"
            client_secret.value: expected a string, found a number
            token_url: is not an http or https address; write "https://host/path""#,
        ),
        (
            r#"kind = "oauth2", token_url = "https://u:p@h/", client_id = { value = "a" }, client_secret = { value = "b" }, grant = "account_credentials", scope = "a""#,
            r#"account_id: is required
            scope: is for grant = "client_credentials"
            token_url: holds credentials; put them under auth"#,
        ),
    ] {
        let text = SMALL.replace(r#"kind = "none""#, auth);
        let place = |line: &str| format!("weir.toml:4: upstreams.u.auth.{}", line.trim());
        let expected: Vec<_> = expected.lines().map(place).collect();
        check(&text, &expected.join("\n"));
    }
}

#[test]
fn a_credential_without_encryption_is_a_warning() {
    let warned = |url: &str| {
        let text = SMALL.replace("http://127.0.0.1:1", url);
        let text = text.replace(r#"kind = "none""#, r#"kind = "bearer", token = { env = "T" }"#);
        let loaded = good_with(&text, &[("T", "t")]);
        loaded.warnings.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    for fine in ["https://h", "http://127.0.0.1", "http://[::1]:80", "http://localhost:1"] {
        assert_eq!(warned(fine), Vec::<String>::new(), "{fine}");
    }
    let plain = "weir.toml:3: upstreams.u.base_url: the credential is sent without encryption";
    assert_eq!(warned("http://10.0.0.1"), [plain]);
}

#[test]
fn whole_listings() {
    check_with_upstream(
        r#"[[upstreams.u.endpoints]]
id = "a"
path = "/a/{shop}"
key = ["shop", "kind", "token"]
parameters = { size = { min = 1 } }
[upstreams.u.endpoints.page_token]
request = "token"
response = "next"
lifetime = "15m"
all = { parameter = "size", value = "", items = "next", max_pages = 0, max_bytes = "2GiB" }
[[upstreams.u.endpoints]]
id = "b"
method = "POST"
path = "/b/{shop}"
[upstreams.u.endpoints.page_token]
request = "page"
response = "next"
lifetime = "15m"
all = {}
[[upstreams.u.endpoints]]
id = "c"
path = "/c/{shop}"
page_token = { request = "token", response = "next", lifetime = "15m", all = { parameter = "shop", itms = "x" } }
[[upstreams.u.endpoints]]
id = "d"
path = "/d"
page_token = { request = "token", response = "next", lifetime = "15m", all = { parameter = "Access_Token", items = "x", max_bytes = "1B" } }
[[upstreams.u.endpoints]]
id = "e"
path = "/e"
page_token = { request = "token", response = "next", lifetime = "15m", all = { parameter = "", items = "x", max_pages = 10001 } }
[[upstreams.u.endpoints]]
id = "f"
path = "/f"
cache = { mode = "override", fresh = "1s" }
when = [{ walk = "*", fresh = "2s" }]
page_token = { all = { parameter = "walk", items = "x" } }
"#,
        r#"weir.toml:10: upstreams.u.endpoints[a].page_token.all.items: "next" is the member that names the next page; name the array
weir.toml:10: upstreams.u.endpoints[a].page_token.all.max_bytes: (2GiB) is not between 1KiB and 1GiB; leave it out for 16MiB
weir.toml:10: upstreams.u.endpoints[a].page_token.all.max_pages: is not between 1 and 10000; leave it out for 100
weir.toml:10: upstreams.u.endpoints[a].page_token.all.parameter: "size" is a parameter of the endpoint itself; choose a name that the endpoint does not use
weir.toml:10: upstreams.u.endpoints[a].page_token.all.value: is empty; write "all"
weir.toml:19: upstreams.u.endpoints[b].page_token.all: is for GET and HEAD; remove it
weir.toml:19: upstreams.u.endpoints[b].page_token.all.items: is required; name the member that holds a page's items, such as "users"
weir.toml:19: upstreams.u.endpoints[b].page_token.all.parameter: "page" asks for the next page already; choose a name that the endpoint does not use
weir.toml:23: upstreams.u.endpoints[c].page_token.all.itms: unknown key; did you mean "items"?
weir.toml:23: upstreams.u.endpoints[c].page_token.all.parameter: "shop" is a parameter of the endpoint itself; choose a name that the endpoint does not use
weir.toml:27: upstreams.u.endpoints[d].page_token.all.max_bytes: (1B) is not between 1KiB and 1GiB; leave it out for 16MiB
weir.toml:27: upstreams.u.endpoints[d].page_token.all.parameter: "Access_Token" is a credential, and removed before anybody looks; choose a name that the endpoint does not use
weir.toml:31: upstreams.u.endpoints[e].page_token.all.max_pages: is not between 1 and 10000; leave it out for 100
weir.toml:31: upstreams.u.endpoints[e].page_token.all.parameter: is empty; choose a name that the endpoint does not use
weir.toml:37: upstreams.u.endpoints[f].page_token.all.parameter: "walk" is a parameter of the endpoint itself; choose a name that the endpoint does not use
weir.toml:37: upstreams.u.endpoints[f].page_token.lifetime: is required
weir.toml:37: upstreams.u.endpoints[f].page_token.request: is required
weir.toml:37: upstreams.u.endpoints[f].page_token.response: is required"#,
    );
}

#[test]
fn a_whole_listing_needs_no_more_than_the_name_of_its_items() {
    let on = |all: &str| {
        let own = format!(
            "[[upstreams.zoom.endpoints]]\nid = \"list-session-users\"\npage_token = {{ all = {all} }}\n"
        );
        let loaded = good(&format!("{ZOOM}\n{own}"));
        let users = endpoint(only(&loaded), "list-session-users");
        let (token, whole) = users.whole().unwrap();
        assert_eq!(token.lifetime.as_secs(), 900, "the rest is the preset's");
        whole.clone()
    };
    let least = on(r#"{ items = "users" }"#);
    let figures = (least.max_pages, least.max_bytes);
    assert_eq!((least.parameter.as_str(), least.value.as_str()), ("page", "all"));
    assert_eq!((least.items.as_str(), figures), ("users", (100, 16 << 20)));
    let most = on(
        r#"{ parameter = "walk", value = "1", items = "u", max_pages = 10000, max_bytes = "1GiB" }"#,
    );
    let figures = (most.max_pages, most.max_bytes);
    assert_eq!((most.parameter.as_str(), most.value.as_str()), ("walk", "1"));
    assert_eq!((most.items.as_str(), figures), ("u", (10_000, 1 << 30)));
    assert!(endpoint(only(&good(ZOOM)), "list-session-users").whole().is_none(), "off by itself");
}
