use std::time::Duration;

/// How access tokens are signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum JwtAlgorithm {
    /// Ed25519 (RFC 8037).
    #[default]
    EdDsa,
    /// ECDSA on P-256.
    Es256,
    /// HMAC with `JWT_SECRET`: whoever can verify can also sign.
    Hs256,
}

impl JwtAlgorithm {
    /// The name in the JWS header (RFC 7518 section 3.1).
    pub const fn name(self) -> &'static str {
        match self {
            Self::EdDsa => "EdDSA",
            Self::Es256 => "ES256",
            Self::Hs256 => "HS256",
        }
    }
}

/// Access tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TokensConfig {
    /// `JWT_ALG`.
    pub algorithm: JwtAlgorithm,
    /// `JWT_ISSUER`; `None` means `PUBLIC_URL`.
    pub issuer: Option<String>,
    /// `JWT_AUDIENCE`.
    pub audience: String,
    /// `ACCESS_TOKEN_EXPIRE_MINUTES`, as a span.
    pub access_ttl: Duration,
}

impl Default for TokensConfig {
    fn default() -> Self {
        Self {
            algorithm: JwtAlgorithm::default(),
            issuer: None,
            audience: "authkit".into(),
            access_ttl: Duration::from_mins(15),
        }
    }
}
