//! Mailed links as such: their secrets, their ends, their codes, what the store has of them.

use std::time::Duration;

use authkit::admin::NewUser;
use authkit::secret::{ExposeSecret as _, SecretString};
use authkit::testing::TestKit;
use authkit::{ErrorKind, KeyPurpose, LinkProof, Page};
use authkit_tests::{Store, on_both, race};

use crate::support::{Raw, kind, kit, kit_with, meta, secret};

/// A mail, read as its recipient would.
#[derive(Debug, Clone)]
pub(crate) struct Letter {
    pub(crate) kind: &'static str,
    pub(crate) to: String,
    pub(crate) text: String,
}

impl Letter {
    /// The line that is a link.
    #[track_caller]
    pub(crate) fn link(&self) -> &str {
        let line = self.text.lines().find(|line| line.starts_with("http"));
        line.unwrap_or_else(|| panic!("no link on a line of its own: {}", self.text))
    }

    #[track_caller]
    pub(crate) fn token(&self) -> &str {
        self.link().split_once("?token=").expect("a token").1
    }

    #[track_caller]
    pub(crate) fn proof(&self) -> LinkProof {
        LinkProof::token(self.token())
    }

    /// The code to type.
    #[track_caller]
    pub(crate) fn code(&self) -> String {
        let words = self.text.split(|c: char| !c.is_ascii_digit());
        let code = words.into_iter().find(|word| word.len() == 8);
        code.unwrap_or_else(|| panic!("no code: {}", self.text)).to_owned()
    }

    pub(crate) fn code_proof(&self) -> LinkProof {
        LinkProof::code(self.to.clone(), self.code())
    }
}

/// All mails since the last look, the oldest first.
pub(crate) async fn letters(t: &TestKit) -> Vec<Letter> {
    t.deliver_all().await.unwrap();
    let mut mails = t.mailbox().take();
    // Several are on their way at the same time.
    mails.sort_by_key(|mail| mail.id);
    mails
        .into_iter()
        .map(|mail| Letter { kind: mail.template.name(), to: mail.to, text: mail.text })
        .collect()
}

/// The one mail of a kind since the last look.
#[track_caller]
#[expect(clippy::needless_pass_by_value, reason = "what arrived is looked at once")]
pub(crate) fn one(letters: Vec<Letter>, kind: &str) -> Letter {
    let mut found: Vec<_> = letters.iter().filter(|letter| letter.kind == kind).cloned().collect();
    assert_eq!(found.len(), 1, "{kind}: {letters:?}");
    found.remove(0)
}

/// The mail that lets its reader set a new password.
pub(crate) async fn reset_letter(t: &TestKit, email: &str) -> Letter {
    t.kit.request_password_reset(email, &meta()).await.unwrap();
    one(letters(t).await, "reset_password")
}

pub(crate) fn new_password() -> SecretString {
    secret("another quite unrelated phrase")
}

/// A proved account; its letters are thrown away.
pub(crate) async fn proved(t: &TestKit, email: &str) -> authkit::User {
    let user = t.sign_up(email).await.unwrap();
    let user = t.kit.admin(meta()).verify_email(user.id).await.unwrap().resource;
    letters(t).await;
    user
}

async fn reset(t: &TestKit, proof: LinkProof) -> authkit::Result<()> {
    t.kit.reset_password(proof, &new_password(), &meta()).await
}

const MINUTE: Duration = Duration::from_secs(60);

on_both! {
    async fn s_082_a_link_works_once(store: Store) {
        let t = kit(&store).await;
        proved(&t, "ann@example.com").await;
        let letter = reset_letter(&t, "ann@example.com").await;
        reset(&t, letter.proof()).await.unwrap();
        for _ in 0..2 {
            assert_eq!(kind(reset(&t, letter.proof()).await), ErrorKind::LinkInvalid);
        }
        let mut raw = Raw::open(&store).await;
        assert_eq!(raw.audited("password.reset").await, 1);
        let why = raw.texts("SELECT details FROM authkit_audit WHERE action = 'link.refuse'").await;
        assert_eq!(why.len(), 2);
        assert!(why.iter().all(|w| w.contains("\"used\"") && w.contains("\"reset_password\"")), "{why:?}");
    }

    async fn s_084_a_link_is_dead_at_its_very_end_without_any_cleanup(store: Store) {
        let t = kit(&store).await;
        proved(&t, "ann@example.com").await;
        let micro = Duration::from_micros(1);
        // One microsecond before the end it works; at the end it does not.
        let letter = reset_letter(&t, "ann@example.com").await;
        t.clock.advance(30 * MINUTE);
        assert_eq!(kind(reset(&t, letter.proof()).await), ErrorKind::LinkInvalid);
        let letter = reset_letter(&t, "ann@example.com").await;
        t.clock.advance(30 * MINUTE - micro);
        reset(&t, letter.proof()).await.unwrap();

        let user = t.sign_up("bob@example.com").await.unwrap();
        let letter = one(letters(&t).await, "verify_email");
        t.clock.advance(24 * 60 * MINUTE);
        assert_eq!(kind(t.kit.verify_email(letter.proof(), &meta()).await), ErrorKind::LinkInvalid);
        t.kit.resend_verification("bob@example.com", &meta()).await.unwrap();
        let letter = one(letters(&t).await, "verify_email");
        t.clock.advance(24 * 60 * MINUTE - micro);
        t.kit.verify_email(letter.proof(), &meta()).await.unwrap();
        assert!(t.kit.users().get(user.id).await.unwrap().unwrap().email_verified);
        assert!(Raw::open(&store).await.number("SELECT count(*) FROM authkit_links").await > 0, "swept");
    }

    async fn s_103_the_secret_is_long_and_only_its_hash_is_kept(store: Store) {
        let t = kit(&store).await;
        proved(&t, "ann@example.com").await;
        let mut seen = std::collections::HashSet::new();
        for _ in 0..20 {
            let letter = reset_letter(&t, "ann@example.com").await;
            let token = letter.token().to_owned();
            // Prefix, 1 + 8 + 32 bytes, checksum.
            assert!(token.starts_with("akl_") && token.len() == 65, "{token}");
            assert!(!token.contains("ann"));
            // The key's name is the same each time, the rest never.
            assert!(seen.insert(token[20..].to_owned()));
        }
        let letter = reset_letter(&t, "ann@example.com").await;
        let dump = Raw::open(&store).await.dump().await;
        assert!(!dump.contains(letter.token()) && !dump.contains(&letter.code()), "a secret is in the store");
        let bytes = base64_of(&letter.token()[4..59]);
        let secret: String = bytes[9..].iter().map(|b| format!("{b:02x}")).collect();
        assert!(!dump.to_lowercase().contains(&secret), "a secret is in the store");
        // After a restore everything is replaced at once (contract 4.13).
        t.kit.admin(meta()).end_all_sessions().await.unwrap();
        assert_eq!(kind(reset(&t, letter.proof()).await), ErrorKind::LinkInvalid);
        let letter = reset_letter(&t, "ann@example.com").await;
        reset(&t, letter.proof()).await.unwrap();
    }

    async fn a_rotated_key_leaves_links_and_codes_alive(store: Store) {
        let t = kit(&store).await;
        proved(&t, "ann@example.com").await;
        let admin = t.kit.admin(meta());
        let letter = reset_letter(&t, "ann@example.com").await;
        admin.rotate_key(KeyPurpose::Link).await.unwrap();
        admin.rotate_key(KeyPurpose::Lookup).await.unwrap();
        reset(&t, letter.code_proof()).await.unwrap();
        let letter = reset_letter(&t, "ann@example.com").await;
        admin.rotate_key(KeyPurpose::Link).await.unwrap();
        // Another node learns of a key when it meets its name.
        let other = crate::support::second_node(&store, &t).await;
        admin.rotate_key(KeyPurpose::Link).await.unwrap();
        let newer = reset_letter(&t, "ann@example.com").await;
        assert_eq!(kind(reset(&other, letter.proof()).await), ErrorKind::LinkInvalid, "replaced by the newer");
        reset(&other, newer.proof()).await.unwrap();
    }

    async fn a_link_opens_nothing_at_another_door(store: Store) {
        let t = kit(&store).await;
        let ann = t.signed_in("ann@example.com").await.unwrap();
        let verify = one(letters(&t).await, "verify_email");
        let reset_mail = reset_letter(&t, "ann@example.com").await;
        t.kit.request_email_change(&ann.auth, "new@example.com", &meta()).await.unwrap();
        let change = one(letters(&t).await, "confirm_email");
        for wrong in [&verify, &change] {
            for proof in [wrong.proof(), wrong.code_proof()] {
                assert_eq!(kind(reset(&t, proof).await), ErrorKind::LinkInvalid);
            }
        }
        for wrong in [&reset_mail, &change] {
            for proof in [wrong.proof(), wrong.code_proof()] {
                assert_eq!(kind(t.kit.verify_email(proof, &meta()).await), ErrorKind::LinkInvalid);
            }
        }
        for wrong in [&reset_mail, &verify] {
            for proof in [wrong.proof(), wrong.code_proof()] {
                assert_eq!(kind(t.kit.confirm_email_change(proof.clone(), &meta()).await), ErrorKind::LinkInvalid);
                assert_eq!(kind(t.kit.undo_email_change(proof, &meta()).await), ErrorKind::LinkInvalid);
            }
        }
        // Other kinds of token neither, nor one that is nearly right.
        for text in [ann.access(), ann.refresh(), "", "akl_", &verify.token().to_uppercase(), &"a".repeat(100_000)] {
            let out = t.kit.verify_email(LinkProof::token(text), &meta()).await;
            assert_eq!(kind(out), ErrorKind::LinkInvalid);
        }
        // Its own door is still open, and a link is no access or refresh token.
        assert_eq!(kind(t.kit.authenticate(verify.token(), &meta()).await), ErrorKind::Unauthenticated);
        assert_eq!(kind(t.kit.refresh(verify.token(), &meta()).await), ErrorKind::RefreshInvalid);
        t.kit.verify_email(verify.proof(), &meta()).await.unwrap();
    }

    async fn a_code_is_typed_in_any_grouping_within_its_quarter_of_an_hour(store: Store) {
        let t = kit(&store).await;
        t.sign_up("ann@example.com").await.unwrap();
        let letter = one(letters(&t).await, "verify_email");
        let code = letter.code();
        let typed = LinkProof::code(" ANN@Example.com ", format!(" {}-{} ", &code[..4], &code[4..]));
        t.clock.advance(15 * MINUTE);
        assert_eq!(kind(t.kit.verify_email(typed.clone(), &meta()).await), ErrorKind::LinkInvalid);
        t.kit.resend_verification("ann@example.com", &meta()).await.unwrap();
        let letter = one(letters(&t).await, "verify_email");
        let code = letter.code();
        let typed = LinkProof::code(" ANN@Example.com ", format!(" {}-{} ", &code[..4], &code[4..]));
        t.clock.advance(15 * MINUTE - Duration::from_micros(1));
        t.kit.verify_email(typed.clone(), &meta()).await.unwrap();
        // Code and link are one: what used the one up used up the other.
        assert_eq!(kind(t.kit.verify_email(typed, &meta()).await), ErrorKind::LinkInvalid);
        assert_eq!(kind(t.kit.verify_email(letter.proof(), &meta()).await), ErrorKind::LinkInvalid);
    }

    async fn a_code_is_judged_five_times_and_the_link_lives_on(store: Store) {
        let t = kit(&store).await;
        proved(&t, "ann@example.com").await;
        let letter = reset_letter(&t, "ann@example.com").await;
        let wrong = wrong_code(&letter.code());
        let by = |code: &str| LinkProof::code("ann@example.com", code.to_owned());
        for _ in 0..5 {
            assert_eq!(kind(reset(&t, by(&wrong)).await), ErrorKind::LinkInvalid);
        }
        assert_eq!(kind(reset(&t, letter.code_proof()).await), ErrorKind::LinkInvalid, "a sixth try was judged");
        reset(&t, letter.proof()).await.unwrap();
        // Four wrong ones leave room for a right one.
        let letter = reset_letter(&t, "ann@example.com").await;
        let wrong = wrong_code(&letter.code());
        for _ in 0..4 {
            assert_eq!(kind(reset(&t, by(&wrong)).await), ErrorKind::LinkInvalid);
        }
        reset(&t, letter.code_proof()).await.unwrap();
        // What is no code is no guess.
        let letter = reset_letter(&t, "ann@example.com").await;
        for text in ["", "1234567", "123456789", "abcdefgh"] {
            for _ in 0..5 {
                assert_eq!(kind(reset(&t, by(text)).await), ErrorKind::LinkInvalid);
            }
        }
        reset(&t, letter.code_proof()).await.unwrap();
    }

    async fn fifty_parallel_guesses_are_five(store: Store) {
        let t = kit(&store).await;
        proved(&t, "ann@example.com").await;
        let letter = reset_letter(&t, "ann@example.com").await;
        let (right, wrong) = (letter.code(), wrong_code(&letter.code()));
        let out = race(50, |i| {
            let (kit, code) = (t.kit.clone(), if i < 45 { wrong.clone() } else { right.clone() });
            async move {
                let proof = LinkProof::code("ann@example.com", code);
                kit.reset_password(proof, &new_password(), &meta()).await
            }
        })
        .await;
        assert!(out.iter().filter(|o| o.is_ok()).count() <= 1);
        for refused in out.into_iter().filter(Result::is_err) {
            assert_eq!(kind(refused), ErrorKind::LinkInvalid);
        }
        let mut raw = Raw::open(&store).await;
        assert_eq!(raw.number("SELECT max(code_tries) FROM authkit_links").await, 5);
    }

    async fn a_purge_takes_links_along_and_a_sweep_what_is_over(store: Store) {
        let t = kit(&store).await;
        let ann = proved(&t, "ann@example.com").await;
        t.sign_up("bob@example.com").await.unwrap();
        reset_letter(&t, "ann@example.com").await;
        t.kit.request_password_reset("nobody@example.com", &meta()).await.unwrap();
        let admin = t.kit.admin(meta());
        admin.delete_user(ann.id).await.unwrap();
        let mut raw = Raw::open(&store).await;
        let of_ann = format!("SELECT count(*) FROM authkit_links WHERE user_id = {}", raw.id(ann.id.as_uuid()));
        assert_eq!(raw.number(&of_ann).await, 2);
        admin.purge_user(ann.id).await.unwrap();
        assert_eq!(raw.number(&of_ann).await, 0);
        // Bob's of 24 hours, and the decoy of 30 minutes.
        assert_eq!(raw.number("SELECT count(*) FROM authkit_links").await, 2);
        assert_eq!(admin.sweep_links().await.unwrap(), 0);
        t.clock.advance(30 * MINUTE);
        assert_eq!(admin.clone().dry_run().sweep_links().await.unwrap(), 1);
        assert_eq!(admin.sweep_links().await.unwrap(), 1);
        assert_eq!(admin.sweep_links().await.unwrap(), 0);
        t.clock.advance(24 * 60 * MINUTE);
        assert_eq!(admin.sweep_links().await.unwrap(), 1);
    }

    async fn operators_send_links_or_read_them_out(store: Store) {
        let t = kit(&store).await;
        let admin = t.kit.admin(meta().with_operator("cli:root@host", None));
        let made = NewUser::new("Eve@Example.com", "Eve").with_mailed_reset();
        let eve = admin.create_user(made).await.unwrap().resource;
        let letter = one(letters(&t).await, "reset_password");
        assert_eq!(letter.to, "Eve@example.com");
        // The operator never knows the password (case 159).
        let sent = admin.send_reset(eve.id).await.unwrap();
        assert!(sent.changed && sent.resource.mailed && sent.resource.link.is_none());
        assert_eq!(kind(reset(&t, letter.proof()).await), ErrorKind::LinkInvalid, "replaced");
        reset(&t, one(letters(&t).await, "reset_password").proof()).await.unwrap();
        let again = admin.send_verify(eve.id).await.unwrap();
        assert!(!again.changed, "the reset has proved the address");
        admin.disable_user(eve.id).await.unwrap();
        assert_eq!(kind(admin.send_reset(eve.id).await), ErrorKind::Conflict);
        assert!(letters(&t).await.iter().all(|letter| letter.kind != "reset_password"));

        let silent = without_mailer(&store, &t).await;
        let admin = silent.admin(meta());
        let bob = admin.create_user(NewUser::new("bob@example.com", "Bob")).await.unwrap().resource;
        let mailed = NewUser::new("cy@example.com", "Cy").with_mailed_reset();
        assert_eq!(kind(admin.create_user(mailed).await), ErrorKind::Unavailable);
        let sent = admin.send_verify(bob.id).await.unwrap().resource;
        assert!(!sent.mailed && sent.expires_at.is_some());
        let link = sent.link.unwrap().expose_secret().to_owned();
        let token = link.strip_prefix("http://localhost:8000/verify-email?token=").unwrap();
        silent.verify_email(LinkProof::token(token), &meta()).await.unwrap();
        let link = admin.send_reset(bob.id).await.unwrap().resource.link.unwrap();
        assert!(link.expose_secret().contains("/reset-password?token="));
        let page = Page::new(200, None).unwrap();
        let events = t.kit.audit(&authkit::audit::AuditFilter::default(), &page).await.unwrap();
        assert!(!serde_json::to_string(&events.items).unwrap().contains("akl_"), "a link is in the audit");
    }

    async fn without_a_mailer_reset_and_change_are_refused_to_everyone(store: Store) {
        let t = kit_with(&store, |_| {}).await;
        let silent = without_mailer(&store, &t).await;
        let ann = t.signed_in("ann@example.com").await.unwrap();
        let before = Raw::open(&store).await.dump().await;
        for email in ["ann@example.com", "nobody@example.com"] {
            assert_eq!(kind(silent.request_password_reset(email, &meta()).await), ErrorKind::Unavailable);
            assert_eq!(kind(silent.resend_verification(email, &meta()).await), ErrorKind::Unavailable);
        }
        let out = silent.request_email_change(&ann.auth, "new@example.com", &meta()).await;
        assert_eq!(kind(out), ErrorKind::Unavailable);
        assert_eq!(Raw::open(&store).await.dump().await, before, "a refusal left a trace");
    }
}

/// Another node on the same store, which can send nothing.
pub(crate) async fn without_mailer(store: &Store, t: &TestKit) -> authkit::AuthKit {
    let builder =
        authkit::AuthKit::builder(crate::support::connect(store).await, authkit::testing::secrets());
    builder.config(t.kit.config().clone()).clock(t.clock.clone()).build().await.unwrap()
}

fn wrong_code(right: &str) -> String {
    let other = if right.starts_with('0') { "1" } else { "0" };
    format!("{other}{}", &right[1..])
}

fn base64_of(text: &str) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text).unwrap()
}
