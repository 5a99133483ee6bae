//! Mail over a real SMTP server: what arrives, as Python's own parser reads it, and when nothing may be sent.

use std::time::Duration;

use authkit::config::{Config, Secrets, SmtpTls};
use authkit::mail::{Delivery, MailText, SmtpMailer, Template};
use authkit::testing::{TestKit, secrets};
use authkit_tests::smtp::{Manner, SmtpServer};
use authkit_tests::{Backend, Store};

use crate::support::{Raw, build, secret};

const ADA: &str = "ada@example.com";
const TOKEN: &str = "akl_0123456789012345678901234567890123456789abcdefghijkl";
const LOGIN: (&str, &str) = ("sender", "Tr0ub4dor of the mail");

fn settings(server: &SmtpServer, tls: SmtpTls) -> Config {
    let mut config = Config::default();
    config.mail.smtp_host = Some("127.0.0.1".into());
    config.mail.smtp_port = Some(server.port());
    config.mail.smtp_tls = tls;
    config.mail.from = Some("Grüße <no-reply@example.com>".into());
    config
}

fn signing_in(server: &SmtpServer, tls: SmtpTls, password: &str) -> (Config, Secrets) {
    let (mut config, mut all) = (settings(server, tls), secrets());
    config.mail.smtp_user = Some(LOGIN.0.into());
    all.smtp_password = Some(secret(password));
    (config, all)
}

pub(crate) fn plain(server: &SmtpServer) -> SmtpMailer {
    let mailer = SmtpMailer::new(&settings(server, SmtpTls::None), &secrets()).unwrap();
    mailer.with_time_outs(Duration::from_secs(5), Duration::from_secs(2))
}

/// A kit that sends by this mailer.
async fn sending(store: &Store, mailer: SmtpMailer) -> TestKit {
    let words = MailText::new("Prüfung für {{name}}{{product}}", "Grüße\n\n{{link}}\n\n.\n..two\n");
    build(
        store,
        |config| {
            config.mail.from = Some("Grüße <no-reply@example.com>".into());
            config.server.public_url = "https://login.example.com".into();
        },
        move |b| b.mailer(mailer).mail_template(Template::Invitation, "en", words),
    )
    .await
}

async fn deliver(t: &TestKit, template: Template, to: &str) -> Delivery {
    t.enqueue(template, vec![to.into()], TOKEN, None).await.unwrap();
    t.deliver_all().await.unwrap()
}

#[tokio::test]
async fn what_arrives_is_what_was_meant() {
    let server = SmtpServer::start(Manner::default());
    let store = Store::new(Backend::Sqlite).await;
    let t = sending(&store, plain(&server)).await;
    for template in Template::ALL {
        assert_eq!(deliver(&t, *template, ADA).await.sent, 1, "{template:?}");
    }
    let received = server.received();
    assert_eq!(received.len(), Template::ALL.len());
    for (mail, template) in received.iter().zip(Template::ALL) {
        assert_eq!((mail.to(), mail.text("mail_from"), mail.defects()), (ADA, "no-reply@example.com", 0));
        for once in ["From", "To", "Subject", "Date", "Message-ID", "MIME-Version", "Content-Type"] {
            assert_eq!(mail.headers(once).len(), 1, "{template:?} {once}");
        }
        assert_eq!(mail.headers("From"), ["Grüße <no-reply@example.com>"]);
        assert_eq!((mail.headers("To"), mail.headers("Auto-Submitted")), (vec![ADA], vec!["auto-generated"]));
        let links: Vec<&str> = mail.text("text").lines().filter(|line| line.contains("://")).collect();
        match template.link_path() {
            Some(path) => {
                let link = format!("https://login.example.com/{path}?token={TOKEN}");
                assert_eq!(links, [link.as_str()], "{template:?}");
                assert!(mail.text("html").contains(&format!("href=\"{link}\"")), "{template:?}");
            }
            None => assert!(links.is_empty() && !mail.text("html").contains("://"), "{template:?}"),
        }
    }
    let own = received.iter().find(|mail| mail.text("text").contains("Grüße")).unwrap();
    assert_eq!(own.text("subject"), "Prüfung für authkit");
    let lines: Vec<&str> = own.text("text").lines().collect();
    assert!(lines.ends_with(&["", ".", "..two"]), "{lines:?}");
    let reset = received.iter().find(|mail| mail.text("text").contains("/reset-password?")).unwrap();
    // Whole and readable on the wire, for those who look at the source.
    assert!(
        reset
            .text("raw")
            .contains(&format!("\r\nhttps://login.example.com/reset-password?token={TOKEN}\r\n"))
    );
}

#[tokio::test]
async fn an_address_in_any_writing_is_reached() {
    let server = SmtpServer::start(Manner::default());
    let store = Store::new(Backend::Sqlite).await;
    let t = sending(&store, plain(&server)).await;
    assert_eq!(deliver(&t, Template::Test, "jürgen@example.com").await.sent, 1);
    assert_eq!(deliver(&t, Template::Test, "o'hara+x_y@example.com").await.sent, 1);
    let received = server.received();
    assert_eq!((received[0].to(), received[1].to()), ("jürgen@example.com", "o'hara+x_y@example.com"));
}

#[tokio::test]
async fn nothing_is_sent_without_the_encryption_that_was_asked_for() {
    let store = Store::new(Backend::Sqlite).await;
    let (starttls, tls) = (
        SmtpServer::start(Manner { starttls: true, login: Some(LOGIN), ..Manner::default() }),
        SmtpServer::start(Manner { tls: true, login: Some(LOGIN), ..Manner::default() }),
    );
    for (server, mode) in [(&starttls, SmtpTls::Starttls), (&tls, SmtpTls::Tls)] {
        let (config, secrets) = signing_in(server, mode, LOGIN.1);
        let good = SmtpMailer::trusting(&config, &secrets, &server.authority()).unwrap();
        assert_eq!(deliver(&sending(&store, good).await, Template::Test, ADA).await.sent, 1, "{mode:?}");
        let mail = &server.received()[0];
        assert!(mail.is("tls") && mail.is("authenticated"));
        // An authority that nobody trusts.
        let stranger = SmtpMailer::new(&config, &secrets).unwrap();
        let t = sending(&store, stranger).await;
        assert_eq!(deliver(&t, Template::Test, ADA).await.put_back, 1, "{mode:?}");
        let mut raw = Raw::open(&store).await;
        let why = raw.texts("SELECT last_error FROM authkit_outbox WHERE last_error IS NOT NULL").await;
        assert!(!why.is_empty() && why.iter().all(|w| w.starts_with("it failed to ")), "{why:?}");
        raw.run("DELETE FROM authkit_outbox").await;
        assert_eq!(server.received().len(), 1);
    }
    // STARTTLS asked for and not offered: neither password nor mail goes there.
    let bare = SmtpServer::start(Manner { login: Some(LOGIN), ..Manner::default() });
    let (config, secrets) = signing_in(&bare, SmtpTls::Starttls, LOGIN.1);
    let t = sending(&store, SmtpMailer::new(&config, &secrets).unwrap()).await;
    assert_eq!(deliver(&t, Template::Test, ADA).await.put_back, 1);
    let why = Raw::open(&store).await.texts("SELECT last_error FROM authkit_outbox").await;
    assert_eq!(why, ["the mail server offers no STARTTLS, which SMTP_TLS asks for"]);
    assert!(bare.received().is_empty());
}

#[tokio::test]
async fn a_wrong_password_throws_no_mail_away() {
    let server = SmtpServer::start(Manner { starttls: true, login: Some(LOGIN), ..Manner::default() });
    let store = Store::new(Backend::Sqlite).await;
    for password in ["wrong", LOGIN.1] {
        let (config, secrets) = signing_in(&server, SmtpTls::Starttls, password);
        let mailer = SmtpMailer::trusting(&config, &secrets, &server.authority()).unwrap();
        assert!(!format!("{mailer:?}").contains(password));
        let t = sending(&store, mailer).await;
        let out = if password == "wrong" {
            deliver(&t, Template::Test, ADA).await
        } else {
            t.clock.advance(Duration::from_secs(2));
            t.deliver_all().await.unwrap()
        };
        let expected = if password == "wrong" { (0, 1) } else { (1, 0) };
        assert_eq!((out.sent, out.put_back), expected, "{password}");
    }
    // Without a user where one is needed: refused, and kept.
    let bare =
        SmtpMailer::trusting(&settings(&server, SmtpTls::Starttls), &secrets(), &server.authority()).unwrap();
    let out = deliver(&sending(&store, bare).await, Template::Test, ADA).await;
    assert_eq!((out.retried, out.dead), (1, 0));
}

#[tokio::test]
async fn a_server_may_refuse_one_and_take_the_next() {
    let server = SmtpServer::start(Manner::default());
    let store = Store::new(Backend::Sqlite).await;
    let t = sending(&store, plain(&server)).await;
    let addresses =
        ["a@example.com", "refused@example.com", "b@example.com", "later@example.com", "content@example.com"];
    let more = (0..20).map(|n| format!("person-{n}@example.com"));
    let all = addresses.iter().map(ToString::to_string).chain(more).collect();
    t.enqueue(Template::ResetPassword, all, TOKEN, None).await.unwrap();
    let out = t.deliver_all().await.unwrap();
    assert_eq!((out.sent, out.dead, out.retried, out.put_back), (22, 2, 1, 0));
    // The server's words repeat the address, and may repeat the link: only its numbers are kept.
    let mut raw = Raw::open(&store).await;
    let mut why = raw.texts("SELECT last_error FROM authkit_outbox WHERE last_error IS NOT NULL").await;
    why.sort();
    let expected =
        ["RCPT was answered with 451", "RCPT was answered with 550", "the message was answered with 554"];
    assert_eq!(why, expected);
}

#[tokio::test]
async fn a_closed_connection_is_opened_anew_without_a_try_lost() {
    let mut server = SmtpServer::start(Manner::default());
    let store = Store::new(Backend::Sqlite).await;
    let t = sending(&store, plain(&server)).await;
    assert_eq!(deliver(&t, Template::Test, ADA).await.sent, 1);
    // The kept connection dies with the server.
    server.kill();
    server.resume();
    assert_eq!(deliver(&t, Template::Test, ADA).await.sent, 1);
    let mut raw = Raw::open(&store).await;
    assert_eq!(raw.number("SELECT CAST(max(attempts) AS BIGINT) FROM authkit_outbox").await, 1);
}
