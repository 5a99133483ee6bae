//! A chromedriver of our own, and the dialogue with it (W3C `WebDriver`: JSON over HTTP on loopback).
//!
//! A small shell owns it and kills it, and the browser that it started, when its input ends, which happens even when the
//! test process is killed.

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::Value;
use tempfile::TempDir;

use super::find;
use crate::client::Client;
use crate::postgres::free_port;

const START: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(20);

/// Signals of a terminal are for the test process. `setsid` makes the driver the head of a group, in which the browser
/// stays.
const GUARD: &str = r#"
trap '' HUP INT TERM
setsid "$@" >>log 2>&1 </dev/null &
pid=$!
echo "$pid"
read -r _
kill -s KILL -- "-$pid"
wait "$pid"
"#;

#[derive(Debug)]
pub(super) struct Driver {
    client: Client,
    guard: Child,
    input: Option<ChildStdin>,
    home: TempDir,
}

impl Driver {
    /// One that answers.
    pub(super) async fn start() -> Self {
        let home = tempfile::Builder::new().prefix("authkit-browser-").tempdir().expect("a folder");
        let port = free_port();
        let mut command = Command::new("sh");
        command.args(["-c", GUARD, "guard"]).arg(find::programs().driver).arg(format!("--port={port}"));
        command.process_group(0).current_dir(home.path());
        // What the browser leaves behind goes with the folder.
        command.env("TMPDIR", home.path()).env("HOME", home.path());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut guard = command.spawn().expect("start sh");
        let input = guard.stdin.take();
        let mut line = String::new();
        let mut output = BufReader::new(guard.stdout.take().expect("the guard's output"));
        output.read_line(&mut line).expect("the guard answers");
        let client = Client::new(&format!("http://127.0.0.1:{port}"));
        let driver = Self { client, guard, input, home };
        let end = Instant::now() + START;
        while !driver.ready().await {
            assert!(Instant::now() < end, "chromedriver did not start:\n{}", driver.log());
            tokio::time::sleep(PAUSE).await;
        }
        driver
    }

    async fn ready(&self) -> bool {
        let answer = self.client.try_request("GET", "/status", None).await;
        answer.is_ok_and(|answer| answer.body.pointer("/value/ready") == Some(&Value::Bool(true)))
    }

    /// A command; what it returns, or the code and the text of its error.
    pub(super) async fn command(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<Value, (String, String)> {
        let answer = self.client.try_request(method.as_str(), path, body).await;
        let mut answer = answer.unwrap_or_else(|e| panic!("{method} {path}: {e:?}\n{}", self.log()));
        let value = answer.body["value"].take();
        if answer.status == 200 {
            return Ok(value);
        }
        let text = |member: &str| value[member].as_str().unwrap_or_default().to_owned();
        Err((text("error"), text("message")))
    }

    /// What the driver wrote.
    pub(super) fn log(&self) -> String {
        std::fs::read_to_string(self.home.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.guard.wait();
    }
}
