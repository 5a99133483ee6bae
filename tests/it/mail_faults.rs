//! The mail server down, slow, hanging, killed in the middle; our process killed between commit and mail. Nothing is
//! lost, and twice is only what must be.

use std::collections::BTreeMap;
use std::time::Duration;

use authkit::mail::{Delivery, Template};
use authkit::testing::{ManualClock, TestKit};
use authkit_tests::smtp::{Manner, Received, SmtpServer};
use authkit_tests::{Backend, Store, on_both};
use serde_json::json;
use tokio::task::JoinHandle;

use crate::app::{PASSWORD, serve, sign_in, sign_up};
use crate::mail_smtp::plain;
use crate::support::{Raw, build};

const TOKEN: &str = "akl_0123456789012345678901234567890123456789abcdefghijkl";

async fn put(t: &TestKit, count: usize) {
    let all: Vec<String> = (0..count).map(|n| format!("person-{n}@example.com")).collect();
    for part in all.chunks(200) {
        t.enqueue(Template::ResetPassword, part.to_vec(), TOKEN, None).await.unwrap();
    }
}

/// How often each mail arrived, by its `Message-ID`.
fn copies(received: &[Received]) -> BTreeMap<String, usize> {
    let mut out = BTreeMap::new();
    for mail in received {
        *out.entry(mail.text("message_id").to_owned()).or_default() += 1;
    }
    out
}

/// A worker whose clock goes on by itself.
fn worker(t: &TestKit) -> [JoinHandle<()>; 2] {
    let (kit, clock): (_, ManualClock) = (t.kit.clone(), t.clock.clone());
    let ticking = async move {
        loop {
            tokio::time::sleep(Duration::from_millis(20)).await;
            clock.advance(Duration::from_millis(20));
        }
    };
    [tokio::spawn(async move { kit.deliver(std::future::pending()).await }), tokio::spawn(ticking)]
}

async fn until_all_are_sent(store: &Store, count: i64) {
    let mut raw = Raw::open(store).await;
    for _ in 0..2400 {
        let sent = raw.number("SELECT count(*) FROM authkit_outbox WHERE state = 'sent'").await;
        if sent == count {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!(
        "not all were sent: {:?}",
        raw.texts("SELECT DISTINCT state || coalesce(last_error, '') FROM authkit_outbox").await
    );
}

on_both! {
    async fn ten_thousand_mails_and_the_server_ends_half_way(store: Store) {
        const COUNT: usize = 10_000;
        let mut server = SmtpServer::start(Manner { brief: true, ..Manner::default() });
        let mailer = plain(&server);
        let t = build(&store, |_| {}, |b| b.mailer(mailer)).await;
        put(&t, COUNT).await;
        let tasks = worker(&t);
        server.wait_for(COUNT / 2).await;
        server.end();
        let before = server.received().len();
        assert!((COUNT / 2..COUNT).contains(&before), "{before}");
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(server.received().len(), before);
        server.resume();
        until_all_are_sent(&store, i64::try_from(COUNT).unwrap()).await;
        let copies = copies(&server.received());
        assert_eq!(copies.len(), COUNT);
        let twice: Vec<_> = copies.iter().filter(|(_, n)| **n > 1).collect();
        assert!(twice.is_empty(), "{} mails arrived twice", twice.len());
        for task in tasks {
            task.abort();
        }
    }

    /// The kill takes along what the server had written down and not yet acknowledged: that, and no more, may be twice.
    async fn the_server_is_killed_in_the_middle(store: Store) {
        const COUNT: usize = 1_000;
        let mut server = SmtpServer::start(Manner { slow: 0.02, ..Manner::default() });
        let mailer = plain(&server);
        let t = build(&store, |_| {}, |b| b.mailer(mailer)).await;
        put(&t, COUNT).await;
        let tasks = worker(&t);
        let mut kills = 0;
        for part in [COUNT / 4, COUNT / 2] {
            server.wait_for(part).await;
            server.kill();
            kills += 1;
            tokio::time::sleep(Duration::from_millis(100)).await;
            // What broke in the middle counts as a try, and comes again after 10 seconds.
            t.clock.advance(Duration::from_secs(11));
            server.resume();
        }
        t.clock.advance(Duration::from_secs(11));
        until_all_are_sent(&store, i64::try_from(COUNT).unwrap()).await;
        let copies = copies(&server.received());
        assert_eq!(copies.len(), COUNT);
        let twice = copies.values().filter(|n| **n > 1).count();
        assert!(twice <= 16 * kills && copies.values().all(|n| *n <= 1 + kills), "{twice} mails arrived twice");
        for task in tasks {
            task.abort();
        }
    }
}

#[tokio::test]
async fn a_server_that_is_down_gets_the_mail_when_it_is_back() {
    let mut server = SmtpServer::stopped(Manner::default());
    let store = Store::new(Backend::Sqlite).await;
    let mailer = plain(&server);
    let t = build(&store, |_| {}, |b| b.mailer(mailer)).await;
    put(&t, 5).await;
    for _ in 0..12 {
        assert_eq!(t.deliver_all().await.unwrap().put_back, 5);
        t.clock.advance(Duration::from_secs(2));
    }
    server.resume();
    assert_eq!(t.deliver_all().await.unwrap().sent, 5);
    assert_eq!(server.received().len(), 5);
}

/// The answer got lost after the content: the server has the mail, and gets it again, recognisable.
#[tokio::test]
async fn a_server_that_hangs_after_the_content_gets_the_same_mail_again() {
    let server = SmtpServer::start(Manner::default());
    let store = Store::new(Backend::Sqlite).await;
    let mailer = plain(&server);
    let t = build(&store, |_| {}, |b| b.mailer(mailer)).await;
    let addresses = vec!["hang@example.com".into(), "ada@example.com".into()];
    t.enqueue(Template::ResetPassword, addresses, TOKEN, None).await.unwrap();
    let out = t.deliver_all().await.unwrap();
    assert_eq!((out.sent, out.retried), (1, 1));
    t.clock.advance(Duration::from_secs(10));
    // The connection that hung is not used again: the next mail does not read its answers.
    assert_eq!(t.deliver_all().await.unwrap().retried, 1);
    let received = server.received();
    assert_eq!(received.len(), 3);
    let mut counts: Vec<usize> = copies(&received).into_values().collect();
    counts.sort_unstable();
    assert_eq!(counts, [1, 2]);
    let why =
        Raw::open(&store).await.texts("SELECT last_error FROM authkit_outbox WHERE state = 'waiting'").await;
    assert_eq!(why, ["no answer to the message in time"]);
}

#[tokio::test]
async fn a_slow_server_costs_the_others_nothing() {
    let server = SmtpServer::start(Manner { slow: 0.3, ..Manner::default() });
    let store = Store::new(Backend::Sqlite).await;
    let mailer = plain(&server);
    let t = build(&store, |_| {}, |b| b.mailer(mailer)).await;
    let start = std::time::Instant::now();
    put(&t, 32).await;
    // Putting mails in does not wait for the server.
    assert!(start.elapsed() < Duration::from_millis(300) * 8, "{:?}", start.elapsed());
    assert_eq!(t.deliver_all().await.unwrap().sent, 32);
    // Sixteen at a time: two rounds, not 32.
    assert!(start.elapsed() < Duration::from_secs(6), "{:?}", start.elapsed());
}

/// R11: what was acknowledged to the client is told, although the process died before it could.
#[tokio::test]
async fn our_process_is_killed_between_commit_and_mail() {
    let mut sink = SmtpServer::stopped(Manner::default());
    let store = Store::new(Backend::Sqlite).await;
    let port = sink.port().to_string();
    let env = [
        ("SMTP_HOST", "127.0.0.1"),
        ("SMTP_PORT", port.as_str()),
        ("SMTP_TLS", "none"),
        ("MAIL_FROM", "no-reply@example.com"),
        ("EMAIL_VERIFICATION", "off"),
    ];
    let mut server = serve(&store, &env).await;
    let client = server.client();
    sign_up(&client, "grace@example.com").await;
    let tokens = sign_in(&client, "grace@example.com").await;
    let change = json!({ "current_password": PASSWORD, "new_password": "seven green lanterns over water" });
    let answer = client.bearer(&tokens.access).post("/v1/auth/password", change).await;
    assert_eq!(answer.status, 204, "{}", answer.text);
    server.kill9();
    // It may have had the mail in hand: its lease would last two minutes.
    Raw::open(&store).await.run("UPDATE authkit_outbox SET due_at = created_at").await;
    sink.resume();
    let server = serve(&store, &env).await;
    let received = sink.wait_for(1).await;
    until_all_are_sent(&store, 1).await;
    assert_eq!((received.len(), received[0].to()), (1, "grace@example.com"));
    assert!(received[0].text("text").contains("was changed"));
    let ready = server.client().get("/ready").await;
    assert_eq!((ready.status, &ready.body["checks"]["mail"]), (200, &json!("ok")));
    // Nothing that a mail holds is in the log.
    assert!(!server.logs().contains("grace@example.com"), "{}", server.logs());
}

#[tokio::test]
async fn nothing_waits_is_nothing_done() {
    let store = Store::new(Backend::Sqlite).await;
    let server = SmtpServer::stopped(Manner::default());
    let mailer = plain(&server);
    let t = build(&store, |_| {}, |b| b.mailer(mailer)).await;
    assert_eq!(t.deliver_all().await.unwrap(), Delivery::default());
}
