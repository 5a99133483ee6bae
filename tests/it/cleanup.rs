//! Cleaning up: what goes, what stays, and that one sweeper works at a time.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use authkit::{
    ApiKeyRequest, CleanupJob, CleanupOptions, CleanupReport, Error, ErrorKind, Result, SweepBatch, Tx,
};
use authkit_tests::{Backend, Store, on_both, race};
use futures_util::future::BoxFuture;

use crate::support::{Raw, build, kind, kit, meta, second_node};

const ANN: &str = "ann@example.com";
const DAY: Duration = Duration::from_secs(86_400);

/// Tables that no job empties, and why they do not grow without bound.
const REASONS: &[(&str, &str)] = &[
    ("_authkit_migrations", "one row a migration"),
    ("authkit_meta", "a handful of names"),
    ("authkit_feeds", "one row a feed"),
    ("authkit_keys", "one row a rotation, made by operators"),
    ("authkit_roles", "made by operators"),
    ("authkit_cleanup", "one row"),
    ("authkit_users", "the accounts themselves; purged by operators"),
    ("authkit_user_roles", "accounts times roles; goes with the account"),
    ("authkit_passwords", "one row an account"),
    ("authkit_notices", "accounts times kinds of notices; goes with the account"),
    ("authkit_passkeys", "ten a user; goes with the account"),
    ("authkit_organisations", "made by operators or owners; ended by them"),
    ("authkit_resources", "the host's own things"),
    ("authkit_memberships", "users times resources; ended with either"),
    ("authkit_totp", "few a user; goes with the account"),
    ("authkit_backup_sets", "one row an account"),
    ("authkit_backup_codes", "one set an account"),
];

fn removed(report: &CleanupReport, job: &str) -> u64 {
    report.jobs.iter().find(|found| found.name == job).unwrap_or_else(|| panic!("no job {job}")).removed
}

async fn rows(raw: &mut Raw, table: &str) -> i64 {
    raw.number(&format!("SELECT count(*) FROM {table}")).await
}

#[tokio::test]
async fn every_table_has_a_job_or_a_reason() {
    let store = Store::new(Backend::Sqlite).await;
    let t = kit(&store).await;
    let status = t.kit.cleanup().status().await.unwrap();
    let jobs: BTreeMap<&str, &str> = status
        .jobs
        .iter()
        .flat_map(|job| job.tables.iter().map(|table| (table.as_str(), job.name.as_str())))
        .collect();
    let reasons: BTreeMap<&str, &str> = REASONS.iter().copied().collect();
    let tables = Raw::open(&store).await.tables().await;
    assert!(tables.len() > 15, "{tables:?}");
    for table in &tables {
        let (job, reason) = (jobs.get(table.as_str()), reasons.get(table.as_str()));
        assert!(job.is_some() || reason.is_some(), "{table} can grow: give it a job, or a reason here");
        assert!(job.is_none() || reason.is_none(), "{table} has a job and a reason");
    }
    for table in jobs.keys() {
        assert!(tables.iter().any(|found| found == table), "a job is about {table}, which is not there");
    }
}

/// A job of a host that removes so many rows of its own.
struct Toys {
    left: AtomicU64,
    asked: Mutex<Vec<u32>>,
    fails: bool,
}

impl CleanupJob for &'static Toys {
    fn name(&self) -> &str {
        if self.fails { "broken_toys" } else { "toys" }
    }

    fn sweep<'a>(&'a self, _tx: &'a mut Tx<'_>, batch: SweepBatch) -> BoxFuture<'a, Result<u64>> {
        Box::pin(async move {
            self.asked.lock().unwrap().push(batch.limit);
            if self.fails {
                return Err(Error::internal("a toy is stuck"));
            }
            let left = self.left.load(Ordering::SeqCst);
            let now = left.min(batch.limit.into());
            self.left.store(left - now, Ordering::SeqCst);
            Ok(now)
        })
    }
}

fn toys(left: u64, fails: bool) -> &'static Toys {
    Box::leak(Box::new(Toys { left: AtomicU64::new(left), asked: Mutex::default(), fails }))
}

on_both! {
    async fn s_177_what_is_over_goes_and_what_defends_something_stays(store: Store) {
        let t = kit(&store).await;
        let mut raw = Raw::open(&store).await;
        let ann = t.signed_in(ANN).await.unwrap();
        let key = ApiKeyRequest::new("short", [""; 0]).with_expires_in(DAY);
        t.kit.api_keys().create(&ann.auth, key, &meta()).await.unwrap();
        t.kit.request_password_reset(ANN, &meta()).await.unwrap();
        t.deliver_all().await.unwrap();
        t.kit.logout_all(&ann.auth, &meta()).await.unwrap();
        t.sign_in(ANN).await.unwrap();
        let options = CleanupOptions::default();
        // Nothing is over yet: an ended session inside of its absolute life tells theft from noise.
        let first = t.kit.cleanup().run(&options).await.unwrap();
        assert!(first.complete);
        assert_eq!(first.removed, 0, "{first:?}");
        assert_eq!(rows(&mut raw, "authkit_sessions").await, 2);
        // A look at what would go.
        t.clock.advance(32 * DAY);
        t.kit.refresh_views().await.unwrap();
        let look = t.kit.cleanup().run(&options.clone().dry_run()).await.unwrap();
        assert_eq!((removed(&look, "links"), removed(&look, "api_keys"), look.dry_run), (2, 1, true));
        assert_eq!((rows(&mut raw, "authkit_links").await, rows(&mut raw, "authkit_api_keys").await), (2, 1));
        let status = t.kit.cleanup().status().await.unwrap();
        assert_eq!(status.last.as_ref(), Some(&first), "a look is no run");
        // Links, keys that ended 30 days ago, mails and revocations go; sessions of 90 days stay.
        let second = t.kit.cleanup().run(&options).await.unwrap();
        assert_eq!((removed(&second, "links"), removed(&second, "api_keys")), (2, 1));
        assert!(removed(&second, "mails") >= 1 && removed(&second, "revocations") >= 1, "{second:?}");
        assert_eq!((removed(&second, "sessions"), removed(&second, "audit")), (0, 0));
        t.clock.advance(58 * DAY);
        let third = t.kit.cleanup().run(&options).await.unwrap();
        assert_eq!(removed(&third, "sessions"), 2);
        // The audit is kept for a year.
        let audited = rows(&mut raw, "authkit_audit").await;
        assert!(audited > 0);
        t.clock.advance(274 * DAY);
        t.sign_in(ANN).await.unwrap();
        t.clock.advance(2 * DAY);
        let fourth = t.kit.cleanup().run(&options).await.unwrap();
        assert!(removed(&fourth, "audit") > 0, "{fourth:?}");
        let left = rows(&mut raw, "authkit_audit").await;
        assert!(left > 0 && left < audited + 5, "{left}");
        // Twice is once.
        assert_eq!(t.kit.cleanup().run(&options).await.unwrap().removed, 0);
        assert_eq!(t.kit.cleanup().status().await.unwrap().last.unwrap().removed, 0);
    }

    async fn s_177_two_sweepers_never_work_at_the_same_time(store: Store) {
        let slow = toys(200, false);
        let t = build(&store, |_| {}, |builder| builder.cleanup_job(slow)).await;
        let node = second_node(&store, &t).await;
        let kits = [t.kit.clone(), node.kit.clone()];
        let out = race(8, |i| {
            let kit = kits[i % 2].clone();
            async move { kit.cleanup().run(&CleanupOptions::default().batches_of(10)).await }
        })
        .await;
        let (ran, refused): (Vec<_>, Vec<_>) = out.into_iter().partition(Result::is_ok);
        assert!(!ran.is_empty());
        for refused in refused {
            assert_eq!(kind(refused), ErrorKind::Conflict);
        }
        // A sweeper that died in the middle holds the lock for a lease and no longer.
        let until = (t.kit.now() + Duration::from_secs(30)).as_micros();
        let lease = match store.backend() {
            Backend::Sqlite => "x'00000000000000000000000000000001'".to_owned(),
            Backend::Postgres => "'00000000-0000-0000-0000-000000000001'::uuid".to_owned(),
        };
        let dead = format!("UPDATE authkit_cleanup SET lease = {lease}, lease_until = {until}");
        Raw::open(&store).await.run(&dead).await;
        assert!(t.kit.cleanup().status().await.unwrap().running);
        assert_eq!(kind(t.kit.cleanup().run(&CleanupOptions::default()).await), ErrorKind::Conflict);
        t.clock.advance(Duration::from_secs(30));
        assert!(!t.kit.cleanup().status().await.unwrap().running);
        t.kit.cleanup().run(&CleanupOptions::default()).await.unwrap();
    }

    async fn jobs_of_hosts_run_in_batches_and_a_broken_one_stops_no_other(store: Store) {
        let (broken, whole) = (toys(0, true), toys(25, false));
        let t = build(&store, |_| {}, |b| b.cleanup_job(broken).cleanup_job(whole)).await;
        let mut seen = Vec::new();
        let options = CleanupOptions::default().batches_of(10);
        let report = t
            .kit
            .cleanup()
            .run_watched(&options, |job| seen.push((job.name.clone(), job.removed)))
            .await
            .unwrap();
        assert!(!report.complete);
        let of = |name: &str| report.jobs.iter().find(|job| job.name == name).unwrap().clone();
        assert!(of("broken_toys").failed && !of("broken_toys").complete);
        assert_eq!((of("toys").removed, of("toys").batches, of("toys").complete), (25, 3, true));
        assert_eq!(*whole.asked.lock().unwrap(), [10, 10, 10]);
        let heard: Vec<u64> = seen.iter().filter(|(name, _)| name == "toys").map(|(_, n)| *n).collect();
        assert_eq!(heard, [10, 20, 25]);
        // The lock is free again.
        assert!(!t.kit.cleanup().status().await.unwrap().running);
        // No time: nothing is begun, and it is told.
        let none = t.kit.cleanup().run(&CleanupOptions::default().within(Duration::ZERO)).await.unwrap();
        assert!(!none.complete && none.jobs.iter().all(|job| job.batches == 0));
    }

    async fn a_thousand_rows_at_a_time(store: Store) {
        let t = kit(&store).await;
        let mut raw = Raw::open(&store).await;
        let id = match store.backend() {
            Backend::Sqlite => "randomblob(16)",
            Backend::Postgres => "gen_random_uuid()",
        };
        let many = format!(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2500)
             INSERT INTO authkit_revocations (id, session_id, created_at, batch) SELECT {id}, {id}, 0, 1 FROM n"
        );
        raw.run(&many).await;
        let report = t.kit.cleanup().run(&CleanupOptions::default()).await.unwrap();
        let job = report.jobs.iter().find(|job| job.name == "revocations").unwrap();
        assert_eq!((job.removed, job.batches, job.complete), (2500, 3, true));
        assert_eq!(rows(&mut raw, "authkit_revocations").await, 0);
    }
}

#[tokio::test]
async fn two_jobs_of_one_name_are_refused() {
    let store = Store::new(Backend::Sqlite).await;
    let config = authkit::testing::config();
    let db = crate::support::connect(&store).await;
    let twice = authkit::testing::TestKit::build(db, config, |builder| {
        builder.cleanup_job(toys(0, false)).cleanup_job(toys(0, false))
    });
    assert_eq!(kind(twice.await), ErrorKind::Config);
}
