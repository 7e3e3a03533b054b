//! Who the phone is and how it behaves.

use std::fmt;
use std::time::Duration;

/// Who the phone registers as.
#[derive(Clone)]
pub struct Identity {
    /// User part of the address of record.
    pub user: String,
    /// Domain of the address of record.
    pub domain: String,
    /// Password of the account.
    pub password: String,
}

impl Identity {
    /// Reads `sip:user@domain`.
    ///
    /// # Errors
    /// Says what was expected.
    pub fn new(aor: &str, password: &str) -> Result<Self, String> {
        let rest = aor.strip_prefix("sip:").ok_or_else(|| format!("{aor}: expected sip:USER@DOMAIN"))?;
        match rest.split_once('@') {
            Some((user, domain)) if !user.is_empty() && !domain.is_empty() => {
                Ok(Self { user: user.into(), domain: domain.into(), password: password.into() })
            }
            _ => Err(format!("{aor}: expected sip:USER@DOMAIN")),
        }
    }

    /// `sip:user@domain`.
    pub fn aor(&self) -> String {
        format!("sip:{}@{}", self.user, self.domain)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("aor", &self.aor()).field("password", &"***").finish()
    }
}

/// What the phone does with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Rings this long, then 200.
    After(Duration),
    /// Rings this long, then this final status.
    Refuse(Duration, u16),
    /// Rings for ever.
    Never,
    /// Answers nothing at all, as a dead phone does.
    Silent,
}

/// How the phone behaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// What it does with an incoming call.
    pub answer: Answer,
    /// Whether it rings with 180; without, it goes from 100 straight to the final answer.
    pub rings: bool,
    /// Sends 183 instead of 180, as many carriers do.
    pub progress_only: bool,
    /// Offers reliable provisional responses (RFC 3262).
    pub reliable: bool,
    /// Allows UPDATE (RFC 3311) and accepts tone-info.
    pub update: bool,
    /// Mixes: lists `join`, so that others are led to it (RFC 3911). The second call is for whoever holds the phone to give another line.
    pub joins: bool,
    /// Answers an offer without m= lines 488, as baresip and linphone do.
    pub refuses_empty_offer: bool,
    /// Hangs up this long after the call was connected.
    pub hangup_after: Option<Duration>,
    /// Registration time to ask for.
    pub expires: Duration,
    /// Tries again by itself when the registrar says when (500 or 503 with Retry-After, RFC 3261 21.5).
    pub registers_again: bool,
    /// Loses every n-th datagram it sends; 0 loses none.
    pub loses_every: u32,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            answer: Answer::After(Duration::from_millis(500)),
            rings: true,
            progress_only: false,
            reliable: true,
            update: true,
            joins: false,
            refuses_empty_offer: false,
            hangup_after: None,
            expires: Duration::from_secs(3600),
            registers_again: false,
            loses_every: 0,
        }
    }
}

impl Script {
    /// A simple phone: no reliable provisional responses, no UPDATE.
    pub fn plain() -> Self {
        Self { reliable: false, update: false, ..Self::default() }
    }

    /// Methods for Allow.
    pub fn allow(&self) -> &'static str {
        match (self.reliable, self.update) {
            (true, true) => "INVITE, ACK, CANCEL, BYE, OPTIONS, PRACK, UPDATE, INFO",
            (true, false) => "INVITE, ACK, CANCEL, BYE, OPTIONS, PRACK, INFO",
            (false, true) => "INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE, INFO",
            (false, false) => "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO",
        }
    }
}
