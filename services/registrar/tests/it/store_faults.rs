//! When the store fails.

use std::sync::atomic::Ordering;

use cluster_api::registrar::v1::{CreateAccountRequest, accounts_server::Accounts as _};
use cluster_rpc::{Reason, Refusal};
use store::StoreError;
use tonic::Request;

use crate::rig::{Phone, Rig, contact, header, status, targets, uris};

/// REG-10, F6: without the store a REGISTER is 500 with a time to come back, and nothing is stored; afterwards all is as before.
#[tokio::test]
async fn without_the_store_a_register_fails() {
    let rig = Rig::new();
    let mut phone = Phone::of(&rig, "bob", "open");
    phone.register(&[contact("sip:a@h")]).await;
    rig.store.hook.is_down.store(true, Ordering::SeqCst);
    let failed = phone.register(&[contact("sip:b@h")]).await;
    assert_eq!(failed.status, 500);
    assert!(header(&failed, "Retry-After").is_some());
    assert_eq!(status(&phone.route("sip:bob@open").await), 503);
    rig.store.hook.is_down.store(false, Ordering::SeqCst);
    assert_eq!(uris(&phone.register(&[]).await), ["sip:a@h"]);
    assert_eq!(targets(&phone.route("sip:bob@open").await), [["sip:a@h"]]);
}

/// REG-10, rule 1 of "nothing lost": what too few replicas confirmed, or nobody in time, is not acknowledged and may have happened:
/// 503, and the record is read again.
#[tokio::test]
async fn an_unconfirmed_register_is_not_acknowledged() {
    for error in [StoreError::Unreplicated { confirmed: 0, wanted: 1 }, StoreError::Timeout { after_ms: 500 }]
    {
        let rig = Rig::new();
        let mut phone = Phone::of(&rig, "bob", "open");
        *rig.store.hook.after_commit.lock() = Some(error.clone());
        let failed = phone.register(&[contact("sip:a@h")]).await;
        assert_eq!(failed.status, 503, "{error}");
        assert!(header(&failed, "Retry-After").is_some());
        *rig.store.hook.after_commit.lock() = None;
        let retried = phone.register(&[contact("sip:a@h")]).await;
        assert_eq!((retried.status, uris(&retried)), (200, vec!["sip:a@h"]), "{error}");
    }
}

#[tokio::test]
async fn an_rpc_says_that_the_store_failed() {
    let rig = Rig::new();
    rig.store.hook.is_down.store(true, Ordering::SeqCst);
    let (aor, password) = ("sip:bob@d".into(), "secret".into());
    let account = cluster_api::registrar::v1::Account { aor, password, ..Default::default() };
    let request = CreateAccountRequest { account: Some(account), ..CreateAccountRequest::default() };
    let status = rig.registrar().create_account(Request::new(request)).await.unwrap_err();
    assert_eq!(Refusal::read(&status).unwrap().reason(), Reason::StoreUnavailable);
    assert_eq!(status.code(), tonic::Code::Unavailable);
}
