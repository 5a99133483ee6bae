//! What stands on the other side of second factors: an authenticator app, `oathtool`, and Python's Fernet.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use ring::hmac;

use crate::{apt, python};

/// Pinned, so that a new release cannot turn a green run red.
const CRYPTOGRAPHY: [&str; 1] = ["cryptography==45.0.7"];

/// An authenticator app that took over a secret: SHA-1, 6 digits, 30 seconds.
#[derive(Debug, Clone)]
pub struct App {
    secret: String,
}

impl App {
    /// From the base32 of a secret.
    pub fn new(secret: impl Into<String>) -> Self {
        Self { secret: secret.into() }
    }

    /// The base32 of its secret.
    pub fn secret(&self) -> &str {
        &self.secret
    }

    /// What it shows at a time, in seconds since 1970. By a few lines of its own, for many calls; [`Self::by_oathtool`]
    /// checks them.
    pub fn code_at(&self, seconds: i64) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &decode(&self.secret));
        let tag = hmac::sign(&key, &seconds.div_euclid(30).to_be_bytes());
        let at = usize::from(tag.as_ref()[19] & 15);
        let word: [u8; 4] = tag.as_ref()[at..at + 4].try_into().expect("four bytes");
        format!("{:06}", (u32::from_be_bytes(word) & 0x7fff_ffff) % 1_000_000)
    }

    /// The same by `oathtool`, an implementation that shares nothing with ours.
    pub fn by_oathtool(&self, seconds: i64) -> String {
        let mut command = Command::new(oathtool());
        command.args(["--totp", "--base32", "--now", &format!("@{seconds}"), &self.secret]);
        python::step(&mut command).trim().to_owned()
    }
}

fn decode(base32: &str) -> Vec<u8> {
    let (mut out, mut held, mut bits) = (Vec::new(), 0_u32, 0);
    for c in base32.bytes() {
        let value = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".iter().position(|a| *a == c).expect("base32");
        held = (held << 5 | u32::try_from(value).expect("5 bits")) & 0xfff;
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            out.push(u8::try_from(held >> bits & 255).expect("8 bits"));
        }
    }
    out
}

/// `oathtool`, installed when the machine has none.
pub fn oathtool() -> PathBuf {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    FOUND
        .get_or_init(|| {
            let works =
                || Command::new("oathtool").arg("--version").output().is_ok_and(|o| o.status.success());
            if !works() {
                apt::install(&["oathtool"], "");
                assert!(works(), "oathtool is needed and could not be installed");
            }
            PathBuf::from("oathtool")
        })
        .clone()
}

/// Seals by Python's `cryptography.fernet`.
pub fn python_seals(key: &str, text: &str) -> String {
    let script = "import sys; from cryptography.fernet import Fernet
print(Fernet(sys.argv[1].encode()).encrypt(sys.argv[2].encode()).decode())";
    python::step(Command::new(fernet_python()).args(["-c", script, key, text])).trim().to_owned()
}

/// Opens by Python's `cryptography.fernet`.
pub fn python_opens(key: &str, token: &str) -> String {
    let script = "import sys; from cryptography.fernet import Fernet
print(Fernet(sys.argv[1].encode()).decrypt(sys.argv[2].encode()).decode())";
    python::step(Command::new(fernet_python()).args(["-c", script, key, token])).trim().to_owned()
}

fn fernet_python() -> PathBuf {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(|| python::with(&CRYPTOGRAPHY)).clone()
}
