//! How effects and bodies look in a golden ladder.

use call_control::engine::effect::{Body, Header, Roster, RosterEntry, What};
use call_control::engine::transfer::record::Word;

/// `sdp1[audio:4000]`: version of the o= line, then each m= line with port and direction.
pub fn body(body: Option<&Body>) -> String {
    let Some(body) = body else { return String::new() };
    let text = String::from_utf8_lossy(&body.content);
    if body.content_type.starts_with("multipart/mixed") {
        let at = text.find("v=0").expect("a session description in the multipart");
        return format!(" tone+{}", sdp(&text[at..]));
    }
    match body.content_type.as_str() {
        "application/sdp" => format!(" {}", sdp(&text)),
        "audio/tone-info+xml" => " tone".into(),
        other => format!(" <{other}: {}>", text.replace("\r\n", "\\r\\n").trim_end_matches("\\r\\n")),
    }
}

fn sdp(text: &str) -> String {
    let mut version = "";
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines().take_while(|line| !line.starts_with("--")) {
        if let Some(origin) = line.strip_prefix("o=") {
            version = origin.split(' ').nth(2).expect("a version");
        } else if let Some(media) = line.strip_prefix("m=") {
            let mut words = media.split(' ');
            lines.push(format!("{}:{}", words.next().expect("a kind"), words.next().expect("a port")));
        } else if let Some(direction @ ("sendonly" | "recvonly" | "inactive")) = line.strip_prefix("a=") {
            let last = lines.last_mut().expect("a direction stands under its line");
            last.push(' ');
            last.push_str(direction);
        }
    }
    format!("sdp{version}[{}]", lines.join(", "))
}

/// The headers that ladders are about.
fn headers(headers: &[Header]) -> String {
    let shown = [
        "Reason",
        "RAck",
        "Retry-After",
        "Unsupported",
        "Proxy-Authorization",
        "Authorization",
        "Recv-Info",
        "Warning",
        "Min-SE",
        "RSeq",
        "Refer-To",
        "Refer-Sub",
        "Referred-By",
        "Replaces",
        "Join",
        "Event",
        "Subscription-State",
        "Target-Dialog",
    ];
    let mut out = String::new();
    let is_shown = |header: &&Header| {
        // An INVITE and its answers say so each time (IMI-05)
        let says_nothing =
            header.name == "Recv-Info" && headers.iter().any(|other| other.name == "Supported");
        shown.contains(&header.name.as_str()) && !says_nothing
    };
    for header in headers.iter().filter(is_shown) {
        let value = if header.name.ends_with("Authorization") {
            let count = header.value.split("nc=").nth(1).unwrap_or_default();
            format!("nc={}", count.split(',').next().unwrap_or_default())
        } else {
            header.value.clone()
        };
        out.push_str(format!(" {}: {value}", header.name).trim_end());
    }
    out
}

/// What a 415 says of the bodies that would do.
fn accepted(headers: &[Header]) -> String {
    let of_bodies = headers.iter().filter(|header| header.name.starts_with("Accept"));
    of_bodies.map(|header| format!(" {}: {}", header.name, header.value)).collect()
}

/// What is sent, without the direction.
pub fn what(what: &What, method_of: impl Fn(&str) -> String) -> String {
    match what {
        What::Send(send) => {
            let focus = focus(send.in_conference && send.method == "INVITE");
            format!(
                "{} {}{}{}{focus}",
                send.method,
                send.cseq,
                body(send.body.as_ref()),
                headers(&send.headers)
            )
        }
        What::Cancel(cancel) => format!("CANCEL{}", headers(&cancel.headers)),
        What::Respond(response) => {
            let method = method_of(&response.transaction);
            let body = body(response.body.as_ref());
            let accepted = if response.status == 415 { accepted(&response.headers) } else { String::new() };
            let focus = focus(response.in_conference && response.status < 300 && method == "INVITE");
            format!("{} {method}{body}{}{accepted}{focus}", response.status, headers(&response.headers))
        }
        What::Release(_) => "(released)".into(),
        What::Tell(tell) => told(tell.word.as_ref()),
        What::Roster(roster) => roster_of(roster),
    }
}

/// `roster 2: alice in, bob`: version, who is in, and who was asked to come.
fn roster_of(roster: &Roster) -> String {
    let name = |uri: &str| uri.trim_start_matches("sip:").split('@').next().unwrap_or_default().to_owned();
    let entry = |entry: &RosterEntry| {
        format!(
            "{}{}",
            name(&entry.uri),
            if entry.is_held {
                " held"
            } else if entry.is_in {
                " in"
            } else {
                ""
            }
        )
    };
    let entries: Vec<_> = roster.entries.iter().map(entry).collect();
    let entries = if roster.is_over { "over".to_owned() } else { entries.join(", ") };
    format!("{}: {entries}", roster.version)
}

fn focus(is_focus: bool) -> &'static str {
    if is_focus { " isfocus" } else { "" }
}

/// What one call says to another one.
pub fn told(word: Option<&Word>) -> String {
    match word {
        None => "nothing".into(),
        Some(Word::Borrow(_)) => "borrow".into(),
        Some(Word::Lent(lent)) => format!("lent {}", lent.leg.leg_id),
        Some(Word::Refused(refused)) => format!("refused {}", refused.status),
        Some(Word::Kept(_)) => "kept".into(),
        Some(Word::GivenBack(lent)) => format!("given back {}", lent.leg.leg_id),
        Some(Word::Lost(refused)) => format!("lost {}", refused.status),
        Some(Word::HungUp(_)) => "hung up".into(),
        Some(Word::Claim(claim)) if claim.join => "claim to join".into(),
        Some(Word::Claim(_)) => "claim".into(),
        Some(Word::PickUp(_)) => "pick up".into(),
        Some(Word::Place(_)) => "place".into(),
        Some(Word::Seek(_)) => "seek".into(),
        Some(Word::Found(place)) => format!("found {}", place.party_uri),
        Some(Word::GiveWay(_)) => "give way".into(),
        Some(Word::Meet(meet)) => format!("meet {}", meet.uri),
    }
}
