//! Facts about a call that are not part of its input: where it came from and who stands behind it.

use std::net::IpAddr;

use uuid::Uuid;

use crate::ids::{IdempotencyId, UserId};

/// What a flow may know of the request that caused it. Cheap to clone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RequestMeta {
    /// The client's address, canonical; `None` where there is no client (CLI, jobs). Never leave it out where there is
    /// one: everybody without an address is counted as one, so failed sign-ins of some lock all of them.
    pub ip: Option<IpAddr>,
    /// The client's `User-Agent`, cut to 512 bytes when stored.
    pub user_agent: Option<String>,
    /// Ties answer, log and audit together.
    pub request_id: Option<String>,
    /// Who acts when it is not the user himself, such as `cli:root@host`.
    pub operator: Option<String>,
    /// Why an operator acts, for the audit.
    pub reason: Option<String>,
    /// The operator, where it is a user who signed in: judged again where he gives something away.
    pub(crate) acting: Option<UserId>,
    /// The idempotency key that its effect is tied to.
    pub(crate) claim: Option<Claim>,
}

/// The right to carry out a request that came with an idempotency key, as long as its lease is not another's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) id: IdempotencyId,
    pub(crate) lease: Uuid,
}

impl RequestMeta {
    /// No client, no operator: the library's own doing.
    pub fn new() -> Self {
        Self::default()
    }

    /// A request from `ip`; an IPv4 address written as IPv6 is folded to IPv4 (R4).
    #[must_use]
    pub fn with_ip(mut self, ip: IpAddr) -> Self {
        self.ip = Some(ip.to_canonical());
        self
    }

    /// Sets the client's `User-Agent`.
    #[must_use]
    pub fn with_user_agent(mut self, user_agent: impl Into<String>) -> Self {
        self.user_agent = Some(user_agent.into());
        self
    }

    /// Sets the request id.
    #[must_use]
    pub fn with_request_id(mut self, request_id: impl Into<String>) -> Self {
        self.request_id = Some(request_id.into());
        self
    }

    /// Names a signed-in operator.
    #[must_use]
    pub(crate) fn with_acting(mut self, user: UserId) -> Self {
        self.acting = Some(user);
        let reason = self.reason.take();
        self.with_operator(format!("user:{user}"), reason)
    }

    /// Ties what is done to an idempotency key.
    #[cfg_attr(not(feature = "axum"), expect(dead_code, reason = "keys come by HTTP"))]
    #[must_use]
    pub(crate) fn with_claim(mut self, claim: Claim) -> Self {
        self.claim = Some(claim);
        self
    }

    /// Names the operator that acts, such as `cli:root@host`, and why.
    #[must_use]
    pub fn with_operator(mut self, operator: impl Into<String>, reason: Option<String>) -> Self {
        self.operator = Some(operator.into());
        self.reason = reason;
        self
    }
}

/// The bytes by which an address is counted and bound: IPv4 whole, IPv6 its /64 (R4).
pub(crate) fn network_of(ip: IpAddr) -> Vec<u8> {
    match ip.to_canonical() {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().into_iter().take(8).collect(),
    }
}
