use std::fmt::Write as _;

use super::setting::{Absent, Section};
use super::table::settings;

/// The reference of all settings as Markdown, made from the same table that reads them.
pub fn reference() -> String {
    let mut out = String::from(HEAD);
    for &section in Section::ALL {
        // Writing to a String cannot fail.
        let _ = write!(
            out,
            "\n## {}\n\n| setting | default | values | what it does |\n| --- | --- | --- | --- |\n",
            section.title()
        );
        for setting in settings().iter().filter(|setting| setting.section() == section) {
            let default = match setting.absent {
                Absent::Value("") => "none".to_owned(),
                Absent::Value(text) => format!("`{text}`"),
                Absent::Rule(text) => text.to_owned(),
            };
            let twin =
                if setting.has_file_twin() { format!(", `{}_FILE`", setting.name()) } else { String::new() };
            let secret = if setting.is_secret() { " Secret: never shown." } else { "" };
            let _ = writeln!(
                out,
                "| `{}`{twin} | {default} | {} | {}{secret} |",
                setting.name(),
                setting.values(),
                setting.doc(),
            );
        }
    }
    out.push_str(TAIL);
    out
}

const HEAD: &str = "\
# Settings

Every setting can stand in the environment under the name below, and in `authkit.toml` under the same name in
small letters. The environment wins. `authkit.toml` is read from the working directory, or from the path
given by `-c`. Nothing needs to be set to try authkit on your own machine.

```toml
# authkit.toml
env = \"prod\"
database_url_file = \"/run/secrets/database_url\"
public_url = \"https://login.example.com\"
token_pepper_file = \"/run/secrets/token_pepper\"
email_verification = \"optional\"
access_token_expire_minutes = 15
cors_origins = [\"https://app.example.com\"]

[[roles]]
name = \"REVIEWER\"
permissions = [\"documents:read\", \"documents:review\"]
description = \"Reads and judges documents.\"

[[resource_types]]
name = \"project\"
roles = { owner = [\"*\"], reviewer = [\"read\", \"review\"], viewer = [\"read\"] }
from_org = { owner = \"owner\", member = \"viewer\" }
```

- An unknown key in `authkit.toml`, a value that cannot be read, an empty value, a value out of range: the process
  refuses to start and lists all of them at once. Unknown environment names are ignored, since the
  environment is shared; one that looks like a misspelled setting is warned about.
- Where a `_FILE` name is given, it may hold the path of a file instead, whose text is the value. A file that every account of
  the machine can read is refused (`chmod 600`). Setting both names is an error.
- Values of secrets are never shown, neither in messages nor by `authctl config show`.
- In the environment, lists are written with commas.
";

const TAIL: &str = "
## How strong a secret must be

One rule for every key of `TOKEN_PEPPER` and for `JWT_SECRET`: at least 256 bits, counted by the alphabet that the text uses.

| the text has | bits a character | at least |
| --- | --- | --- |
| only hexadecimal digits | 4 | 64 characters |
| only letters, digits and `+ / - _ =` (base64, base64url) | 6 | 43 characters |
| anything else | 8 | 32 characters |

Besides, it has at least 16 different characters (10 in hexadecimal), does not repeat itself, and holds none of the words that samples are
made of. `openssl rand -base64 32` makes a good one. The text itself is the key; it is not decoded.

`TOKEN_PEPPER` takes several keys, newest first: put a new one in front, restart, and what was sealed
under the old one stays readable.

In development on SQLite the root key is made at the first start and kept beside the database file, as
`authkit.db.token_pepper`. Keep the two together: the store cannot be opened with another key.

## Roles

`[[roles]]` in `authkit.toml` defines roles beside the built-in `super_admin`, `admin` and `user`, which cannot be redefined.

| key | values |
| --- | --- |
| `name` | 1 to 64 letters, digits and `_ . : -`; required |
| `permissions` | strings such as `documents:review`; `documents:*` is all of documents, `*` is everything |
| `description` | for people |

## How costly a password hash must be

Outside of `dev` one hash must cost at least one of the sets that the OWASP Password Storage Cheat Sheet calls equal:
`ARGON2_MEMORY_KIB` 47104 with `ARGON2_ITERATIONS` 1, 19456 with 2, 12288 with 3, 9216 with 4, or 7168 with 5.
";

#[cfg(test)]
mod tests {
    use super::*;

    /// `AUTHKIT_WRITE_REFERENCE=1 cargo test -p authkit --lib reference` writes the file anew.
    #[test]
    fn the_committed_file_is_this_text() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md");
        if std::env::var_os("AUTHKIT_WRITE_REFERENCE").is_some() {
            std::fs::write(path, reference()).unwrap();
        }
        let committed = std::fs::read_to_string(path).unwrap();
        assert!(committed == reference(), "docs/configuration.md is old: see the comment of this test");
    }

    #[test]
    fn names_every_setting_once() {
        let text = reference();
        for setting in settings() {
            assert_eq!(text.matches(&format!("\n| `{}`", setting.name())).count(), 1, "{}", setting.name());
            assert!(!setting.doc().contains('|') && setting.doc().ends_with('.'), "{}", setting.name());
        }
    }
}
