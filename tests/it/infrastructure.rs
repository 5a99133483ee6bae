//! The infrastructure itself: what other tests take for granted.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use authkit_tests::postgres::{Cluster, Database};
use authkit_tests::process::Launch;
use authkit_tests::{Backend, Store, on_both, race, raw};
use sqlx::{Connection as _, Executor as _, PgConnection, Row as _, SqliteConnection};

const SKELETON: &str = env!("CARGO_BIN_EXE_skeleton");

on_both! {
    async fn a_fresh_store_is_empty_and_takes_tables(store: Store) {
        let create = "CREATE TABLE probe (n BIGINT NOT NULL)";
        match store.backend() {
            Backend::Sqlite => {
                let url = format!("{}?mode=rwc", store.url());
                let mut connection = SqliteConnection::connect(&url).await.unwrap();
                connection.execute(create).await.unwrap();
                assert!(store.folder().join("authkit.db").is_file());
            }
            Backend::Postgres => {
                let mut connection = PgConnection::connect(store.url()).await.unwrap();
                connection.execute(create).await.unwrap();
            }
        }
    }

    async fn the_skeleton_signs_in_reads_and_rotates(store: Store) {
        let server = skeleton(&store).start().await;
        let client = server.client();
        let body = serde_json::json!({"email": "load-0@example.com", "password": "x"});
        assert_eq!(client.post("/login", body).await.status, 401);
        let body = serde_json::json!({
            "email": "load-0@example.com",
            "password": authkit_tests::load::PASSWORD,
        });
        let tokens = client.post("/login", body).await.expect(200);
        let me = client.bearer(tokens.str("/access_token")).get("/me").await.expect(200);
        assert_eq!(me.str("/email"), "load-0@example.com");
        let forged = format!("{}x", tokens.str("/access_token"));
        assert_eq!(client.bearer(&forged).get("/me").await.status, 401);
        let first = serde_json::json!({"refresh_token": tokens.str("/refresh_token")});
        let next = client.post("/refresh", first.clone()).await.expect(200);
        assert_eq!(client.post("/refresh", first).await.status, 401);
        let second = serde_json::json!({"refresh_token": next.str("/refresh_token")});
        client.post("/refresh", second).await.expect(200);
    }
}

fn skeleton(store: &Store) -> Launch {
    Launch::binary(SKELETON).envs(store.env()).env("SKELETON_ACCOUNTS", "1")
}

#[tokio::test]
async fn a_dropped_database_goes_and_a_copy_has_the_content() {
    let first = Database::create().await;
    let mut connection = PgConnection::connect(first.url()).await.unwrap();
    connection.execute("CREATE TABLE probe AS SELECT 7 AS n").await.unwrap();
    connection.close().await.unwrap();
    let copy = first.copy().await;
    let mut connection = PgConnection::connect(copy.url()).await.unwrap();
    let row = connection.fetch_one("SELECT n FROM probe").await.unwrap();
    assert_eq!(row.get::<i32, _>(0), 7);

    let mut admin = PgConnection::connect(&Cluster::shared().url("postgres")).await.unwrap();
    let name = copy.name().to_owned();
    // Dropped although a connection is open.
    drop(copy);
    eventually("the database is dropped", async || {
        let sql = "SELECT count(*) FROM pg_database WHERE datname = $1";
        let row = sqlx::query(sql).bind(&name).fetch_one(&mut admin).await.unwrap();
        row.get::<i64, _>(0) == 0
    })
    .await;
}

#[tokio::test]
async fn the_cluster_waits_for_the_disk_unless_told_otherwise() {
    let mut connection = PgConnection::connect(&Cluster::shared().url("postgres")).await.unwrap();
    let expected =
        if std::env::var("AUTHKIT_TEST_POSTGRES_FAST").is_ok_and(|v| v == "1") { "off" } else { "on" };
    for setting in ["fsync", "synchronous_commit", "full_page_writes"] {
        let row =
            sqlx::query("SELECT current_setting($1)").bind(setting).fetch_one(&mut connection).await.unwrap();
        assert_eq!(row.get::<String, _>(0), expected, "{setting}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_own_cluster_stops_starts_pauses_and_crashes() {
    let cluster = Arc::new(Cluster::start_own());
    let database = Database::create_in(&cluster).await;
    let mut connection = PgConnection::connect(database.url()).await.unwrap();
    connection.execute("CREATE TABLE probe (n INT NOT NULL)").await.unwrap();

    // Frozen: an open connection gets no answer, and gets it once the cluster goes on.
    cluster.pause();
    let mut query = Box::pin(connection.execute("INSERT INTO probe VALUES (1)"));
    assert!(tokio::time::timeout(Duration::from_millis(300), &mut query).await.is_err());
    let greeting =
        raw::exchange(&format!("127.0.0.1:{}", cluster.port()), &[], Duration::from_millis(100)).await;
    assert_eq!(greeting.unwrap_or_default(), b"");
    cluster.resume();
    tokio::time::timeout(Duration::from_secs(10), query).await.expect("an answer after the pause").unwrap();

    for halt in [Cluster::stop, Cluster::crash] {
        halt(&cluster);
        assert!(PgConnection::connect(database.url()).await.is_err());
        cluster.start();
        let mut connection = PgConnection::connect(database.url()).await.unwrap();
        let row = connection.fetch_one("SELECT count(*) FROM probe").await.unwrap();
        assert_eq!(row.get::<i64, _>(0), 1);
    }
    let home = cluster.home().to_owned();
    drop((connection, database, cluster));
    assert!(!home.exists());
}

/// Runs in a process of its own, which the next test kills. Alone it does nothing that matters.
#[test]
fn a_cluster_for_the_next_test() {
    let Ok(note) = std::env::var("AUTHKIT_TEST_NOTE") else { return };
    let cluster = Cluster::start_own();
    std::fs::write(&note, format!("{}\n{}", cluster.port(), cluster.home().display())).unwrap();
    std::thread::park();
}

#[tokio::test]
async fn a_killed_test_process_takes_its_cluster_along() {
    let folder = tempfile::tempdir().unwrap();
    let note = folder.path().join("note");
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "infrastructure::a_cluster_for_the_next_test"])
        .env("AUTHKIT_TEST_NOTE", &note)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    eventually("the cluster is up", async || std::fs::read_to_string(&note).is_ok_and(|t| t.contains('/')))
        .await;
    let text = std::fs::read_to_string(&note).unwrap();
    let (port, home) = text.split_once('\n').unwrap();
    let address = format!("127.0.0.1:{port}");
    assert!(std::net::TcpStream::connect(&address).is_ok());
    child.kill().unwrap();
    child.wait().unwrap();
    eventually("the cluster is gone", async || {
        std::net::TcpStream::connect(&address).is_err() && !Path::new(home).exists()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn racers_start_together_and_keep_their_order() {
    let (waiting, n) = (Arc::new(AtomicU32::new(0)), 50);
    let results = race(n, |i| {
        // Counted when the task is made; the body runs only after all of them were.
        waiting.fetch_add(1, Ordering::SeqCst);
        let waiting = waiting.clone();
        async move { (i, waiting.load(Ordering::SeqCst)) }
    })
    .await;
    let expected: Vec<_> = (0..n).map(|i| (i, 50)).collect();
    assert_eq!(results, expected);
}

#[tokio::test]
async fn a_server_process_is_watched_stopped_and_killed() {
    let store = Store::new(Backend::Sqlite).await;
    let mut server = skeleton(&store).start().await;
    assert_eq!(server.client().get("/health").await.expect(200).body["status"], "ok");
    server.sigterm();
    assert!(!server.wait().await.success());

    let mut server = skeleton(&store).start().await;
    server.pause();
    let address = server.address().to_owned();
    let request = b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n";
    let mut connection = raw::Connection::open(&address).await.unwrap();
    connection.send(request).await.unwrap();
    assert_eq!(connection.read(Duration::from_millis(200)).await.statuses(), [0_u16; 0]);
    server.resume();
    let received = connection.read(Duration::from_millis(500)).await;
    assert_eq!((received.statuses(), received.closed), (vec![200], false));
    connection.send(&request.repeat(2)).await.unwrap();
    assert_eq!(connection.read(Duration::from_millis(500)).await.statuses(), [200, 200]);
    server.kill9();
    assert!(connection.read(Duration::from_millis(500)).await.closed);
    assert!(raw::exchange(&address, request, Duration::from_millis(200)).await.is_err());
}

#[tokio::test]
async fn a_server_that_refuses_to_start_says_why() {
    let store = Store::new(Backend::Sqlite).await;
    let launch = skeleton(&store).env("DATABASE_URL", "nonsense://");
    let (status, logs) = launch.run_to_exit().await;
    assert!(!status.success());
    assert!(logs.contains("DATABASE_URL"), "{logs}");
}

/// Asks again until it is so; panics after 20 s.
async fn eventually(what: &str, mut so: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !so().await {
        assert!(Instant::now() < end, "not within 20 s: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
