//! Worlds out of a configuration's text, as the gateway builds them.

use std::sync::Arc;

use tokio::runtime::{Builder, Runtime};
use weir::clock::Clock;
use weir::config::{Env, from_text};
use weir::gateway::build;
use weir::metrics::Metrics;
use weir::store::limiter::Budgets;
use weir::world::{Client, World};

/// A world, and what it cannot do without.
pub(crate) struct Built {
    pub(crate) world: World,
    pub(crate) clock: Clock,
    /// Holds the limiters' tasks, which nobody runs: they would be measured too.
    pub(crate) runtime: Runtime,
}

/// What a configuration says. It listens nowhere and asks nobody.
pub(crate) fn build(config: &str) -> Built {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let loaded = from_text("bench.toml", config, &Env::new());
    let settings = loaded.unwrap_or_else(|faults| panic!("{faults}")).settings;
    let (clock, metrics) = (Clock::system(), Metrics::new());
    let inside = runtime.enter();
    let budgets = Budgets::new(clock.clone());
    let world = build::world(&settings, &metrics, &clock, &budgets, None).unwrap();
    drop(inside);
    Built { world, clock, runtime }
}

impl Built {
    /// A client by name.
    pub(crate) fn client(&self, name: &str) -> &Arc<Client> {
        self.world.clients.named(name).unwrap()
    }
}

/// An upstream without credentials, with these keys and tables. It ends within an endpoint's, so
/// that [`others`] may follow.
pub(crate) fn generic(tables: &str) -> String {
    format!(
        "[upstreams.any]\nbase_url = \"http://127.0.0.1:9\"\n\
         [upstreams.any.auth]\nkind = \"none\"\n{tables}\n"
    )
}

/// So many endpoints that are not asked for.
pub(crate) fn others(upstream: &str, count: usize) -> String {
    let other = |number: usize| {
        format!(
            "[[upstreams.{upstream}.endpoints]]\nid = \"other-{number}\"\nmethod = \"GET\"\n\
             path = \"/other/{number}/{{id}}\"\n"
        )
    };
    (0..count).map(other).collect()
}
