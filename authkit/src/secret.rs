//! Values that must not be seen: wiped on drop, redacted in `Debug`.

pub use secrecy::{ExposeSecret, SecretBox, SecretString};
