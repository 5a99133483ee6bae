//! What the suites and the load program stand on: real stores, real processes, HTTP, races, statistics.
//!
//! Everything here panics when the machine cannot provide what a test needs. A test never skips itself.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::missing_panics_doc,
    reason = "helpers of tests fail by panicking, and they wait for and measure real processes"
)]

pub mod apt;
pub mod authenticator;
pub mod backends;
pub mod browser;
pub mod client;
pub mod factors;
pub mod load;
pub mod postgres;
pub mod process;
pub mod proxy;
pub mod python;
pub mod race;
pub mod raw;
pub mod redis;
pub mod smtp;
pub mod stats;

mod cargo;

pub use authenticator::SoftKey;
pub use backends::{Backend, Store};
pub use client::{Answer, Client};
pub use process::{Launch, ServerProcess, authctl};
pub use race::race;
pub use redis::{RedisCluster, RedisServer};
