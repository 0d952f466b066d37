//! A gateway on real sockets, in this process, before a sandbox or any other upstream.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::net::TcpListener;
use weir::clock::Clock;
use weir::config::{Env, from_text};
use weir::gateway::Gateway;
use weir::metrics::ConnectionMetrics;
use weir::sandbox::{Label, LabelCount, Options, Sandbox};
use weir::serve::{Drain, Limits, Refusing, serve};

use super::{Answer, Client, Metrics, clock};

/// What a test wants to be different.
#[derive(Debug)]
pub(crate) struct Setup {
    /// What account is simulated.
    pub(crate) account: Options,
    /// The gateway's time.
    pub(crate) clock: Clock,
    /// The sandbox's, if it is not the same.
    pub(crate) sandbox_clock: Option<Clock>,
    /// Keys of `[upstreams.zoom]`.
    pub(crate) zoom: String,
    /// Keys of `[server]`.
    pub(crate) server: String,
    /// Further tables, in which `SANDBOX` is the sandbox's address.
    pub(crate) tables: String,
    /// The table of `[upstreams.zoom.auth]`.
    pub(crate) auth: String,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            account: Options::default(),
            clock: clock(),
            sandbox_clock: None,
            zoom: String::new(),
            server: String::new(),
            tables: String::new(),
            auth: JWT.to_owned(),
        }
    }
}

const JWT: &str = r#"
kind = "jwt"
key = { value = "sandbox-key" }
secret = { value = "sandbox-secret" }
"#;

impl Setup {
    /// The whole configuration, its listeners on ports of the system's choice.
    pub(crate) fn config(&self, sandbox: SocketAddr) -> String {
        let Self { account, zoom, server, tables, auth, .. } = self;
        let text = format!(
            r#"
[server]
listen = "127.0.0.1:0"
min_drain = "0s"
{server}
[admin]
listen = "127.0.0.1:0"
[log]
format = "json"
[upstreams.zoom]
preset = "zoom-video-sdk"
plan = "{plan}"
base_url = "http://SANDBOX/v2"
{zoom}
[upstreams.zoom.auth]
{auth}
{tables}"#,
            plan = account.plan,
        );
        text.replace("SANDBOX", &sandbox.to_string())
    }

    pub(crate) async fn start(self) -> TestGateway {
        let sandbox_clock = self.sandbox_clock.clone().unwrap_or_else(|| self.clock.clone());
        let sandbox = Sandbox::new(self.account.clone(), sandbox_clock);
        let sandbox_at = serve_sandbox(&sandbox).await;
        let running = start(&self.config(sandbox_at), self.clock).await;
        TestGateway { running, sandbox }
    }
}

/// Serves a sandbox on a port of the system's choice.
pub(crate) async fn serve_sandbox(sandbox: &Sandbox) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (limits, uncounted) = (Limits::default(), ConnectionMetrics::default());
    tokio::spawn(serve(listener, Refusing(sandbox.clone()), limits, Drain::new(), uncounted));
    address
}

/// A gateway with whatever upstreams its configuration names.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) gateway: Gateway,
    pub(crate) clock: Clock,
    log: Captured,
}

/// Starts a gateway from a configuration's text.
pub(crate) async fn start(config: &str, clock: Clock) -> Running {
    let loaded = from_text("test.toml", config, &Env::new());
    let settings = loaded.unwrap_or_else(|faults| panic!("{faults}")).settings;
    let log = Captured::default();
    let sink = Box::new(log.clone());
    let gateway = Gateway::start(settings, clock.clone(), Some(sink)).await.unwrap();
    Running { gateway, clock, log }
}

impl Running {
    /// A client of the public listener, HTTP/1.1.
    pub(crate) fn client(&self) -> Client {
        Client::new(self.gateway.public())
    }

    /// Asks the public listener.
    pub(crate) async fn get(&self, target: &str) -> Answer {
        self.client().get(target).await
    }

    /// Asks the admin listener.
    pub(crate) async fn admin(&self, target: &str) -> Answer {
        Client::new(self.gateway.admin()).get(target).await
    }

    pub(crate) async fn metrics(&self) -> Metrics {
        let page = self.admin("/metrics").await;
        assert_eq!(page.status, 200);
        Metrics::parse(page.text())
    }

    /// The access log so far.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&self.log.0.lock().unwrap()).into_owned()
    }
}

/// A gateway before a sandbox.
#[derive(Debug)]
pub(crate) struct TestGateway {
    running: Running,
    pub(crate) sandbox: Sandbox,
}

impl std::ops::Deref for TestGateway {
    type Target = Running;

    fn deref(&self) -> &Running {
        &self.running
    }
}

/// The users of a session, as clients ask for them.
pub(crate) fn users(session: &str, query: &str) -> String {
    format!("/videosdk/sessions/{session}/users{query}")
}

impl TestGateway {
    /// The defaults: plan pro, one clock for both.
    pub(crate) async fn start() -> Self {
        Setup::default().start().await
    }

    /// What the account saw of its scarce label.
    pub(crate) fn heavy(&self) -> LabelCount {
        self.sandbox.counters().label(Label::Heavy).unwrap()
    }

    /// How many requests the account saw at all.
    pub(crate) fn asked(&self) -> u64 {
        self.sandbox.counters().total
    }

    /// What is left of the day, by the gateway's own account.
    pub(crate) async fn left_today(&self) -> u64 {
        self.metrics().await.sum(
            "weir_budget_remaining",
            &[("upstream", "zoom"), ("label", "heavy"), ("window", "day")],
        )
    }
}

/// An access log in memory.
#[derive(Clone, Debug, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl io::Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
