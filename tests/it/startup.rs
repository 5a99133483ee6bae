//! Starting: with nothing, with wrong settings, beside others, on a store that is not ours to touch.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use authkit_tests::{Backend, Launch, Store, on_both};

use crate::app::{launch, me, newcomer, refresh, serve, settled_logs, sign_in, sql};

/// A configuration that must not be served with (sysexits.h).
const EX_CONFIG: Option<i32> = Some(78);
const CANARY: &str = "canary7q-canary7q-canary7q";
/// As `openssl rand -base64 32` makes it.
const KEY: &str = "v7Qm3x0KpYt9dZ1bWc5RfHj2LgSn8uEa4oXiVrTqB6M=";

/// The server refuses, says each of `words`, and nothing that is secret.
async fn refuses(launch: Launch, words: &[&str]) -> String {
    let (status, logs) = launch.run_to_exit().await;
    assert_eq!(status.code(), EX_CONFIG, "expected {words:?}:\n{logs}");
    for word in words {
        assert!(logs.contains(word), "no {word}:\n{logs}");
    }
    assert!(!logs.contains("canary7q") && !logs.contains(KEY), "a secret is shown:\n{logs}");
    assert!(!logs.contains("panicked") && !logs.contains("RUST_BACKTRACE"), "{logs}");
    logs
}

fn write(folder: &Path, name: &str, text: impl AsRef<[u8]>, mode: u32) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    path.to_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_first_start_needs_no_setting() {
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::bare_server().folder(folder.path()).start().await;
    let client = server.client();
    let tokens = newcomer(&client, "first@example.com").await;
    me(&client, &tokens.access).await.expect(200);

    let mode = |name: &str| {
        let metadata = std::fs::metadata(folder.path().join(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
        metadata.permissions().mode() & 0o777
    };
    assert_eq!(mode("authkit.db.token_pepper"), 0o600);
    assert_eq!(mode("authkit.db.mfa_encryption_key"), 0o600);
    assert!(folder.path().join("authkit.db").is_file());
    let mut names: Vec<_> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    // Mails become files in development; they hold live links.
    let expected = [
        "authkit.db",
        "authkit.db-shm",
        "authkit.db-wal",
        "authkit.db.mfa_encryption_key",
        "authkit.db.token_pepper",
        "mail",
    ];
    assert!(names.iter().all(|n| expected.contains(&n.as_str())), "{names:?}");
    if names.iter().any(|name| name == "mail") {
        assert_eq!(mode("mail"), 0o700);
    }

    // It says where it is and what to do next, and never shows the key.
    let logs = settled_logs(&server).await;
    assert!(logs.contains(server.address()), "{logs}");
    assert!(logs.contains("/docs") || logs.contains("signup"), "{logs}");
    let key = std::fs::read_to_string(folder.path().join("authkit.db.token_pepper")).unwrap();
    assert!(key.trim().len() >= 43 && !logs.contains(key.trim()));
    drop(server);

    // The second start finds what the first one made.
    let server = Launch::bare_server().folder(folder.path()).start().await;
    refresh(&server.client(), &tokens.refresh).await.expect(200);
    sign_in(&server.client(), "first@example.com").await;
    assert_eq!(std::fs::read_to_string(folder.path().join("authkit.db.token_pepper")).unwrap(), key);
}

#[tokio::test]
async fn s_58_weak_and_unreadable_secrets_are_refused() {
    let store = Store::new(Backend::Sqlite).await;
    let folder = tempfile::tempdir().unwrap();
    let sample = format!("{CANARY}-changeme-0123456789-abcdefghijklm");
    let readable = write(folder.path(), "open", KEY, 0o644);
    let binary = write(folder.path(), "binary", [0xff, 0xfe, 0x00], 0o600);
    let empty = write(folder.path(), "empty", "", 0o600);
    let missing = folder.path().join("missing").to_str().unwrap().to_owned();
    let directory = folder.path().to_str().unwrap().to_owned();

    for (name, value) in
        [("TOKEN_PEPPER", CANARY), ("TOKEN_PEPPER", &sample), ("TOKEN_PEPPER", &"a".repeat(64))]
    {
        refuses(launch(&store, &[(name, value)]), &[name, "environment", "openssl rand"]).await;
    }
    for value in [CANARY, &sample] {
        let launch = launch(&store, &[("JWT_ALG", "HS256"), ("JWT_SECRET", value)]);
        refuses(launch, &["JWT_SECRET", "environment"]).await;
    }
    refuses(launch(&store, &[("JWT_ALG", "HS256")]), &["JWT_SECRET", "missing"]).await;
    refuses(launch(&store, &[("JWT_SECRET", KEY)]), &["JWT_SECRET", "EdDSA"]).await;
    for (path, env) in
        [(&readable, "prod"), (&binary, "dev"), (&empty, "dev"), (&missing, "dev"), (&directory, "dev")]
    {
        let launch = launch(
            &store,
            &[("TOKEN_PEPPER_FILE", path), ("ENV", env), ("PUBLIC_URL", "https://login.example.com")],
        );
        // The text is not repeated: it may be the secret itself, put into the wrong variable.
        refuses(launch.without("TOKEN_PEPPER"), &["TOKEN_PEPPER"]).await;
    }
    let both = launch(&store, &[("TOKEN_PEPPER_FILE", &write(folder.path(), "key", KEY, 0o600))]);
    refuses(both, &["TOKEN_PEPPER"]).await;
    // The control.
    let good = write(folder.path(), "good", format!("{KEY}\n"), 0o600);
    let fresh = Store::new(Backend::Sqlite).await;
    let server = launch(&fresh, &[("TOKEN_PEPPER_FILE", &good)]).without("TOKEN_PEPPER").start().await;
    newcomer(&server.client(), "file@example.com").await;
}

#[tokio::test]
async fn s_193_production_refuses_what_development_only_warns_about() {
    let store = Store::new(Backend::Sqlite).await;
    let good = [("ENV", "prod"), ("PUBLIC_URL", "https://login.example.com"), ("EMAIL_VERIFICATION", "off")];
    let prod = |name: &str, value: &str| {
        let real = ["ARGON2_MEMORY_KIB", "ARGON2_ITERATIONS", "ARGON2_PARALLELISM"];
        let launch = real.iter().fold(launch(&store, &good), |launch, name| launch.without(name));
        launch.env(name, value)
    };
    refuses(prod("PUBLIC_URL", "http://login.example.com"), &["PUBLIC_URL", "http"]).await;
    refuses(prod("CORS_ORIGINS", "*"), &["CORS_ORIGINS", "wildcard"]).await;
    refuses(prod("CORS_ORIGINS", "https://*.example.com"), &["CORS_ORIGINS"]).await;
    for world in ["0.0.0.0/0", "::/0", "10.0.0.0/8,0.0.0.0/0"] {
        refuses(prod("TRUSTED_PROXIES", world), &["TRUSTED_PROXIES", "/0", "prod refuses"]).await;
    }
    refuses(prod("TRUSTED_PROXIES", "10.0.0.5/8"), &["TRUSTED_PROXIES", "write 10.0.0.0/8"]).await;
    refuses(prod("ARGON2_MEMORY_KIB", "8"), &["ARGON2_MEMORY_KIB"]).await;
    refuses(prod("EMAIL_VERIFICATION", "required"), &["EMAIL_VERIFICATION", "SMTP_HOST"]).await;
    let mail =
        |launch: Launch| launch.env("SMTP_HOST", "smtp.example.com").env("MAIL_FROM", "no-reply@example.com");
    // With a mail server it gets as far as the empty store.
    refuses(mail(prod("EMAIL_VERIFICATION", "required")), &["authctl migrate up"]).await;
    refuses(mail(prod("SMTP_TLS", "none")), &["SMTP_TLS", "another machine"]).await;
    refuses(mail(prod("X", "y")).without("MAIL_FROM"), &["MAIL_FROM", "missing"]).await;
    let logs = refuses(mail(prod("SMTP_PASSWORD", CANARY)), &["SMTP_USER", "missing"]).await;
    assert!(!logs.contains(CANARY), "{logs}");
    refuses(prod("SEED_DEMO_ACCOUNTS", "true"), &["SEED_DEMO_ACCOUNTS"]).await;
    refuses(prod("X", "y").without("TOKEN_PEPPER"), &["TOKEN_PEPPER", "missing"]).await;
    // An empty store in production: the operator migrates it, not a server that happens to start.
    refuses(prod("X", "y"), &["authctl migrate up"]).await;
    // Everything that is wrong is said at once.
    let logs = refuses(
        prod("PUBLIC_URL", "http://x.example").env("CORS_ORIGINS", "*").env("LOG_LEVEL", "loud"),
        &[],
    )
    .await;
    for name in ["PUBLIC_URL", "CORS_ORIGINS", "LOG_LEVEL"] {
        assert!(logs.contains(name), "{logs}");
    }
    // The same in development is served, with warnings.
    let server =
        mail(launch(&store, &[("SMTP_TLS", "none"), ("TRUSTED_PROXIES", "0.0.0.0/0")])).start().await;
    let logs = settled_logs(&server).await;
    for name in ["ARGON2_MEMORY_KIB", "SMTP_TLS", "TRUSTED_PROXIES"] {
        assert!(logs.contains(name), "no warning about {name}:\n{logs}");
    }
}

#[tokio::test]
async fn settings_that_cannot_be_read_are_named_with_their_source() {
    let store = Store::new(Backend::Sqlite).await;
    for (name, value) in [
        ("ENV", "production"),
        ("DATABASE_URL", "mysql://root:canary7q@localhost/x"),
        ("BIND_ADDR", "nowhere"),
        ("ACCESS_TOKEN_EXPIRE_MINUTES", "0"),
        ("ACCESS_TOKEN_EXPIRE_MINUTES", "fifteen"),
        ("REFRESH_REUSE_GRACE_SECONDS", "-1"),
        ("SESSION_POLICY", "some"),
        ("MIGRATE_ON_START", "perhaps"),
        ("API_PREFIX", "v1"),
        ("API_PREFIX", "/v1/"),
        ("API_PREFIX", "/health"),
        ("LOG_LEVEL", "LOUD"),
        ("JWT_ALG", "none"),
        ("PASSWORD_MIN_STRENGTH", "5"),
    ] {
        refuses(launch(&store, &[(name, value)]), &[name, "environment"]).await;
    }
    for (text, words) in [
        ("session_polcy = \"multi\"\n", &["session_polcy", "authkit.toml line 1", "session_policy"][..]),
        ("log_level = \"INFO\"\nno_such_thing = 1\n", &["no_such_thing", "line 2"]),
        ("jwt_alg = 7\n", &["jwt_alg", "line 1"]),
        ("log_level = \"INFO\"\nlog_level = \"INFO\"\n", &["authkit.toml"]),
        ("log_level = \n", &["authkit.toml"]),
        ("[server]\nport = 1\n", &["authkit.toml"]),
    ] {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "authkit.toml", text, 0o600);
        refuses(launch(&store, &[]).folder(folder.path()), words).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let missing = launch(&store, &[]).folder(folder.path()).arg("-c").arg("elsewhere.toml");
    refuses(missing, &["elsewhere.toml"]).await;
    write(folder.path(), "authkit.toml", [0xff, 0xfe], 0o600);
    refuses(launch(&store, &[]).folder(folder.path()), &["authkit.toml", "UTF-8"]).await;

    // The file counts, the environment wins, `-c` names another one, and foreign names are nobody's business.
    write(folder.path(), "other.toml", "session_policy = \"single\"\napi_prefix = \"/from-file\"\n", 0o600);
    let server =
        launch(&store, &[("SESSION_POLICY", "multi"), ("SOMETHING_ELSE", "1"), ("SESSION_POLICI", "x")])
            .folder(folder.path())
            .arg("-c")
            .arg("other.toml")
            .start()
            .await;
    let client = server.client();
    client.get("/from-file/health").await.expect(200);
    let logs = settled_logs(&server).await;
    assert!(logs.contains("SESSION_POLICI"), "a near miss is not warned about:\n{logs}");
    assert!(!logs.contains("SOMETHING_ELSE"));
    let (status, logs) = Launch::bare_server().arg("--no-such-flag").run_to_exit().await;
    assert_eq!(status.code(), Some(2), "{logs}");
}

on_both! {
    async fn another_root_key_opens_nothing(store: Store) {
        let server = serve(&store, &[]).await;
        let tokens = newcomer(&server.client(), "root@example.com").await;
        drop(server);
        let logs = refuses(launch(&store, &[("TOKEN_PEPPER", KEY)]), &["TOKEN_PEPPER"]).await;
        assert!(!logs.contains(store.pepper()), "{logs}");
        // Added in front of the old one it is a rotation, after which the old one may go.
        let both = format!("{KEY},{}", store.pepper());
        let server = launch(&store, &[("TOKEN_PEPPER", &both)]).start().await;
        let next = refresh(&server.client(), &tokens.refresh).await.expect(200);
        drop(server);
        let server = launch(&store, &[("TOKEN_PEPPER", KEY)]).start().await;
        refresh(&server.client(), next.str("/refresh_token")).await.expect(200);
        drop(server);
        refuses(launch(&store, &[]), &["TOKEN_PEPPER"]).await;
    }

    async fn s_190_a_newer_or_changed_schema_is_not_touched(store: Store) {
        drop(serve(&store, &[]).await);
        let newer = "INSERT INTO _authkit_migrations (version, name, checksum, applied_at) VALUES (9999, 'x', 'x', 0)";
        sql(&store, newer).await;
        for env in ["dev", "staging"] {
            refuses(launch(&store, &[("ENV", env), ("ARGON2_MEMORY_KIB", "19456"), ("ARGON2_ITERATIONS", "2")]), &["schema", "newer"]).await;
        }
        sql(&store, "DELETE FROM _authkit_migrations WHERE version = 9999").await;
        drop(serve(&store, &[]).await);
        sql(&store, "UPDATE _authkit_migrations SET checksum = 'edited'").await;
        refuses(launch(&store, &[]), &["migration"]).await;
    }

    async fn a_schema_that_is_behind_names_the_command(store: Store) {
        refuses(launch(&store, &[("MIGRATE_ON_START", "false")]), &["authctl migrate up"]).await;
        // Refusing changed nothing.
        refuses(launch(&store, &[("MIGRATE_ON_START", "false")]), &["authctl migrate up"]).await;
        drop(serve(&store, &[("MIGRATE_ON_START", "true")]).await);
        let server = serve(&store, &[("MIGRATE_ON_START", "false")]).await;
        newcomer(&server.client(), "migrated@example.com").await;
    }

    async fn processes_that_start_together_share_one_store(store: Store) {
        let servers = start_four(|| launch(&store, &[])).await;
        let tokens = newcomer(&servers[0].client(), "together@example.com").await;
        for server in &servers {
            me(&server.client(), &tokens.access).await.expect(200);
            newcomer(&server.client(), &format!("of-{}@example.com", server.pid())).await;
        }
        let keys = "SELECT COUNT(*) FROM (SELECT purpose FROM authkit_keys GROUP BY purpose HAVING COUNT(*) > 1) AS twice";
        assert_eq!(crate::app::count(&store, keys).await, 0, "keys were made twice");
    }
}

/// The same with no key yet: all four find the one that one of them made.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_that_start_together_make_one_key() {
    for _ in 0..5 {
        let folder = tempfile::tempdir().unwrap();
        let servers = start_four(|| Launch::bare_server().folder(folder.path())).await;
        let tokens = newcomer(&servers[0].client(), "together@example.com").await;
        for server in &servers {
            me(&server.client(), &tokens.access).await.expect(200);
        }
        let left = std::fs::read_dir(folder.path())
            .unwrap()
            .filter(|e| e.as_ref().unwrap().file_name().to_string_lossy().ends_with(".tmp"));
        assert_eq!(left.count(), 0);
    }
}

async fn start_four(make: impl Fn() -> Launch) -> Vec<authkit_tests::ServerProcess> {
    let mut starting = tokio::task::JoinSet::new();
    for _ in 0..4 {
        starting.spawn(make().start());
    }
    starting.join_all().await
}

#[tokio::test]
async fn a_store_or_port_that_is_not_there_is_said() {
    // Nobody listens on port 1.
    let gone = Launch::bare_server()
        .env("DATABASE_URL", "postgres://someone:canary7q@127.0.0.1:1/nothing")
        .env("TOKEN_PEPPER", KEY)
        .env("MFA_ENCRYPTION_KEY", "q3VJm8xZ0tYwK1nR5uB7cD2eF4gH6iL9oP_sT-vXyA0=");
    let (status, logs) = gone.run_to_exit().await;
    assert!(!status.success(), "{logs}");
    assert!(logs.contains("DATABASE_URL") || logs.to_lowercase().contains("database"), "{logs}");
    assert!(!logs.contains("canary7q") && !logs.contains(KEY), "{logs}");

    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
    let nowhere = Launch::bare_server()
        .env("DATABASE_URL", "sqlite:///no/such/folder/authkit.db")
        .env("TOKEN_PEPPER", KEY);
    let (status, logs) = nowhere.run_to_exit().await;
    assert!(!status.success() && logs.contains("/no/such/folder"), "{logs}");

    let store = Store::new(Backend::Sqlite).await;
    let not_ours = write(
        folder.path(),
        "text.db",
        "this is no database at all, but long enough to be read as one\n".repeat(100),
        0o600,
    );
    let (status, logs) =
        launch(&store, &[("DATABASE_URL", &format!("sqlite://{not_ours}"))]).run_to_exit().await;
    assert!(!status.success(), "{logs}");
    assert!(
        std::fs::read_to_string(&not_ours).unwrap().starts_with("this is no database"),
        "it was overwritten"
    );
}
