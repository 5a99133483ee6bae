//! Memory and start-up time of the process.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::drivers::credentials;
use super::http::{self, Connection};
use super::options::Options;
use super::report::{self, Bound, Row};
use super::target::{ACCOUNTS, Target};
use super::{hashing, progress};
use crate::process::Launch;
use crate::stats::median;

const BURST: usize = 64;
/// One Argon2 buffer of 19,456 KiB.
const SLOT_MIB: f64 = 19.0;
/// From the tenth burst to the twentieth no more than this: what the allocator keeps moves a little.
const FLAT_MIB: f64 = 1.0;
const BURSTS: usize = 20;

/// A fresh process on the store of `target`: before the first hash, during bursts of sign-ins, after them.
pub(crate) async fn memory(target: &Target, rows: &mut Vec<Row>) {
    let engine = target.store.backend().name();
    progress(&format!("{engine}: memory"));
    let process = target.kind.launch(&target.store, ACCOUNTS).start().await;
    let pid = process.pid();
    // The start's own work may still be under way when the first answer comes.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let idle = rss(pid);
    let peak = Peak::watch(pid);
    let address = process.address().parse().expect("an address");
    let mut after = Vec::new();
    let mut errors = std::collections::BTreeMap::new();
    for burst in 0..BURSTS {
        let statuses = crate::race(BURST, |i| {
            let account = (burst * BURST + i) % ACCOUNTS;
            let request = http::post(target.kind.login_path(), &credentials(account, None));
            async move {
                let mut connection = Connection::open(address).await.expect("a connection");
                connection.exchange(&request).await.map_or(0, |(status, _)| status)
            }
        })
        .await;
        for status in statuses.into_iter().filter(|s| *s != 200) {
            *errors.entry(status).or_default() += 1;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
        after.push(rss(pid));
    }
    let peak = peak.stop();
    let (first, tenth, last) = (after[0], after[9], after[BURSTS - 1]);
    let slots = u32::try_from(hashing::cores()).map_or(1.0, f64::from);
    let row = |operation: String, figure, most| Row {
        operation,
        engine,
        figure,
        unit: "MiB",
        bounds: vec![Bound::Below(most)],
        ..Row::default()
    };
    let shown = |operation: &str, figure| Row { bounds: Vec::new(), ..row(operation.into(), figure, 0.0) };
    let during = row(format!("memory, {BURST} parallel logins"), peak, idle + SLOT_MIB * slots + 10.0);
    report::push(rows, row("memory, idle before a hash".into(), idle, 20.0));
    report::push(rows, Row { errors, connections: Some(BURST), ..during });
    report::push(rows, shown("memory, after burst 1", first));
    report::push(rows, shown("memory, after burst 10", tenth));
    report::push(rows, row(format!("memory, after burst {BURSTS}"), last, tenth + FLAT_MIB));
}

/// From the start of the process to its first answer, on tables that are there.
pub(crate) fn start(options: &Options, server: &Target, skeleton: &Target, rows: &mut Vec<Row>) {
    let engine = server.store.backend().name();
    progress(&format!("{engine}: start"));
    let launch = |target: &Target| target.kind.launch(&target.store, ACCOUNTS);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..options.starts {
        ours.push(time_to_answer(launch(server)));
        theirs.push(time_to_answer(launch(skeleton)));
    }
    let (figure, ceiling) = (median(&ours), median(&theirs));
    report::push(
        rows,
        Row {
            operation: "start to first answer".into(),
            engine,
            figure,
            unit: "ms",
            ceiling: Some((ceiling, "skeleton")),
            ratio: Some(figure / ceiling),
            bounds: vec![Bound::Below(50.0)],
            ..Row::default()
        },
    );
}

fn time_to_answer(launch: Launch) -> f64 {
    let begin = Instant::now();
    let process = launch.spawn();
    let deadline = begin + Duration::from_secs(20);
    loop {
        if let Ok(mut stream) = TcpStream::connect(process.address()) {
            stream.write_all(&http::get("/health", None)).expect("send a request");
            let mut head = [0; 12];
            stream.read_exact(&mut head).expect("an answer");
            assert_eq!(&head, b"HTTP/1.1 200");
            return begin.elapsed().as_secs_f64() * 1e3;
        }
        assert!(Instant::now() < deadline, "the server did not start");
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// The highest resident size while it watches.
struct Peak {
    stop: Arc<AtomicBool>,
    watcher: std::thread::JoinHandle<f64>,
}

impl Peak {
    fn watch(pid: u32) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let watcher = std::thread::spawn(move || {
            let mut peak = 0.0_f64;
            while !stopped.load(Ordering::Relaxed) {
                peak = peak.max(rss(pid));
                std::thread::sleep(Duration::from_millis(2));
            }
            peak
        });
        Self { stop, watcher }
    }

    fn stop(self) -> f64 {
        self.stop.store(true, Ordering::Relaxed);
        self.watcher.join().expect("a figure")
    }
}

/// Resident size in MiB, from Linux's own books.
fn rss(pid: u32) -> f64 {
    let text =
        std::fs::read_to_string(format!("/proc/{pid}/status")).expect("memory is measured on Linux only");
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a resident size");
    let kib: f64 = line.trim().trim_end_matches(" kB").parse().expect("a number of KiB");
    kib / 1024.0
}
