//! The outbox on both engines: what goes in with its cause, what comes out, how often, and what is left behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use authkit::admin::{NewUser, UserChange};
use authkit::config::{Config, EmailVerification};
use authkit::mail::{Delivery, MailError, MailFilter, MailState, MailText, Mailer, OutgoingMail, Template};
use authkit::secret::SecretString;
use authkit::testing::{Mailbox, PASSWORD, TestKit};
use authkit::{Check, Credentials, ErrorKind, Event, Hook, Page, PasswordChange, Tx, User};
use authkit_tests::{Store, on_both};
use futures_util::future::BoxFuture;

use crate::support::{Raw, Texts as _, build, from_ip, kind, kit, kit_with, meta, second_node, secret};

const ADA: &str = "ada@example.com";
const OTHER: &str = "seven green lanterns over water";
const SECRET: &str = "akl_CanaryCanaryCanaryCanary-_0123456789";

async fn user(t: &TestKit, email: &str) -> User {
    t.kit.admin(meta()).create_user(NewUser::new(email, "Ada")).await.unwrap().resource
}

async fn put(t: &TestKit, count: usize) {
    let addresses = (0..count).map(|n| format!("person-{n}@example.com")).collect();
    t.enqueue(Template::ResetPassword, addresses, SECRET, None).await.unwrap();
}

async fn states(raw: &mut Raw, state: &str) -> i64 {
    raw.number(&format!("SELECT count(*) FROM authkit_outbox WHERE state = '{state}'")).await
}

/// Rows whose content is still there.
async fn full(raw: &mut Raw) -> i64 {
    raw.number("SELECT count(*) FROM authkit_outbox WHERE payload IS NOT NULL").await
}

fn sent(count: u64) -> Delivery {
    let mut out = Delivery::default();
    out.sent = count;
    out
}

/// A kit that mails nobody for signing up.
async fn unverifying(store: &Store) -> TestKit {
    kit_with(store, no_verification).await
}

fn no_verification(config: &mut Config) {
    config.accounts.email_verification = Some(EmailVerification::Off);
}

struct Refuse;

impl Hook for Refuse {
    fn on<'a>(&'a self, event: &'a Event, _: &'a mut Tx<'_>) -> BoxFuture<'a, authkit::Result<()>> {
        let refused = event.action.name() == "password.change";
        Box::pin(async move { if refused { Err(authkit::Error::internal("no")) } else { Ok(()) } })
    }
}

/// Counts how many mails are in hand, and how often each was sent.
#[derive(Clone, Default)]
struct Slow {
    box_: Mailbox,
    now: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

impl Mailer for Slow {
    fn send(&self, mail: OutgoingMail) -> BoxFuture<'_, Result<(), MailError>> {
        Box::pin(async move {
            let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
            self.most.fetch_max(now, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(3)).await;
            self.now.fetch_sub(1, Ordering::SeqCst);
            self.box_.send(mail).await
        })
    }
}

/// Takes a mail and never says so: a process that dies at the worst moment.
#[derive(Clone, Default)]
struct Hang(Mailbox);

impl Mailer for Hang {
    fn send(&self, mail: OutgoingMail) -> BoxFuture<'_, Result<(), MailError>> {
        Box::pin(async move {
            self.0.send(mail).await?;
            std::future::pending().await
        })
    }
}

on_both! {
    async fn a_mail_is_there_with_its_cause_or_not_at_all(store: Store) {
        let t = unverifying(&store).await;
        let ada = t.signed_in(ADA).await.unwrap();
        let mut raw = Raw::open(&store).await;
        let wrong = PasswordChange::new("wrong wrong wrong", OTHER);
        kind(t.kit.change_password(&ada.auth, wrong, &meta()).await);
        assert_eq!(states(&mut raw, "waiting").await, 0);
        t.kit.change_password(&ada.auth, PasswordChange::new(PASSWORD, OTHER), &meta()).await.unwrap();
        assert_eq!((states(&mut raw, "waiting").await, full(&mut raw).await), (1, 1));
        // Neither address nor words can be read in the store.
        let dump = raw.texts("SELECT template || state || coalesce(last_error, '') FROM authkit_outbox").await;
        assert_eq!(dump, ["password_changedwaiting"]);
        assert_eq!(t.deliver_all().await.unwrap(), sent(1));
        assert_eq!((states(&mut raw, "sent").await, full(&mut raw).await), (1, 0));
        let mail = t.mailbox().newest(Template::PasswordChanged, ADA).unwrap();
        assert!(mail.text.contains("2026-01-01 00:00 UTC"), "{}", mail.text);
        assert_eq!(t.deliver_all().await.unwrap(), Delivery::default());

        let refusing = build(&store, no_verification, |b| b.hook(Refuse)).await;
        let bob = refusing.signed_in("bob@example.com").await.unwrap();
        let change = PasswordChange::new(PASSWORD, OTHER);
        kind(refusing.kit.change_password(&bob.auth, change, &meta()).await);
        assert_eq!(raw.audited("password.change").await, 3, "the refusal was not audited");
        assert_eq!(refusing.deliver_all().await.unwrap(), Delivery::default());
    }

    async fn several_workers_never_have_one_mail_in_hand_at_the_same_time(store: Store) {
        let slow = Slow::default();
        let t = build(&store, |_| {}, |b| b.mailer(slow.clone())).await;
        let node = {
            let (db, slow) = (crate::support::connect(&store).await, slow.clone());
            let config = t.kit.config().clone();
            TestKit::attach(db, config, t.clock.clone(), move |b| b.mailer(slow)).await.unwrap()
        };
        put(&t, 300).await;
        let (a, b, c) = tokio::join!(t.deliver_all(), node.deliver_all(), t.deliver_all());
        let (a, b, c) = (a.unwrap(), b.unwrap(), c.unwrap());
        assert_eq!(a.sent + b.sent + c.sent, 300);
        assert!([a, b, c].iter().filter(|d| d.sent > 0).count() > 1, "one worker did it all: {a:?} {b:?} {c:?}");
        let mut ids: Vec<_> = slow.box_.mails().iter().map(|mail| mail.id).collect();
        ids.sort();
        ids.dedup();
        assert_eq!((ids.len(), slow.box_.mails().len()), (300, 300));
        assert!((2..=48).contains(&slow.most.load(Ordering::SeqCst)), "{:?}", slow.most);
    }

    /// What can be twice, exactly: taken by the mail server, not written down when the process died.
    async fn a_worker_that_dies_in_the_middle_loses_nothing_and_says_it_twice_at_the_most(store: Store) {
        let hang = Hang::default();
        let t = build(&store, |_| {}, |b| b.mailer(hang.clone())).await;
        put(&t, 1).await;
        let kit = t.kit.clone();
        let dying = tokio::spawn(async move { kit.deliver_due().await });
        while hang.0.mails().is_empty() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        dying.abort();
        let node = second_node(&store, &t).await;
        // It may still be alive for all that others know: its lease holds.
        t.clock.advance(Duration::from_secs(119));
        assert_eq!(node.deliver_all().await.unwrap(), Delivery::default());
        t.clock.advance(Duration::from_secs(1));
        assert_eq!(node.deliver_all().await.unwrap(), sent(1));
        let (first, second) = (&hang.0.mails()[0], &node.mailbox().mails()[0]);
        assert_eq!(first.message_id(), second.message_id());
        assert_eq!(first.to_message(), second.to_message());
        assert_eq!(states(&mut Raw::open(&store).await, "sent").await, 1);
    }

    async fn what_fails_for_now_comes_again_ever_later_and_is_given_up_in_the_end(store: Store) {
        let t = kit(&store).await;
        let mut raw = Raw::open(&store).await;
        t.enqueue(Template::Invitation, vec![ADA.into()], SECRET, Some(Duration::from_secs(864_000))).await.unwrap();
        let mut spans = Vec::new();
        for try_ in 1..=10 {
            t.mailbox().fail_next(MailError::temporary("RCPT was answered with 451"));
            let out = t.deliver_all().await.unwrap();
            assert_eq!((out.retried, out.dead), if try_ < 10 { (1, 0) } else { (0, 1) }, "try {try_}");
            if try_ < 10 {
                let due = raw.number("SELECT due_at FROM authkit_outbox").await;
                let span = Duration::from_micros((due - t.kit.now().as_micros()).unsigned_abs());
                spans.push(span);
                // Not a moment sooner.
                t.clock.advance(span - Duration::from_micros(1));
                assert_eq!(t.deliver_all().await.unwrap(), Delivery::default());
                t.clock.advance(Duration::from_micros(1));
            }
        }
        for (n, span) in spans.iter().enumerate() {
            let whole = Duration::from_secs(10 << n).min(Duration::from_secs(3600));
            assert!((whole / 2..=whole).contains(span), "try {n}: {span:?}");
        }
        assert_eq!((states(&mut raw, "dead").await, full(&mut raw).await), (1, 0));
        assert_eq!(raw.texts("SELECT last_error FROM authkit_outbox").await, ["RCPT was answered with 451"]);
        assert!(t.mailbox().mails().is_empty());
    }

    async fn a_refusal_for_good_is_a_dead_letter_at_once_and_others_go_on(store: Store) {
        let t = kit(&store).await;
        put(&t, 3).await;
        t.mailbox().fail_next(MailError::permanent("RCPT was answered with 550"));
        let out = t.deliver_all().await.unwrap();
        assert_eq!((out.sent, out.dead, out.retried), (2, 1, 0));
        let mut raw = Raw::open(&store).await;
        assert_eq!((states(&mut raw, "dead").await, full(&mut raw).await), (1, 0));
    }

    async fn while_nothing_can_be_sent_nothing_counts_as_a_try(store: Store) {
        let t = kit(&store).await;
        put(&t, 40).await;
        assert_eq!(t.kit.readiness().await.mail, Check::Ok);
        t.mailbox().set_down(true);
        for _ in 0..30 {
            let out = t.deliver_all().await.unwrap();
            assert!(out.put_back > 0 && out.dead == 0 && out.retried == 0, "{out:?}");
            t.clock.advance(Duration::from_secs(2));
        }
        let mut raw = Raw::open(&store).await;
        assert_eq!(raw.number("SELECT CAST(max(attempts) AS BIGINT) FROM authkit_outbox").await, 0);
        let readiness = t.kit.readiness().await;
        assert_eq!((readiness.mail, readiness.is_down()), (Check::Degraded, false));
        t.mailbox().set_down(false);
        t.clock.advance(Duration::from_secs(2));
        assert_eq!(t.deliver_all().await.unwrap(), sent(40));
        assert_eq!(t.kit.readiness().await.mail, Check::Ok);
    }

    async fn mails_that_nobody_sends_degrade_readiness_and_no_mailer_is_off(store: Store) {
        let t = kit(&store).await;
        put(&t, 1).await;
        t.clock.advance(Duration::from_secs(300));
        assert_eq!(t.kit.readiness().await.mail, Check::Ok);
        t.clock.advance(Duration::from_secs(1));
        assert_eq!(t.kit.readiness().await.mail, Check::Degraded);
        let without = build(&store, |_| {}, authkit::AuthKitBuilder::without_mailer).await;
        assert_eq!(without.kit.readiness().await.mail, Check::Off);
        assert!(!without.kit.has_mailer() && t.kit.has_mailer());
        let refused = without.enqueue(Template::ResetPassword, vec![ADA.into()], SECRET, None).await;
        assert_eq!(kind(refused), ErrorKind::Unavailable);
        // What is only told is left out; the event itself stands.
        let bob = without.signed_in("bob@example.com").await.unwrap();
        without.kit.change_password(&bob.auth, PasswordChange::new(PASSWORD, OTHER), &meta()).await.unwrap();
        assert_eq!(t.deliver_all().await.unwrap(), sent(1));
    }

    /// R6: at the exact instant it is dead, and its secrets with it, even when it waits for a later try.
    async fn a_mail_that_is_too_old_is_not_sent(store: Store) {
        let t = kit(&store).await;
        let mut raw = Raw::open(&store).await;
        let minute = Some(Duration::from_secs(60));
        t.enqueue(Template::ResetPassword, vec![ADA.into(), "b@example.com".into()], SECRET, minute).await.unwrap();
        t.clock.advance(Duration::from_secs(55));
        for _ in 0..2 {
            t.mailbox().fail_next(MailError::temporary("later"));
        }
        assert_eq!(t.deliver_all().await.unwrap().retried, 2);
        t.clock.advance(Duration::from_secs(5));
        let out = t.deliver_all().await.unwrap();
        assert_eq!((out.sent, out.expired), (0, 2));
        assert_eq!((states(&mut raw, "expired").await, full(&mut raw).await), (2, 0));
        assert!(t.mailbox().mails().is_empty());
    }

    async fn s_076_a_waiting_mail_cannot_be_read_or_moved(store: Store) {
        let t = kit(&store).await;
        t.enqueue(Template::ResetPassword, vec![ADA.into()], SECRET, None).await.unwrap();
        t.enqueue(Template::VerifyEmail, vec!["eve@example.com".into()], "akl_eve", None).await.unwrap();
        t.enqueue_nothing().await.unwrap();
        let mut raw = Raw::open(&store).await;
        let dump = raw.dump().await.to_lowercase();
        let hexed: String = SECRET.bytes().map(|b| format!("{b:02x}")).collect();
        for canary in [SECRET.to_lowercase(), hexed, "ada@example".into(), "6164614065".into()] {
            assert!(!dump.contains(&canary), "{canary} is in the store");
        }
        // All the same length, the one that is none too.
        let sizes = raw.texts("SELECT DISTINCT CAST(length(payload) AS TEXT) FROM authkit_outbox").await;
        assert_eq!(sizes.len(), 1, "{sizes:?}");
        // Eve's row with Ada's content does not open.
        raw.run(
            "UPDATE authkit_outbox SET payload = (SELECT payload FROM authkit_outbox WHERE template = 'reset_password')
             WHERE template = 'verify_email'",
        )
        .await;
        let out = t.deliver_all().await.unwrap();
        assert_eq!((out.sent, out.dead), (1, 1));
        assert_eq!(t.mailbox().mails()[0].to, ADA);
        assert_eq!((full(&mut raw).await, states(&mut raw, "dropped").await), (0, 1));
    }

    async fn what_an_unknown_address_costs_is_the_same_and_sends_nothing(store: Store) {
        let t = kit(&store).await;
        let mut raw = Raw::open(&store).await;
        t.enqueue_nothing().await.unwrap();
        assert_eq!((states(&mut raw, "waiting").await, full(&mut raw).await), (1, 1));
        assert_eq!(t.deliver_all().await.unwrap(), Delivery::default());
        assert_eq!((states(&mut raw, "dropped").await, full(&mut raw).await), (1, 0));
        assert!(t.mailbox().mails().is_empty());
    }

    async fn an_owner_is_told_once_in_a_while_however_often_it_happens(store: Store) {
        let t = kit(&store).await;
        let ada = user(&t, ADA).await;
        for n in 0..5 {
            let password = secret(&format!("lantern number {n} over the water"));
            t.kit.admin(meta()).set_password(ada.id, &password).await.unwrap();
        }
        assert_eq!(t.deliver_all().await.unwrap(), sent(1));
        t.clock.advance(Duration::from_secs(60));
        t.kit.admin(meta()).set_password(ada.id, &secret(OTHER)).await.unwrap();
        assert_eq!(t.deliver_all().await.unwrap(), sent(1));
        // A clock that was set back silences nothing.
        t.clock.step_wall(-86_400);
        t.kit.admin(meta()).set_password(ada.id, &secret(PASSWORD)).await.unwrap();
        assert_eq!(t.deliver_all().await.unwrap(), sent(1));
        assert_eq!(t.mailbox().to(ADA).len(), 3);
    }

    async fn a_replayed_token_is_told_of_once_and_only_to_its_owner(store: Store) {
        let t = unverifying(&store).await;
        let ada = t.signed_in(ADA).await.unwrap();
        for _ in 0..6 {
            let first = t.sign_in(ADA).await.unwrap();
            let second = t.kit.refresh(first.refresh(), &meta()).await.unwrap();
            t.kit.refresh(second.refresh(), &meta()).await.unwrap();
            assert_eq!(kind(t.kit.refresh(first.refresh(), &meta()).await), ErrorKind::RefreshInvalid);
        }
        let mut raw = Raw::open(&store).await;
        assert_eq!(raw.audited("refresh.reuse").await, 6);
        assert_eq!(t.deliver_all().await.unwrap(), sent(1));
        assert!(t.mailbox().newest(Template::RefreshReplayed, ADA).is_some());
        assert_eq!(ada.user.email, ADA);
    }

    async fn a_new_address_is_told_to_the_old_one(store: Store) {
        let t = kit(&store).await;
        let ada = user(&t, ADA).await;
        let mut change = UserChange::default();
        change.email = Some("new@example.com".into());
        t.kit.admin(meta()).update_user(ada.id, change).await.unwrap();
        assert_eq!(t.deliver_all().await.unwrap(), sent(1));
        assert!(t.mailbox().newest(Template::EmailChanged, ADA).is_some());
        // A new name is nobody's news.
        let mut change = UserChange::default();
        change.name = Some("Another".into());
        t.kit.admin(meta()).update_user(ada.id, change).await.unwrap();
        assert_eq!(t.deliver_all().await.unwrap(), Delivery::default());
    }

    async fn a_sign_in_from_somewhere_new_is_told_and_one_from_a_known_place_or_device_is_not(store: Store) {
        let t = unverifying(&store).await;
        t.sign_up(ADA).await.unwrap();
        let (home, away) = (from_ip("192.0.2.1"), from_ip("198.51.100.7"));
        let by = |meta: authkit::RequestMeta, device: Option<SecretString>| {
            let mut credentials = Credentials::new(ADA, PASSWORD);
            credentials.device_token = device;
            let kit = t.kit.clone();
            async move {
                let authkit::Login::Complete(tokens) = kit.login(credentials, &meta).await.unwrap() else { panic!() };
                tokens.device_token
            }
        };
        // The very first sign-in has nothing that it could differ from.
        let device = by(home.clone(), None).await;
        by(home.clone(), None).await;
        by(away.clone(), device).await;
        assert_eq!(t.deliver_all().await.unwrap(), Delivery::default());
        // The known device was away before; another address nobody was at.
        by(from_ip("203.0.113.9"), None).await;
        assert_eq!(t.deliver_all().await.unwrap(), sent(1));
        assert!(t.mailbox().newest(Template::NewDevice, ADA).is_some());
        t.clock.advance(Duration::from_secs(61));
        by(home.with_user_agent("another browser"), None).await;
        assert_eq!(t.deliver_all().await.unwrap(), sent(1));
    }

    async fn notices_are_turned_off_by_name_and_words_follow_the_profile(store: Store) {
        let off = kit_with(&store, |c| c.mail.notices_off = vec!["password_changed".into()]).await;
        let ada = user(&off, ADA).await;
        off.kit.admin(meta()).set_password(ada.id, &secret(OTHER)).await.unwrap();
        assert_eq!(off.deliver_all().await.unwrap(), Delivery::default());

        let german = MailText::new("Neues Passwort bei {{product}}", "Es wurde geändert, {{at}}.");
        let on = build(&store, |_| {}, |b| b.mail_template(Template::PasswordChanged, "de", german)).await;
        let mut new = NewUser::new("bob@example.com", "Bob");
        new.profile = Some(serde_json::json!({ "locale": "de-AT" }));
        let bob = on.kit.admin(meta()).create_user(new).await.unwrap().resource;
        for id in [ada.id, bob.id] {
            on.kit.admin(meta()).set_password(id, &secret(PASSWORD)).await.unwrap();
        }
        assert_eq!(on.deliver_all().await.unwrap(), sent(2));
        assert_eq!(on.mailbox().to("bob@example.com")[0].subject, "Neues Passwort bei authkit");
        assert_eq!(on.mailbox().to(ADA)[0].subject, "Your password at authkit was changed");
    }

    async fn a_purged_account_takes_its_mails_along(store: Store) {
        let t = kit(&store).await;
        let ada = user(&t, ADA).await;
        t.kit.admin(meta()).set_password(ada.id, &secret(OTHER)).await.unwrap();
        let mut raw = Raw::open(&store).await;
        assert_eq!(states(&mut raw, "waiting").await, 1);
        t.kit.admin(meta()).delete_user(ada.id).await.unwrap();
        t.kit.admin(meta()).purge_user(ada.id).await.unwrap();
        assert_eq!(raw.number("SELECT count(*) FROM authkit_outbox").await, 0);
        assert_eq!(raw.number("SELECT count(*) FROM authkit_notices").await, 0);
    }

    async fn operators_see_and_move_mails_without_reading_them(store: Store) {
        let t = kit(&store).await;
        put(&t, 3).await;
        t.mailbox().fail_next(MailError::temporary("RCPT was answered with 451"));
        t.deliver_all().await.unwrap();
        let admin = t.kit.admin(meta().with_operator("cli:test@host", Some("why".into())));
        let all = admin.mails(&MailFilter::default(), &Page::new(2, None).unwrap()).await.unwrap();
        assert_eq!((all.items.len(), all.next_cursor.is_some()), (2, true));
        let mut filter = MailFilter::default();
        filter.state = Some(MailState::Waiting);
        let waiting = admin.mails(&filter, &Page::default()).await.unwrap().items;
        let [waiting] = &waiting[..] else { panic!("{waiting:?}") };
        assert_eq!((waiting.attempts, waiting.in_hand), (1, false));
        let text = serde_json::to_string(&waiting).unwrap();
        assert!(!text.contains("example.com") && !text.contains("akl_") && text.contains("451"), "{text}");

        assert_eq!(t.deliver_all().await.unwrap(), Delivery::default());
        assert!(admin.retry_mail(waiting.id).await.unwrap().changed);
        assert_eq!(t.deliver_all().await.unwrap(), sent(1));
        assert_eq!(kind(admin.retry_mail(waiting.id).await), ErrorKind::Conflict);
        assert_eq!(kind(admin.drop_mail(waiting.id).await), ErrorKind::Conflict);

        put(&t, 1).await;
        let id = admin.mails(&filter, &Page::default()).await.unwrap().items[0].id;
        assert!(admin.clone().dry_run().drop_mail(id).await.unwrap().changed);
        assert_eq!(admin.mail(id).await.unwrap().state, MailState::Waiting);
        assert!(admin.drop_mail(id).await.unwrap().changed && !admin.drop_mail(id).await.unwrap().changed);
        let mut raw = Raw::open(&store).await;
        assert_eq!((full(&mut raw).await, states(&mut raw, "dropped").await), (0, 1));
        assert_eq!(t.deliver_all().await.unwrap(), Delivery::default());
        assert_eq!((raw.audited("mail.retry").await, raw.audited("mail.drop").await), (1, 1));
        let gone = "01a1fdc9-0833-7c08-b70a-b2962034a9bd".parse().unwrap();
        assert_eq!(kind(admin.mail(gone).await), ErrorKind::NotFound);
        assert_eq!(kind(admin.retry_mail(gone).await), ErrorKind::NotFound);
    }

    /// A mail of this process goes out at once. Waiting for the next look at the store would take half a second on
    /// average.
    async fn a_commit_wakes_the_worker(store: Store) {
        let t = kit(&store).await;
        let kit = t.kit.clone();
        let worker = tokio::spawn(async move { kit.deliver(std::future::pending()).await });
        put(&t, 1).await;
        while t.mailbox().mails().is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let start = Instant::now();
        for n in 2..=21 {
            put(&t, 1).await;
            while t.mailbox().mails().len() < n {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        assert!(start.elapsed() < Duration::from_secs(5), "20 mails took {:?}", start.elapsed());
        worker.abort();
    }

    async fn a_worker_that_is_asked_to_end_finishes_what_it_has_in_hand(store: Store) {
        let slow = Slow::default();
        let t = build(&store, |_| {}, |b| b.mailer(slow.clone())).await;
        put(&t, 100).await;
        let (kit, seen) = (t.kit.clone(), slow.clone());
        kit.deliver(async move {
            while seen.box_.mails().len() < 10 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
        let mut raw = Raw::open(&store).await;
        let done = slow.box_.mails().len();
        assert!((10..100).contains(&done), "{done}");
        assert_eq!(states(&mut raw, "sent").await, i64::try_from(done).unwrap());
    }
}
