//! Private Redis servers, alone or as a cluster: made for one test, gone with it, however it ends.
//!
//! A small shell owns each server and kills it when its input ends, which happens even when the test process is
//! killed.

mod cluster;
mod find;

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use redis::{ConnectionLike as _, RedisResult, Value};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::postgres::free_port;
use crate::process::signal_pid;

pub use cluster::RedisCluster;
pub use find::BIN_VARIABLE;

const DEADLINE: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(5);

/// Signals of a terminal are for the test process.
const GUARD: &str = r#"
trap '' HUP INT TERM
"$@" >>log 2>&1 </dev/null &
pid=$!
echo "$pid"
read -r _
kill -KILL "$pid"
wait "$pid"
"#;

/// A server of our own on loopback, with nothing on disk.
#[derive(Debug)]
pub struct RedisServer {
    port: u16,
    args: Vec<String>,
    home: TempDir,
    running: Mutex<Option<Running>>,
}

#[derive(Debug)]
struct Running {
    guard: Child,
    input: Option<ChildStdin>,
    pid: i32,
}

impl RedisServer {
    /// A server that answers.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// A server with more settings, such as `--maxmemory 1mb`.
    pub fn start_with(settings: &[&str]) -> Self {
        let home = tempfile::Builder::new().prefix("authkit-redis-").tempdir().expect("a folder");
        let port = free_port();
        let mut args: Vec<String> =
            ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--loglevel", "warning"]
                .map(str::to_owned)
                .to_vec();
        args.extend(["--port".to_owned(), port.to_string()]);
        args.extend(settings.iter().map(|&setting| setting.to_owned()));
        let server = Self { port, args, home, running: Mutex::new(None) };
        server.start_again();
        server
    }

    /// Starts it again, empty, on the same port.
    pub fn start_again(&self) {
        let mut running = self.lock();
        assert!(running.is_none(), "the server runs already");
        let mut command = Command::new("sh");
        command.args(["-c", GUARD, "guard"]).arg(find::binary()).args(&self.args);
        command.process_group(0).current_dir(self.home.path());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut guard = command.spawn().expect("start sh");
        let input = guard.stdin.take();
        let mut line = String::new();
        let mut output = BufReader::new(guard.stdout.take().expect("the guard's output"));
        output.read_line(&mut line).expect("the guard answers");
        *running = Some(Running { guard, input, pid: line.trim().parse().expect("a process id") });
        drop(running);
        let end = Instant::now() + DEADLINE;
        while self.try_run(&["PING"]).is_err() {
            assert!(Instant::now() < end, "Redis did not start:\n{}", self.log());
            std::thread::sleep(PAUSE);
        }
    }

    /// Kills it: connections end, what it held is gone.
    pub fn stop(&self) {
        if let Some(running) = self.lock().take() {
            running.end();
        }
    }

    /// Freezes it: connections stay open, and nothing answers.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets a paused server go on.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// `redis://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Where it listens on loopback.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Runs a command on a connection of its own; panics on an error.
    #[track_caller]
    pub fn run(&self, command: &[&str]) -> Value {
        self.try_run(command).unwrap_or_else(|e| panic!("{command:?}: {e}"))
    }

    /// Runs a command on a connection of its own.
    pub fn try_run(&self, command: &[&str]) -> RedisResult<Value> {
        let client = redis::Client::open(self.url())?;
        let mut connection = client.get_connection_with_timeout(Duration::from_secs(5))?;
        let (name, args) = command.split_first().expect("a command");
        connection.req_command(redis::cmd(name).arg(args))?.extract_error()
    }

    /// The names of all keys.
    pub fn keys(&self) -> Vec<String> {
        redis::from_redis_value(self.run(&["KEYS", "*"])).expect("names")
    }

    /// What the server wrote.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.home.path().join("log")).unwrap_or_default()
    }

    fn signal(&self, signal: Signal) {
        signal_pid(self.lock().as_ref().expect("the server runs").pid, signal);
    }

    fn lock(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Running {
    fn end(mut self) {
        drop(self.input.take());
        let _ = self.guard.wait();
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.stop();
    }
}
