//! Statements on `authkit_passkeys` and `authkit_passkey_challenges`.

use uuid::Uuid;

use super::ceremony::{Asserted, NewKey};
use super::model::{Bound, Challenge, Claimed, Credential, Draft, Looked, Owner, Passkey, Purpose};
use crate::db::{Conn, on_db, row};
use crate::error::Result;
use crate::ids::{PasskeyChallengeId, PasskeyId, UserId};
use crate::random::SecureRandom;
use crate::time::Timestamp;

const OPEN: &str = "INSERT INTO authkit_passkey_challenges
        (id, purpose, user_id, epoch, subject, name, state, created_at, expires_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
/// Challenge, passkey and account in one read. No row without the challenge: whoever asks gets nothing else.
const LOOK: &str = "SELECT c.purpose, c.user_id AS bound_user, c.epoch AS bound_epoch, c.subject, c.state,
        c.expires_at, p.credential, u.id AS user_id, u.email, u.status, u.email_verified_at, u.epoch
    FROM authkit_passkey_challenges c
    LEFT JOIN authkit_passkeys p ON p.credential_id = $2
    LEFT JOIN authkit_users u ON u.id = p.user_id
    WHERE c.id = $1";
/// The one guarded statement of a use (R1), which also reads the key that answers. `$4` to `$6` are null for a sign-in.
const CLAIM: &str =
    "DELETE FROM authkit_passkey_challenges WHERE id = $1 AND purpose = $2 AND expires_at > $3
      AND (user_id IS NULL OR (user_id = $4 AND epoch = $5 AND subject = $6))
    RETURNING state, name,
      (SELECT p.credential FROM authkit_passkeys p WHERE p.credential_id = $7 AND p.user_id = $4) AS credential";
/// For an answer that was judged and refused: one challenge, one answer.
const SPEND: &str = "DELETE FROM authkit_passkey_challenges WHERE id = $1";
const END_OF_USER: &str = "DELETE FROM authkit_passkey_challenges WHERE user_id = $1";
const END_ALL: &str = "DELETE FROM authkit_passkey_challenges";
/// A row defends nothing once its time is over: its answer is refused by then.
const SWEEP: &str = "DELETE FROM authkit_passkey_challenges WHERE id IN
    (SELECT c.id FROM authkit_passkey_challenges c WHERE c.expires_at <= $1 ORDER BY c.expires_at LIMIT $2)";

const ADD: &str = "INSERT INTO authkit_passkeys (id, user_id, credential_id, credential, name, sign_count,
        backup_eligible, backed_up, transports, created_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
    ON CONFLICT (credential_id) DO NOTHING";
/// Of two answers whose counters were read alike one is taken: the counter only rises (WebAuthn section 6.1.1). Keys
/// that do not count stay at 0.
const USE: &str =
    "UPDATE authkit_passkeys SET credential = $3, sign_count = $4, backed_up = $5, last_used_at = $6
    WHERE credential_id = $1 AND user_id = $2 AND (sign_count < $4 OR (sign_count = 0 AND $4 = 0))";
const REMOVE: &str = "DELETE FROM authkit_passkeys WHERE id = $1 AND user_id = $2";
const REMOVE_OF_USER: &str = "DELETE FROM authkit_passkeys WHERE user_id = $1";
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, user_id, name, backup_eligible, backed_up, transports, created_at, last_used_at
            FROM authkit_passkeys ",
            $rest
        )
    };
}
const OF_USER: &str = select!("WHERE user_id = $1 ORDER BY created_at, id");
const BY_ID: &str = select!("WHERE id = $1");
const KNOWN: &str =
    "SELECT credential_id, transports FROM authkit_passkeys WHERE user_id = $1 ORDER BY created_at, id";
const COUNT: &str = "SELECT COUNT(*) FROM authkit_passkeys WHERE user_id = $1";

row! {
    struct LookRow {
        purpose: String, bound_user: Option<Uuid>, bound_epoch: Option<i64>, subject: Option<Uuid>,
        state: String, expires_at: i64, credential: Option<String>,
        user_id: Option<Uuid>, email: Option<String>, status: Option<String>, email_verified_at: Option<i64>,
        epoch: Option<i64>,
    }
}

row! {
    struct PasskeyRow {
        id: Uuid, user_id: Uuid, name: String, backup_eligible: bool, backed_up: bool, transports: String,
        created_at: i64, last_used_at: Option<i64>,
    }
}

row! {
    struct ClaimedRow { state: String, name: Option<String>, credential: Option<String> }
}

row! {
    struct KnownRow { credential_id: Vec<u8>, transports: String }
}

impl From<LookRow> for Looked {
    fn from(row: LookRow) -> Self {
        let bound = match (row.bound_user, row.bound_epoch, row.subject) {
            (Some(user), Some(epoch), Some(subject)) => {
                Some(Bound { user: UserId::from_uuid(user), epoch, subject })
            }
            _ => None,
        };
        let challenge = Challenge {
            purpose: row.purpose,
            bound,
            state: row.state,
            expires_at: Timestamp::from_micros(row.expires_at),
        };
        let credential = match (row.credential, row.user_id, row.email, row.status, row.epoch) {
            (Some(state), Some(user), Some(email), Some(status), Some(epoch)) => {
                let (user, verified) = (UserId::from_uuid(user), row.email_verified_at.is_some());
                Some(Credential { state, owner: Owner { user, email, status, verified, epoch } })
            }
            _ => None,
        };
        Self { challenge: Some(challenge), credential }
    }
}

impl PasskeyRow {
    fn split(self) -> (UserId, Passkey) {
        let passkey = Passkey {
            id: PasskeyId::from_uuid(self.id),
            name: self.name,
            backup_eligible: self.backup_eligible,
            backed_up: self.backed_up,
            transports: to_list(&self.transports),
            created_at: Timestamp::from_micros(self.created_at),
            last_used_at: self.last_used_at.map(Timestamp::from_micros),
        };
        (UserId::from_uuid(self.user_id), passkey)
    }
}

fn to_list(text: &str) -> Vec<String> {
    text.split(',').filter(|item| !item.is_empty()).map(str::to_owned).collect()
}

/// What a browser is told of a passkey that exists: its credential's id and how it is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) credential_id: Vec<u8>,
    pub(crate) transports: Vec<String>,
}

/// Keeps a challenge until it is answered or its time is over.
pub(crate) async fn open(
    conn: &mut Conn<'_>,
    draft: &Draft,
    random: &dyn SecureRandom,
    now: Timestamp,
) -> Result<PasskeyChallengeId> {
    let id = PasskeyChallengeId::generate(now, random)?;
    let () = on_db!(conn, |c| sqlx::query(OPEN)
        .bind(id.as_uuid())
        .bind(draft.purpose.name())
        .bind(draft.bound.map(|bound| bound.user.as_uuid()))
        .bind(draft.bound.map(|bound| bound.epoch))
        .bind(draft.bound.map(|bound| bound.subject))
        .bind(draft.name.as_deref())
        .bind(draft.state.as_str())
        .bind(now.as_micros())
        .bind((now + super::model::CHALLENGE_LIFE).as_micros())
        .execute(c)
        .await
        .map(|_| ()))?;
    Ok(id)
}

/// The challenge, and whose passkey the credential is. Nothing when there is no such challenge.
pub(crate) async fn look(
    conn: &mut Conn<'_>,
    challenge: PasskeyChallengeId,
    credential_id: &[u8],
) -> Result<Looked> {
    let row: Option<LookRow> = on_db!(conn, |c| sqlx::query_as(LOOK)
        .bind(challenge.as_uuid())
        .bind(credential_id.to_vec())
        .fetch_optional(c)
        .await)?;
    Ok(row.map(Looked::from).unwrap_or_default())
}

/// Uses a challenge up: one caller at the most gets it. The account's row is held, where there is one.
pub(crate) async fn claim(
    conn: &mut Conn<'_>,
    id: PasskeyChallengeId,
    (purpose, bound): (Purpose, Option<Bound>),
    credential_id: &[u8],
    now: Timestamp,
) -> Result<Option<Claimed>> {
    let row: Option<ClaimedRow> = on_db!(conn, |c| sqlx::query_as(CLAIM)
        .bind(id.as_uuid())
        .bind(purpose.name())
        .bind(now.as_micros())
        .bind(bound.map(|bound| bound.user.as_uuid()))
        .bind(bound.map(|bound| bound.epoch))
        .bind(bound.map(|bound| bound.subject))
        .bind(credential_id.to_vec())
        .fetch_optional(c)
        .await)?;
    Ok(row.map(|row| Claimed { state: row.state, name: row.name, credential: row.credential }))
}

/// Takes a challenge away whose answer was refused.
pub(crate) async fn spend(conn: &mut Conn<'_>, id: PasskeyChallengeId) -> Result<()> {
    let () = on_db!(conn, |c| sqlx::query(SPEND).bind(id.as_uuid()).execute(c).await.map(|_| ()))?;
    Ok(())
}

/// Ends what a user has begun.
pub(crate) async fn end_challenges_of(conn: &mut Conn<'_>, user: UserId) -> Result<()> {
    let () = on_db!(conn, |c| sqlx::query(END_OF_USER).bind(user.as_uuid()).execute(c).await.map(|_| ()))?;
    Ok(())
}

/// Ends what anybody has begun.
pub(crate) async fn end_all_challenges(conn: &mut Conn<'_>) -> Result<u64> {
    Ok(on_db!(conn, |c| sqlx::query(END_ALL).execute(c).await.map(|done| done.rows_affected()))?)
}

/// Removes up to `limit` challenges whose time is over. Returns how many.
pub(crate) async fn sweep(conn: &mut Conn<'_>, now: Timestamp, limit: i64) -> Result<u64> {
    Ok(on_db!(conn, |c| sqlx::query(SWEEP)
        .bind(now.as_micros())
        .bind(limit)
        .execute(c)
        .await
        .map(|done| done.rows_affected()))?)
}

/// Keeps a new passkey. `None` when its credential is registered already, by whomever.
pub(crate) async fn add(
    conn: &mut Conn<'_>,
    user: UserId,
    name: &str,
    key: &NewKey,
    random: &dyn SecureRandom,
    now: Timestamp,
) -> Result<Option<Passkey>> {
    let id = PasskeyId::generate(now, random)?;
    let added: bool = on_db!(conn, |c| sqlx::query(ADD)
        .bind(id.as_uuid())
        .bind(user.as_uuid())
        .bind(key.credential_id.clone())
        .bind(key.state.as_str())
        .bind(name)
        .bind(i64::from(key.sign_count))
        .bind(key.backup_eligible)
        .bind(key.backed_up)
        .bind(key.transports.join(","))
        .bind(now.as_micros())
        .execute(c)
        .await
        .map(|done| done.rows_affected() > 0))?;
    Ok(added.then(|| Passkey {
        id,
        name: name.to_owned(),
        backup_eligible: key.backup_eligible,
        backed_up: key.backed_up,
        transports: key.transports.clone(),
        created_at: now,
        last_used_at: None,
    }))
}

/// Notes a use. `false` when the passkey is gone, or another use has moved its counter as far.
pub(crate) async fn note_use(
    conn: &mut Conn<'_>,
    credential_id: &[u8],
    user: UserId,
    asserted: &Asserted,
    now: Timestamp,
) -> Result<bool> {
    Ok(on_db!(conn, |c| sqlx::query(USE)
        .bind(credential_id.to_vec())
        .bind(user.as_uuid())
        .bind(asserted.state.as_str())
        .bind(i64::from(asserted.sign_count))
        .bind(asserted.backed_up)
        .bind(now.as_micros())
        .execute(c)
        .await
        .map(|done| done.rows_affected() > 0))?)
}

/// Removes a passkey of that user. `false` when he has none of that id.
pub(crate) async fn remove(conn: &mut Conn<'_>, id: PasskeyId, user: UserId) -> Result<bool> {
    Ok(on_db!(conn, |c| sqlx::query(REMOVE)
        .bind(id.as_uuid())
        .bind(user.as_uuid())
        .execute(c)
        .await
        .map(|done| done.rows_affected() > 0))?)
}

/// Removes all passkeys of a user. Returns how many.
pub(crate) async fn remove_of_user(conn: &mut Conn<'_>, user: UserId) -> Result<u64> {
    Ok(on_db!(conn, |c| sqlx::query(REMOVE_OF_USER)
        .bind(user.as_uuid())
        .execute(c)
        .await
        .map(|done| done.rows_affected()))?)
}

/// A user's passkeys, oldest first.
pub(crate) async fn of_user(conn: &mut Conn<'_>, user: UserId) -> Result<Vec<Passkey>> {
    let rows: Vec<PasskeyRow> =
        on_db!(conn, |c| sqlx::query_as(OF_USER).bind(user.as_uuid()).fetch_all(c).await)?;
    Ok(rows.into_iter().map(|row| row.split().1).collect())
}

/// The passkey of that id, and whose it is.
pub(crate) async fn by_id(conn: &mut Conn<'_>, id: PasskeyId) -> Result<Option<(UserId, Passkey)>> {
    let row: Option<PasskeyRow> =
        on_db!(conn, |c| sqlx::query_as(BY_ID).bind(id.as_uuid()).fetch_optional(c).await)?;
    Ok(row.map(PasskeyRow::split))
}

/// What browsers are told of a user's passkeys.
pub(crate) async fn known(conn: &mut Conn<'_>, user: UserId) -> Result<Vec<Known>> {
    let rows: Vec<KnownRow> =
        on_db!(conn, |c| sqlx::query_as(KNOWN).bind(user.as_uuid()).fetch_all(c).await)?;
    Ok(rows
        .into_iter()
        .map(|row| Known { credential_id: row.credential_id, transports: to_list(&row.transports) })
        .collect())
}

/// How many passkeys a user has.
pub(crate) async fn count(conn: &mut Conn<'_>, user: UserId) -> Result<i64> {
    Ok(on_db!(conn, |c| sqlx::query_scalar(COUNT).bind(user.as_uuid()).fetch_one(c).await)?)
}
