//! The push service behind a URL: what it is sent, and what its answers come to.

use std::time::Duration;

use registrar::{HttpPush, HttpPushConfig, Push, PushProvider as _};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpListener,
    sync::mpsc,
};

/// A server that answers these in turn, 0 with nothing; what it was sent comes by the channel.
async fn service(answers: &'static [u16]) -> (String, mpsc::UnboundedReceiver<(String, String)>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/wake", listener.local_addr().unwrap());
    let (sent, seen) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut answers = answers.iter();
        let mut kept = Vec::new();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let mut stream = BufReader::new(stream);
            while let Some(request) = request(&mut stream).await {
                sent.send(request).unwrap();
                match answers.next().copied().unwrap_or(500) {
                    0 => break,
                    status => {
                        let answer = format!("HTTP/1.1 {status} x\r\nContent-Length: 2\r\n\r\nok");
                        stream.write_all(answer.as_bytes()).await.unwrap();
                    }
                }
            }
            kept.push(stream);
        }
    });
    (url, seen)
}

/// Head and body of the next request; `None` at the end of the connection.
async fn request(stream: &mut BufReader<tokio::net::TcpStream>) -> Option<(String, String)> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).await.ok()? == 0 {
            return None;
        }
    }
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
    let mut body = vec![0; length.parse().unwrap()];
    stream.read_exact(&mut body).await.ok()?;
    Some((head, String::from_utf8(body).unwrap()))
}

fn client(url: &str, timeout: Duration) -> HttpPush {
    let config = HttpPushConfig { url: url.to_owned(), token: "s3cret".into(), timeout, retries: 2 };
    assert!(!format!("{config:?}").contains("s3cret"));
    HttpPush::new(config).unwrap()
}

fn push() -> Push {
    Push { provider: "acme".into(), prid: "a\"b".into(), param: String::new(), aor: "sip:bob@d".into() }
}

const LONG: Duration = Duration::from_secs(30);

/// PSH-02: one POST of JSON with the token, tried again when the service is in trouble, by the same connection.
#[tokio::test]
async fn a_push_is_a_post_and_is_tried_again() {
    let (url, mut seen) = service(&[503, 204]).await;
    assert_eq!(client(&url, LONG).push(&push()).await, Ok(()));
    for _ in 0..2 {
        let (head, body) = seen.recv().await.unwrap();
        assert!(head.starts_with("POST /wake HTTP/1.1\r\n"), "{head}");
        assert!(head.contains("authorization: Bearer s3cret") && head.contains("application/json"), "{head}");
        let expected = r#"{"pn_provider":"acme","pn_prid":"a\"b","pn_param":"","aor":"sip:bob@d"}"#;
        assert_eq!(body, expected);
    }
    assert!(!format!("{:?}", push()).contains("a\"b"), "who knows it can push the phone");
}

/// PSH-02: a refusal is final; trouble that stays, silence and a closed port are told after the last attempt.
#[tokio::test]
async fn what_a_push_service_does_not_take_is_told() {
    let (url, mut seen) = service(&[410]).await;
    let refused = client(&url, LONG).push(&push()).await.unwrap_err();
    assert_eq!(refused.to_string(), "the push service answered 410");
    assert!(seen.recv().await.is_some() && seen.try_recv().is_err());
    let (url, mut seen) = service(&[500, 429, 502]).await;
    let failed = client(&url, LONG).push(&push()).await.unwrap_err();
    assert_eq!(failed.to_string(), "the push service answered 502");
    assert_eq!(std::iter::from_fn(|| seen.try_recv().ok()).count(), 3);
    let (url, _seen) = service(&[0, 0, 0]).await;
    let silent = client(&url, Duration::from_millis(1)).push(&push()).await.unwrap_err();
    assert!(silent.to_string().contains("in time"), "{silent}");
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let closed = client(&format!("http://{closed}/"), LONG).push(&push()).await.unwrap_err();
    assert!(closed.to_string().contains("not reached"), "{closed}");
}

#[test]
fn only_a_url_of_http_is_one() {
    for bad in ["", "push.example", "ftp://push.example/x", "http:///x", "/x"] {
        assert!(registrar::check_url(bad).is_err(), "{bad}");
    }
    assert!(registrar::check_url("https://push.example:8443/wake?a=b").is_ok());
}
