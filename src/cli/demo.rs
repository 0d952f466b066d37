//! `weir demo` and `weir sandbox`.

use std::net::SocketAddr;

use tokio::net::TcpListener;

use super::run::{StopSignals, failed, runtime, stop_gateway};
use super::{DemoOptions, FAILURE, OK, SandboxOptions, complain, say};
use crate::clock::Clock;
use crate::config::{self, Env, Settings};
use crate::gateway::Gateway;
use crate::metrics::ConnectionMetrics;
use crate::sandbox::{IdKind, Options, Sandbox};
use crate::secret::Secret;
use crate::serve::{Drain, Limits, Refusing, serve};
use crate::telemetry;

/// The demo's configuration, which is also an example to begin with.
const DEMO: &str = include_str!("../../config/demo.toml");

type Failure = Box<dyn std::error::Error>;

/// Gateway and sandbox in one process.
pub(super) fn demo(options: &DemoOptions) -> u8 {
    run(async {
        let mut stop = StopSignals::new()?;
        let sandbox_options = Options { seed: options.seed, ..Options::default() };
        let sandbox = Sandbox::new(sandbox_options, Clock::system());
        let drain = Drain::new();
        let sandbox_at = start_sandbox(&sandbox, options.sandbox, &drain).await?;
        let settings = demo_settings(options, sandbox_at)?;
        let gateway = Gateway::start(settings, Clock::system(), None).await?;
        greet(&gateway, sandbox_at, &sandbox);
        stop.recv().await;
        stop_gateway(&gateway, &mut stop).await;
        drain.finish(std::time::Duration::from_secs(1)).await;
        Ok(())
    })
}

/// The simulated API alone.
pub(super) fn sandbox(options: &SandboxOptions) -> u8 {
    run(async {
        let mut stop = StopSignals::new()?;
        let sandbox = Sandbox::new(
            Options {
                plan: options.plan.into(),
                seed: options.seed,
                sessions: options.sessions,
                api_key: options.api_key.clone(),
                api_secret: Secret::new(options.api_secret.clone()),
                ..Options::default()
            },
            Clock::system(),
        );
        let drain = Drain::new();
        let at = start_sandbox(&sandbox, options.listen, &drain).await?;
        say(&format!("sandbox  http://{at}\n"));
        say(&format!(
            "The API is under http://{at}/v2, what controls it is told at http://{at}/_sandbox/"
        ));
        stop.recv().await;
        drain.finish(std::time::Duration::from_secs(1)).await;
        Ok(())
    })
}

fn run(work: impl Future<Output = Result<(), Failure>>) -> u8 {
    // A second init in one process is a test's business.
    if let Err(error) = telemetry::init("warn", telemetry::Format::Auto) {
        complain(&error.to_string());
    }
    match runtime(0).map(|runtime| runtime.block_on(work)) {
        Ok(Ok(())) => OK,
        Ok(Err(error)) => failed(&*error),
        Err(error) => {
            complain(&error.to_string());
            FAILURE
        }
    }
}

async fn start_sandbox(
    sandbox: &Sandbox,
    listen: SocketAddr,
    drain: &Drain,
) -> Result<SocketAddr, Failure> {
    let listener = TcpListener::bind(listen)
        .await
        .map_err(|error| format!("cannot listen on {listen} (--sandbox or --listen): {error}"))?;
    let at = listener.local_addr()?;
    let (limits, uncounted) = (Limits::default(), ConnectionMetrics::default());
    tokio::spawn(serve(listener, Refusing(sandbox.clone()), limits, drain.clone(), uncounted));
    Ok(at)
}

fn demo_settings(options: &DemoOptions, sandbox: SocketAddr) -> Result<Settings, Failure> {
    let env = Env::from([
        ("WEIR_SERVER__LISTEN".to_owned(), options.listen.to_string()),
        ("WEIR_ADMIN__LISTEN".to_owned(), options.admin.to_string()),
        ("WEIR_SERVER__MIN_DRAIN".to_owned(), "0s".to_owned()),
        ("WEIR_UPSTREAMS__ZOOM__BASE_URL".to_owned(), format!("http://{sandbox}/v2")),
    ]);
    Ok(config::from_text("demo.toml", DEMO, &env)?.settings)
}

fn greet(gateway: &Gateway, sandbox_at: SocketAddr, sandbox: &Sandbox) {
    let (public, admin) = (gateway.public(), gateway.admin());

    let big = sandbox.biggest_session_id();
    let slashed = sandbox.session_id(IdKind::LeadingSlash);
    say(&format!(
        "\
gateway  http://{public}
admin    http://{admin}
sandbox  http://{sandbox_at}

Try, in another terminal:

# The first page of a session with more than 1,000 users: a miss, fetched and stored.
curl -si 'http://{public}/videosdk/sessions/{big}/users?page_size=2'

# The same again: a hit, at no cost. Look at Cache-Status and Age.
curl -si 'http://{public}/videosdk/sessions/{big}/users?type=live&page_size=2'

# A session id with a leading slash, as it is: fails against the API, works through weir.
curl -si 'http://{public}/videosdk/sessions/{slashed}/users?page_size=1'

# A mistake is answered here and costs nothing.
curl -si 'http://{public}/videosdk/sessions/{big}/users?type=foo'

# What the budget is, and what was saved.
curl -s http://{admin}/status
curl -s http://{admin}/metrics | grep -E 'weir_(budget|limit|cache_requests)'

# What the API has seen.
curl -s http://{sandbox_at}/_sandbox/counters

Ctrl-C stops."
    ));
}
