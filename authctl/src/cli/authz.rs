//! Arguments of `authctl org`, `membership`, `invite` and `authz`.

use authkit::{OrgStatus, Resource};
use clap::{ArgGroup, Args, Subcommand};

use super::{PageArgs, UserArg};

#[derive(Debug, Subcommand)]
pub(crate) enum OrgCommand {
    /// List organisations, oldest first
    List {
        #[command(flatten)]
        page: PageArgs,
        /// Only those of this account: id or e-mail
        #[arg(long)]
        user: Option<String>,
    },
    /// Show an organisation
    Show(OrgArg),
    /// Make an organisation; its first owner is the account of --admin-email, or is invited
    Create {
        /// Name, for people
        name: String,
        /// E-mail of its first owner
        #[arg(long, value_name = "EMAIL")]
        admin_email: String,
        /// The domain that it says it has
        #[arg(long)]
        domain: Option<String>,
        /// How many members there may be
        #[arg(long, value_name = "N")]
        seat_limit: Option<i64>,
    },
    /// Change name, domain, seats or state; an empty --domain and a --seat-limit of 0 take it away
    #[command(group = ArgGroup::new("change").required(true).multiple(true))]
    Update {
        /// Id of an organisation
        org: String,
        /// Name, for people
        #[arg(long, group = "change")]
        name: Option<String>,
        /// The domain that it says it has
        #[arg(long, group = "change")]
        domain: Option<String>,
        /// How many members there may be
        #[arg(long, value_name = "N", group = "change")]
        seat_limit: Option<i64>,
        /// active or disabled
        #[arg(long, value_parser = status, group = "change")]
        status: Option<OrgStatus>,
    },
    /// End an organisation with all roles in it and on its things; accounts stay (asks)
    Delete(OrgArg),
    /// List its members, oldest first
    Members {
        /// Id of an organisation
        org: String,
        #[command(flatten)]
        page: PageArgs,
    },
    /// Make an account a member, or give a member another role
    AddMember {
        /// Id of an organisation
        org: String,
        /// Id or e-mail
        user: String,
        /// owner, admin, member, or a role that the settings declare
        #[arg(long, default_value = "member")]
        role: String,
    },
    /// Take a member out, with his roles on the organisation's things; not its last owner
    RemoveMember {
        /// Id of an organisation
        org: String,
        /// Id or e-mail
        user: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct OrgArg {
    /// Id of an organisation
    pub(crate) org: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum MembershipCommand {
    /// List the roles of an account, or who holds a role on a thing; oldest first
    #[command(group = ArgGroup::new("which").required(true))]
    List {
        /// Of this account: id or e-mail
        #[arg(long, group = "which")]
        user: Option<String>,
        /// On this thing
        #[arg(long, value_name = "TYPE:ID", value_parser = resource, group = "which")]
        resource: Option<Resource>,
        #[command(flatten)]
        page: PageArgs,
    },
    /// Give a role on a thing, or another one to who has one there
    Grant {
        /// Id or e-mail
        user: String,
        /// The thing
        #[arg(value_name = "TYPE:ID", value_parser = resource)]
        resource: Resource,
        /// A role that is declared for things of that type
        role: String,
    },
    /// Take a role; not that of the last owner
    Revoke {
        /// Id of a membership
        id: String,
    },
}

/// Where to: nowhere in particular is the platform itself.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("target"))]
pub(crate) struct TargetArgs {
    /// To this organisation
    #[arg(long, value_name = "ID", group = "target")]
    pub(crate) org_id: Option<String>,
    /// To this thing
    #[arg(long, value_name = "TYPE:ID", value_parser = resource, group = "target")]
    pub(crate) resource: Option<Resource>,
}

#[derive(Debug, Args)]
pub(crate) struct InviteArgs {
    /// E-mail
    pub(crate) email: String,
    /// A role there [default: member of an organisation, user of the platform]
    #[arg(long)]
    pub(crate) role: Option<String>,
    #[command(flatten)]
    pub(crate) target: TargetArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum InviteCommand {
    /// List invitations, newest first
    List {
        #[command(flatten)]
        page: PageArgs,
        #[command(flatten)]
        target: TargetArgs,
    },
    /// Mail somebody an invitation; without a mail server the link is printed, once
    Create(InviteArgs),
    /// Mail it once more, with another link; the one before is dead
    Resend(InvitationArg),
    /// Take it back
    Revoke(InvitationArg),
}

#[derive(Debug, Args)]
pub(crate) struct InvitationArg {
    /// Id of an invitation
    pub(crate) id: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AuthzCommand {
    /// Say whether an account may do something on a thing, why, and by which row; exit code 6 when not
    Explain {
        #[command(flatten)]
        user: UserArg,
        /// Such as review
        permission: String,
        /// The thing
        #[arg(value_name = "TYPE:ID", value_parser = resource)]
        resource: Resource,
    },
    /// List the types of things, with their roles and what those permit
    Types,
}

fn resource(text: &str) -> Result<Resource, String> {
    text.parse().map_err(|_| "must be TYPE:ID, such as project:42".to_owned())
}

fn status(text: &str) -> Result<OrgStatus, String> {
    OrgStatus::from_name(text).ok_or_else(|| "must be active or disabled".to_owned())
}
