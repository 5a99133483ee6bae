//! How limits stand for somebody, and filling them again.

use std::net::IpAddr;

use serde::Serialize;

use super::{Admin, Changed};
use crate::audit::Entry;
use crate::db::Tx;
use crate::error::{Error, Result};
use crate::events::Action;
use crate::flows::doors::{LIMITS, Limit, LimitAxis, Subject};
use crate::flows::{Ctx, Ruling};
use crate::ids::UserId;
use crate::limits::Bucket;
use crate::meta::RequestMeta;
use crate::users::Email;

/// Whose limits.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum LimitSubject {
    /// Those of a client's address.
    Address(IpAddr),
    /// Those of an e-mail in any spelling, whether an account has it or not.
    Email(String),
    /// Those of a user.
    User(UserId),
}

/// What limits there are, and how they stand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LimitsReport {
    /// Whether the limits are kept in Redis. If not, each process has its own in memory: `items` then tells of the
    /// process that was asked, and of no other.
    pub shared: bool,
    /// The limits that count by what was asked for, or all.
    pub items: Vec<LimitInfo>,
}

/// A limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LimitInfo {
    /// Its name, as in answers and metrics.
    pub name: &'static str,
    /// How often, as in the settings: `20/10m`.
    pub rate: String,
    /// What it counts by.
    pub by: LimitAxis,
    /// Requests that are left, when somebody was named.
    pub remaining: Option<u32>,
    /// Seconds until there is one more, when somebody was named and some were used.
    pub next_in_seconds: Option<u64>,
}

impl Ctx {
    /// The limits, and how they stand for `subject`.
    async fn limits_report(&self, subject: Option<&LimitSubject>) -> Result<LimitsReport> {
        let shared = self.config.limits.redis.is_enabled();
        let line = |limit: &Limit| LimitInfo {
            name: limit.name,
            rate: (limit.rate)(&self.config.limits).to_string(),
            by: limit.axis,
            remaining: None,
            next_in_seconds: None,
        };
        let Some(subject) = subject else {
            return Ok(LimitsReport { shared, items: LIMITS.iter().map(line).collect() });
        };
        let (limits, buckets): (Vec<_>, Vec<_>) = self.buckets_of(subject)?.into_iter().unzip();
        let states = self.limiter.look(&buckets).await?;
        let items = limits.iter().zip(states).map(|(limit, state)| LimitInfo {
            remaining: Some(state.remaining),
            next_in_seconds: (state.remaining < state.limit)
                .then(|| state.reset.as_secs() + u64::from(state.reset.subsec_nanos() > 0)),
            ..line(limit)
        });
        Ok(LimitsReport { shared, items: items.collect() })
    }

    fn buckets_of(&self, subject: &LimitSubject) -> Result<Vec<(Limit, Bucket)>> {
        let email = match subject {
            LimitSubject::Email(text) => Some(parse(text)?),
            LimitSubject::Address(_) | LimitSubject::User(_) => None,
        };
        let (axis, subject, ip) = match (subject, &email) {
            (LimitSubject::Address(ip), _) => (LimitAxis::Address, Subject::Client, Some(*ip)),
            (LimitSubject::User(user), _) => (LimitAxis::User, Subject::User(*user), None),
            (LimitSubject::Email(_), Some(email)) => (LimitAxis::Email, Subject::Email(email), None),
            (LimitSubject::Email(_), None) => return Ok(Vec::new()),
        };
        let limits = LIMITS.iter().filter(|limit| limit.axis == axis);
        limits.map(|limit| Ok((*limit, self.bucket(*limit, subject, ip)?))).collect()
    }

    /// Notes whose limits an operator fills again. An e-mail is told by its keyed hash: it may be unknown.
    async fn note_reset_in(
        &self,
        tx: &mut Tx<'_>,
        subject: &LimitSubject,
        meta: &RequestMeta,
    ) -> Result<Ruling<()>> {
        let entry = match subject {
            LimitSubject::User(user) => Entry::success(Action::LimitsReset, *user),
            LimitSubject::Address(ip) => {
                Entry::system(Action::LimitsReset).detail("address", ip.to_canonical().to_string())
            }
            LimitSubject::Email(text) => {
                let fingerprint = self.email_fingerprint(&parse(text)?)?;
                Entry::system(Action::LimitsReset).detail("email_hash", fingerprint)
            }
        };
        self.audit.grant(tx, meta, entry).await?;
        Ok(Ok(()))
    }
}

fn parse(email: &str) -> Result<Email> {
    Email::parse(email, "/email").map_err(|fault| Error::validation(vec![fault]))
}

impl Admin {
    /// The limits there are; with a subject, those that count by it, and how they stand. Changes nothing.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Validation`] for what is no e-mail; [`crate::ErrorKind::Unavailable`] when Redis is set up
    /// and does not answer.
    pub async fn limits(&self, subject: Option<&LimitSubject>) -> Result<LimitsReport> {
        self.ctx.limits_report(subject).await
    }

    /// Fills the limits of somebody again: in Redis for all processes, else in this process only, see
    /// [`LimitsReport::shared`].
    ///
    /// # Errors
    /// As [`Self::limits`].
    pub async fn reset_limits(&self, subject: &LimitSubject) -> Result<Changed<LimitsReport>> {
        let report = self.ctx.limits_report(Some(subject)).await?;
        if report.items.iter().all(|item| item.next_in_seconds.is_none()) {
            return Ok(Changed::new(false, report));
        }
        let noted = subject.clone();
        // The note first: what cannot be noted is not done.
        self.run(Action::LimitsReset, None, move |ctx, tx, meta| {
            let subject = noted.clone();
            Box::pin(async move { ctx.note_reset_in(tx, &subject, meta).await })
        })
        .await?;
        if self.dry_run {
            return Ok(Changed::new(true, report));
        }
        let buckets: Vec<_> = self.ctx.buckets_of(subject)?.into_iter().map(|(_, bucket)| bucket).collect();
        self.ctx.limiter.reset(&buckets).await?;
        Ok(Changed::new(true, self.ctx.limits_report(Some(subject)).await?))
    }
}
