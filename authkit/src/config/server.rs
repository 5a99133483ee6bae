use std::fmt;
use std::net::SocketAddr;

use super::database_url::redact_url;
use super::network::TrustedProxies;

/// How the server hands tokens to clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum TokenTransport {
    /// In the answer's body; sent back as `Authorization: Bearer`.
    #[default]
    Bearer,
    /// In `__Host-` cookies that scripts cannot read.
    Cookie,
}

impl TokenTransport {
    /// The name as in `TOKEN_TRANSPORT`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bearer => "bearer",
            Self::Cookie => "cookie",
        }
    }
}

/// Addresses, transport of tokens, browsers' origins. `Debug` masks what `DATABASE_URL` hides.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerConfig {
    /// `DATABASE_URL`: `sqlite://PATH` or `postgres://…`. May hold a password: never printed whole.
    pub database_url: String,
    /// `MIGRATE_ON_START`; `None` means yes in dev, no elsewhere.
    pub migrate_on_start: Option<bool>,
    /// `BIND_ADDR`: an IP address with a port.
    pub bind_addr: SocketAddr,
    /// `PUBLIC_URL`, without a slash at the end. The only base of links (R13).
    pub public_url: String,
    /// `API_PREFIX`: empty, or starting with a slash and not ending in one.
    pub api_prefix: String,
    /// `TOKEN_TRANSPORT`.
    pub token_transport: TokenTransport,
    /// `CORS_ORIGINS`: exact origins, such as `https://app.example.com`.
    pub cors_origins: Vec<String>,
    /// `TRUSTED_PROXIES`: whose word on client addresses is taken (R4).
    pub trusted_proxies: TrustedProxies,
    /// `LOG_LEVEL`, as `tracing` directives: `INFO`, or `warn,authkit=debug`.
    pub log_level: String,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            database_url: "sqlite://authkit.db".into(),
            migrate_on_start: None,
            bind_addr: SocketAddr::from(([127, 0, 0, 1], 8000)),
            public_url: "http://localhost:8000".into(),
            api_prefix: "/v1".into(),
            token_transport: TokenTransport::default(),
            cors_origins: Vec::new(),
            trusted_proxies: TrustedProxies::default(),
            log_level: "INFO".into(),
        }
    }
}

impl fmt::Debug for ServerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerConfig")
            .field("database_url", &redact_url(&self.database_url))
            .field("migrate_on_start", &self.migrate_on_start)
            .field("bind_addr", &self.bind_addr)
            .field("public_url", &redact_url(&self.public_url))
            .field("api_prefix", &self.api_prefix)
            .field("token_transport", &self.token_transport)
            .field("cors_origins", &self.cors_origins)
            .field("trusted_proxies", &self.trusted_proxies)
            .field("log_level", &self.log_level)
            .finish()
    }
}
