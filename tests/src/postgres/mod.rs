//! Private PostgreSQL clusters: made for one test process, gone with it, however it ends.
//!
//! A small shell, the guard, owns each cluster: it starts and stops the server on words read from a pipe, and removes
//! everything when the pipe closes, which happens even when the test process is killed.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, mpsc};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

use crate::process::signal_pid;

mod find;

pub use find::BIN_VARIABLE;

/// A server that already runs may be used instead of a private one: a URL of a superuser's database.
pub const URL_VARIABLE: &str = "AUTHKIT_TEST_POSTGRES_URL";

const DEADLINE: Duration = Duration::from_mins(1);
const PAUSE: Duration = Duration::from_millis(10);

/// `$1` folder of binaries, `$2` folder of the cluster, `$3` port, `$4` more settings. Signals of a terminal are for
/// the test process; the end of the input ends the cluster.
const GUARD: &str = r#"
trap '' HUP INT TERM
bin=$1 home=$2 port=$3 more=$4 pid=
halt() {
  [ -n "$pid" ] || return 0
  kill -"$1" "$pid" 2>/dev/null
  kill -CONT "$pid" 2>/dev/null
  wait "$pid"
  pid=
}
while read -r word; do
  case $word in
    init) "$bin/initdb" -D "$home/data" -U postgres -A trust -E UTF8 --locale=C --no-sync >"$home/log" 2>&1 </dev/null
          echo "$?" ;;
    start) "$bin/postgres" -D "$home/data" -p "$port" -k "$home" -c listen_addresses=127.0.0.1 $more \
             >>"$home/log" 2>&1 </dev/null &
           pid=$!
           echo "$pid" ;;
    fast) halt INT; echo stopped ;;
    crash) halt QUIT; echo stopped ;;
  esac
done
halt QUIT
rm -rf "$home"
"#;

/// How a cluster treats the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// As shipped: a commit waits for the disk.
    #[default]
    Durable,
    /// Never waits for the disk: only for tests that do not ask what survives.
    Fast,
}

/// A PostgreSQL server of our own.
#[derive(Debug)]
pub struct Cluster {
    port: u16,
    home: PathBuf,
    guard: Mutex<Guard>,
}

#[derive(Debug)]
struct Guard {
    child: Child,
    words: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    postmaster: Option<i32>,
}

impl Cluster {
    /// A cluster that one test owns: it may stop, pause and crash it. Gone on drop.
    pub fn start_own() -> Self {
        Self::start_with(Durability::Durable)
    }

    /// The same with the given durability.
    pub fn start_with(durability: Durability) -> Self {
        let binaries = find::binaries();
        let owner = find::unprivileged_user();
        let home = home(owner);
        let more = match durability {
            Durability::Durable => "-c max_connections=400",
            Durability::Fast => {
                "-c max_connections=400 -c fsync=off -c synchronous_commit=off -c full_page_writes=off"
            }
        };
        let port = free_port();
        let mut command = Command::new("sh");
        command.args(["-c", GUARD, "guard"]).arg(&binaries).arg(&home).arg(port.to_string()).arg(more);
        // A group of its own: Ctrl-C at the terminal must not end the guard before it has tidied up.
        command.process_group(0).current_dir(&home).env("LC_ALL", "C").env("TZ", "UTC");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        if let Some((uid, gid)) = owner {
            command.uid(uid).gid(gid);
        }
        let mut child = command.spawn().expect("start sh");
        let words = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().expect("the guard's output"));
        let cluster =
            Self { port, home, guard: Mutex::new(Guard { child, words, answers, postmaster: None }) };
        let code = cluster.lock().say("init");
        assert_eq!(code, "0", "initdb failed:\n{}", cluster.log());
        cluster.start();
        cluster
    }

    /// The cluster that this process shares: started on first use, gone with the process. It is durable unless
    /// `AUTHKIT_TEST_POSTGRES_FAST=1`.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Cluster> = OnceLock::new();
        SHARED.get_or_init(|| {
            let fast = std::env::var("AUTHKIT_TEST_POSTGRES_FAST").is_ok_and(|v| v == "1");
            Self::start_with(if fast { Durability::Fast } else { Durability::Durable })
        })
    }

    /// Starts the server again on the same data and port, and waits until it answers.
    pub fn start(&self) {
        let mut guard = self.lock();
        assert!(guard.postmaster.is_none(), "the cluster runs already");
        let pid: i32 = guard.say("start").parse().expect("a process id");
        guard.postmaster = Some(pid);
        let end = Instant::now() + DEADLINE;
        while !self.ready(pid) {
            assert!(Instant::now() < end && alive(pid), "PostgreSQL did not start:\n{}", self.log());
            std::thread::sleep(PAUSE);
        }
    }

    /// Ends every connection and stops the server in good order.
    pub fn stop(&self) {
        self.halt("fast");
    }

    /// Stops the server at once, as a crash would; the next start recovers.
    pub fn crash(&self) {
        self.halt("crash");
    }

    /// Freezes the server with all its processes: connections stay open and nothing answers.
    pub fn pause(&self) {
        // The parent first, so that no process is born unseen.
        let guard = self.lock();
        let postmaster = guard.postmaster.expect("the cluster runs");
        signal_pid(postmaster, Signal::STOP);
        for pid in children(postmaster) {
            signal_pid(pid, Signal::STOP);
        }
    }

    /// Lets a paused server go on.
    pub fn resume(&self) {
        let guard = self.lock();
        let postmaster = guard.postmaster.expect("the cluster runs");
        for pid in children(postmaster) {
            signal_pid(pid, Signal::CONT);
        }
        signal_pid(postmaster, Signal::CONT);
    }

    /// The URL of a database in this cluster.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// Where it listens on loopback.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The folder with the data and the socket.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// What the server wrote.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.home.join("log")).unwrap_or_default()
    }

    fn ready(&self, pid: i32) -> bool {
        // First line: the process; eighth: its state, `ready` once connections are taken.
        let text = std::fs::read_to_string(self.home.join("data/postmaster.pid")).unwrap_or_default();
        let mut lines = text.lines().map(str::trim);
        lines.next() == Some(pid.to_string().as_str()) && lines.nth(6) == Some("ready")
    }

    fn halt(&self, word: &str) {
        let mut guard = self.lock();
        if guard.postmaster.take().is_some() {
            assert_eq!(guard.say(word), "stopped");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Guard> {
        self.guard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let mut guard = self.lock();
        drop(guard.words.take());
        let _ = guard.child.wait();
    }
}

impl Guard {
    fn say(&mut self, word: &str) -> String {
        let words = self.words.as_mut().expect("the guard listens");
        writeln!(words, "{word}").and_then(|()| words.flush()).expect("the guard reads");
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("the guard answers");
        line.trim().to_owned()
    }
}

/// A fresh database, dropped with this value.
#[derive(Debug)]
pub struct Database {
    admin: String,
    name: String,
    url: String,
    // A database of an own cluster keeps that cluster alive.
    cluster: Option<Arc<Cluster>>,
}

impl Database {
    /// A new empty database in the shared cluster, or on the server that [`URL_VARIABLE`] names.
    pub async fn create() -> Self {
        if let Ok(url) = std::env::var(URL_VARIABLE) {
            return Self::make(url, None, None).await;
        }
        let cluster = tokio::task::spawn_blocking(Cluster::shared).await.expect("a cluster");
        Self::make(cluster.url("postgres"), None, None).await
    }

    /// A new empty database in a cluster that the test owns.
    pub async fn create_in(cluster: &Arc<Cluster>) -> Self {
        Self::make(cluster.url("postgres"), None, Some(cluster.clone())).await
    }

    /// A new database with the content of this one, to which nobody may be connected.
    pub async fn copy(&self) -> Self {
        Self::make(self.admin.clone(), Some(&self.name), self.cluster.clone()).await
    }

    /// `postgres://…`
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    async fn make(admin: String, template: Option<&str>, cluster: Option<Arc<Cluster>>) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("authkit_test_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let template = template.unwrap_or("template0");
        let mut connection = PgConnection::connect(&admin).await.expect("connect to PostgreSQL");
        connection
            .execute(AssertSqlSafe(format!("CREATE DATABASE {name} TEMPLATE {template}")))
            .await
            .expect("create a database");
        connection.close().await.expect("close");
        let (base, _) = admin.rsplit_once('/').expect("a URL with a database");
        let url = format!("{base}/{name}");
        Self { admin, name, url, cluster }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // An own cluster goes whole.
        if self.cluster.is_none() {
            let _ = dropper().send((self.admin.clone(), self.name.clone()));
        }
    }
}

/// Drops databases behind the tests' backs: a drop cannot wait, and needs a connection.
fn dropper() -> &'static mpsc::Sender<(String, String)> {
    static DROPPER: OnceLock<mpsc::Sender<(String, String)>> = OnceLock::new();
    DROPPER.get_or_init(|| {
        let (sender, receiver) = mpsc::channel::<(String, String)>();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            for (admin, name) in receiver {
                runtime.block_on(async {
                    if let Ok(mut connection) = PgConnection::connect(&admin).await {
                        let sql = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
                        let _ = connection.execute(AssertSqlSafe(sql)).await;
                        let _ = connection.close().await;
                    }
                });
            }
        });
        sender
    })
}

/// A port of loopback that nobody has at this moment.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port()
}

/// A short path (a socket's is limited to 107 bytes) that the server's account can reach.
fn home(owner: Option<(u32, u32)>) -> PathBuf {
    let folder = match owner {
        Some(_) => PathBuf::from("/tmp"),
        None => std::env::temp_dir(),
    };
    let home = tempfile::Builder::new().prefix("authkit-pg-").tempdir_in(folder).expect("a folder").keep();
    if let Some((uid, gid)) = owner {
        std::os::unix::fs::chown(&home, Some(uid), Some(gid)).expect("give the folder away");
    }
    home
}

fn alive(pid: i32) -> bool {
    rustix::process::Pid::from_raw(pid).is_some_and(|pid| rustix::process::test_kill_process(pid).is_ok())
}

fn children(parent: i32) -> Vec<i32> {
    let output = Command::new("ps").args(["-A", "-o", "pid=,ppid="]).output();
    if let Ok(output) = output
        && output.status.success()
    {
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        return text.lines().filter_map(|line| child_of(line.split_whitespace(), parent)).collect();
    }
    // Slim containers have no `ps`; Linux has the same facts in files.
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| {
            let pid = entry.file_name().into_string().ok()?;
            let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
            let (_, rest) = stat.rsplit_once(')')?;
            child_of([pid.as_str(), rest.split_whitespace().nth(1)?].into_iter(), parent)
        })
        .collect()
}

fn child_of<'a>(mut fields: impl Iterator<Item = &'a str>, parent: i32) -> Option<i32> {
    let pid = fields.next()?.parse().ok()?;
    (fields.next()?.parse::<i32>().ok()? == parent).then_some(pid)
}
