//! What one node revokes acts on the other within a poll; what cannot be known is not trusted (contract 4.4).

use std::sync::Arc;
use std::time::{Duration, Instant};

use authkit::config::RoleDefinition;
use authkit::testing::{PASSWORD, SignedIn, TestKit};
use authkit::{AuthKit, Check, ErrorKind, KeyPurpose, PasswordChange, Permission};
use authkit_tests::postgres::Cluster;
use authkit_tests::{Backend, Store, on_both, race};
use sqlx::{Connection as _, Executor as _, PgConnection};

use crate::support::{Raw, Texts as _, build, connect, kind, kit, meta, second_node, secret};

const POLL: Duration = Duration::from_secs(1);

async fn passes(kit: &AuthKit, access: &str) -> bool {
    match kit.authenticate(access, &meta()).await {
        Ok(_) => true,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Unauthenticated, "{error:?}");
            false
        }
    }
}

/// `effect` on one node voids the token there at once, and on the other after one poll by the request path.
async fn voided_on_both<F: AsyncFnOnce(&TestKit, &SignedIn)>(store: &Store, effect: F) {
    let t = kit(store).await;
    let other = second_node(store, &t).await;
    let ann = t.signed_in("ann@example.com").await.unwrap();
    let bob = t.signed_in("bob@example.com").await.unwrap();
    assert!(passes(&other.kit, ann.access()).await);
    effect(&t, &ann).await;
    assert!(!passes(&t.kit, ann.access()).await, "not at once on the node that did it");
    // What changes a credential or grants something asks the store: at once on every node (R14).
    let change = PasswordChange::new(PASSWORD, "another quite unrelated phrase");
    let refused = other.kit.change_password(&ann.auth, change, &meta()).await;
    assert_eq!(kind(refused), ErrorKind::Unauthenticated);
    t.clock.advance(POLL);
    assert!(!passes(&other.kit, ann.access()).await, "not after a poll on the other node");
    assert!(
        passes(&other.kit, bob.access()).await && passes(&t.kit, bob.access()).await,
        "too much was revoked"
    );
}

on_both! {
    async fn s_057_a_logout_acts_on_both_nodes(store: Store) {
        voided_on_both(&store, async |t, ann| t.kit.logout(ann.refresh(), &meta()).await.unwrap()).await;
    }

    async fn s_057_a_logout_of_all_acts_on_both_nodes(store: Store) {
        voided_on_both(&store, async |t, ann| {
            t.kit.logout_all(&ann.auth, &meta()).await.unwrap();
        })
        .await;
    }

    async fn s_057_a_disabled_account_is_refused_on_both_nodes(store: Store) {
        voided_on_both(&store, async |t, ann| {
            t.kit.admin(meta()).disable_user(ann.user.id).await.unwrap();
        })
        .await;
    }

    async fn s_057_a_deleted_account_is_refused_on_both_nodes(store: Store) {
        voided_on_both(&store, async |t, ann| {
            t.kit.admin(meta()).delete_user(ann.user.id).await.unwrap();
            t.kit.admin(meta()).purge_user(ann.user.id).await.unwrap();
        })
        .await;
    }

    async fn s_057_a_change_of_roles_voids_older_tokens_on_both_nodes(store: Store) {
        voided_on_both(&store, async |t, ann| {
            t.kit.admin(meta()).grant_role(ann.user.id, "admin").await.unwrap();
            let next = t.kit.refresh(ann.refresh(), &meta()).await.unwrap();
            let auth = t.kit.authenticate(next.access(), &meta()).await.unwrap();
            assert_eq!(auth.roles(), ["admin", "user"]);
        })
        .await;
    }

    async fn s_057_a_password_change_acts_on_both_nodes(store: Store) {
        voided_on_both(&store, async |t, ann| {
            let change = PasswordChange::new(PASSWORD, "another quite unrelated phrase");
            t.kit.change_password(&ann.auth, change, &meta()).await.unwrap();
        })
        .await;
    }

    async fn s_057_a_password_set_by_an_operator_acts_on_both_nodes(store: Store) {
        voided_on_both(&store, async |t, ann| {
            let new = secret("another quite unrelated phrase");
            t.kit.admin(meta()).set_password(ann.user.id, &new).await.unwrap();
        })
        .await;
    }

    async fn a_replayed_token_s_session_is_refused_on_both_nodes(store: Store) {
        voided_on_both(&store, async |t, ann| {
            t.kit.refresh(ann.refresh(), &meta()).await.unwrap();
            t.clock.advance(Duration::from_secs(20));
            assert_eq!(kind(t.kit.refresh(ann.refresh(), &meta()).await), ErrorKind::RefreshInvalid);
        })
        .await;
    }

    async fn a_node_that_does_not_poll_follows_by_its_requests_alone(store: Store) {
        let t = kit(&store).await;
        let other = second_node(&store, &t).await;
        let ann = t.signed_in("ann@example.com").await.unwrap();
        t.kit.admin(meta()).define_role(RoleDefinition::new("REVIEWER", ["documents:review"])).await.unwrap();
        t.kit.admin(meta()).grant_role(ann.user.id, "REVIEWER").await.unwrap();
        let tokens = t.kit.refresh(ann.refresh(), &meta()).await.unwrap();
        t.clock.advance(POLL);
        let auth = other.kit.authenticate(tokens.access(), &meta()).await.unwrap();
        auth.require(Permission::new("documents:review")).unwrap();
        // And what a role loses, it loses there, too.
        t.kit.admin(meta()).define_role(RoleDefinition::new("REVIEWER", ["documents:read"])).await.unwrap();
        t.clock.advance(POLL);
        let auth = other.kit.authenticate(tokens.access(), &meta()).await.unwrap();
        assert_eq!(kind(auth.require(Permission::new("documents:review")).cloned()), ErrorKind::Forbidden);
        // After a restore: every token made before is dead on a node that only serves requests.
        let ended = t.kit.admin(meta()).end_all_sessions().await.unwrap();
        assert_eq!((ended.sessions, ended.accounts, ended.jwt_secret_must_change), (1, 1, false));
        assert!(!passes(&t.kit, tokens.access()).await);
        t.clock.advance(POLL);
        assert!(!passes(&other.kit, tokens.access()).await);
        assert_eq!(kind(other.kit.refresh(tokens.refresh(), &meta()).await), ErrorKind::RefreshInvalid);
        let again = other.sign_in("ann@example.com").await.unwrap();
        assert!(passes(&t.kit, again.access()).await);
    }

    async fn a_view_older_than_ten_seconds_is_not_trusted_when_the_store_is_gone(store: Store) {
        let t = kit(&store).await;
        let ann = t.signed_in("ann@example.com").await.unwrap();
        assert!(passes(&t.kit, ann.access()).await);
        t.kit.db().close().await;
        t.clock.advance(Duration::from_micros(9_999_999));
        assert!(passes(&t.kit, ann.access()).await, "a view of under 10 s is enough");
        t.clock.advance(Duration::from_micros(1));
        let error = t.kit.authenticate(ann.access(), &meta()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.retry_after().is_some());
        let ready = t.kit.readiness().await;
        assert_eq!((ready.database, ready.keys), (Check::Down, Check::Down));
        assert!(ready.is_down());
        // Nonsense is still told from a token without the store.
        assert_eq!(kind(t.kit.authenticate("nonsense", &meta()).await), ErrorKind::Unauthenticated);
    }

    async fn a_view_over_its_capacity_asks_the_store(store: Store) {
        let t = kit(&store).await;
        let small = TestKit::attach(connect(&store).await, t.kit.config().clone(), t.clock.clone(), |b| {
            b.revocation_capacity(2)
        })
        .await
        .unwrap();
        let mut people = Vec::new();
        for i in 0..5 {
            people.push(t.signed_in(&format!("u{i}@example.com")).await.unwrap());
        }
        for person in &people[..3] {
            t.kit.logout(person.refresh(), &meta()).await.unwrap();
        }
        small.kit.refresh_views().await.unwrap();
        for (i, person) in people.iter().enumerate() {
            assert_eq!(passes(&small.kit, person.access()).await, i >= 3);
        }
        // Over its capacity it knows at once what the other node did, without a poll.
        t.kit.logout(people[3].refresh(), &meta()).await.unwrap();
        t.kit.admin(meta()).disable_user(people[4].user.id).await.unwrap();
        assert!(!passes(&small.kit, people[3].access()).await);
        assert!(!passes(&small.kit, people[4].access()).await);
        // And without a store it knows nothing.
        small.kit.db().close().await;
        let out = small.kit.authenticate(people[4].access(), &meta()).await;
        assert_eq!(kind(out), ErrorKind::Unavailable);
    }

    async fn a_store_that_went_back_in_time_is_read_whole(store: Store) {
        let t = kit(&store).await;
        let other = second_node(&store, &t).await;
        let ann = t.signed_in("ann@example.com").await.unwrap();
        let bob = t.signed_in("bob@example.com").await.unwrap();
        for i in 0..4 {
            let one = t.signed_in(&format!("u{i}@example.com")).await.unwrap();
            t.kit.logout(one.refresh(), &meta()).await.unwrap();
            other.kit.refresh_views().await.unwrap();
        }
        t.kit.logout(bob.refresh(), &meta()).await.unwrap();
        for t in [&t, &other] {
            t.kit.refresh_views().await.unwrap();
        }
        let mut raw = Raw::open(&store).await;
        let head = "SELECT head FROM authkit_feeds WHERE name = 'revocations'";
        assert!(raw.number(head).await >= 5);
        // Restored from a backup in which one revocation is numbered, which this node has never seen.
        let id = raw.id(ann.tokens.session_id.as_uuid());
        raw.run("DELETE FROM authkit_revocations").await;
        raw.run("UPDATE authkit_feeds SET head = 1 WHERE name = 'revocations'").await;
        let now = t.kit.now().as_micros();
        raw.run(&format!(
            "INSERT INTO authkit_revocations (id, session_id, created_at, batch) VALUES ({id}, {id}, {now}, 1)"
        ))
        .await;
        t.clock.advance(POLL);
        assert!(!passes(&other.kit, ann.access()).await, "the restored store was not read whole");
        // What was known before is not forgotten.
        assert!(!passes(&other.kit, bob.access()).await);
        // And the feed goes on from its new head.
        let dora = t.signed_in("dora@example.com").await.unwrap();
        t.kit.logout(dora.refresh(), &meta()).await.unwrap();
        t.clock.advance(POLL);
        assert!(!passes(&other.kit, dora.access()).await);
    }

    async fn revocations_are_numbered_once_and_read_once(store: Store) {
        let t = kit(&store).await;
        let nodes = [second_node(&store, &t).await, second_node(&store, &t).await];
        for i in 0..6 {
            let one = t.signed_in(&format!("u{i}@example.com")).await.unwrap();
            t.kit.logout(one.refresh(), &meta()).await.unwrap();
            let kits = [t.kit.clone(), nodes[0].kit.clone(), nodes[1].kit.clone()];
            let out = race(6, |n| {
                let kit = kits[n % 3].clone();
                async move { kit.refresh_views().await }
            })
            .await;
            assert!(out.iter().all(Result::is_ok), "{out:?}");
        }
        let mut raw = Raw::open(&store).await;
        assert_eq!(raw.number("SELECT count(*) FROM authkit_revocations WHERE batch IS NULL").await, 0);
        assert_eq!(raw.number("SELECT count(DISTINCT batch) FROM authkit_revocations").await, 6);
    }

    async fn revocations_older_than_any_token_are_left_out_by_a_new_node(store: Store) {
        let t = kit(&store).await;
        let ann = t.signed_in("ann@example.com").await.unwrap();
        t.kit.logout(ann.refresh(), &meta()).await.unwrap();
        let young = second_node(&store, &t).await;
        assert!(!passes(&young.kit, ann.access()).await);
        // Its tokens are expired long before.
        t.clock.advance(Duration::from_secs(15 * 60));
        assert!(!passes(&second_node(&store, &t).await.kit, ann.access()).await);
    }

    async fn a_rotated_signing_key_reaches_the_other_node_with_the_first_token(store: Store) {
        let t = kit(&store).await;
        let other = second_node(&store, &t).await;
        t.sign_up("ann@example.com").await.unwrap();
        t.kit.admin(meta()).rotate_key(KeyPurpose::Jwt).await.unwrap();
        t.clock.advance(Duration::from_secs(301));
        let tokens = t.sign_in("ann@example.com").await.unwrap();
        assert!(passes(&other.kit, tokens.access()).await);
    }
}

/// Ids and times do not follow the order of commits on PostgreSQL: a revocation written early and committed late is
/// not missed by who has read the later ones.
#[tokio::test]
async fn a_revocation_that_commits_late_is_not_missed() {
    let store = Store::new(Backend::Postgres).await;
    let t = kit(&store).await;
    let other = second_node(&store, &t).await;
    let late = t.signed_in("late@example.com").await.unwrap();
    let mut slow = PgConnection::connect(store.url()).await.unwrap();
    let mut tx = slow.begin().await.unwrap();
    let (id, now) = (late.tokens.session_id.as_uuid(), t.kit.now().as_micros());
    sqlx::query("INSERT INTO authkit_revocations (id, session_id, created_at) VALUES ($1, $1, $2)")
        .bind(id)
        .bind(now)
        .execute(&mut *tx)
        .await
        .unwrap();
    for i in 0..3 {
        let one = t.signed_in(&format!("u{i}@example.com")).await.unwrap();
        t.kit.logout(one.refresh(), &meta()).await.unwrap();
        other.kit.refresh_views().await.unwrap();
        t.kit.refresh_views().await.unwrap();
    }
    assert!(passes(&other.kit, late.access()).await);
    tx.commit().await.unwrap();
    t.clock.advance(POLL);
    assert!(!passes(&other.kit, late.access()).await, "a late commit was missed");
    assert!(!passes(&t.kit, late.access()).await, "a late commit was missed");
}

/// Case 181: requests that need a store which hangs do not queue up behind each other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s_181_a_store_that_hangs_is_told_within_two_seconds_to_everybody() {
    let cluster = Arc::new(Cluster::start_own());
    let store = Store::in_cluster(&cluster).await;
    let t = kit(&store).await;
    let ann = t.signed_in("ann@example.com").await.unwrap();
    cluster.pause();
    t.clock.advance(Duration::from_secs(11));
    let begun = Instant::now();
    let out = race(40, |i| {
        let (kit, access, refresh) = (t.kit.clone(), ann.access().to_owned(), ann.refresh().to_owned());
        let auth = ann.auth.clone();
        async move {
            let begun = Instant::now();
            let out = match i % 4 {
                0 => kit.refresh(&refresh, &meta()).await.map(|_| ()),
                1 => kit.sessions().own(&auth).await.map(|_| ()),
                _ => kit.authenticate(&access, &meta()).await.map(|_| ()),
            };
            (out, begun.elapsed())
        }
    })
    .await;
    for (out, took) in out {
        assert_eq!(kind(out), ErrorKind::Unavailable);
        assert!(took < Duration::from_millis(2_500), "an answer took {took:?}");
    }
    assert!(begun.elapsed() < Duration::from_secs(5));
    cluster.resume();
    // Back without a restart.
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        match t.kit.authenticate(ann.access(), &meta()).await {
            Ok(_) => break,
            Err(error) => assert_eq!(error.kind(), ErrorKind::Unavailable),
        }
        assert!(Instant::now() < end, "not back within 10 s");
    }
    let mut probe = PgConnection::connect(store.url()).await.unwrap();
    probe.execute("SELECT 1").await.unwrap();
    build(&store, |_| {}, |b| b).await;
}
