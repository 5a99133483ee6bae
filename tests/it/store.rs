//! The store itself: writers, batches, hosts' pools and transactions, migrations.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use authkit::admin::NewUser;
use authkit::testing::{self, ManualClock, TestKit};
use authkit::{AuthKit, Conn, Db, ErrorKind, RequestMeta, SchemaStatus, Tx};
use authkit_tests::{Backend, Store, on_both, race};
use futures_util::future::{FutureExt as _, join, join_all};
use sqlx::postgres::PgConnectOptions;

use crate::support::{Raw, Texts as _, connect, kind, kit, meta, second_node};

const ANN: &str = "ann@example.com";
const TABLE: &str = "CREATE TABLE host_rows (n BIGINT NOT NULL UNIQUE, writer BIGINT NOT NULL)";
const COUNT: &str = "SELECT count(*) FROM host_rows";

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

async fn insert(tx: &mut Tx<'_>, n: i64, writer: i64) -> authkit::Result<()> {
    const SQL: &str = "INSERT INTO host_rows (n, writer) VALUES ($1, $2)";
    let conn = tx.conn();
    if let Some(conn) = conn.as_sqlite() {
        sqlx::query(SQL).bind(n).bind(writer).execute(&mut *conn).await?;
        return Ok(());
    }
    if let Some(conn) = conn.as_postgres() {
        sqlx::query(SQL).bind(n).bind(writer).execute(&mut *conn).await?;
    }
    Ok(())
}

/// What a job does after its row.
#[derive(Clone, Copy, PartialEq)]
enum Then {
    Commit,
    Refuse,
    /// The row of another job again.
    Clash(i64),
    Fail,
    Panic,
}

async fn job(db: &Db, n: i64, then: Then) -> authkit::Result<i64> {
    db.write(move |tx| {
        Box::pin(async move {
            insert(tx, n, 0).await?;
            match then {
                Then::Commit => Ok(n),
                Then::Refuse => Err(ErrorKind::Forbidden.into()),
                Then::Clash(other) => insert(tx, other, 0).await.map(|()| n),
                Then::Fail => run(tx, "INSERT INTO no_such_table (n) VALUES (1)").await.map(|()| n),
                Then::Panic => panic!("a job panics"),
            }
        })
    })
    .await
}

async fn with_table(store: &Store) -> (Db, Raw) {
    let db = connect(store).await;
    db.migrate(&ManualClock::new()).await.unwrap();
    let mut raw = Raw::open(store).await;
    raw.run(TABLE).await;
    (db, raw)
}

/// Runs the jobs so that they all wait before the first begins: on SQLite they make one batch.
async fn in_one_batch(db: &Db, raw: &mut Raw, jobs: &[(i64, Then)]) -> Vec<authkit::Result<i64>> {
    let sqlite = matches!(raw, Raw::Sqlite(_));
    if sqlite {
        raw.run("BEGIN IMMEDIATE").await;
    }
    let jobs = join_all(jobs.iter().map(|(n, then)| job(db, *n, *then)));
    let release = async {
        if sqlite {
            raw.run("COMMIT").await;
        }
    };
    // Polled in this order: every job is in the queue when the lock goes.
    join(jobs, release).await.0
}

on_both! {
    async fn s_184_fifty_parallel_writers_on_two_handles_never_fail(store: Store) {
        const WRITERS: usize = 50;
        const EACH: i64 = 20;
        let t = kit(&store).await;
        let other = second_node(&store, &t).await;
        let mut raw = Raw::open(&store).await;
        raw.run(TABLE).await;
        let kits = [t.kit.clone(), other.kit.clone()];
        let out = race(WRITERS, |w| {
            let kit = kits[w % 2].clone();
            async move {
                let mut errors = Vec::new();
                let writer = i64::try_from(w).unwrap();
                let email = format!("writer{w}@example.com");
                let new = NewUser::new(email.as_str(), "Writer");
                if let Err(error) = kit.admin(RequestMeta::new()).create_user(new).await {
                    errors.push(error);
                }
                for n in 0..EACH {
                    let row = writer * EACH + n;
                    let out = kit.db().write(move |tx| Box::pin(async move { insert(tx, row, writer).await })).await;
                    errors.extend(out.err());
                    errors.extend(kit.users().find_by_email(&email).await.err());
                }
                errors
            }
        })
        .await;
        let errors: Vec<_> = out.into_iter().flatten().collect();
        assert!(errors.is_empty(), "{} errors, such as {:?}", errors.len(), errors[0]);
        assert_eq!(raw.number(COUNT).await, i64::try_from(WRITERS).unwrap() * EACH);
        assert_eq!(raw.number("SELECT count(*) FROM authkit_users").await, 50);
        if store.backend() == Backend::Sqlite {
            assert_eq!(raw.texts("PRAGMA integrity_check").await, ["ok"]);
            assert!(raw.texts("SELECT \"table\" FROM pragma_foreign_key_check").await.is_empty());
        }
    }

    async fn a_refused_neighbour_undoes_only_itself(store: Store) {
        let (db, mut raw) = with_table(&store).await;
        job(&db, 100, Then::Commit).await.unwrap();
        let jobs = [(1, Then::Commit), (2, Then::Refuse), (3, Then::Clash(100)), (4, Then::Commit), (5, Then::Refuse)];
        let out = in_one_batch(&db, &mut raw, &jobs).await;
        assert_eq!((out[0].as_ref().unwrap(), out[3].as_ref().unwrap()), (&1, &4));
        assert_eq!(out[1].as_ref().unwrap_err().kind(), ErrorKind::Forbidden);
        assert_eq!(out[2].as_ref().unwrap_err().kind(), ErrorKind::Internal);
        assert_eq!(raw.texts("SELECT CAST(n AS TEXT) FROM host_rows ORDER BY host_rows.n").await, ["1", "4", "100"]);
    }

    async fn a_job_whose_caller_went_away_commits_all_the_same(store: Store) {
        let (db, mut raw) = with_table(&store).await;
        for n in 0..20 {
            let mut waiting = Box::pin(job(&db, n, Then::Commit));
            // Asked for, and given up at once.
            assert!(waiting.as_mut().now_or_never().is_none());
            drop(waiting);
        }
        db.drain().await;
        assert_eq!(raw.number(COUNT).await, 20);
    }

    async fn after_a_panic_the_store_goes_on(store: Store) {
        let (db, mut raw) = with_table(&store).await;
        let out = in_one_batch(&db, &mut raw, &[(1, Then::Commit), (2, Then::Panic), (3, Then::Commit)]).await;
        assert!(out[1].is_err());
        let rows = raw.number(COUNT).await;
        let granted = out.iter().filter(|o| o.is_ok()).count();
        assert_eq!(rows, i64::try_from(granted).unwrap(), "an answer and the store do not agree: {out:?}");
        for (n, after) in (10..15).enumerate() {
            job(&db, after, Then::Commit).await.unwrap_or_else(|e| panic!("write {n} after a panic: {e:?}"));
        }
        db.drain().await;
    }

    async fn a_host_brings_its_own_pool(store: Store) {
        let db = match store.backend() {
            Backend::Sqlite => {
                let url = format!("{}?mode=rwc", store.url());
                Db::from(sqlx::SqlitePool::connect(&url).await.unwrap())
            }
            Backend::Postgres => Db::from(sqlx::PgPool::connect(store.url()).await.unwrap()),
        };
        let t = TestKit::open(db, testing::config()).await.unwrap();
        let out = race(20, |i| {
            let t = t.clone();
            async move { t.signed_in(&format!("u{i}@example.com")).await }
        })
        .await;
        for signed_in in out {
            let signed_in = signed_in.unwrap();
            t.kit.refresh(signed_in.refresh(), &meta()).await.unwrap();
        }
        assert!(t.kit.stats().pool.size > 0);
        // Beside whatever the host migrates.
        let mut raw = Raw::open(&store).await;
        assert_eq!(raw.number("SELECT count(*) FROM _authkit_migrations").await, 1);
    }

    async fn in_the_hosts_transaction_our_records_share_its_fate(store: Store) {
        let t = kit(&store).await;
        let mut raw = Raw::open(&store).await;
        raw.run(TABLE).await;
        let ann = t.signed_in(ANN).await.unwrap();
        let mut events = t.kit.subscribe();
        while events.try_recv().is_ok() {}
        let before = raw.dump().await;

        // Rolled back: nothing of it is there, nobody heard of it.
        in_host_transaction(&store, &t.kit, ann.user.id, End::Rollback).await;
        assert!(raw.dump().await == before, "a rollback left something");
        assert_eq!(raw.number(COUNT).await, 0);
        assert!(events.try_recv().is_err());
        t.kit.authenticate(ann.access(), &meta()).await.unwrap();

        // Committed without a word: rows are there, this node learns like the others, by its next poll.
        in_host_transaction(&store, &t.kit, ann.user.id, End::Commit).await;
        assert_eq!(raw.number(COUNT).await, 1);
        assert!(events.try_recv().is_err());
        t.kit.authenticate(ann.access(), &meta()).await.unwrap();
        t.clock.advance(Duration::from_secs(1));
        assert_eq!(kind(t.kit.authenticate(ann.access(), &meta()).await), ErrorKind::Unauthenticated);
        raw.run("DELETE FROM host_rows").await;
        let made = t.kit.users().find_by_email("made@example.com").await.unwrap().unwrap();
        t.kit.admin(meta()).delete_user(made.id).await.unwrap();
        t.kit.admin(meta()).purge_user(made.id).await.unwrap();
        t.kit.admin(meta()).revoke_role(ann.user.id, "admin").await.unwrap();
        while events.try_recv().is_ok() {}

        // Committed and said so: at once.
        let tokens = t.sign_in(ANN).await.unwrap();
        while events.try_recv().is_ok() {}
        in_host_transaction(&store, &t.kit, ann.user.id, End::CommitAndTell).await;
        assert_eq!(kind(t.kit.authenticate(tokens.access(), &meta()).await), ErrorKind::Unauthenticated);
        let told: Vec<&str> = std::iter::from_fn(|| events.try_recv().ok()).map(|e| e.action.name()).collect();
        assert_eq!(told, ["user.create", "role.grant"]);
    }

    async fn migrations_are_applied_once_whoever_comes(store: Store) {
        let url = store.url().to_owned();
        let db = connect(&store).await;
        assert!(matches!(db.schema_status().await.unwrap(), SchemaStatus::Behind { applied: 0, expected } if expected == newest()));
        let builder = AuthKit::builder(db.clone(), testing::secrets()).config(testing::config());
        let behind = builder.build().await.unwrap_err();
        assert_eq!(behind.kind(), ErrorKind::Schema);
        assert!(behind.to_string().contains("authctl migrate up"), "{behind}");
        let counts = race(8, |_| {
            let url = url.clone();
            async move { Db::connect(&url).await.unwrap().migrate(&ManualClock::new()).await.unwrap() }
        })
        .await;
        assert_eq!(counts.iter().sum::<usize>(), usize::try_from(newest()).unwrap(), "{counts:?}");
        assert_eq!(db.schema_status().await.unwrap(), current(&db).await);
        assert_eq!(db.migrate(&ManualClock::new()).await.unwrap(), 0);
        let t = TestKit::open(db.clone(), testing::config()).await.unwrap();
        t.signed_in(ANN).await.unwrap();

        let mut raw = Raw::open(&store).await;
        let next = newest() + 1;
        raw.run(&format!("INSERT INTO _authkit_migrations (version, name, checksum, applied_at) VALUES ({next}, 'x', 'x', 0)")).await;
        let ahead = db.schema_status().await.unwrap();
        let SchemaStatus::Ahead { applied, expected } = ahead else { panic!("{ahead:?}") };
        assert_eq!((applied, expected), (next, newest()));
        assert_eq!(kind(db.migrate(&ManualClock::new()).await), ErrorKind::Schema);
        let builder = AuthKit::builder(db.clone(), testing::secrets()).config(testing::config());
        assert_eq!(kind(builder.build().await), ErrorKind::Schema);
        raw.run(&format!("DELETE FROM _authkit_migrations WHERE version = {next}")).await;
        raw.run("UPDATE _authkit_migrations SET checksum = 'another'").await;
        assert_eq!(kind(db.schema_status().await), ErrorKind::Schema);
        assert_eq!(kind(db.migrate(&ManualClock::new()).await), ErrorKind::Schema);
        // Refused means untouched, and the handle still works.
        assert_eq!(raw.number("SELECT count(*) FROM authkit_users").await, 1);
        t.sign_in(ANN).await.unwrap();
    }

    async fn a_migration_that_fails_leaves_nothing(store: Store) {
        let mut raw = Raw::open_new(&store).await;
        // The host has a table of that name: the last of ours.
        raw.run("CREATE TABLE authkit_audit (x BIGINT)").await;
        let db = connect(&store).await;
        db.migrate(&ManualClock::new()).await.unwrap_err();
        assert_eq!(raw.tables().await, ["authkit_audit"]);
        raw.run("DROP TABLE authkit_audit").await;
        assert_eq!(db.migrate(&ManualClock::new()).await.unwrap(), usize::try_from(newest()).unwrap());
    }

    async fn a_closed_store_is_unavailable_and_not_a_bug(store: Store) {
        let t = kit(&store).await;
        let ann = t.signed_in(ANN).await.unwrap();
        t.kit.db().close().await;
        assert_eq!(kind(t.sign_in(ANN).await), ErrorKind::Unavailable);
        assert_eq!(kind(t.sign_up("b@example.com").await), ErrorKind::Unavailable);
        assert_eq!(kind(t.kit.refresh(ann.refresh(), &meta()).await), ErrorKind::Unavailable);
        assert_eq!(kind(t.kit.users().get(ann.user.id).await), ErrorKind::Unavailable);
        assert_eq!(kind(t.kit.admin(meta()).disable_user(ann.user.id).await), ErrorKind::Unavailable);
    }
}

/// The version of the newest migration: they are numbered from 1 without a gap.
fn newest() -> i64 {
    let folder = crate::architecture::root().join("migrations/sqlite");
    i64::try_from(std::fs::read_dir(folder).unwrap().count()).unwrap()
}

async fn current(db: &Db) -> SchemaStatus {
    let status = db.schema_status().await.unwrap();
    assert!(matches!(status, SchemaStatus::Current { applied } if applied == newest()), "{status:?}");
    status
}

#[derive(PartialEq)]
enum End {
    Rollback,
    Commit,
    CommitAndTell,
}

/// A row of the host, a new account and a role, in the host's own transaction.
async fn in_host_transaction(store: &Store, kit: &AuthKit, user: authkit::UserId, end: End) {
    macro_rules! with {
        ($pool:expr, $conn:path) => {{
            let pool = $pool;
            let mut host = pool.begin().await.unwrap();
            let mut tx = Tx::of_host($conn(&mut host));
            insert(&mut tx, 1, 1).await.unwrap();
            let admin = kit.admin(meta());
            let mut ours = admin.within(&mut tx);
            let made = ours.create_user(NewUser::new("made@example.com", "Made")).await.unwrap();
            assert!(made.changed);
            assert!(ours.grant_role(user, "admin").await.unwrap().changed);
            let with_password = NewUser::new("x@example.com", "X").with_password(testing::PASSWORD);
            assert_eq!(kind(ours.create_user(with_password).await), ErrorKind::Validation);
            let pending = tx.into_pending();
            if end == End::Rollback {
                host.rollback().await.unwrap();
                drop(pending);
            } else {
                host.commit().await.unwrap();
                if end == End::CommitAndTell {
                    pending.committed();
                }
            }
            pool.close().await;
        }};
    }
    match store.backend() {
        Backend::Sqlite => with!(sqlx::SqlitePool::connect(store.url()).await.unwrap(), Conn::sqlite),
        Backend::Postgres => with!(sqlx::PgPool::connect(store.url()).await.unwrap(), Conn::postgres),
    }
}

/// Commits in the write-ahead log: frames whose header tells the size of the database after a commit
/// (sqlite.org/fileformat2.html section 4.1), of the log's present generation.
fn commits(store: &Store) -> usize {
    let wal = std::fs::read(store.folder().join("authkit.db-wal")).unwrap();
    let number = |at: usize| u32::from_be_bytes(wal[at..at + 4].try_into().unwrap());
    let frame = 24 + usize::try_from(number(8)).unwrap();
    let frames = (32..).step_by(frame).take_while(|at| at + frame <= wal.len());
    frames.filter(|at| wal[at + 8..at + 16] == wal[16..24] && number(at + 4) != 0).count()
}

#[tokio::test]
async fn jobs_that_wait_share_one_commit_and_a_lone_one_has_its_own() {
    let store = Store::new(Backend::Sqlite).await;
    let (db, mut raw) = with_table(&store).await;
    let before = commits(&store);
    for n in 1000..1010 {
        job(&db, n, Then::Commit).await.unwrap();
    }
    assert_eq!(commits(&store) - before, 10, "each answer waits for its commit");
    let before = commits(&store);
    let jobs: Vec<(i64, Then)> = (0..50).map(|n| (n, Then::Commit)).collect();
    let out = in_one_batch(&db, &mut raw, &jobs).await;
    assert!(out.iter().all(Result::is_ok), "{out:?}");
    assert_eq!(commits(&store) - before, 1, "fifty jobs that waited");
    // A batch is bounded.
    let before = commits(&store);
    let jobs: Vec<(i64, Then)> = (100..300).map(|n| (n, Then::Commit)).collect();
    let out = in_one_batch(&db, &mut raw, &jobs).await;
    assert!(out.iter().all(Result::is_ok), "{out:?}");
    assert_eq!(commits(&store) - before, 4, "two hundred jobs, at most 64 a batch");
}

#[tokio::test]
async fn a_failing_statement_or_a_panic_answers_its_whole_batch_unavailable() {
    for spoiler in [Then::Fail, Then::Panic] {
        let store = Store::new(Backend::Sqlite).await;
        let (db, mut raw) = with_table(&store).await;
        let jobs = [(1, Then::Commit), (2, Then::Refuse), (3, spoiler), (4, Then::Commit)];
        let out = in_one_batch(&db, &mut raw, &jobs).await;
        // The first was done and is undone: it must not hear otherwise.
        assert_eq!(out[0].as_ref().unwrap_err().kind(), ErrorKind::Unavailable);
        assert!(out[2].is_err());
        assert_eq!(out[3].as_ref().unwrap(), &4, "the next batch goes on");
        assert_eq!(raw.texts("SELECT CAST(n AS TEXT) FROM host_rows").await, ["4"]);
    }
}

#[tokio::test]
async fn sqlite_is_opened_as_durability_needs_it() {
    let store = Store::new(Backend::Sqlite).await;
    let (db, _) = with_table(&store).await;
    let asked: [(&'static str, i64); 3] =
        [("PRAGMA synchronous", 2), ("PRAGMA foreign_keys", 1), ("PRAGMA busy_timeout", 5000)];
    for (pragma, expected) in asked {
        let found = db
            .write(move |tx| {
                Box::pin(async move {
                    let conn = tx.conn().as_sqlite().unwrap();
                    Ok(sqlx::query_scalar::<_, i64>(pragma).fetch_one(&mut *conn).await?)
                })
            })
            .await;
        assert_eq!(found.unwrap(), expected, "{pragma}");
    }
    let mode = Raw::open(&store).await.texts("PRAGMA journal_mode").await;
    assert_eq!(mode, ["wal"]);
}

#[test]
fn a_runtime_that_goes_down_in_the_middle_of_work_does_not_take_the_store_along() {
    let runtime =
        || tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let first = runtime();
    let store = first.block_on(Store::new(Backend::Sqlite));
    let (db, _) = first.block_on(with_table(&store));
    let acknowledged = Arc::new(AtomicUsize::new(0));
    let mut at = 0;
    let mut current = first;
    for _ in 0..20 {
        for _ in 0..30 {
            at += 1;
            let (db, acknowledged, n) = (db.clone(), Arc::clone(&acknowledged), at);
            current.spawn(async move {
                if job(&db, n, Then::Commit).await.is_ok() {
                    acknowledged.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        // Not before something is under way.
        current.block_on(tokio::task::yield_now());
        current.shutdown_background();
        current = runtime();
        current.block_on(async {
            // What the last runtime left behind may fail once, never for good. Each try writes a row
            // of its own: "unavailable" does not say whether the commit still went through.
            let mut tries = 0;
            loop {
                at += 1;
                let Err(error) = job(&db, at, Then::Commit).await else { break };
                assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
                tries += 1;
                assert!(tries < 3, "the store does not come back: {error:?}");
            }
        });
        acknowledged.fetch_add(1, Ordering::SeqCst);
    }
    current.block_on(async {
        let mut raw = Raw::open(&store).await;
        let rows = usize::try_from(raw.number(COUNT).await).unwrap();
        assert!(rows >= acknowledged.load(Ordering::SeqCst), "an acknowledged write is gone");
        assert_eq!(raw.texts("PRAGMA integrity_check").await, ["ok"]);
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadlock_is_tried_again() {
    let store = Store::new(Backend::Postgres).await;
    // Found out soon, not after a second.
    let options = store.url().parse::<PgConnectOptions>().unwrap().options([("deadlock_timeout", "20ms")]);
    let pool = sqlx::PgPool::connect_with(options).await.unwrap();
    let db = Db::from(pool);
    db.migrate(&ManualClock::new()).await.unwrap();
    let mut raw = Raw::open(&store).await;
    raw.run(TABLE).await;
    raw.run("INSERT INTO host_rows (n, writer) VALUES (1, 0), (2, 0)").await;
    let barrier = Arc::new(tokio::sync::Barrier::new(2));
    let runs = Arc::new(AtomicUsize::new(0));
    let out = race(2, |i| {
        let (db, barrier, runs) = (db.clone(), Arc::clone(&barrier), Arc::clone(&runs));
        async move {
            let first = Arc::new(AtomicUsize::new(0));
            db.write(move |tx| {
                let (barrier, runs, first) = (Arc::clone(&barrier), Arc::clone(&runs), Arc::clone(&first));
                Box::pin(async move {
                    runs.fetch_add(1, Ordering::SeqCst);
                    let (one, two) = (
                        "UPDATE host_rows SET writer = writer + 1 WHERE n = 1",
                        "UPDATE host_rows SET writer = writer + 1 WHERE n = 2",
                    );
                    run(tx, if i == 0 { one } else { two }).await?;
                    if first.fetch_add(1, Ordering::SeqCst) == 0 {
                        barrier.wait().await;
                    }
                    run(tx, if i == 0 { two } else { one }).await
                })
            })
            .await
        }
    })
    .await;
    assert!(out.iter().all(Result::is_ok), "{out:?}");
    // On a busy machine the second try can meet the first again.
    assert!(runs.load(Ordering::SeqCst) >= 3, "one of the two ran again");
    assert_eq!(raw.number("SELECT CAST(sum(writer) AS BIGINT) FROM host_rows").await, 4);
}
