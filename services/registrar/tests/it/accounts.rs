//! `Accounts`.

use std::time::Duration;

use cluster_api::registrar::v1::{
    Account, AccountFilter, CreateAccountRequest, DeleteAccountRequest, GetAccountRequest,
    ListAccountsRequest, UpdateAccountRequest, accounts_server::Accounts as _,
};
use cluster_rpc::{Reason, Refusal};
use store::Store as _;
use tonic::{Request, Status};

use crate::rig::{PASSWORD, Phone, Rig, contact, status};

fn reason(status: &Status) -> Reason {
    Refusal::read(status).unwrap().reason()
}

fn account(aor: &str) -> Account {
    Account { aor: aor.to_owned(), password: PASSWORD.to_owned(), ..Account::default() }
}

async fn create(rig: &Rig, request_id: &str, account: Account) -> Result<Account, Status> {
    let request = CreateAccountRequest { request_id: request_id.to_owned(), account: Some(account) };
    rig.registrar().create_account(Request::new(request)).await.map(tonic::Response::into_inner)
}

async fn update(rig: &Rig, account: Account, fields: Option<&[&str]>) -> Result<Account, Status> {
    let update_mask = fields.map(|fields| prost_types::FieldMask {
        paths: fields.iter().map(|&field| field.to_owned()).collect(),
    });
    let request =
        UpdateAccountRequest { account: Some(account), update_mask, ..UpdateAccountRequest::default() };
    rig.registrar().update_account(Request::new(request)).await.map(tonic::Response::into_inner)
}

async fn get(rig: &Rig, aor: &str) -> Result<Account, Status> {
    let request = GetAccountRequest { aor: aor.to_owned() };
    rig.registrar().get_account(Request::new(request)).await.map(tonic::Response::into_inner)
}

/// T22: the password is neither returned nor stored; digests are.
#[tokio::test]
async fn a_password_is_written_and_never_read() {
    let rig = Rig::new();
    let created = create(&rig, "", account("sip:%62ob@D;x=1")).await.unwrap();
    assert_eq!((created.aor.as_str(), created.password.as_str()), ("sip:bob@d", ""));
    assert!(!created.etag.is_empty() && created.create_time.is_some());
    assert_eq!(get(&rig, "sip:bob@d").await.unwrap(), created);
    for partition in store::Partitions::new("aor", 16).all() {
        if let Some(found) = rig.memory.get(&partition.key("aor/sip:bob@d")).await.unwrap() {
            let text = String::from_utf8_lossy(&found.value).into_owned();
            assert!(!text.contains(PASSWORD) && text.contains("SHA-256") && text.contains("MD5"));
            return;
        }
    }
    panic!("the record was not found");
}

/// An account of a domain with digest that could never authenticate is a mistake; one of an open domain needs no password.
#[tokio::test]
async fn a_password_is_needed_where_phones_authenticate_with_it() {
    let rig = Rig::new();
    let bare = |aor: &str| Account { aor: aor.to_owned(), ..Account::default() };
    let status = create(&rig, "", bare("sip:bob@d")).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::InvalidArgument);
    assert!(status.message().starts_with("account.password: "), "{}", status.message());
    create(&rig, "", bare("sip:bob@open")).await.unwrap();
    create(&rig, "", account("sip:carol@d")).await.unwrap();
    let status = update(&rig, bare("sip:carol@d"), Some(&["password"])).await.unwrap_err();
    assert!(status.message().starts_with("account.password: "), "{}", status.message());
    update(&rig, bare("sip:carol@d"), None).await.unwrap();
}

#[tokio::test]
async fn bad_accounts_are_refused_with_the_field() {
    let rig = Rig::new();
    let refusal = async |account: Account| reason(&create(&rig, "", account).await.unwrap_err());
    assert_eq!(refusal(account("bob")).await, Reason::BadAor);
    assert_eq!(refusal(account("sip:d")).await, Reason::BadAor);
    assert_eq!(refusal(account("sip:bob@elsewhere")).await, Reason::DomainNotServed);
    let injected = Account { display_name: "a\r\nVia: x".into(), ..account("sip:bob@d") };
    assert_eq!(refusal(injected).await, Reason::BadField);
    let bad_list = Account { allowed_from: vec!["x".into()], ..account("sip:bob@d") };
    assert_eq!(refusal(bad_list).await, Reason::BadAor);
    create(&rig, "", account("sip:bob@d")).await.unwrap();
    assert_eq!(refusal(account("sip:bob@d")).await, Reason::AccountExists);
    assert_eq!(reason(&get(&rig, "sip:nobody@d").await.unwrap_err()), Reason::AccountNotFound);
}

/// Rule 2 of "nothing lost": the same id and content once, the same id and other content never.
#[tokio::test]
async fn a_request_id_takes_effect_once() {
    let rig = Rig::new();
    let first = create(&rig, "r1", account("sip:bob@d")).await.unwrap();
    assert_eq!(create(&rig, "r1", account("sip:bob@d")).await.unwrap(), first);
    let other = create(&rig, "r1", account("sip:alice@d")).await.unwrap_err();
    assert_eq!(reason(&other), Reason::RequestIdReused);
    assert_eq!(reason(&get(&rig, "sip:alice@d").await.unwrap_err()), Reason::AccountNotFound);
    let long = create(&rig, &"x".repeat(65), account("sip:alice@d")).await.unwrap_err();
    assert_eq!(reason(&long), Reason::BadField);
}

/// A request id is known for 24 h and for no longer.
#[tokio::test]
async fn a_request_id_is_known_for_a_day() {
    let rig = Rig::new();
    let first = create(&rig, "r1", account("sip:bob@d")).await.unwrap();
    rig.clock.advance(Duration::from_secs(24 * 3_600 - 1));
    assert_eq!(create(&rig, "r1", account("sip:bob@d")).await.unwrap(), first);
    let other = create(&rig, "r1", account("sip:alice@d")).await.unwrap_err();
    assert_eq!(reason(&other), Reason::RequestIdReused);
    rig.clock.advance(Duration::from_secs(1));
    let late = create(&rig, "r1", account("sip:bob@d")).await.unwrap_err();
    assert_eq!(reason(&late), Reason::AccountExists, "it is another request by now");
}

#[tokio::test]
async fn an_update_changes_what_it_names() {
    let rig = Rig::new();
    let created =
        create(&rig, "", Account { display_name: "Bob".into(), ..account("sip:bob@d") }).await.unwrap();
    let renamed = update(
        &rig,
        Account { display_name: "Robert".into(), ..account("sip:bob@d") },
        Some(&["display_name"]),
    );
    let renamed = renamed.await.unwrap();
    assert_eq!((renamed.display_name.as_str(), renamed.max_bindings), ("Robert", 0));
    assert_ne!(renamed.etag, created.etag);
    let unmasked = Account { aor: "sip:bob@d".into(), max_bindings: 3, ..Account::default() };
    let limited = update(&rig, unmasked, None).await.unwrap();
    assert_eq!((limited.display_name.as_str(), limited.max_bindings), ("Robert", 3));
    let cleared = Account { aor: "sip:bob@d".into(), ..Account::default() };
    assert_eq!(update(&rig, cleared, Some(&["display_name"])).await.unwrap().display_name, "");
    let outdated = Account { etag: created.etag, ..account("sip:bob@d") };
    assert_eq!(reason(&update(&rig, outdated, None).await.unwrap_err()), Reason::EtagMismatch);
    let unknown = update(&rig, account("sip:bob@d"), Some(&["nonsense"])).await.unwrap_err();
    assert_eq!(reason(&unknown), Reason::BadField);
    assert_eq!(reason(&update(&rig, account("sip:x@d"), None).await.unwrap_err()), Reason::AccountNotFound);
}

/// A new password counts at once, on every replica, although they remember the old one.
#[tokio::test]
async fn a_new_password_counts_everywhere() {
    let rig = Rig::new();
    rig.account("bob").await;
    let mut phones: Vec<Phone> = rig
        .replicas
        .iter()
        .map(|replica| Phone { registrar: replica.clone(), ..Phone::of(&rig, "bob", "d") })
        .collect();
    for (index, phone) in phones.iter_mut().enumerate() {
        phone.call_id = index.to_string();
        assert_eq!(phone.register(&[contact("sip:a@h")]).await.status, 200);
    }
    let changed = Account { password: "other".into(), ..account("sip:bob@d") };
    update(&rig, changed, Some(&["password"])).await.unwrap();
    for phone in &mut phones {
        assert_eq!(phone.register(&[contact("sip:a@h")]).await.status, 401);
        phone.password = "other".into();
        assert_eq!(phone.register(&[contact("sip:a@h")]).await.status, 200);
    }
}

#[tokio::test]
async fn accounts_are_listed_in_pages_over_all_partitions() {
    let rig = Rig::new();
    for number in 0..45 {
        create(&rig, "", account(&format!("sip:user{number:02}@d"))).await.unwrap();
    }
    create(&rig, "", account("sip:user99@open")).await.unwrap();
    let list = async |filter: AccountFilter, page_size| {
        let mut found: Vec<String> = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = ListAccountsRequest { filter: Some(filter.clone()), page_size, page_token };
            let page = rig.registrar().list_accounts(Request::new(request)).await.unwrap().into_inner();
            assert!(page.accounts.len() <= 10);
            found.extend(page.accounts.into_iter().map(|account| account.aor));
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return found;
            }
        }
    };
    let of_d = AccountFilter { domain: "d".into(), ..AccountFilter::default() };
    let expected: Vec<String> = (0..45).map(|number| format!("sip:user{number:02}@d")).collect();
    assert_eq!(list(of_d, 10).await, expected);
    let threes = AccountFilter { contains: "user3".into(), ..AccountFilter::default() };
    assert_eq!(list(threes, 4).await, expected[30..40]);
    assert_eq!(list(AccountFilter::default(), 7).await.len(), 46);
    let bad = ListAccountsRequest { page_size: -1, ..ListAccountsRequest::default() };
    let refused = rig.registrar().list_accounts(Request::new(bad)).await.unwrap_err();
    assert_eq!(reason(&refused), Reason::BadField);
}

#[tokio::test]
async fn a_deleted_account_leaves_nothing() {
    let rig = Rig::new();
    rig.account("alice").await;
    let before = rig.memory.record_count();
    rig.account("bob").await;
    Phone::of(&rig, "bob", "d").register(&[contact("sip:b@h")]).await;
    let request = DeleteAccountRequest { aor: "sip:bob@d".into(), ..DeleteAccountRequest::default() };
    rig.registrar().delete_account(Request::new(request.clone())).await.unwrap();
    assert_eq!(status(&Phone::of(&rig, "alice", "d").route("sip:bob@d").await), 404);
    // the shared keys came with the first challenge
    assert_eq!(rig.memory.record_count(), before + 1);
    let again = rig.registrar().delete_account(Request::new(request)).await.unwrap_err();
    assert_eq!(reason(&again), Reason::AccountNotFound);
    let list = rig.registrar().list_accounts(Request::new(ListAccountsRequest::default())).await.unwrap();
    assert_eq!(list.into_inner().accounts.len(), 1);
}

/// What is no token of the list is no place in it.
#[tokio::test]
async fn a_page_token_that_was_never_given_out_is_refused() {
    let rig = Rig::new();
    rig.account("alice").await;
    for garbage in ["garbage", "alice@d", "sip:d", "sip:%61lice@d", "sip:alice@d\n"] {
        let request = ListAccountsRequest { page_token: garbage.into(), ..ListAccountsRequest::default() };
        let refused = rig.registrar().list_accounts(Request::new(request)).await.unwrap_err();
        assert_eq!(refused.code(), tonic::Code::InvalidArgument, "{garbage}");
    }
}
