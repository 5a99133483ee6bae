use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::join_all;

use super::*;
use crate::error::ErrorKind;
use crate::random::{SecureRandom, SystemRandom};

const PASSWORD: &str = "correct horse battery";
const UNICODE: &str = "pässwörd→鍵";

/// Made with passlib 1.7.4, bcrypt 5.0, Django 5.2, argon2-cffi 25.1 and Python's hashlib.
const FOREIGN: &[(HashKind, &str, &str)] = &[
    (HashKind::Bcrypt, PASSWORD, "$2b$05$gafXTJGDEqDYdvMz6IgbleMsdi5aUF7G2wTvT5ojK0axSUhMWA45K"),
    (HashKind::Bcrypt, PASSWORD, "$2a$04$4p0zxtZ0m55HWENiVXJjvuIUkekRhAeCXNXc.TAMmZqv49D8khRFC"),
    (HashKind::Bcrypt, UNICODE, "$2y$04$OwQGMEi/Bs/K5GykX4rPeu8ikH6a8m/nLEfEbHJRGpGGe2.ucju4G"),
    (
        HashKind::DjangoPbkdf2,
        PASSWORD,
        "pbkdf2_sha256$1500$Xk3uQ9vB2mTz7LwPq0RsYe$dKoLZ0wZZB4WJqeFm4h54yUojkZ+rfddVBFS+xDDaDQ=",
    ),
    (
        HashKind::DjangoPbkdf2,
        UNICODE,
        "pbkdf2_sha256$10$Xk3uQ9vB2mTz7LwPq0RsYf$Gd7NNY332jQ3AYnotSHmvfTaAuHIcfG9abHjcpC8Cd8=",
    ),
    (
        HashKind::PasslibPbkdf2,
        PASSWORD,
        "$pbkdf2-sha256$1200$ufe.txbC2FsrxZgzxtj7Pw$gI7VrfYJjOj.85UlJYxfoBzwDp/Y7ksdkeZ4s0PzmLc",
    ),
    (
        HashKind::Pbkdf2,
        PASSWORD,
        "$pbkdf2-sha256$i=1000,l=32$AAECAwQFBgcICQoLDA0ODw$AhaeZ02AwPxykuhhDI8XvhQN8GKvmqM+qF6qvs/98I0",
    ),
    (
        HashKind::Scrypt,
        PASSWORD,
        "$scrypt$ln=8,r=8,p=1$SekdYwzhnPPem1PK+R9j7A$Gy9gd8UkgTRYrynl+eSLk/cOYVUi+lPz8V6RRmLXhxg",
    ),
    (
        HashKind::Scrypt,
        PASSWORD,
        "$scrypt$ln=9,r=4,p=2$AAECAwQFBgcICQoLDA0ODw$kdXHRy2PYW4rArtgxSg2rV2J78M9CH6m8cnp6oCuGw2WuqpTl+SUY/QAiA0x7smKU+oH/YfVFyZG74mVHzU6sA",
    ),
    (
        HashKind::Argon2i,
        UNICODE,
        "$argon2i$v=19$m=64,t=2,p=2$PivvvRbX1xwEgnOjSF0lYw$jubEK28OKtLXlaE9i28QhHMm1L6aMNOvScqotXDZMpk",
    ),
    // Fewer lanes and less memory than the tests' cost, a short salt, a short tag, version 1.0.
    (HashKind::Argon2id, PASSWORD, "$argon2id$v=19$m=64,t=1,p=1$w3FXpof3d2U$jcXoln55aXNQ51MWzTrTfg"),
    (
        HashKind::Argon2id,
        PASSWORD,
        "$argon2id$v=16$m=64,t=2,p=1$AAECAwQFBgcICQoLDA0ODw$By3WhQ/Wt+JLAsiQTDMz+4rkJ7J/c8xiTOK2nLi+9vs",
    ),
];

/// Stronger than the tests' cost in every way; needs more memory than a slot's buffer has.
const STRONGER: &str =
    "$argon2id$v=19$m=4096,t=1,p=1$QXiFYttn0HHm+m8r102nng$mzl7PiUWvBduIJHvu7RzddN/2sLJvPpjRJp/Kdzdqxg";
const FOUR_LANES: &str =
    "$argon2id$v=19$m=128,t=3,p=4$FIYmKiV1OJYed91MixqaWQ$YMtRO4KwGGt/owNXF/qZaTGIEXx+T/kdrzEK7icKs58";

/// Well-formed, but with parameters that no stored hash may ask for, or damaged.
const REFUSED: &[&str] = &[
    "$argon2id$v=19$m=4194304,t=1,p=1$AAECAwQFBgcICQoLDA0ODw$By3WhQ/Wt+JLAsiQTDMz+4rkJ7J/c8xiTOK2nLi+9vs",
    "$argon2id$v=19$m=64,t=4000000000,p=1$AAECAwQFBgcICQoLDA0ODw$By3WhQ/Wt+JLAsiQTDMz+4rkJ7J/c8xiTOK2nLi+9vs",
    "$argon2id$v=19$m=131072,t=16,p=1$AAECAwQFBgcICQoLDA0ODw$By3WhQ/Wt+JLAsiQTDMz+4rkJ7J/c8xiTOK2nLi+9vs",
    "$argon2id$v=19$m=99999999999,t=1,p=1$AAECAwQFBgcICQoLDA0ODw$By3WhQ/Wt+JLAsiQTDMz+4rkJ7J/c8xiTOK2nLi+9vs",
    "$argon2id$v=19$m=8192,t=1,p=1024$AAECAwQFBgcICQoLDA0ODw$By3WhQ/Wt+JLAsiQTDMz+4rkJ7J/c8xiTOK2nLi+9vs",
    "$argon2id$v=19$m=64,t=0,p=1$AAECAwQFBgcICQoLDA0ODw$By3WhQ/Wt+JLAsiQTDMz+4rkJ7J/c8xiTOK2nLi+9vs",
    "$argon2id$v=19$m=64,t=1,p=1$AAECAwQFBgcICQoLDA0ODw$By3WhQ",
    "$argon2id$v=19$m=64,t=1,p=1,keyid=AAAA$AAECAwQFBgcICQoLDA0ODw$By3WhQ/Wt+JLAsiQTDMz+4rkJ7J/c8xiTOK2nLi+9vs",
    "$argon2id$v=20$m=64,t=1,p=1$AAECAwQFBgcICQoLDA0ODw$By3WhQ/Wt+JLAsiQTDMz+4rkJ7J/c8xiTOK2nLi+9vs",
    "$argon2id$v=19$m=64,t=1,p=1$AAECAwQFBgcICQoLDA0ODw$By3WhQ/Wt+JLAsiQTDMz+4rkJ7J/c8xiTOK2nLi+9vs$AA",
    "$argon2id$",
    "$2b$31$gafXTJGDEqDYdvMz6IgbleMsdi5aUF7G2wTvT5ojK0axSUhMWA45K",
    "$2b$15$gafXTJGDEqDYdvMz6IgbleMsdi5aUF7G2wTvT5ojK0axSUhMWA45K",
    "$2b$05$gafXTJGDEqDYdvMz6IgbleMsdi5aUF7G2wTvT5ojK0axSUhMWA45",
    "$2b$05$gafXTJGDEqDYdvMz6IgbleMsdi5aUF7G2wTvT5ojK0axSUhMWA45ä",
    "pbkdf2_sha256$1000000000$Xk3uQ9vB2mTz7LwPq0RsYe$dKoLZ0wZZB4WJqeFm4h54yUojkZ+rfddVBFS+xDDaDQ=",
    "pbkdf2_sha256$0$Xk3uQ9vB2mTz7LwPq0RsYe$dKoLZ0wZZB4WJqeFm4h54yUojkZ+rfddVBFS+xDDaDQ=",
    "pbkdf2_sha256$-1$Xk3uQ9vB2mTz7LwPq0RsYe$dKoLZ0wZZB4WJqeFm4h54yUojkZ+rfddVBFS+xDDaDQ=",
    "pbkdf2_sha256$1000$Xk3uQ9vB2mTz7LwPq0RsYe$",
    "$pbkdf2-sha256$1000000000$ufe.txbC2FsrxZgzxtj7Pw$gI7VrfYJjOj.85UlJYxfoBzwDp/Y7ksdkeZ4s0PzmLc",
    "$pbkdf2-sha256$i=1000000000,l=32$AAECAwQFBgcICQoLDA0ODw$AhaeZ02AwPxykuhhDI8XvhQN8GKvmqM+qF6qvs/98I0",
    "$pbkdf2-sha256$i=1000,l=64$AAECAwQFBgcICQoLDA0ODw$AhaeZ02AwPxykuhhDI8XvhQN8GKvmqM+qF6qvs/98I0",
    "$scrypt$ln=40,r=8,p=1$SekdYwzhnPPem1PK+R9j7A$Gy9gd8UkgTRYrynl+eSLk/cOYVUi+lPz8V6RRmLXhxg",
    "$scrypt$ln=18,r=8,p=1$SekdYwzhnPPem1PK+R9j7A$Gy9gd8UkgTRYrynl+eSLk/cOYVUi+lPz8V6RRmLXhxg",
    "$scrypt$ln=17,r=8,p=32$SekdYwzhnPPem1PK+R9j7A$Gy9gd8UkgTRYrynl+eSLk/cOYVUi+lPz8V6RRmLXhxg",
    "$scrypt$ln=4,r=1073741824,p=1$SekdYwzhnPPem1PK+R9j7A$Gy9gd8UkgTRYrynl+eSLk/cOYVUi+lPz8V6RRmLXhxg",
];

const UNKNOWN: &[&str] =
    &["", "$", "$$$$$$", "secret", "!", "$6$salt$hash", "$argon2d$v=19$m=64,t=2,p=2$a$b", "\0", "md5$a$b"];

fn hasher(cost: Argon2Config, slots: usize, queue: usize) -> PasswordHasher {
    let slots = NonZeroUsize::new(slots).unwrap();
    PasswordHasher::new(cost, slots, queue, Arc::new(SystemRandom::new())).unwrap()
}

/// Cheap: 256 KiB, 1 pass.
fn cheap() -> PasswordHasher {
    hasher(Argon2Config::new(256, 1, 1), 2, 128)
}

fn secret(text: &str) -> SecretString {
    SecretString::from(text)
}

async fn all_slots_free(hasher: &PasswordHasher) {
    let free = async {
        while hasher.stats().busy != 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), free).await.expect("a slot was lost");
}

#[tokio::test]
async fn a_hash_is_phc_argon2id_of_the_configured_cost_with_its_own_salt() {
    let hasher = cheap();
    let (one, two) =
        (hasher.hash(&secret(PASSWORD)).await.unwrap(), hasher.hash(&secret(PASSWORD)).await.unwrap());
    assert_ne!(one, two);
    let parsed = argon2::PasswordHash::new(&one).unwrap();
    assert!(one.starts_with("$argon2id$v=19$m=256,t=1,p=1$"), "{one}");
    assert_eq!(parsed.salt.unwrap().len(), 16);
    assert_eq!(parsed.hash.unwrap().len(), 32);
    // Another implementation of the whole path agrees.
    let reference = argon2::Argon2::default();
    argon2::PasswordVerifier::<argon2::PasswordHash>::verify_password(
        &reference,
        PASSWORD.as_bytes(),
        &parsed,
    )
    .unwrap();
    assert_eq!(recognise(&one), Some(HashKind::Argon2id));
    assert_eq!(
        hasher.verify(&secret(PASSWORD), Some(one.clone())).await.unwrap(),
        Verification::Match { needs_rehash: false }
    );
    assert_eq!(
        hasher.verify(&secret("Correct horse battery"), Some(one)).await.unwrap(),
        Verification::Mismatch
    );
    assert_eq!(hasher.stats().hashes, 4);
}

#[tokio::test]
async fn long_passwords_differ_in_their_last_character() {
    let hasher = cheap();
    let (one, two) = (format!("{}a", "鍵".repeat(127)), format!("{}b", "鍵".repeat(127)));
    let stored = hasher.hash(&secret(&one)).await.unwrap();
    assert!(matches!(
        hasher.verify(&secret(&one), Some(stored.clone())).await.unwrap(),
        Verification::Match { .. }
    ));
    assert_eq!(hasher.verify(&secret(&two), Some(stored)).await.unwrap(), Verification::Mismatch);
}

#[tokio::test]
async fn foreign_hashes_match_their_password_only_and_want_a_rehash() {
    let hasher = cheap();
    for (kind, password, stored) in FOREIGN {
        assert_eq!(recognise(stored), Some(*kind), "{stored}");
        let right = hasher.verify(&secret(password), Some((*stored).to_owned())).await.unwrap();
        assert_eq!(right, Verification::Match { needs_rehash: true }, "{stored}");
        for wrong in
            ["", "correct horse batter", "Correct horse battery", "passwörd→鍵", "correct horse battery "]
        {
            let outcome = hasher.verify(&secret(wrong), Some((*stored).to_owned())).await.unwrap();
            assert_eq!(outcome, Verification::Mismatch, "{stored}");
        }
    }
    assert_eq!(hasher.stats().unsupported, 0);
}

#[tokio::test]
async fn a_changed_hash_matches_nothing_and_never_fails() {
    let hasher = cheap();
    for (_, password, stored) in FOREIGN {
        // The last character carries unused bits in some encodings: the one in the tag's middle does not.
        let at = stored.len() - 8;
        let other = if stored.as_bytes()[at] == b'A' { "B" } else { "A" };
        let mutated = format!("{}{other}{}", &stored[..at], &stored[at + 1..]);
        let outcome = hasher.verify(&secret(password), Some(mutated.clone())).await.unwrap();
        assert_eq!(outcome, Verification::Mismatch, "{mutated}");
        let tag = stored.rfind('$').unwrap() + 1;
        for at in (0..stored.len()).filter(|at| stored.is_char_boundary(*at)) {
            // Nothing of a tag, or next to nothing, is no hash; a longer rest may still be one by form.
            assert!(parse(&stored[..at], hasher.0.bounds).is_none() || at > tag + 20, "{}", &stored[..at]);
        }
    }
}

#[tokio::test]
async fn hashes_beyond_the_bounds_are_never_run() {
    let hasher = cheap();
    for (n, stored) in (1..).zip(REFUSED.iter().chain(UNKNOWN)) {
        assert!(parse(stored, hasher.0.bounds).is_none(), "{stored}");
        let outcome = hasher.verify(&secret(PASSWORD), Some((*stored).to_owned())).await.unwrap();
        assert_eq!(outcome, Verification::Mismatch, "{stored}");
        let stats = hasher.stats();
        // One dummy each, so that time does not tell such an account from others.
        assert_eq!((stats.hashes, stats.unsupported), (n, n), "{stored}");
    }
    for stored in REFUSED {
        assert_eq!(recognise(stored), Some(HashKind::Unsupported), "{stored}");
    }
    for stored in UNKNOWN {
        assert_eq!(recognise(stored), None, "{stored}");
    }
    let endless = format!("$argon2id${}", "$".repeat(1 << 20));
    assert_eq!(recognise(&endless), Some(HashKind::Unsupported));
}

#[tokio::test]
async fn only_a_weaker_argon2id_wants_a_rehash() {
    let cost = |m, t, p| hasher(Argon2Config::new(m, t, p), 1, 8);
    for (stored, hasher, expected) in [
        (STRONGER, cost(4096, 1, 1), false),
        (STRONGER, cost(256, 1, 1), false),
        (STRONGER, cost(4097, 1, 1), true),
        (STRONGER, cost(4096, 2, 1), true),
        (STRONGER, cost(4096, 1, 2), true),
        (FOUR_LANES, cost(128, 3, 4), false),
        (FOUR_LANES, cost(64, 1, 1), false),
    ] {
        let outcome = hasher.verify(&secret(PASSWORD), Some(stored.to_owned())).await.unwrap();
        assert_eq!(outcome, Verification::Match { needs_rehash: expected }, "{hasher:?}");
    }
}

#[tokio::test]
async fn no_stored_hash_costs_what_a_stored_one_costs() {
    let hasher = cheap();
    assert_eq!(hasher.verify(&secret(PASSWORD), None).await.unwrap(), Verification::Mismatch);
    assert_eq!(hasher.stats().hashes, 1);
    let Stored::Argon2(dummy) = &hasher.0.dummy else { panic!("the dummy is no Argon2 hash") };
    assert!(!dummy.weaker_than(&hasher.0.params));
    assert_eq!(dummy.params(), &hasher.0.params);
}

#[tokio::test]
async fn an_oversized_password_costs_nothing() {
    let hasher = cheap();
    let long = secret(&"a".repeat(1 << 20));
    let stored = hasher.hash(&secret(PASSWORD)).await.unwrap();
    assert_eq!(hasher.verify(&long, Some(stored)).await.unwrap(), Verification::Mismatch);
    assert_eq!(hasher.verify(&long, None).await.unwrap(), Verification::Mismatch);
    assert_eq!(hasher.hash(&long).await.unwrap_err().kind(), ErrorKind::Validation);
    assert_eq!(hasher.stats().hashes, 1);
    assert!(hasher.hash(&secret(&"a".repeat(512))).await.is_ok());
}

#[tokio::test]
async fn sixty_four_clients_that_hang_up_cost_no_slot() {
    let hasher = cheap();
    let stored = hasher.hash(&secret(PASSWORD)).await.unwrap();
    all_slots_free(&hasher).await;
    for _ in 0..3 {
        let before = hasher.stats().hashes;
        // Holds both slots, so that every check is still waiting when its client leaves.
        let gate = pool::tests::occupy(&hasher.0.pool);
        let password = secret(PASSWORD);
        let mut clients: Vec<_> =
            (0..64).map(|_| Box::pin(hasher.verify(&password, Some(stored.clone())))).collect();
        for client in &mut clients {
            assert!(client.now_or_never().is_none());
        }
        assert_eq!((hasher.stats().busy, hasher.stats().queued), (2, 64));
        drop(clients);
        drop(gate);
        all_slots_free(&hasher).await;
        assert_eq!(hasher.stats().hashes, before, "checks without a client were run");
        let again = join_all((0..8).map(|_| hasher.verify(&password, Some(stored.clone())))).await;
        assert!(again.into_iter().all(|o| o.unwrap() == Verification::Match { needs_rehash: false }));
        all_slots_free(&hasher).await;
    }
    let stats = hasher.stats();
    assert_eq!((stats.slots, stats.busy, stats.queued, stats.shed), (2, 0, 0, 0));
}

#[tokio::test]
async fn clients_that_hang_up_in_mid_hash_cost_no_slot() {
    let hasher = cheap();
    let stored = hasher.hash(&secret(PASSWORD)).await.unwrap();
    let password = secret(PASSWORD);
    // The rest hangs up when one of them has its answer, so some are queued, some run, some are done.
    for _ in 0..30 {
        let clients = (0..64).map(|_| Box::pin(hasher.verify(&password, Some(stored.clone()))));
        let (first, _, _) = futures_util::future::select_all(clients).await;
        assert_eq!(first.unwrap(), Verification::Match { needs_rehash: false });
    }
    all_slots_free(&hasher).await;
    let outcome = hasher.verify(&password, Some(stored)).await.unwrap();
    assert_eq!(outcome, Verification::Match { needs_rehash: false });
    assert!(hasher.stats().hashes < 30 * 64, "nothing was skipped");
}

#[test]
fn impossible_costs_are_settings_errors() {
    let new = |m, t, p| {
        let cost = Argon2Config::new(m, t, p);
        PasswordHasher::new(cost, NonZeroUsize::MIN, 1, Arc::new(SystemRandom::new()))
    };
    for (m, t, p) in
        [(0, 1, 1), (7, 1, 1), (256, 0, 1), (256, 1, 0), (256, 1, 64), (u32::MAX, 1, 1), (256, u32::MAX, 1)]
    {
        let error = new(m, t, p).err().unwrap_or_else(|| panic!("m={m} t={t} p={p} was taken"));
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains("ARGON2_MEMORY_KIB"));
    }
    for (m, t, p) in [(8, 1, 1), (19_456, 2, 1), (1 << 20, 64, 64)] {
        assert!(new(m, t, p).is_ok());
    }
}

#[tokio::test]
async fn a_failing_random_source_gives_no_hash() {
    #[derive(Debug)]
    struct Exhausted(AtomicU64);
    impl SecureRandom for Exhausted {
        fn fill(&self, out: &mut [u8]) -> Result<()> {
            if self.0.fetch_add(1, Ordering::SeqCst) >= 2 {
                return Err(Error::unavailable("no entropy"));
            }
            out.fill(7);
            Ok(())
        }
    }
    let cost = Argon2Config::new(64, 1, 1);
    let hasher =
        PasswordHasher::new(cost, NonZeroUsize::MIN, 1, Arc::new(Exhausted(AtomicU64::new(0)))).unwrap();
    assert_eq!(hasher.hash(&secret(PASSWORD)).await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(hasher.stats().hashes, 0);
}
