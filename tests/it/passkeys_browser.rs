//! Passkeys in a real Chromium with a virtual authenticator: options as its own functions parse them, answers as it
//! writes them, on a page of the server's own origin.

use authkit_tests::browser::{Browser, Traits};
use authkit_tests::{Backend, Client, ServerProcess, Store};
use serde_json::{Value, json};

use crate::app::{PASSWORD, Tokens, credentials, launch, newcomer};

/// Asks for options at `begin`, has the browser answer, and sends that to `finish`; `only` are ids that the page allows
/// instead of those of the options. Gives status and body of the last answer and what was sent, or the browser's error.
const CEREMONY: &str = r#"
    const [begin, asked, bearer, finish, more, nested, only] = arguments;
    const done = arguments[arguments.length - 1];
    const headers = { "content-type": "application/json" };
    if (bearer) headers.authorization = "Bearer " + bearer;
    const post = async (path, body) => {
        const answer = await fetch("/v1/auth/" + path, { method: "POST", headers, body: JSON.stringify(body) });
        return { status: answer.status, body: await answer.json().catch(() => null) };
    };
    (async () => {
        const begun = await post(begin, asked);
        if (begun.status !== 200) return begun;
        const { challenge_id, options } = begun.body;
        if (only) options.allowCredentials = only.map(id => ({ type: "public-key", id }));
        const made = begin.endsWith("register")
            ? await navigator.credentials.create({ publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(options) })
            : await navigator.credentials.get({ publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(options) });
        const passkey = { challenge_id, credential: made.toJSON() };
        const sent = Object.assign({}, more, nested ? { passkey } : passkey);
        return Object.assign(await post(finish, sent), { sent });
    })().then(done, error => done({ error: error.name }));
"#;

/// A server, a browser on a page of its origin, and what the page says.
struct World {
    _store: Store,
    server: ServerProcess,
    browser: Browser,
}

impl World {
    async fn start(env: &[(&str, &str)]) -> Self {
        let store = Store::new(Backend::Sqlite).await;
        // `PUBLIC_URL` is the server's own address on localhost: that is the relying party.
        let server = launch(&store, env).public().start().await;
        let browser = Browser::start().await;
        // The page is data, for which the server allows nothing; the test's script takes the place of an application's.
        browser.devtools("Page.setBypassCSP", json!({ "enabled": true })).await;
        browser.open(&format!("{}/health", server.local_url())).await;
        Self { _store: store, server, browser }
    }

    fn client(&self) -> Client {
        self.server.client()
    }

    async fn register(&self, access: &str) -> Value {
        let bearer = if access.is_empty() { Value::Null } else { json!(access) };
        let steps = json!(["passkeys/register", { "name": "Chromium" }, bearer, "passkeys/register/verify", {}, false, null]);
        self.browser.run_async(CEREMONY, steps).await
    }

    async fn sign_in(&self) -> Value {
        let steps = json!(["passkeys/login", {}, null, "passkeys/login/verify", {}, false, null]);
        self.browser.run_async(CEREMONY, steps).await
    }

    async fn second_factor(&self, mfa_token: &str, only: Option<&str>) -> Value {
        let token = json!({ "mfa_token": mfa_token });
        let only = only.map(|id| vec![id]);
        let steps = json!(["passkeys/login", token, null, "mfa/complete", token, true, only]);
        self.browser.run_async(CEREMONY, steps).await
    }

    async fn step_up(&self, access: &str) -> Value {
        let steps = json!(["passkeys/login", {}, access, "step-up", {}, true, null]);
        self.browser.run_async(CEREMONY, steps).await
    }

    async fn mfa_token(&self, email: &str) -> String {
        let waiting = self.client().post("/v1/auth/login", credentials(email, PASSWORD)).await.expect(200);
        assert_eq!(waiting.str("/status"), "mfa_required");
        waiting.str("/mfa_token").to_owned()
    }
}

fn code(out: &Value) -> (u64, &str) {
    (out["status"].as_u64().unwrap_or_default(), out["body"]["error"]["code"].as_str().unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_registers_signs_in_and_is_refused_once_its_key_is_removed() {
    let world = World::start(&[]).await;
    let client = world.client();
    let phone = world.browser.add_authenticator(Traits::default()).await;
    let tokens = newcomer(&client, "ada@example.com").await;

    let made = world.register(&tokens.access).await;
    assert_eq!((&made["status"], &made["body"]["name"]), (&json!(201), &json!("Chromium")), "{made}");
    assert_eq!(made["body"]["transports"], json!(["internal"]));
    let held = phone.credentials().await;
    assert_eq!(
        (held.len(), &held[0]["isResidentCredential"], &held[0]["rpId"]),
        (1, &json!(true), &json!("localhost"))
    );
    // The same phone is not registered twice.
    let next = Tokens::of(&client.post("/v1/auth/refresh", tokens.refresh_body()).await);
    let again = world.register(&next.access).await;
    assert_eq!(code(&again), (403, "STEP_UP_REQUIRED"), "{again}");

    let signed = world.sign_in().await;
    assert_eq!(
        (&signed["status"], &signed["body"]["status"]),
        (&json!(200), &json!("authenticated")),
        "{signed}"
    );
    let access = signed["body"]["access_token"].as_str().unwrap().to_owned();
    assert_eq!(crate::app::claims(&access)["amr"][1], "user");
    assert_eq!(crate::app::claims(&access)["amr"][2], "mfa");
    // Two factors in one: it may add another, and the browser knows that it has one already.
    let again = world.register(&access).await;
    assert_eq!(again["error"], "InvalidStateError", "{again}");

    // A replay of what was sent is nothing.
    let replayed = client.post("/v1/auth/passkeys/login/verify", signed["sent"].clone()).await;
    replayed.assert_error(401, "INVALID_CREDENTIALS");

    // A phone that does not know its holder answers nothing.
    phone.set_verified(false).await;
    assert_eq!(world.sign_in().await["error"], "NotAllowedError");
    phone.set_verified(true).await;

    // Removed at the server, the key is still in the phone, and opens nothing.
    let id = made["body"]["id"].as_str().unwrap();
    client.bearer(&access).delete(&format!("/v1/auth/passkeys/{id}")).await.expect(204);
    let out = world.sign_in().await;
    assert_eq!(code(&out), (401, "INVALID_CREDENTIALS"), "{out}");
    // Removed in the phone, there is nothing to answer with.
    phone.remove_credential(held[0]["credentialId"].as_str().unwrap()).await;
    assert_eq!(world.sign_in().await["error"], "NotAllowedError");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_gives_the_second_factor_and_not_the_wrong_user_s() {
    let world = World::start(&[]).await;
    let client = world.client();
    let phone = world.browser.add_authenticator(Traits::default()).await;
    let mut ids = Vec::new();
    for email in ["ada@example.com", "bob@example.com"] {
        let tokens = newcomer(&client, email).await;
        let made = world.register(&tokens.access).await;
        assert_eq!(made["status"], 201, "{made}");
        let known: Vec<String> = ids.clone();
        let held = phone.credentials().await;
        let all = held.iter().map(|key| key["credentialId"].as_str().unwrap().to_owned());
        ids.extend(all.filter(|id| !known.contains(id)).collect::<Vec<_>>());
    }
    assert_eq!(ids.len(), 2);

    let done = world.second_factor(&world.mfa_token("ada@example.com").await, None).await;
    assert_eq!(done["status"], 200, "{done}");
    let access = done["body"]["access_token"].as_str().unwrap();
    assert_eq!(crate::app::claims(access)["amr"][0], "pwd");
    // Ada's passkey for Bob's sign-in: the page asks for it by its id.
    let out = world.second_factor(&world.mfa_token("bob@example.com").await, Some(&ids[0])).await;
    assert_eq!(code(&out), (401, "MFA_INVALID"), "{out}");
    let out = world.second_factor(&world.mfa_token("bob@example.com").await, None).await;
    assert_eq!(out["status"], 200, "{out}");

    let risen = world.step_up(access).await;
    assert_eq!(
        (&risen["status"], &risen["body"]["status"]),
        (&json!(200), &json!("authenticated")),
        "{risen}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_that_keeps_tokens_in_cookies_registers_and_signs_in() {
    let world = World::start(&[("TOKEN_TRANSPORT", "cookie")]).await;
    let _phone = world.browser.add_authenticator(Traits::default()).await;
    const CALL: &str = r#"const [path, body] = arguments; const done = arguments[arguments.length - 1];
        const headers = { "content-type": "application/json" };
        fetch("/v1/auth/" + path, { method: "POST", headers, body: JSON.stringify(body) }).then(a => done(a.status));"#;
    let call = async |path: &str, body: Value| world.browser.run_async(CALL, json!([path, body])).await;
    assert_eq!(call("signup", crate::app::person("ada@example.com")).await, 201);
    assert_eq!(call("login", credentials("ada@example.com", PASSWORD)).await, 200);
    let made = world.register("").await;
    assert_eq!(made["status"], 201, "{made}");
    // The access token died with the registration; the browser has a fresh one by refresh, and gives both up.
    assert_eq!(call("refresh", json!({})).await, 200);
    assert_eq!(call("logout-all", json!({})).await, 204);
    let signed = world.sign_in().await;
    assert_eq!((&signed["status"], &signed["body"]["access_token"]), (&json!(200), &Value::Null), "{signed}");
    let names: Vec<Value> = world.browser.cookies().await.into_iter().map(|c| c["name"].clone()).collect();
    assert!(names.contains(&json!("__Host-authkit_access")), "{names:?}");
}
