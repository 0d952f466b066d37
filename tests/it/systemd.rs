//! What a supervisor passes, and what it is told.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixDatagram, UnixStream};

use crate::support::child::{argument, command, file};
use crate::support::{Child, Client, PATIENCE, Setup};

fn config() -> String {
    Setup::default().config("127.0.0.1:9".parse().unwrap())
}

async fn ask(path: &std::path::Path) -> String {
    let mut stream = UnixStream::connect(path).await.unwrap();
    stream.write_all(b"GET /x HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).await.unwrap();
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn all_kinds_of_sockets_can_be_passed() {
    let text =
        config().replacen("127.0.0.1:0", "systemd", 1).replace("127.0.0.1:0", "systemd:admin");
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.sock");
    let (web, admin) =
        (TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
    let unix = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let (at, admin_at) = (web.local_addr().unwrap(), admin.local_addr().unwrap());
    let sockets = vec![("", web.into()), ("admin", admin.into()), ("x", unix.into())];
    let mut child = Child::activate(&text, sockets).await;
    assert_eq!((child.public, child.admin), (at, admin_at));
    assert_eq!(Client::new(admin_at).get("/readyz").await.status, 200);
    Client::new(at).get("/nothing").await.problem(404, "unknown-endpoint");
    assert!(ask(&path).await.starts_with("HTTP/1.1 404"));
    child.signal("TERM").await;
    assert_eq!(child.ended().await, Some(0));
    assert!(path.exists(), "whoever made it keeps it");
}

/// Where a passed socket is, no configuration says: it is looked at when it is taken over.
#[tokio::test(flavor = "multi_thread")]
async fn a_passed_socket_that_is_open_to_anyone_is_refused_without_clients() {
    let everywhere = || -> std::os::fd::OwnedFd { TcpListener::bind("0.0.0.0:0").unwrap().into() };
    let text = config().replacen("127.0.0.1:0", "systemd:web", 1);
    let allowed = text.replacen("[server]", "[server]\nallow_anonymous = true", 1);
    let mut child = Child::activate(&allowed, vec![("web", everywhere())]).await;
    // Nor can a reload open it.
    std::fs::write(&child.file, &text).unwrap();
    child.signal("HUP").await;
    crate::support::until("it is refused", async || {
        child.said().contains("anonymous callers on a public address").then_some(())
    })
    .await;
    child.signal("TERM").await;
    assert_eq!(child.ended().await, Some(0));
    let (code, said) = Child::fails(&text, vec![("web", everywhere())]).await;
    assert_eq!(code, Some(1));
    assert!(said.contains("anonymous callers on a public address (0.0.0.0:"), "{said}");
    // And what was not passed is not there.
    let (code, said) = Child::fails(&text, vec![("other", everywhere())]).await;
    assert_eq!(code, Some(1));
    assert!(
        said.contains("cannot listen on systemd:web (server.listen): no such socket"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_supervisor_that_does_not_listen_keeps_nobody_from_stopping() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notify");
    let _deaf = UnixDatagram::bind(&path).unwrap();
    let filling = std::os::unix::net::UnixDatagram::unbound().unwrap();
    filling.set_nonblocking(true).unwrap();
    while filling.send_to(b"X=1", &path).is_ok() {}
    let mut child =
        Child::serve_with(&config(), |command| command.env("NOTIFY_SOCKET", &path)).await;
    child.signal("HUP").await;
    child.signal("TERM").await;
    assert_eq!(child.ended().await, Some(0));
    assert!(child.said().contains("the supervisor does not listen"), "{}", child.said());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_supervisor_is_told_of_ready_reloading_and_stopping() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notify");
    let told = UnixDatagram::bind(&path).unwrap();
    let next = async || {
        let mut buffer = [0; 512];
        let read = tokio::time::timeout(PATIENCE, told.recv(&mut buffer)).await.unwrap().unwrap();
        String::from_utf8_lossy(&buffer[..read]).into_owned()
    };
    let mut child =
        Child::serve_with(&config(), |command| command.env("NOTIFY_SOCKET", &path)).await;
    assert_eq!(next().await, "READY=1\n");
    for text in [config(), "not = [toml".to_owned()] {
        std::fs::write(&child.file, text).unwrap();
        child.signal("HUP").await;
        let reloading = next().await;
        assert!(reloading.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{reloading}");
        assert_eq!(next().await, "READY=1\n", "whatever comes of it");
    }
    child.signal("TERM").await;
    assert_eq!(next().await, "STOPPING=1\n");
    assert_eq!(child.ended().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_file_is_made_guarded_and_taken_away() {
    let text = config().replacen("\"127.0.0.1:0\"", "[\"127.0.0.1:0\", \"unix:weir.sock\"]", 1);
    let text = text.replacen("[server]", "[server]\nunix_mode = \"0600\"", 1);
    let mut child = Child::serve(&text).await;
    let path = child.file.with_file_name("weir.sock");
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(ask(&path).await.starts_with("HTTP/1.1 404"));
    Client::new(child.public).get("/x").await.problem(404, "unknown-endpoint");
    assert!(child.said().contains(&format!("unix:{}", path.display())), "{}", child.said());
    // A second process does not take it away from the first.
    let (_directory, other) =
        file(&text.replace("unix:weir.sock", &format!("unix:{}", path.display())));
    let output = command(&["serve", "-c", argument(&other)]).output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("in use") && said.contains("server.listen"), "{said}");
    assert!(ask(&path).await.starts_with("HTTP/1.1 404"));
    // One that was killed leaves it behind, and its successor replaces it.
    child.signal("KILL").await;
    child.ended().await;
    assert!(path.exists());
    let there = text.replace("unix:weir.sock", &format!("unix:{}", path.display()));
    let mut child = Child::serve(&there).await;
    assert!(ask(&path).await.starts_with("HTTP/1.1 404"));
    child.signal("TERM").await;
    assert_eq!(child.ended().await, Some(0));
    assert!(!path.exists());
}
