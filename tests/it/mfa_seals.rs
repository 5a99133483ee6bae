//! Seals of second factors: what others can read, whose they are, and what becomes of them when keys change.

use authkit::ErrorKind;
use authkit::config::Secrets;
use authkit::secret::{ExposeSecret as _, SecretString};
use authkit::testing::{TestKit, config, secrets};
use authkit_tests::factors::{App, python_opens, python_seals};
use authkit_tests::{Store, on_both};

use crate::mfa::{ANN, BOB, complete, enrolled, pending, seconds, sign_in};
use crate::support::{Raw, connect, kind, kit, meta};

const NEWER: &str = "hN2vQx7Lr0YtWd5cKz9mJb3sPf8gAe1uRo6iGn4xTqM=";

fn key() -> String {
    secrets().mfa_encryption_key[0].expose_secret().to_owned()
}

async fn with_keys(store: &Store, first: &TestKit, keys: &[&str]) -> TestKit {
    let secrets =
        Secrets::new(secrets().token_pepper).with_mfa_keys(keys.iter().map(|&key| SecretString::from(key)));
    let clock = first.clock.clone();
    let builder =
        authkit::AuthKit::builder(connect(store).await, secrets).config(config()).clock(clock.clone());
    TestKit { kit: builder.build().await.unwrap(), clock, mailbox: first.mailbox.clone() }
}

async fn seal_of(raw: &mut Raw, user: authkit::UserId) -> String {
    let id = raw.id(user.as_uuid());
    raw.texts(&format!("SELECT sealed FROM authkit_totp WHERE user_id = {id}")).await.remove(0)
}

on_both! {
    async fn s_121_python_reads_our_seals_and_we_read_its(store: Store) {
        let t = kit(&store).await;
        let ann = enrolled(&t, ANN).await;
        let mut raw = Raw::open(&store).await;
        let sealed = seal_of(&mut raw, ann.id).await;
        let plain = format!("totp:{}:{}", ann.id, ann.app.secret());
        assert_eq!(python_opens(&key(), &sealed), plain);
        let other = App::new("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
        let made = python_seals(&key(), &format!("totp:{}:{}", ann.id, other.secret()));
        raw.run(&format!("UPDATE authkit_totp SET sealed = '{made}'")).await;
        sign_in(&t, ANN, &other).await;
        assert_eq!(kind(complete(&t, &pending(&t, ANN).await, &ann.app.code_at(seconds(&t))).await), ErrorKind::MfaInvalid);
    }

    async fn s_122_a_seal_moved_to_another_user_opens_nothing(store: Store) {
        let t = kit(&store).await;
        let (ann, bob) = (enrolled(&t, ANN).await, enrolled(&t, BOB).await);
        let mut raw = Raw::open(&store).await;
        let sealed = seal_of(&mut raw, ann.id).await;
        let (from, to) = (raw.id(ann.id.as_uuid()), raw.id(bob.id.as_uuid()));
        raw.run(&format!("UPDATE authkit_totp SET sealed = '{sealed}' WHERE user_id = {to}")).await;
        raw.run(&format!(
            "UPDATE authkit_backup_sets SET sealed = (SELECT s.sealed FROM authkit_backup_sets s WHERE s.user_id = {from})
             WHERE user_id = {to}"
        ))
        .await;
        let waiting = pending(&t, BOB).await;
        for code in [&ann.app, &bob.app].map(|app| app.code_at(seconds(&t))).into_iter().chain([bob.codes[0].clone()]) {
            assert_eq!(kind(complete(&t, &waiting, &code).await), ErrorKind::MfaInvalid);
        }
        let why = raw.texts("SELECT details FROM authkit_audit WHERE action = 'mfa.refuse'").await;
        assert!(why.len() == 3 && why.iter().all(|why| why.contains("seal_foreign")), "{why:?}");
        sign_in(&t, ANN, &ann.app).await;
    }

    async fn an_edited_seal_opens_nothing(store: Store) {
        let t = kit(&store).await;
        let ann = enrolled(&t, ANN).await;
        let mut raw = Raw::open(&store).await;
        let sealed = seal_of(&mut raw, ann.id).await;
        for edited in [sealed.replacen('A', "B", 1), String::new(), "x".repeat(10_000), sealed[..sealed.len() - 4].to_owned()] {
            raw.run(&format!("UPDATE authkit_totp SET sealed = '{edited}'")).await;
            let out = complete(&t, &pending(&t, ANN).await, &ann.app.code_at(seconds(&t))).await;
            assert_eq!(kind(out), ErrorKind::MfaInvalid);
        }
        let why = raw.texts("SELECT details FROM authkit_audit WHERE action = 'mfa.refuse'").await;
        assert!(why.iter().all(|why| why.contains("seal_unreadable")), "{why:?}");
        // Backup codes do not hang on it.
        complete(&t, &pending(&t, ANN).await, &ann.codes[0]).await.unwrap();
    }

    async fn keys_change_without_anybody_noticing(store: Store) {
        let t = kit(&store).await;
        let ann = enrolled(&t, ANN).await;
        for n in 0..12 {
            enrolled(&t, &format!("user-{n}@example.com")).await;
        }
        let both = with_keys(&store, &t, &[NEWER, &key()]).await;
        sign_in(&both, ANN, &ann.app).await;
        let admin = both.kit.admin(meta());
        // A rehearsal changes nothing; a run that was cut off is taken up; the last one finds nothing to do.
        let all = async |dry: bool, most: usize| {
            let admin = if dry { admin.clone().dry_run() } else { admin.clone() };
            let (mut next, mut sum) = (None, (0, 0, 0));
            for _ in 0..most {
                let done = admin.reencrypt(next, 5).await.unwrap();
                sum = (sum.0 + done.looked_at, sum.1 + done.resealed, sum.2 + done.unreadable);
                next = done.next;
                if next.is_none() {
                    break;
                }
            }
            sum
        };
        assert_eq!(all(true, 100).await, (26, 26, 0));
        assert_eq!(all(false, 2).await, (10, 10, 0));
        assert_eq!(all(false, 100).await, (26, 16, 0));
        assert_eq!(all(false, 100).await, (26, 0, 0));
        let after = with_keys(&store, &t, &[NEWER]).await;
        sign_in(&after, ANN, &ann.app).await;
        complete(&after, &pending(&after, ANN).await, &ann.codes[0]).await.unwrap();
        let before = kit_again(&store, &t).await;
        assert_eq!(kind(complete(&before, &pending(&before, ANN).await, &ann.codes[1]).await), ErrorKind::MfaInvalid);
        let mut raw = Raw::open(&store).await;
        assert_eq!(python_opens(NEWER, &seal_of(&mut raw, ann.id).await), format!("totp:{}:{}", ann.id, ann.app.secret()));
        // What no key opens is told and left alone.
        let lost = with_keys(&store, &t, &["Yd0Ns5vKz8mGh1cPf4jAe6uRo9iWt3xSgMXb7rTq2Lw="]).await;
        let done = lost.kit.admin(meta()).reencrypt(None, 100).await.unwrap();
        assert_eq!((done.looked_at, done.resealed, done.unreadable), (13, 0, 13));
        assert_eq!(raw.audited("key.reencrypt").await, 6);
    }

    async fn without_a_key_nothing_is_set_up_and_nothing_is_skipped(store: Store) {
        let t = kit(&store).await;
        let ann = enrolled(&t, ANN).await;
        let none = with_keys(&store, &t, &[]).await;
        let bob = none.signed_in(BOB).await.unwrap();
        assert_eq!(kind(none.kit.mfa().add_totp(&bob.auth, None, &meta()).await), ErrorKind::Unavailable);
        assert_eq!(kind(none.kit.admin(meta()).reencrypt(None, 10).await), ErrorKind::Unavailable);
        assert_eq!(kind(complete(&none, &pending(&none, ANN).await, &ann.app.code_at(seconds(&t))).await), ErrorKind::MfaInvalid);
    }
}

/// A node with the keys of [`kit`].
async fn kit_again(store: &Store, first: &TestKit) -> TestKit {
    with_keys(store, first, &[&key()]).await
}
