//! Logs. Operational events go through `tracing` to stderr; the access log has a writer of its
//! own ([`AccessLog`]), because an event a request would cost more than serving a hit does.

mod access_line;
mod access_log;
mod panics;
mod rare;
#[cfg(test)]
pub(crate) mod testing;

use std::io::{IsTerminal as _, stderr};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::SubscriberInitExt as _;

pub use self::access_line::AccessLine;
pub use self::access_log::AccessLog;
pub use self::rare::Rare;

type BoxedSubscriber = Box<dyn tracing::Subscriber + Send + Sync>;

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Pretty on a terminal, JSON otherwise.
    #[default]
    Auto,
    /// For people.
    Pretty,
    /// For machines: one object a line.
    Json,
}

impl Format {
    /// Settles `Auto`.
    pub fn is_json(self, terminal: bool) -> bool {
        match self {
            Self::Auto => !terminal,
            Self::Pretty => false,
            Self::Json => true,
        }
    }
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// The level is no filter directive.
    #[error("`{level}` is not a log level: {reason}")]
    Level {
        /// As it was given.
        level: String,
        /// What the parser says.
        reason: String,
    },
    /// Something else logs already.
    #[error("logging has been set up already")]
    Twice,
}

/// Sends operational events, panics among them, to stderr, once a process. `level` is a filter directive: "info",
/// "weir=debug,hyper=warn".
pub fn init(level: &str, format: Format) -> Result<(), InitError> {
    let terminal = stderr().is_terminal();
    subscriber(filter(level)?, format.is_json(terminal), terminal, stderr)
        .try_init()
        .map_err(|_set_already| InitError::Twice)?;
    panics::tell_panics();
    Ok(())
}

fn subscriber<W>(filter: EnvFilter, json: bool, ansi: bool, writer: W) -> BoxedSubscriber
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    if json {
        Box::new(builder.json().flatten_event(true).finish())
    } else {
        Box::new(builder.with_ansi(ansi).with_target(false).finish())
    }
}

fn filter(level: &str) -> Result<EnvFilter, InitError> {
    EnvFilter::builder()
        .with_regex(false)
        .parse(level)
        .map_err(|error| InitError::Level { level: level.to_owned(), reason: error.to_string() })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::*;

    #[test]
    fn a_bad_level_is_named() {
        let error = filter("weir=loud").unwrap_err().to_string();
        assert!(error.contains("weir=loud"), "{error}");
        assert!(filter("info").is_ok());
        assert!(filter("warn,weir=debug").is_ok());
    }

    #[test]
    fn auto_is_json_unless_somebody_is_watching() {
        assert!(Format::Auto.is_json(false));
        assert!(!Format::Auto.is_json(true));
        assert!(Format::Json.is_json(true));
        assert!(!Format::Pretty.is_json(false));
    }

    /// What is logged by `events`, which run on this thread alone.
    fn logged(level: &str, json: bool, events: impl FnOnce()) -> String {
        let written = Arc::new(Mutex::new(Vec::new()));
        let writer = Arc::clone(&written);
        let writer = move || Shared(Arc::clone(&writer));
        let subscriber = subscriber(filter(level).unwrap(), json, false, writer);
        tracing::subscriber::with_default(subscriber, events);
        String::from_utf8(written.lock().clone()).unwrap()
    }

    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn json_events_are_flat_objects() {
        let text = logged("info", true, || tracing::warn!(upstream = "zoom", "it is \"late\""));
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["level"], "WARN");
        assert_eq!(line["message"], "it is \"late\"");
        assert_eq!(line["upstream"], "zoom");
    }

    #[test]
    fn a_panic_is_a_line_that_says_where_and_quotes_nothing() {
        let before = std::panic::take_hook();
        panics::tell_panics();
        let text = logged("info", true, || {
            let secret = "hunter2";
            std::panic::catch_unwind(|| panic!("about {secret}")).unwrap_err();
        });
        std::panic::set_hook(before);
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["level"], "ERROR");
        assert!(line["at"].as_str().unwrap().starts_with("src/telemetry.rs:"), "{text}");
        assert!(!text.contains("hunter2") && !text.contains("about"), "{text}");
    }

    #[test]
    fn the_level_decides_what_is_logged() {
        let events = || {
            tracing::info!("quiet");
            tracing::error!("loud");
        };
        let text = logged("error", false, events);
        assert!(text.contains("loud") && !text.contains("quiet"), "{text}");
    }
}
