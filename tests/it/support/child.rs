//! The real binary as a child process.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::{Arc, Mutex};

use command_fds::{CommandFdExt as _, FdMapping};
use serde_json::Value;
use tokio::io::AsyncReadExt as _;
use tokio::process::{self, Command};
use tokio::task::JoinHandle;

use super::{PATIENCE, until};

/// `weir` with these arguments; nothing of the caller's own configuration reaches it.
pub(crate) fn command(arguments: &[&str]) -> Command {
    clean(Command::new(env!("CARGO_BIN_EXE_weir")), arguments)
}

fn clean(mut command: Command, arguments: &[&str]) -> Command {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("WEIR_") {
            command.env_remove(name);
        }
    }
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// Runs it to its end.
pub(crate) async fn run(arguments: &[&str]) -> Output {
    let output = command(arguments).output();
    tokio::time::timeout(PATIENCE, output).await.expect("it ends").unwrap()
}

/// `weir serve` with sockets passed to it.
fn activated(path: &Path, sockets: Vec<(&str, OwnedFd)>) -> Command {
    let names: Vec<_> = sockets.iter().map(|(name, _)| *name).collect();
    let serve = format!(
        "export LISTEN_PID=$$ LISTEN_FDS={} LISTEN_FDNAMES={}; exec {} serve -c {}",
        names.len(),
        names.join(":"),
        env!("CARGO_BIN_EXE_weir"),
        argument(path),
    );
    let mut command = clean(Command::new("sh"), &["-c", &serve]);
    let mappings = (3..).zip(sockets);
    let mappings =
        mappings.map(|(child_fd, (_, parent_fd))| FdMapping { parent_fd, child_fd }).collect();
    command.as_std_mut().fd_mappings(mappings).unwrap();
    command
}

/// A running `weir serve`.
#[derive(Debug)]
pub(crate) struct Child {
    process: process::Child,
    stdout: Pipe,
    stderr: Pipe,
    /// Its configuration file.
    pub(crate) file: PathBuf,
    pub(crate) public: std::net::SocketAddr,
    pub(crate) admin: std::net::SocketAddr,
    _directory: tempfile::TempDir,
}

impl Child {
    /// Starts it, and waits until it says where it listens.
    pub(crate) async fn serve(config: &str) -> Self {
        Self::serve_with(config, |command| command).await
    }

    /// The same, with further arguments or variables.
    pub(crate) async fn serve_with(
        config: &str,
        change: impl FnOnce(&mut Command) -> &mut Command,
    ) -> Self {
        let (directory, path) = file(config);
        let mut command = command(&["serve", "-c", argument(&path)]);
        change(&mut command);
        Self::spawn(command, directory, path).await
    }

    /// The same, with listening sockets passed to it as systemd does.
    pub(crate) async fn activate(config: &str, sockets: Vec<(&str, OwnedFd)>) -> Self {
        let (directory, path) = file(config);
        Self::spawn(activated(&path, sockets), directory, path).await
    }

    /// The same, where nothing comes of it: exit code and stderr.
    pub(crate) async fn fails(
        config: &str,
        sockets: Vec<(&str, OwnedFd)>,
    ) -> (Option<i32>, String) {
        let (_directory, path) = file(config);
        let mut command = activated(&path, sockets);
        let output = tokio::time::timeout(PATIENCE, command.output()).await.unwrap().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    }

    async fn spawn(mut command: Command, directory: tempfile::TempDir, file: PathBuf) -> Self {
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdout = Pipe::read(process.stdout.take().unwrap());
        let stderr = Pipe::read(process.stderr.take().unwrap());
        let ready = until("it says where it listens", async || {
            stderr.lines().into_iter().find(|line| line["listen"].is_string())
        });
        let ready = ready.await;
        // Of several, the first that is an address and a port.
        let address = |name: &str| {
            let mut all = ready[name].as_str().unwrap().split(", ");
            all.find_map(|one| one.parse().ok()).unwrap_or_else(|| "0.0.0.0:0".parse().unwrap())
        };
        let (public, admin) = (address("listen"), address("admin"));
        Self { process, stdout, stderr, file, public, admin, _directory: directory }
    }

    /// The process.
    pub(crate) fn pid(&self) -> u32 {
        self.process.id().expect("it runs")
    }

    /// Sends a signal, "TERM" or "HUP".
    pub(crate) async fn signal(&self, name: &str) {
        let pid = self.pid();
        let sent = Command::new("sh").arg("-c").arg(format!("kill -{name} {pid}")).status();
        assert!(sent.await.unwrap().success());
    }

    /// Waits for its end and its last words; the exit code.
    pub(crate) async fn ended(&mut self) -> Option<i32> {
        let ended = async {
            let status = self.process.wait().await.unwrap();
            for pipe in [&mut self.stdout, &mut self.stderr] {
                (&mut pipe.reader).await.unwrap();
            }
            status.code()
        };
        tokio::time::timeout(PATIENCE, ended).await.expect("it ends")
    }

    /// Everything it wrote to stdout and stderr so far.
    pub(crate) fn said(&self) -> String {
        self.stdout.text() + &self.stderr.text()
    }
}

/// One of its outputs, read as it comes.
#[derive(Debug)]
struct Pipe {
    said: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
}

impl Pipe {
    fn read(mut pipe: impl tokio::io::AsyncRead + Unpin + Send + 'static) -> Self {
        let said = Arc::new(Mutex::new(Vec::new()));
        let into = Arc::clone(&said);
        let reader = tokio::spawn(async move {
            let mut chunk = vec![0; 64 * 1024];
            while let Ok(read @ 1..) = pipe.read(&mut chunk).await {
                into.lock().unwrap().extend_from_slice(&chunk[..read]);
            }
        });
        Self { said, reader }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.said.lock().unwrap()).into_owned()
    }

    /// The lines that are JSON objects.
    fn lines(&self) -> Vec<Value> {
        self.text().lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }
}

/// A file in a directory of its own.
pub(crate) fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("weir.toml");
    std::fs::write(&path, text).unwrap();
    (directory, path)
}

/// A path as an argument.
pub(crate) fn argument(path: &Path) -> &str {
    path.to_str().unwrap()
}
