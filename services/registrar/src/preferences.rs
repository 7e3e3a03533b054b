//! What a caller prefers among the contacts of a callee, and how they are to be tried. RFC 3841

use cluster_api::registrar::v1::RouteRequest;

use crate::features::{Feature, features};

/// The preferences of one request.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Preferences {
    accept: Vec<Wish>,
    reject: Vec<Vec<Feature>>,
    /// What the request itself shows, where it says nothing: its method and its event package (7.2.2).
    implicit: Vec<Feature>,
    pub disposition: Disposition,
}

/// How the request is to be handled (9.1). What is not said is up to us.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Disposition {
    pub redirect: bool,
    pub no_fork: bool,
    pub no_recurse: bool,
    pub order: Order,
}

/// In which order contacts are tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Order {
    /// By q: together what is equal, then what is less.
    #[default]
    Ranked,
    Parallel,
    Sequential,
}

/// One value of Accept-Contact.
#[derive(Clone, Debug, PartialEq)]
struct Wish {
    features: Vec<Feature>,
    is_required: bool,
    is_explicit: bool,
}

/// Values of the preference headers that are looked at: each is compared with each contact.
const MOST: usize = 20;

impl Preferences {
    pub(crate) fn of(request: &RouteRequest) -> Self {
        let mut preferences = Self::default();
        // whom a dialog is with is settled
        if request.in_dialog {
            return preferences;
        }
        for header in &request.preferences {
            let values = || values(&header.value).take(MOST);
            match header.name.to_ascii_lowercase().as_str() {
                "accept-contact" | "a" => preferences.accept.extend(values().map(Wish::parse)),
                "reject-contact" | "j" => {
                    preferences.reject.extend(values().map(|value| features(params(value))));
                }
                "request-disposition" | "d" => preferences.disposition.read(&header.value),
                _ => {}
            }
        }
        preferences.accept.truncate(MOST);
        preferences.reject.truncate(MOST);
        preferences.accept.retain(|wish| !wish.features.is_empty());
        preferences.reject.retain(|features| !features.is_empty());
        if preferences.accept.is_empty() && preferences.reject.is_empty() {
            preferences.implicit.push(Feature::token("methods", &request.method));
            let package = request.event.split(';').next().unwrap_or_default().trim();
            if request.method == "SUBSCRIBE" && !package.is_empty() {
                preferences.implicit.push(Feature::token("events", package));
            }
        }
        preferences
    }

    /// How well a contact with these parameters fits, 0 to 1000; `None` when the caller does not want it.
    // RFC 3841 7.2.3, 7.2.4
    pub(crate) fn rank(&self, contact: &[String]) -> Option<u32> {
        let can = features(contact.iter().map(String::as_str));
        // who says nothing of what it can do is not judged by it
        if can.is_empty() {
            return Some(1_000);
        }
        let of = |wanted: &Feature| can.iter().find(|feature| feature.tag() == wanted.tag());
        let is_met = |wanted: &Feature| of(wanted).is_some_and(|feature| feature.meets(wanted));
        if self.reject.iter().any(|rejected| rejected.iter().all(is_met)) {
            return None;
        }
        if self.accept.is_empty() {
            // a preference, and no more: nobody asked for it
            let is_against = |wanted: &Feature| of(wanted).is_some() && !is_met(wanted);
            return Some(if self.implicit.iter().any(is_against) { 0 } else { 1_000 });
        }
        let mut total = 0;
        for wish in &self.accept {
            let fails = |wanted: &Feature| match of(wanted) {
                Some(feature) => !feature.meets(wanted),
                None => wish.is_explicit,
            };
            match wish.features.iter().any(fails) {
                true if wish.is_required => return None,
                true => {}
                false => {
                    let met = wish.features.iter().filter(|wanted| is_met(wanted)).count();
                    total += met * 1_000 / wish.features.len();
                }
            }
        }
        u32::try_from(total / self.accept.len()).ok()
    }
}

impl Disposition {
    fn read(&mut self, value: &str) {
        for directive in value.split(',').map(|directive| directive.trim().to_ascii_lowercase()) {
            match directive.as_str() {
                "redirect" => self.redirect = true,
                "proxy" => self.redirect = false,
                "no-fork" => self.no_fork = true,
                "fork" => self.no_fork = false,
                "no-recurse" => self.no_recurse = true,
                "parallel" => self.order = Order::Parallel,
                "sequential" => self.order = Order::Sequential,
                // to recurse is the registrar's policy, `cancel` the edge's work, and nothing is queued here
                _ => {}
            }
        }
    }
}

impl Wish {
    fn parse(value: &str) -> Self {
        let has = |wanted: &str| params(value).any(|param| param.eq_ignore_ascii_case(wanted));
        Self { features: features(params(value)), is_required: has("require"), is_explicit: has("explicit") }
    }
}

/// The values of a header line: at commas outside quotes.
fn values(line: &str) -> impl Iterator<Item = &str> {
    split(line, ',')
}

/// The parameters of `*;a;b="c"`.
fn params(value: &str) -> impl Iterator<Item = &str> {
    split(value, ';').skip(1)
}

fn split(text: &str, at: char) -> impl Iterator<Item = &str> {
    let mut is_quoted = false;
    text.split(move |letter| {
        is_quoted ^= letter == '"';
        letter == at && !is_quoted
    })
    .map(str::trim)
}

#[cfg(test)]
mod tests {
    use cluster_api::sip::v1::Header;

    use super::*;

    fn asking(headers: &[(&str, &str)], method: &str, event: &str) -> Preferences {
        let header = |&(name, value): &(&str, &str)| Header { name: name.into(), value: value.into() };
        Preferences::of(&RouteRequest {
            method: method.into(),
            event: event.into(),
            preferences: headers.iter().map(header).collect(),
            ..RouteRequest::default()
        })
    }

    fn rank(preferences: &Preferences, params: &[&str]) -> Option<u32> {
        preferences.rank(&params.iter().map(|param| (*param).to_owned()).collect::<Vec<_>>())
    }

    /// CAP-02: what is rejected goes, what is required stays alone, the rest is ranked.
    #[test]
    fn contacts_are_dropped_and_ranked() {
        let invite = |name, value| asking(&[(name, value)], "INVITE", "");
        let wants = invite("Accept-Contact", "*;video;require");
        assert_eq!(rank(&wants, &["video", "audio"]), Some(1_000));
        assert_eq!(rank(&wants, &["video=\"FALSE\""]), None);
        assert_eq!(rank(&wants, &["audio"]), Some(0), "it does not say that it cannot");
        assert_eq!(rank(&wants, &["reg-id=1"]), Some(1_000), "nor does one that says nothing at all");
        let explicit = invite("a", "*;video;require;explicit");
        assert_eq!((rank(&explicit, &["audio"]), rank(&explicit, &["video"])), (None, Some(1_000)));
        let likes = invite("Accept-Contact", "*;video;audio");
        assert_eq!((rank(&likes, &["audio"]), rank(&likes, &["text"])), (Some(500), Some(0)));
        let two = invite("Accept-Contact", "*;video, *;class=\"a,b\"");
        assert_eq!(rank(&two, &["video", "class=\"b\""]), Some(1_000));
        assert_eq!(rank(&two, &["video", "class=\"c\""]), Some(500));
        let rejects = invite("Reject-Contact", "*;automata;class=\"business\"");
        assert_eq!(rank(&rejects, &["automata", "class=\"business\""]), None);
        assert_eq!(rank(&rejects, &["automata"]), Some(1_000), "it may be of another class");
    }

    /// CAP-03: method and event package, where the caller says nothing.
    #[test]
    fn a_request_prefers_who_can_serve_it() {
        let watch = asking(&[], "SUBSCRIBE", "presence;id=1");
        let can = ["methods=\"SUBSCRIBE\"", "events=\"presence,reg\""];
        assert_eq!(rank(&watch, &can), Some(1_000));
        assert_eq!(rank(&watch, &["methods=\"INVITE\""]), Some(0));
        assert_eq!(rank(&watch, &["events=\"dialog\""]), Some(0));
        assert_eq!(rank(&watch, &["audio"]), Some(1_000));
        let said = asking(&[("Accept-Contact", "*;audio")], "SUBSCRIBE", "presence");
        assert_eq!(rank(&said, &["methods=\"INVITE\"", "audio"]), Some(1_000));
    }

    /// CAP-04
    #[test]
    fn directives_are_read() {
        let of = |value| asking(&[("Request-Disposition", value)], "INVITE", "").disposition;
        assert_eq!(
            of("fork, parallel, recurse, cancel, queue, proxy"),
            Disposition { order: Order::Parallel, ..Disposition::default() }
        );
        let all = of("Redirect , no-fork,no-recurse, sequential");
        let expected =
            Disposition { redirect: true, no_fork: true, no_recurse: true, order: Order::Sequential };
        assert_eq!(all, expected);
    }
}
