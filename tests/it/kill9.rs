//! kill -9 while people sign up, rotate and change passwords: nothing acknowledged is lost, nothing half done.
//!
//! One store for the whole test; in each round the server is started, what the round before left behind is judged,
//! many clients work at once, and the process is killed in the middle of it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use authkit_tests::{Backend, Client, Store, on_both};
use serde_json::json;
use tokio::task::JoinSet;

use crate::app::{
    PASSWORD, PATIENT, Tokens, assert_sound, count, credentials, launch, me, person, refresh, sign_in_with,
    sign_up,
};

/// Kills on each engine; each hits all three flows.
const ROUNDS: usize = 200;
const REFRESHERS: usize = 5;
const CHANGERS: usize = 4;
const NEWCOMERS: usize = 4;

/// Where a client with a rotating token stands.
#[derive(Debug, Clone)]
struct Holder {
    /// The newest token that the server gave.
    acknowledged: String,
    /// Whether it was presented when the server died.
    in_flight: bool,
    rotations: u64,
}

/// Where somebody who changes the password stands.
#[derive(Debug, Clone)]
struct Changer {
    email: String,
    password: String,
    /// The password asked for when the server died.
    wanted: Option<String>,
    /// A session that a change ends, begun before it.
    other: Tokens,
    /// The session that asks for the change.
    mine: Tokens,
    changes: u64,
}

/// A sign-up that was sent.
#[derive(Debug, Clone)]
struct Newcomer {
    email: String,
    acknowledged: bool,
}

#[derive(Debug, Default)]
struct Left {
    holders: Vec<Holder>,
    changers: Vec<Changer>,
    newcomers: Vec<Newcomer>,
}

on_both! {
    async fn s_180_killed_between_any_two_steps(store: Store) {
        // Longer than a restart on a slow machine.
        let [email, ip, network] = PATIENT;
        let grace = [("REFRESH_REUSE_GRACE_SECONDS", "300"), email, ip, network];
        let mut server = launch(&store, &grace).start().await;
        let client = server.client();
        let mut left = Left::default();
        for i in 0..REFRESHERS {
            let email = format!("holder-{i}@example.com");
            sign_up(&client, &email).await;
            let tokens = sign_in_with(&client, &email, PASSWORD).await;
            left.holders.push(Holder { acknowledged: tokens.refresh, in_flight: false, rotations: 0 });
        }
        for i in 0..CHANGERS {
            let email = format!("changer-{i}@example.com");
            sign_up(&client, &email).await;
            let changer = settled(&client, email, PASSWORD.to_owned(), 0).await;
            left.changers.push(changer);
        }
        let (mut signed_up, mut uncertain, mut kept_new, mut lost_answers) = (0_u64, 0_u64, 0_u64, 0_u64);
        for round in 0..ROUNDS {
            left = work_and_kill(left, &mut server, round).await;
            server = launch(&store, &grace).start().await;
            let client = server.client();

            for newcomer in left.newcomers.drain(..) {
                signed_up += u64::from(newcomer.acknowledged);
                uncertain += u64::from(!newcomer.acknowledged);
                judge_newcomer(&client, &newcomer).await;
            }
            for holder in &mut left.holders {
                lost_answers += u64::from(holder.in_flight);
                judge_holder(&client, holder).await;
            }
            for changer in &mut left.changers {
                kept_new += u64::from(judge_changer(&client, changer).await);
            }
        }
        let rotations: u64 = left.holders.iter().map(|h| h.rotations).sum();
        let changes: u64 = left.changers.iter().map(|c| c.changes).sum();
        println!(
            "{}: {ROUNDS} kills; {signed_up} sign-ups acknowledged, {uncertain} in flight; {rotations} rotations, \
             {lost_answers} in flight; {changes} password changes, {kept_new} of those in flight had been done",
            store.backend().name(),
        );
        assert!(signed_up > 0 && uncertain > 0 && rotations > 0 && lost_answers > 0 && changes > 0, "no real work");
        drop(server);
        whole(&store).await;
    }
}

/// Many clients at work, and the kill; what they know afterwards.
async fn work_and_kill(left: Left, server: &mut authkit_tests::ServerProcess, round: usize) -> Left {
    let after = Arc::new(Mutex::new(Left::default()));
    let mut tasks = JoinSet::new();
    for holder in left.holders {
        let (client, after) = (server.client(), after.clone());
        tasks.spawn(async move {
            let holder = rotate_until_dead(&client, holder).await;
            after.lock().unwrap().holders.push(holder);
        });
    }
    for changer in left.changers {
        let (client, after) = (server.client(), after.clone());
        tasks.spawn(async move {
            let changer = change_until_dead(&client, changer).await;
            after.lock().unwrap().changers.push(changer);
        });
    }
    for i in 0..NEWCOMERS {
        let (client, after) = (server.client(), after.clone());
        tasks.spawn(async move {
            let newcomers = sign_up_until_dead(&client, &format!("new-{round}-{i}")).await;
            after.lock().unwrap().newcomers.extend(newcomers);
        });
    }
    // Spread over the life of the requests; no two rounds stop at the same place.
    tokio::time::sleep(Duration::from_micros(8_000 + (round as u64 * 7_919) % 40_000)).await;
    server.kill9();
    while let Some(done) = tasks.join_next().await {
        done.expect("a client");
    }
    let mut after = after.lock().unwrap();
    std::mem::take(&mut *after)
}

async fn rotate_until_dead(client: &Client, mut holder: Holder) -> Holder {
    loop {
        holder.in_flight = true;
        let body = json!({"refresh_token": holder.acknowledged});
        match client.try_request("POST", "/v1/auth/refresh", Some(body)).await {
            Ok(answer) => {
                holder.acknowledged = Tokens::of(&answer).refresh;
                holder.rotations += 1;
                holder.in_flight = false;
            }
            Err(_) => return holder,
        }
    }
}

/// The newest acknowledged token works, or, when its successor was committed and the answer lost, gives just that one.
async fn judge_holder(client: &Client, holder: &mut Holder) {
    let first = refresh(client, &holder.acknowledged).await;
    assert_eq!(first.status, 200, "an acknowledged token was lost: {holder:?} {}", first.text);
    let second = refresh(client, &holder.acknowledged).await.expect(200);
    assert_eq!(first.str("/refresh_token"), second.str("/refresh_token"), "two successors");
    holder.acknowledged = Tokens::of(&first).refresh;
}

async fn change_until_dead(client: &Client, mut changer: Changer) -> Changer {
    loop {
        let wanted = format!("lanterns number {} over still water", changer.changes);
        changer.wanted = Some(wanted.clone());
        let caller = client.bearer(&changer.mine.access);
        let body = json!({"current_password": changer.password, "new_password": wanted});
        let Ok(answer) = caller.try_request("POST", "/v1/auth/password", Some(body)).await else {
            return changer;
        };
        answer.expect(204);
        changer.password = wanted;
        changer.wanted = None;
        changer.changes += 1;
        // The next change needs new sessions; whatever of that is cut off is begun again after the restart.
        let Some(ready) = resettle(client, changer.clone()).await else { return changer };
        changer = ready;
    }
}

/// New sessions for the next change; `None` when the server died meanwhile.
async fn resettle(client: &Client, mut changer: Changer) -> Option<Changer> {
    let body = credentials(&changer.email, &changer.password);
    let login = async || client.try_request("POST", "/v1/auth/login", Some(body.clone())).await.ok();
    changer.other = Tokens::of(&login().await?);
    changer.mine = Tokens::of(&login().await?);
    Some(changer)
}

async fn settled(client: &Client, email: String, password: String, changes: u64) -> Changer {
    let other = sign_in_with(client, &email, &password).await;
    let mine = sign_in_with(client, &email, &password).await;
    Changer { email, password, wanted: None, other, mine, changes }
}

/// The password is the old one or the new one, and the sessions agree with it. Says whether an unanswered change was
/// done.
async fn judge_changer(client: &Client, changer: &mut Changer) -> bool {
    let works = async |password: &str| {
        let answer = client.post("/v1/auth/login", credentials(&changer.email, password)).await;
        assert!(matches!(answer.status, 200 | 401), "{}", answer.text);
        answer.status == 200
    };
    let mut done = false;
    if let Some(wanted) = changer.wanted.clone() {
        let (old, new) = (works(&changer.password).await, works(&wanted).await);
        assert!(old != new, "old {old}, new {new}: {changer:?}");
        done = new;
        // The effects on the sessions came with the password, or not at all.
        let other = refresh(client, &changer.other.refresh).await;
        assert_eq!(other.status == 200, old, "the other session and the password disagree: {}", other.text);
        refresh(client, &changer.mine.refresh).await.expect(200);
        assert_eq!(me(client, &changer.mine.access).await.status == 200, old, "the caller's access token");
        if new {
            changer.password = wanted;
        }
    } else {
        assert!(works(&changer.password).await, "an acknowledged password was lost: {changer:?}");
    }
    // Any number but one that was used before.
    let next = changer.changes + 1;
    *changer = settled(client, changer.email.clone(), changer.password.clone(), next).await;
    done
}

async fn sign_up_until_dead(client: &Client, prefix: &str) -> Vec<Newcomer> {
    let mut all = Vec::new();
    loop {
        let email = format!("{prefix}-{}@example.com", all.len());
        let sent = client.try_request("POST", "/v1/auth/signup", Some(person(&email))).await;
        let acknowledged = sent.is_ok_and(|answer| {
            answer.expect(201);
            true
        });
        all.push(Newcomer { email, acknowledged });
        if !acknowledged {
            return all;
        }
    }
}

/// Whoever was told so has an account; whoever was not has a whole one or none.
async fn judge_newcomer(client: &Client, newcomer: &Newcomer) {
    let login = client.post("/v1/auth/login", credentials(&newcomer.email, PASSWORD)).await;
    if newcomer.acknowledged {
        assert_eq!(login.status, 200, "an acknowledged account was lost: {newcomer:?} {}", login.text);
    } else if login.status != 200 {
        login.assert_error(401, "INVALID_CREDENTIALS");
        let again = client.post("/v1/auth/signup", person(&newcomer.email)).await;
        if again.status == 409 {
            // PostgreSQL had the commit in hand when its client was killed, and finished it in between.
            let login = client.post("/v1/auth/login", credentials(&newcomer.email, PASSWORD)).await;
            assert_eq!(login.status, 200, "half an account: {newcomer:?} {}", login.text);
        } else {
            again.expect(201);
        }
    }
}

/// What must hold of every row, whatever was cut off.
async fn whole(store: &Store) {
    for (what, query) in [
        (
            "accounts without a password",
            "SELECT COUNT(*) FROM authkit_users u WHERE NOT EXISTS (SELECT 1 FROM authkit_passwords p WHERE p.user_id = u.id)",
        ),
        (
            "accounts without a role",
            "SELECT COUNT(*) FROM authkit_users u WHERE NOT EXISTS (SELECT 1 FROM authkit_user_roles r WHERE r.user_id = u.id)",
        ),
        (
            "passwords without an account",
            "SELECT COUNT(*) FROM authkit_passwords p WHERE NOT EXISTS (SELECT 1 FROM authkit_users u WHERE u.id = p.user_id)",
        ),
        (
            "accounts without exactly one audit row",
            "SELECT COUNT(*) FROM authkit_users u WHERE (SELECT COUNT(*) FROM authkit_audit a WHERE a.user_id = u.id AND a.action = 'user.signup' AND a.outcome = 'success') <> 1",
        ),
        (
            "sessions of another epoch that live",
            "SELECT COUNT(*) FROM authkit_sessions s JOIN authkit_users u ON u.id = s.user_id WHERE s.ended_at IS NULL AND s.epoch <> u.epoch",
        ),
        (
            "sessions without an audit row",
            "SELECT COUNT(*) FROM authkit_sessions s WHERE NOT EXISTS (SELECT 1 FROM authkit_audit a WHERE a.session_id = s.id)",
        ),
        (
            "epochs without their audit rows",
            "SELECT COUNT(*) FROM authkit_users u WHERE (SELECT COUNT(*) FROM authkit_audit a WHERE a.user_id = u.id AND a.action = 'password.change' AND a.outcome = 'success') <> u.epoch - (SELECT MIN(epoch) FROM authkit_users)",
        ),
    ] {
        assert_eq!(count(store, query).await, 0, "{what}");
    }
    assert_sound(store).await;
}

/// The moments of a first start, from nothing to serving, each followed by a start that must succeed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s_190_killed_during_a_first_start_on_sqlite() {
    let store = Store::new(Backend::Sqlite).await;
    let begin = std::time::Instant::now();
    drop(launch(&store, &[]).start().await);
    let span = begin.elapsed();
    let (mut none, mut done) = (0, 0);
    for step in 0..30_u32 {
        let store = Store::new(Backend::Sqlite).await;
        let mut server = launch(&store, &[]).spawn();
        tokio::time::sleep(span * step / 30).await;
        server.kill9();
        if store.folder().join("authkit.db").is_file() {
            let tables = count(
                &store,
                "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name LIKE '%authkit_%'",
            )
            .await;
            // All of the schema or nothing of it.
            assert!(tables == 0 || tables > 10, "step {step}: {tables} tables");
            if tables == 0 { none += 1 } else { done += 1 }
        }
        let server = launch(&store, &[]).start().await;
        crate::app::newcomer(&server.client(), "after@example.com").await;
        drop(server);
        assert_sound(&store).await;
    }
    println!("killed {none} times before and {done} times after the schema was there");
}

/// On PostgreSQL the middle can be held open: a table of the same name that another transaction is about to make.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s_190_killed_in_the_middle_of_a_migration_on_postgres() {
    use sqlx::{Connection as _, Executor as _};
    for round in 0..5 {
        let store = Store::new(Backend::Postgres).await;
        let mut blocker = sqlx::PgConnection::connect(store.url()).await.unwrap();
        let mut hold = blocker.begin().await.unwrap();
        hold.execute("CREATE TABLE authkit_audit (n INT)").await.unwrap();
        let mut server = launch(&store, &[]).spawn();
        let waiting = "SELECT COUNT(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
        crate::app::within(Duration::from_secs(20), "the migration is held", async || {
            count(&store, waiting).await > 0
        })
        .await;
        server.kill9();
        hold.rollback().await.unwrap();
        let server = launch(&store, &[]).start().await;
        crate::app::newcomer(&server.client(), &format!("after-{round}@example.com")).await;
    }
}
