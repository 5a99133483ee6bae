//! One store of either engine, fresh for each test, and the macros that run a test on both.

use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
use ring::rand::{SecureRandom as _, SystemRandom};
use tempfile::TempDir;

use crate::postgres::{Cluster, Database};

/// The engines that everything runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// A file in a folder of its own.
    Sqlite,
    /// A database in a private cluster.
    Postgres,
}

impl Backend {
    /// Both, in the order of reports.
    pub const ALL: [Self; 2] = [Self::Sqlite, Self::Postgres];

    /// `sqlite`, `postgres`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        }
    }
}

/// An empty store with the secrets that belong to it; gone on drop.
#[derive(Debug)]
pub struct Store {
    backend: Backend,
    url: String,
    folder: TempDir,
    database: Option<Database>,
    pepper: String,
    mfa_key: String,
}

impl Store {
    /// A fresh store of that engine.
    pub async fn new(backend: Backend) -> Self {
        match backend {
            Backend::Sqlite => {
                let folder = tempfile::Builder::new().prefix("authkit-store-").tempdir().expect("a folder");
                let url = format!("sqlite://{}", folder.path().join("authkit.db").display());
                Self::with(backend, url, folder, None)
            }
            Backend::Postgres => Self::postgres(Database::create().await),
        }
    }

    /// A fresh PostgreSQL store in a cluster that the test owns, to stop or pause it.
    pub async fn in_cluster(cluster: &Arc<Cluster>) -> Self {
        Self::postgres(Database::create_in(cluster).await)
    }

    fn postgres(database: Database) -> Self {
        let folder = tempfile::Builder::new().prefix("authkit-store-").tempdir().expect("a folder");
        Self::with(Backend::Postgres, database.url().to_owned(), folder, Some(database))
    }

    fn with(backend: Backend, url: String, folder: TempDir, database: Option<Database>) -> Self {
        let pepper = URL_SAFE_NO_PAD.encode(random());
        // The Fernet specification spells its keys with padding.
        let mfa_key = URL_SAFE.encode(random());
        Self { backend, url, folder, database, pepper, mfa_key }
    }

    /// Its engine.
    pub fn backend(&self) -> Backend {
        self.backend
    }

    /// What `DATABASE_URL` takes.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A folder that lives as long as the store; on SQLite the database file `authkit.db` is in it.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The database behind a PostgreSQL store.
    pub fn database(&self) -> Option<&Database> {
        self.database.as_ref()
    }

    /// The root key (`TOKEN_PEPPER`): every process on this store needs the same one.
    pub fn pepper(&self) -> &str {
        &self.pepper
    }

    /// The settings that name this store and its keys.
    pub fn env(&self) -> Vec<(String, String)> {
        [
            ("DATABASE_URL", self.url.as_str()),
            ("TOKEN_PEPPER", self.pepper.as_str()),
            ("MFA_ENCRYPTION_KEY", self.mfa_key.as_str()),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec()
    }
}

fn random() -> [u8; 32] {
    let mut bytes = [0; 32];
    SystemRandom::new().fill(&mut bytes).expect("randomness");
    bytes
}

/// Makes two tests of each function: `name::sqlite` and `name::postgres`.
///
/// ```text
/// on_both! {
///     async fn a_new_store_is_empty(store: Store) { … }
/// }
/// ```
#[macro_export]
macro_rules! on_both {
    ($($(#[$meta:meta])* async fn $name:ident($store:ident: $type:ty) $body:block)+) => {$(
        mod $name {
            use super::*;

            $(#[$meta])*
            async fn body($store: $type) $body

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                body($crate::Store::new($crate::Backend::Sqlite).await).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                body($crate::Store::new($crate::Backend::Postgres).await).await;
            }
        }
    )+};
}
