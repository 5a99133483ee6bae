//! Slow clients, too many clients, and the end of the process while clients wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use authkit_tests::raw::Connection;
use authkit_tests::{Backend, ServerProcess, Store, on_both};

use crate::app::{
    PASSWORD, PATIENT, Tokens, credentials, launch, newcomer, person, refresh, refresh_body, serve, sign_in,
    within,
};

on_both! {
    async fn s_189_sigterm_under_load_loses_nothing(store: Store) {
        let mut server = serve(&store, &[]).await;
        let client = server.client();
        let mut holders = Vec::new();
        for i in 0..4 {
            holders.push(newcomer(&client, &format!("held-{i}@example.com")).await.refresh);
        }
        // Somebody who keeps a connection open and says nothing must not hold up the end.
        let mut idle = Connection::open(server.address()).await.unwrap();
        idle.send(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let begun = Arc::new(AtomicBool::new(false));
        let mut tasks = tokio::task::JoinSet::new();
        for (i, token) in holders.into_iter().enumerate() {
            let (client, begun) = (client.clone(), begun.clone());
            tasks.spawn(async move {
                let (mut token, mut made) = (token, Vec::new());
                for n in 0.. {
                    let body = refresh_body(&token);
                    match client.try_request("POST", "/v1/auth/refresh", Some(body)).await {
                        Ok(answer) if answer.status == 200 => token = Tokens::of(&answer).refresh,
                        Ok(answer) => {
                            answer.assert_error(503, "UNAVAILABLE");
                            break;
                        }
                        Err(error) => {
                            assert!(begun.load(Ordering::SeqCst), "before the end: {error:?}");
                            break;
                        }
                    }
                    let email = format!("term-{i}-{n}@example.com");
                    match client.try_request("POST", "/v1/auth/signup", Some(person(&email))).await {
                        Ok(answer) if answer.status == 201 => made.push(email),
                        Ok(answer) => {
                            answer.assert_error(503, "UNAVAILABLE");
                            break;
                        }
                        Err(error) => {
                            assert!(begun.load(Ordering::SeqCst), "before the end: {error:?}");
                            break;
                        }
                    }
                }
                (token, made)
            });
        }
        let made = "SELECT COUNT(*) FROM authkit_users";
        within(Duration::from_secs(20), "the load runs", async || crate::app::count(&store, made).await > 30).await;
        begun.store(true, Ordering::SeqCst);
        server.sigterm();
        let start = Instant::now();
        let status = server.wait().await;
        assert_eq!(status.code(), Some(0), "{}", server.logs());
        assert!(start.elapsed() < Duration::from_secs(15), "the end took {:?}", start.elapsed());
        let results = tasks.join_all().await;
        assert!(!server.logs().contains("panicked"), "{}", server.logs());

        let server = serve(&store, &[]).await;
        let client = server.client();
        for (token, made) in results {
            refresh(&client, &token).await.expect(200);
            for email in made {
                sign_in(&client, &email).await;
            }
        }
    }
}

/// A sign-in that is being hashed when the signal comes gets its answer; nobody new is let in.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s_189_who_is_inside_is_served_to_the_end() {
    let store = Store::new(Backend::Sqlite).await;
    let costly = [("ARGON2_MEMORY_KIB", "131072"), ("ARGON2_ITERATIONS", "6")];
    let mut server = launch(&store, &costly).start().await;
    newcomer(&server.client(), "inside@example.com").await;
    let inside = tokio::spawn({
        let client = server.client();
        async move { client.post("/v1/auth/login", credentials("inside@example.com", PASSWORD)).await }
    });
    let text = "the hash runs";
    let client = server.client();
    within(Duration::from_secs(10), text, async || {
        let metrics = client.get("/metrics").await;
        metrics.text.lines().any(|l| l.contains("busy") && !l.starts_with('#') && !l.ends_with(" 0"))
    })
    .await;
    server.sigterm();
    let late = within(Duration::from_secs(2), "no new connection is taken", async || {
        server.client().try_request("GET", "/health", None).await.is_err()
    });
    late.await;
    Tokens::of(&inside.await.unwrap());
    assert_eq!(server.wait().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_clients_are_given_up() {
    let store = Store::new(Backend::Sqlite).await;
    let server = serve(&store, &[]).await;
    let address = server.address().to_owned();
    let head = "POST /v1/auth/login HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n";
    // Each waits on its own, all at the same time.
    let body_stops = open(&address, format!("{head}content-length: 200\r\n\r\n{{\"email\":"));
    let body_drips = drip(&address, format!("{head}content-length: 2000\r\n\r\n"), b" ");
    let chunks_stop = open(&address, format!("{head}transfer-encoding: chunked\r\n\r\n5\r\n{{\"ema\r\n"));
    let head_stops = open(&address, "GET /health HTTP/1.1\r\nhost: x\r\nx-slow: ".to_owned());
    let head_drips = drip(&address, "GET /health HTTP/1.1\r\nhost: x\r\nx-slow: ".to_owned(), b"a");
    let nothing = open(&address, String::new());
    let (body_stops, body_drips, chunks_stop, head_stops, head_drips, nothing) =
        tokio::join!(body_stops, body_drips, chunks_stop, head_stops, head_drips, nothing);
    for (what, (statuses, text)) in [
        ("a body that stops", body_stops),
        ("a body that drips", body_drips),
        ("chunks that stop", chunks_stop),
    ] {
        assert_eq!(statuses, [408], "{what}: {text}");
        assert!(text.contains("REQUEST_TIMEOUT") && text.contains("request_id"), "{what}: {text}");
    }
    for (what, (statuses, text)) in
        [("a head that stops", head_stops), ("a head that drips", head_drips), ("silence", nothing)]
    {
        assert!(statuses.is_empty() || statuses == [408], "{what}: {text}");
    }
    // Others were served all the while, and are now.
    newcomer(&server.client(), "quick@example.com").await;
}

const GIVEN_UP: Duration = Duration::from_secs(45);

/// Sends this much and waits for the server to close.
async fn open(address: &str, text: String) -> (Vec<u16>, String) {
    let mut connection = Connection::open(address).await.unwrap();
    connection.send(text.as_bytes()).await.unwrap();
    let received = connection.read(GIVEN_UP).await;
    assert!(received.closed, "still open after {GIVEN_UP:?}: {text}");
    (received.statuses(), received.text())
}

/// Sends a byte at a time, so that it is never silent.
async fn drip(address: &str, text: String, drop: &[u8]) -> (Vec<u16>, String) {
    let mut connection = Connection::open(address).await.unwrap();
    connection.send(text.as_bytes()).await.unwrap();
    let start = Instant::now();
    loop {
        assert!(start.elapsed() < GIVEN_UP, "still open after {GIVEN_UP:?}: {text}");
        let received = connection.read(Duration::from_millis(200)).await;
        if received.closed || !received.bytes.is_empty() {
            return (received.statuses(), received.text());
        }
        let _ = connection.send(drop).await;
    }
}

/// 500 sign-ins at once at the real cost: a bounded number is served, the rest is shed, and the process stays small.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s_186_overload_is_shed_and_health_answers() {
    const CLIENTS: usize = 500;
    const MEMORY_KIB: u64 = 19_456;
    let store = Store::new(Backend::Sqlite).await;
    let real = ["ARGON2_MEMORY_KIB", "ARGON2_ITERATIONS", "ARGON2_PARALLELISM"];
    let launch =
        real.iter().fold(launch(&store, &[("ARGON2_MAX_CONCURRENT", "2")]), |l, name| l.without(name));
    let server = PATIENT.iter().fold(launch, |l, (name, value)| l.env(name, value)).start().await;
    let client = server.client();
    newcomer(&client, "storm@example.com").await;
    let before = peak_kib(&server);

    let done = Arc::new(AtomicBool::new(false));
    let watch = tokio::spawn({
        let (client, done) = (server.client(), done.clone());
        async move {
            let mut slowest = Duration::ZERO;
            while !done.load(Ordering::SeqCst) {
                let start = Instant::now();
                client.get("/health").await.expect(200);
                slowest = slowest.max(start.elapsed());
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            slowest
        }
    });
    let answers = authkit_tests::race(CLIENTS, |i| {
        let client = client.clone();
        let (email, password) =
            if i % 2 == 0 { ("storm@example.com", PASSWORD) } else { ("nobody@example.com", "x") };
        async move { client.post("/v1/auth/login", credentials(email, password)).await }
    })
    .await;
    done.store(true, Ordering::SeqCst);
    let slowest = watch.await.unwrap();
    let mut shed = 0;
    for answer in &answers {
        match answer.status {
            200 => drop(Tokens::of(answer)),
            401 => drop(answer.assert_error(401, "INVALID_CREDENTIALS")),
            _ => {
                answer.assert_error(503, "UNAVAILABLE");
                shed += 1;
            }
        }
    }
    let grown = peak_kib(&server) - before;
    println!("{} served, {shed} shed, health at most {slowest:?}, {grown} KiB more", CLIENTS - shed);
    assert!(shed > 100, "only {shed} of {CLIENTS} were shed");
    assert!(CLIENTS - shed >= 100, "only {} of {CLIENTS} were served", CLIENTS - shed);
    assert!(slowest < Duration::from_secs(1), "health took {slowest:?}");
    // Two slots and what 500 connections need; ten hashes more would be beyond it.
    assert!(grown < 2 * MEMORY_KIB + 64 * 1024, "{grown} KiB");
    sign_in(&client, "storm@example.com").await;
}

/// The most memory that the process ever had.
fn peak_kib(server: &ServerProcess) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).expect("its status");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("VmHWM");
    line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("a number")
}
