//! The program, run in this process on a store of its own. One file a subject.
#![expect(unreachable_pub, clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod accounts;
mod bench;
mod lockouts;
mod mail;
mod mfa;
mod output;
mod sessions;
mod system;
