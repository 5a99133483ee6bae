//! The real binaries as processes: started on a store, watched, killed.

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};
use tempfile::TempDir;

use crate::backends::Store;
use crate::client::Client;
use crate::postgres::free_port;
use crate::{cargo, raw};

const START: Duration = Duration::from_secs(20);
const END: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(2);

/// The path of a binary of this workspace, built when needed.
pub fn binary(name: &str) -> PathBuf {
    cargo::binary(name)
}

/// The path of an example of this workspace, which `cargo test` builds beside the tests.
pub fn example(name: &str) -> PathBuf {
    cargo::example(name)
}

/// A server that is about to be started: binary, settings, folder.
#[derive(Debug)]
pub struct Launch {
    binary: PathBuf,
    env: Vec<(String, String)>,
    folder: Option<PathBuf>,
    args: Vec<String>,
    discard_logs: bool,
    public: bool,
}

impl Launch {
    /// `authkit-server` on that store, with limits that no test hits.
    pub fn server(store: &Store) -> Self {
        Self::binary(cargo::binary("authkit-server")).envs(generous_limits()).envs(store.env())
    }

    /// The same with the limits of the defaults.
    #[must_use]
    pub fn default_limits(self) -> Self {
        generous_limits().into_iter().fold(self, |launch, (name, _)| launch.without(&name))
    }

    /// `authkit-server` with no setting but `BIND_ADDR`.
    pub fn bare_server() -> Self {
        Self::binary(cargo::binary("authkit-server"))
    }

    /// Another program that takes `BIND_ADDR` and answers `/health`.
    pub fn binary(path: impl Into<PathBuf>) -> Self {
        Self {
            binary: path.into(),
            env: Vec::new(),
            folder: None,
            args: Vec::new(),
            discard_logs: false,
            public: false,
        }
    }

    /// Adds or replaces a setting.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.retain(|(n, _)| n != name);
        self.env.push((name.into(), value.into()));
        self
    }

    /// Adds or replaces settings.
    #[must_use]
    pub fn envs(self, env: impl IntoIterator<Item = (String, String)>) -> Self {
        env.into_iter().fold(self, |launch, (name, value)| launch.env(&name, &value))
    }

    /// Takes a setting away.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.env.retain(|(n, _)| n != name);
        self
    }

    /// Runs in that folder instead of a new one.
    #[must_use]
    pub fn folder(mut self, folder: &Path) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: &str) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Says in `PUBLIC_URL` where it really listens, so that the links in its mails lead to it.
    #[must_use]
    pub fn public(mut self) -> Self {
        self.public = true;
        self
    }

    /// Throws the log away, so that reading it costs a measurement nothing.
    #[must_use]
    pub fn discard_logs(mut self) -> Self {
        self.discard_logs = true;
        self
    }

    /// Starts it and waits until `/health` answers.
    pub async fn start(self) -> ServerProcess {
        let mut process = self.spawn();
        let end = Instant::now() + START;
        while !process.healthy().await {
            if let Ok(Some(status)) = process.child.try_wait() {
                panic!("the server ended with {status}:\n{}", process.settled_logs());
            }
            assert!(Instant::now() < end, "the server did not get ready:\n{}", process.logs());
            tokio::time::sleep(PAUSE).await;
        }
        process
    }

    /// Starts it and does not wait.
    pub fn spawn(self) -> ServerProcess {
        let port = free_port();
        let address = format!("127.0.0.1:{port}");
        let own = tempfile::Builder::new().prefix("authkit-run-").tempdir().expect("a folder");
        let folder = self.folder.unwrap_or_else(|| own.path().to_owned());
        let mut command = clean(&self.binary, &folder);
        command.args(&self.args).env("BIND_ADDR", &address).envs(self.env);
        if self.public {
            command.env("PUBLIC_URL", format!("http://localhost:{port}"));
        }
        command.stdin(Stdio::null());
        if self.discard_logs {
            command.stdout(Stdio::null()).stderr(Stdio::null());
        } else {
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
        }
        let mut child = command.spawn().expect("start the server");
        let logs = Logs::default();
        let readers =
            [child.stdout.take().map(|out| logs.read(out)), child.stderr.take().map(|err| logs.read(err))];
        let readers = readers.into_iter().flatten().collect();
        ServerProcess { child, address, folder, logs, readers, _own: own }
    }

    /// Runs a server that is expected to refuse: its exit status and what it wrote. Panics when it still runs after
    /// 30 s.
    pub async fn run_to_exit(self) -> (ExitStatus, String) {
        let mut process = self.spawn();
        let status = process.wait().await;
        (status, process.settled_logs())
    }
}

/// A running server; killed on drop.
#[derive(Debug)]
pub struct ServerProcess {
    child: Child,
    address: String,
    folder: PathBuf,
    logs: Logs,
    readers: Vec<std::thread::JoinHandle<()>>,
    _own: TempDir,
}

impl ServerProcess {
    /// `authkit-server` on that store with more settings, ready to answer.
    pub async fn start(store: &Store, env: &[(&str, &str)]) -> Self {
        env.iter().fold(Launch::server(store), |launch, (name, value)| launch.env(name, value)).start().await
    }

    /// `127.0.0.1:PORT`
    pub fn address(&self) -> &str {
        &self.address
    }

    /// `http://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// `http://localhost:PORT`: as browsers want it for what they else do over TLS only.
    pub fn local_url(&self) -> String {
        self.url().replace("127.0.0.1", "localhost")
    }

    /// A new client of it.
    pub fn client(&self) -> Client {
        Client::new(&self.url())
    }

    /// The folder it runs in.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it wrote so far, both streams in the order of arrival.
    pub fn logs(&self) -> String {
        self.logs.text()
    }

    /// The log lines that are JSON objects.
    pub fn json_logs(&self) -> Vec<serde_json::Value> {
        let text = self.logs();
        text.lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .filter(serde_json::Value::is_object)
            .collect()
    }

    /// Kills it as a power cut of the process would, and waits for its end.
    pub fn kill9(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks it to shut down.
    pub fn sigterm(&self) {
        self.signal(Signal::TERM);
    }

    /// Freezes it.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// Waits for its end; panics after 30 s.
    pub async fn wait(&mut self) -> ExitStatus {
        let end = Instant::now() + END;
        loop {
            if let Some(status) = self.child.try_wait().expect("wait for the server") {
                return status;
            }
            assert!(Instant::now() < end, "the server does not end:\n{}", self.logs());
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn signal(&self, signal: Signal) {
        signal_pid(i32::try_from(self.child.id()).expect("a process id"), signal);
    }

    /// The whole output of a process that has ended.
    fn settled_logs(&mut self) -> String {
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
        self.logs()
    }

    async fn healthy(&self) -> bool {
        let request = format!("GET /health HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", self.address);
        // Another process may have taken the port in between and answer here: then ours has ended, which the caller sees.
        raw::exchange(&self.address, request.as_bytes(), Duration::from_secs(2))
            .await
            .is_ok_and(|answer| answer.starts_with(b"HTTP/1.1 200"))
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        self.kill9();
    }
}

/// Settings of limits that no test hits.
fn generous_limits() -> Vec<(String, String)> {
    let rates = authkit::config::settings().iter().filter(|setting| setting.name().starts_with("RL_"));
    rates.map(|setting| (setting.name().to_owned(), "1000000/1s".to_owned())).collect()
}

/// The result of a command.
#[derive(Debug)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Output {
    /// The exit code; panics when a signal ended it.
    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or_else(|| panic!("ended by a signal: {self:?}"))
    }

    /// Standard output as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("no JSON ({e}): {self:?}"))
    }
}

/// Runs `authctl` on that store with this input.
pub async fn authctl(store: &Store, args: &[&str], stdin: &str) -> Output {
    authctl_with(&store.env(), store.folder(), args, stdin).await
}

/// Runs `authctl` with these settings only, in that folder.
pub async fn authctl_with(env: &[(String, String)], folder: &Path, args: &[&str], stdin: &str) -> Output {
    let mut command = clean(&cargo::binary("authctl"), folder);
    command.args(args).envs(env.iter().cloned());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let stdin = stdin.to_owned();
    let run = move || {
        let mut child = command.spawn().expect("start authctl");
        let mut input = child.stdin.take().expect("its input");
        // It may end without reading.
        let writer = std::thread::spawn(move || drop(input.write_all(stdin.as_bytes())));
        let output = child.wait_with_output().expect("wait for authctl");
        writer.join().expect("write its input");
        Output {
            status: output.status,
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    };
    tokio::task::spawn_blocking(run).await.expect("run authctl")
}

/// A command that sees nothing of this process's environment but what programs need to run (and to report coverage).
fn clean(binary: &Path, folder: &Path) -> Command {
    const KEPT: [&str; 6] =
        ["PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH", "LLVM_PROFILE_FILE", "RUST_BACKTRACE"];
    let mut command = Command::new(binary);
    command.env_clear().current_dir(folder);
    command.envs(KEPT.into_iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
    command
}

/// Sends a signal; a process that has ended takes none.
pub(crate) fn signal_pid(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid) {
        let _ = rustix::process::kill_process(pid, signal);
    }
}

#[derive(Debug, Clone, Default)]
struct Logs(Arc<Mutex<String>>);

impl Logs {
    fn read(&self, stream: impl Read + Send + 'static) -> std::thread::JoinHandle<()> {
        let logs = self.clone();
        std::thread::spawn(move || {
            let mut reader = BufReader::new(stream);
            let mut line = Vec::new();
            while reader.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
                logs.0
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push_str(&String::from_utf8_lossy(&line));
                line.clear();
            }
        })
    }

    fn text(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
