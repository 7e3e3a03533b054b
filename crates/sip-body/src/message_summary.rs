//! `application/simple-message-summary`: what waits in a mailbox (RFC 3842 5.2).

use std::fmt::Write as _;

/// The content type of a summary.
pub const CONTENT_TYPE: &str = "application/simple-message-summary";

/// What waits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MessageSummary {
    /// Whether anything does.
    pub is_waiting: bool,
    /// URI to call for listening.
    pub account: Option<String>,
    /// How many of each class, in order.
    pub counts: Vec<Count>,
}

/// How many messages of one class there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Count {
    /// The class, as in its header: `Voice-Message`.
    pub class: &'static str,
    /// New ones.
    pub new: u32,
    /// Old ones.
    pub old: u32,
    /// Urgent ones among the new.
    pub urgent_new: u32,
    /// Urgent ones among the old.
    pub urgent_old: u32,
}

impl MessageSummary {
    /// The body. An account that would break out of its line is left out.
    pub fn to_body(&self) -> String {
        let mut body = format!("Messages-Waiting: {}\r\n", if self.is_waiting { "yes" } else { "no" });
        let account = self.account.as_deref().filter(|account| !account.chars().any(char::is_control));
        if let Some(account) = account {
            let _ = write!(body, "Message-Account: {account}\r\n");
        }
        for Count { class, new, old, urgent_new, urgent_old } in &self.counts {
            let _ = write!(body, "{class}: {new}/{old}");
            if (*urgent_new, *urgent_old) != (0, 0) {
                let _ = write!(body, " ({urgent_new}/{urgent_old})");
            }
            body.push_str("\r\n");
        }
        body
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// PKG-06
    #[test]
    fn a_summary_is_written_line_by_line() {
        let count = |class, new, old, urgent_new| Count { class, new, old, urgent_new, urgent_old: 0 };
        let summary = MessageSummary {
            is_waiting: true,
            account: Some("sip:voicemail@example.com".to_owned()),
            counts: vec![count("Voice-Message", 2, 8, 1), count("Fax-Message", u32::MAX, 0, 0)],
        };
        assert_eq!(
            summary.to_body(),
            "Messages-Waiting: yes\r\n\
             Message-Account: sip:voicemail@example.com\r\n\
             Voice-Message: 2/8 (1/0)\r\n\
             Fax-Message: 4294967295/0\r\n"
        );
        assert_eq!(MessageSummary::default().to_body(), "Messages-Waiting: no\r\n");
    }

    #[test]
    fn an_account_cannot_add_a_line() {
        let account = Some("sip:a@b\r\nVoice-Message: 9/9".to_owned());
        let summary = MessageSummary { account, ..MessageSummary::default() };
        assert_eq!(summary.to_body(), "Messages-Waiting: no\r\n");
    }
}
