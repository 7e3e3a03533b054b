//! Why Redis cannot be used, for the person who set it up: what it means, and what to do.

use std::error::Error;
use std::io;
use std::sync::Arc;

use ::redis::{ErrorKind, RedisError};

/// The meaning of a failure to connect, and then what was seen. Never holds the URL, whose password nobody else may read.
pub(super) fn advice(error: &RedisError) -> String {
    // One line: parse errors have several.
    let seen = error.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
    match meaning(error, &seen) {
        Some(meaning) => format!("{meaning} ({seen})"),
        None => seen,
    }
}

/// The same where there is no error but silence.
pub(super) const SILENCE: &str = "no answer in time: is the address right, is a firewall in between, and does the server speak TLS exactly \
                                  where the URL begins with rediss://?";

fn meaning(error: &RedisError, seen: &str) -> Option<&'static str> {
    if let Some(meaning) = error.code().and_then(of_code) {
        return Some(meaning);
    }
    if let Some((_, meaning)) = TEXTS.iter().find(|(text, _)| seen.contains(text)) {
        return Some(meaning);
    }
    if error.is_timeout() {
        return Some(SILENCE);
    }
    match error.kind() {
        ErrorKind::AuthenticationFailed => of_code("WRONGPASS"),
        ErrorKind::Parse | ErrorKind::UnexpectedReturnType => {
            Some("what answers there is no Redis: are host and port right?")
        }
        ErrorKind::MasterNameNotFoundBySentinel => Some(
            "the Sentinels know no primary of this name: what is behind the last / of the URL must be their name for it",
        ),
        ErrorKind::RESP3NotSupported => Some("this Redis is too old: 6.2 or later is needed"),
        _ => {
            let cause = error.source()?.downcast_ref::<Arc<dyn Error + Send + Sync>>()?;
            cause.downcast_ref::<io::Error>().and_then(|error| of_io(error.kind()))
        }
    }
}

/// Texts of the client and of servers that come without a code of their own.
const TEXTS: [(&str, &str); 8] = [
    (
        "DB index is out of range",
        "there is no database of this number: the URL ends in /0 to /15, or as the server's `databases` allows",
    ),
    ("cluster support disabled", "this Redis is no cluster: write redis:// or redis+sentinel:// in the URL"),
    (
        "not point to a sentinel",
        "what answers there is no Sentinel: name the Sentinels and their port, usually 26379, or write redis://",
    ),
    (
        "certificate",
        "its certificate is not trusted: put the authority that issued it among those of the system, or into a file named by \
                     SSL_CERT_FILE",
    ),
    ("failed to lookup address", "the name of the host is not known here"),
    ("without any passwor", "the server has no password: leave it out of the URL"),
    ("unknown command 'HELLO'", "this Redis is too old: 6.2 or later is needed"),
    (
        "InvalidContentType",
        "the server does not speak TLS on this port: write redis:// in the URL, or name the port that does",
    ),
];

/// Answers of the server by which it refuses.
fn of_code(code: &str) -> Option<&'static str> {
    Some(match code {
        "NOAUTH" => {
            "it wants a password: write it into the URL, redis://USER:PASSWORD@HOST or redis://:PASSWORD@HOST"
        }
        "WRONGPASS" => {
            "user or password is wrong: the URL has redis://USER:PASSWORD@HOST, and a sign of them as %40 where it means something in a URL"
        }
        "NOPERM" => {
            "its user lacks a right: Carillon needs the keys carillon:*, the channels carillon:* and the command that is named"
        }
        "READONLY" => {
            "it is a replica and takes no writes: name the primary, or let Sentinels find it (redis+sentinel://…)"
        }
        "MASTERDOWN" => {
            "it is a replica that has lost its primary: name the primary, or let Sentinels find it (redis+sentinel://…)"
        }
        "LOADING" => "it is still reading its data from disk: nothing is to be done but to wait",
        "MISCONF" => "it takes no writes because it cannot save its data: look at its log and its disk",
        "MOVED" | "ASK" => "it is a node of a cluster: write redis+cluster:// in the URL",
        "CLUSTERDOWN" => "the cluster has nodes or slots missing: look at CLUSTER INFO",
        "DENIED" => {
            "it takes connections of its own machine only (protected mode): give it a password, or listen where it is meant to"
        }
        _ => return None,
    })
}

fn of_io(kind: io::ErrorKind) -> Option<&'static str> {
    Some(match kind {
        io::ErrorKind::ConnectionRefused => {
            "nothing listens there: does Redis run, and is the address right?"
        }
        io::ErrorKind::NotFound => "there is no such socket: does Redis run, and with this `unixsocket`?",
        io::ErrorKind::PermissionDenied => {
            "this user may not open the socket: look at Redis's `unixsocketperm`"
        }
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof => {
            "it hung up at once: does it want TLS (rediss:// in the URL), or has it too many clients?"
        }
        io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable => {
            "no network leads there: is the address right?"
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_told_with_what_it_means_and_what_was_seen() {
        let refused: RedisError = io::Error::from(io::ErrorKind::ConnectionRefused).into();
        assert_eq!(
            advice(&refused),
            "nothing listens there: does Redis run, and is the address right? (connection refused)"
        );
        let parse: RedisError =
            (ErrorKind::Parse, "Parse error", "at 1\nUnexpected `33`\n".to_owned()).into();
        let told = advice(&parse);
        assert!(told.starts_with("what answers there is no Redis") && !told.contains('\n'), "{told}");
        let other: RedisError = (ErrorKind::Client, "something new").into();
        assert!(advice(&other).starts_with("something new"), "{}", advice(&other));
    }

    #[test]
    fn every_refusal_that_ends_a_connection_says_what_to_do() {
        for code in [
            "READONLY",
            "LOADING",
            "MISCONF",
            "MASTERDOWN",
            "CLUSTERDOWN",
            "NOAUTH",
            "WRONGPASS",
            "NOPERM",
            "MOVED",
            "ASK",
        ] {
            assert!(of_code(code).is_some(), "{code}");
        }
    }
}
