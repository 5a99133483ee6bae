use super::Config;
use super::http_url::HttpUrl;

/// The longest name of a relying party, in bytes: authenticators may cut what is longer (WebAuthn section 6.4.1).
pub(super) const MAX_RP_NAME: usize = 64;

/// The relying party as browsers and authenticators know it (WebAuthn section 5.4.2).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct WebauthnConfig {
    /// `WEBAUTHN_RP_ID`; `None` means the host of `PUBLIC_URL`. A change makes every passkey useless.
    pub rp_id: Option<String>,
    /// `WEBAUTHN_RP_NAME`: what authenticators show; `None` means the id.
    pub rp_name: Option<String>,
    /// `WEBAUTHN_ORIGINS`: pages that may use passkeys; empty means the origin of `PUBLIC_URL`.
    pub origins: Vec<String>,
}

impl Config {
    /// The id of the relying party: as set, else the host of `PUBLIC_URL`. `None` where that is an IP address, which
    /// browsers do not take: then there are no passkeys.
    pub fn webauthn_rp_id(&self) -> Option<&str> {
        let set = self.webauthn.rp_id.as_deref();
        set.or_else(|| HttpUrl::parse(&self.server.public_url).ok().and_then(|url| url.domain()))
    }

    /// The name of the relying party: as set, else its id.
    pub fn webauthn_rp_name(&self) -> Option<&str> {
        self.webauthn.rp_name.as_deref().or_else(|| self.webauthn_rp_id())
    }

    /// The origins whose pages may use passkeys: as set, else that of `PUBLIC_URL`.
    pub fn webauthn_origins(&self) -> Vec<String> {
        if !self.webauthn.origins.is_empty() {
            return self.webauthn.origins.clone();
        }
        HttpUrl::parse(&self.server.public_url).map(|url| url.origin()).into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(public_url: &str) -> Config {
        let mut config = Config::default();
        config.server.public_url = public_url.into();
        config
    }

    #[test]
    fn the_public_address_says_what_is_not_set() {
        let config = at("https://login.example.com:8443/auth");
        assert_eq!(config.webauthn_rp_id(), Some("login.example.com"));
        assert_eq!(config.webauthn_rp_name(), Some("login.example.com"));
        assert_eq!(config.webauthn_origins(), ["https://login.example.com:8443"]);
        assert_eq!(Config::default().webauthn_rp_id(), Some("localhost"));
        assert_eq!(Config::default().webauthn_origins(), ["http://localhost:8000"]);
        // The default port is left out, as browsers do.
        assert_eq!(at("https://example.com:443").webauthn_origins(), ["https://example.com"]);
        for ip in ["http://127.0.0.1:8000", "https://[2001:db8::1]"] {
            assert_eq!(at(ip).webauthn_rp_id(), None, "{ip}");
        }
    }

    #[test]
    fn what_is_set_counts() {
        let mut config = at("https://login.example.com");
        config.webauthn.rp_id = Some("example.com".into());
        assert_eq!(config.webauthn_rp_name(), Some("example.com"));
        config.webauthn.rp_name = Some("Example".into());
        config.webauthn.origins = vec!["https://a.example.com".into(), "https://b.example.com".into()];
        assert_eq!(config.webauthn_rp_id(), Some("example.com"));
        assert_eq!(config.webauthn_rp_name(), Some("Example"));
        assert_eq!(config.webauthn_origins().len(), 2);
    }
}
