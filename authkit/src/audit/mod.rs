//! The audit log: one row an event, in the transaction of its effect.

mod store;

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use serde_json::{Map, Value};

use crate::db::page::Cursors;
use crate::db::{Conn, Db, Listing, Page, Tx};
use crate::error::{Error, Result};
use crate::events::{Action, Event, Outcome, Publisher};
use crate::ids::{EventId, Sequence, SessionId, UserId};
use crate::mail::{Outbox, Told, ToldLink};
use crate::meta::RequestMeta;
use crate::random::SharedRandom;
use crate::time::{SharedClock, Timestamp};

/// A hook may take so long; then its effect is undone.
const HOOK_TIMEOUT: Duration = Duration::from_secs(1);

/// Code of a host that runs inside the transaction of a granted effect, after its audit row was written.
///
/// It may run again when the transaction is tried again, uses the given [`Tx`] only, and has one second. An
/// error undoes the effect and refuses the request; the refusal is audited.
pub trait Hook: Send + Sync + 'static {
    /// Called for each granted event.
    fn on<'a>(&'a self, event: &'a Event, tx: &'a mut Tx<'_>) -> BoxFuture<'a, Result<()>>;
}

/// Which events are wanted. Empty means all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuditFilter {
    /// About this account.
    pub user_id: Option<UserId>,
    /// Of this action.
    pub action: Option<Action>,
    /// Not before.
    pub from: Option<Timestamp>,
    /// Before.
    pub to: Option<Timestamp>,
}

/// What is special to one event; the rest comes from [`RequestMeta`].
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) action: Action,
    pub(crate) outcome: Outcome,
    pub(crate) user: Option<UserId>,
    pub(crate) session: Option<SessionId>,
    /// Whether the account itself asked, although it was refused: its caller was signed in.
    pub(crate) own: bool,
    /// Whether anybody may have asked, although it was granted: nothing was proved.
    pub(crate) unproved: bool,
    /// Whether it is the library's own doing, although it is about an account.
    pub(crate) by_system: bool,
    pub(crate) details: Map<String, Value>,
    /// For the mail to the owner; not part of the event.
    pub(crate) told: Told,
}

impl Entry {
    pub(crate) fn success(action: Action, user: UserId) -> Self {
        Self::new(action, Outcome::Success, Some(user))
    }

    pub(crate) fn failure(action: Action, user: Option<UserId>, why: &str) -> Self {
        Self::new(action, Outcome::Failure, user).detail("why", why)
    }

    pub(crate) fn system(action: Action) -> Self {
        Self::new(action, Outcome::Success, None)
    }

    fn new(action: Action, outcome: Outcome, user: Option<UserId>) -> Self {
        Self {
            action,
            outcome,
            user,
            session: None,
            own: false,
            unproved: false,
            by_system: false,
            details: Map::new(),
            told: Told::default(),
        }
    }

    /// Asked for by the account itself.
    pub(crate) fn own(mut self) -> Self {
        self.own = true;
        self
    }

    /// Asked for by somebody who proved nothing.
    pub(crate) fn unproved(mut self) -> Self {
        self.unproved = true;
        self
    }

    /// Done by no person: a lock, for instance.
    pub(crate) fn by_system(mut self) -> Self {
        self.by_system = true;
        self
    }

    /// The owner is told at this address instead of the account's present one: the old one, when it was changed.
    pub(crate) fn told_at(mut self, address: &str) -> Self {
        self.told.to = Some(address.to_owned());
        self
    }

    /// A link goes with what the owner is told.
    pub(crate) fn told_link(mut self, link: ToldLink) -> Self {
        self.told.link = Some(link);
        self
    }

    pub(crate) fn session(mut self, session: SessionId) -> Self {
        self.session = Some(session);
        self
    }

    pub(crate) fn detail(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.details.insert(name.to_owned(), value.into());
        self
    }
}

/// Writes and reads the audit log.
#[derive(Clone)]
pub(crate) struct Audit {
    clock: SharedClock,
    random: SharedRandom,
    publisher: Publisher,
    outbox: Outbox,
    hooks: Arc<Vec<Box<dyn Hook>>>,
    sequence: Arc<Sequence>,
}

impl Audit {
    pub(crate) fn new(
        clock: SharedClock,
        random: SharedRandom,
        publisher: Publisher,
        outbox: Outbox,
        hooks: Vec<Box<dyn Hook>>,
    ) -> Self {
        Self { clock, random, publisher, outbox, hooks: Arc::new(hooks), sequence: Arc::default() }
    }

    pub(crate) fn publisher(&self) -> &Publisher {
        &self.publisher
    }

    pub(crate) fn has_hooks(&self) -> bool {
        !self.hooks.is_empty()
    }

    /// Records an event of which `meta` tells who and where. The actor is the operator if there is one, else
    /// the account itself on success, else nobody known.
    pub(crate) async fn record(
        &self,
        tx: &mut Tx<'_>,
        meta: &RequestMeta,
        entry: Entry,
    ) -> Result<Arc<Event>> {
        let at = self.clock.now();
        let actor = match (&meta.operator, entry.user, entry.outcome) {
            (Some(operator), ..) => one_line(operator),
            _ if entry.unproved => "anonymous".to_owned(),
            _ if entry.by_system => "system".to_owned(),
            (None, Some(user), outcome) if outcome == Outcome::Success || entry.own => format!("user:{user}"),
            (None, None, Outcome::Success) => "system".to_owned(),
            _ => "anonymous".to_owned(),
        };
        let event = Arc::new(Event {
            id: EventId::from_uuid(self.sequence.next(at, &*self.random)?),
            at,
            action: entry.action,
            outcome: entry.outcome,
            actor,
            user_id: entry.user,
            session_id: entry.session,
            ip: meta.ip,
            request_id: meta.request_id.as_deref().map(one_line),
            reason: meta.reason.as_deref().map(one_line),
            details: entry.details,
        });
        store::insert(tx.conn(), &event).await?;
        // Here and nowhere else, so that no door can miss it.
        self.outbox.tell(tx, &event, &entry.told).await?;
        let (publisher, copy) = (self.publisher.clone(), Arc::clone(&event));
        tx.on_commit(move || publisher.publish(&copy));
        Ok(event)
    }

    /// Records a granted effect and runs the host's hooks on it. An error means: undo the effect.
    pub(crate) async fn grant(&self, tx: &mut Tx<'_>, meta: &RequestMeta, entry: Entry) -> Result<()> {
        let event = self.record(tx, meta, entry).await?;
        for hook in self.hooks.iter() {
            let call = AssertUnwindSafe(async { hook.on(&event, tx).await }).catch_unwind();
            let out = match tokio::time::timeout(HOOK_TIMEOUT, call).await {
                Ok(Ok(out)) => out,
                Ok(Err(_)) => Err(Error::internal("a hook panicked")),
                Err(_) => Err(Error::unavailable("a hook took more than a second")),
            };
            if let Err(error) = out {
                tx.set_refused_by_hook();
                return Err(error);
            }
        }
        Ok(())
    }

    pub(crate) async fn list(
        &self,
        db: &Db,
        key: &[u8; 32],
        filter: &AuditFilter,
        page: &Page,
    ) -> Result<Listing<Event>> {
        let cursors = Cursors::new(key, format!("audit:{filter:?}"));
        let before = cursors.start(page)?;
        let (filter, limit) = (filter.clone(), i64::from(page.limit) + 1);
        let rows = db
            .read(move |conn| Box::pin(async move { store::list(conn, &filter, before, limit).await }))
            .await?;
        Ok(cursors.page(rows, page, |event| event.id.as_uuid()))
    }

    /// Removes up to `limit` events of before `before`. Returns how many.
    pub(crate) async fn sweep(conn: &mut Conn<'_>, before: Timestamp, limit: i64) -> Result<u64> {
        store::sweep(conn, before, limit).await
    }

    /// Events of one account, for its purge: the rows stay, the account's own data in them goes.
    pub(crate) async fn forget(conn: &mut Conn<'_>, user: UserId) -> Result<()> {
        store::forget(conn, user).await
    }
}

/// One event is one line (R17); and U+0000, which PostgreSQL does not take, must not refuse a whole operation.
fn one_line(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

impl fmt::Debug for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Audit({} hooks)", self.hooks.len())
    }
}
