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

/// One thing to do to one bucket.
#[derive(Debug)]
pub(super) struct Call<'s> {
    script: Option<&'s Named>,
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
        Call { script: Some(&self.take), bucket: name_of(key), args: [Some(interval), Some(span)] }
    }

    pub(super) fn give_back(&self, key: Key, interval: u64) -> Call<'_> {
        Call { script: Some(&self.give_back), bucket: name_of(key), args: [Some(interval), None] }
    }

    pub(super) fn look(&self, key: Key) -> Call<'_> {
        Call { script: Some(&self.look), bucket: name_of(key), args: [None; 2] }
    }

    /// Fills a bucket again: no key is a full one.
    pub(super) fn reset(key: Key) -> Call<'static> {
        Call { script: None, bucket: name_of(key), args: [None; 2] }
    }
}

impl Call<'_> {
    /// By hash.
    pub(super) fn short(&self) -> Cmd {
        match self.script {
            Some(script) => self.command("EVALSHA", &script.hash),
            None => {
                let mut command = cmd("DEL");
                command.arg(&self.bucket);
                command
            }
        }
    }

    /// By text, which teaches the server the hash.
    pub(super) fn long(&self) -> Cmd {
        self.script.map_or_else(|| self.short(), |script| self.command("EVAL", script.text))
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
