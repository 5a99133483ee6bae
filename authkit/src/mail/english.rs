//! The English words. ASCII only, so that every server takes them as they are.
//!
//! No name of a person stands in them: whoever signs up with another person's address chooses it.

use super::template::Template;

const NOT_YOU: &str =
    "If it was you, there is nothing to do. If not, set a new password at once and sign out everywhere.";

/// Subject and plain part.
pub(super) fn words(template: Template) -> (&'static str, String) {
    match template {
        Template::VerifyEmail => (
            "Confirm your e-mail address for {{product}}",
            linked_or_typed(
                "Somebody, hopefully you, gave this address to {{product}}. Open this link to confirm that it is yours:",
                "{{#hours}}The link works for {{hours}} hours.{{/hours}}",
                "If it was not you, ignore this mail: nothing will happen.",
            ),
        ),
        Template::SignUpKnown => (
            "You have an account at {{product}} already",
            "Somebody, perhaps you, tried to open an account at {{product}} with this address. There is one already, so no \
             new one was made.\n\nIf it was you, sign in, or ask for a new password if you forgot yours. If it was not you, \
             there is nothing to do.\n"
                .into(),
        ),
        Template::AddressProved => told(
            "Your account at {{product}} was made yours",
            "There was an account at {{product}} with your address, and nobody had confirmed that address. You just did, so \
             the account is yours. In case somebody else had made it, the former password and everything that was signed in \
             were removed.",
            "Look through the account before you rely on it: a name or other facts in it may be somebody else's.",
        ),
        Template::ResetPassword => (
            "Set a new password for {{product}}",
            linked_or_typed(
                "Somebody, hopefully you, asked for a new password at {{product}}. Open this link to set one:",
                "{{#minutes}}The link works once, for {{minutes}} minutes.{{/minutes}}",
                "If it was not you, ignore this mail: your password stays as it is.",
            ),
        ),
        Template::ConfirmEmail => (
            "Confirm your new e-mail address for {{product}}",
            linked_or_typed(
                "This address is to become the one of an account at {{product}}. Open this link to confirm that:",
                "{{#minutes}}The link works once, for {{minutes}} minutes.{{/minutes}}",
                "If you did not ask for this, ignore this mail: nothing will happen.",
            ),
        ),
        Template::UndoEmail => (
            "Your e-mail address at {{product}} was changed",
            linked(
                "Somebody, hopefully you, gave your account at {{product}} another e-mail address. If it was you, there is \
                 nothing to do.\n\nIf it was not you, open this link. It gives your account back to this address, removes \
                 its password and ends all sessions:",
                "{{#days}}The link works once, for {{days}} days.{{/days}}",
                "A mail by which you set a new password follows.",
            ),
        ),
        Template::Invitation => (
            "You are invited to {{product}}",
            linked(
                "You are invited to {{product}}. Open this link to accept:",
                "{{#days}}The link works once, for {{days}} days.{{/days}}",
                "If you do not know what this is about, ignore this mail.",
            ),
        ),
        Template::Unlock => (
            "Your account at {{product}} was locked",
            linked_or_typed(
                "There were too many wrong passwords for your account at {{product}}, so it takes none for a while. If it \
                 was you, open this link to unlock it:",
                "{{#minutes}}The link works once, for {{minutes}} minutes.{{/minutes}}",
                "If it was not you, somebody tries to guess your password. Your account is safe as long as the password is \
                 a good one.",
            ),
        ),
        Template::Test => (
            "A test of {{product}}",
            "This mail was sent by {{product}} to see whether mail works. It does.\n".into(),
        ),
        notice => news(notice),
    }
}

/// What has happened to an account.
fn news(notice: Template) -> (&'static str, String) {
    match notice {
        Template::PasswordChanged => told(
            "Your password at {{product}} was changed",
            "The password of your account at {{product}} was changed.",
            NOT_YOU,
        ),
        Template::EmailChanged => told(
            "Your e-mail address at {{product}} was changed",
            "Your account at {{product}} has another e-mail address now. This is the last mail to this one.",
            "If it was not you, tell whoever runs {{product}} at once.",
        ),
        Template::FactorAdded => told(
            "A second factor was added at {{product}}",
            "A second factor was added to your account at {{product}}.",
            NOT_YOU,
        ),
        Template::FactorRemoved => told(
            "A second factor was removed at {{product}}",
            "A second factor was removed from your account at {{product}}.",
            NOT_YOU,
        ),
        Template::BackupCodesLow => told(
            "Your backup codes for {{product}} run out",
            "A backup code was used to sign in to your account at {{product}}, and few of them are left. Make a new set \
             before they run out; that ends the old one.",
            "If it was not you, somebody has one of your codes: make a new set and set a new password at once.",
        ),
        Template::NewDevice => told(
            "A new device signed in at {{product}}",
            "Somebody signed in to your account at {{product}} from a device that was not used before.",
            NOT_YOU,
        ),
        Template::AccountLocked => told(
            "Your account at {{product}} was locked",
            "There were too many wrong attempts to sign in to your account at {{product}}, so it takes none for a while.",
            "If it was not you, somebody tries to guess your password. Devices that are signed in stay so, and you can \
             still ask for a new password.",
        ),
        Template::ApiKeyCreated => told(
            "An API key was made at {{product}}",
            "An API key was made for your account at {{product}}. A program that has it can act in your name, as far as the \
             key allows.",
            "If it was not you, revoke the key, set a new password at once and sign out everywhere.",
        ),
        Template::RefreshReplayed => told(
            "A session at {{product}} was ended",
            "A session of your account at {{product}} was ended, because a token that was used up came again. That can mean \
             that somebody has a copy of what was on your device.",
            "If you did not restore a backup or copy an installation, set a new password and sign out everywhere.",
        ),
        _ => told(
            "News of your account at {{product}}",
            "Something changed in your account at {{product}}.",
            NOT_YOU,
        ),
    }
}

/// What happened, the link, how long it works, and what if it was somebody else.
fn linked(what: &str, lasts: &str, not_you: &str) -> String {
    format!("{what}\n\n{{{{link}}}}\n\n{lasts}\n\n{not_you}\n")
}

/// As [`linked`], with a code to type where there is one.
fn linked_or_typed(what: &str, lasts: &str, not_you: &str) -> String {
    const CODE: &str =
        "{{#code}}If the link does not open, type this code instead:{{/code}}\n\n{{#code}}{{code}}{{/code}}";
    linked(what, lasts, &format!("{CODE}\n\n{not_you}"))
}

fn told(subject: &'static str, what: &str, not_you: &str) -> (&'static str, String) {
    let where_from = "{{#at}}Time: {{at}}{{/at}}\n{{#ip}}Address: {{ip}}{{/ip}}";
    (subject, format!("{what}\n\n{where_from}\n\n{not_you}\n"))
}
