//! Closed loop: each connection sends its next request when the last one is answered, for a fixed time.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::http::Connection;
use crate::stats;

/// What one connection sends, request after request.
pub(crate) trait Driver: Send {
    /// The next request.
    fn request(&mut self) -> &[u8];
    /// Looks at the answer; `false` counts it as an error.
    fn answer(&mut self, status: u16, body: &[u8]) -> bool;
}

/// One driver a connection.
pub(crate) type Drivers = Vec<Box<dyn Driver>>;

/// What came of one round, or of several added up.
#[derive(Debug, Clone, Default)]
pub(crate) struct Figure {
    latencies: Vec<f64>,
    /// Answers that were no success by status; 0 stands for a connection that broke.
    pub(crate) errors: BTreeMap<u16, u64>,
    seconds: f64,
}

impl Figure {
    /// Successes a second.
    pub(crate) fn rate(&self) -> f64 {
        f64::from(u32::try_from(self.latencies.len()).unwrap_or(u32::MAX)) / self.seconds
    }

    /// A percentile of the successes' latency in milliseconds.
    pub(crate) fn percentile(&self, p: f64) -> Option<f64> {
        (!self.latencies.is_empty()).then(|| stats::percentile(&self.latencies, p) * 1e3)
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.latencies.extend(other.latencies);
        self.seconds += other.seconds;
        for (status, n) in other.errors {
            *self.errors.entry(status).or_default() += n;
        }
    }
}

/// Runs the drivers for a warm-up and then the time that counts, and gives them back for the next round: some carry
/// tokens. Answers count when they arrive within that time.
pub(crate) async fn run(
    address: SocketAddr,
    drivers: Drivers,
    warm: Duration,
    time: Duration,
) -> (Drivers, Figure) {
    let from = Instant::now() + warm;
    let to = from + time;
    let mut tasks = JoinSet::new();
    for (i, mut driver) in drivers.into_iter().enumerate() {
        tasks.spawn(async move {
            let mut figure = Figure::default();
            drive(address, driver.as_mut(), from, to, &mut figure).await;
            (i, driver, figure)
        });
    }
    let mut results = tasks.join_all().await;
    results.sort_by_key(|(i, ..)| *i);
    let mut total = Figure::default();
    let mut drivers = Vec::new();
    for (_, driver, figure) in results {
        drivers.push(driver);
        total.add(figure);
    }
    total.seconds = time.as_secs_f64();
    (drivers, total)
}

async fn drive(
    address: SocketAddr,
    driver: &mut dyn Driver,
    from: Instant,
    to: Instant,
    figure: &mut Figure,
) {
    let mut connection = None;
    loop {
        let start = Instant::now();
        if start >= to {
            return;
        }
        if connection.is_none() {
            connection = Connection::open(address).await.ok();
        }
        let answer = match &mut connection {
            Some(connection) => connection.exchange(driver.request()).await.ok(),
            None => None,
        };
        let outcome = match answer {
            Some((status, body)) => driver.answer(status, body).then_some(()).ok_or(status),
            None => Err(0),
        };
        let end = Instant::now();
        if (from..to).contains(&end) {
            match outcome {
                Ok(()) => figure.latencies.push((end - start).as_secs_f64()),
                Err(status) => *figure.errors.entry(status).or_default() += 1,
            }
        }
        match outcome {
            Ok(()) => {}
            Err(0) => {
                connection = None;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            // Refused at once: a loop without pause would only measure refusals.
            Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
        }
    }
}
