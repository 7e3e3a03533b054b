//! What phones write: session descriptions and reason phrases.

/// A session description of a phone: `audio 4000`, `video 0`, `audio 4000 sendonly`, ...
pub fn sdp(lines: &[&str]) -> String {
    let mut text =
        String::from("v=0\r\no=phone 1 1 IN IP4 198.51.100.9\r\ns=-\r\nc=IN IP4 198.51.100.9\r\nt=0 0\r\n");
    for line in lines {
        let mut words = line.split(' ');
        let (kind, port) = (words.next().expect("a kind"), words.next().expect("a port"));
        text.push_str(&format!("m={kind} {port} RTP/AVP 0\r\n"));
        if let Some(direction) = words.next() {
            text.push_str(&format!("a={direction}\r\n"));
        }
    }
    text
}

pub(super) fn phrase(status: u32) -> &'static str {
    match status {
        180 => "Ringing",
        183 => "Session Progress",
        200 => "OK",
        480 => "Temporarily Unavailable",
        486 => "Busy Here",
        487 => "Request Terminated",
        488 => "Not Acceptable Here",
        603 => "Decline",
        _ => "",
    }
}
