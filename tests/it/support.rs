//! What the suites of the library share: kits on a fresh store, and a look into the store behind their backs.

use std::fmt::Debug;

use authkit::admin::UserChange;
use authkit::config::Config;
use authkit::secret::{ExposeSecret as _, SecretString};
use authkit::testing::{self, TestKit};
use authkit::{AuthKitBuilder, Db, ErrorKind, RequestMeta, Tokens};
use authkit_tests::{Backend, Store};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, SqliteConnection};
use uuid::Uuid;

pub(crate) async fn connect(store: &Store) -> Db {
    Db::connect(store.url()).await.unwrap()
}

/// A kit with the settings of tests: cheap hashes, many devices, no verification.
pub(crate) async fn kit(store: &Store) -> TestKit {
    kit_with(store, |_| {}).await
}

pub(crate) async fn kit_with(store: &Store, change: impl FnOnce(&mut Config)) -> TestKit {
    build(store, change, |builder| builder).await
}

pub(crate) async fn build(
    store: &Store,
    change: impl FnOnce(&mut Config),
    more: impl FnOnce(AuthKitBuilder) -> AuthKitBuilder,
) -> TestKit {
    let mut config = testing::config();
    change(&mut config);
    TestKit::build(connect(store).await, config, more).await.unwrap()
}

/// Another node: connections of its own to the same store, the same settings, the same clock.
pub(crate) async fn second_node(store: &Store, first: &TestKit) -> TestKit {
    let config = first.kit.config().clone();
    TestKit::attach(connect(store).await, config, first.clock.clone(), |builder| builder).await.unwrap()
}

pub(crate) fn meta() -> RequestMeta {
    RequestMeta::new()
}

pub(crate) fn from_ip(ip: &str) -> RequestMeta {
    RequestMeta::new().with_ip(ip.parse().unwrap())
}

pub(crate) fn secret(text: &str) -> SecretString {
    SecretString::from(text)
}

pub(crate) fn change(name: Option<&str>, email: Option<&str>) -> UserChange {
    let mut change = UserChange::default();
    change.name = name.map(Into::into);
    change.email = email.map(Into::into);
    change
}

#[track_caller]
pub(crate) fn kind<T: Debug>(out: authkit::Result<T>) -> ErrorKind {
    out.unwrap_err().kind()
}

/// What a client holds, as text.
pub(crate) trait Texts {
    fn access(&self) -> &str;
    fn refresh(&self) -> &str;
}

impl Texts for Tokens {
    fn access(&self) -> &str {
        self.access_token.expose_secret()
    }

    fn refresh(&self) -> &str {
        self.refresh_token.expose_secret()
    }
}

/// A connection to the store that authkit knows nothing of.
pub(crate) enum Raw {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

impl Raw {
    pub(crate) async fn open(store: &Store) -> Self {
        match store.backend() {
            Backend::Sqlite => Self::Sqlite(SqliteConnection::connect(store.url()).await.unwrap()),
            Backend::Postgres => Self::Postgres(PgConnection::connect(store.url()).await.unwrap()),
        }
    }

    /// The same for a store that nobody has opened yet.
    pub(crate) async fn open_new(store: &Store) -> Self {
        match store.backend() {
            Backend::Sqlite => {
                let url = format!("{}?mode=rwc", store.url());
                Self::Sqlite(SqliteConnection::connect(&url).await.unwrap())
            }
            Backend::Postgres => Self::open(store).await,
        }
    }

    pub(crate) async fn try_run(&mut self, sql: &str) -> Result<u64, sqlx::Error> {
        let sql = AssertSqlSafe(sql.to_owned());
        match self {
            Self::Sqlite(c) => c.execute(sqlx::raw_sql(sql)).await.map(|done| done.rows_affected()),
            Self::Postgres(c) => c.execute(sqlx::raw_sql(sql)).await.map(|done| done.rows_affected()),
        }
    }

    #[track_caller]
    pub(crate) fn run(&mut self, sql: &str) -> impl Future<Output = u64> {
        let sql = sql.to_owned();
        async move { self.try_run(&sql).await.unwrap_or_else(|e| panic!("{sql}: {e}")) }
    }

    /// The one number that a statement returns (as BIGINT on PostgreSQL).
    pub(crate) async fn number(&mut self, sql: &str) -> i64 {
        let text = AssertSqlSafe(sql.to_owned());
        let out = match self {
            Self::Sqlite(c) => sqlx::query_scalar::<_, i64>(text).fetch_one(c).await,
            Self::Postgres(c) => sqlx::query_scalar::<_, i64>(text).fetch_one(c).await,
        };
        out.unwrap_or_else(|e| panic!("{sql}: {e}"))
    }

    /// The first column of all rows.
    pub(crate) async fn texts(&mut self, sql: &str) -> Vec<String> {
        let text = AssertSqlSafe(sql.to_owned());
        let out = match self {
            Self::Sqlite(c) => sqlx::query_scalar::<_, String>(text).fetch_all(c).await,
            Self::Postgres(c) => sqlx::query_scalar::<_, String>(text).fetch_all(c).await,
        };
        out.unwrap_or_else(|e| panic!("{sql}: {e}"))
    }

    /// How an id is written in a statement.
    pub(crate) fn id(&self, id: Uuid) -> String {
        match self {
            Self::Sqlite(_) => format!("x'{}'", id.simple()),
            Self::Postgres(_) => format!("'{id}'::uuid"),
        }
    }

    /// The tables of authkit, sorted.
    pub(crate) async fn tables(&mut self) -> Vec<String> {
        let sql = match self {
            Self::Sqlite(_) => "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name",
            Self::Postgres(_) => {
                "SELECT tablename::text FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"
            }
        };
        self.texts(sql).await.into_iter().filter(|t| t.contains("authkit_")).collect()
    }

    pub(crate) async fn columns(&mut self, table: &str) -> Vec<String> {
        let sql = match self {
            Self::Sqlite(_) => format!("SELECT name FROM pragma_table_info('{table}')"),
            Self::Postgres(_) => {
                format!(
                    "SELECT column_name::text FROM information_schema.columns WHERE table_name = '{table}'
                     AND table_schema = 'public'"
                )
            }
        };
        self.texts(&sql).await
    }

    /// Every row of every table as text; bytes as hexadecimal digits.
    pub(crate) async fn dump(&mut self) -> String {
        let mut out = String::new();
        for table in self.tables().await {
            let sql = match self {
                Self::Postgres(_) => format!("SELECT row_to_json(t)::text FROM {table} t"),
                Self::Sqlite(_) => {
                    let columns = self.columns(&table).await;
                    let quoted: Vec<String> = columns.iter().map(|c| format!("quote({c})")).collect();
                    format!("SELECT {} FROM {table}", quoted.join(" || ',' || "))
                }
            };
            for row in self.texts(&sql).await {
                out.push_str(&format!("{table}: {row}\n"));
            }
        }
        out
    }

    /// Rows of the audit log with that action.
    pub(crate) async fn audited(&mut self, action: &str) -> i64 {
        self.number(&format!("SELECT count(*) FROM authkit_audit WHERE action = '{action}'")).await
    }
}
