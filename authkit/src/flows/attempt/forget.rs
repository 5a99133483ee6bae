//! Unlocking: by an operator, by the owner's proof, with the account's end.

use super::TRIES;
use crate::audit::Entry;
use crate::db::Tx;
use crate::error::{Error, Result};
use crate::events::Action;
use crate::flows::Ctx;
use crate::ids::UserId;
use crate::lockout::{KeyPair, Row, store};
use crate::meta::RequestMeta;
use crate::users::Email;

impl Ctx {
    /// Forgets failures and locks of an account: of its e-mail, its devices and its second factor. `true` when there
    /// was something to forget; each lock is audited. The account's row is held.
    pub(crate) async fn forget_failures_of(
        &self,
        tx: &mut Tx<'_>,
        user: UserId,
        email: &str,
        meta: &RequestMeta,
    ) -> Result<bool> {
        let mut rows = store::of_user(tx.conn(), user).await?;
        if let Ok(email) = Email::parse(email, "/email") {
            // Counted before the account was there: its row does not name it.
            let key = self.row_keys()?.email(email.key());
            let named = store::by_keys(tx.conn(), [&key.current, &key.former, "", "", "", ""]).await?;
            rows.extend(named.into_iter().filter(|row| row.user != Some(user)));
        }
        let mut some = false;
        for row in rows {
            let row = Row { user: Some(user), ..row };
            some |= self.forget_in(tx, row, meta).await?.1;
        }
        Ok(some)
    }

    /// For the purge of an account: its rows go, locked or not.
    pub(crate) async fn forget_attempts_of(&self, tx: &mut Tx<'_>, user: UserId, email: &str) -> Result<()> {
        let key = match Email::parse(email, "/email") {
            Ok(email) => self.row_keys()?.email(email.key()),
            Err(_) => KeyPair::default(),
        };
        store::delete_of_user(tx.conn(), user, [&key.current, &key.former]).await.map(|_| ())
    }

    /// Forgets failures and lock of one row. Audited when there was something to forget.
    pub(crate) async fn forget_in(
        &self,
        tx: &mut Tx<'_>,
        mut row: Row,
        meta: &RequestMeta,
    ) -> Result<(Row, bool)> {
        for _ in 0..TRIES {
            let moment = self.lockouts.moment();
            row.look(&moment, &self.lockouts.rules(row.kind));
            if !row.forget() {
                return Ok((row, false));
            }
            row.touched_at = moment.micros();
            if store::replace(tx.conn(), &row).await? {
                let mut entry = unlocked(&row);
                entry.user = row.user;
                self.audit.record(tx, meta, entry).await?;
                return Ok((row, true));
            }
            match store::by_id(tx.conn(), row.id).await? {
                Some(fresh) => row = Row { user: row.user.or(fresh.user), ..fresh },
                None => return Ok((row, false)),
            }
        }
        Err(Error::unavailable("a counter of failures changed all the time"))
    }
}

fn unlocked(row: &Row) -> Entry {
    Entry::system(Action::LockoutUnlock).detail("kind", row.kind.name()).detail("lockout", row.id.to_string())
}
