//! Failed sign-ins lock: how many, for how long, whom, and what is told of it.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use authkit::testing::{PASSWORD, TestKit};
use authkit::{
    Credentials, Error, ErrorKind, LockKind, Lockout, LockoutFilter, Page, RequestMeta, UserFilter,
};
use authkit_tests::{Store, on_both};

use crate::support::{Raw, Texts as _, build, from_ip, kind, kit, kit_with, meta, second_node};

pub(crate) const ANN: &str = "ann@example.com";
pub(crate) const WRONG: &str = "not the password at all";
/// `EMAIL_LOCK_TTL` and `IP_LOCK_TTL`.
pub(crate) const TTL: Duration = Duration::from_secs(900);
const HOUR: i64 = 3600;

pub(crate) async fn guess(t: &TestKit, email: &str, password: &str, from: &RequestMeta) -> Result<(), Error> {
    t.kit.login(Credentials::new(email, password), from).await.map(|_| ())
}

/// Fails `n` times, each judged and wrong.
pub(crate) async fn fail(t: &TestKit, email: &str, n: usize) {
    for i in 0..n {
        let error = guess(t, email, WRONG, &meta()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidCredentials, "guess {i}");
    }
}

#[track_caller]
pub(crate) fn is_locked(out: Result<(), Error>) -> Duration {
    let error = out.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Locked, "{error:?}");
    error.retry_after().unwrap()
}

pub(crate) fn hashes(t: &TestKit) -> u64 {
    t.kit.stats().hashes.hashes
}

pub(crate) async fn lockouts(t: &TestKit, filter: &LockoutFilter) -> Vec<Lockout> {
    t.kit.admin(meta()).lockouts(filter, &Page::default()).await.unwrap().items
}

pub(crate) fn of_kind(kind: LockKind) -> LockoutFilter {
    let mut filter = LockoutFilter::default();
    filter.kind = Some(kind);
    filter
}

/// Everything but what one statement may show: the text of an error as a client gets it.
fn shown(error: &Error) -> (ErrorKind, &str, String, Option<Duration>) {
    (error.kind(), error.code(), error.public_message().to_owned(), error.retry_after())
}

on_both! {
    async fn s_022_n_failures_lock_and_the_lock_ends_to_the_second(store: Store) {
        let t = kit(&store).await;
        t.sign_up(ANN).await.unwrap();
        fail(&t, ANN, 8).await;
        let before = hashes(&t);
        assert_eq!(is_locked(guess(&t, ANN, WRONG, &meta()).await), TTL);
        assert_eq!(is_locked(guess(&t, ANN, PASSWORD, &meta()).await), TTL);
        assert_eq!(hashes(&t), before, "a locked password was hashed");
        // 33: it falls, and the attempt at that instant is evaluated.
        t.clock.advance(Duration::from_secs(300));
        assert_eq!(is_locked(guess(&t, ANN, PASSWORD, &meta()).await), Duration::from_secs(600));
        t.clock.advance(Duration::from_micros(599_999_999));
        assert_eq!(is_locked(guess(&t, ANN, PASSWORD, &meta()).await), Duration::from_micros(1));
        t.clock.advance(Duration::from_micros(1));
        guess(&t, ANN, PASSWORD, &meta()).await.unwrap();
        // The end of a lock set the count to 0, and the success too: seven more do not lock.
        fail(&t, ANN, 7).await;
        guess(&t, ANN, PASSWORD, &meta()).await.unwrap();
        fail(&t, ANN, 8).await;
        assert_eq!(is_locked(guess(&t, ANN, PASSWORD, &meta()).await), TTL, "locks of an e-mail do not grow");
    }

    async fn a_lock_that_ended_leaves_the_count_at_zero(store: Store) {
        let t = kit(&store).await;
        fail(&t, ANN, 8).await;
        is_locked(guess(&t, ANN, WRONG, &meta()).await);
        t.clock.advance(TTL);
        fail(&t, ANN, 8).await;
        is_locked(guess(&t, ANN, WRONG, &meta()).await);
    }

    async fn failures_count_for_the_ttl_after_the_last_one(store: Store) {
        let t = kit(&store).await;
        t.sign_up(ANN).await.unwrap();
        for _ in 0..7 {
            fail(&t, ANN, 1).await;
            t.clock.advance(TTL - Duration::from_micros(1));
        }
        t.clock.advance(Duration::from_micros(1));
        // The window is over: seven are forgotten, and seven more do not lock.
        fail(&t, ANN, 7).await;
        t.clock.advance(TTL - Duration::from_micros(1));
        fail(&t, ANN, 1).await;
        is_locked(guess(&t, ANN, PASSWORD, &meta()).await);
    }

    async fn s_022_the_next_lock_of_an_address_is_longer_up_to_the_longest(store: Store) {
        let t = kit_with(&store, |c| {
            c.lockout.ip_threshold = 3;
            c.lockout.ip_max_ttl = Duration::from_secs(3000);
        })
        .await;
        t.sign_up(ANN).await.unwrap();
        let from = from_ip("192.0.2.7");
        for expected in [900, 1800, 3000, 3000] {
            for n in 0..3 {
                assert_eq!(kind(guess(&t, &format!("nobody-{expected}-{n}@example.com"), WRONG, &from).await), ErrorKind::InvalidCredentials);
            }
            let length = Duration::from_secs(expected);
            assert_eq!(is_locked(guess(&t, ANN, PASSWORD, &from).await), length);
            t.clock.advance(length);
        }
        // A success clears nothing of the address: the third failure of three locks, whoever got in between.
        assert_eq!(kind(guess(&t, "x@example.com", WRONG, &from).await), ErrorKind::InvalidCredentials);
        assert_eq!(kind(guess(&t, "y@example.com", WRONG, &from).await), ErrorKind::InvalidCredentials);
        guess(&t, ANN, PASSWORD, &from).await.unwrap();
        assert_eq!(kind(guess(&t, "z@example.com", WRONG, &from).await), ErrorKind::InvalidCredentials);
        assert_eq!(is_locked(guess(&t, ANN, PASSWORD, &from).await), Duration::from_secs(3000));
        let actions = Raw::open(&store).await.texts("SELECT action FROM authkit_audit WHERE action LIKE 'lockout.%' ORDER BY id").await;
        assert_eq!(actions.iter().filter(|a| *a == "lockout.lock").count(), 5);
        assert_eq!(actions.iter().filter(|a| *a == "lockout.escalate").count(), 4, "each but the first");
    }

    async fn s_022_without_escalation_locks_of_an_address_do_not_grow(store: Store) {
        let t = kit_with(&store, |c| {
            c.lockout.ip_threshold = 2;
            c.lockout.ip_escalation = false;
        })
        .await;
        let from = from_ip("192.0.2.7");
        for round in 0..3 {
            for n in 0..2 {
                guess(&t, &format!("nobody-{round}-{n}@example.com"), WRONG, &from).await.unwrap_err();
            }
            assert_eq!(is_locked(guess(&t, ANN, WRONG, &from).await), TTL);
            t.clock.advance(TTL);
        }
    }

    async fn s_024_all_spellings_of_an_e_mail_share_one_counter(store: Store) {
        let t = kit(&store).await;
        t.sign_up("josé@example.com").await.unwrap();
        let spellings = ["josé@example.com", "JOSÉ@example.com", "  jose\u{301}@EXAMPLE.com\t", "José@Example.Com"];
        for n in 0..8 {
            assert_eq!(kind(guess(&t, spellings[n % 4], WRONG, &meta()).await), ErrorKind::InvalidCredentials);
        }
        for spelling in spellings {
            is_locked(guess(&t, spelling, PASSWORD, &meta()).await);
        }
    }

    async fn s_025_an_unknown_e_mail_locks_exactly_like_a_known_one(store: Store) {
        let t = kit_with(&store, |c| c.lockout.ip_threshold = 1000).await;
        let ann = t.sign_up(ANN).await.unwrap();
        let admin = t.kit.admin(meta());
        let gone = t.sign_up("gone@example.com").await.unwrap();
        admin.delete_user(gone.id).await.unwrap();
        let closed = t.sign_up("closed@example.com").await.unwrap();
        admin.disable_user(closed.id).await.unwrap();
        let mut seen = Vec::new();
        // The right password of an account that is closed counts, too: else it would tell itself by not locking.
        for (email, password) in [
            (ANN, WRONG), ("nobody@example.com", PASSWORD), ("gone@example.com", PASSWORD), ("closed@example.com", PASSWORD),
        ] {
            let mut answers = Vec::new();
            for _ in 0..10 {
                let error = guess(&t, email, password, &meta()).await.unwrap_err();
                let (kind, code, message, after) = shown(&error);
                answers.push((kind, code.to_owned(), message, after));
            }
            seen.push(answers);
        }
        assert_eq!(seen[0][7].0, ErrorKind::InvalidCredentials);
        assert_eq!(seen[0][8].0, ErrorKind::Locked);
        assert!(seen.iter().all(|answers| *answers == seen[0]), "{seen:?}");
        let rows = lockouts(&t, &of_kind(LockKind::Email)).await;
        assert_eq!(rows.len(), 4);
        assert!(rows.iter().all(|row| (row.failures, row.lock_count) == (8, 1) && row.is_locked()));
        let users: BTreeSet<_> = rows.iter().map(|row| row.user_id).collect();
        assert_eq!(users, [None, Some(ann.id), Some(gone.id), Some(closed.id)].into());
        // Nothing typed is in the store in clear, unless an account has it.
        let dump = Raw::open(&store).await.dump().await;
        assert!(!dump.contains("nobody"), "an unknown e-mail is in the store");
    }

    async fn s_030_a_spray_from_one_address_locks_that_address_only(store: Store) {
        let t = kit_with(&store, |c| c.lockout.stuffing_threshold = 1000).await;
        t.sign_up(ANN).await.unwrap();
        let sprayer = from_ip("198.51.100.9");
        let mut judged = 0;
        for n in 0..100 {
            match guess(&t, &format!("user-{n}@example.com"), WRONG, &sprayer).await.unwrap_err().kind() {
                ErrorKind::InvalidCredentials => judged += 1,
                ErrorKind::Locked => {}
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(judged, 30);
        is_locked(guess(&t, ANN, PASSWORD, &sprayer).await);
        guess(&t, ANN, PASSWORD, &from_ip("198.51.100.10")).await.unwrap();
        // One network of IPv6 is one caller.
        for n in 0..30 {
            let ip: IpAddr = format!("2001:db8:5:6::{n:x}").parse().unwrap();
            guess(&t, &format!("six-{n}@example.com"), WRONG, &meta().with_ip(ip)).await.unwrap_err();
        }
        is_locked(guess(&t, ANN, PASSWORD, &from_ip("2001:db8:5:6:ffff::1")).await);
        guess(&t, ANN, PASSWORD, &from_ip("2001:db8:5:7::1")).await.unwrap();
        // An IPv4 address in IPv6's clothes is the same address.
        is_locked(guess(&t, ANN, PASSWORD, &from_ip("::ffff:198.51.100.9")).await);
    }

    async fn many_e_mails_from_one_network_lock_the_network(store: Store) {
        let t = kit_with(&store, |c| {
            c.lockout.stuffing_threshold = 10;
            c.lockout.ip_threshold = 1000;
            c.lockout.email_threshold = 1000;
        })
        .await;
        t.sign_up(ANN).await.unwrap();
        let at = |n: usize| from_ip(&format!("203.0.113.{n}"));
        // An office: a few people who mistype often, and succeed. They never count as many.
        for n in 0..60 {
            assert_eq!(kind(guess(&t, &format!("colleague-{}@example.com", n % 9), WRONG, &at(n)).await), ErrorKind::InvalidCredentials);
            guess(&t, ANN, PASSWORD, &at(n)).await.unwrap();
        }
        let networks = lockouts(&t, &of_kind(LockKind::Network)).await;
        assert_eq!(networks.iter().map(|l| (l.failures, l.is_locked())).collect::<Vec<_>>(), [(9, false)]);
        // The tenth e-mail: somebody tries out a list, each from another address of his network.
        assert_eq!(kind(guess(&t, "tenth@example.com", WRONG, &at(200)).await), ErrorKind::InvalidCredentials);
        assert_eq!(is_locked(guess(&t, ANN, PASSWORD, &at(201)).await), TTL);
        guess(&t, ANN, PASSWORD, &from_ip("203.0.114.1")).await.unwrap();
        let audited = Raw::open(&store).await.texts("SELECT action FROM authkit_audit WHERE action LIKE 'lockout.%' ORDER BY id").await;
        assert_eq!(audited, ["lockout.lock", "lockout.escalate"]);
        // The next one is longer.
        t.clock.advance(TTL);
        for n in 0..10 {
            guess(&t, &format!("list-{n}@example.com"), WRONG, &at(n)).await.unwrap_err();
        }
        assert_eq!(is_locked(guess(&t, ANN, PASSWORD, &at(250)).await), TTL * 2);
        // What is kept cannot confirm anything: 20 bits an e-mail, none of a password, at most as many as lock.
        let tags = Raw::open(&store).await.texts("SELECT tags FROM authkit_lockouts WHERE kind = 'network' AND tags <> ''").await;
        let kept: Vec<&str> = tags.iter().flat_map(|t| t.split(',')).collect();
        assert!(kept.len() <= 10 && kept.iter().all(|tag| tag.split(':').next().unwrap().len() == 5), "{kept:?}");
    }

    async fn without_an_address_all_share_one_row_and_none_goes_uncounted(store: Store) {
        let t = kit(&store).await;
        t.sign_up(ANN).await.unwrap();
        for n in 0..30 {
            guess(&t, &format!("user-{n}@example.com"), WRONG, &meta()).await.unwrap_err();
        }
        is_locked(guess(&t, ANN, PASSWORD, &meta()).await);
        guess(&t, ANN, PASSWORD, &from_ip("192.0.2.1")).await.unwrap();
    }

    async fn s_034_each_lock_and_unlock_is_audited_once_and_operators_see_it(store: Store) {
        let t = kit(&store).await;
        let ann = t.sign_up(ANN).await.unwrap();
        let mut events = t.kit.subscribe();
        let from = from_ip("192.0.2.55");
        for _ in 0..8 {
            guess(&t, ANN, WRONG, &from).await.unwrap_err();
        }
        for _ in 0..5 {
            is_locked(guess(&t, ANN, PASSWORD, &from).await);
        }
        let told: Vec<_> = std::iter::from_fn(|| events.try_recv().ok()).collect();
        let locks: Vec<_> = told.iter().filter(|e| e.action.name().starts_with("lockout.")).collect();
        assert_eq!(locks.len(), 1, "the owner is told once: {locks:?}");
        assert_eq!((locks[0].action.name(), locks[0].user_id, locks[0].actor.as_str()), ("lockout.lock", Some(ann.id), "system"));
        assert_eq!((&locks[0].details["kind"], &locks[0].details["failures"]), (&"email".into(), &8.into()));
        assert_eq!(told.len(), 9, "a refusal for the lock leaves no trace");

        // By kind, account, e-mail, address; one by its id; no text of an address or e-mail in any of it.
        let seen = lockouts(&t, &LockoutFilter::default()).await;
        assert_eq!(seen.len(), 3, "{seen:?}");
        let mut by_email = LockoutFilter::default();
        by_email.email = Some(" ANN@example.com".into());
        let found = lockouts(&t, &by_email).await;
        assert_eq!((found.len(), found[0].kind, found[0].user_id), (1, LockKind::Email, Some(ann.id)));
        assert_eq!(serde_json::to_value(&found[0]).unwrap()["locked_until"], "2026-01-01T00:15:00Z");
        let mut by_ip = LockoutFilter::default();
        by_ip.ip = Some("192.0.2.55".parse().unwrap());
        assert_eq!(lockouts(&t, &by_ip).await.iter().map(|l| l.kind.name()).collect::<BTreeSet<_>>().len(), 2);
        let mut locked = LockoutFilter::default();
        locked.locked = true;
        assert_eq!(lockouts(&t, &locked).await, found);
        let admin = t.kit.admin(meta().with_operator("cli:root@host", Some("asked on the phone".into())));
        assert_eq!(admin.lockout(found[0].id).await.unwrap(), found[0]);
        let text = serde_json::to_string(&seen).unwrap();
        assert!(!text.contains("192.0.2") && !text.contains('@'), "{text}");
        let mut page = Page::new(2, None).unwrap();
        let first = admin.lockouts(&LockoutFilter::default(), &page).await.unwrap();
        page.cursor = first.next_cursor;
        let second = admin.lockouts(&LockoutFilter::default(), &page).await.unwrap();
        assert_eq!((first.items.len(), second.items.len(), second.next_cursor), (2, 1, None));

        let cleared = admin.clear_lockout(found[0].id).await.unwrap();
        assert!(cleared.changed && !cleared.resource.is_locked() && cleared.resource.failures == 0);
        assert!(!admin.clear_lockout(found[0].id).await.unwrap().changed);
        guess(&t, ANN, PASSWORD, &from).await.unwrap();
        let unlocks: Vec<_> = std::iter::from_fn(|| events.try_recv().ok()).filter(|e| e.action.name() == "lockout.unlock").collect();
        assert_eq!(unlocks.len(), 1);
        assert_eq!((unlocks[0].user_id, unlocks[0].actor.as_str()), (Some(ann.id), "cli:root@host"));
        assert_eq!(unlocks[0].reason.as_deref(), Some("asked on the phone"));
        let nobody = authkit::LockoutId::from_uuid(uuid::Uuid::nil());
        assert_eq!(kind(admin.clear_lockout(nobody).await), ErrorKind::NotFound);
        assert_eq!(kind(admin.lockout(nobody).await), ErrorKind::NotFound);
    }

    async fn s_034_unlocking_a_user_ends_his_locks_also_those_from_before_he_signed_up(store: Store) {
        let t = kit(&store).await;
        fail(&t, ANN, 8).await;
        let ann = t.sign_up(ANN).await.unwrap();
        is_locked(guess(&t, ANN, PASSWORD, &meta()).await);
        let admin = t.kit.admin(meta());
        assert!(!admin.dry_run().unlock_user(ann.id).await.unwrap().resource.email.is_empty());
        is_locked(guess(&t, ANN, PASSWORD, &meta()).await);
        let admin = t.kit.admin(meta());
        assert!(admin.unlock_user(ann.id).await.unwrap().changed);
        assert!(!admin.unlock_user(ann.id).await.unwrap().changed);
        guess(&t, ANN, PASSWORD, &meta()).await.unwrap();
        let audited = Raw::open(&store).await.texts("SELECT details FROM authkit_audit WHERE action = 'lockout.unlock'").await;
        assert_eq!(audited.len(), 1, "{audited:?}");
        let gone = authkit::UserId::from_uuid(uuid::Uuid::nil());
        assert_eq!(kind(admin.unlock_user(gone).await), ErrorKind::NotFound);
    }

    async fn a_purge_takes_the_locks_and_devices_of_the_person(store: Store) {
        let t = kit(&store).await;
        let ann = t.signed_in(ANN).await.unwrap();
        fail(&t, ANN, 8).await;
        let admin = t.kit.admin(meta());
        admin.delete_user(ann.user.id).await.unwrap();
        let mut raw = Raw::open(&store).await;
        assert_eq!(raw.number("SELECT count(*) FROM authkit_devices").await, 1);
        assert_eq!(raw.number("SELECT count(*) FROM authkit_lockouts WHERE kind = 'email'").await, 1);
        admin.purge_user(ann.user.id).await.unwrap();
        assert_eq!(raw.number("SELECT count(*) FROM authkit_devices").await, 0);
        assert_eq!(raw.number("SELECT count(*) FROM authkit_lockouts WHERE kind = 'email'").await, 0);
        assert!(t.kit.users().list(&UserFilter::default(), &Page::default()).await.unwrap().items.is_empty());
    }

    async fn a_lock_survives_a_restart_and_holds_on_every_node(store: Store) {
        let first = kit(&store).await;
        first.sign_up(ANN).await.unwrap();
        let second = second_node(&store, &first).await;
        for n in 0..8 {
            fail(if n % 2 == 0 { &first } else { &second }, ANN, 1).await;
        }
        for t in [&first, &second] {
            is_locked(guess(t, ANN, PASSWORD, &meta()).await);
        }
        first.kit.db().close().await;
        first.clock.advance(Duration::from_secs(600));
        let third = second_node(&store, &second).await;
        assert_eq!(is_locked(guess(&third, ANN, PASSWORD, &meta()).await), Duration::from_secs(300));
        third.clock.advance(Duration::from_secs(300));
        guess(&third, ANN, PASSWORD, &meta()).await.unwrap();
    }

    async fn a_lock_outlives_the_rotation_of_its_key(store: Store) {
        let t = kit(&store).await;
        t.sign_up(ANN).await.unwrap();
        fail(&t, ANN, 8).await;
        t.kit.admin(meta()).rotate_key(authkit::KeyPurpose::Lookup).await.unwrap();
        is_locked(guess(&t, ANN, PASSWORD, &meta()).await);
        t.clock.advance(TTL);
        guess(&t, ANN, PASSWORD, &meta()).await.unwrap();
    }

    async fn a_clock_set_by_an_hour_neither_frees_nor_prolongs(store: Store) {
        for step in [HOUR, -HOUR] {
            let t = kit_with(&store, |c| c.lockout.ip_threshold = 1000).await;
            let email = format!("step{step}@example.com");
            t.sign_up(&email).await.unwrap();
            fail(&t, &email, 8).await;
            t.clock.advance(Duration::from_secs(100));
            is_locked(guess(&t, &email, PASSWORD, &meta()).await);
            t.clock.step_wall(step);
            assert_eq!(is_locked(guess(&t, &email, PASSWORD, &meta()).await), Duration::from_secs(800), "{step}");
            t.clock.advance(Duration::from_secs(799));
            is_locked(guess(&t, &email, PASSWORD, &meta()).await);
            t.clock.advance(Duration::from_secs(1));
            guess(&t, &email, PASSWORD, &meta()).await.unwrap();
            // Failures keep their age, too.
            fail(&t, &email, 7).await;
            t.clock.step_wall(step);
            fail(&t, &email, 1).await;
            assert_eq!(is_locked(guess(&t, &email, PASSWORD, &meta()).await), TTL);
            t.clock.advance(TTL);
            guess(&t, &email, PASSWORD, &meta()).await.unwrap();
        }
    }

    async fn a_clock_set_back_while_nobody_ran_does_not_prolong(store: Store) {
        let first = kit(&store).await;
        first.sign_up(ANN).await.unwrap();
        fail(&first, ANN, 8).await;
        first.kit.db().close().await;
        first.clock.step_wall(-HOUR);
        let second = second_node(&store, &first).await;
        assert_eq!(is_locked(guess(&second, ANN, PASSWORD, &meta()).await), TTL, "not freed");
        second.clock.advance(Duration::from_secs(500));
        assert_eq!(is_locked(guess(&second, ANN, PASSWORD, &meta()).await), Duration::from_secs(400), "written down");
        second.clock.advance(Duration::from_secs(400));
        guess(&second, ANN, PASSWORD, &meta()).await.unwrap();
    }

    async fn what_matters_no_more_is_swept_and_a_live_lock_stays(store: Store) {
        let t = build(&store, |c| c.lockout.ip_max_ttl = TTL, |b| b).await;
        fail(&t, "old@example.com", 1).await;
        let ann = t.signed_in(ANN).await.unwrap();
        assert_eq!(t.kit.admin(meta()).sweep_lockouts(1000).await.unwrap(), 0);
        t.clock.advance(Duration::from_secs(3 * 900 + 3600));
        fail(&t, "new@example.com", 8).await;
        t.clock.advance(Duration::from_secs(1));
        let mut raw = Raw::open(&store).await;
        let rows = "SELECT count(*) FROM authkit_lockouts";
        let before = raw.number(rows).await;
        let removed = t.kit.admin(meta()).sweep_lockouts(1000).await.unwrap();
        // Of three e-mails, an address and a network the two e-mails of the first day go.
        assert_eq!((i64::try_from(removed).unwrap(), raw.number(rows).await), (2, before - 2));
        is_locked(guess(&t, "new@example.com", WRONG, &meta()).await);
        assert_eq!(t.kit.admin(meta()).sweep_lockouts(1000).await.unwrap(), 0);
        assert_eq!(raw.number("SELECT count(*) FROM authkit_devices").await, 1, "{}", ann.user.id);
        t.clock.advance(Duration::from_hours(400 * 24));
        t.kit.admin(meta()).sweep_lockouts(1000).await.unwrap();
        assert_eq!(raw.number("SELECT count(*) FROM authkit_devices").await, 0);
    }

    async fn s_029_a_lock_leaves_live_sessions_alone(store: Store) {
        let t = kit(&store).await;
        let ann = t.signed_in(ANN).await.unwrap();
        fail(&t, ANN, 8).await;
        is_locked(guess(&t, ANN, PASSWORD, &meta()).await);
        let next = t.kit.refresh(ann.refresh(), &meta()).await.unwrap();
        t.kit.authenticate(next.access(), &meta()).await.unwrap();
        t.kit.update_profile(&ann.auth, authkit::ProfileChange::new(Some("Ann".into()), None), &meta()).await.unwrap();
        t.kit.logout(next.refresh(), &meta()).await.unwrap();
    }
}
