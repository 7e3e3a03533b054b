//! Accounts: who may register and call. Only digests of a password are ever stored.

use cluster_api::convert::timestamp;
use cluster_api::registrar::v1::{
    Account, CreateAccountRequest, DeleteAccountRequest, DeleteAccountResponse, GetAccountRequest,
    ListAccountsRequest, ListAccountsResponse, UpdateAccountRequest, accounts_server::Accounts,
    binding_event::Type,
};
use cluster_rpc::{Reason, Refusal};
use prost::Message as _;
use sip_digest::{Ha1, ReplayWindow};
use sip_message::{Scheme, Uri};
use store::Op;
use tonic::{Request, Response, Status};

use crate::{
    Auth, Registrar, Shared,
    aors::{ACCOUNT_INDEX, Change, Draft, note, note_deleted, time},
    call_slots::{MOST_CALLS, limit},
    callers,
    domains::{user_aor, user_part},
    listing::{Page, page},
    record::{AccountRecord, DigestRecord},
    refusal::{of_change, of_store},
    trunks::is_prefix,
};

/// Fields that UpdateAccount may name.
const FIELDS: [&str; 15] = [
    "display_name",
    "password",
    "disabled",
    "max_bindings",
    "allowed_from",
    "redirect_only",
    "anchor",
    "registrars",
    "allowed_callers",
    "max_calls",
    "max_call_rate",
    "allowed_prefixes",
    "denied_prefixes",
    "refused_callers_info",
    "moved_permanently",
];
const MAX_BINDINGS: u32 = 1_000;
const MAX_ADDRESSES: usize = 1_000;
const MAX_PATTERNS: usize = 100;
const MAX_TEXT: usize = 1_024;

impl Shared {
    async fn create_account(&self, request: CreateAccountRequest) -> Result<Account, Refusal> {
        let account = request.account.clone().unwrap_or_default();
        let aor = self.served_aor(&account.aor, "account.aor")?;
        let fresh = self.with_fields(&aor, AccountRecord::default(), &account, |_| true)?;
        let claimed =
            self.requests.claim(self.aors.store(), "CreateAccount", &request.request_id, &request).await?;
        if let Some(earlier) = claimed.result(self.aors.store(), self.aors.partition_of(&aor)).await? {
            return Ok(earlier);
        }
        self.aors
            .change(&aor, |draft| {
                if draft.record.account.is_some() {
                    let message = format!("there is an account {aor}");
                    return Change::Keep(Err(Refusal::new(Reason::AccountExists, message)));
                }
                let now_ms = draft.now_ms;
                let fresh =
                    AccountRecord { create_ms: now_ms, update_ms: now_ms, revision: 1, ..fresh.clone() };
                let shown = put(draft, fresh);
                claimed.keep(&shown, &mut draft.ops);
                Change::Commit(Ok(shown))
            })
            .await
            .map_err(of_change)?
    }

    async fn update_account(&self, request: UpdateAccountRequest) -> Result<Account, Refusal> {
        let account = request.account.clone().unwrap_or_default();
        let aor = self.served_aor(&account.aor, "account.aor")?;
        let mask = request.update_mask.as_ref().map(|mask| mask.paths.clone());
        if let Some(unknown) =
            mask.iter().flatten().find(|path| !FIELDS.contains(&path.as_str()) && *path != "aor")
        {
            let expected = format!("{unknown:?} is none of {}", FIELDS.join(", "));
            return Err(Refusal::field(Reason::BadField, "update_mask", expected));
        }
        text(&account.etag, "account.etag")?;
        let is_named = |field: &str| match &mask {
            Some(paths) => paths.iter().any(|path| path == field),
            None => is_set(&account, field),
        };
        // refused before anything is claimed
        self.with_fields(&aor, AccountRecord::default(), &account, is_named)?;
        let claimed =
            self.requests.claim(self.aors.store(), "UpdateAccount", &request.request_id, &request).await?;
        if let Some(earlier) = claimed.result(self.aors.store(), self.aors.partition_of(&aor)).await? {
            return Ok(earlier);
        }
        self.aors
            .change(&aor, |draft| {
                let Some(known) = draft.record.account.clone() else {
                    return Change::Keep(Err(not_found(&aor)));
                };
                if !account.etag.is_empty() && account.etag != known.revision.to_string() {
                    let message = format!("the account is at {}, not at {}", known.revision, account.etag);
                    return Change::Keep(Err(Refusal::new(Reason::EtagMismatch, message)));
                }
                let revision = known.revision + 1;
                let changed = match self.with_fields(&aor, *known, &account, is_named) {
                    Ok(changed) => AccountRecord { update_ms: draft.now_ms, revision, ..changed },
                    Err(refusal) => return Change::Keep(Err(refusal)),
                };
                let shown = put(draft, changed);
                claimed.keep(&shown, &mut draft.ops);
                Change::Commit(Ok(shown))
            })
            .await
            .map_err(of_change)?
    }

    async fn get_account(&self, request: GetAccountRequest) -> Result<Account, Refusal> {
        let aor = self.served_aor(&request.aor, "aor")?;
        let found = self.aors.read(&aor, |record| record.account.as_deref().map(|known| show(&aor, known)));
        found.await.map_err(of_store)?.ok_or_else(|| not_found(&aor))
    }

    async fn list_accounts(&self, request: ListAccountsRequest) -> Result<ListAccountsResponse, Refusal> {
        let filter = request.filter.unwrap_or_default();
        let domain = filter.domain.to_ascii_lowercase();
        let is_wanted = |aor: &str| {
            let host = aor.rsplit('@').next().unwrap_or_default();
            (domain.is_empty() || host == domain) && aor.contains(&filter.contains)
        };
        let Page { entries, next } = page(
            self.aors.store(),
            self.aors.partitions(),
            ACCOUNT_INDEX,
            request.page_size,
            &request.page_token,
            |token| {
                let uri = Uri::parse(token.as_bytes()).ok();
                uri.as_ref().and_then(user_aor).as_deref() == Some(token)
            },
            is_wanted,
        )
        .await?;
        let accounts = entries.into_iter().filter_map(|(_, value)| Account::decode(value).ok()).collect();
        Ok(ListAccountsResponse { accounts, next_page_token: next })
    }

    async fn delete_account(&self, request: DeleteAccountRequest) -> Result<(), Refusal> {
        let aor = self.served_aor(&request.aor, "aor")?;
        let claimed =
            self.requests.claim(self.aors.store(), "DeleteAccount", &request.request_id, &request).await?;
        let partition = self.aors.partition_of(&aor);
        if claimed.result::<DeleteAccountResponse>(self.aors.store(), partition).await?.is_some() {
            return Ok(());
        }
        self.aors
            .change(&aor, |draft| {
                if draft.record.account.is_none() {
                    return Change::Keep(Err(not_found(&aor)));
                }
                draft.record.account = None;
                draft.record.set_replay_window(ReplayWindow::default());
                draft.is_forgotten = true;
                for gone in std::mem::take(&mut draft.record.bindings) {
                    draft.ops.push(note(&aor, Type::Deactivated, &gone));
                }
                draft.ops.push(note_deleted(&aor));
                draft.ops.push(Op::IndexRemove { index: ACCOUNT_INDEX.to_owned(), member: aor.clone() });
                claimed.keep(&DeleteAccountResponse {}, &mut draft.ops);
                Change::Commit(Ok(()))
            })
            .await
            .map_err(of_change)?
    }

    /// The normal form of an address of record of a served domain.
    pub(crate) fn served_aor(&self, uri: &str, field: &str) -> Result<String, Refusal> {
        let aor = Uri::parse(uri.as_bytes()).ok().as_ref().and_then(user_aor);
        let expected = "expected an address of record like sip:alice@example.com";
        let aor = aor.ok_or_else(|| Refusal::field(Reason::BadAor, field, expected))?;
        match self.domains.of_aor(&aor) {
            Some(_) => Ok(aor),
            None => Err(Refusal::field(
                Reason::DomainNotServed,
                field,
                format!("{aor} is not of a served domain"),
            )),
        }
    }

    /// `known` with the named fields as in `given`.
    fn with_fields(
        &self,
        aor: &str,
        mut known: AccountRecord,
        given: &Account,
        is_named: impl Fn(&str) -> bool,
    ) -> Result<AccountRecord, Refusal> {
        if is_named("display_name") {
            known.display_name = text(&given.display_name, "account.display_name")?;
        }
        if is_named("password") {
            text(&given.password, "account.password")?;
            let needs_one = self.domains.of_aor(aor).is_some_and(|domain| domain.auth == Auth::Digest);
            if given.password.is_empty() && needs_one {
                let expected = "expected a password: the phones of this domain authenticate with one";
                return Err(Refusal::field(Reason::BadField, "account.password", expected));
            }
            known.digests = self.digests(aor, &given.password);
        }
        if is_named("disabled") {
            known.disabled = given.disabled;
        }
        if is_named("max_bindings") {
            if given.max_bindings > MAX_BINDINGS {
                return Err(Refusal::field(Reason::BadField, "account.max_bindings", "at most 1000"));
            }
            known.max_bindings = given.max_bindings;
        }
        if is_named("allowed_from") {
            known.allowed_from = addresses(&given.allowed_from, "account.allowed_from")?;
        }
        if is_named("redirect_only") {
            known.redirect_only = given.redirect_only;
        }
        if is_named("moved_permanently") {
            known.moved_permanently = given.moved_permanently;
        }
        if is_named("anchor") {
            known.anchor = given.anchor;
        }
        if is_named("registrars") {
            known.registrars = addresses(&given.registrars, "account.registrars")?;
        }
        if is_named("allowed_callers") {
            known.allowed_callers = patterns(&given.allowed_callers)?;
        }
        if is_named("refused_callers_info") {
            known.refused_callers_info = announcement(&given.refused_callers_info)?;
        }
        if is_named("max_calls") {
            known.max_calls = limit(self, given.max_calls, "account.max_calls")?;
        }
        if is_named("max_call_rate") {
            if given.max_call_rate > MOST_CALLS {
                let expected = format!("at most {MOST_CALLS}");
                return Err(Refusal::field(Reason::BadField, "account.max_call_rate", expected));
            }
            known.max_call_rate = given.max_call_rate;
        }
        if is_named("allowed_prefixes") {
            known.allowed_prefixes = prefixes(&given.allowed_prefixes, "account.allowed_prefixes")?;
        }
        if is_named("denied_prefixes") {
            known.denied_prefixes = prefixes(&given.denied_prefixes, "account.denied_prefixes")?;
        }
        Ok(known)
    }

    /// One digest for each offered algorithm; none for an empty password.
    fn digests(&self, aor: &str, password: &str) -> Vec<DigestRecord> {
        let Some(domain) = self.domains.of_aor(aor).filter(|_| !password.is_empty()) else {
            return Vec::new();
        };
        let digest = |&hash| {
            let (user, realm) = (user_part(aor).as_bytes(), domain.realm.as_bytes());
            let ha1 = Ha1::of_password(hash, user, realm, password.as_bytes());
            DigestRecord { hash: ha1.hash().as_str().to_owned(), ha1: ha1.hex().to_owned() }
        };
        self.authority.hashes.iter().map(digest).collect()
    }
}

/// Puts an account into its record and into the list of accounts; returns what callers see of it.
fn put(draft: &mut Draft<'_>, account: AccountRecord) -> Account {
    let shown = show(draft.aor, &account);
    draft.record.account = Some(account.into());
    draft.ops.push(Op::IndexAdd {
        index: ACCOUNT_INDEX.to_owned(),
        member: draft.aor.to_owned(),
        value: shown.encode_to_vec().into(),
    });
    shown
}

/// What callers see: no password and no digest.
fn show(aor: &str, account: &AccountRecord) -> Account {
    Account {
        aor: aor.to_owned(),
        display_name: account.display_name.clone(),
        password: String::new(),
        disabled: account.disabled,
        max_bindings: account.max_bindings,
        allowed_from: account.allowed_from.clone(),
        redirect_only: account.redirect_only,
        anchor: account.anchor,
        registrars: account.registrars.clone(),
        create_time: Some(timestamp(time(account.create_ms))),
        update_time: Some(timestamp(time(account.update_ms))),
        etag: account.revision.to_string(),
        allowed_callers: account.allowed_callers.clone(),
        max_calls: account.max_calls,
        max_call_rate: account.max_call_rate,
        allowed_prefixes: account.allowed_prefixes.clone(),
        denied_prefixes: account.denied_prefixes.clone(),
        refused_callers_info: account.refused_callers_info.clone(),
        moved_permanently: account.moved_permanently,
    }
}

fn is_set(account: &Account, field: &str) -> bool {
    match field {
        "display_name" => !account.display_name.is_empty(),
        "password" => !account.password.is_empty(),
        "disabled" => account.disabled,
        "max_bindings" => account.max_bindings != 0,
        "allowed_from" => !account.allowed_from.is_empty(),
        "redirect_only" => account.redirect_only,
        "anchor" => account.anchor,
        "registrars" => !account.registrars.is_empty(),
        "allowed_callers" => !account.allowed_callers.is_empty(),
        "max_calls" => account.max_calls != 0,
        "max_call_rate" => account.max_call_rate != 0,
        "allowed_prefixes" => !account.allowed_prefixes.is_empty(),
        "denied_prefixes" => !account.denied_prefixes.is_empty(),
        "refused_callers_info" => !account.refused_callers_info.is_empty(),
        "moved_permanently" => account.moved_permanently,
        _ => false,
    }
}

fn addresses(given: &[String], field: &str) -> Result<Vec<String>, Refusal> {
    if given.len() > MAX_ADDRESSES {
        return Err(Refusal::field(Reason::BadField, field, "at most 1000 addresses"));
    }
    let normal = |(index, uri): (usize, &String)| {
        let aor = Uri::parse(uri.as_bytes()).ok().as_ref().and_then(user_aor);
        let expected = "expected an address of record like sip:alice@example.com";
        aor.ok_or_else(|| Refusal::field(Reason::BadAor, format!("{field}[{index}]"), expected))
    };
    given.iter().enumerate().map(normal).collect()
}

fn prefixes(given: &[String], field: &str) -> Result<Vec<String>, Refusal> {
    if given.len() > MAX_PATTERNS {
        let expected = format!("at most {MAX_PATTERNS} prefixes: each is compared with each number");
        return Err(Refusal::field(Reason::BadField, field, expected));
    }
    let expected = "digits, with a + in front for the global form, as +49; or nothing, for every number";
    match given.iter().position(|prefix| !is_prefix(prefix)) {
        Some(index) => Err(Refusal::field(Reason::BadPrefix, format!("{field}[{index}]"), expected)),
        None => Ok(given.to_vec()),
    }
}

fn patterns(given: &[String]) -> Result<Vec<String>, Refusal> {
    if given.len() > MAX_PATTERNS {
        let expected = format!("at most {MAX_PATTERNS} patterns: each is compared with each caller");
        return Err(Refusal::field(Reason::BadField, "account.allowed_callers", expected));
    }
    let expected = "a pattern like sip:alice@example.com, sip:+49*@example.com or sip:*@example.com";
    let normal = |(index, pattern): (usize, &String)| {
        let field = format!("account.allowed_callers[{index}]");
        callers::read(pattern).ok_or_else(|| Refusal::field(Reason::BadField, field, expected))
    };
    given.iter().enumerate().map(normal).collect()
}

/// What can stand in Error-Info between its angle brackets, or nothing.
fn announcement(given: &str) -> Result<String, Refusal> {
    let field = "account.refused_callers_info";
    let uri = text(given, field)?;
    let is_plain = uri.bytes().all(|octet| octet.is_ascii_graphic() && !b"<>\"\\^`{|}".contains(&octet));
    let is_sip =
        || Uri::parse(uri.as_bytes()).is_ok_and(|uri| matches!(uri.scheme, Scheme::Sip | Scheme::Sips));
    let is_web = || {
        let rest = uri.strip_prefix("https://").or_else(|| uri.strip_prefix("http://"));
        rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'))
    };
    if uri.is_empty() || (is_plain && (is_sip() || is_web())) {
        return Ok(uri);
    }
    let expected =
        "the URI of an announcement like sip:screened@example.com or https://example.com/screened.wav";
    Err(Refusal::field(Reason::BadUri, field, expected))
}

/// Text that can stand in a header or a log line.
pub(crate) fn text(given: &str, field: &str) -> Result<String, Refusal> {
    if given.len() > MAX_TEXT || given.chars().any(char::is_control) {
        let expected = "at most 1024 octets without control characters";
        return Err(Refusal::field(Reason::BadField, field, expected));
    }
    Ok(given.to_owned())
}

pub(crate) fn not_found(aor: &str) -> Refusal {
    Refusal::new(Reason::AccountNotFound, format!("there is no account {aor}"))
}

#[tonic::async_trait]
impl Accounts for Registrar {
    async fn create_account(
        &self,
        request: Request<CreateAccountRequest>,
    ) -> Result<Response<Account>, Status> {
        Ok(Response::new(self.shared.create_account(request.into_inner()).await?))
    }

    async fn get_account(&self, request: Request<GetAccountRequest>) -> Result<Response<Account>, Status> {
        Ok(Response::new(self.shared.get_account(request.into_inner()).await?))
    }

    async fn list_accounts(
        &self,
        request: Request<ListAccountsRequest>,
    ) -> Result<Response<ListAccountsResponse>, Status> {
        Ok(Response::new(self.shared.list_accounts(request.into_inner()).await?))
    }

    async fn update_account(
        &self,
        request: Request<UpdateAccountRequest>,
    ) -> Result<Response<Account>, Status> {
        Ok(Response::new(self.shared.update_account(request.into_inner()).await?))
    }

    async fn delete_account(
        &self,
        request: Request<DeleteAccountRequest>,
    ) -> Result<Response<DeleteAccountResponse>, Status> {
        self.shared.delete_account(request.into_inner()).await?;
        Ok(Response::new(DeleteAccountResponse {}))
    }
}
