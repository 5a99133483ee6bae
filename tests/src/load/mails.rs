//! How fast the outbox drains, beside its ceiling: the bare SMTP dialogue over as many connections into the same sink,
//! in the same run.

use std::io::Write as _;
use std::time::{Duration, Instant};

use authkit::Db;
use authkit::config::{Config, SmtpTls};
use authkit::mail::{SmtpMailer, Template};
use authkit::testing::{self, TestKit};

use crate::smtp::{Sink, flood};
use crate::{Backend, Store};

/// Mails in one run; many enough that the last second weighs little.
const MAILS: usize = 6_000;
/// As many as the worker has in hand at the same time.
const CONNECTIONS: usize = 16;
/// About what a mail of ours has.
const SIZE: usize = 2_000;
const TOKEN: &str = "akl_0123456789012345678901234567890123456789abcdefghijkl";

/// The targets: so many a second, or that part of the ceiling.
const ENOUGH: f64 = 500.0;
const RATIO: f64 = 0.7;

/// Measures both engines and prints rate, ceiling and ratio. `false` when a target was missed.
pub async fn measure() -> bool {
    let (mut good, mut out) = (true, std::io::stdout());
    let _ = writeln!(out, "{:<10} {:>9} {:>11} {:>6}", "outbox", "mails/s", "dialogue/s", "ratio");
    for backend in Backend::ALL {
        let (rate, ceiling) = (drain(backend).await, bare().await);
        let ratio = rate / ceiling;
        let fine = rate >= ENOUGH || ratio >= RATIO;
        let _ = writeln!(
            out,
            "{:<10} {rate:>9.0} {ceiling:>11.0} {ratio:>6.2}{}",
            backend.name(),
            if fine { "" } else { "  missed" }
        );
        good &= fine;
    }
    good
}

async fn bare() -> f64 {
    let sink = Sink::start().await;
    per_second(flood(&sink, CONNECTIONS, MAILS, SIZE).await)
}

async fn drain(backend: Backend) -> f64 {
    let store = Store::new(backend).await;
    let sink = Sink::start().await;
    let mut config: Config = testing::config();
    config.mail.smtp_host = Some("127.0.0.1".into());
    config.mail.smtp_port = Some(sink.address().port());
    config.mail.smtp_tls = SmtpTls::None;
    config.mail.from = Some("no-reply@example.com".into());
    let mailer = SmtpMailer::new(&config, &testing::secrets()).expect("a mailer");
    let db = Db::connect(store.url()).await.expect("the store");
    let t = TestKit::build(db, config, |builder| builder.mailer(mailer)).await.expect("a kit");
    let all: Vec<String> = (0..MAILS).map(|n| format!("person-{n}@example.com")).collect();
    for part in all.chunks(200) {
        t.enqueue(Template::ResetPassword, part.to_vec(), TOKEN, None).await.expect("mails in the outbox");
    }
    let start = Instant::now();
    let kit = t.kit.clone();
    let worker = tokio::spawn(async move { kit.deliver(std::future::pending()).await });
    let took = sink.reach(MAILS, start).await;
    worker.abort();
    per_second(took)
}

#[expect(clippy::cast_precision_loss, reason = "a few thousand")]
fn per_second(took: Duration) -> f64 {
    MAILS as f64 / took.as_secs_f64()
}
