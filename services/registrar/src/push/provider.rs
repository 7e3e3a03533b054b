//! Who pushes phones.

use async_trait::async_trait;

/// What a push service is asked.
#[derive(Clone, PartialEq, Eq, serde::Serialize)]
pub struct Push {
    /// `pn-provider` of the phone: which push service it has.
    #[serde(rename = "pn_provider")]
    pub provider: String,
    /// `pn-prid`: which phone, in the words of that service.
    #[serde(rename = "pn_prid")]
    pub prid: String,
    /// `pn-param`: what else the service needs to know; empty for nothing.
    #[serde(rename = "pn_param")]
    pub param: String,
    /// The user whose phone it is.
    pub aor: String,
}

/// The identifier of a phone is enough to push it: it is not shown.
impl std::fmt::Debug for Push {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Push").field("provider", &self.provider).finish_non_exhaustive()
    }
}

/// A push that was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PushFailure(pub String);

/// Has phones woken. It has its own deadline and its own attempts.
#[async_trait]
pub trait PushProvider: Send + Sync + 'static {
    /// Asks that a phone be woken. `Ok` means that the service has taken it, not that the phone has heard it.
    async fn push(&self, push: &Push) -> Result<(), PushFailure>;
}
