use std::num::NonZeroUsize;

use super::super::{
    Argon2Config, EmailVerification, JwtAlgorithm, RedisConfig, RoleDefinition, ServerConfig, TokenTransport,
    TrustedProxies,
};
use super::*;
use crate::secret::SecretString;

const KEY: &str = "q3VJm8xZ0tYwK1nR5uB7cD2eF4gH6iL9oP_sT-vXyA0";
const OTHER: &str = "Zb7Qe1Xk4Mw9Rt2Yp6Uo8Is3Ad5Fg0HjKl_Cv-BnNm1";

fn secrets() -> Secrets {
    Secrets::new([SecretString::from(KEY)])
}

/// A configuration that production takes without a word.
fn prod() -> Config {
    let mut config = Config { env: Environment::Prod, ..Config::default() };
    config.server.public_url = "https://login.example.com".into();
    config
}

fn with(change: impl FnOnce(&mut Config)) -> Config {
    let mut config = prod();
    change(&mut config);
    config
}

fn errors(config: &Config, secrets: &Secrets) -> Vec<String> {
    match config.validate(secrets, true) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.iter().map(|error| error.setting.to_string()).collect(),
    }
}

fn warnings(config: &Config) -> Vec<String> {
    let warnings = config.validate(&secrets(), true).unwrap_or_else(|errors| panic!("{errors:?}"));
    warnings.iter().map(|warning| warning.setting.to_string()).collect()
}

#[test]
fn defaults_are_good_in_dev_and_need_an_address_in_prod() {
    assert!(Config::default().validate(&Secrets::default(), false).unwrap().is_empty());
    assert_eq!(warnings(&prod()), Vec::<String>::new());
    let bare = Config { env: Environment::Prod, ..Config::default() };
    assert_eq!(warnings(&bare), ["PUBLIC_URL"]);
}

#[test]
fn redis_is_an_address_and_required_only_where_it_is_used() {
    let redis = |urls: &[&str], enabled, required| {
        let urls = urls.iter().map(|url| (*url).to_owned()).collect();
        errors(
            &with(|c| c.limits.redis = RedisConfig { urls, enabled, required, ..RedisConfig::default() }),
            &secrets(),
        )
    };
    let good = ["redis://localhost", "rediss://app:p%40ss@redis.example:6380/1", "redis://:x@[::1]:7000"];
    assert!(good.iter().all(|url| redis(&[url], None, None).is_empty()));
    assert!(redis(&good, Some(true), Some(true)).is_empty());
    for bad in [
        "localhost:6379",
        "http://h",
        "redis://",
        "redis://u:p@",
        "redis:///1",
        "redis://:6379",
        "redis://a b",
    ] {
        assert_eq!(redis(&["redis://a", bad], None, None), ["REDIS_URL"], "{bad}");
    }
    assert_eq!(redis(&[], Some(true), None), ["REDIS_ENABLED"]);
    assert_eq!(redis(&[], None, Some(true)), ["REDIS_REQUIRED"]);
    assert_eq!(redis(&["redis://a"], Some(false), Some(true)), ["REDIS_REQUIRED"]);
    let required = |env, urls: &[&str]| {
        let urls = urls.iter().map(|url| (*url).to_owned()).collect();
        let mut config = Config { env, ..Config::default() };
        config.limits.redis = RedisConfig { urls, ..RedisConfig::default() };
        config.redis_required()
    };
    assert!(required(Environment::Prod, &["redis://a"]) && !required(Environment::Prod, &[]));
    assert!(!required(Environment::Staging, &["redis://a"]));
}

/// A change and whether it is good.
type Case = (&'static str, bool, fn(&mut Config));

#[test]
fn ranges() {
    let secs = Duration::from_secs;
    let cases: &[Case] = &[
        ("PASSWORD_MIN_LENGTH", false, |c| c.passwords.min_length = 7),
        ("PASSWORD_MIN_LENGTH", true, |c| c.passwords.min_length = 64),
        ("PASSWORD_MIN_LENGTH", false, |c| c.passwords.min_length = 65),
        ("PASSWORD_MIN_STRENGTH", true, |c| c.passwords.min_strength = 0),
        ("PASSWORD_MIN_STRENGTH", false, |c| c.passwords.min_strength = 5),
        ("ARGON2_ITERATIONS", false, |c| c.passwords.argon2.iterations = 0),
        ("ARGON2_ITERATIONS", true, |c| c.passwords.argon2.iterations = 100),
        ("ARGON2_ITERATIONS", false, |c| c.passwords.argon2.iterations = 101),
        ("ARGON2_PARALLELISM", false, |c| c.passwords.argon2.parallelism = 0),
        ("ARGON2_PARALLELISM", true, |c| c.passwords.argon2.parallelism = 64),
        ("ARGON2_PARALLELISM", false, |c| c.passwords.argon2.parallelism = u32::MAX),
        ("ARGON2_MEMORY_KIB", false, |c| c.passwords.argon2 = Argon2Config::new(31, 100, 4)),
        ("ARGON2_MEMORY_KIB", false, |c| c.passwords.argon2.memory_kib = 0),
        ("ARGON2_MEMORY_KIB", false, |c| c.passwords.argon2.memory_kib = 4_194_305),
        ("ARGON2_MAX_CONCURRENT", true, |c| c.passwords.max_concurrent = NonZeroUsize::new(1024)),
        ("ARGON2_MAX_CONCURRENT", false, |c| c.passwords.max_concurrent = NonZeroUsize::new(1025)),
        ("MFA_TOTP_ISSUER", false, |c| c.passwords.product_name = String::new()),
        ("MFA_TOTP_ISSUER", false, |c| c.passwords.product_name = "a:b".into()),
        ("MFA_TOTP_ISSUER", false, |c| c.passwords.product_name = " a".into()),
        ("MFA_TOTP_ISSUER", false, |c| c.passwords.product_name = "x".repeat(65)),
        ("MFA_TOTP_ISSUER", true, |c| c.passwords.product_name = "Prüfungen".into()),
        ("SESSION_MAX_PER_USER", false, |c| c.sessions.max_per_user = 0),
        ("SESSION_MAX_PER_USER", true, |c| c.sessions.max_per_user = 1000),
        ("SESSION_MAX_PER_USER", false, |c| c.sessions.max_per_user = 1001),
        ("PASSWORD_BREACH_URL", true, |c| c.passwords.breach_url = Some("https://a.example/range".into())),
        ("PASSWORD_BREACH_URL", true, |c| c.passwords.breach_url = Some("http://localhost:1/range".into())),
        ("PASSWORD_BREACH_URL", false, |c| c.passwords.breach_url = Some("http://a.example/range".into())),
        ("PASSWORD_BREACH_URL", false, |c| c.passwords.breach_url = Some("https://u:p@a.example".into())),
        ("LOG_LEVEL", true, |c| c.server.log_level = "warn, authkit::db=Debug,sqlx=off".into()),
        ("LOG_LEVEL", false, |c| c.server.log_level = "loud".into()),
        ("LOG_LEVEL", false, |c| c.server.log_level = "info,".into()),
        ("LOG_LEVEL", false, |c| c.server.log_level = "=info".into()),
        ("JWT_AUDIENCE", false, |c| c.tokens.audience = String::new()),
        ("JWT_AUDIENCE", false, |c| c.tokens.audience = "a b".into()),
        ("JWT_AUDIENCE", true, |c| c.tokens.audience = "urn:exams:api".into()),
        ("JWT_ISSUER", false, |c| c.tokens.issuer = Some("a b:c".into())),
        ("JWT_ISSUER", false, |c| c.tokens.issuer = Some(":c".into())),
        ("JWT_ISSUER", false, |c| c.tokens.issuer = Some("https://u:p@a.example".into())),
        ("DATABASE_URL", false, |c| c.server.database_url = "mysql://h/d".into()),
        ("DATABASE_URL", false, |c| c.server.database_url = "sqlite::memory:".into()),
        ("DATABASE_URL", true, |c| c.server.database_url = "postgres://u:p@h/d".into()),
    ];
    for (index, (name, good, change)) in cases.iter().enumerate() {
        let expected: &[&str] = if *good { &[] } else { &[name] };
        assert_eq!(errors(&with(change), &secrets()), expected, "case {index}: {name}");
    }
    for (name, good, bad) in [
        ("ACCESS_TOKEN_EXPIRE_MINUTES", [60, 86_400], [59, 86_401]),
        ("REFRESH_TOKEN_EXPIRE_DAYS", [86_400, 90 * 86_400], [0, 3651 * 86_400]),
        ("SESSION_ABSOLUTE_EXPIRE_DAYS", [14 * 86_400, 3650 * 86_400], [0, 3651 * 86_400]),
        ("REFRESH_REUSE_GRACE_SECONDS", [0, 300], [301, u64::MAX]),
        ("REVOCATION_POLL_SECONDS", [1, 5], [0, 6]),
    ] {
        let set = |value: u64| {
            with(|c| match name {
                "ACCESS_TOKEN_EXPIRE_MINUTES" => c.tokens.access_ttl = secs(value),
                "REFRESH_TOKEN_EXPIRE_DAYS" => c.sessions.idle_ttl = secs(value),
                "SESSION_ABSOLUTE_EXPIRE_DAYS" => c.sessions.absolute_ttl = secs(value),
                "REFRESH_REUSE_GRACE_SECONDS" => c.sessions.reuse_grace = secs(value),
                _ => c.sessions.revocation_poll = secs(value),
            })
        };
        for value in good {
            assert_eq!(errors(&set(value), &secrets()), Vec::<String>::new(), "{name} {value}");
        }
        for value in bad {
            assert_eq!(errors(&set(value), &secrets()), [name], "{name} {value}");
        }
    }
    let longer = with(|c| c.sessions.idle_ttl = secs(91 * 86_400));
    assert_eq!(errors(&longer, &secrets()), ["REFRESH_TOKEN_EXPIRE_DAYS"]);
}

#[test]
fn public_url_and_cookies() {
    for (env, url, transport, expected) in [
        (Environment::Prod, "https://a.example/auth", TokenTransport::Cookie, &[][..]),
        (Environment::Prod, "http://localhost:8000", TokenTransport::Cookie, &[]),
        (Environment::Prod, "http://a.example", TokenTransport::Bearer, &["PUBLIC_URL"]),
        (Environment::Staging, "http://a.example", TokenTransport::Bearer, &[]),
        (Environment::Dev, "http://a.example", TokenTransport::Cookie, &["TOKEN_TRANSPORT"]),
        (Environment::Dev, "https://a.example/", TokenTransport::Bearer, &["PUBLIC_URL"]),
        (Environment::Dev, "https://a.example?x", TokenTransport::Bearer, &["PUBLIC_URL"]),
        (Environment::Dev, "https://u:p@a.example", TokenTransport::Bearer, &["PUBLIC_URL"]),
        (Environment::Dev, "javascript:alert(1)", TokenTransport::Bearer, &["PUBLIC_URL"]),
    ] {
        let config = with(|c| {
            c.env = env;
            c.server =
                ServerConfig { public_url: url.into(), token_transport: transport, ..c.server.clone() };
        });
        assert_eq!(errors(&config, &secrets()), expected, "{} {url}", env.name());
    }
    let staging = with(|c| {
        c.env = Environment::Staging;
        c.server.public_url = "http://a.example".into();
    });
    assert_eq!(warnings(&staging), ["PUBLIC_URL"]);
}

#[test]
fn prefixes_and_origins() {
    for good in ["", "/v1", "/api/auth-v1", "/healthy"] {
        assert!(errors(&with(|c| c.server.api_prefix = good.into()), &secrets()).is_empty(), "{good}");
    }
    for bad in
        ["/", "v1", "/v1/", "//v1", "/v 1", "/../x", "/v1?x", "/{id}", "/*x", "/health", "/.well-known/x"]
    {
        assert_eq!(errors(&with(|c| c.server.api_prefix = bad.into()), &secrets()), ["API_PREFIX"], "{bad}");
    }
    let origins = |origin: &str| with(|c| c.server.cors_origins = vec![origin.into()]);
    for good in ["https://app.example.com", "https://app.example.com:8443", "http://localhost:3000"] {
        assert!(errors(&origins(good), &secrets()).is_empty(), "{good}");
    }
    for bad in [
        "*",
        "null",
        "https://*.example.com",
        "https://app.example.com/",
        "https://app.example.com/x",
        "https://app.example.com:443",
        "http://app.example.com:80",
        "https://App.example.com",
        "app.example.com",
        "https://u@app.example.com",
        "capacitor://localhost",
    ] {
        assert_eq!(errors(&origins(bad), &secrets()), ["CORS_ORIGINS"], "{bad}");
    }
    assert_eq!(warnings(&origins("http://app.example.com")), ["CORS_ORIGINS"]);
}

#[test]
fn proxies_of_the_whole_world_are_refused_in_prod_and_warned_about_elsewhere() {
    let trusting = |env, proxies: &[&str]| {
        with(|c| {
            c.env = env;
            c.server.trusted_proxies = TrustedProxies::new(proxies.iter().map(|p| p.parse().unwrap()));
        })
    };
    for wide in ["0.0.0.0/0", "::/0", "0.0.0.0/1", "2000::/3"] {
        let list = ["10.0.0.0/8", wide];
        assert_eq!(errors(&trusting(Environment::Prod, &list), &secrets()), ["TRUSTED_PROXIES"], "{wide}");
        for env in [Environment::Dev, Environment::Staging] {
            assert_eq!(warnings(&trusting(env, &list)), ["TRUSTED_PROXIES"], "{wide}");
        }
    }
    let own = trusting(Environment::Prod, &["10.0.0.0/8", "192.0.2.7", "fc00::/7"]);
    assert!(errors(&own, &secrets()).is_empty() && warnings(&own).is_empty());
}

#[test]
fn weak_hashes_are_warned_about_in_dev_and_refused_elsewhere() {
    for (memory, passes) in [(47_104, 1), (19_456, 2), (12_288, 3), (9_216, 4), (7_168, 5), (65_536, 3)] {
        let config = with(|c| c.passwords.argon2 = Argon2Config::new(memory, passes, 1));
        assert!(errors(&config, &secrets()).is_empty() && warnings(&config).is_empty());
    }
    for (memory, passes) in [(47_103, 1), (19_455, 2), (12_287, 3), (9_215, 4), (7_167, 5), (64, 100)] {
        for env in [Environment::Dev, Environment::Staging, Environment::Prod] {
            let config = with(|c| {
                c.env = env;
                c.passwords.argon2 = Argon2Config::new(memory, passes, 1);
            });
            if env == Environment::Dev {
                assert_eq!(warnings(&config), ["ARGON2_MEMORY_KIB"]);
            } else {
                assert_eq!(errors(&config, &secrets()), ["ARGON2_MEMORY_KIB"]);
            }
        }
    }
}

#[test]
fn root_keys() {
    let keys = |keys: &[&str]| Secrets::new(keys.iter().map(|&key| SecretString::from(key)));
    for (env, url, missing_is_fine) in [
        (Environment::Dev, "sqlite://a.db", true),
        (Environment::Dev, "postgres://h/d", false),
        (Environment::Staging, "sqlite://a.db", false),
        (Environment::Prod, "sqlite://a.db", false),
    ] {
        let config = with(|c| {
            c.env = env;
            c.server.database_url = url.into();
        });
        let expected: &[&str] = if missing_is_fine { &[] } else { &["TOKEN_PEPPER"] };
        assert_eq!(errors(&config, &Secrets::default()), expected, "{} {url}", env.name());
        assert!(errors(&config, &keys(&[KEY, OTHER])).is_empty());
        for bad in [&["short"][..], &[KEY, "changeme"], &[KEY, KEY]] {
            assert_eq!(errors(&config, &keys(bad)), ["TOKEN_PEPPER"]);
        }
    }
    let found = prod().validate(&keys(&[KEY, "CANARY"]), true).unwrap_err();
    let text = format!("{found:?} {}", found[0]);
    assert!(text.contains("(key 2)") && !text.contains("CANARY") && !text.contains(KEY), "{text}");
}

#[test]
fn jwt_secret_goes_with_hs256_only() {
    let secret = |text: &str| secrets().with_jwt_secret(SecretString::from(text));
    let hs256 = with(|c| c.tokens.algorithm = JwtAlgorithm::Hs256);
    assert!(errors(&hs256, &secret(OTHER)).is_empty());
    assert_eq!(errors(&hs256, &secrets()), ["JWT_SECRET"]);
    assert_eq!(errors(&hs256, &secret("CANARY")), ["JWT_SECRET"]);
    assert_eq!(errors(&hs256, &secret(KEY)), ["JWT_SECRET"]);
    for algorithm in [JwtAlgorithm::EdDsa, JwtAlgorithm::Es256] {
        assert_eq!(errors(&with(|c| c.tokens.algorithm = algorithm), &secret(OTHER)), ["JWT_SECRET"]);
    }
    let found = hs256.validate(&secret("CANARY"), true).unwrap_err();
    assert!(!format!("{found:?} {}", found[0]).contains("CANARY"));
}

#[test]
fn required_verification_needs_mail_in_prod() {
    use EmailVerification::{Off, Optional, Required};

    let judge = |env, wanted| {
        let config = with(|c| {
            c.env = env;
            c.accounts.email_verification = wanted;
        });
        match config.validate(&secrets(), false) {
            Ok(warnings) => warnings.iter().map(ToString::to_string).collect::<String>(),
            Err(errors) => format!("REFUSED {}", errors[0]),
        }
    };
    for wanted in [None, Some(Required)] {
        let text = judge(Environment::Prod, wanted);
        assert!(text.starts_with("REFUSED EMAIL_VERIFICATION") && text.contains("optional or off"), "{text}");
    }
    for (env, wanted) in [
        (Environment::Prod, Some(Optional)),
        (Environment::Prod, Some(Off)),
        (Environment::Staging, None),
        (Environment::Dev, None),
    ] {
        assert_eq!(judge(env, wanted), "");
    }
    assert!(judge(Environment::Dev, Some(Required)).starts_with("EMAIL_VERIFICATION"));
}

#[test]
fn demo_accounts_stay_in_dev() {
    for env in [Environment::Staging, Environment::Prod] {
        let config = with(|c| {
            c.env = env;
            c.accounts.seed_demo_accounts = true;
        });
        assert_eq!(errors(&config, &secrets()), ["SEED_DEMO_ACCOUNTS"]);
    }
    let mut dev = Config::default();
    dev.accounts.seed_demo_accounts = true;
    assert!(warnings(&dev).is_empty());
    dev.server.bind_addr = "0.0.0.0:8000".parse().unwrap();
    assert_eq!(warnings(&dev), ["SEED_DEMO_ACCOUNTS"]);
}

#[test]
fn everything_wrong_is_reported_at_once() {
    let config = with(|c| {
        c.server.public_url = "http://CANARY:CANARY@a".into();
        c.server.database_url = "CANARY".into();
        c.passwords.breach_url = Some("http://CANARY:CANARY@a".into());
        c.accounts.default_roles = vec!["admin".into()];
        c.accounts.roles = vec![RoleDefinition::new("user", ["a"])];
        c.tokens.issuer = Some("http://CANARY:CANARY@a".into());
        c.tokens.access_ttl = Duration::ZERO;
    });
    let found = config.validate(&Secrets::default(), true).unwrap_err();
    let mut names: Vec<&str> = found.iter().map(|error| &*error.setting).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "ACCESS_TOKEN_EXPIRE_MINUTES",
            "DATABASE_URL",
            "DEFAULT_ROLES",
            "JWT_ISSUER",
            "PASSWORD_BREACH_URL",
            "PUBLIC_URL",
            "TOKEN_PEPPER",
            "roles"
        ]
    );
    let text = found.iter().map(ToString::to_string).collect::<String>();
    assert!(!format!("{found:?}{text}{:?}", config.server).contains("CANARY:CANARY"), "{text}");
    assert!(!text.contains("CANARY"), "{text}");
}

#[test]
fn passkeys_belong_to_the_origins_that_use_them() {
    let judged = |id: Option<&str>, name: Option<&str>, origins: &[&str]| {
        errors(
            &with(|c| {
                c.webauthn.rp_id = id.map(Into::into);
                c.webauthn.rp_name = name.map(Into::into);
                c.webauthn.origins = origins.iter().map(|o| (*o).to_owned()).collect();
            }),
            &secrets(),
        )
    };
    let none: [&str; 0] = [];
    assert_eq!(judged(None, None, &[]), none);
    assert_eq!(judged(Some("example.com"), Some("Example"), &[]), none);
    assert_eq!(judged(Some("login.example.com"), None, &[]), none);
    assert_eq!(judged(None, None, &["https://login.example.com", "https://a.login.example.com:8443"]), none);
    assert_eq!(judged(Some("localhost"), None, &["http://localhost:3000"]), none);
    for id in
        ["Example.com", "https://example.com", "example.com:443", "example.com/", "10.0.0.1", "[::1]", ""]
    {
        assert_eq!(judged(Some(id), None, &["https://a.example.com"]), ["WEBAUTHN_RP_ID"], "{id}");
    }
    // The default origin is the one of PUBLIC_URL.
    for id in ["other.example", "ample.com", "a.login.example.com"] {
        assert_eq!(judged(Some(id), None, &[]), ["WEBAUTHN_RP_ID"], "{id}");
    }
    for name in ["", "  ", "a\nb", &"x".repeat(65)] {
        assert_eq!(judged(None, Some(name), &[]), ["WEBAUTHN_RP_NAME"], "{name:?}");
    }
    for origin in [
        "https://login.example.com/",
        "https://login.example.com/app",
        "https://login.example.com:443",
        "http://login.example.com",
        "https://example.com",
        "https://xlogin.example.com",
        "https://*.login.example.com",
        "https://10.0.0.1",
        "login.example.com",
    ] {
        assert_eq!(judged(None, None, &[origin]), ["WEBAUTHN_ORIGINS"], "{origin}");
    }
    let mut config = Config::default();
    config.server.public_url = "http://127.0.0.1:8000".into();
    assert_eq!(errors(&config, &secrets()), none, "there are no passkeys, and nobody asked for them");
    config.webauthn.origins = vec!["http://localhost:8000".into()];
    assert_eq!(errors(&config, &secrets()), ["WEBAUTHN_RP_ID"]);
}
