//! Just enough SDP to look like a phone with one audio line.

/// The phone's own description, one o= line for its whole life.
#[derive(Debug, Clone)]
pub struct Description {
    address: String,
    version: u32,
    last: String,
}

impl Description {
    pub fn new(address: String) -> Self {
        Self { address, version: 0, last: String::new() }
    }

    /// An offer of one audio line.
    pub fn offer(&mut self) -> String {
        self.offer_of("sendrecv")
    }

    /// An offer of one audio line in this direction.
    pub fn offer_of(&mut self, direction: &str) -> String {
        self.with_lines(format!(
            "m=audio 40000 RTP/AVP 0 8\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\na={direction}\r\n"
        ))
    }

    /// An answer with a line for each line of the offer: the first audio line is taken, others get port 0.
    pub fn answer(&mut self, offer: &str) -> String {
        let direction = answer_direction(direction(offer));
        let mut lines = String::new();
        let mut taken = false;
        for line in offer.lines().filter_map(|l| l.strip_prefix("m=")) {
            let mut words = line.split_whitespace();
            let (media, port, proto) = (words.next(), words.next(), words.next());
            let first_format = words.next().unwrap_or("0");
            let audio = media == Some("audio") && port != Some("0") && !taken;
            taken |= audio;
            if audio {
                lines += &format!("m=audio 40000 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\na={direction}\r\n");
            } else {
                lines += &format!(
                    "m={} 0 {} {first_format}\r\n",
                    media.unwrap_or("audio"),
                    proto.unwrap_or("RTP/AVP")
                );
            }
        }
        self.with_lines(lines)
    }

    fn with_lines(&mut self, lines: String) -> String {
        if lines != self.last || self.version == 0 {
            self.version += 1;
            self.last = lines;
        }
        format!(
            "v=0\r\no=phone 7 {} IN IP4 {a}\r\ns=-\r\nc=IN IP4 {a}\r\nt=0 0\r\n{}",
            self.version,
            self.last,
            a = self.address
        )
    }
}

/// Whether a description has no m= lines.
pub fn is_empty(sdp: &str) -> bool {
    !sdp.lines().any(|l| l.starts_with("m="))
}

/// The direction attribute in force for the first line (RFC 3264 5.1, 8.4).
pub fn direction(sdp: &str) -> &'static str {
    for line in sdp.lines() {
        match line {
            "a=inactive" => return "inactive",
            "a=sendonly" => return "sendonly",
            "a=recvonly" => return "recvonly",
            "c=IN IP4 0.0.0.0" => return "inactive",
            _ => {}
        }
    }
    "sendrecv"
}

fn answer_direction(offered: &str) -> &'static str {
    match offered {
        "inactive" => "inactive",
        "sendonly" => "recvonly",
        "recvonly" => "sendonly",
        _ => "sendrecv",
    }
}

/// The SDP in a body, be it plain or a part of a multipart, and whether a tone came with it.
pub fn find(content_type: &str, body: &str) -> (Option<String>, bool) {
    let kind = content_type.to_ascii_lowercase();
    if kind.starts_with("application/sdp") {
        return (Some(body.to_string()), false);
    }
    if !kind.starts_with("multipart/") {
        return (None, false);
    }
    let tone = body.contains("audio/tone-info+xml");
    let sdp = body.find("v=0").map(|at| {
        let rest = &body[at..];
        let end = rest.find("\r\n--").map_or(rest.len(), |e| e + 2);
        rest[..end].to_string()
    });
    (sdp, tone)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_a_line_for_each_offered_line() {
        let mut d = Description::new("127.0.0.1".into());
        let a = d.answer("v=0\r\nm=audio 1 RTP/AVP 0\r\na=sendonly\r\nm=video 2 RTP/AVP 96\r\n");
        assert_eq!(a.matches("m=").count(), 2);
        assert!(a.contains("m=video 0 RTP/AVP 96") && a.contains("a=recvonly"));
        assert!(is_empty(&d.answer("v=0\r\n")));
    }

    #[test]
    fn the_version_rises_only_with_the_text() {
        let mut d = Description::new("127.0.0.1".into());
        let first = d.offer();
        assert_eq!(first, d.offer());
        assert!(d.answer("m=audio 1 RTP/AVP 0\r\n").contains("o=phone 7 2 "));
    }
}
