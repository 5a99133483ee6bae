//! The manual: how it works and why.

#[doc = include_str!("../docs/sessions.md")]
pub mod sessions {}

#[doc = include_str!("../docs/api-keys.md")]
pub mod api_keys {}

#[doc = include_str!("../docs/cleanup.md")]
pub mod cleanup {}

#[doc = include_str!("../docs/lockout.md")]
pub mod lockout {}

#[doc = include_str!("../docs/storage.md")]
pub mod storage {}

#[doc = include_str!("../docs/links.md")]
pub mod links {}

#[doc = include_str!("../docs/pages.md")]
pub mod pages {}

#[doc = include_str!("../docs/mfa.md")]
pub mod mfa {}

#[doc = include_str!("../docs/passkeys.md")]
pub mod passkeys {}

#[doc = include_str!("../docs/keys.md")]
pub mod keys {}

#[doc = include_str!("../docs/mail.md")]
pub mod mail {}

#[doc = include_str!("../docs/embedding.md")]
pub mod embedding {}

#[doc = include_str!("../docs/configuration.md")]
pub mod configuration {}

#[doc = include_str!("../docs/limits.md")]
pub mod limits {}

#[doc = include_str!("../docs/performance.md")]
pub mod performance {}

#[doc = include_str!("../docs/authorization.md")]
pub mod authorization {}
