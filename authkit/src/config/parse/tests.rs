use std::cell::RefCell;
use std::num::NonZeroUsize;
use std::time::Duration;

use super::super::{
    Config, EmailVerification, Environment, JwtAlgorithm, MfaPolicy, Rate, RoleDefinition, SessionPolicy,
    SmtpTls, TokenTransport,
};
use super::*;
use crate::secret::ExposeSecret;

fn no_file(path: &Path) -> io::Result<SecretFile> {
    panic!("opened {}", path.display())
}

fn environment(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn from_environment(pairs: &[(&str, &str)]) -> Result<Settings, Vec<SettingError>> {
    parse(None, environment(pairs), &no_file)
}

fn from_toml(text: &str) -> Result<Settings, Vec<SettingError>> {
    parse(Some(("authkit.toml", text)), [], &no_file)
}

fn shown(errors: &[SettingError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// Name, a value other than the default, the same in TOML, whether it arrived.
type Good = (&'static str, &'static str, &'static str, fn(&Settings) -> bool);

const RATE: Rate = Rate::new(7, Duration::from_mins(2));

const GOOD: &[Good] = &[
    ("WEBAUTHN_RP_ID", "example.com", "\"example.com\"", |s| {
        s.config.webauthn.rp_id.as_deref() == Some("example.com")
    }),
    ("WEBAUTHN_RP_NAME", "Example Inc", "\"Example Inc\"", |s| {
        s.config.webauthn.rp_name.as_deref() == Some("Example Inc")
    }),
    (
        "WEBAUTHN_ORIGINS",
        "https://a.example.com, https://b.example.com",
        "[\"https://a.example.com\", \"https://b.example.com\"]",
        |s| s.config.webauthn.origins == ["https://a.example.com", "https://b.example.com"],
    ),
    ("SMTP_HOST", "smtp.example.com", "\"smtp.example.com\"", |s| {
        s.config.mail.smtp_host.as_deref() == Some("smtp.example.com")
    }),
    ("SMTP_PORT", "2525", "2525", |s| s.config.mail.port() == 2525),
    ("SMTP_USER", "sender", "\"sender\"", |s| s.config.mail.smtp_user.as_deref() == Some("sender")),
    ("SMTP_PASSWORD", "CANARY pass", "\"CANARY pass\"", |s| {
        s.secrets.smtp_password.as_ref().is_some_and(|p| p.expose_secret() == "CANARY pass")
    }),
    ("SMTP_TLS", "tls", "\"tls\"", |s| s.config.mail.smtp_tls == SmtpTls::Tls),
    ("MAIL_FROM", "A <a@b.example>", "\"A <a@b.example>\"", |s| {
        s.config.mail.from.as_deref() == Some("A <a@b.example>")
    }),
    ("MAIL_DIR", "var/mails", "\"var/mails\"", |s| s.config.mail.dir == Path::new("var/mails")),
    ("NOTICES_OFF", "new_device,email_changed", "[\"new_device\", \"email_changed\"]", |s| {
        s.config.mail.notices_off == ["new_device", "email_changed"]
    }),
    ("ENV", "staging", "\"staging\"", |s| s.config.env == Environment::Staging),
    ("DATABASE_URL", "postgres://a:b@c/d", "\"postgres://a:b@c/d\"", |s| {
        s.config.server.database_url == "postgres://a:b@c/d"
    }),
    ("MIGRATE_ON_START", "false", "false", |s| s.config.server.migrate_on_start == Some(false)),
    ("BIND_ADDR", "[::]:9000", "\"[::]:9000\"", |s| s.config.server.bind_addr.to_string() == "[::]:9000"),
    ("PUBLIC_URL", "https://a.example/", "\"https://a.example/\"", |s| {
        s.config.server.public_url == "https://a.example"
    }),
    ("API_PREFIX", "", "\"\"", |s| s.config.server.api_prefix.is_empty()),
    ("TOKEN_TRANSPORT", "cookie", "\"cookie\"", |s| {
        s.config.server.token_transport == TokenTransport::Cookie
    }),
    (
        "CORS_ORIGINS",
        "https://a.example, https://b.example",
        "[\"https://a.example\", \"https://b.example\"]",
        |s| s.config.server.cors_origins == ["https://a.example", "https://b.example"],
    ),
    ("TRUSTED_PROXIES", "10.0.0.0/8, ::1", "[\"10.0.0.0/8\", \"::1\"]", |s| {
        s.config.server.trusted_proxies.to_string() == "10.0.0.0/8,::1/128"
    }),
    ("LOG_LEVEL", "debug", "\"debug\"", |s| s.config.server.log_level == "debug"),
    ("EMAIL_VERIFICATION", "off", "\"off\"", |s| s.config.email_verification() == EmailVerification::Off),
    ("EMAIL_VERIFY_EXPIRE_HOURS", "48", "48", |s| s.config.accounts.verify_ttl == Duration::from_hours(48)),
    ("PASSWORD_RESET_EXPIRE_MINUTES", "15", "15", |s| s.config.accounts.reset_ttl == Duration::from_mins(15)),
    ("DEFAULT_ROLES", "user,STUDENT", "\"user,STUDENT\"", |s| {
        s.config.accounts.default_roles == ["user", "STUDENT"]
    }),
    ("ORG_SELF_SERVICE", "true", "true", |s| s.config.authz.org_self_service),
    ("INVITE_EXPIRE_DAYS", "3", "3", |s| s.config.authz.invite_ttl == Duration::from_hours(72)),
    ("RL_INVITE_USER_LIMIT", "7/2h", "\"7/2h\"", |s| s.config.limits.invite_user.limit.get() == 7),
    ("SEED_DEMO_ACCOUNTS", "true", "true", |s| s.config.accounts.seed_demo_accounts),
    ("PASSWORD_MIN_LENGTH", "15", "15", |s| s.config.passwords.min_length == 15),
    ("PASSWORD_MIN_STRENGTH", "3", "3", |s| s.config.passwords.min_strength == 3),
    ("ARGON2_MEMORY_KIB", "65536", "65_536", |s| s.config.passwords.argon2.memory_kib == 65_536),
    ("ARGON2_ITERATIONS", "3", "0x3", |s| s.config.passwords.argon2.iterations == 3),
    ("ARGON2_PARALLELISM", "2", "2", |s| s.config.passwords.argon2.parallelism == 2),
    ("ARGON2_MAX_CONCURRENT", "6", "6", |s| s.config.passwords.max_concurrent == NonZeroUsize::new(6)),
    ("PASSWORD_BREACH_URL", "https://a.example/range", "\"https://a.example/range\"", |s| {
        s.config.passwords.breach_url.as_deref() == Some("https://a.example/range")
    }),
    ("MFA_TOTP_ISSUER", "Exams", "\"Exams\"", |s| s.config.passwords.product_name == "Exams"),
    ("JWT_ALG", "ES256", "\"ES256\"", |s| s.config.tokens.algorithm == JwtAlgorithm::Es256),
    ("JWT_SECRET", "CANARY", "\"CANARY\"", |s| {
        s.secrets.jwt_secret.as_ref().is_some_and(|key| key.expose_secret() == "CANARY")
    }),
    ("JWT_ISSUER", "me", "\"me\"", |s| s.config.issuer() == "me"),
    ("JWT_AUDIENCE", "you", "\"you\"", |s| s.config.tokens.audience == "you"),
    ("ACCESS_TOKEN_EXPIRE_MINUTES", "5", "5", |s| s.config.tokens.access_ttl == Duration::from_mins(5)),
    ("TOKEN_PEPPER", "CANARY1, CANARY2", "[\"CANARY1\", \"CANARY2\"]", |s| {
        let keys: Vec<&str> = s.secrets.token_pepper.iter().map(ExposeSecret::expose_secret).collect();
        keys == ["CANARY1", "CANARY2"]
    }),
    ("REFRESH_TOKEN_EXPIRE_DAYS", "7", "7", |s| s.config.sessions.idle_ttl == Duration::from_hours(168)),
    ("SESSION_ABSOLUTE_EXPIRE_DAYS", "30", "30", |s| {
        s.config.sessions.absolute_ttl == Duration::from_hours(720)
    }),
    ("REFRESH_REUSE_GRACE_SECONDS", "0", "0", |s| s.config.sessions.reuse_grace.is_zero()),
    ("SESSION_POLICY", "multi", "\"multi\"", |s| s.config.sessions.policy == SessionPolicy::Multi),
    ("SESSION_MAX_PER_USER", "3", "3", |s| s.config.sessions.max_per_user == 3),
    ("SESSION_BIND_IP", "true", "true", |s| s.config.sessions.bind_ip),
    ("REVOCATION_POLL_SECONDS", "2", "2", |s| s.config.sessions.revocation_poll == Duration::from_secs(2)),
    ("RL_LOGIN_IP_LIMIT", "7/2m", "\"7/2m\"", |s| s.config.limits.login_ip == RATE),
    ("RL_LOGIN_EMAIL_LIMIT", "7/2m", "\"7/2m\"", |s| s.config.limits.login_email == RATE),
    ("RL_SIGNUP_IP_LIMIT", "7/2m", "\"7/2m\"", |s| s.config.limits.signup_ip == RATE),
    ("RL_RESET_IP_LIMIT", "7/2m", "\"7/2m\"", |s| s.config.limits.reset_ip == RATE),
    ("RL_RESET_EMAIL_LIMIT", "7/2m", "\"7/2m\"", |s| s.config.limits.reset_email == RATE),
    ("RL_REFRESH_USER_LIMIT", "7/2m", "\"7/2m\"", |s| s.config.limits.refresh_user == RATE),
    ("RL_MAIL_RECIPIENT_LIMIT", "7/2m", "\"7/2m\"", |s| s.config.limits.mail_recipient == RATE),
    ("MFA_POLICY", "required", "\"required\"", |s| s.config.mfa.policy == MfaPolicy::Required),
    ("MFA_REQUIRED_ROLES", "admin,STAFF", "[\"admin\", \"STAFF\"]", |s| {
        s.config.mfa.required_roles == ["admin", "STAFF"]
    }),
    (
        "MFA_ENCRYPTION_KEY",
        "q3VJm8xZ0tYwK1nR5uB7cD2eF4gH6iL9oP_sT-vXyA0=",
        "[\"q3VJm8xZ0tYwK1nR5uB7cD2eF4gH6iL9oP_sT-vXyA0=\"]",
        |s| {
            let keys = s.secrets.mfa_encryption_key.iter().map(secrecy::ExposeSecret::expose_secret);
            keys.eq(["q3VJm8xZ0tYwK1nR5uB7cD2eF4gH6iL9oP_sT-vXyA0="])
        },
    ),
    ("MFA_TOTP_PERIOD", "60", "60", |s| s.config.mfa.totp_period == Duration::from_mins(1)),
    ("MFA_TOTP_DIGITS", "8", "8", |s| s.config.mfa.totp_digits == 8),
    ("MFA_BACKUP_CODES_COUNT", "12", "12", |s| s.config.mfa.backup_codes == 12),
    ("MFA_TOKEN_EXPIRE_MINUTES", "7", "7", |s| s.config.mfa.token_ttl == Duration::from_mins(7)),
    ("RL_MFA_USER_LIMIT", "7/2m", "\"7/2m\"", |s| s.config.limits.mfa_user == RATE),
    ("RL_LINK_IP_LIMIT", "7/2m", "\"7/2m\"", |s| s.config.limits.link_ip == RATE),
    ("RL_S3_USER_LIMIT", "7/2m", "\"7/2m\"", |s| s.config.limits.s3_user == RATE),
    ("RL_API_KEY_LIMIT", "7/2m", "\"7/2m\"", |s| s.config.limits.api_key == RATE),
    ("CLEANUP_INTERVAL", "0", "\"0\"", |s| s.config.cleanup.interval.is_zero()),
    ("AUDIT_RETENTION_DAYS", "30", "30", |s| s.config.cleanup.audit_retention == Duration::from_hours(720)),
    ("INTERNAL_CLEANUP_TOKEN", "CANARY", "\"CANARY\"", |s| {
        s.secrets.internal_cleanup_token.as_ref().is_some_and(|key| key.expose_secret() == "CANARY")
    }),
    ("API_KEY_EXPIRE_DAYS", "30", "30", |s| s.config.api_keys.ttl == Duration::from_hours(720)),
    ("API_KEY_MAX_EXPIRE_DAYS", "400", "400", |s| s.config.api_keys.max_ttl == Duration::from_hours(9600)),
    ("RL_FALLBACK_IP_LIMIT", "7/2m", "\"7/2m\"", |s| s.config.limits.fallback_ip == RATE),
    (
        "REDIS_URL",
        "redis://a:CANARY@b, redis://:CANARY@c:7001",
        "[\"redis://a:CANARY@b\", \"redis://:CANARY@c:7001\"]",
        |s| s.config.limits.redis.urls == ["redis://a:CANARY@b", "redis://:CANARY@c:7001"],
    ),
    ("REDIS_ENABLED", "false", "false", |s| s.config.limits.redis.enabled == Some(false)),
    ("REDIS_REQUIRED", "true", "true", |s| s.config.redis_required()),
    ("LOGIN_FAIL_EMAIL_THRESHOLD", "3", "3", |s| s.config.lockout.email_threshold == 3),
    ("LOGIN_FAIL_IP_THRESHOLD", "9", "9", |s| s.config.lockout.ip_threshold == 9),
    ("EMAIL_LOCK_TTL", "60", "60", |s| s.config.lockout.email_ttl == Duration::from_mins(1)),
    ("IP_LOCK_TTL", "60", "60", |s| s.config.lockout.ip_ttl == Duration::from_mins(1)),
    ("IP_LOCK_ESCALATION", "false", "false", |s| !s.config.lockout.ip_escalation),
    ("IP_LOCK_MAX_TTL", "3600", "3600", |s| s.config.lockout.ip_max_ttl == Duration::from_hours(1)),
    ("STUFFING_PAIR_THRESHOLD", "20", "20", |s| s.config.lockout.stuffing_threshold == 20),
];

#[test]
fn the_table_of_these_tests_is_whole() {
    let tested: Vec<&str> = GOOD.iter().map(|(name, ..)| *name).collect();
    for setting in settings() {
        assert!(tested.contains(&setting.name), "{} has no test", setting.name);
    }
    assert_eq!(tested.len(), settings().len());
}

#[test]
fn every_setting_is_read_from_both_sources() {
    for (name, value, toml, arrived) in GOOD {
        assert!(!arrived(&Settings::default()), "{name}: the test proves nothing");
        let settings = from_environment(&[(name, value)]).unwrap_or_else(|e| panic!("{}", shown(&e)));
        assert!(arrived(&settings), "{name} from the environment");
        assert_eq!(settings.origin(name), Origin::Environment);
        let text = format!("\n{} = {toml}\n", name.to_ascii_lowercase());
        let settings = from_toml(&text).unwrap_or_else(|e| panic!("{}", shown(&e)));
        assert!(arrived(&settings), "{name} from the file");
        assert_eq!(settings.origin(name), Origin::Toml { file: "authkit.toml".into(), line: 2 });
        assert_eq!(settings.origins.len(), 1);
        assert!(!format!("{settings:?}{:?}", settings.shown()).contains("CANARY"), "{name}");
    }
}

#[test]
fn defaults_are_those_of_the_struct() {
    let settings = from_environment(&[]).unwrap();
    assert_eq!((&settings.config, settings.warnings.len()), (&Config::default(), 0));
    for line in settings.shown() {
        assert_eq!(line.origin, Origin::Default);
        if let super::super::setting::Absent::Value(text) = line.setting.absent {
            assert_eq!(line.value, text, "{}", line.setting.name);
        }
    }
    assert_eq!(from_toml("").unwrap().config, Config::default());
}

#[test]
fn the_environment_wins_and_the_file_is_still_judged() {
    for (name, value, toml, arrived) in GOOD {
        let key = name.to_ascii_lowercase();
        let other = match settings().iter().find(|s| s.name == *name).unwrap().kind {
            super::super::setting::Kind::Whole => "77",
            super::super::setting::Kind::Switch if *toml == "true" => "false",
            super::super::setting::Kind::Switch => "true",
            _ => match *name {
                "ENV" => "\"prod\"",
                "BIND_ADDR" => "\"127.0.0.1:1\"",
                "TOKEN_TRANSPORT" => "\"bearer\"",
                "EMAIL_VERIFICATION" => "\"required\"",
                "JWT_ALG" => "\"HS256\"",
                "SESSION_POLICY" => "\"single\"",
                "MFA_POLICY" => "\"off\"",
                "CLEANUP_INTERVAL" => "\"9h\"",
                rate if rate.starts_with("RL_") => "\"9/3h\"",
                "SMTP_TLS" => "\"none\"",
                "TRUSTED_PROXIES" => "\"192.0.2.7\"",
                _ => "\"other\"",
            },
        };
        let text = format!("{key} = {other}");
        let both = parse(Some(("authkit.toml", &text)), environment(&[(name, value)]), &no_file).unwrap();
        assert!(arrived(&both), "{name}");
        assert_eq!(both.origin(name), Origin::Environment, "{name}");
        assert!(!arrived(&from_toml(&text).unwrap()), "{name}: the test proves nothing");
        let bad = format!("{key} = 1979-05-27");
        let errors =
            parse(Some(("authkit.toml", &bad)), environment(&[(name, value)]), &no_file).unwrap_err();
        assert!(errors[0].setting == key && errors[0].problem.contains("wrong type"), "{name}");
    }
}

#[test]
fn bad_values_name_setting_source_and_fix() {
    for (name, value) in [
        ("ENV", "production"),
        ("MIGRATE_ON_START", "yes"),
        ("BIND_ADDR", "localhost:8000"),
        ("BIND_ADDR", "127.0.0.1"),
        ("TOKEN_TRANSPORT", "header"),
        ("CORS_ORIGINS", "https://a.example,,"),
        ("TRUSTED_PROXIES", "10.0.0.5/8"),
        ("TRUSTED_PROXIES", "localhost"),
        ("RL_LOGIN_IP_LIMIT", "0/10m"),
        ("RL_SIGNUP_IP_LIMIT", "5 per hour"),
        ("REDIS_ENABLED", "1"),
        ("EMAIL_VERIFICATION", "true"),
        ("EMAIL_VERIFY_EXPIRE_HOURS", "1d"),
        ("PASSWORD_RESET_EXPIRE_MINUTES", "30m"),
        ("DEFAULT_ROLES", "user,"),
        ("SEED_DEMO_ACCOUNTS", "1"),
        ("PASSWORD_MIN_LENGTH", "eight"),
        ("PASSWORD_MIN_STRENGTH", "300"),
        ("ARGON2_MEMORY_KIB", "64MiB"),
        ("ARGON2_ITERATIONS", "-1"),
        ("ARGON2_PARALLELISM", "1.5"),
        ("ARGON2_MAX_CONCURRENT", "0"),
        ("JWT_ALG", "none"),
        ("ACCESS_TOKEN_EXPIRE_MINUTES", "15m"),
        ("TOKEN_PEPPER", "a,,b"),
        ("REFRESH_TOKEN_EXPIRE_DAYS", "+7"),
        ("SESSION_ABSOLUTE_EXPIRE_DAYS", "99999999999999999999"),
        ("REFRESH_REUSE_GRACE_SECONDS", "10s"),
        ("SESSION_POLICY", "many"),
        ("SESSION_MAX_PER_USER", "4294967296"),
        ("SESSION_BIND_IP", "on"),
        ("REVOCATION_POLL_SECONDS", "0.5"),
    ] {
        let errors = from_environment(&[(name, value)]).unwrap_err();
        assert_eq!((errors.len(), &*errors[0].setting), (1, name));
        let text = errors[0].to_string();
        assert!(
            text.starts_with(&format!("{name} (environment) ")) && text.contains("; set it to "),
            "{text}"
        );
    }
    for setting in settings() {
        for value in ["", "  "] {
            let result = from_environment(&[(setting.name, value)]);
            assert_eq!(result.is_ok(), setting.takes_empty(), "{} empty", setting.name);
        }
    }
}

#[test]
fn wrong_types_in_the_file_are_errors() {
    for setting in settings() {
        let key = setting.name.to_ascii_lowercase();
        for value in ["1979-05-27", "1.5", "{ a = 1 }", "[1]", "[\"a,b\"]", "[\"\"]"] {
            let errors = from_toml(&format!("{key} = {value}")).unwrap_err();
            assert_eq!((errors.len(), &*errors[0].setting), (1, key.as_str()), "{key} = {value}");
        }
        let wrong = match setting.kind {
            super::super::setting::Kind::Text | super::super::setting::Kind::List => "15",
            super::super::setting::Kind::Whole => "\"15\"",
            super::super::setting::Kind::Switch => "\"true\"",
        };
        assert!(shown(&from_toml(&format!("{key} = {wrong}")).unwrap_err()).contains("wrong type"));
    }
    assert!(from_toml("session_max_per_user = -5").is_err());
    assert!(from_toml("session_max_per_user = 99999999999999999999999").is_err());
}

#[test]
fn all_faults_come_at_once() {
    let toml =
        "acess_token_expire_minutes = 5\njwt_alg = \"none\"\n\nsession_bind_ip = 1\nJWT_SECRET = \"x\"\n";
    let errors = parse(Some(("my.toml", toml)), environment(&[("ENV", "qa"), ("LOG_LEVEL", "")]), &no_file)
        .unwrap_err();
    let text = shown(&errors);
    for part in [
        "acess_token_expire_minutes (my.toml line 1) is no known key; did you mean `access_token_expire_minutes`",
        "jwt_alg (my.toml line 2) is \"none\"; set it to EdDSA, ES256 or HS256",
        "session_bind_ip (my.toml line 4) has the wrong type, integer",
        "JWT_SECRET (my.toml line 5) is no known key; did you mean `jwt_secret`",
        "ENV (environment) is \"qa\"; set it to dev, staging or prod",
        "LOG_LEVEL (environment) is empty",
    ] {
        assert!(text.contains(part), "{part}\n--\n{text}");
    }
    assert_eq!(errors.len(), 6, "{text}");
}

#[test]
fn unknown_keys_and_tables_are_errors() {
    for text in ["frobnicate = 1", "[server]\nenv = \"dev\"", "server.env = \"dev\"", "jwt_alg_file = \"x\""]
    {
        let errors = from_toml(text).unwrap_err();
        assert!(errors.len() == 1 && shown(&errors).contains("is no known key"), "{text}");
    }
    let far = shown(&from_toml("xy = 1").unwrap_err());
    assert!(!far.contains("did you mean"), "{far}");
}

#[test]
fn unreadable_toml_is_located_and_not_quoted() {
    for text in [
        "env = \"dev\"\ntoken_pepper = CANARY\n",
        "env = \"dev\"\ntoken_pepper = \"CANARY\n",
        "env = \"dev\"\njwt_secret = \"a\" CANARY\n",
        "env = \"dev\"\nCANARY CANARY\n",
        "jwt_secret = \"CANARY\"\njwt_secret = \"CANARY\"\n",
        "env = \"dev\"\njwt_secret = \"CANARY\\q\"\n",
        "env = \"dev\"\njwt_secret = 'CANARY\n",
        "env = \"dev\"\njwt_secret = CANARY12:34\n",
        "env = \"dev\"\njwt_secret = 1CANARY\n",
        "env = \"dev\"\njwt_secret = [\"CANARY\" \"CANARY\"]\n",
        "env = \"dev\"\njwt_secret = {CANARY}\n",
        "env = \"dev\"\n[CANARY\n",
    ] {
        let errors = from_toml(text).unwrap_err();
        assert_eq!(errors.len(), 1);
        let all = format!("{errors:?} {}", shown(&errors));
        assert!(!all.contains("CANARY"), "{all}");
        assert!(all.contains("line 2") && all.contains("not valid TOML"), "{all}");
    }
}

#[test]
fn files_of_twins() {
    let opened = RefCell::new(Vec::new());
    let reader = |path: &Path| {
        opened.borrow_mut().push(path.display().to_string());
        match path.to_str() {
            Some("/open") => Ok(SecretFile::new("CANARY", true)),
            Some("/empty") => Ok(SecretFile::new("\n", false)),
            Some("/denied") => Err(io::ErrorKind::PermissionDenied.into()),
            Some("/key") => Ok(SecretFile::new("CANARY\n", false)),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    };
    let run =
        |toml: &str, pairs: &[(&str, &str)]| parse(Some(("authkit.toml", toml)), environment(pairs), &reader);
    for name in ["JWT_SECRET", "TOKEN_PEPPER", "DATABASE_URL"] {
        let twin = format!("{name}_FILE");
        let lower = twin.to_ascii_lowercase();
        for settings in
            [run("", &[(&twin, "/key")]), run(&format!("{lower} = \"/key\""), &[])].map(Result::unwrap)
        {
            assert_eq!(settings.origin(name), Origin::File("/key".into()));
            assert!(settings.warnings.is_empty());
            assert!(!format!("{settings:?}").contains("CANARY"));
        }
        for (path, part) in [
            ("/open", "every account of this machine can read: /open; run `chmod 600`"),
            ("/empty", "is empty"),
            ("/denied", "may not read: /denied"),
            ("LOSTCANARY", "not shown"),
            ("", "not shown"),
        ] {
            let errors = run("", &[(&twin, path)]).unwrap_err();
            let text = format!("{errors:?} {}", shown(&errors));
            assert!(errors[0].setting == twin && text.contains(part), "{text}");
            assert!(!text.contains("CANARY"), "{text}");
        }
        // Both names in one source.
        let errors = run("", &[(name, "x"), (&twin, "/key")]).unwrap_err();
        assert!(shown(&errors).contains(&format!("{name} (environment) and {twin} are both set")));
        let key = name.to_ascii_lowercase();
        assert!(run(&format!("{key} = \"x\"\n{lower} = \"/key\""), &[]).is_err());
        // Across sources the environment wins, and the other's file stays closed.
        opened.borrow_mut().clear();
        let settings = run(&format!("{lower} = \"/absent\""), &[(name, "sqlite://x")]).unwrap();
        assert_eq!((settings.origin(name), opened.borrow().len()), (Origin::Environment, 0));
        let settings = run(&format!("{key} = \"x\""), &[(&twin, "/key")]).unwrap();
        assert_eq!(settings.origin(name), Origin::File("/key".into()));
    }
}

#[test]
fn near_misses_are_warned_about_without_their_values() {
    let warned = |name: &str| {
        let settings = from_environment(&[(name, "CANARY")]).unwrap();
        let text = settings.warnings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        assert!(!format!("{settings:?} {text}").contains("CANARY"));
        text
    };
    for (name, meant) in [
        ("JWT_SECRTE", "JWT_SECRET"),
        ("REFRESH_TOKEN_EXPIRE_DAY", "REFRESH_TOKEN_EXPIRE_DAYS"),
        ("TOKEN_PEPER_FILE", "TOKEN_PEPPER_FILE"),
        ("jwt_secret", "JWT_SECRET"),
        ("DATABASE_URI", "DATABASE_URL"),
        ("BIND_ADDRESS", "BIND_ADDR"),
        ("JWT_ALGO", "JWT_ALG"),
    ] {
        assert!(warned(name).contains(&format!("{meant} may be meant")), "{name}: {}", warned(name));
    }
    assert!(warned("LOG_LEVEL_FILE").contains("only secrets are read from files"));
    for name in [
        "PATH",
        "HOME",
        "ENVS",
        "RUST_LOG",
        "TERM",
        "LANG",
        "LS_COLORS",
        "LOGNAME",
        "SHELL",
        "HOSTNAME",
        "PGHOST",
        "WEBHOOK_URL",
        "JWKS_CACHE_TTL_SECONDS",
        "OAUTH_LINK_TTL",
        "AWS_SESSION_TOKEN",
        "WEBHOOK_SECRET",
        "S3_CREDENTIALS_TTL_SECONDS",
    ] {
        assert_eq!(warned(name), "", "{name}");
    }
}

#[test]
fn roles_are_read() {
    let settings = from_toml(
        "[[roles]]\nname = \"REVIEWER\"\npermissions = [\"a:b\", \"c:*\"]\ndescription = \"d\"\n[[roles]]\nname = \"X\"\n",
    )
    .unwrap();
    let expected = [
        RoleDefinition::new("REVIEWER", ["a:b", "c:*"]).with_description("d"),
        RoleDefinition::new("X", Vec::<String>::new()),
    ];
    assert_eq!(settings.config.accounts.roles, expected);
    for (text, part) in [
        ("[roles]\nname = \"x\"", "roles (authkit.toml line 1) has the wrong type, table"),
        ("roles = [1]", "roles (authkit.toml line 1) has the wrong type"),
        ("[[roles]]\npermissions = []", "roles.name (authkit.toml line 1) is missing"),
        ("[[roles]]\nname = 1", "roles.name (authkit.toml line 2) has the wrong type, integer"),
        (
            "[[roles]]\nname = \"x\"\npermissions = \"a\"",
            "roles.permissions (authkit.toml line 3) has the wrong type",
        ),
        (
            "[[roles]]\nname = \"x\"\npermissions = [1]",
            "roles.permissions (authkit.toml line 3) has the wrong type",
        ),
        ("[[roles]]\nname = \"x\"\npermision = []", "did you mean `permissions`"),
        ("[[role]]\nname = \"x\"", "did you mean `roles`"),
    ] {
        let text = shown(&from_toml(text).unwrap_err());
        assert!(text.contains(part), "{text}");
    }
}
