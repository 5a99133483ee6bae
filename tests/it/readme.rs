//! Every command of the README is run, as it stands there.
//!
//! Only what must differ in a test is replaced: the port, and `cargo run` by the binary that it would build and run.

use std::path::Path;
use std::process::Command;

use authkit_tests::apt;
use authkit_tests::process::{Launch, binary, example};

const README: &str = include_str!("../../README.md");

/// The commands of the README, a text a block.
fn blocks() -> Vec<&'static str> {
    let parts = README.split("\n```sh\n").skip(1);
    parts.map(|part| part.split("\n```").next().unwrap()).collect()
}

fn block_with(text: &str) -> &'static str {
    let mut found = blocks().into_iter().filter(|block| block.contains(text));
    let block = found.next().unwrap_or_else(|| panic!("no block with {text}"));
    assert!(found.next().is_none(), "two blocks with {text}");
    block
}

/// Runs a script as somebody would type it; each line must succeed.
fn run(script: &str, folder: &Path) -> String {
    let script = format!("set -euo pipefail\n{script}");
    let mut command = Command::new("bash");
    let output = command.arg("-c").arg(script).current_dir(folder).env_clear();
    let output = output.env("PATH", std::env::var_os("PATH").unwrap()).output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}\n{stdout}\n{stderr}", output.status);
    stdout.into_owned()
}

/// The story uses `jq` to be readable.
fn install_jq() {
    let there = || Command::new("jq").arg("--version").output().is_ok_and(|output| output.status.success());
    if !there() {
        apt::install(&["jq"], "");
        assert!(there(), "jq is needed for the README's commands and could not be installed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_story_runs_as_it_is_told() {
    install_jq();
    assert!(blocks().contains(&"cargo run -p authkit-server"));
    let server = Launch::bare_server().start().await;
    let authctl = format!("{} ", binary("authctl").display());
    let story = [block_with("FIRST=$("), block_with("SECOND=$("), block_with("-p authctl -- user list")];
    let story = story.join("\n");
    assert!(story.contains("http://localhost:8000") && story.contains("cargo run -q -p authctl -- "));
    let story = story
        .replace("http://localhost:8000", &server.url())
        .replace("cargo run -q -p authctl -- ", &authctl);
    let said = run(&story, server.folder());

    assert_eq!(said.matches("\"email\": \"ada@example.com\"").count(), 2, "sign-up and me: {said}");
    assert_eq!(said.matches("\"code\": \"REFRESH_INVALID\"").count(), 2, "the replay and the newest: {said}");
    assert_eq!(said.matches("\"code\": \"UNAUTHENTICATED\"").count(), 1, "the access token: {said}");
    for line in ["ada@example.com", "admin@example.com", "student@example.com"] {
        assert!(said.lines().any(|l| l == line), "{line} listed by jq: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_story_of_a_lock_runs_as_it_is_told() {
    install_jq();
    let start = block_with("RL_LOGIN_IP_LIMIT=");
    let settings = start.strip_suffix(" cargo run -p authkit-server").unwrap();
    let settings = settings.split(' ').map(|pair| pair.split_once('=').unwrap());
    let launch = settings.fold(Launch::bare_server(), |launch, (name, value)| launch.env(name, value));
    let server = launch.start().await;
    let story = [block_with("login() {"), block_with("-p authctl -- user unlock")].join("\n");
    let told: Vec<&str> = story.lines().filter_map(|line| line.split("  # ").nth(1)).collect();
    let story = story
        .replace("http://localhost:8000", &server.url())
        .replace("cargo run -q -p authctl -- ", &format!("{} ", binary("authctl").display()));
    let said = run(&story, server.folder());

    // Every comment behind a call tells what it answers; the guesses answer alike, eight times.
    let answers: Vec<&str> = said.lines().filter(|line| line.starts_with(['2', '4', '5'])).collect();
    let mut expected = Vec::new();
    for line in told.iter().filter(|line| line.starts_with(['2', '4', '5'])) {
        expected.extend(std::iter::repeat_n(*line, if line.starts_with("401") { 8 } else { 1 }));
    }
    assert_eq!(answers, expected, "{said}");
    assert_eq!(expected.len(), 14, "{told:?}");
    assert!(
        said.lines().any(|line| line.parse().is_ok_and(|seconds| (880..=900).contains(&seconds))),
        "{said}"
    );
    let known = |line: &str| line.contains("email") && line.split_whitespace().any(|word| word == "8");
    assert!(said.lines().any(known), "the lock is not listed: {said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_story_of_second_factors_runs_as_it_is_told() {
    install_jq();
    authkit_tests::factors::oathtool();
    let server = Launch::bare_server().start().await;
    let story = [
        block_with("oathtool --totp -b \"$SECRET\")"),
        block_with("--now '+30 seconds'"),
        block_with("FRESH=("),
    ];
    let story = story.join("\n");
    let told: Vec<&str> = story.lines().filter_map(|line| line.split("  # ").nth(1)).map(str::trim).collect();
    let story = story
        .replace("http://localhost:8000", &server.url())
        .replace("cargo run -q -p authctl -- ", &format!("{} ", binary("authctl").display()));
    let said = run(&story, server.folder());

    let is_status = |line: &&str| line.len() >= 3 && line.as_bytes()[..3].iter().all(u8::is_ascii_digit);
    let answers: Vec<&str> = said.lines().map(str::trim).filter(is_status).collect();
    assert_eq!(answers, told, "{said}");
    assert_eq!(told.len(), 14, "{told:?}");
    assert!(said.contains("phone"), "the app is not listed: {said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_story_of_a_key_runs_as_it_is_told() {
    install_jq();
    let server = Launch::bare_server().start().await;
    let story = [block_with("make_key() {"), block_with("-p authctl -- api-key create")].join("\n");
    let told: Vec<&str> = story.lines().filter_map(|line| line.split("  # ").nth(1)).collect();
    let story = story
        .replace("http://localhost:8000", &server.url())
        .replace("cargo run -q -p authctl -- ", &format!("{} ", binary("authctl").display()));
    let said = run(&story, server.folder());

    let is_answer = |line: &&str| line.starts_with(['2', '4']);
    let answers: Vec<&str> = said.lines().filter(is_answer).collect();
    let expected: Vec<&str> = told.into_iter().filter(is_answer).map(str::trim).collect();
    assert_eq!(answers, expected, "{said}");
    assert_eq!(expected.len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_story_of_an_organisation_runs_as_it_is_told() {
    install_jq();
    let start = block_with("cat > authkit.toml");
    let (file, start) = start.rsplit_once('\n').unwrap();
    let folder = tempfile::tempdir().unwrap();
    run(file, folder.path());
    let (name, value) = start.strip_suffix(" cargo run -p authkit-server").unwrap().split_once('=').unwrap();
    let server = Launch::bare_server().folder(folder.path()).env(name, value).start().await;
    let story = [block_with("CLINIC=$("), block_with("-p authctl -- authz explain")].join("\n");
    let story = story
        .replace("http://localhost:8000", &server.url())
        .replace("cargo run -q -p authctl -- ", &format!("{} ", binary("authctl").display()));
    let said = run(&story, folder.path());
    let lines: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    for told in ["ada@example.com", "pending", "Clinic", "reviewer", "2", "FORBIDDEN", "true"] {
        assert!(lines.contains(&told), "{told} is not said: {said}");
    }
    assert!(said.contains("the role reviewer on project:42 does not permit delete"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_story_of_mailed_links_runs_as_it_is_told() {
    install_jq();
    // Python with venv.
    authkit_tests::smtp::prepare();
    let folder = tempfile::tempdir().unwrap();
    run(block_with("python3 -m venv catcher"), folder.path());
    let port = authkit_tests::postgres::free_port().to_string();
    let catcher = block_with("-m aiosmtpd").replace("2525", &port);
    let mut catcher = Command::new("bash")
        .arg("-c")
        .arg(format!("exec {catcher}"))
        .current_dir(folder.path())
        .spawn()
        .unwrap();
    let start = block_with("SMTP_TLS=none");
    let settings = start.strip_suffix(" cargo run -p authkit-server").unwrap().replace("2525", &port);
    let settings: Vec<_> = settings.split(' ').map(|pair| pair.split_once('=').unwrap()).collect();
    let launch = settings.iter().fold(Launch::bare_server(), |launch, (name, value)| launch.env(name, value));
    let server = launch.folder(folder.path()).public().start().await;

    let story = [
        block_with("auth/signup \"{\\\"name\\\": \\\"Ada\\\", $ADA"),
        block_with("${LINK%"),
        block_with("reset() {"),
    ];
    let story = story.join("\n");
    let told: Vec<&str> = story.lines().filter_map(|line| line.split("  # ").nth(1)).collect();
    let said = run(&story.replace("http://localhost:8000", &server.url()), folder.path());
    catcher.kill().unwrap();
    catcher.wait().unwrap();
    let mut lines: Vec<&str> = said.lines().map(str::trim).collect();
    let link = lines.remove(2);
    assert!(link.starts_with(&format!("{}/verify-email?token=akl_", server.local_url())), "{said}");
    assert_eq!(lines, told, "{said}");
    assert_eq!(told.len(), 11);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_serves_its_guarded_route() {
    let block = block_with("--example embed");
    assert_eq!(block, "cargo run -p authkit --example embed --features axum");
    let app = Launch::binary(example("embed")).spawn();
    let client = app.client();
    // It has no route of its own for that.
    let mut tries = 0;
    while tokio::net::TcpStream::connect(app.address()).await.is_err() {
        tries += 1;
        assert!(tries < 600, "the example does not listen:\n{}", app.logs());
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(client.get("/reports").await.expect(401).error_code(), "UNAUTHENTICATED");
    let account = serde_json::json!({
        "name": "Ada", "email": "ada@example.com", "password": "a rather long sentence"
    });
    client.post("/auth-api/auth/signup", account).await.expect(201);
    let sign_in = serde_json::json!({ "email": "ada@example.com", "password": "a rather long sentence" });
    let tokens = client.post("/auth-api/auth/login", sign_in).await.expect(200);
    let ada = client.bearer(tokens.str("/access_token"));
    assert_eq!(ada.get("/reports").await.expect(403).error_code(), "FORBIDDEN");
}

#[test]
fn no_command_is_left_out() {
    let run_here = [
        "cargo run -p authkit-server",
        "FIRST=$(",
        "SECOND=$(",
        "-p authctl -- user list",
        "login() {",
        "-p authctl -- user unlock",
        "oathtool --totp -b \"$SECRET\")",
        "--now '+30 seconds'",
        "FRESH=(",
        "make_key() {",
        "-p authctl -- api-key create",
        "cat > authkit.toml",
        "CLINIC=$(",
        "-p authctl -- authz explain",
    ];
    let elsewhere = ["--example embed", "cargo test --workspace"];
    for block in blocks() {
        let known = run_here.iter().chain(&elsewhere).any(|text| block.contains(text));
        assert!(known, "no test runs this block of the README:\n{block}");
    }
}
