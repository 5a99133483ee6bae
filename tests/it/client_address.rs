//! Which address a request comes from, over real sockets and real proxies: the same one in session, audit and log
//! (R4).
//!
//! All of 127.0.0.0/8 is this machine, so clients and proxies have addresses of their own.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use authkit::http::axum::{AuthState, Meta, request_context};
use authkit_tests::proxy::{Proxy, Tells};
use authkit_tests::raw::Connection;
use authkit_tests::{Backend, Client, ServerProcess, Store, on_both};
use axum::Router;
use axum::routing::get;
use serde_json::Value;

use crate::app::{PASSWORD, Tokens, credentials, serve, settled_logs, sign_up};
use crate::support::{Raw, kit_with};

const CLIENT: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 5);
const OTHER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 6);
const OUTER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 8);
const PROXY: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 9);
/// The two proxies, and nobody else.
const TRUSTED: [(&str, &str); 1] = [("TRUSTED_PROXIES", "127.0.0.8/31")];

const EMAIL: &str = "ann@example.com";
const FORGED: [(&str, &str); 4] = [
    ("x-forwarded-for", "203.0.113.1, 127.0.0.9"),
    ("forwarded", "for=203.0.113.2, for=127.0.0.9"),
    ("x-real-ip", "203.0.113.3"),
    ("true-client-ip", "203.0.113.4"),
];

fn forging(client: &Client) -> Client {
    FORGED.iter().fold(client.clone(), |client, (name, value)| client.header(name, value))
}

/// A request id that no other sign-in of this run has.
fn fresh_id() -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    format!("address-{:04}", NUMBER.fetch_add(1, Ordering::Relaxed))
}

/// Signs in by that client, and tells from which address: the session, the audit and the log must agree.
async fn address_of(store: &Store, server: &ServerProcess, client: &Client) -> String {
    let id = fresh_id();
    let answer =
        client.header("x-request-id", &id).post("/v1/auth/login", credentials(EMAIL, PASSWORD)).await;
    agreed(store, server, &id, &Tokens::of(&answer)).await
}

async fn agreed(store: &Store, server: &ServerProcess, id: &str, tokens: &Tokens) -> String {
    let listed = server.client().bearer(&tokens.access).get("/v1/auth/sessions").await.expect(200);
    let sessions = listed.body["items"].as_array().unwrap();
    let own = sessions.iter().find(|session| session["current"] == Value::Bool(true)).unwrap();
    let in_session = own["ip"].as_str().unwrap_or_default().to_owned();

    let query = format!("SELECT ip FROM authkit_audit WHERE request_id = '{id}' AND action = 'login'");
    assert_eq!(Raw::open(store).await.texts(&query).await, [in_session.as_str()], "the audit of {id}");

    settled_logs(server).await;
    let lines = server.json_logs();
    let line = lines.iter().find(|line| line["request_id"] == id && line["event_type"] == "request");
    let message = line.unwrap_or_else(|| panic!("no line for {id}"))["message"].as_str().unwrap();
    assert_eq!(message.split("ip=").nth(1), Some(in_session.as_str()), "the log of {id}: {message}");
    in_session
}

on_both! {
    async fn s_036_what_an_untrusted_peer_says_of_addresses_is_ignored(store: Store) {
        // Once without any trusted proxy, once with one that the client is not.
        for env in [&[][..], &TRUSTED] {
            let server = serve(&store, env).await;
            let client = Client::from(CLIENT.into(), &server.url());
            if env.is_empty() {
                sign_up(&client, EMAIL).await;
            }
            assert_eq!(address_of(&store, &server, &client).await, "127.0.0.5");
            assert_eq!(address_of(&store, &server, &forging(&client)).await, "127.0.0.5");
        }
        // A proxy that nobody named speaks for itself, too.
        let server = serve(&store, &[]).await;
        let proxy = Proxy::start(PROXY, server.address(), Tells::Both).await;
        let client = Client::from(CLIENT.into(), &proxy.url());
        assert_eq!(address_of(&store, &server, &client).await, "127.0.0.9");
    }

    async fn s_037_behind_trusted_proxies_the_right_most_untrusted_hop_counts(store: Store) {
        let server = serve(&store, &TRUSTED).await;
        sign_up(&server.client(), EMAIL).await;
        for tells in [Tells::List, Tells::NewLine, Tells::Forwarded, Tells::Both] {
            let proxy = Proxy::start(PROXY, server.address(), tells).await;
            let outer = Proxy::start(OUTER, &proxy.address(), tells).await;
            let written = match tells {
                Tells::Forwarded => "forwarded",
                _ => "x-forwarded-for",
            };
            for url in [proxy.url(), outer.url()] {
                let client = Client::from(CLIENT.into(), &url);
                assert_eq!(address_of(&store, &server, &client).await, "127.0.0.5", "{tells:?}");
                for forged in ["203.0.113.1", "127.0.0.9", "for=203.0.113.1", "for=127.0.0.9, for=\"", "\"", "junk", ""] {
                    let client = client.header(written, forged).header("x-real-ip", "203.0.113.3");
                    assert_eq!(address_of(&store, &server, &client).await, "127.0.0.5", "{tells:?} {forged}");
                }
            }
            // The other header, which this proxy only passes on: then nobody knows, and the peer counts.
            let client = forging(&Client::from(CLIENT.into(), &proxy.url()));
            let expected = if tells == Tells::Both { "127.0.0.5" } else { "127.0.0.9" };
            assert_eq!(address_of(&store, &server, &client).await, expected, "{tells:?}");
        }
        // A proxy that says nothing is the client.
        let silent = Proxy::start(PROXY, server.address(), Tells::Nothing).await;
        let client = Client::from(CLIENT.into(), &silent.url());
        assert_eq!(address_of(&store, &server, &client).await, "127.0.0.9");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn junk_from_a_trusted_proxy_is_the_peer_and_never_an_error() {
    let store = Store::new(Backend::Sqlite).await;
    let server = serve(&store, &TRUSTED).await;
    sign_up(&server.client(), EMAIL).await;
    let body = credentials(EMAIL, PASSWORD).to_string();
    let long = "203.0.113.1,".repeat(4_000);
    let proxies = "127.0.0.8,".repeat(4_000);
    let cases: [(&[u8], &str); 12] = [
        (b"X-Forwarded-For:", "127.0.0.9"),
        (b"X-Forwarded-For: , ,", "127.0.0.9"),
        (b"X-Forwarded-For: \xff\xfe\x80", "127.0.0.9"),
        (b"X-Forwarded-For: 203.0.113.1, 999.1.1.1", "127.0.0.9"),
        (b"X-Forwarded-For: 203.0.113.1, unknown, 127.0.0.8", "127.0.0.8"),
        (b"X-Forwarded-For: 203.0.113.1\r\nX-Forwarded-For: [::ffff:127.0.0.5]:4711", "127.0.0.5"),
        (long.as_bytes(), "127.0.0.9"),
        (proxies.as_bytes(), "127.0.0.8"),
        (b"Forwarded: for=\"_gazonk\"", "127.0.0.9"),
        (b"Forwarded: for=203.0.113.1;for=203.0.113.2", "127.0.0.9"),
        (b"Forwarded: For=\"[2001:db8:cafe::17]:4711\"", "2001:db8:cafe::17"),
        (b"Forwarded: for=\"203.0.113.1, for=127.0.0.5", "127.0.0.5"),
    ];
    for (header, expected) in cases {
        let id = fresh_id();
        let mut request = format!(
            "POST /v1/auth/login HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-request-id: {id}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n",
            body.len()
        )
        .into_bytes();
        if !header.contains(&b':') {
            request.extend_from_slice(b"X-Forwarded-For: ");
        }
        // The long ones end in a comma: an address behind it makes them lists without an empty item.
        request.extend_from_slice(header);
        if header.ends_with(b"1,") {
            request.extend_from_slice(b"junk");
        } else if header.ends_with(b"8,") {
            request.extend_from_slice(b"127.0.0.8");
        }
        request.extend_from_slice(b"\r\n\r\n");
        request.extend_from_slice(body.as_bytes());
        let mut connection = Connection::open_from(PROXY, server.address()).await.unwrap();
        connection.send(&request).await.unwrap();
        let received = connection.read(Duration::from_secs(20)).await;
        let shown = String::from_utf8_lossy(header.get(..80).unwrap_or(header)).into_owned();
        assert_eq!(received.statuses(), [200], "{shown}: {}", received.text());
        let text = received.text();
        let json = &text[text.find("\r\n\r\n").unwrap()..];
        let body: Value = serde_json::from_str(json.trim()).unwrap();
        let token = |name: &str| body[name].as_str().unwrap().to_owned();
        let tokens = Tokens { access: token("access_token"), refresh: token("refresh_token") };
        assert_eq!(agreed(&store, &server, &id, &tokens).await, expected, "{shown}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bound_session_follows_the_client_through_the_proxy_and_nobody_else() {
    let store = Store::new(Backend::Sqlite).await;
    let [name] = TRUSTED;
    let server = serve(&store, &[name, ("SESSION_BIND_IP", "true")]).await;
    let proxy = Proxy::start(PROXY, server.address(), Tells::List).await;
    let client = Client::from(CLIENT.into(), &proxy.url());
    sign_up(&client, EMAIL).await;
    let login = client.post("/v1/auth/login", credentials(EMAIL, PASSWORD)).await;
    let tokens = Tokens::of(&login);
    client.bearer(&tokens.access).get("/v1/auth/me").await.expect(200);
    // Directly it is the same address.
    Client::from(CLIENT.into(), &server.url()).bearer(&tokens.access).get("/v1/auth/me").await.expect(200);
    for thief in [Client::from(OTHER.into(), &proxy.url()), Client::from(OTHER.into(), &server.url())] {
        for forged in ["127.0.0.5", "127.0.0.5, 127.0.0.9"] {
            let thief = thief.header("x-forwarded-for", forged).bearer(&tokens.access);
            thief.get("/v1/auth/me").await.assert_error(401, "UNAUTHENTICATED");
        }
    }
}

/// An application of its own that uses the extractors, with and without the middleware around it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn embedders_see_the_same_address() {
    async fn whence(Meta(meta): Meta) -> String {
        meta.ip.map(|ip| ip.to_string()).unwrap_or_default()
    }
    let store = Store::new(Backend::Sqlite).await;
    let test = kit_with(&store, |config| {
        config.server.trusted_proxies =
            authkit::config::TrustedProxies::new(["127.0.0.8/31".parse().unwrap()]);
    })
    .await;
    let state = AuthState::new(test.kit.clone());
    let with = Router::new()
        .route("/with", get(whence))
        .layer(axum::middleware::from_fn_with_state(state.clone(), request_context));
    let app: Router = Router::new().route("/without", get(whence)).merge(with).with_state(state);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let service = app.into_make_service_with_connect_info::<SocketAddr>();
    let serving = tokio::spawn(async move { axum::serve(listener, service).await });
    let proxy = Proxy::start(PROXY, &address, Tells::Forwarded).await;
    for path in ["/with", "/without"] {
        let direct = Client::from(CLIENT.into(), &format!("http://{address}"));
        assert_eq!(forging(&direct).get(path).await.expect(200).text, "127.0.0.5", "{path}");
        let behind = Client::from(CLIENT.into(), &proxy.url()).header("forwarded", "for=203.0.113.2");
        assert_eq!(behind.get(path).await.expect(200).text, "127.0.0.5", "{path}");
    }
    serving.abort();
}
