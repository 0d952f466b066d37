//! The command line: serve, check, demo, sandbox, schema, probe.
//!
//! Exit codes: 0 clean stop, 1 runtime failure, 64 usage, 78 configuration.

mod demo;
mod probe;
mod process;
mod run;
mod supervisor;

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::config;
use crate::sandbox::Plan;

/// A caching reverse proxy and API gateway that spends a rate-limited API's budget once for
/// everybody.
#[derive(Debug, Parser)]
#[command(version, about, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the gateway.
    Serve(ServeOptions),
    /// Validates a configuration and prints it as it takes effect, secrets masked, and what every
    /// client may ask and gets.
    Check(ConfigFile),
    /// Runs gateway and sandbox together, with nothing to configure.
    Demo(DemoOptions),
    /// Runs the simulated Zoom Video SDK API alone.
    Sandbox(SandboxOptions),
    /// Prints the JSON Schema of the configuration.
    Schema,
    /// Asks a URL and tells by the exit code whether it answers 200: a health check without curl.
    Probe {
        /// What to ask.
        #[arg(default_value = "http://127.0.0.1:9090/livez")]
        url: http::Uri,
    },
}

#[derive(Args, Debug)]
struct ConfigFile {
    /// The configuration file.
    #[arg(short, long, env = "WEIR_CONFIG", value_name = "FILE")]
    config: PathBuf,
}

#[derive(Args, Debug)]
struct ServeOptions {
    #[command(flatten)]
    file: ConfigFile,
    /// Reloads when the content of the file changes, or of a secret or certificate that it names.
    #[arg(long)]
    watch: bool,
}

#[derive(Args, Debug)]
struct DemoOptions {
    /// Where the gateway listens.
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDR")]
    listen: SocketAddr,
    /// Where metrics, health and status are.
    #[arg(long, default_value = "127.0.0.1:9090", value_name = "ADDR")]
    admin: SocketAddr,
    /// Where the simulated API listens.
    #[arg(long, default_value = "127.0.0.1:8090", value_name = "ADDR")]
    sandbox: SocketAddr,
    /// Decides ids, names, and who comes and goes.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[derive(Args, Debug)]
struct SandboxOptions {
    /// Where it listens.
    #[arg(long, default_value = "127.0.0.1:8090", value_name = "ADDR")]
    listen: SocketAddr,
    /// Decides the limits.
    #[arg(long, default_value = "pro")]
    plan: PlanName,
    /// Decides ids, names, and who comes and goes.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many sessions there are at a time.
    #[arg(long, default_value_t = 12)]
    sessions: usize,
    /// The `iss` that JWTs have to carry.
    #[arg(long, default_value = "sandbox-key", value_name = "KEY")]
    api_key: String,
    /// What JWTs have to be signed with. A simulation's secret is no secret.
    #[arg(long, default_value = "sandbox-secret", value_name = "SECRET")]
    api_secret: String,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum PlanName {
    Pro,
    Business,
}

impl From<PlanName> for Plan {
    fn from(name: PlanName) -> Self {
        match name {
            PlanName::Pro => Self::Pro,
            PlanName::Business => Self::Business,
        }
    }
}

/// A clean stop.
const OK: u8 = 0;
/// A runtime failure.
const FAILURE: u8 = 1;
/// EX_USAGE of sysexits.
const USAGE: u8 = 64;
/// EX_CONFIG of sysexits.
const CONFIG: u8 = 78;

/// Runs what the command line asks for.
pub fn run() -> ExitCode {
    let code = match Cli::try_parse() {
        Ok(cli) => dispatch(cli.command),
        Err(error) => {
            let help = !error.use_stderr();
            // A closed pipe is no reason to fail.
            drop(error.print());
            if help { OK } else { USAGE }
        }
    };
    ExitCode::from(code)
}

fn dispatch(command: Command) -> u8 {
    match command {
        Command::Serve(options) => run::serve(&options),
        Command::Check(file) => check(&file),
        Command::Demo(options) => demo::demo(&options),
        Command::Sandbox(options) => demo::sandbox(&options),
        Command::Schema => {
            say(&config::json_schema());
            OK
        }
        Command::Probe { url } => probe::probe(url),
    }
}

fn check(file: &ConfigFile) -> u8 {
    match config::load(&file.config, &config::environment()) {
        Ok(loaded) => {
            say(loaded.effective.trim_end());
            for comments in [&loaded.permissions, &loaded.shares] {
                if !comments.is_empty() {
                    say(&format!("\n{}", comments.trim_end()));
                }
            }
            for warning in &loaded.warnings {
                complain(&format!("warning: {warning}"));
            }
            OK
        }
        Err(faults) => {
            complain(&faults.to_string());
            complain(&format!("{} in {}", count(faults.0.len()), file.config.display()));
            CONFIG
        }
    }
}

fn count(faults: usize) -> String {
    if faults == 1 { "1 fault".to_owned() } else { format!("{faults} faults") }
}

/// To stdout. Whoever has closed the pipe does not want to know.
fn say(text: &str) {
    drop(writeln!(io::stdout(), "{text}"));
}

/// To stderr.
fn complain(text: &str) {
    drop(writeln!(io::stderr(), "{text}"));
}
