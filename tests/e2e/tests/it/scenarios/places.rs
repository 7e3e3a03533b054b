//! Where a scenario runs.

use std::cell::RefCell;

use test_support::{Carillon, Redis, Starting, Traffic, read_capture};

/// Carillon in one of its forms, with the accounts alice and bob.
pub struct Places {
    /// Whom operators ask.
    pub registrar: Carillon,
    others: Vec<Carillon>,
    /// What passes at the edges, as the machine sees it.
    traffic: RefCell<Traffic>,
    _redis: Option<Redis>,
}

impl Places {
    /// One process, then separate ones; each with these further variables.
    pub fn all(variables: &[(&str, &str)]) -> [Places; 2] {
        [Self::one(variables), Self::two_edges(variables)]
    }

    fn one(variables: &[(&str, &str)]) -> Places {
        Self::with_accounts(Starting::with(&[], variables).ready(), Vec::new(), None)
    }

    fn two_edges(variables: &[(&str, &str)]) -> Places {
        let redis = Redis::start();
        let url = redis.url();
        let registrar = ["--roles", "registrar", "--redis", &url, "--id", "registrar-1"];
        let registrar = Starting::with(&registrar, variables).ready();
        let at = format!("registrar={}", registrar.api);
        let calls = ["--roles", "call-control", "--redis", &url, "--id", "calls-1", "--peers", &at];
        let calls = Starting::with(&calls, variables).ready();
        let engine = format!("call-control={}", calls.api);
        let edge = |id| {
            let arguments = ["--roles", "edge", "--id", id, "--peers", &at, "--peers", &engine];
            Starting::with(&arguments, variables).ready()
        };
        let others = vec![edge("edge-1"), edge("edge-2"), calls];
        Self::with_accounts(registrar, others, Some(redis))
    }

    fn with_accounts(registrar: Carillon, others: Vec<Carillon>, redis: Option<Redis>) -> Places {
        for name in ["alice", "bob"] {
            registrar.account(&format!("sip:{name}@localhost"), "secret");
        }
        let edges: Vec<&Carillon> = match others.is_empty() {
            true => vec![&registrar],
            false => others.iter().take(2).collect(),
        };
        let traffic = RefCell::new(Traffic::of(&edges, None));
        Places { registrar, others, traffic, _redis: redis }
    }

    /// The edge that one party uses.
    pub fn near(&self) -> &Carillon {
        self.others.first().unwrap_or(&self.registrar)
    }

    /// The edge that the other one uses: another one where there are two.
    pub fn far(&self) -> &Carillon {
        self.others.get(1).unwrap_or(&self.registrar)
    }

    /// Has tshark read all that passed until now, and what the edges say that passed under these Call-IDs: every message is whole, nothing
    /// is wrong with any, and the edges tell of none that did not pass. Says the method or status of each under these Call-IDs.
    pub fn read_by_tshark(&self, call_ids: &[&str]) -> Vec<String> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("ladder.pcap");
        let path = file.to_str().expect("an UTF-8 path");
        let mut messages = Vec::new();
        for call_id in call_ids {
            let done = self.near().command(&["ladder", call_id, "--pcap", path]);
            assert!(done.status.success(), "{call_id}: {}", String::from_utf8_lossy(&done.stderr));
            let capture = read_capture(&file);
            assert!(capture.faults.is_empty(), "{call_id}: {:#?}", capture.faults);
            let told = String::from_utf8_lossy(&done.stdout).into_owned();
            assert_eq!(told, format!("{} messages in {path}\n", capture.messages.len()));
            messages.extend(capture.messages);
        }
        let passed = self.traffic.borrow_mut().read();
        assert!(passed.faults.is_empty(), "{:#?}", passed.faults);
        let often =
            |message: &String, among: &[String]| among.iter().filter(|other| *other == message).count();
        for message in &messages {
            assert!(
                often(message, &messages) <= often(message, &passed.messages),
                "{message}: {messages:?} were told of, {:?} have passed",
                passed.messages
            );
        }
        messages
    }

    /// Whom applications ask.
    pub fn calls(&self) -> &Carillon {
        self.others.last().unwrap_or(&self.registrar)
    }

    /// What an operator sees of a user's phones.
    pub fn bindings(&self, name: &str) -> String {
        let listed = self.registrar.command(&["bindings", &format!("sip:{name}@localhost"), "--json"]);
        String::from_utf8_lossy(&listed.stdout).into_owned()
    }
}
