//! The Lua scripts. Everything variable reaches them as keys and arguments, never as text of the script.

use std::sync::LazyLock;

use ::redis::Cmd;

/// A script and its hash.
pub(super) struct Script {
    source: &'static str,
    hash: String,
}

pub(super) static COMMIT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("lua/commit.lua")));
pub(super) static CLAIM: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("lua/claim.lua")));
pub(super) static INDEX: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("lua/index.lua")));
pub(super) static LOG_READ: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("lua/log_read.lua")));

/// A script with its keys and arguments.
pub(super) struct Invocation {
    pub(super) script: &'static Script,
    pub(super) keys: Vec<String>,
    pub(super) args: Vec<Arg>,
}

/// An argument.
pub(super) enum Arg {
    Short(&'static str),
    Text(String),
    Octets(bytes::Bytes),
}

impl Script {
    fn new(source: &'static str) -> Script {
        Script { source, hash: ::redis::Script::new(source).get_hash().to_owned() }
    }
}

impl Invocation {
    /// By hash: the usual way.
    pub(super) fn evalsha(&self) -> Cmd {
        self.command("EVALSHA", &self.script.hash)
    }

    /// With the source, which the server then keeps: after NOSCRIPT.
    pub(super) fn eval(&self) -> Cmd {
        self.command("EVAL", self.script.source)
    }

    fn command(&self, verb: &str, script: &str) -> Cmd {
        let size = self.args.iter().map(|arg| arg.as_ref().len()).sum::<usize>() + self.keys.len() * 48;
        let mut command = Cmd::with_capacity(3 + self.keys.len() + self.args.len(), size + 64);
        command.arg(verb).arg(script).arg(self.keys.len());
        for key in &self.keys {
            command.arg(key);
        }
        for arg in &self.args {
            command.arg(arg.as_ref());
        }
        command
    }
}

impl AsRef<[u8]> for Arg {
    fn as_ref(&self) -> &[u8] {
        match self {
            Arg::Short(text) => text.as_bytes(),
            Arg::Text(text) => text.as_bytes(),
            Arg::Octets(octets) => octets,
        }
    }
}
