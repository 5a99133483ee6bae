//! How well somebody proved who he is: computed here and nowhere else.
//!
//! A session carries its methods (`amr`, RFC 8176) and the time of the last proof (`auth_time`). Two factors are two
//! kinds of proof: something known (`pwd`) and something held (`otp`, `hwk`, `swk`), or a passkey that verified its user
//! itself. Whoever has `mfa` among the methods gave two.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::crypto::jwt::LEEWAY;
use crate::db::Conn;
use crate::error::{Error, Result};
use crate::flows::authenticate::Requirement;
use crate::flows::{Authenticated, Ctx, FRESH};
use crate::ids::UserId;
use crate::mfa::{FactorKind, store};
use crate::time::Timestamp;

/// Two factors were given.
const MFA: &str = "mfa";
const PASSWORD: &str = "pwd";
const ONE_TIME_CODE: &str = "otp";
const DEVICE_BOUND_KEY: &str = "hwk";
const SYNCED_KEY: &str = "swk";
/// The user was there. Passkeys of ours are used in no other way.
const PRESENCE: &str = "user";
/// What a step-up takes that is no second factor.
const BY_PASSWORD: &str = "password";
/// A second factor must be set up first.
const ENROL: &str = "enrol";
/// In the order in which they are written.
const ORDER: [&str; 6] = [PASSWORD, ONE_TIME_CODE, DEVICE_BOUND_KEY, SYNCED_KEY, PRESENCE, MFA];

/// The methods by which somebody proved who he is (RFC 8176), without repetition, in one order.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Amr(Vec<&'static str>);

impl Amr {
    /// A password.
    pub(crate) fn password() -> Self {
        Self(vec![PASSWORD])
    }

    /// A code of an authenticator app, or a backup code.
    pub(crate) fn code() -> Self {
        Self(vec![ONE_TIME_CODE])
    }

    /// A passkey. `verified`: it checked a PIN or the like of its user; `synced`: it may be copied between devices.
    pub(crate) fn passkey(verified: bool, synced: bool) -> Self {
        let key = if synced { SYNCED_KEY } else { DEVICE_BOUND_KEY };
        let given = [key, PRESENCE, MFA];
        Self(given.into_iter().filter(|method| verified || *method != MFA).collect())
    }

    /// What `self` and `other` prove together.
    pub(crate) fn and_also(&self, other: &Self) -> Self {
        let has = |method: &str| self.0.contains(&method) || other.0.contains(&method);
        let held = [ONE_TIME_CODE, DEVICE_BOUND_KEY, SYNCED_KEY].into_iter().any(has);
        let both = has(PASSWORD) && held;
        Self(ORDER.into_iter().filter(|method| has(method) || (*method == MFA && both)).collect())
    }

    /// As it stands in a row; what is not known is dropped.
    pub(crate) fn read(text: &str) -> Self {
        let given: Vec<&str> = text.split_whitespace().collect();
        Self(ORDER.into_iter().filter(|method| given.contains(method)).collect())
    }

    /// As it stands in a row.
    pub(crate) fn text(&self) -> String {
        self.0.join(" ")
    }

    /// Whether two factors were given.
    pub(crate) fn is_mfa(&self) -> bool {
        self.0.contains(&MFA)
    }

    pub(crate) fn names(&self) -> &[&'static str] {
        &self.0
    }
}

impl fmt::Debug for Amr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Amr({})", self.text())
    }
}

/// How strong a sign-in was: the authenticator assurance levels of NIST SP 800-63B section 4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Acr {
    /// One factor.
    Aal1,
    /// Two factors.
    Aal2,
}

impl Acr {
    /// Stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Aal1 => "aal1",
            Self::Aal2 => "aal2",
        }
    }
}

impl Authenticated {
    /// How strong the sign-in was.
    pub fn acr(&self) -> Acr {
        if self.amr().iter().any(|method| method == MFA) { Acr::Aal2 } else { Acr::Aal1 }
    }
}

/// How well, and how recently, the caller proved who he is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Assurance {
    acr: Acr,
    within: Option<Duration>,
}

impl Assurance {
    /// By any means.
    pub const fn any() -> Self {
        Self { acr: Acr::Aal1, within: None }
    }

    /// By two factors, or by a passkey that verified its user.
    pub const fn mfa() -> Self {
        Self { acr: Acr::Aal2, within: None }
    }

    /// Not longer ago than `span`.
    #[must_use]
    pub const fn within(self, span: Duration) -> Self {
        Self { within: Some(span), ..self }
    }

    /// Not longer ago than so many minutes.
    #[must_use]
    pub const fn within_minutes(self, minutes: u64) -> Self {
        self.within(Duration::from_secs(minutes * 60))
    }

    fn is_met_by(self, caller: &Authenticated, at: Timestamp) -> bool {
        // A sign-in in the future is one before the clock was set back: nobody knows how long ago (R18).
        let Some(auth_time) = caller.auth_time() else { return false };
        let known = auth_time <= at + LEEWAY;
        let fresh = self.within.is_none_or(|span| known && at < auth_time + span);
        fresh && caller.acr() >= self.acr
    }
}

impl Requirement for Assurance {
    fn check(&self, caller: &Authenticated) -> Result<()> {
        // No step-up makes a sign-in of an API key.
        caller.signed_in()?;
        if self.is_met_by(caller, caller.at()) {
            return Ok(());
        }
        let second = [FactorKind::Totp, FactorKind::BackupCode, FactorKind::Passkey].map(FactorKind::name);
        let password = (self.acr == Acr::Aal1).then_some(BY_PASSWORD);
        Err(Error::step_up(password.into_iter().chain(second).collect()))
    }
}

/// The second factors of an account.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Factors {
    /// A confirmed authenticator app.
    pub(crate) totp: bool,
    /// Backup codes that were not used yet. Alone they are no factor.
    pub(crate) backup_codes: i64,
    /// A passkey.
    pub(crate) passkeys: bool,
}

impl Factors {
    /// Whether there is a second factor.
    pub(crate) fn any(self) -> bool {
        self.totp || self.passkeys
    }

    /// What may be given.
    pub(crate) fn kinds(self) -> Vec<FactorKind> {
        let codes = self.any() && self.backup_codes > 0;
        [(self.totp, FactorKind::Totp), (codes, FactorKind::BackupCode), (self.passkeys, FactorKind::Passkey)]
            .into_iter()
            .filter_map(|(has, kind)| has.then_some(kind))
            .collect()
    }

    /// What a step-up would take of an account with these.
    pub(crate) fn satisfying(self) -> Vec<&'static str> {
        if self.any() { self.kinds().into_iter().map(FactorKind::name).collect() } else { vec![BY_PASSWORD] }
    }
}

impl Ctx {
    /// The second factors of an account. They change with its epoch only.
    pub(crate) async fn factors(&self, conn: &mut Conn<'_>, user: UserId) -> Result<Factors> {
        let held = store::held(conn, user).await?;
        let passkeys = self.has_passkeys(conn, user).await?;
        Ok(Factors { totp: held.totp, backup_codes: held.backup_codes, passkeys })
    }

    /// [`Self::factors`] on a connection of its own.
    pub(crate) async fn factors_of(self: &Arc<Self>, user: UserId) -> Result<Factors> {
        let ctx = Arc::clone(self);
        self.db.read(move |conn| Box::pin(async move { ctx.factors(conn, user).await })).await
    }

    /// The guard of every door that changes a credential (contract 4.14): the caller proved himself within 5 minutes,
    /// with a second factor once the account has one. A door that takes a second factor in its body judges that
    /// instead.
    ///
    /// # Errors
    /// [`crate::ErrorKind::StepUpRequired`] with what would do.
    pub(crate) async fn require_fresh(self: &Arc<Self>, auth: &Authenticated) -> Result<Factors> {
        let factors = self.factors_of(auth.signed_in()?.sub).await?;
        self.require_fresh_with(auth, factors).map(|()| factors)
    }

    /// [`Self::require_fresh`] for factors that were read already. Judged now, however long ago the caller was let in.
    pub(crate) fn require_fresh_with(&self, auth: &Authenticated, factors: Factors) -> Result<()> {
        let needed = if factors.any() { Assurance::mfa() } else { Assurance::any() };
        if needed.within(FRESH).is_met_by(auth, self.now()) {
            Ok(())
        } else {
            Err(Error::step_up(factors.satisfying()))
        }
    }

    /// Whether the policy lets the caller do nothing but prove or set up a second factor.
    pub(crate) fn is_restricted(&self, auth: &Authenticated) -> bool {
        auth.acr() < Acr::Aal2 && self.config.mfa.is_required_for(auth.roles())
    }

    /// What a restricted caller is told.
    pub(crate) async fn restricted(self: &Arc<Self>, auth: &Authenticated) -> Error {
        match self.factors_of(auth.user_id()).await {
            Ok(factors) if factors.any() => Error::step_up(factors.satisfying()),
            Ok(_) => Error::step_up(vec![ENROL]),
            Err(error) => error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_kinds_of_proof_are_two_factors() {
        let password = Amr::password();
        assert!(!password.is_mfa());
        let both = password.and_also(&Amr::code());
        assert_eq!((both.text().as_str(), both.is_mfa()), ("pwd otp mfa", true));
        assert_eq!(both.and_also(&Amr::code()), both);
        let key = Amr::passkey(false, true);
        assert_eq!((key.text().as_str(), key.is_mfa()), ("swk user", false));
        assert!(password.and_also(&key).is_mfa());
        // Two things held are one kind of proof.
        assert!(!key.and_also(&Amr::code()).is_mfa());
        assert_eq!(Amr::passkey(true, false).text(), "hwk user mfa");
        assert!(Amr::passkey(true, true).is_mfa());
    }

    #[test]
    fn what_is_written_reads_back_and_noise_is_dropped() {
        for amr in [Amr::password(), Amr::password().and_also(&Amr::code()), Amr::passkey(true, true)] {
            assert_eq!(Amr::read(&amr.text()), amr);
        }
        assert_eq!(Amr::read("mfa xyz pwd pwd").names(), ["pwd", "mfa"]);
        assert_eq!(Amr::read("").text(), "");
    }

    #[test]
    fn backup_codes_alone_are_no_factor() {
        let codes = Factors { backup_codes: 3, ..Factors::default() };
        assert!(!codes.any() && codes.kinds().is_empty());
        assert_eq!(codes.satisfying(), ["password"]);
        let with_app = Factors { totp: true, ..codes };
        assert_eq!(with_app.satisfying(), ["totp", "backup_code"]);
        assert_eq!(Factors { backup_codes: 0, ..with_app }.satisfying(), ["totp"]);
    }
}
