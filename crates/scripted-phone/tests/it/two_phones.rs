//! Two phones that talk to each other in virtual time, without sockets.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use scripted_phone::{Answer, Happening, Identity, Output, Phone, Script};

struct Pair {
    phones: Vec<(SocketAddr, Phone, Vec<Happening>)>,
    now: Instant,
}

impl Pair {
    fn new(caller: Script, callee: Script) -> Self {
        let addresses: [SocketAddr; 2] =
            ["127.0.0.1:1001".parse().unwrap(), "127.0.0.1:1002".parse().unwrap()];
        let phones = [("a", caller), ("b", callee)].into_iter().enumerate().map(|(i, (user, script))| {
            let identity = Identity::new(&format!("sip:{user}@test"), "").unwrap();
            let phone = Phone::new(identity, script, addresses[i], addresses[1 - i], i as u64);
            (addresses[i], phone, Vec::new())
        });
        Self { phones: phones.collect(), now: Instant::now() }
    }

    /// Delivers everything at once, then moves to the next deadline, until `until` or nothing is left to do.
    fn run(&mut self, until: Duration) {
        let end = self.now + until;
        loop {
            while self.deliver() {}
            match self.phones.iter().filter_map(|(_, p, _)| p.next_deadline()).min() {
                Some(at) if at <= end => self.now = self.now.max(at),
                _ => break,
            }
            let now = self.now;
            self.phones.iter_mut().for_each(|(_, p, _)| p.handle_deadline(now));
        }
        self.now = end;
    }

    fn deliver(&mut self) -> bool {
        let mut any = false;
        for i in 0..self.phones.len() {
            let from = self.phones[i].0;
            while let Some(output) = self.phones[i].1.poll_output() {
                match output {
                    Output::Happened(what) => self.phones[i].2.push(what),
                    Output::Send { to, bytes } => {
                        any = true;
                        let now = self.now;
                        if let Some(target) = self.phones.iter_mut().find(|p| p.0 == to) {
                            target.1.handle_datagram(now, bytes, from);
                        }
                    }
                }
            }
        }
        any
    }

    fn count(&self, phone: usize, what: &Happening) -> usize {
        self.phones[phone].2.iter().filter(|h| *h == what).count()
    }
}

#[test]
fn a_call_is_answered_acknowledged_and_hung_up() {
    let mut pair = Pair::new(Script::default(), Script::default());
    let now = pair.now;
    pair.phones[0].1.dial(now, "sip:b@127.0.0.1:1002");
    pair.run(Duration::from_secs(2));
    assert_eq!((pair.count(0, &Happening::Connected), pair.count(1, &Happening::Connected)), (1, 1));
    let now = pair.now;
    pair.phones[1].1.hangup(now);
    pair.run(Duration::from_secs(2));
    assert!(pair.phones.iter().all(|(_, _, seen)| seen.iter().any(|h| matches!(h, Happening::Ended { .. }))));
}

#[test]
fn either_side_holds_a_call_and_takes_it_back() {
    let mut pair = Pair::new(Script::default(), Script::default());
    let now = pair.now;
    pair.phones[0].1.dial(now, "sip:b@127.0.0.1:1002");
    pair.run(Duration::from_secs(2));
    for holder in [1, 0] {
        for (held, direction) in [(true, "sendonly"), (false, "sendrecv")] {
            let now = pair.now;
            pair.phones[holder].1.hold(now, held);
            pair.run(Duration::from_secs(2));
            assert_eq!(pair.count(holder, &Happening::Agreed { direction }), 1);
            assert_eq!(pair.count(1 - holder, &Happening::Changed { direction }), 1);
        }
    }
    let now = pair.now;
    pair.phones[0].1.hangup(now);
    pair.run(Duration::from_secs(2));
    assert!(pair.phones.iter().all(|(_, _, seen)| seen.iter().any(|h| matches!(h, Happening::Ended { .. }))));
}

#[test]
fn a_caller_who_gives_up_is_answered_487_and_the_callee_stops() {
    let mut pair = Pair::new(Script::default(), Script { answer: Answer::Never, ..Script::default() });
    let now = pair.now;
    pair.phones[0].1.dial(now, "sip:b@127.0.0.1:1002");
    pair.run(Duration::from_secs(2));
    let now = pair.now;
    pair.phones[0].1.hangup(now);
    pair.run(Duration::from_secs(2));
    assert!(pair.phones[0].2.iter().any(|h| matches!(h, Happening::Refused { status: 487, .. })));
    assert!(pair.phones[1].2.iter().any(|h| matches!(h, Happening::Ended { by_peer: true, .. })));
}

#[test]
fn a_call_survives_the_loss_of_every_third_datagram() {
    let lossy = Script { loses_every: 3, ..Script::default() };
    let mut pair = Pair::new(lossy.clone(), lossy);
    let now = pair.now;
    pair.phones[0].1.dial(now, "sip:b@127.0.0.1:1002");
    pair.run(Duration::from_secs(30));
    assert_eq!((pair.count(0, &Happening::Connected), pair.count(1, &Happening::Connected)), (1, 1));
    let now = pair.now;
    pair.phones[0].1.hangup(now);
    pair.run(Duration::from_secs(30));
    assert!(pair.phones.iter().all(|(_, _, seen)| seen.iter().any(|h| matches!(h, Happening::Ended { .. }))));
}
