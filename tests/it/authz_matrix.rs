//! Every route against every role in the own organisation, in another one, and on a thing: made from the API's own
//! description, so that a new route which nobody judged fails here.

use authkit_tests::process::authctl_with;
use authkit_tests::{Answer, Backend, Client, ServerProcess, Store};
use serde_json::{Value, json};

use crate::app::{PASSWORD, launch, newcomer, settings, sign_in};

/// Routes without a caller.
const PUBLIC: &[&str] = &[
    "signup",
    "login",
    "refresh",
    "logout",
    "complete_mfa",
    "verify_email",
    "resend_verification",
    "request_password_reset",
    "reset_password",
    "confirm_email_change",
    "undo_email_change",
    "unlock",
    "accept_invitation",
    "begin_passkey_login",
    "finish_passkey_login",
];
/// What everybody does with his own account, and lists of his own.
const OWN: &[&str] = &[
    "me",
    "update_me",
    "delete_me",
    "logout_all",
    "change_password",
    "step_up",
    "request_email_change",
    "list_sessions",
    "end_session",
    "mfa",
    "add_totp",
    "confirm_totp",
    "regenerate_backup_codes",
    "disable_mfa",
    "list_orgs",
    "list_passkeys",
    "begin_passkey_registration",
    "finish_passkey_registration",
    "remove_passkey",
    "create_api_key",
    "list_api_keys",
    "revoke_api_key",
];
/// What is for callers who may do everything.
const OPERATORS: &[&str] = &[
    "list_lockouts",
    "clear_lockout",
    "unlock_user",
    "reset_mfa",
    "create_org",
    "create_user",
    "list_users",
    "show_user",
    "update_user",
    "delete_user",
    "disable_user",
    "enable_user",
    "set_roles",
    "list_sessions_of_user",
    "end_sessions_of_user",
];

/// A request on a target, and from which role on it is granted.
struct Case {
    id: &'static str,
    least: Role,
    status: u16,
    make: fn(&Fixture, &Target) -> (&'static str, String, Option<Value>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Role {
    Stranger,
    Member,
    Admin,
    Owner,
    Root,
}

const ROLES: [Role; 5] = [Role::Stranger, Role::Member, Role::Admin, Role::Owner, Role::Root];

/// An organisation, or a thing, with somebody on it to act on.
struct Target {
    kind: &'static str,
    id: String,
    membership: String,
    invitation: String,
}

impl Target {
    fn invitation_body(&self, email: &str, role: &str) -> Value {
        if self.kind == "org" {
            json!({"email": email, "role": role, "org_id": self.id})
        } else {
            json!({"email": email, "role": role, "resource_type": self.kind, "resource_id": self.id})
        }
    }

    /// The least role there is on it.
    fn least(&self) -> &'static str {
        if self.kind == "org" { "member" } else { "viewer" }
    }
}

const ORGS: &[Case] = &[
    Case {
        id: "show_org",
        least: Role::Member,
        status: 200,
        make: |_, t| ("GET", format!("orgs/{}", t.id), None),
    },
    Case {
        id: "update_org",
        least: Role::Admin,
        status: 200,
        make: |_, t| ("PATCH", format!("orgs/{}", t.id), Some(json!({"name": "Other"}))),
    },
    Case {
        id: "delete_org",
        least: Role::Owner,
        status: 204,
        make: |_, t| ("DELETE", format!("orgs/{}", t.id), None),
    },
    Case {
        id: "list_members",
        least: Role::Admin,
        status: 200,
        make: |_, t| ("GET", format!("orgs/{}/members", t.id), None),
    },
    Case {
        id: "add_member",
        least: Role::Admin,
        status: 201,
        make: |f, t| {
            let body = json!({"user_id": f.candidate, "role": "member"});
            ("POST", format!("orgs/{}/members", t.id), Some(body))
        },
    },
    Case {
        id: "change_member",
        least: Role::Admin,
        status: 200,
        make: |f, t| ("PATCH", format!("orgs/{}/members/{}", t.id, f.victim), Some(json!({"role": "admin"}))),
    },
    Case {
        id: "remove_member",
        least: Role::Admin,
        status: 204,
        make: |f, t| ("DELETE", format!("orgs/{}/members/{}", t.id, f.victim), None),
    },
];

/// On organisations and on things alike.
const BOTH: &[Case] = &[
    Case {
        id: "list_memberships",
        least: Role::Admin,
        status: 200,
        make: |_, t| ("GET", format!("memberships?resource_type={}&resource_id={}", t.kind, t.id), None),
    },
    Case {
        id: "grant_membership",
        least: Role::Admin,
        status: 201,
        make: |f, t| {
            let body = json!({
                "user_id": f.candidate, "resource_type": t.kind, "resource_id": t.id, "role": t.least(),
            });
            ("POST", "memberships".into(), Some(body))
        },
    },
    Case {
        id: "revoke_membership",
        least: Role::Admin,
        status: 204,
        make: |_, t| ("DELETE", format!("memberships/{}", t.membership), None),
    },
    Case {
        id: "create_invitation",
        least: Role::Admin,
        status: 201,
        make: |_, t| {
            let body = t.invitation_body(&format!("other-{}@example.com", t.id), t.least());
            ("POST", "invitations".into(), Some(body))
        },
    },
    Case {
        id: "list_invitations",
        least: Role::Admin,
        status: 200,
        make: |_, t| {
            let query = if t.kind == "org" {
                format!("org_id={}", t.id)
            } else {
                format!("resource_type={}&resource_id={}", t.kind, t.id)
            };
            ("GET", format!("invitations?{query}"), None)
        },
    },
    Case {
        id: "resend_invitation",
        least: Role::Admin,
        status: 202,
        make: |_, t| ("POST", format!("invitations/{}/resend", t.invitation), None),
    },
    Case {
        id: "revoke_invitation",
        least: Role::Admin,
        status: 204,
        make: |_, t| ("DELETE", format!("invitations/{}", t.invitation), None),
    },
];

struct Fixture {
    root: Client,
    people: Vec<(Role, Client, String)>,
    owner_email: String,
    victim: String,
    candidate: String,
    made: std::cell::Cell<u32>,
}

impl Fixture {
    fn client(&self, role: Role) -> &Client {
        let found = self.people.iter().find(|(of, ..)| *of == role);
        found.map_or(&self.root, |(_, client, _)| client)
    }

    /// A fresh organisation, of which the people hold their roles.
    async fn org(&self) -> Target {
        let body = json!({"name": "Clinic", "admin_email": self.owner_email});
        let id = self.root.post("/v1/orgs", body).await.expect(201).str("/id").to_owned();
        for (role, name) in [(Role::Member, "member"), (Role::Admin, "admin")] {
            let (.., user) = self.people.iter().find(|(of, ..)| *of == role).unwrap();
            let body = json!({"user_id": user, "role": name});
            self.root.post(&format!("/v1/orgs/{id}/members"), body).await.expect(201);
        }
        self.with_victim("org", id).await
    }

    /// A fresh thing, likewise.
    async fn thing(&self) -> Target {
        self.made.set(self.made.get() + 1);
        let id = format!("p{}", self.made.get());
        for (role, name) in [(Role::Owner, "owner"), (Role::Member, "viewer"), (Role::Admin, "manager")] {
            let (.., user) = self.people.iter().find(|(of, ..)| *of == role).unwrap();
            self.grant("project", &id, user, name).await;
        }
        self.with_victim("project", id).await
    }

    async fn grant(&self, kind: &str, id: &str, user: &str, role: &str) -> Answer {
        let body = json!({"user_id": user, "resource_type": kind, "resource_id": id, "role": role});
        self.root.post("/v1/memberships", body).await.expect(201)
    }

    async fn with_victim(&self, kind: &'static str, id: String) -> Target {
        let mut target = Target { kind, id, membership: String::new(), invitation: String::new() };
        let made = self.grant(kind, &target.id, &self.victim, target.least()).await;
        target.membership = made.str("/id").to_owned();
        let body = target.invitation_body(&format!("one-{}@example.com", target.id), target.least());
        target.invitation = self.root.post("/v1/invitations", body).await.expect(201).str("/id").to_owned();
        target
    }
}

async fn start(store: &Store) -> ServerProcess {
    let file = "[[resource_types]]\nname = \"project\"\n\
        roles = { owner = [\"*\"], manager = [\"read\", \"members:read\", \"members:write\"], viewer = [\"read\"] }\n";
    std::fs::write(store.folder().join("authkit.toml"), file).unwrap();
    let dir = store.folder().join("mails").display().to_string();
    let env = [
        ("MAIL_DIR", dir.as_str()),
        ("RL_FALLBACK_IP_LIMIT", "100000/1m"),
        ("RL_INVITE_USER_LIMIT", "100000/1m"),
        ("RL_SIGNUP_IP_LIMIT", "1000/1m"),
    ];
    launch(store, &env).folder(store.folder()).start().await
}

async fn root(store: &Store, client: &Client) -> Client {
    let root = [
        "user",
        "create",
        "root@example.com",
        "--name",
        "Root",
        "--roles",
        "super_admin",
        "--password-stdin",
    ];
    let made = authctl_with(&settings(store, &[]), store.folder(), &root, PASSWORD).await;
    assert_eq!(made.code(), 0, "{}", made.stderr);
    client.bearer(&sign_in(client, "root@example.com").await.access)
}

async fn id_of(client: &Client) -> String {
    client.get("/v1/auth/me").await.expect(200).str("/id").to_owned()
}

/// (operation, method, path, whether it takes a body)
fn operations(document: &Value) -> Vec<(String, String, String, bool)> {
    let mut out = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        if !path.starts_with("/v1/") {
            continue;
        }
        for (method, operation) in item.as_object().unwrap() {
            let Some(id) = operation["operationId"].as_str() else { continue };
            out.push((
                id.to_owned(),
                method.to_uppercase(),
                path.clone(),
                operation["requestBody"].is_object(),
            ));
        }
    }
    out
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_route_but_the_public_ones_wants_a_good_token() {
    let store = Store::new(Backend::Sqlite).await;
    let server = start(&store).await;
    let client = server.client();
    let document = client.get("/openapi.json").await.expect(200).body;
    let all = operations(&document);
    let judged: Vec<&str> = ORGS.iter().chain(BOTH).map(|case| case.id).collect();
    let fresh = client.bearer(&newcomer(&client, "fresh@example.com").await.access);
    let mut seen = 0;
    for (id, method, path, has_body) in &all {
        let id = id.as_str();
        let listed = [PUBLIC, OWN, OPERATORS].concat().contains(&id) || judged.contains(&id);
        let elsewhere = ["health", "ready", "cleanup"].iter().any(|word| id.contains(word));
        assert!(listed || elsewhere, "{id} ({method} {path}) is judged by nobody: add it to the matrix");
        if PUBLIC.contains(&id) || elsewhere {
            continue;
        }
        seen += 1;
        let path = path
            .split('/')
            .map(|part| if part.starts_with('{') { "018f9f7e-0000-7000-8000-000000000000" } else { part });
        let path = path.collect::<Vec<_>>().join("/");
        let ask = |client: Client| {
            let (method, path) = (method.clone(), path.clone());
            let body = has_body.then(|| b"{}".to_vec());
            async move {
                let client =
                    if body.is_some() { client.header("content-type", "application/json") } else { client };
                client.request(&method, &path, body).await
            }
        };
        ask(client.clone()).await.assert_error(401, "UNAUTHENTICATED");
        for bad in ["nonsense", "ey.ey.ey", "akr_nonsense", "akk_nonsense"] {
            ask(client.bearer(bad)).await.assert_error(401, "UNAUTHENTICATED");
        }
        if OPERATORS.contains(&id) && id != "create_org" {
            ask(fresh.clone()).await.assert_error(403, "FORBIDDEN");
        }
    }
    fresh.post("/v1/orgs", json!({"name": "Mine"})).await.assert_error(403, "FORBIDDEN");
    assert!(seen > 25, "only {seen} routes were found");
}

async fn fixture(store: &Store, client: &Client) -> Fixture {
    let root = root(store, client).await;
    let mut people = Vec::new();
    for (role, email) in [
        (Role::Stranger, "stranger@example.com"),
        (Role::Member, "member@example.com"),
        (Role::Admin, "adam@example.com"),
        (Role::Owner, "owner@example.com"),
    ] {
        newcomer(client, email).await;
        let done =
            authctl_with(&settings(store, &[]), store.folder(), &["user", "verify-email", email], "").await;
        assert_eq!(done.code(), 0, "{}", done.stderr);
        let signed = client.bearer(&sign_in(client, email).await.access);
        let id = id_of(&signed).await;
        people.push((role, signed, id));
    }
    let mut others = Vec::new();
    for email in ["victim@example.com", "candidate@example.com"] {
        let access = newcomer(client, email).await.access;
        others.push(id_of(&client.bearer(&access)).await);
    }
    let [victim, candidate] = <[String; 2]>::try_from(others).unwrap();
    let fixture = Fixture {
        root,
        people,
        owner_email: "owner@example.com".into(),
        victim,
        candidate,
        made: std::cell::Cell::new(0),
    };
    // The stranger has a tenant of his own, where he may do everything.
    let body = json!({"name": "Elsewhere", "admin_email": "stranger@example.com"});
    fixture.root.post("/v1/orgs", body).await.expect(201);
    fixture
}

async fn send(client: &Client, case: &Case, fixture: &Fixture, target: &Target) -> Answer {
    let (method, path, body) = (case.make)(fixture, target);
    let path = format!("/v1/{path}");
    match body {
        Some(body) => {
            let client = client.header("content-type", "application/json");
            client.request(method, &path, Some(body.to_string().into_bytes())).await
        }
        None => client.request(method, &path, None).await,
    }
}

async fn judge(backend: Backend) {
    let store = Store::new(backend).await;
    let server = start(&store).await;
    let client = server.client();
    let fixture = fixture(&store, &client).await;
    let mut count = 0;
    for (cases, on_org) in [(ORGS, true), (BOTH, true), (BOTH, false)] {
        for case in cases {
            for role in ROLES {
                let target = if on_org { fixture.org().await } else { fixture.thing().await };
                let answer = send(fixture.client(role), case, &fixture, &target).await;
                let what = format!("{role:?} {} on {}: {}", case.id, target.kind, answer.text);
                match role {
                    // Another tenant's things are not there, whatever is asked of them (s_152).
                    Role::Stranger => drop(answer.assert_error(404, "NOT_FOUND")),
                    _ if role >= case.least => assert_eq!(answer.status, case.status, "{what}"),
                    _ => drop(answer.assert_error(403, "FORBIDDEN")),
                }
                // No answer tells a secret or another user's private facts (s_161).
                for word in ["argon2", "akl_", "password", "sealed", "hash"] {
                    assert!(!answer.text.contains(word), "{word}: {what}");
                }
                count += 1;
            }
        }
    }
    assert_eq!(count, (ORGS.len() + 2 * BOTH.len()) * ROLES.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s_152_every_role_on_every_route_sqlite() {
    judge(Backend::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s_152_every_role_on_every_route_postgres() {
    judge(Backend::Postgres).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invitation_over_http_from_mail_to_session() {
    use crate::links_http::{link, start as with_mails, token};
    let store = Store::new(Backend::Sqlite).await;
    let (server, folder) = with_mails(&store, &[("ORG_SELF_SERVICE", "true")]).await;
    let client = server.client();
    let ann = client.bearer(&newcomer(&client, "ann@example.com").await.access);
    let org = ann.post("/v1/orgs", json!({"name": "Clinic", "seat_limit": 2})).await.expect(201);
    let id = org.str("/id").to_owned();
    let body = json!({"email": "bob@example.com", "role": "admin", "org_id": id});
    let made = ann.post("/v1/invitations", body.clone()).await.expect(201);
    assert_eq!((made.str("/status"), made.str("/org_id")), ("pending", id.as_str()));
    assert_eq!(made.body["resource_type"], Value::Null);
    ann.post("/v1/invitations", body).await.assert_error(409, "CONFLICT");
    // Sent again with its key a request is carried out once, and a change is made only to what was seen.
    let again = ann.header("idempotency-key", "one-organisation");
    let first = again.post("/v1/orgs", json!({"name": "Once"})).await.expect(201);
    assert_eq!(again.post("/v1/orgs", json!({"name": "Once"})).await.expect(201).body, first.body);
    let path = format!("/v1/orgs/{}", first.str("/id"));
    let tag = ann.get(&path).await.expect(200).header("etag").to_owned();
    ann.header("if-match", &tag).patch(&path, json!({"name": "Twice"})).await.expect(200);
    let late = ann.header("if-match", &tag).patch(&path, json!({"name": "Thrice"})).await;
    late.assert_error(412, "PRECONDITION_FAILED");
    let secret = link(&folder, "bob@example.com", "accept-invitation").await;
    // Opening it uses nothing up.
    let query = secret.split_once('?').unwrap().1;
    assert_eq!(client.get(&format!("/v1/invitations/accept?{query}")).await.status, 405);
    let mut body = token(&secret);
    let missing = client.post("/v1/invitations/accept", body.clone()).await;
    missing.assert_error(400, "INVALID_REQUEST");
    let expected =
        [("/name".to_owned(), "required".to_owned()), ("/password".to_owned(), "required".to_owned())];
    assert_eq!(missing.field_errors(), expected);
    (body["name"], body["password"]) = ("Bob".into(), PASSWORD.into());
    ann.post("/v1/invitations/accept", body.clone()).await.assert_error(400, "INVALID_REQUEST");
    ann.post("/v1/invitations/accept", token(&secret)).await.assert_error(400, "LINK_INVALID");
    let bob = crate::app::Tokens::of(&client.post("/v1/invitations/accept", body.clone()).await);
    client.post("/v1/invitations/accept", body).await.assert_error(400, "LINK_INVALID");
    let bob = client.bearer(&bob.access);
    assert_eq!(bob.get("/v1/orgs").await.expect(200).body["items"][0]["id"], id.as_str());
    let late = json!({"email": "late@example.com", "role": "member", "org_id": id});
    bob.post("/v1/invitations", late).await.assert_error(409, "CONFLICT");
    bob.post("/v1/invitations/accept", json!({"token": "akl_nonsense"}))
        .await
        .assert_error(400, "LINK_INVALID");
    client
        .bearer("nonsense")
        .post("/v1/invitations/accept", token(&secret))
        .await
        .assert_error(401, "UNAUTHENTICATED");
    for (body, status) in [
        (json!({"email": "x@example.com", "role": "member", "org_id": "x"}), 422),
        (json!({"email": "x@example.com", "role": "member", "org_id": id, "resource_type": "project"}), 422),
        (json!({"email": "x@example.com", "role": "member", "resource_id": "1"}), 422),
        (json!({"email": "x@example.com", "role": "member", "org_id": 7}), 400),
        (json!({"email": "x@example.com"}), 400),
    ] {
        assert_eq!(ann.post("/v1/invitations", body.clone()).await.status, status, "{body}");
    }
    for (path, body, status) in [
        ("/v1/orgs", json!({"name": "X", "seat_limit": "7"}), 400),
        ("/v1/orgs", json!({"name": "X", "seat_limit": 0}), 422),
        ("/v1/orgs", json!({"name": "X", "domain": "no dot"}), 422),
        ("/v1/orgs", json!({"name": "X", "owner": "me"}), 400),
        (
            "/v1/memberships",
            json!({"user_id": "x", "resource_type": "project", "resource_id": "1", "role": "viewer"}),
            422,
        ),
        (
            "/v1/memberships",
            json!({"user_id": "x", "resource_type": "Project", "resource_id": "1", "role": "viewer"}),
            422,
        ),
    ] {
        assert_eq!(ann.post(path, body.clone()).await.status, status, "{body}");
    }
}
