//! A host's hooks and sinks.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use authkit::events::{Action, Outcome};
use authkit::testing::TestKit;
use authkit::{Credentials, ErrorKind, Event, Hook, Tx, UserId};
use authkit_tests::{Backend, Store, on_both};
use futures_util::future::BoxFuture;
use uuid::Uuid;

use crate::support::{Raw, build, kind, meta};

const ANN: &str = "ann@example.com";

on_both! {
    async fn a_hook_writes_in_the_transaction_and_its_error_undoes_the_effect_alone(store: Store) {
        let (t, calls) = hooked(&store, |event| match event.action {
            Action::RoleGrant => Answer::Refuse,
            Action::RoleRevoke => Answer::BadStatement,
            Action::EmailVerify => Answer::Panic,
            _ => Answer::Write,
        })
        .await;
        let mut events = t.kit.subscribe();
        let ann = t.signed_in(ANN).await.unwrap();
        let mut raw = Raw::open(&store).await;
        // Sign-up and sign-in, each in its own transaction.
        assert_eq!(raw.number("SELECT count(*) FROM host_rows").await, 2);
        // A refusal is no granted effect.
        assert_eq!(kind(t.kit.login(Credentials::new(ANN, "wrong"), &meta()).await), ErrorKind::InvalidCredentials);
        assert_eq!(calls.load(Ordering::SeqCst), 2);
        while events.try_recv().is_ok() {}

        let admin = t.kit.admin(meta());
        for (n, (action, expected)) in
            [("role.grant", ErrorKind::Forbidden), ("role.revoke", ErrorKind::Internal), ("email.verify", ErrorKind::Internal)]
                .into_iter()
                .enumerate()
        {
            let out = match n {
                0 => admin.grant_role(ann.user.id, "admin").await,
                1 => admin.revoke_role(ann.user.id, "user").await,
                _ => admin.verify_email(ann.user.id).await,
            };
            assert_eq!(kind(out), expected, "{action}");
            let user = t.kit.users().get(ann.user.id).await.unwrap().unwrap();
            assert_eq!((user.roles.as_slice(), user.email_verified), (["user".to_owned()].as_slice(), false), "{action}");
            // What the hook wrote before its error went, too; the refusal is audited and told.
            assert_eq!(raw.number("SELECT count(*) FROM host_rows").await, 2, "{action}");
            let sql = format!("SELECT outcome FROM authkit_audit WHERE action = '{action}'");
            assert_eq!(raw.texts(&sql).await, ["failure"], "{action}");
            let event = events.try_recv().unwrap();
            assert_eq!((event.action.name(), event.outcome), (action, Outcome::Failure));
            assert!(events.try_recv().is_err(), "{action}: an event of what was undone went out");
        }
        t.kit.authenticate(ann.access(), &meta()).await.unwrap();
        // What authkit itself refuses is none of the hook's doing.
        let unknown = UserId::from_uuid(Uuid::from_u128(3));
        assert_eq!(kind(admin.delete_user(unknown).await), ErrorKind::NotFound);
        assert_eq!(raw.audited("user.delete").await, 0);
        // Nothing hangs over from all this.
        admin.disable_user(ann.user.id).await.unwrap();
        assert_eq!(raw.number("SELECT count(*) FROM host_rows").await, 3);
    }

    async fn sinks_see_what_is_durable_and_a_panicking_one_harms_nobody(store: Store) {
        let seen: Arc<Mutex<Vec<(Action, Outcome)>>> = Arc::default();
        let log = Arc::clone(&seen);
        let t = build(&store, |_| {}, |b| {
            b.on_event(|_| panic!("a sink of the host")).on_event(move |event| {
                log.lock().unwrap().push((event.action, event.outcome));
            })
        })
        .await;
        let ann = t.signed_in(ANN).await.unwrap();
        assert_eq!(kind(t.kit.login(Credentials::new(ANN, "wrong"), &meta()).await), ErrorKind::InvalidCredentials);
        t.kit.logout(ann.refresh(), &meta()).await.unwrap();
        let seen = seen.lock().unwrap();
        let expected = [
            (Action::UserSignUp, Outcome::Success),
            (Action::Login, Outcome::Success),
            (Action::Login, Outcome::Failure),
            (Action::Logout, Outcome::Success),
        ];
        assert_eq!(*seen, expected);
    }
}

/// What a hook answers.
enum Answer {
    Write,
    Refuse,
    BadStatement,
    Panic,
    Hang,
    /// PostgreSQL says that two transactions met; the second time they do not.
    MeetOnce,
}

type Rule = fn(&Event) -> Answer;

struct HostHook {
    rule: Rule,
    calls: Arc<AtomicUsize>,
}

impl Hook for HostHook {
    fn on<'a>(&'a self, event: &'a Event, tx: &'a mut Tx<'_>) -> BoxFuture<'a, authkit::Result<()>> {
        Box::pin(async move {
            let call = self.calls.fetch_add(1, Ordering::SeqCst);
            run(tx, "INSERT INTO host_rows (n) VALUES (1)").await?;
            match (self.rule)(event) {
                Answer::Write => Ok(()),
                Answer::Refuse => Err(ErrorKind::Forbidden.into()),
                Answer::BadStatement => run(tx, "INSERT INTO no_such_table (n) VALUES (1)").await,
                Answer::Panic => panic!("a hook of the host"),
                Answer::Hang => {
                    let _resume = PausedTime::new();
                    std::future::pending().await
                }
                Answer::MeetOnce if call == 0 => {
                    run(tx, "DO $$ BEGIN RAISE EXCEPTION 'they met' USING ERRCODE = '40P01'; END $$").await
                }
                Answer::MeetOnce => Ok(()),
            }
        })
    }
}

/// Stands still for as long as it lives, so that a time-out comes at once.
struct PausedTime;

impl PausedTime {
    fn new() -> Self {
        tokio::time::pause();
        Self
    }
}

impl Drop for PausedTime {
    fn drop(&mut self) {
        tokio::time::resume();
    }
}

async fn run(tx: &mut Tx<'_>, sql: &'static str) -> authkit::Result<()> {
    let conn = tx.conn();
    if let Some(conn) = conn.as_sqlite() {
        sqlx::raw_sql(sql).execute(&mut *conn).await?;
        return Ok(());
    }
    if let Some(conn) = conn.as_postgres() {
        sqlx::raw_sql(sql).execute(&mut *conn).await?;
    }
    Ok(())
}

async fn hooked(store: &Store, rule: Rule) -> (TestKit, Arc<AtomicUsize>) {
    let calls = Arc::new(AtomicUsize::new(0));
    let hook = HostHook { rule, calls: Arc::clone(&calls) };
    // The host's table first: hooks run from the first event on.
    Raw::open_new(store).await.run("CREATE TABLE host_rows (n BIGINT NOT NULL)").await;
    (build(store, |_| {}, |b| b.hook(hook)).await, calls)
}

/// Paused time needs a runtime of one thread.
async fn a_hook_that_hangs(store: Store) {
    let (t, _) = hooked(&store, |event| match event.action {
        Action::RoleGrant => Answer::Hang,
        _ => Answer::Write,
    })
    .await;
    let ann = t.signed_in(ANN).await.unwrap();
    let out = t.kit.admin(meta()).grant_role(ann.user.id, "admin").await;
    assert_eq!(kind(out), ErrorKind::Unavailable);
    let user = t.kit.users().get(ann.user.id).await.unwrap().unwrap();
    assert_eq!(user.roles, ["user"]);
    let mut raw = Raw::open(&store).await;
    assert_eq!(raw.texts("SELECT outcome FROM authkit_audit WHERE action = 'role.grant'").await, ["failure"]);
    assert_eq!(raw.number("SELECT count(*) FROM host_rows").await, 2);
    t.sign_in(ANN).await.unwrap();
}

#[tokio::test]
async fn a_hook_that_hangs_is_given_up_after_a_second_on_sqlite() {
    a_hook_that_hangs(Store::new(Backend::Sqlite).await).await;
}

#[tokio::test]
async fn a_hook_that_hangs_is_given_up_after_a_second_on_postgres() {
    a_hook_that_hangs(Store::new(Backend::Postgres).await).await;
}

#[tokio::test]
async fn a_hook_runs_again_when_its_transaction_does() {
    let store = Store::new(Backend::Postgres).await;
    let (t, calls) = hooked(&store, |_| Answer::MeetOnce).await;
    let mut events = t.kit.subscribe();
    t.sign_up(ANN).await.unwrap();
    assert_eq!(calls.load(Ordering::SeqCst), 2);
    let mut raw = Raw::open(&store).await;
    assert_eq!(raw.number("SELECT count(*) FROM host_rows").await, 1);
    assert_eq!(raw.audited("user.signup").await, 1);
    events.try_recv().unwrap();
    assert!(events.try_recv().is_err(), "an event went out twice");
}
