//! A real SMTP server (`aiosmtpd`, from `PyPI`) that a test starts, stops, kills and starts again, and what it received.

mod sink;

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

pub use sink::{Sink, flood};

use crate::python;

/// Pinned, so that a new release cannot turn a green run red.
const PACKAGES: [&str; 2] = ["aiosmtpd==1.4.6", "trustme==1.2.1"];
const SERVER: &str = include_str!("server.py");
/// Writes `ca.pem`, `cert.pem` and `key.pem` into the working directory.
const CERTIFICATES: &str = "
import trustme
ca = trustme.CA()
ca.cert_pem.write_to_path('ca.pem')
cert = ca.issue_cert('127.0.0.1', 'localhost')
cert.private_key_pem.write_to_path('key.pem')
for n, blob in enumerate(cert.cert_chain_pems):
    blob.write_to_path('cert.pem', append=n > 0)
";

/// How the server behaves. It always refuses recipients with `refused` in their address for good, those with `later`
/// for now, takes no content for `content`, and never answers after the content for `hang`.
#[derive(Debug, Clone, Default)]
pub struct Manner {
    /// Offers STARTTLS and takes nothing without it.
    pub starttls: bool,
    /// TLS from the first byte.
    pub tls: bool,
    /// Takes nothing without this user and password.
    pub login: Option<(&'static str, &'static str)>,
    /// Seconds before each mail is taken.
    pub slow: f64,
    /// Writes down the `Message-ID` only, for many mails.
    pub brief: bool,
}

/// A mail as the server received it.
#[derive(Debug, Clone)]
pub struct Received(serde_json::Value);

impl Received {
    /// A member of what the server wrote down.
    pub fn text(&self, member: &str) -> &str {
        self.0[member].as_str().unwrap_or_else(|| panic!("no {member} in {}", self.0))
    }

    /// A yes or no of what the server wrote down.
    pub fn is(&self, member: &str) -> bool {
        self.0[member].as_bool().unwrap_or_else(|| panic!("no {member} in {}", self.0))
    }

    /// The one recipient of the envelope.
    pub fn to(&self) -> &str {
        let all = self.0["rcpt_to"].as_array().expect("recipients");
        assert_eq!(all.len(), 1, "{}", self.0);
        all[0].as_str().expect("an address")
    }

    /// All headers of that name.
    pub fn headers(&self, name: &str) -> Vec<&str> {
        let all = self.0["headers"].as_array().expect("headers").iter();
        all.filter(|pair| pair[0].as_str().is_some_and(|n| n.eq_ignore_ascii_case(name)))
            .filter_map(|pair| pair[1].as_str())
            .collect()
    }

    /// What Python's parser found wrong with it.
    pub fn defects(&self) -> usize {
        self.0["defects"].as_array().map_or(0, Vec::len)
    }
}

/// A running server with a folder of its own.
#[derive(Debug)]
pub struct SmtpServer {
    folder: tempfile::TempDir,
    manner: Manner,
    port: u16,
    child: Option<Child>,
}

impl SmtpServer {
    /// Starts one on a free port.
    pub fn start(manner: Manner) -> Self {
        let mut server = Self::stopped(manner);
        server.resume();
        server
    }

    /// One that does not run yet: nobody answers at its port.
    pub fn stopped(manner: Manner) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        if manner.starttls || manner.tls {
            python::step(Command::new(python()).current_dir(folder.path()).args(["-c", CERTIFICATES]));
        }
        let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port();
        Self { folder, manner, port, child: None }
    }

    /// Starts it, at the same port as before.
    pub fn resume(&mut self) {
        assert!(self.child.is_none(), "it runs already");
        let script = self.folder.path().join("server.py");
        std::fs::write(&script, SERVER).expect("write the server");
        let mut command = Command::new(python());
        command.current_dir(self.folder.path()).arg(&script);
        command.args(["--port", &self.port.to_string(), "--log", "log.jsonl"]);
        if self.manner.starttls || self.manner.tls {
            command.args(["--cert", "cert.pem", "--key", "key.pem"]);
        }
        if self.manner.tls {
            command.arg("--implicit-tls");
        }
        if let Some((user, password)) = self.manner.login {
            command.args(["--user", user, "--password", password]);
        }
        if self.manner.brief {
            command.arg("--brief");
        }
        command.args(["--slow", &self.manner.slow.to_string()]);
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("start the SMTP server");
        let mut line = String::new();
        let out = child.stdout.take().expect("its output");
        BufReader::new(out).read_line(&mut line).expect("its first line");
        assert_eq!(line.trim(), "ready", "the SMTP server did not start");
        self.child = Some(child);
    }

    /// Kills it, with whatever it has in hand.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Ends it in good order: mails under way are taken, nothing new is.
    pub fn end(&mut self) {
        if let Some(mut child) = self.child.take() {
            let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).expect("its process id");
            kill_process(pid, Signal::TERM).expect("tell it to end");
            child.wait().expect("its end");
        }
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The certificate of its authority (PEM).
    pub fn authority(&self) -> Vec<u8> {
        std::fs::read(self.folder.path().join("ca.pem")).expect("the authority's certificate")
    }

    /// All mails so far.
    pub fn received(&self) -> Vec<Received> {
        let text = std::fs::read_to_string(self.folder.path().join("log.jsonl")).unwrap_or_default();
        // The last line may still be written.
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole.lines().map(|line| Received(serde_json::from_str(line).expect("a line of JSON"))).collect()
    }

    /// Waits until there are so many mails, 60 seconds at the most.
    pub async fn wait_for(&self, count: usize) -> Vec<Received> {
        for _ in 0..1200 {
            let received = self.received();
            if received.len() >= count {
                return received;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("only {} of {count} mails arrived", self.received().len());
    }
}

impl Drop for SmtpServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Python with the packages, made on first use.
fn python() -> PathBuf {
    static MADE: std::sync::OnceLock<PathBuf> = std::sync::OnceLock::new();
    MADE.get_or_init(|| python::with(&PACKAGES)).clone()
}

/// Makes the environment that [`SmtpServer`] needs, when it is not there: before anything is timed.
pub fn prepare() -> impl AsRef<Path> {
    python()
}
