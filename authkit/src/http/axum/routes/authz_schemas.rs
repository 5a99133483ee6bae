//! Schemas of organisations, memberships and invitations, for the OpenAPI document. A test compares them with what is
//! really sent.

#![expect(dead_code, reason = "read by the derive only")]

use utoipa::ToSchema;
use uuid::Uuid;

/// A tenant.
#[derive(ToSchema)]
pub(in crate::http::axum) struct Organisation {
    /// Never changes.
    id: Uuid,
    /// For people.
    name: String,
    /// The domain that it says it has.
    #[schema(required)]
    domain: Option<String>,
    /// How many members there may be; null for any number.
    #[schema(required)]
    seat_limit: Option<i64>,
    /// Whether it works.
    status: OrgStatus,
    /// When it was made.
    #[schema(format = "date-time")]
    created_at: String,
    /// When it last changed.
    #[schema(format = "date-time")]
    updated_at: String,
}

/// Whether an organisation works.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(in crate::http::axum) enum OrgStatus {
    Active,
    Disabled,
}

/// A page of organisations.
#[derive(ToSchema)]
pub(in crate::http::axum) struct OrganisationList {
    items: Vec<Organisation>,
    /// Where the next page starts; null on the last one.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// A user's role on one resource; an organisation is a resource of the type `org`.
#[derive(ToSchema)]
pub(in crate::http::axum) struct Membership {
    /// Never changes.
    id: Uuid,
    /// Who.
    user_id: Uuid,
    /// On what kind of thing.
    resource_type: String,
    /// On which one.
    resource_id: String,
    /// As what.
    role: String,
    /// When it was given.
    #[schema(format = "date-time")]
    created_at: String,
    /// When the role last changed.
    #[schema(format = "date-time")]
    updated_at: String,
}

/// A page of memberships.
#[derive(ToSchema)]
pub(in crate::http::axum) struct MembershipList {
    items: Vec<Membership>,
    /// Where the next page starts; null on the last one.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// What became of an invitation.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(in crate::http::axum) enum InvitationStatus {
    Pending,
    Accepted,
    Revoked,
    Expired,
    Void,
}

/// Somebody is asked to come.
#[derive(ToSchema)]
pub(in crate::http::axum) struct Invitation {
    /// Never changes. Accepts nothing.
    id: Uuid,
    /// The address that it went to.
    email: String,
    /// As what.
    role: String,
    /// To which organisation.
    #[schema(required)]
    org_id: Option<Uuid>,
    /// Or to what kind of thing.
    #[schema(required)]
    resource_type: Option<String>,
    /// Which one.
    #[schema(required)]
    resource_id: Option<String>,
    /// Who asked; null for an operator of the server.
    #[schema(required)]
    inviter_id: Option<Uuid>,
    status: InvitationStatus,
    /// When it was made.
    #[schema(format = "date-time")]
    created_at: String,
    /// When it was last mailed.
    #[schema(format = "date-time")]
    sent_at: String,
    /// From when on it cannot be accepted.
    #[schema(format = "date-time")]
    expires_at: String,
}

/// A page of invitations.
#[derive(ToSchema)]
pub(in crate::http::axum) struct InvitationList {
    items: Vec<Invitation>,
    /// Where the next page starts; null on the last one.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// The secret of an invitation; without an account that is signed in also who the new one is for.
#[derive(ToSchema)]
pub(in crate::http::axum) struct AcceptBody {
    /// The text after `token=` in the link.
    #[schema(pattern = r"^[^\u0000]*$")]
    token: String,
    /// What to call the person. Only without a bearer token.
    #[schema(
        nullable = false,
        min_length = 1,
        max_length = 200,
        pattern = r"^[^\u0000-\u001F\u007F-\u009F]+$"
    )]
    name: Option<String>,
    /// At least 8 characters, at most 128 and 512 bytes, not easy to guess. Only without a bearer token.
    #[schema(nullable = false, format = Password, min_length = 8, max_length = 128, pattern = r"^[^\u0000]*$")]
    password: Option<String>,
}
