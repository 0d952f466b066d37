//! The command line: what it says, and what it exits with.

use std::process::Output;

use crate::support::child::{argument, file, run};
use crate::support::{Child, Client, Setup};

fn said(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[tokio::test]
async fn check_tells_every_fault_with_its_line_and_what_was_meant() {
    let text = r#"[server]
listn = "127.0.0.1:0"
request_timeout = "soon"

[upstreams.zoom]
preset = "zoom-video-sdk"
plan = "prof"

[upstreams.zoom.auth]
kind = "jwt"
"#;
    let (_directory, path) = file(text);
    for command in ["check", "serve"] {
        let (code, stdout, stderr) = said(&run(&[command, "-c", argument(&path)]).await);
        assert_eq!((code, &*stdout), (Some(78), ""), "{stderr}");
        for expected in
            [":2", "listn", "listen", ":3", "request_timeout", ":7", "prof", "pro", "key", "secret"]
        {
            assert!(stderr.contains(expected), "{command}: {expected}: {stderr}");
        }
    }
}

#[tokio::test]
async fn check_binds_nothing() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let nowhere = "127.0.0.1:9".parse().unwrap();
    let text = Setup::default().config(nowhere).replace("127.0.0.1:0", &address.to_string());
    let (_directory, path) = file(&text.replacen(&address.to_string(), "127.0.0.1:0", 1));
    let (code, stdout, stderr) = said(&run(&["check", "-c", argument(&path)]).await);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stdout.contains(&address.to_string()), "{stdout}");
    // And serve says which address it cannot have.
    let (code, _, stderr) = said(&run(&["serve", "-c", argument(&path)]).await);
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains(&address.to_string()) && stderr.contains("admin.listen"), "{stderr}");
}

#[tokio::test]
async fn what_check_prints_is_a_configuration() {
    let nowhere = "127.0.0.1:9".parse().unwrap();
    let text = Setup::default().config(nowhere);
    let (_directory, path) = file(&text);
    let (_, effective, _) = said(&run(&["check", "-c", argument(&path)]).await);
    let effective: toml::Table = effective.parse().expect("it is TOML");
    assert_eq!(
        effective["upstreams"]["zoom"]["labels"]["heavy"]["per_second"].as_integer(),
        Some(10)
    );
    assert_eq!(effective["server"]["request_timeout"].as_str(), Some("30s"));
}

#[tokio::test]
async fn check_prints_what_every_client_gets() {
    let nowhere = "127.0.0.1:9".parse().unwrap();
    let tables = r#"
[[clients]]
name = "console"
key = { value = "hunter2" }
weight = 3
[[clients]]
name = "batch"
key = { value = "hunter3" }
daily_share = "20%"
endpoints = ["list-session-users", "zoom/get-session"]
[upstreams.zoom.pools.daily]
reserve = { high = "10%" }
"#;
    let text = Setup { tables: tables.to_owned(), ..Setup::default() }.config(nowhere);
    let (_directory, path) = file(&text);
    let (code, stdout, stderr) = said(&run(&["check", "-c", argument(&path)]).await);
    assert_eq!(code, Some(0), "{stderr}");
    let (effective, shares) = stdout.split_once("\n\n# Shares: ").expect("they come last");
    let (effective, endpoints) = effective.split_once("\n\n# Endpoints: ").expect("they are there");
    let may = "
#   console   everything
#   batch     zoom/get-session, zoom/list-session-users";
    assert!(endpoints.ends_with(may), "{endpoints}");
    assert!(shares.lines().skip(1).all(|line| line.starts_with('#')), "{shares}");
    let heavy = "
# upstreams.zoom.labels.heavy: 10 a second, 30000 a day (daily), reserve high 10%
#   console   normal   7.5 a second   at most 27000 a day
#   batch     normal   2.5 a second    at most 6000 a day
";
    assert!(shares.contains(heavy), "{shares}");
    assert!(!stdout.contains("hunter"), "{stdout}");
    let parsed = |text: &str| text.parse::<toml::Table>().expect("it is TOML");
    assert_eq!(parsed(&stdout), parsed(effective));
    let warning = "server.state_dir: is not set: a restart forgets what was spent today";
    assert!(stderr.contains(warning), "{stderr}");
}

#[tokio::test]
async fn a_missing_file_is_a_fault_of_configuration() {
    let (_directory, path) = file("");
    let missing = path.with_file_name("missing.toml");
    let (code, _, stderr) = said(&run(&["serve", "-c", argument(&missing)]).await);
    assert_eq!(code, Some(78), "{stderr}");
    assert!(stderr.contains("missing.toml"), "{stderr}");
}

#[tokio::test]
async fn demo_says_which_port_is_taken() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for option in ["--listen", "--admin", "--sandbox"] {
        let mut arguments = vec!["demo"];
        for other in ["--listen", "--admin", "--sandbox"] {
            let value = if other == option { &address } else { "127.0.0.1:0" };
            arguments.extend([other, value]);
        }
        let (code, stdout, stderr) = said(&run(&arguments).await);
        assert_eq!((code, &*stdout), (Some(1), ""), "{option}");
        assert!(stderr.contains(&address), "{option}: {stderr}");
    }
}

#[tokio::test]
async fn schema_is_a_json_schema() {
    let (code, stdout, _) = said(&run(&["schema"]).await);
    assert_eq!(code, Some(0));
    let schema: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert!(schema["$schema"].is_string());
    for key in ["server", "admin", "log", "cache", "clients", "upstreams"] {
        assert!(schema["properties"][key].is_object(), "{key}");
    }
}

#[tokio::test]
async fn usage_errors_and_help_have_codes_of_their_own() {
    for arguments in
        [&["unheard"][..], &[], &["serve"], &["serve", "--nope"], &["sandbox", "--plan", "gold"]]
    {
        let (code, stdout, stderr) = said(&run(arguments).await);
        assert_eq!((code, &*stdout), (Some(64), ""), "{arguments:?} {stderr}");
        assert!(!stderr.is_empty());
    }
    for arguments in [&["--help"][..], &["--version"], &["serve", "--help"]] {
        let (code, stdout, _) = said(&run(arguments).await);
        assert_eq!(code, Some(0), "{arguments:?}");
        assert!(!stdout.is_empty());
    }
}

#[tokio::test]
async fn probe_tells_health_by_its_exit_code() {
    let nowhere = "127.0.0.1:9".parse().unwrap();
    let child = Child::serve(&Setup::default().config(nowhere)).await;
    let healthy = format!("http://{}/livez", child.admin);
    assert_eq!(run(&["probe", &healthy]).await.status.code(), Some(0));
    let missing = format!("http://{}/nowhere", child.admin);
    assert_eq!(run(&["probe", &missing]).await.status.code(), Some(1));
    assert_eq!(Client::new(child.admin).get("/livez").await.status, 200);
    let gone = child.admin;
    drop(child);
    crate::support::until("it is gone", async || {
        tokio::net::TcpStream::connect(gone).await.is_err().then_some(())
    })
    .await;
    assert_eq!(run(&["probe", &format!("http://{gone}/livez")]).await.status.code(), Some(1));
}
