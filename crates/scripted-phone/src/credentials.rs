//! Answers to challenges.

use sip_digest::{Login, answer, answerable};
use sip_message::{HeaderId, Message};

use crate::phone::Phone;

impl Phone {
    /// The value of Authorization or Proxy-Authorization that answers the best challenge of `response`.
    pub(crate) fn credentials(
        &mut self,
        response: &Message,
        id: HeaderId,
        method: &str,
        uri: &str,
    ) -> Option<String> {
        let cnonce = self.mint("");
        let chosen = answerable(response.all(id));
        let challenge = chosen.first()?;
        let login = Login { user: &self.identity.user, password: &self.identity.password };
        let value = answer(challenge, login, method, uri, b"", &cnonce, 1).to_bytes();
        Some(crate::call::text(value))
    }
}
