//! Keyed hashes, passwords' hashes, sealing, signatures and access tokens: pure functions over keys that the caller holds.

pub(crate) mod checksum;
pub(crate) mod fernet;
pub(crate) mod jws;
pub(crate) mod jwt;
pub(crate) mod key_id;
pub(crate) mod keys;
pub(crate) mod mac;
pub(crate) mod password;
pub(crate) mod seal;
pub(crate) mod strict;
pub(crate) mod verified_cache;
