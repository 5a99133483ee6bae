//! The worker: takes mails out of the outbox and hands them to the mailer.
//!
//! A claim is a lease, taken by one guarded UPDATE and longer than any try: several workers, in one process or in
//! many, never send one mail at the same time. The mail is marked right after the mailer took it. So a mail is sent
//! twice only when a process dies, or loses the store until the lease is over, between the two; and the second
//! copy has the same `Message-ID`.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, OptionFuture};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use uuid::Uuid;

use super::mailer::{MailError, MailErrorKind, Mailer, OutgoingMail};
use super::outbox::{NONE, Outbox};
use super::store::{self, ClaimedRow};
use super::template::Template;
use super::text::{RenderedMail, Texts};
use crate::db::Db;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::{MailId, uuid_v7};
use crate::random;
use crate::time::Timestamp;

/// Mails on their way at the same time.
const CONCURRENCY: usize = 16;
/// After which time a try is given up.
const SEND_TIMEOUT: Duration = Duration::from_secs(45);
/// How long a claimed mail is nobody else's. Longer than a try and the mark after it, and than clocks of nodes differ.
const LEASE: Duration = Duration::from_mins(2);
/// How often the store is asked for what other processes put in.
const POLL: Duration = Duration::from_secs(1);
/// Tries that count, until a mail is given up.
const TRIES: i64 = 10;
const FIRST_RETRY: Duration = Duration::from_secs(10);
const LONGEST_RETRY: Duration = Duration::from_hours(1);
/// How long nothing is tried after the mail server could not be reached: doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How often a claim that others were faster at is tried again at once.
const CLAIM_TRIES: usize = 10;
/// Between two tries to mark a mail while the store is gone.
const MARK_AGAIN: Duration = Duration::from_millis(500);
/// How long mails under way may take at the end.
const LAST_MAILS: Duration = Duration::from_secs(10);
/// How long it is known what became of a mail.
pub(super) const KEPT: Duration = Duration::from_hours(7 * 24);
const SWEEP_EVERY: Duration = Duration::from_hours(1);
const SWEEP_BATCH: i64 = 1000;
/// A mail that is due for so long means that nobody sends.
const STUCK: Duration = Duration::from_mins(5);

/// What became of the mails of one pass.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Delivery {
    /// Taken by the mailer.
    pub sent: u64,
    /// Failed, to be tried again later.
    pub retried: u64,
    /// Given up: refused for good, or tried too often.
    pub dead: u64,
    /// Too old to be worth sending.
    pub expired: u64,
    /// Put back, since the mail server could not be reached.
    pub put_back: u64,
}

/// How the outbox stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MailHealth {
    Off,
    Ok,
    Degraded,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Sent,
    Retried,
    Dead,
    Expired,
    PutBack,
    /// A mail that is none.
    Nothing,
    /// The lease was lost; somebody else's now.
    Lost,
}

impl Fate {
    #[cfg(feature = "metrics")]
    const fn name(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Retried => "retried",
            Self::Dead => "dead",
            Self::Expired => "expired",
            Self::PutBack => "unreachable",
            Self::Nothing => "none",
            Self::Lost => "lost",
        }
    }
}

/// Empties the outbox of one kit.
pub(crate) struct Courier {
    db: Db,
    outbox: Outbox,
    mailer: Option<Arc<dyn Mailer>>,
    texts: Texts,
    from: String,
    /// The mail server could not be reached when it was last tried.
    unreachable: AtomicBool,
    swept: Mutex<Option<Duration>>,
}

type Flight<'a> = BoxFuture<'a, Fate>;

impl Courier {
    pub(crate) fn new(
        db: Db,
        outbox: Outbox,
        mailer: Option<Arc<dyn Mailer>>,
        texts: Texts,
        from: String,
    ) -> Self {
        Self { db, outbox, mailer, texts, from, unreachable: AtomicBool::new(false), swept: Mutex::new(None) }
    }

    pub(crate) fn texts(&self) -> &Texts {
        &self.texts
    }

    fn now(&self) -> Timestamp {
        self.outbox.clock().now()
    }

    /// Sends until `shutdown`; then what is under way gets ten seconds.
    pub(crate) async fn run(&self, shutdown: impl Future<Output = ()> + Send) {
        tokio::pin!(shutdown);
        let Some(mailer) = &self.mailer else { return shutdown.await };
        let mut flying: FuturesUnordered<Flight<'_>> = FuturesUnordered::new();
        let mut claiming: OptionFuture<BoxFuture<'_, Result<Claim>>> = None.into();
        let (mut is_claiming, mut more, mut asked) = (false, true, 0);
        let mut pause = Pause::default();
        let mut poll = tokio::time::interval(POLL);
        poll.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let room = room(flying.len(), pause.failures > 0);
            if more && !is_claiming && room > 0 && !pause.holds(self.outbox.clock().monotonic()) {
                asked = room;
                is_claiming = true;
                claiming = Some(self.claim(room).boxed()).into();
            }
            tokio::select! {
                () = &mut shutdown => break,
                Some(claimed) = &mut claiming, if is_claiming => {
                    is_claiming = false;
                    claiming = None.into();
                    match claimed {
                        Ok(claim) => {
                            more = claim.rows.len() >= asked;
                            flying.extend(claim.rows.into_iter().map(|row| {
                                self.handle(&**mailer, row, claim.lease).boxed()
                            }));
                        }
                        Err(error) => {
                            more = false;
                            tracing::warn!(%error, "the outbox could not be read");
                        }
                    }
                }
                Some(fate) = flying.next(), if !flying.is_empty() => {
                    let jitter = || random::bytes::<4>(&**self.outbox.random()).map_or(u32::MAX, u32::from_be_bytes);
                    pause.note(fate, self.outbox.clock().monotonic(), jitter);
                    more |= fate == Fate::PutBack;
                }
                () = self.outbox.woken() => more = true,
                _ = poll.tick() => {
                    more = true;
                    self.sweep_if_due().await;
                }
            }
        }
        // A claim that is under way is not awaited: its leases run out.
        let rest = async { while flying.next().await.is_some() {} };
        if tokio::time::timeout(LAST_MAILS, rest).await.is_err() {
            tracing::warn!(
                "mails were still under way at the end; they are sent again when their leases are over"
            );
        }
    }

    /// Sends all that is due now, until nothing is, or the mail server cannot be reached.
    pub(crate) async fn run_once(&self) -> Result<Delivery> {
        let mut out = Delivery::default();
        let Some(mailer) = &self.mailer else { return Ok(out) };
        loop {
            let claim = self.claim(CONCURRENCY).await?;
            if claim.rows.is_empty() {
                return Ok(out);
            }
            let mut flying: FuturesUnordered<_> =
                claim.rows.into_iter().map(|row| self.handle(&**mailer, row, claim.lease)).collect();
            while let Some(fate) = flying.next().await {
                match fate {
                    Fate::Sent => out.sent += 1,
                    Fate::Retried => out.retried += 1,
                    Fate::Dead => out.dead += 1,
                    Fate::Expired => out.expired += 1,
                    Fate::PutBack => out.put_back += 1,
                    Fate::Nothing | Fate::Lost => {}
                }
            }
            if out.put_back > 0 {
                return Ok(out);
            }
        }
    }

    /// Sends one mail past the outbox, for an operator who wants to know now.
    pub(crate) async fn send_now(&self, template: Template, to: &str, language: &str) -> Result<String> {
        self.outbox.require()?;
        let Some(mailer) = &self.mailer else { return Err(ErrorKind::Unavailable.into()) };
        let now = self.now();
        let id = MailId::generate(now, &**self.outbox.random())?;
        let words = self.texts.preview(template, language)?;
        let mail = self.finished(id, template, now, to, words);
        let message_id = mail.message_id();
        match self.hand_over(&**mailer, mail).await {
            Ok(()) => Ok(message_id),
            Err(error) => {
                Err(Error::unavailable(format!("the mail was not taken: {error}")).with_source(error))
            }
        }
    }

    /// How things stand, for readiness.
    pub(crate) async fn health(&self) -> MailHealth {
        if self.mailer.is_none() {
            return MailHealth::Off;
        }
        let backlog = self.db.read(|conn| Box::pin(async move { store::backlog(conn).await })).await;
        // A store that does not answer is told of elsewhere.
        let stuck = backlog.is_ok_and(|backlog| {
            backlog.oldest_due.is_some_and(|due| Timestamp::from_micros(due) + STUCK < self.now())
        });
        if stuck || self.unreachable.load(Ordering::Relaxed) { MailHealth::Degraded } else { MailHealth::Ok }
    }

    /// Mails that wait, for metrics.
    pub(crate) async fn waiting(&self) -> Result<u64> {
        let backlog = self.db.read(|conn| Box::pin(async move { store::backlog(conn).await })).await?;
        Ok(u64::try_from(backlog.waiting).unwrap_or(0))
    }

    async fn claim(&self, limit: usize) -> Result<Claim> {
        let now = self.now();
        let lease = uuid_v7(now, &**self.outbox.random())?;
        // Asking costs no write: on SQLite there is one writer.
        if !self.is_due(now).await? {
            return Ok(Claim { lease, rows: Vec::new() });
        }
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        for _ in 0..CLAIM_TRIES {
            let rows = self
                .db
                .write_statement(move |tx| {
                    Box::pin(async move { store::claim(tx.conn(), lease, now, now + LEASE, limit).await })
                })
                .await?;
            // On PostgreSQL another worker may have chosen the same rows and been first: there are others.
            if !rows.is_empty() || !self.is_due(now).await? {
                return Ok(Claim { lease, rows });
            }
        }
        Ok(Claim { lease, rows: Vec::new() })
    }

    async fn is_due(&self, now: Timestamp) -> Result<bool> {
        self.db.read(move |conn| Box::pin(async move { store::is_due(conn, now).await })).await
    }

    async fn handle(&self, mailer: &dyn Mailer, row: ClaimedRow, lease: Uuid) -> Fate {
        let from = self.outbox.clock().monotonic();
        let id = MailId::from_uuid(row.id);
        let fate = match self.attempt(mailer, &row).await {
            Ok(fate) => (fate, None),
            Err((fate, error)) => (fate, Some(error)),
        };
        let (fate, error) = match fate {
            (Fate::Retried, error) if row.attempts >= TRIES => (Fate::Dead, error),
            other => other,
        };
        let error = error.as_deref().map(short);
        match fate {
            Fate::Dead => tracing::warn!(mail = %id, template = %row.template, error, "a mail was given up"),
            Fate::Retried | Fate::PutBack => {
                tracing::info!(mail = %id, template = %row.template, error, attempts = row.attempts, "a mail waits");
            }
            _ => tracing::debug!(mail = %id, template = %row.template, ?fate, "a mail is done with"),
        }
        match fate {
            Fate::Sent | Fate::Retried | Fate::Dead => self.unreachable.store(false, Ordering::Relaxed),
            Fate::PutBack => self.unreachable.store(true, Ordering::Relaxed),
            _ => {}
        }
        let kept = self.settle(&row, lease, fate, error, from).await;
        let fate = if kept { fate } else { Fate::Lost };
        #[cfg(feature = "metrics")]
        metrics::counter!("authkit_mails_total", "outcome" => fate.name()).increment(1);
        fate
    }

    /// Tries to send. What failed, and why, without anything secret.
    async fn attempt(
        &self,
        mailer: &dyn Mailer,
        row: &ClaimedRow,
    ) -> std::result::Result<Fate, (Fate, String)> {
        if Timestamp::from_micros(row.expires_at) <= self.now() {
            return Err((Fate::Expired, "too old".to_owned()));
        }
        let id = MailId::from_uuid(row.id);
        let failed = |error: Error| match error.kind() {
            ErrorKind::Unavailable => (Fate::Retried, "the store did not answer".to_owned()),
            _ => (Fate::Dead, error.to_string()),
        };
        let sealed = row.payload.as_deref().unwrap_or_default();
        let payload = self.outbox.open(&self.db, id, &row.key_id, sealed).await.map_err(failed)?;
        if row.template == NONE {
            return Ok(Fate::Nothing);
        }
        let template = Template::from_name(&row.template)
            // A newer node made it: it will send it.
            .ok_or_else(|| (Fate::Retried, "a kind of mail that this build does not know".to_owned()))?;
        let words = self.texts.render(template, &payload).map_err(failed)?;
        let mail = self.finished(id, template, Timestamp::from_micros(row.created_at), &payload.to, words);
        match self.hand_over(mailer, mail).await {
            Ok(()) => Ok(Fate::Sent),
            Err(error) => Err((
                match error.kind() {
                    MailErrorKind::Unreachable => Fate::PutBack,
                    MailErrorKind::Temporary => Fate::Retried,
                    MailErrorKind::Permanent => Fate::Dead,
                },
                error.to_string(),
            )),
        }
    }

    fn finished(
        &self,
        id: MailId,
        template: Template,
        created_at: Timestamp,
        to: &str,
        words: RenderedMail,
    ) -> OutgoingMail {
        OutgoingMail {
            id,
            template,
            created_at,
            from: self.from.clone(),
            to: to.to_owned(),
            subject: words.subject,
            text: words.text,
            html: words.html,
        }
    }

    /// Bounded in time, and a mailer that panics is one that failed.
    async fn hand_over(&self, mailer: &dyn Mailer, mail: OutgoingMail) -> std::result::Result<(), MailError> {
        let sending = AssertUnwindSafe(async { mailer.send(mail).await }).catch_unwind();
        match tokio::time::timeout(SEND_TIMEOUT, sending).await {
            Ok(Ok(out)) => out,
            Ok(Err(_)) => Err(MailError::temporary("the mailer panicked")),
            Err(_) => Err(MailError::temporary("the mailer took too long")),
        }
    }

    /// Writes down what became of a mail, again and again while the lease lasts: a mark that is lost is a mail sent
    /// twice. `false` when the lease was lost.
    async fn settle(
        &self,
        row: &ClaimedRow,
        lease: Uuid,
        fate: Fate,
        error: Option<String>,
        from: Duration,
    ) -> bool {
        let id = row.id;
        let state = match fate {
            Fate::Sent => Some("sent"),
            Fate::Dead => Some("dead"),
            Fate::Expired => Some("expired"),
            Fate::Nothing => Some("dropped"),
            Fate::Retried | Fate::PutBack | Fate::Lost => None,
        };
        let uncounted = fate == Fate::PutBack;
        let wait = if uncounted { FIRST_PAUSE } else { self.retry_after(row.attempts) };
        let expires_at = Timestamp::from_micros(row.expires_at);
        loop {
            let (error, now) = (error.clone(), self.now());
            // Not later than its end: then it expires, and its secrets go.
            let due = (now + wait).min(expires_at);
            let marked = self.db.write_statement(move |tx| {
                let error = error.clone();
                Box::pin(async move {
                    if let Some(state) = state {
                        store::finish(tx.conn(), id, lease, state, now, error.as_deref()).await
                    } else {
                        let why = error.as_deref().unwrap_or_default();
                        store::put_back(tx.conn(), id, lease, due, why, uncounted).await
                    }
                })
            });
            match marked.await {
                Ok(kept) => return kept,
                Err(error) if self.outbox.clock().monotonic().saturating_sub(from) > LEASE => {
                    tracing::error!(mail = %id, %error, "what became of a mail could not be written down");
                    return false;
                }
                Err(_) => tokio::time::sleep(MARK_AGAIN).await,
            }
        }
    }

    /// Doubles with each try, and is between half of that and the whole, so that mails that failed together do not
    /// come back together.
    fn retry_after(&self, attempts: i64) -> Duration {
        let doublings = u32::try_from(attempts.saturating_sub(1)).unwrap_or(0).min(16);
        let whole = FIRST_RETRY.saturating_mul(1 << doublings).min(LONGEST_RETRY);
        jittered(whole, random::bytes::<4>(&**self.outbox.random()).map_or(u32::MAX, u32::from_be_bytes))
    }

    /// Forgets what became of old mails, once in an hour; and counts what waits.
    async fn sweep_if_due(&self) {
        #[cfg(feature = "metrics")]
        if let Ok(waiting) = self.waiting().await {
            metrics::gauge!("authkit_mail_queue").set(u32::try_from(waiting).unwrap_or(u32::MAX));
        }
        let now = self.outbox.clock().monotonic();
        {
            let mut swept = self.swept.lock().unwrap_or_else(PoisonError::into_inner);
            if swept.is_some_and(|at| now.saturating_sub(at) < SWEEP_EVERY) {
                return;
            }
            *swept = Some(now);
        }
        let before = self.now() - KEPT;
        loop {
            let removed = self.db.write_statement(move |tx| {
                Box::pin(async move { store::sweep(tx.conn(), before, SWEEP_BATCH).await })
            });
            match removed.await {
                Ok(count) if count >= SWEEP_BATCH.unsigned_abs() => {}
                Ok(_) => return,
                Err(error) => return tracing::warn!(%error, "old mails could not be forgotten"),
            }
        }
    }
}

impl std::fmt::Debug for Courier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Courier").field("outbox", &self.outbox).finish_non_exhaustive()
    }
}

struct Claim {
    lease: Uuid,
    rows: Vec<ClaimedRow>,
}

/// How many mails to take: in handfuls, so that one statement claims several; one alone to see whether the mail server
/// is back.
fn room(flying: usize, probing: bool) -> usize {
    let free = CONCURRENCY.saturating_sub(flying);
    match probing {
        true => usize::from(flying == 0),
        false if free * 2 >= CONCURRENCY => free,
        false => 0,
    }
}

/// Nothing is tried for a while after the mail server could not be reached.
#[derive(Debug, Default)]
struct Pause {
    failures: u32,
    until: Duration,
}

impl Pause {
    fn holds(&self, now: Duration) -> bool {
        self.failures > 0 && now < self.until
    }

    fn note(&mut self, fate: Fate, now: Duration, random: impl Fn() -> u32) {
        match fate {
            // Mails that were under way together are one failure.
            Fate::PutBack if self.holds(now) => {}
            Fate::PutBack => {
                let span = FIRST_PAUSE.saturating_mul(1 << self.failures.min(10)).min(LONGEST_PAUSE);
                self.until = now + jittered(span, random());
                self.failures += 1;
            }
            Fate::Sent | Fate::Retried | Fate::Dead => self.failures = 0,
            Fate::Expired | Fate::Nothing | Fate::Lost => {}
        }
    }
}

/// Between half and the whole.
fn jittered(whole: Duration, random: u32) -> Duration {
    let half = whole / 2;
    half + half.mul_f64(f64::from(random) / f64::from(u32::MAX))
}

/// For the store and the log: one short line.
fn short(text: &str) -> String {
    super::mime::one_line(text).chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_stay_between_half_and_the_whole() {
        let whole = Duration::from_secs(10);
        assert_eq!(jittered(whole, 0), Duration::from_secs(5));
        assert_eq!(jittered(whole, u32::MAX), whole);
    }

    #[test]
    fn a_lease_outlasts_every_try() {
        assert!(LEASE >= SEND_TIMEOUT * 2 + MARK_AGAIN);
    }

    #[test]
    fn a_pause_grows_with_failures_and_ends_with_the_first_answer() {
        let (mut pause, full) = (Pause::default(), || u32::MAX);
        let mut now = Duration::from_secs(1);
        for expected in [1, 2, 4, 8, 16, 30, 30] {
            pause.note(Fate::PutBack, now, full);
            // The others of the same handful.
            pause.note(Fate::PutBack, now, full);
            assert_eq!(pause.until.saturating_sub(now), Duration::from_secs(expected));
            assert!(pause.holds(now) && !pause.holds(pause.until));
            now = pause.until;
        }
        pause.note(Fate::Sent, now, full);
        assert!(!pause.holds(now) && pause.failures == 0);
    }

    #[test]
    fn mails_are_taken_in_handfuls_and_one_alone_as_a_probe() {
        assert_eq!((room(0, false), room(8, false), room(9, false)), (16, 8, 0));
        assert_eq!((room(0, true), room(1, true)), (1, 0));
    }
}
