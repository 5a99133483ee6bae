//! A bounded memory of tokens already verified, so that a busy client costs one hash a request instead of
//! one signature. Expiry, the key's end and (by the caller) revocation are still checked on every hit.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use ring::digest::{SHA256, digest};

use crate::crypto::jwt::{AccessClaims, KeySet, TokenError, TokenVerifier};
use crate::crypto::key_id::KeyId;
use crate::time::Timestamp;

/// How many tokens are remembered unless told otherwise.
pub(crate) const DEFAULT_CAPACITY: usize = 10_000;
/// Longer tokens are verified each time: many of them would take too much memory (R19).
const MAX_CACHED_LEN: usize = 4 * 1024;
const MAX_SHARDS: usize = 16;
const MIN_SHARD_CAPACITY: usize = 64;

/// SHA-256 of the token: the token itself is never kept (R15).
type Digest = [u8; 32];

/// Verifies access tokens and remembers those that passed; a refusal is never remembered.
///
/// It owns its verifier, so that no token is ever answered for another issuer or audience (R9).
pub(crate) struct VerifiedCache {
    verifier: TokenVerifier,
    shards: Vec<Mutex<Shard>>,
    /// Of one half of one shard.
    half: usize,
}

/// Two halves: what was used lately, and what was used before that. When the first is full it becomes the
/// second, and what then stood in the second is forgotten.
#[derive(Default)]
struct Shard {
    recent: HashMap<Digest, Entry>,
    previous: HashMap<Digest, Entry>,
}

#[derive(Clone)]
struct Entry {
    generation: u64,
    kid: KeyId,
    claims: Arc<AccessClaims>,
}

impl VerifiedCache {
    /// At most `capacity` tokens; under 2 means none.
    pub(crate) fn new(verifier: TokenVerifier, capacity: usize) -> Self {
        let count = (capacity / MIN_SHARD_CAPACITY).clamp(1, MAX_SHARDS);
        let shards = std::iter::repeat_with(Mutex::default).take(count).collect();
        Self { verifier, shards, half: capacity / count / 2 }
    }

    /// As [`TokenVerifier::verify`]; same answers, faster when the token is known.
    pub(crate) fn verify(
        &self,
        token: &str,
        keys: &KeySet,
        now: Timestamp,
    ) -> Result<Arc<AccessClaims>, TokenError> {
        if token.len() > MAX_CACHED_LEN || self.half == 0 {
            return self.verifier.verify(token, keys, now);
        }
        let id = digest_of(token);
        if let Some(entry) = self.find(&id, keys.generation()) {
            keys.live(entry.kid, now)?;
            entry.claims.check_times(now)?;
            return Ok(entry.claims);
        }
        let (kid, claims) = self.verifier.verify_with_key(token, keys, now)?;
        self.keep(id, Entry { generation: keys.generation(), kid, claims: Arc::clone(&claims) });
        Ok(claims)
    }

    /// How many tokens are remembered now.
    pub(crate) fn len(&self) -> usize {
        let count = |shard: &Mutex<Shard>| with(shard, |shard| shard.recent.len() + shard.previous.len());
        self.shards.iter().map(count).sum()
    }

    fn find(&self, id: &Digest, generation: u64) -> Option<Entry> {
        let shard = self.shard(id)?;
        let (found, forgotten) = with(shard, |shard| {
            if let Some(entry) = shard.recent.get(id) {
                return (Some(entry.clone()), None);
            }
            match shard.previous.remove(id) {
                Some(entry) => (Some(entry.clone()), shard.insert(*id, entry, self.half)),
                None => (None, None),
            }
        });
        drop(forgotten);
        found.filter(|entry| entry.generation == generation)
    }

    fn keep(&self, id: Digest, entry: Entry) {
        if let Some(shard) = self.shard(&id) {
            let forgotten = with(shard, |shard| shard.insert(id, entry, self.half));
            drop(forgotten);
        }
    }

    fn shard(&self, id: &Digest) -> Option<&Mutex<Shard>> {
        let [first, second, ..] = *id;
        let index = usize::from(u16::from_be_bytes([first, second])).checked_rem(self.shards.len())?;
        self.shards.get(index)
    }
}

impl Shard {
    /// Returns what is to be dropped, so that the caller frees it after the lock.
    #[must_use]
    fn insert(&mut self, id: Digest, entry: Entry, half: usize) -> Option<HashMap<Digest, Entry>> {
        self.previous.remove(&id);
        let full = self.recent.len() >= half && !self.recent.contains_key(&id);
        let forgotten = full.then(|| std::mem::replace(&mut self.previous, std::mem::take(&mut self.recent)));
        self.recent.insert(id, entry);
        forgotten
    }
}

impl fmt::Debug for VerifiedCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifiedCache").field("len", &self.len()).finish_non_exhaustive()
    }
}

/// A panic elsewhere leaves the maps whole, so a poisoned lock is taken as any other.
fn with<T>(shard: &Mutex<Shard>, work: impl FnOnce(&mut Shard) -> T) -> T {
    work(&mut shard.lock().unwrap_or_else(PoisonError::into_inner))
}

fn digest_of(token: &str) -> Digest {
    let mut out = [0; 32];
    for (to, from) in out.iter_mut().zip(digest(&SHA256, token.as_bytes()).as_ref()) {
        *to = *from;
    }
    out
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;
    use crate::config::JwtAlgorithm;
    use crate::crypto::jws::SigningKey;
    use crate::crypto::jwt::tests::{AUD, ISS, KID, NOW, after, before, claims, signing_key};

    fn key() -> SigningKey {
        signing_key(JwtAlgorithm::Hs256, 1)
    }

    fn key_set(generation: u64, key: &SigningKey, gone_at: Option<Timestamp>) -> KeySet {
        KeySet::new(generation, [(KID, key.verifying_key().unwrap(), gone_at)])
    }

    fn cache(capacity: usize) -> VerifiedCache {
        VerifiedCache::new(TokenVerifier::new(ISS, AUD), capacity)
    }

    fn token(jti: &str, key: &SigningKey) -> String {
        let mut claims = claims();
        claims.jti = jti.into();
        claims.sign(KID, key).unwrap().expose_secret().to_owned()
    }

    #[test]
    fn a_known_token_gives_the_same_claims_again() {
        let (cache, key) = (cache(100), key());
        let (keys, token) = (key_set(1, &key, None), token("a", &key));
        let first = cache.verify(&token, &keys, NOW).unwrap();
        let second = cache.verify(&token, &keys, NOW).unwrap();
        assert!(Arc::ptr_eq(&first, &second));
        assert_eq!((cache.len(), &first.jti), (1, &"a".to_owned()));
    }

    #[test]
    fn a_refusal_is_not_remembered() {
        let (cache, key) = (cache(100), key());
        let token = token("a", &key);
        let others = key_set(1, &signing_key(JwtAlgorithm::Hs256, 2), None);
        assert_eq!(cache.verify(&token, &others, NOW), Err(TokenError::Signature));
        assert_eq!(cache.len(), 0);
        assert!(cache.verify(&token, &key_set(1, &key, None), NOW).is_ok());
        let edited = format!("{}A", &token[..token.len() - 1]);
        let twice = format!("{token}.");
        for other in [edited.as_str(), &twice, ""] {
            assert!(other == token || cache.verify(other, &key_set(1, &key, None), NOW).is_err());
        }
    }

    #[test]
    fn times_and_the_key_s_end_are_checked_on_every_hit() {
        let (cache, key) = (cache(100), key());
        let gone_at = after(60);
        let (keys, token) = (key_set(1, &key, Some(gone_at)), token("a", &key));
        cache.verify(&token, &keys, NOW).unwrap();
        assert_eq!(cache.verify(&token, &keys, gone_at), Err(TokenError::KeyGone));
        assert_eq!(cache.verify(&token, &key_set(1, &key, None), claims().exp), Err(TokenError::Expired));
        assert_eq!(cache.verify(&token, &keys, before(3600)), Err(TokenError::NotYetValid));
        assert!(cache.verify(&token, &keys, NOW).is_ok());
    }

    #[test]
    fn another_generation_verifies_anew() {
        let (cache, key) = (cache(100), key());
        let token = token("a", &key);
        let first = cache.verify(&token, &key_set(1, &key, None), NOW).unwrap();
        let replaced = key_set(2, &signing_key(JwtAlgorithm::Hs256, 2), None);
        assert_eq!(cache.verify(&token, &replaced, NOW), Err(TokenError::Signature));
        assert_eq!(cache.verify(&token, &KeySet::new(2, []), NOW), Err(TokenError::UnknownKey));
        let again = cache.verify(&token, &key_set(3, &key, None), NOW).unwrap();
        assert!(!Arc::ptr_eq(&first, &again));
        assert_eq!(cache.len(), 1);
    }

    #[test]
    fn stays_within_its_bound_and_keeps_what_is_used() {
        let key = key();
        let keys = key_set(1, &key, None);
        for capacity in [0, 1, 2, 3, 10, 63, 64, 129, 500] {
            let cache = cache(capacity);
            for n in 0..700 {
                cache.verify(&token(&n.to_string(), &key), &keys, NOW).unwrap();
                assert!(cache.len() <= capacity, "{capacity}");
            }
            assert_eq!(cache.len() > 0, capacity >= 2);
        }
        let (cache, hot) = (cache(10), token("hot", &key));
        let first = cache.verify(&hot, &keys, NOW).unwrap();
        for n in 0..100 {
            cache.verify(&token(&n.to_string(), &key), &keys, NOW).unwrap();
            assert!(Arc::ptr_eq(&first, &cache.verify(&hot, &keys, NOW).unwrap()), "{n}");
        }
    }

    #[test]
    fn long_tokens_pass_but_are_not_kept() {
        let (cache, key) = (cache(100), key());
        let token = token(&"j".repeat(3100), &key);
        assert!(token.len() > MAX_CACHED_LEN);
        assert!(cache.verify(&token, &key_set(1, &key, None), NOW).is_ok());
        assert_eq!(cache.len(), 0);
    }

    #[test]
    fn survives_a_poisoned_lock_and_many_threads() {
        let (cache, key) = (cache(200), key());
        let (keys, known) = (key_set(1, &key, None), token("a", &key));
        std::thread::scope(|scope| {
            for shard in &cache.shards {
                let poison = scope.spawn(|| with(shard, |_| panic!("on purpose")));
                assert!(poison.join().is_err());
            }
        });
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let (cache, keys, known, key) = (&cache, &keys, &known, &key);
                scope.spawn(move || {
                    for n in 0..200 {
                        assert!(cache.verify(known, keys, NOW).is_ok());
                        assert!(cache.verify(&token(&format!("{thread}-{n}"), key), keys, NOW).is_ok());
                    }
                });
            }
        });
        assert!(cache.len() <= 200);
    }

    #[test]
    fn debug_shows_no_token() {
        let (cache, key) = (cache(10), key());
        cache.verify(&token("a", &key), &key_set(1, &key, None), NOW).unwrap();
        assert_eq!(format!("{cache:?}"), "VerifiedCache { len: 1, .. }");
    }
}
