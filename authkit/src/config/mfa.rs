use std::time::Duration;

/// Whether accounts need a second factor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum MfaPolicy {
    /// None can be set up. Those that exist are still asked for.
    Off,
    /// Who wants one sets it up.
    Optional,
    /// Everybody needs one; with `MFA_REQUIRED_ROLES` those who hold one of these roles.
    Required,
}

impl MfaPolicy {
    /// The name as in `MFA_POLICY`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Optional => "optional",
            Self::Required => "required",
        }
    }
}

/// Second factors.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MfaConfig {
    /// `MFA_POLICY`.
    pub policy: MfaPolicy,
    /// `MFA_REQUIRED_ROLES`: who holds one of them needs a second factor, unless the policy is off.
    pub required_roles: Vec<String>,
    /// `MFA_TOTP_PERIOD`: how long one code of a new authenticator is shown, in whole seconds.
    pub totp_period: Duration,
    /// `MFA_TOTP_DIGITS`: digits of the codes of a new authenticator, 6 to 8.
    pub totp_digits: u32,
    /// `MFA_BACKUP_CODES_COUNT`: codes of a new set.
    pub backup_codes: u32,
    /// `MFA_TOKEN_EXPIRE_MINUTES`: how long a sign-in waits for its second factor.
    pub token_ttl: Duration,
}

impl MfaConfig {
    /// Whether somebody with these roles needs a second factor.
    pub fn is_required_for(&self, roles: &[String]) -> bool {
        match self.policy {
            MfaPolicy::Off => false,
            MfaPolicy::Required if self.required_roles.is_empty() => true,
            _ => self.required_roles.iter().any(|role| roles.contains(role)),
        }
    }
}

impl Default for MfaConfig {
    fn default() -> Self {
        Self {
            policy: MfaPolicy::Optional,
            required_roles: Vec::new(),
            totp_period: Duration::from_secs(30),
            totp_digits: 6,
            backup_codes: 10,
            token_ttl: Duration::from_mins(5),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_narrow_what_is_required() {
        let of = |policy, roles: &[&str]| MfaConfig {
            policy,
            required_roles: roles.iter().map(|&role| role.to_owned()).collect(),
            ..MfaConfig::default()
        };
        let (user, admin) = (["user".to_owned()], ["user".to_owned(), "admin".to_owned()]);
        use MfaPolicy::{Off, Optional, Required};
        for (config, for_user, for_admin) in [
            (of(Off, &[]), false, false),
            (of(Off, &["admin"]), false, false),
            (of(Optional, &[]), false, false),
            (of(Optional, &["admin"]), false, true),
            (of(Required, &[]), true, true),
            (of(Required, &["admin"]), false, true),
        ] {
            assert_eq!(config.is_required_for(&user), for_user, "{config:?}");
            assert_eq!(config.is_required_for(&admin), for_admin, "{config:?}");
        }
    }
}
