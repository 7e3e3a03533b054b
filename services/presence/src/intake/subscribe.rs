//! SUBSCRIBE: the 200 leaves after the commit. RFC 6665 4.2.1

use cluster_api::presence::v1::HandleResponse;
use cluster_api::sip::v1::Header;
use sip_body::rlmi;
use sip_message::{HeaderId, Scheme, Uri};
use store::StoreError;

use super::answer::{bad_event, refuse, refuse_saying, refuse_with, too_brief};
use super::asking::Asking;
use crate::Presence;
use crate::engine::{
    Asked, Dialog, EVENT_LIST, Event, Filter, Package, Subscription, allow_events, begin, usual_expires_s,
};
use crate::repository::{Change, Seeker};
use crate::runner::{ApplyError, Known};

/// Octets of everything that a subscription keeps of its SUBSCRIBE.
const MOST_KEPT: usize = 8_192;

impl Presence {
    /// A SUBSCRIBE outside a dialog.
    pub(super) async fn begin_subscription(&self, asking: &Asking<'_>) -> Result<HandleResponse, ApplyError> {
        if let Some(refused) = asking.ambiguous_event() {
            return Ok(refused);
        }
        let Some(event) = asking.event() else { return Ok(bad_event()) };
        let Some(package) = Package::named(event.package) else { return Ok(bad_event()) };
        let Some((resource, watcher)) = asking.resource().zip(asking.asker()) else {
            return Ok(refuse(404));
        };
        let request = asking.0;
        // What is nobody's address of record may be that of a list.
        let is_list = package == Package::Presence && request.nobody;
        if is_list && !self.is_list(&resource).await? {
            return Ok(refuse(404));
        }
        if let Some(refused) = self.refusal(asking, package, is_list) {
            return Ok(refused);
        }
        // RFC 6665 4.4.4: the copies of a forked SUBSCRIBE are one; a later one with the same Call-ID is another
        let cseq = request.cseq.to_string();
        let event_id = event.id.map(str::to_owned);
        let Ok(filter) = asking.filter(package) else {
            return Ok(refuse_saying(400, "Event Chooses No Dialog (call-id And to-tag)"));
        };
        let parts = [
            "subscription",
            &resource,
            package.name(),
            event_id.as_deref().unwrap_or_default(),
            &request.sip_call_id,
            &request.from_tag,
            &cseq,
        ];
        let id = self.runner.repository.id_of(&resource, &parts);
        let dialog = Dialog {
            call_id: request.sip_call_id.clone(),
            remote_tag: request.from_tag.clone(),
            local_uri: request.to_uri.clone(),
            remote_uri: request.from_uri.clone(),
            remote_target: request.contact.clone(),
            record_route: request.record_route.clone(),
            flow: request.flow.clone(),
            remote_cseq: request.cseq,
            local_cseq: 0,
        };
        let kept =
            [&dialog.call_id, &dialog.remote_tag, &dialog.local_uri, &dialog.remote_uri, &request.contact];
        if kept.into_iter().chain(&dialog.record_route).map(String::len).sum::<usize>() > MOST_KEPT {
            return Ok(refuse_saying(513, "Addresses And Route Too Large To Be Kept (8 kB)"));
        }
        let asked = self.asked(asking, package, filter.as_ref());
        if package == Package::Conference {
            self.runner.know_conference(&resource).await?;
        }
        for _ in 0..self.runner.config.commit_attempts {
            let repository = &self.runner.repository;
            // Asked for before it is this one's turn: the registrar may take its time.
            let now = match package.is_of_bindings() && !is_list {
                true => Some(self.runner.topic_now(package, &resource).await?),
                false => None,
            };
            let _turn = self.runner.turn(&resource).await;
            if let Some(known) = repository.load(&id).await? {
                return Ok(accept(&known.subscription));
            }
            let head = repository.head(package, &resource).await?;
            if head.watchers >= self.runner.config.watchers {
                self.runner.counts.limits.with_label_values(&["watchers"]).inc();
                let refused = refuse_with(503, "Retry-After", "300");
                return Ok(HandleResponse { reason: "Too Many Watchers Of This User".to_owned(), ..refused });
            }
            if package == Package::Dialog {
                self.runner.know_dialogs(&resource, &watcher).await?;
            }
            // Only who has proved to be one of our users is asked for elsewhere.
            let seeks = is_list && !request.identity.is_empty();
            let seeker = seeks.then(|| Seeker { watcher: watcher.clone(), subscription: id.clone() });
            let read = match now {
                Some(read) => read,
                None => repository.topic(package, &resource, is_list, seeker).await?,
            };
            let names = (watcher.clone(), request.from_display.clone());
            let what = (id.clone(), package, resource.clone());
            let now_ms = repository.now_ms();
            if !read.topic.is_there() {
                return Ok(refuse(404));
            }
            let chosen = (event_id.clone(), filter.clone());
            let begun = begin(what, names, chosen, dialog.clone(), &asked, &*read.topic, now_ms);
            let Ok(mut begun) = begun else { return Ok(refuse(403)) };
            (begun.is_list, begun.seeks) = (is_list, seeks);
            let (head, is_over) = (Some(&head), false);
            let change = Change { before: None, after: &begun, package, read: Some(&read), head, is_over };
            match repository.save(&change).await {
                Ok(saved) => {
                    self.runner.tell_saved(package, &resource, saved);
                    self.runner.counts.subscriptions.with_label_values(&[package.name(), "began"]).inc();
                    let answer = accept(&begun);
                    if package == Package::Winfo {
                        // Who came while the list was read told nobody of it.
                        self.runner.look_again(&begun.id);
                    }
                    if head.is_some_and(|head| head.watchers == 0) {
                        // What changed while nobody was known to watch was told to nobody.
                        match is_list {
                            true => self.runner.learn_members(&resource),
                            false => self.runner.learn_bindings(package, &resource),
                        }
                    }
                    if !begun.is_ended() {
                        self.runner.seek(&begun.watcher, &begun.id, read.unsought.clone());
                    }
                    self.runner.send(begun);
                    return Ok(answer);
                }
                Err(StoreError::Conflict) => self.runner.counts.conflicts.inc(),
                Err(error) => return Err(error.into()),
            }
        }
        Err(ApplyError::Contended)
    }

    /// A SUBSCRIBE in a dialog of ours: a refresh, or the end.
    pub(super) async fn go_on_with_subscription(
        &self,
        asking: &Asking<'_>,
    ) -> Result<HandleResponse, ApplyError> {
        let request = asking.0;
        let known = self.runner.repository.load(&request.to_tag).await?;
        let is_dialog = |subscription: &Subscription| {
            subscription.dialog.call_id == request.sip_call_id
                && subscription.dialog.remote_tag == request.from_tag
        };
        let Some(known) = known.filter(|known| is_dialog(&known.subscription)) else {
            return Ok(refuse(481));
        };
        let subscription = known.subscription.clone();
        let Some(package) = subscription.package() else { return Err(ApplyError::Unknown) };
        if let Some(refused) = asking.ambiguous_event() {
            return Ok(refused);
        }
        let Some(event) = asking.event() else { return Ok(bad_event()) };
        if (event.package, event.id) != (package.name(), subscription.event_id.as_deref()) {
            // RFC 6665 4.5.2: one subscription in one dialog
            return Ok(refuse_saying(403, "Another Event Than That Of The Dialog"));
        }
        if request.cseq == subscription.dialog.remote_cseq {
            return Ok(accept(&subscription));
        }
        if request.cseq < subscription.dialog.remote_cseq {
            return Ok(refuse_saying(500, "CSeq Too Low")); // RFC 3261 12.2.2
        }
        if subscription.is_ended() {
            return Ok(refuse(481));
        }
        if let Some(refused) = self.refusal(asking, package, subscription.is_list) {
            return Ok(refused);
        }
        let asked = self.asked(asking, package, subscription.filter.as_ref());
        let known = Known { subscription: Some(known), read: None };
        let event = Event::Subscribe(&asked);
        let after = self.runner.apply_knowing(&subscription.id, &event, false, known).await?;
        Ok(accept(&after))
    }

    /// What is asked for, as far as anybody may have it.
    fn asked(&self, asking: &Asking<'_>, package: Package, filter: Option<&Filter>) -> Asked {
        let request = asking.0;
        let most = u32::try_from(self.runner.config.max_expires.as_secs()).unwrap_or(u32::MAX);
        Asked {
            cseq: request.cseq,
            contact: request.contact.clone(),
            flow: request.flow.clone(),
            expires_s: Some(request.expires.unwrap_or(usual_expires_s(package, filter)).min(most)),
        }
    }

    async fn is_list(&self, uri: &str) -> Result<bool, StoreError> {
        let (record, _) = self.runner.repository.list(uri).await?;
        Ok(record.is_some_and(|record| !record.is_removed))
    }

    /// What is checked of every SUBSCRIBE.
    fn refusal(&self, asking: &Asking<'_>, package: Package, is_list: bool) -> Option<HandleResponse> {
        let least_s = self.runner.config.min_expires.as_secs();
        let is_brief = |expires: u32| expires > 0 && u64::from(expires) < least_s;
        if asking.0.expires.is_some_and(is_brief) {
            return Some(too_brief(least_s));
        }
        if is_list && !asking.supports(EVENT_LIST) {
            // RFC 4662 4.3
            return Some(refuse_with(421, "Require", EVENT_LIST));
        }
        let types: &[&str] = match is_list {
            // RFC 4662 4.2; without Accept the package has its own type alone
            true => &[rlmi::RELATED, rlmi::CONTENT_TYPE, package.content_type()],
            false => &[package.content_type()],
        };
        let says_nothing = is_list && asking.all(HeaderId::Accept).next().is_none();
        if says_nothing || !types.iter().all(|content_type| asking.accepts(content_type)) {
            return Some(refuse_with(406, "Accept", types.join(", ")));
        }
        if let Some(refused) = asking.unknown_extensions() {
            return Some(refused);
        }
        if asking.0.from_tag.is_empty() {
            return Some(refuse_saying(400, "From Has No Tag"));
        }
        let contact = asking.0.contact.as_str();
        let is_sip =
            Uri::parse(contact.as_bytes()).is_ok_and(|uri| matches!(uri.scheme, Scheme::Sip | Scheme::Sips));
        match contact {
            "" if !asking.0.to_tag.is_empty() => None,
            // RFC 3261 8.1.1.8
            "" => Some(refuse_saying(400, "Contact Is Missing")),
            _ if !is_sip => Some(refuse_saying(400, "Contact Is No SIP URI")),
            _ => None,
        }
    }
}

fn accept(subscription: &Subscription) -> HandleResponse {
    let mut headers = vec![
        Header::new("Expires", subscription.granted_s.to_string()),
        Header::new("Allow-Events", allow_events()),
    ];
    if subscription.is_list {
        headers.push(Header::new("Require", EVENT_LIST));
    }
    HandleResponse { status: 200, to_tag: subscription.id.clone(), headers, ..HandleResponse::default() }
}
