//! The one table of error codes: what each means, how the process ends, what it left behind, what to do.

use crate::exit::Exit;

macro_rules! codes {
    ($($variant:ident = $text:literal, $exit:ident, $meaning:literal, $effect:literal, $next:literal;)*) => {
        /// Every error that authctl can end with. Codes never change meaning.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Code { $(#[doc = $text] $variant),* }

        impl Code {
            /// All codes.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// As it is printed.
            pub const fn text(self) -> &'static str {
                match self { $(Self::$variant => $text),* }
            }

            /// How the process ends with it.
            pub const fn exit(self) -> Exit {
                match self { $(Self::$variant => Exit::$exit),* }
            }

            /// What it means, at length.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning),* }
            }

            /// What it left behind.
            pub const fn effect(self) -> &'static str {
                match self { $(Self::$variant => $effect),* }
            }

            /// What to do about it.
            pub const fn next(self) -> &'static str {
                match self { $(Self::$variant => $next),* }
            }
        }
    };
}

codes! {
    Usage = "E-USAGE-1", Usage, "The arguments cannot be understood.",
        "nothing was done", "authctl help";
    Meaningless = "E-USAGE-2", Usage, "A flag was given that means nothing to this command. It is refused rather than ignored, so that nobody believes it had an effect.",
        "nothing was done", "leave the flag out; authctl help COMMAND lists those that count";
    NotAsked = "E-CONFIRM-1", Usage, "The command destroys something and asks first, but there is no terminal to ask at, or --no-input forbids it.",
        "nothing was changed", "add -y when you are sure, or -n to see what would happen";
    Declined = "E-CONFIRM-2", Refused, "The question was answered with no.",
        "nothing was changed", "run it again and answer yes, or add -y";
    Input = "E-INPUT-1", Invalid, "A value is well-formed but not acceptable: each is listed with its field.",
        "nothing was written", "correct the listed fields and run it again";
    Unreadable = "E-INPUT-2", Invalid, "A value cannot be read, or a cursor belongs to another list or filter.",
        "nothing was written", "take the cursor from the same command with the same filters";
    SecretMissing = "E-SECRET-1", Usage, "A secret is needed and there is no terminal to ask at, or --no-input forbids it. Secrets are never taken as arguments: other accounts can read those.",
        "nothing was changed", "name one of the flags that say where the secret comes from; authctl help COMMAND lists them";
    SecretOpen = "E-SECRET-2", Refused, "The file that holds the secret can be read or changed by every account of this machine.",
        "nothing was changed", "chmod 600 FILE, and take another secret if somebody may have seen this one";
    SecretUnreadable = "E-SECRET-3", Invalid, "The secret cannot be read: no such file, not UTF-8 text, or longer than 64 KiB.",
        "nothing was changed", "give a readable text file or a line of input";
    SecretEmpty = "E-SECRET-4", Invalid, "The secret is empty.",
        "nothing was changed", "give a secret, or --no-password where that is offered";
    SecretDiffers = "E-SECRET-5", Invalid, "The two secrets that were typed are not the same.",
        "nothing was changed", "run it again";
    UserMissing = "E-USER-1", NotFound, "There is no account of that id or e-mail, not even a deleted one.",
        "nothing was changed", "authctl user list --email-prefix PREFIX";
    UserExists = "E-USER-2", Refused, "Another account has that e-mail, perhaps in another spelling of the same address, perhaps a deleted one.",
        "nothing was changed", "authctl user show EMAIL";
    UserState = "E-USER-3", Refused, "The account's state does not allow this: only a disabled account is enabled, only a deleted one restored or purged.",
        "nothing was changed", "authctl user show USER";
    RoleMissing = "E-ROLE-1", NotFound, "There is no role of that name.",
        "nothing was changed", "authctl role list";
    RoleBuiltIn = "E-ROLE-2", Refused, "A built-in role cannot be changed.",
        "nothing was changed", "authctl role define NAME with another name";
    LastAdmin = "E-ROLE-3", Refused, "This account is the last super_admin who can sign in: without it nobody could administer.",
        "nothing was changed", "authctl role grant USER super_admin to somebody else first";
    OrgMissing = "E-ORG-1", NotFound, "There is no organisation of that id, or no such thing.",
        "nothing was changed", "authctl org list";
    OrgOwner = "E-ORG-2", Refused, "This account is the last owner there: without it nobody could administer it.",
        "nothing was changed", "make somebody else an owner first, or add --hand-over-to USER where the command has it";
    OrgSeats = "E-ORG-3", Refused, "The organisation has no free seat.",
        "nothing was changed", "authctl org update ORG --seat-limit N";
    MembershipMissing = "E-MEMBERSHIP-1", NotFound, "There is no such membership.",
        "nothing was changed", "authctl membership list --user USER";
    InvitationMissing = "E-INVITE-1", NotFound, "There is no invitation of that id.",
        "nothing was changed", "authctl invite list";
    InvitationOver = "E-INVITE-2", Refused, "The invitation was accepted or taken back, so it cannot be sent or taken back.",
        "nothing was changed", "authctl invite create EMAIL";
    InvitationThere = "E-INVITE-3", Refused, "The address is there already, or an invitation of it to the same place is pending.",
        "nothing was changed", "authctl invite list; authctl invite resend ID";
    SessionMissing = "E-SESSION-1", NotFound, "There is no session of that id.",
        "nothing was changed", "authctl session list";
    SecretRemains = "E-SESSION-2", Partial, "All sessions and keys in the store were replaced, but access tokens are signed with JWT_SECRET, which is a setting: those made before are accepted until they expire.",
        "sessions are over, old access tokens are not", "set JWT_SECRET to a new key and restart every server";
    PasskeyMissing = "E-PASSKEY-1", NotFound, "There is no passkey of that id.",
        "nothing was changed", "authctl passkey list USER";
    LockoutMissing = "E-LOCKOUT-1", NotFound, "There is no lockout of that id. What is over is forgotten after a while.",
        "nothing was changed", "authctl lockout list";
    LockoutPartly = "E-LOCKOUT-2", Partial, "Some of the lockouts were cleared; then the store failed.",
        "those that are listed are cleared, the others are not", "authctl doctor, then run it again";
    LimitsUnseen = "E-LIMIT-1", Unknown, "Without Redis each server keeps its limits in its own memory, where authctl cannot look. What they allow is shown; what is left of them is not known here.",
        "nothing was changed", "set REDIS_URL here and for the servers; their /metrics tell how often each limit refused";
    LimitsApart = "E-LIMIT-2", Refused, "Without Redis each server keeps its limits in its own memory, where authctl cannot reach.",
        "nothing was changed", "wait until they are full again, or restart the servers; authctl user unlock ends locks, which are another thing";
    LimiterDown = "E-LIMIT-3", Unavailable, "Redis, where the limits are kept, does not answer. Servers go on with half of each limit in memory, or refuse with 503 where REDIS_REQUIRED is set.",
        "no limit was filled again", "start Redis, or mend REDIS_URL, and run it again";
    ApiKeyMissing = "E-APIKEY-1", NotFound, "There is no API key of that id. Those that are over are forgotten after 30 days.",
        "nothing was changed", "authctl api-key list --ended";
    ApiKeyScope = "E-APIKEY-2", Refused, "A key can do no more than its account: a scope is not among what the account's roles permit.",
        "nothing was made", "authctl user show USER and authctl role show ROLE; then leave the scope out, or grant a role";
    ApiKeyRefused = "E-APIKEY-3", Refused, "The account is disabled, deleted or not verified, or it has 100 keys already.",
        "nothing was made", "authctl user show USER; authctl api-key list USER";
    CleanupLocked = "E-CLEANUP-1", Locked, "Another cleanup is under way, here or on a server.",
        "nothing was removed by this run", "authctl cleanup status; nothing needs to be done";
    CleanupPartly = "E-CLEANUP-2", Partial, "Some jobs failed; the others did their work. The log tells why.",
        "what was removed was of no more use; safe to run again", "authctl doctor, then run it again with -v";
    KeyForeign = "E-KEY-1", Config, "The keys in the store are sealed under another TOKEN_PEPPER.",
        "nothing was read or changed", "give the TOKEN_PEPPER that the store was made with; older ones may follow the newest, separated by commas";
    KeyStatic = "E-KEY-2", Refused, "With HS256 access tokens are signed with JWT_SECRET, which is not kept in the store.",
        "nothing was changed", "set JWT_SECRET to a new key and restart every server";
    KeyMissing = "E-KEY-3", Bad, "A purpose has no active key, or its key is overdue for rotation.",
        "tokens of that purpose may not be made", "authctl key rotate PURPOSE";
    ReencryptPartly = "E-KEY-4", Partial, "Some seals of second factors were made anew under the newest key; then the store failed.",
        "every seal opens as before, with the old key or the new one", "authctl doctor, then run it again: what is done is skipped";
    ReencryptUnreadable = "E-KEY-5", Partial, "Some seals of second factors open with none of the keys in MFA_ENCRYPTION_KEY: a key is missing there, or rows were changed or moved.",
        "those seals were left as they are; all others are under the newest key", "add the missing key behind the newest one and run it again; where it is lost, authctl mfa reset USER";
    MfaKeyMissing = "E-MFA-1", Config, "MFA_ENCRYPTION_KEY is not set: no authenticator app can be set up, and no code be checked.",
        "nothing was changed", "set MFA_ENCRYPTION_KEY to the keys that the store was made with, newest first";
    MfaNone = "E-MFA-2", Refused, "The account has no second factor for which backup codes could stand in.",
        "nothing was changed", "authctl mfa status USER";
    MfaKeyWrong = "E-MFA-3", Bad, "Second factors in the store open with none of the keys in MFA_ENCRYPTION_KEY.",
        "who has such a factor cannot sign in with it", "add the missing key behind the newest one; where it is lost, authctl mfa reset USER";
    MailMissing = "E-MAIL-1", NotFound, "There is no mail of that id in the outbox. What became of a mail is forgotten after seven days.",
        "nothing was changed", "authctl mail outbox list";
    MailOver = "E-MAIL-2", Refused, "The mail is being sent right now, or it is done with: then its content is wiped, since it held live links, and it cannot be sent again.",
        "nothing was changed", "authctl mail outbox show ID; when it is dead or expired, ask for a new one";
    MailOff = "E-MAIL-3", Config, "No mail can be sent: SMTP_HOST is not set, and only development writes mails as files.",
        "nothing was sent", "set SMTP_HOST, MAIL_FROM and, where the server asks for it, SMTP_USER and SMTP_PASSWORD";
    MailRefused = "E-MAIL-4", Unavailable, "The mail server could not be reached, or did not take the mail. The number is its answer (RFC 5321).",
        "nothing was sent, unless the connection broke at the very end", "compare SMTP_HOST, SMTP_PORT, SMTP_TLS, SMTP_USER and MAIL_FROM with what the server wants";
    TokenBad = "E-TOKEN-1", Bad, "The token opens nothing: it is expired, revoked, used, or not one of ours.",
        "nothing was changed", "sign in again";
    Config = "E-CONFIG-1", Config, "A setting is unknown, cannot be read, out of range, or too weak for this environment. All that is wrong is listed.",
        "nothing was done", "authctl config check";
    StoreDown = "E-STORE-1", Unavailable, "The store does not answer, is full or is read-only.",
        "nothing was changed, or the change is wholly there", "authctl doctor";
    StoreMissing = "E-STORE-2", Unavailable, "There is no SQLite file at the place that DATABASE_URL names. It is not made by accident: a wrong directory would look like an empty store.",
        "nothing was made", "authctl migrate up to make it, or set DATABASE_URL";
    StoreLocked = "E-STORE-3", Locked, "Another process holds the store's lock, such as a migration that is under way.",
        "nothing was changed", "wait for the other run and try again";
    StoreReadOnly = "E-STORE-4", Bad, "A write that was to be rolled back did not succeed.",
        "nobody can sign in, sign up or refresh", "make the store writable and its disk not full";
    SchemaBehind = "E-SCHEMA-1", Config, "The store's schema is older than this build needs.",
        "nothing was changed", "authctl migrate up";
    SchemaAhead = "E-SCHEMA-2", Refused, "A newer authkit has changed the store's schema. This build does not touch it.",
        "nothing was changed", "use an authctl of the version that migrated the store";
    SchemaAltered = "E-SCHEMA-3", Config, "A migration in the store is not the one of this build.",
        "nothing was changed", "use the build that made the store, or restore the store from a backup";
    SchemaNotReady = "E-SCHEMA-4", Bad, "`migrate status --check` found a schema that is behind.",
        "nothing was changed", "authctl migrate up";
    SeedUnreadable = "E-SEED-1", Invalid, "The seed file cannot be read as one.",
        "nothing was written", "see authctl help seed for its form";
    SeedDemo = "E-SEED-2", Refused, "Demo accounts have passwords that everybody knows. They are for ENV=dev only.",
        "nothing was written", "seed a file of your own: authctl seed FILE";
    SeedSkipped = "E-SEED-3", Partial, "An account of the seed is deleted. It was left so.",
        "all other entries are as planned", "authctl user restore USER, then seed again";
    SeedRefused = "E-SEED-4", Refused, "A guard refused an entry of the seed, such as a built-in role.",
        "nothing was written", "take the entry out and seed again";
    DoctorBad = "E-DOCTOR-1", Bad, "Something is wrong. Each finding has its own fix.",
        "see the findings", "follow the fixes and run authctl doctor again";
    DoctorUnknown = "E-DOCTOR-2", Unknown, "Something could not be looked at.",
        "see the findings", "follow the fixes and run authctl doctor again";
    ClockWrong = "E-DOCTOR-3", Bad, "This machine's clock is behind what the store has seen.",
        "tokens live too long and lists are out of order", "set the clock, and keep it by NTP";
    FileOpen = "E-DOCTOR-4", Bad, "A file with secrets or password hashes can be read by every account of this machine.",
        "whoever has an account here can copy it", "chmod 600 FILE";
    NotPermitted = "E-PERM-1", NotPermitted, "This account may not read or write a file that the command needs.",
        "nothing was changed", "run it as the account that owns the file";
    Topic = "E-HELP-1", NotFound, "There is no help on that topic.",
        "nothing was done", "authctl help";
    Output = "E-OUTPUT-1", Failed, "The result could not be written to its place.",
        "the command itself is done", "look at the disk and run it again";
    Bug = "E-BUG-1", Failed, "Something happened that the program believed impossible.",
        "the store is consistent: a transaction is wholly there or absent", "run it again with -v and report what it prints";
}

impl Code {
    /// The code of that text, in any case.
    pub fn from_text(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.text().eq_ignore_ascii_case(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_well_formed_unique_and_found() {
        for (index, code) in Code::ALL.iter().enumerate() {
            let parts: Vec<_> = code.text().split('-').collect();
            assert!(
                matches!(parts[..], ["E", noun, number] if noun.bytes().all(|b| b.is_ascii_uppercase())
                && number.parse::<u8>().is_ok()),
                "{}",
                code.text()
            );
            assert!(Code::ALL[..index].iter().all(|other| other.text() != code.text()), "{}", code.text());
            assert_eq!(Code::from_text(&code.text().to_lowercase()), Some(*code));
            for text in [code.meaning(), code.effect(), code.next()] {
                assert!(text.len() > 5, "{}", code.text());
            }
            assert_ne!(code.exit(), Exit::Done);
        }
        // Every failure that is documented can happen by some code; the signals need none.
        for exit in Exit::ALL {
            let signal = matches!(exit, Exit::Done | Exit::Interrupted | Exit::Terminated);
            assert!(signal || Code::ALL.iter().any(|code| code.exit() == exit), "{exit:?}");
        }
    }
}
