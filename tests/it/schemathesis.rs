//! Schemathesis against the API's own description: thousands of requests that no person would write.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use authkit_tests::process::authctl_with;
use authkit_tests::{Backend, Store, apt};

use crate::app::{PASSWORD, PATIENT, serve, settings};

/// Pinned, so that a new release cannot turn a green run red.
const PACKAGE: &str = "schemathesis==4.32.5";
/// Cases for each operation in the phase of free invention; the other phases come on top. A long run takes 1000.
const EXAMPLES: (&str, &str) = ("AUTHKIT_SCHEMATHESIS_EXAMPLES", "40");

/// Signs in anew, since requests end sessions and delete accounts on their way. What operators do is done by one.
const HOOKS: &str = r#"
import itertools, json, os, threading, urllib.request
import schemathesis

BASE = os.environ["AUTHKIT_URL"]
PASSWORD = "correct horse battery staple"
numbers, lock = itertools.count(), threading.Lock()

def post(path, body):
    request = urllib.request.Request(BASE + path, json.dumps(body).encode(), {"content-type": "application/json"})
    return json.load(urllib.request.urlopen(request))

@schemathesis.auth(refresh_interval=None)
class Account:
    def get(self, case, context):
        if "/admin/" in case.operation.path:
            return post("/v1/auth/login", {"email": "root@example.com", "password": PASSWORD})["access_token"]
        with lock:
            email = f"fuzz-{next(numbers)}@example.com"
        post("/v1/auth/signup", {"name": "Fuzz", "email": email, "password": PASSWORD})
        return post("/v1/auth/login", {"email": email, "password": PASSWORD})["access_token"]

    def set(self, case, data, context):
        case.headers = case.headers or {}
        case.headers["Authorization"] = f"Bearer {data}"
"#;

/// Without it the route of cleanup is not there.
const CLEANUP: (&str, &str) = ("INTERNAL_CLEANUP_TOKEN", "kJ3mX9vQ2rT7yB5nW8cZ4fH6gL1pD0sA-eUoIyVbNqM");

/// A body that the schema takes can still be refused for what it says: wrong password, taken address, weak password.
const SETTINGS: &str = r#"
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "401", "403", "404", "409", "412", "422", "429"]

[checks.negative_data_rejection]
expected-statuses = ["400", "401", "403", "404", "405", "406", "413", "415", "422"]

# No schema can say that a cursor is signed.
[[operations]]
include-operation-id = "list_sessions"
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "401", "403", "404", "409", "422"]

# Nor which link is alive.
[[operations]]
include-operation-id = "verify_email"
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "401", "403", "404", "409", "422"]

[[operations]]
include-operation-id = "reset_password"
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "401", "403", "404", "409", "422"]

[[operations]]
include-operation-id = "confirm_email_change"
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "401", "403", "404", "409", "422"]

[[operations]]
include-operation-id = "undo_email_change"
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "401", "403", "404", "409", "422"]

[[operations]]
include-operation-id = "unlock"
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "401", "403", "404", "409", "422"]

[[operations]]
include-operation-id = "list_orgs"
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "401", "403", "404", "409", "422"]

[[operations]]
include-operation-id = "list_members"
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "401", "403", "404", "409", "422"]

[[operations]]
include-operation-id = "list_memberships"
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "401", "403", "404", "409", "422"]

[[operations]]
include-operation-id = "list_invitations"
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "401", "403", "404", "409", "422"]

[[operations]]
include-operation-id = "accept_invitation"
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "401", "403", "404", "409", "422"]

[[operations]]
include-operation-id = "list_passkeys"
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "401", "403", "404", "409", "422"]

# Nor what an authenticator signed.
[[operations]]
include-operation-id = "finish_passkey_registration"
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "401", "403", "404", "409", "422"]

[[operations]]
include-operation-id = "list_lockouts"
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "401", "403", "404", "409", "422"]

[[operations]]
include-operation-id = "list_users"
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "401", "403", "404", "409", "422"]

[[operations]]
include-operation-id = "list_sessions_of_user"
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "401", "403", "404", "409", "422"]

[[operations]]
include-operation-id = "list_api_keys"
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "401", "403", "404", "409", "422"]

# The pattern of a header is not followed by what is generated for it.
[[operations]]
include-operation-id = "update_me"
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "401", "403", "404", "409", "412", "422", "429"]

[[operations]]
include-operation-id = "update_user"
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "401", "403", "404", "409", "412", "422", "429"]

[[operations]]
include-operation-id = "set_roles"
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "401", "403", "404", "409", "412", "422", "429"]

[[operations]]
include-operation-id = "update_org"
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "401", "403", "404", "409", "412", "422", "429"]
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s_202_no_request_breaks_the_description() {
    let store = Store::new(Backend::Sqlite).await;
    let [email, ip, network] = PATIENT;
    let server = serve(&store, &[("SESSION_MAX_PER_USER", "1000"), CLEANUP, email, ip, network]).await;
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
    let made = authctl_with(&settings(&store, &[]), store.folder(), &root, PASSWORD).await;
    assert_eq!(made.code(), 0, "{}", made.stderr);
    let url = server.url();
    let folder = store.folder().to_owned();
    let start = Instant::now();
    let output = tokio::task::spawn_blocking(move || run(&folder, &url)).await.unwrap();
    let (passed, text) = output;
    // The end of the report is its summary.
    let tail: Vec<&str> = text.lines().rev().take(60).collect();
    for line in tail.iter().rev() {
        println!("{line}");
    }
    println!("took {:?}", start.elapsed());
    let logs = server.logs();
    assert!(!logs.contains("panicked") && !logs.contains("INTERNAL_ERROR"), "a bug was found:\n{logs}");
    // A run can also end early because the server did.
    let probe = server.client().try_request("GET", "/ready", None).await;
    let notable: Vec<&str> =
        logs.lines().filter(|l| l.contains("\"WARN\"") || l.contains("\"ERROR\"")).collect();
    assert!(probe.as_ref().is_ok_and(|a| a.status == 200), "{probe:?}\n{}\n{text}", notable.join("\n"));
    assert!(passed, "{}\n{text}", notable.join("\n"));
    // It saw what it was to look at: an empty run passes too.
    let users = crate::app::count(&store, "SELECT COUNT(*) FROM authkit_users").await;
    assert!(users > 20, "only {users} accounts were made");
}

fn run(folder: &Path, url: &str) -> (bool, String) {
    std::fs::write(folder.join("hooks.py"), HOOKS).expect("write the hooks");
    std::fs::write(folder.join("schemathesis.toml"), SETTINGS).expect("write the settings");
    let examples = std::env::var(EXAMPLES.0).unwrap_or_else(|_| EXAMPLES.1.to_owned());
    let output = Command::new(program())
        .current_dir(folder)
        .env("SCHEMATHESIS_HOOKS", "hooks")
        .env("PYTHONPATH", folder)
        .env("AUTHKIT_URL", url)
        // One worker: in threads the generator stumbles over the interpreter now and then.
        .args(["--no-color", "run", &format!("{url}/openapi.json")])
        .args(["--checks", "all", "--max-examples", &examples, "--workers", "1"])
        .args(["--no-shrink", "--continue-on-failure", "--request-timeout", "10", "--warnings", "off"])
        .stdin(Stdio::null())
        .output()
        .expect("run schemathesis");
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.success(), text)
}

/// Schemathesis in an environment of its own under the target folder, made on first use.
fn program() -> PathBuf {
    let exe = std::env::current_exe().expect("the path of this program");
    let target = exe.ancestors().find(|p| p.join("CACHEDIR.TAG").is_file()).expect("a target folder");
    let home = target.join(PACKAGE.replace("==", "-"));
    let done = home.join("ready");
    if !done.is_file() {
        let venv = || {
            Command::new("python3").args(["-m", "venv"]).arg(&home).output().is_ok_and(|o| o.status.success())
        };
        if !venv() {
            apt::install(&["python3", "python3-venv"], "");
            assert!(venv(), "python3 with venv is needed and could not be installed");
        }
        step(Command::new(home.join("bin/pip")).args(["install", "--quiet", PACKAGE]));
        std::fs::write(&done, "").expect("note that it is there");
    }
    home.join("bin/schemathesis")
}

fn step(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(output.status.success(), "{command:?}:\n{}", String::from_utf8_lossy(&output.stderr));
}
