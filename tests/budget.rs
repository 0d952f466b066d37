//! What a hit costs, held against `budget.toml`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::cast_precision_loss,
    reason = "helpers of tests are tests"
)]

use std::alloc::System;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use serde::Deserialize;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use weir::clock::Clock;
use weir::config::{Env, from_text};
use weir::gateway::Gateway;

#[global_allocator]
static COUNTED: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Budget {
    fast: Costs,
    stack: Costs,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Costs {
    allocations: f64,
    syscalls: f64,
    instructions: Instructions,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Instructions {
    debug: f64,
    release: f64,
}

impl Instructions {
    fn here(&self) -> f64 {
        if cfg!(debug_assertions) { self.debug } else { self.release }
    }
}

/// What is allowed beyond the figure.
const SLACK: f64 = 1.05;

fn budget() -> Budget {
    toml::from_str(include_str!("budget.toml")).unwrap()
}

fn hold(what: &str, cost: f64, budget: f64) {
    println!("{what}: {cost:.2} a hit, {budget} allowed");
    assert!(cost <= budget * SLACK, "{what}: a hit costs {cost:.2}, and may cost {budget}");
}

const FAST: &str = "GET /things/one HTTP/1.1\r\nhost: gateway\r\naccept: */*\r\n\r\n";
const STACK: &str = "GET /things/one HTTP/1.1\r\nhost: gateway\r\naccept: */*\r\nte: gzip\r\n\r\n";

const PATIENCE: Duration = Duration::from_secs(60);
const BODY: usize = 10 * 1024;

/// Answers everything with the same, which may be kept for an hour.
fn upstream() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, mut head) = (stream.unwrap(), Vec::new());
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                head.extend(byte);
            }
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\n\
                cache-control: max-age=3600\r\nconnection: close\r\n";
            let head = format!("{head}content-length: {BODY}\r\n\r\n");
            stream.write_all(&[head.as_bytes(), &vec![b'x'; BODY]].concat()).unwrap();
        }
    });
    address
}

fn config(upstream: SocketAddr) -> String {
    format!(
        r#"
[server]
listen = "127.0.0.1:0"
workers = 1
[admin]
listen = "127.0.0.1:0"
[log]
format = "json"
[upstreams.things]
base_url = "http://{upstream}"
[upstreams.things.auth]
kind = "none"
[[upstreams.things.endpoints]]
id = "everything"
method = "*"
path = "/{{*rest}}"
cache = {{ mode = "respect" }}
"#
    )
}

/// A client that allocates nothing.
struct Asker {
    stream: TcpStream,
    answer: Box<[u8]>,
}

impl Asker {
    fn new(gateway: SocketAddr) -> Self {
        let stream = TcpStream::connect(gateway).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, answer: vec![0; 64 * 1024].into_boxed_slice() }
    }

    fn ask(&mut self, request: &str, times: usize) {
        for _ in 0..times {
            self.stream.write_all(request.as_bytes()).unwrap();
            let mut read = 0;
            loop {
                let more = self.stream.read(&mut self.answer[read..]).unwrap();
                assert_ne!(more, 0, "the gateway closed");
                read += more;
                let head = self.answer[..read].windows(4).position(|end| end == b"\r\n\r\n");
                if head.is_some_and(|head| read == head + 4 + BODY) {
                    break;
                }
            }
            assert!(self.answer.starts_with(b"HTTP/1.1 200 OK\r\n"));
        }
    }

    fn last_is_hit(&self) -> bool {
        self.answer.windows(9).any(|text| text == b"weir; hit")
    }
}

#[test]
fn allocations_of_a_hit() {
    let runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = { runtime }.worker_threads(1).enable_all().build().unwrap();
    let settings = from_text("budget.toml", &config(upstream()), &Env::new()).unwrap().settings;
    let sink: Box<dyn std::io::Write + Send> = Box::new(std::io::sink());
    let gateway = runtime.block_on(Gateway::start(settings, Clock::system(), Some(sink))).unwrap();
    let Budget { fast, stack } = budget();
    for (name, request, costs) in [("fast", FAST, fast), ("stack", STACK, stack)] {
        let mut asker = Asker::new(gateway.public());
        asker.ask(request, 200);
        assert!(asker.last_is_hit());
        let region = Region::new(COUNTED);
        asker.ask(request, 2000);
        let change = region.change();
        let made = (change.allocations + change.reallocations) as f64;
        hold(&format!("{name}: allocations"), made / 2000.0, costs.allocations);
    }
}

/// A gateway in a process of its own, under a tool that counts until it ends.
struct Watched {
    child: Child,
    gateway: SocketAddr,
}

impl Watched {
    fn start(tool: &[&str], config: &Path) -> Self {
        let (first, rest) = tool.split_first().unwrap();
        let mut child = Command::new(first)
            .args(rest)
            .arg(env!("CARGO_BIN_EXE_weir"))
            .args(["serve", "-c"])
            .arg(config)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let listens = |line: String| {
            let line: serde_json::Value = serde_json::from_str(&line).ok()?;
            line["listen"].as_str()?.parse().ok()
        };
        let gateway = log.find_map(|line| listens(line.unwrap())).expect("it listens");
        std::thread::spawn(move || log.for_each(drop));
        Self { child, gateway }
    }

    /// The tool as well, which waits for what it watches.
    fn stop(mut self) {
        let id = Pid::from_child(&self.child);
        kill_process_group(id, Signal::TERM).unwrap();
        self.child.wait().unwrap();
    }
}

/// What one of many hits costs by the sum that a tool writes into a file when its process ends: the
/// start and the stop are the same however many there were.
fn counted(request: &str, tool: impl Fn(&str) -> Vec<String>, sum: fn(&str) -> f64) -> f64 {
    let directory = tempfile::tempdir().unwrap();
    let (file, out) = (directory.path().join("budget.toml"), directory.path().join("out"));
    std::fs::write(&file, config(upstream())).unwrap();
    let [few, many] = [500, 1500].map(|times| {
        let tool = tool(out.to_str().unwrap());
        let watched = Watched::start(&tool.iter().map(String::as_str).collect::<Vec<_>>(), &file);
        let mut asker = Asker::new(watched.gateway);
        asker.ask(request, times);
        assert!(asker.last_is_hit());
        watched.stop();
        sum(&std::fs::read_to_string(&out).unwrap())
    });
    (many - few) / 1000.0
}

/// Not every machine has these tools, nor allows a process to be watched.
fn works(tool: &str, trial: &[&str]) -> bool {
    let tried = Command::new(tool).args(trial).output();
    let works = tried.is_ok_and(|output| output.status.success());
    if !works {
        println!("{tool} does not work here: nothing is counted");
    }
    works
}

#[test]
fn system_calls_of_a_hit() {
    if !works("strace", &["-o", "/dev/null", "true"]) {
        return;
    }
    let tool = |out: &str| ["strace", "-f", "-c", "-o", out].map(str::to_owned).to_vec();
    let sum = |text: &str| {
        let total = text.lines().find(|line| line.ends_with("total")).expect("a sum");
        total.split_whitespace().nth(3).unwrap().parse().unwrap()
    };
    let Budget { fast, stack } = budget();
    for (name, request, costs) in [("fast", FAST, fast), ("stack", STACK, stack)] {
        let what = format!("{name}: system calls");
        hold(&what, counted(request, tool, sum), costs.syscalls);
    }
}

#[test]
fn instructions_of_a_hit() {
    if !works("valgrind", &["--version"]) {
        return;
    }
    let tool = |out: &str| {
        let out = format!("--callgrind-out-file={out}");
        ["valgrind", "-q", "--tool=callgrind", &out].map(str::to_owned).to_vec()
    };
    let sum = |text: &str| {
        let totals = text.lines().filter_map(|line| line.strip_prefix("totals: "));
        totals.map(|total| total.parse::<f64>().unwrap()).sum()
    };
    let Budget { fast, stack } = budget();
    for (name, request, costs) in [("fast", FAST, fast), ("stack", STACK, stack)] {
        let what = format!("{name}: instructions");
        hold(&what, counted(request, tool, sum), costs.instructions.here());
    }
}
