//! The scripts, and how they are called: by their hash, and by their text where a server does not know the hash yet.

use redis::{Cmd, ErrorKind, RedisResult, Script, ServerErrorKind, Value, cmd};

use crate::crypto::strict::to_base64url;
use crate::limits::Key;

/// What is done to a bucket.
#[derive(Debug)]
pub(super) struct Scripts {
    take: Named,
    give_back: Named,
    look: Named,
}

/// A script and its hash.
#[derive(Debug)]
struct Named {
    text: &'static str,
    hash: String,
}

#[derive(Debug, Clone, Copy)]
enum What<'s> {
    Script(&'s Named),
    Plain(&'static str),
}

/// One thing to do to one bucket.
#[derive(Debug)]
pub(super) struct Call<'s> {
    what: What<'s>,
    bucket: String,
    args: [Option<u64>; 2],
}

impl Scripts {
    pub(super) fn new() -> Self {
        let named = |text| Named { text, hash: Script::new(text).get_hash().to_owned() };
        Self {
            take: named(include_str!("take.lua")),
            give_back: named(include_str!("give_back.lua")),
            look: named(include_str!("look.lua")),
        }
    }

    pub(super) fn take(&self, key: Key, interval: u64, span: u64) -> Call<'_> {
        Call { what: What::Script(&self.take), bucket: name_of(key), args: [Some(interval), Some(span)] }
    }

    pub(super) fn give_back(&self, key: Key, interval: u64) -> Call<'_> {
        Call { what: What::Script(&self.give_back), bucket: name_of(key), args: [Some(interval), None] }
    }

    pub(super) fn look(&self, key: Key) -> Call<'_> {
        Call { what: What::Script(&self.look), bucket: name_of(key), args: [None; 2] }
    }

    /// Fills a bucket again: no key is a full one.
    pub(super) fn reset(key: Key) -> Call<'static> {
        Call { what: What::Plain("DEL"), bucket: name_of(key), args: [None; 2] }
    }

    #[cfg(any(test, feature = "testing"))]
    pub(super) fn read(key: Key) -> Call<'static> {
        Call { what: What::Plain("GET"), bucket: name_of(key), args: [None; 2] }
    }
}

impl Call<'_> {
    /// By hash.
    pub(super) fn short(&self) -> Cmd {
        match self.what {
            What::Script(script) => self.command("EVALSHA", &script.hash),
            What::Plain(name) => {
                let mut command = cmd(name);
                command.arg(&self.bucket);
                command
            }
        }
    }

    /// By text, which teaches the server the hash.
    pub(super) fn long(&self) -> Cmd {
        match self.what {
            What::Script(script) => self.command("EVAL", script.text),
            What::Plain(_) => self.short(),
        }
    }

    fn command(&self, name: &str, script: &str) -> Cmd {
        let mut command = cmd(name);
        command.arg(script).arg(1).arg(&self.bucket);
        for arg in self.args.iter().flatten() {
            command.arg(arg);
        }
        command
    }
}

/// The braces are the part by which a cluster finds the node.
fn name_of(key: Key) -> String {
    format!("authkit:{{{}}}", to_base64url(&key))
}

pub(super) fn is_unknown(answer: &RedisResult<Value>) -> bool {
    matches!(answer, Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript))
}
