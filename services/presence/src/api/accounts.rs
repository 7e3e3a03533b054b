//! Whose address of record it is.

use cluster_api::registrar::v1::{RouteRequest, route_response::Plan};
use cluster_rpc::{Reason, Refusal};
use tonic::Status;

use crate::Presence;
use crate::intake::user_aor;
use crate::refusal::unknown_account;

/// Whose an address of record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// There is an account of it.
    Account,
    /// Its domain is served here, and there is no account of it.
    Nobody,
    /// Somebody's who is not served here, or a service's.
    Elsewhere,
}

impl Presence {
    /// The address of record of a field, in normal form, when there is an account of it.
    ///
    /// # Errors
    /// When it is none, nobody's, or the registrar cannot be asked.
    pub(super) async fn account(&self, field: &str, aor: &str) -> Result<String, Status> {
        let Some(aor) = user_aor(aor) else {
            let expected = "an address of record, for example sip:alice@example.com";
            return Err(Refusal::field(Reason::BadAor, field, expected).into());
        };
        match self.whose(&aor).await? {
            Whose::Account => Ok(aor),
            Whose::Nobody | Whose::Elsewhere => Err(unknown_account(&aor)),
        }
    }

    /// Whose address of record it is.
    ///
    /// # Errors
    /// When the registrar cannot be asked.
    pub(super) async fn whose(&self, aor: &str) -> Result<Whose, Status> {
        // What the registrar does with a request of a watcher says whether there is anybody to watch.
        let request = RouteRequest {
            method: "SUBSCRIBE".to_owned(),
            request_uri: aor.to_owned(),
            from_uri: aor.to_owned(),
            to_uri: aor.to_owned(),
            event: "presence".to_owned(),
            internal: true,
            ..RouteRequest::default()
        };
        match self.location.route(request).await?.plan {
            Some(Plan::Presence(_)) => Ok(Whose::Account),
            Some(Plan::Refuse(refuse)) if refuse.status >= 500 => {
                let text = "the registrar cannot say now whether there is such an account";
                Err(Refusal::new(Reason::ServiceUnavailable, text).into())
            }
            Some(Plan::Refuse(refuse)) if refuse.status == 404 => Ok(Whose::Nobody),
            Some(_) | None => Ok(Whose::Elsewhere),
        }
    }
}
