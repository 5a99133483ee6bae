//! Making links and putting them into mails. Mail goes to stored addresses, links start with `PUBLIC_URL`, and nothing
//! of a request is in either (R3, R13).

use std::time::Duration;

use crate::config::EmailVerification;
use crate::crypto::keys::KeyPurpose;
use crate::crypto::mac;
use crate::db::Tx;
use crate::error::Result;
use crate::flows::Ctx;
use crate::ids::{InvitationId, SessionId, UserId};
use crate::links::{CODE_LIFE, Draft, LinkPurpose, LinkSecret, Subject, store as links};
use crate::mail::{Mail, Template, ToldLink, locale_of};
use crate::secret::{ExposeSecret as _, SecretString};
use crate::time::Timestamp;
use crate::users::{Email, User};

/// How long a new address can be confirmed.
const CHANGE_LIFE: Duration = Duration::from_hours(1);
/// How long a former address can be given back.
const UNDO_LIFE: Duration = Duration::from_hours(7 * 24);
/// How long a lock can be ended by mail.
const UNLOCK_LIFE: Duration = Duration::from_hours(1);

/// A link that was made. Its secret is here and in no row.
#[derive(Debug)]
pub(crate) struct IssuedLink {
    pub(crate) purpose: LinkPurpose,
    pub(crate) secret: LinkSecret,
    pub(crate) expires_at: Timestamp,
}

impl IssuedLink {
    /// As it goes with a notice.
    pub(crate) fn news(self, now: Timestamp) -> ToldLink {
        let (unit, count) = lasts(self.purpose, self.expires_at.since(now));
        let mut vars = vec![(unit, SecretString::from(count))];
        if let Some(code) = self.secret.code {
            vars.push(("code_minutes", SecretString::from(code_minutes())));
            vars.push(("code", code));
        }
        let (template, token) = (template(self.purpose), self.secret.token);
        ToldLink { template, token, vars, not_after: self.expires_at }
    }
}

/// Whose link, and what it is about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct For<'a> {
    pub(crate) user: UserId,
    /// The epoch of the account from now on.
    pub(crate) epoch: i64,
    /// The address that the mail goes to.
    pub(crate) address: &'a Email,
    /// The session that asks, if its effect shall spare that.
    pub(crate) session: Option<SessionId>,
}

impl Ctx {
    /// Keyed hash of an address's canonical key.
    pub(crate) fn address_hash(&self, email: &Email) -> Result<[u8; 32]> {
        let (key, _) = self.keys.active_bytes(KeyPurpose::Lookup)?;
        Ok(address_hash(&key, email))
    }

    /// The same by every key that may have been active when it was stored, the newest first.
    pub(crate) fn address_hashes(&self, email: &Email) -> Result<Vec<[u8; 32]>> {
        let keys = self.keys.accepted_bytes(KeyPurpose::Lookup)?;
        Ok(keys.iter().map(|key| address_hash(key, email)).collect())
    }

    /// Whether the address waits for another account, which may get it back by an undo.
    pub(crate) async fn is_reserved(
        &self,
        tx: &mut Tx<'_>,
        email: &Email,
        but: Option<UserId>,
    ) -> Result<bool> {
        let now = self.now();
        let mut reserved = false;
        for hash in self.address_hashes(email)? {
            reserved |= links::is_reserved(tx.conn(), &hash, but, now).await?;
        }
        Ok(reserved)
    }

    fn link_life(&self, purpose: LinkPurpose) -> Duration {
        match purpose {
            LinkPurpose::VerifyEmail => self.config.accounts.verify_ttl,
            LinkPurpose::ResetPassword => self.config.accounts.reset_ttl,
            LinkPurpose::ChangeEmail => CHANGE_LIFE,
            LinkPurpose::UndoEmail => UNDO_LIFE,
            LinkPurpose::Invitation => self.config.authz.invite_ttl,
            LinkPurpose::Unlock => UNLOCK_LIFE,
        }
    }

    /// Makes a link; one of the same purpose that the user may have is gone. The caller mails it or shows it once.
    pub(crate) async fn issue_link(
        &self,
        tx: &mut Tx<'_>,
        purpose: LinkPurpose,
        whose: For<'_>,
    ) -> Result<IssuedLink> {
        // What undoes a takeover must outlive whatever the one who took over changes next.
        let undo = purpose == LinkPurpose::UndoEmail;
        let subject = if undo { Subject::Itself(whose.user) } else { Subject::User(whose.user) };
        let now = self.now();
        let draft = Draft {
            purpose,
            subject,
            epoch: (!undo).then_some(whose.epoch),
            address: Some(whose.address.address()),
            address_hash: self.address_hash(whose.address)?,
            session: whose.session,
            expires_at: now + self.link_life(purpose),
        };
        let secret = self.draw(tx, &draft, now).await?;
        Ok(IssuedLink { purpose, secret, expires_at: draft.expires_at })
    }

    /// Makes a row that nothing opens: what an address without an account costs (R5).
    pub(crate) async fn issue_decoy(
        &self,
        tx: &mut Tx<'_>,
        purpose: LinkPurpose,
        email: &Email,
    ) -> Result<()> {
        let now = self.now();
        let draft = Draft {
            purpose,
            subject: Subject::Decoy,
            epoch: Some(0),
            address: None,
            address_hash: self.address_hash(email)?,
            session: None,
            expires_at: now + self.link_life(purpose),
        };
        self.draw(tx, &draft, now).await.map(|_| ())
    }

    /// Makes the link of an invitation; the one before it is gone. It needs no account, and its row says no address.
    pub(crate) async fn issue_invitation(
        &self,
        tx: &mut Tx<'_>,
        invitation: InvitationId,
        email: &Email,
    ) -> Result<IssuedLink> {
        let (now, purpose) = (self.now(), LinkPurpose::Invitation);
        let draft = Draft {
            purpose,
            subject: Subject::Invitation(invitation),
            epoch: None,
            address: None,
            address_hash: self.address_hash(email)?,
            session: None,
            expires_at: now + self.link_life(purpose),
        };
        let secret = self.draw(tx, &draft, now).await?;
        Ok(IssuedLink { purpose, secret, expires_at: draft.expires_at })
    }

    /// Puts an invitation into the outbox. Whoever it goes to may have no account, hence no language.
    pub(crate) async fn mail_invitation(
        &self,
        tx: &mut Tx<'_>,
        to: &str,
        (role, organisation): (&str, Option<&str>),
        link: &IssuedLink,
    ) -> Result<()> {
        let (unit, count) = lasts(link.purpose, link.expires_at.since(self.now()));
        let mut mail = Mail::new(Template::Invitation, to)
            .token(link.secret.token.expose_secret())
            .var("role", role)
            .var(unit, count)
            .not_after(link.expires_at);
        if let Some(organisation) = organisation {
            mail = mail.var("organisation", organisation);
        }
        self.outbox.enqueue(tx, mail).await.map(|_| ())
    }

    async fn draw(&self, tx: &mut Tx<'_>, draft: &Draft<'_>, now: Timestamp) -> Result<LinkSecret> {
        let (key, kid) = self.keys.active_bytes(KeyPurpose::Link)?;
        links::issue(tx.conn(), draft, (kid, &key), &*self.random, now).await
    }

    /// Puts a link into the outbox, to an address as stored.
    pub(crate) async fn mail_link(
        &self,
        tx: &mut Tx<'_>,
        user: &User,
        to: &str,
        link: &IssuedLink,
    ) -> Result<()> {
        let (unit, count) = lasts(link.purpose, link.expires_at.since(self.now()));
        let mut mail = Mail::new(template(link.purpose), to)
            .user(user.id)
            .locale(locale_of(&user.profile))
            .token(link.secret.token.expose_secret())
            .var("name", user.name.as_str())
            .var(unit, count)
            .not_after(link.expires_at);
        if let Some(code) = &link.secret.code {
            mail = mail.var("code", code.expose_secret()).var("code_minutes", code_minutes());
        }
        self.outbox.enqueue(tx, mail).await.map(|_| ())
    }

    /// Makes a link about the account's present address and mails it there.
    pub(crate) async fn send_link(
        &self,
        tx: &mut Tx<'_>,
        purpose: LinkPurpose,
        user: &User,
        epoch: i64,
    ) -> Result<IssuedLink> {
        let address = stored(&user.email)?;
        let whose = For { user: user.id, epoch, address: &address, session: None };
        let link = self.issue_link(tx, purpose, whose).await?;
        self.mail_link(tx, user, &user.email, &link).await?;
        Ok(link)
    }

    /// What [`Self::send_link`] costs, for an address that gets none.
    pub(crate) async fn send_nothing(
        &self,
        tx: &mut Tx<'_>,
        purpose: LinkPurpose,
        email: &Email,
    ) -> Result<()> {
        self.issue_decoy(tx, purpose, email).await?;
        self.outbox.enqueue_nothing(tx).await.map(|_| ())
    }

    /// Tells the owner of an address that somebody signed up with it, though it has an account.
    pub(crate) async fn mail_known(&self, tx: &mut Tx<'_>, user: &User) -> Result<()> {
        let mail = Mail::new(Template::SignUpKnown, &user.email)
            .user(user.id)
            .locale(locale_of(&user.profile))
            .var("name", user.name.as_str());
        self.outbox.enqueue(tx, mail).await.map(|_| ())
    }

    /// Tells who has just proved an address what became of the account that stood under it.
    pub(crate) async fn mail_proved(&self, tx: &mut Tx<'_>, user: &User) -> Result<()> {
        if !self.outbox.is_on() {
            return Ok(());
        }
        // Without the name: it may be the words of whoever made the account.
        let mail = Mail::new(Template::AddressProved, &user.email).user(user.id);
        self.outbox.enqueue(tx, mail).await.map(|_| ())
    }

    /// A link as it stands in a mail, for operators of a server that sends none.
    pub(crate) fn link_url(&self, link: &IssuedLink) -> SecretString {
        let base = &self.config.server.public_url;
        let token = link.secret.token.expose_secret();
        SecretString::from(format!("{base}/{}?token={token}", link.purpose.path()))
    }

    /// Whether addresses are to be proved at all.
    pub(crate) fn verifies(&self) -> bool {
        self.verification() != EmailVerification::Off
    }
}

/// An address as it stands in a row, read back.
pub(crate) fn stored(address: &str) -> Result<Email> {
    Email::parse(address, "/email")
        .map_err(|_| crate::Error::internal("the address of an account is not an e-mail address"))
}

fn address_hash(key: &[u8; 32], email: &Email) -> [u8; 32] {
    mac::mac(key, &[b"authkit link address", email.key().as_bytes()])
}

fn code_minutes() -> String {
    (CODE_LIFE.as_secs() / 60).to_string()
}

/// How long a link lasts, in the unit in which people are told.
fn lasts(purpose: LinkPurpose, life: Duration) -> (&'static str, String) {
    let (unit, seconds) = match purpose {
        LinkPurpose::UndoEmail | LinkPurpose::Invitation => ("days", 86_400),
        LinkPurpose::VerifyEmail => ("hours", 3_600),
        LinkPurpose::ResetPassword | LinkPurpose::ChangeEmail | LinkPurpose::Unlock => ("minutes", 60),
    };
    // To the nearest: some of it has passed since the link was made.
    (unit, ((life.as_secs() + seconds / 2) / seconds).max(1).to_string())
}

const fn template(purpose: LinkPurpose) -> Template {
    match purpose {
        LinkPurpose::VerifyEmail => Template::VerifyEmail,
        LinkPurpose::ResetPassword => Template::ResetPassword,
        LinkPurpose::ChangeEmail => Template::ConfirmEmail,
        LinkPurpose::UndoEmail => Template::UndoEmail,
        LinkPurpose::Invitation => Template::Invitation,
        LinkPurpose::Unlock => Template::Unlock,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_told_the_nearest_whole_unit() {
        assert_eq!(
            lasts(LinkPurpose::VerifyEmail, Duration::from_millis(86_399_997)),
            ("hours", "24".to_owned())
        );
        assert_eq!(lasts(LinkPurpose::ResetPassword, Duration::from_mins(30)), ("minutes", "30".to_owned()));
        assert_eq!(lasts(LinkPurpose::UndoEmail, Duration::from_secs(604_799)), ("days", "7".to_owned()));
        assert_eq!(lasts(LinkPurpose::ResetPassword, Duration::from_secs(10)), ("minutes", "1".to_owned()));
    }
}
