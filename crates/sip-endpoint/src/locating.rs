//! Where a URI leads: RFC 3263 4 as a machine of questions to DNS. No clock, no socket, no chance: the draw is an argument.
//!
//! | state | what it waits for | what follows |
//! |---|---|---|
//! | (new) | | numeric host: found. Port said: addresses. Transport said: services. Else pointers |
//! | Pointers | NAPTR of the domain | services of the lowest order that names transports of ours; without one, services of each. Flag `a`: the host itself, as the only record of its service |
//! | Services | SRV of each transport | addresses of the hosts in the order of RFC 2782; without one, addresses of the domain |
//! | Addresses | A and AAAA of each host | found, in this order; without any, failed |
//! | Over | | nothing |
//!
//! | an answer | to NAPTR or SRV | to A and AAAA |
//! |---|---|---|
//! | no such name, no such record | the next level | no address |
//! | an error (SERVFAIL, REFUSED, NOTIMP), garbage | the next level: simple servers answer so to every type they do not know | unavailable |
//! | silence, too much in flight | failed, unless another transport has records: nothing more is asked of who is silent | failed, unless another host has addresses |
//!
//! A record that leads nowhere new cannot make a loop: there are three levels and no way back. CNAME is the resolver's affair.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use crate::dns::{DnsError, Naptr, Srv};
use crate::hop::Transport;
use crate::srv_order::{Draw, in_order};
use crate::target::{Destination, Target};

/// Hosts of SRV records whose addresses are asked for. A domain with more has the first ones of its order tried.
pub const MAX_HOSTS: usize = 16;

/// SRV names that NAPTR records may lead to: one for each transport there is.
const MAX_SERVICES: usize = 5;

/// Destinations of one target. With 32 s for a silent one nobody waits for so many.
pub const MAX_DESTINATIONS: usize = 32;

/// One attempt to find out where a target leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Locating {
    target: Target,
    /// The transports that the caller can send by, the one it likes best first.
    supported: Vec<Transport>,
    draw: Draw,
    state: State,
    outputs: VecDeque<Output>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Pointers {
        /// The transport by which the domain itself is tried when there is no SRV record either.
        otherwise: Transport,
    },
    Services {
        services: Vec<Service>,
        /// The transport by which the domain itself is tried when none of them has a record.
        otherwise: Transport,
    },
    Addresses {
        wanted: Vec<Wanted>,
        hosts: Vec<Host>,
    },
    Over,
}

/// An SRV name that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Service {
    transport: Transport,
    answer: Option<Result<Vec<Srv>, DnsError>>,
}

/// A destination whose address is not known yet.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wanted {
    transport: Transport,
    port: u16,
    /// Which of the hosts.
    host: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Host {
    name: String,
    answer: Option<Result<Vec<IpAddr>, DnsError>>,
}

/// What the machine wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Ask for the NAPTR records of a domain.
    AskPointers(String),
    /// Ask for the SRV records of a name; the answer carries the number.
    AskServices(usize, String),
    /// Ask for the addresses of a host; the answer carries the number.
    AskAddresses(usize, String),
    /// The destinations, the first one first, and at least one. The attempt is over.
    Found(Vec<Destination>),
    /// There is none. The attempt is over.
    Failed(DnsError),
}

/// What DNS answered. An answer that nothing waits for is ignored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// To [`Output::AskPointers`].
    Pointers(Result<Vec<Naptr>, DnsError>),
    /// To [`Output::AskServices`] of this number.
    Services(usize, Result<Vec<Srv>, DnsError>),
    /// To [`Output::AskAddresses`] of this number.
    Addresses(usize, Result<Vec<IpAddr>, DnsError>),
}

impl Locating {
    /// Begins. The same draw finds the same order among records of equal standing.
    pub fn new(target: &Target, supported: &[Transport], draw: u64) -> Self {
        let mut machine = Self {
            target: target.clone(),
            supported: supported.to_vec(),
            draw: Draw::new(draw),
            state: State::Over,
            outputs: VecDeque::new(),
        };
        machine.begin();
        machine
    }

    /// What to do next; drained to `None` after every call.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// DNS has answered.
    pub fn handle_reply(&mut self, reply: Reply) {
        self.state = match (std::mem::replace(&mut self.state, State::Over), reply) {
            (State::Pointers { otherwise }, Reply::Pointers(answer)) => self.pointers(answer, otherwise),
            (State::Services { mut services, otherwise }, Reply::Services(at, answer)) => {
                if let Some(service) = services.get_mut(at) {
                    service.answer.get_or_insert(answer);
                }
                self.services(services, otherwise)
            }
            (State::Addresses { wanted, mut hosts }, Reply::Addresses(at, answer)) => {
                if let Some(host) = hosts.get_mut(at) {
                    host.answer.get_or_insert(answer);
                }
                self.addresses(wanted, hosts)
            }
            // What was not asked for.
            (state @ State::Pointers { .. }, Reply::Services(..) | Reply::Addresses(..))
            | (state @ State::Services { .. }, Reply::Pointers(_) | Reply::Addresses(..))
            | (state @ State::Addresses { .. }, Reply::Pointers(_) | Reply::Services(..))
            | (state @ State::Over, Reply::Pointers(_) | Reply::Services(..) | Reply::Addresses(..)) => state,
        };
    }

    fn begin(&mut self) {
        if let Some(destination) = self.target.numeric() {
            self.outputs.push_back(Output::Found(vec![destination]));
            return;
        }
        let usable = self.usable();
        let default = self.target.transport_or_default();
        let otherwise = if usable.contains(&default) { Some(default) } else { usable.first().copied() };
        self.state = match (otherwise, self.target.port, self.target.transport) {
            (None, _, _) => self.failed(DnsError::NoTransport),
            // RFC 3263 4.2: a port says that no SRV is wanted. Of the transports it leaves the default one (4.1).
            (Some(transport), Some(_), _) if transport == default => self.domain_itself(transport),
            (Some(_), Some(_), _) => self.failed(DnsError::NoTransport),
            // RFC 3263 4.1: a transport says that no NAPTR is wanted.
            (Some(transport), None, Some(_)) => {
                self.ask_services(vec![(transport, self.service_name(transport))], transport)
            }
            (Some(transport), None, None) => {
                self.outputs.push_back(Output::AskPointers(self.target.host.clone()));
                State::Pointers { otherwise: transport }
            }
        };
    }

    fn pointers(&mut self, answer: Result<Vec<Naptr>, DnsError>, otherwise: Transport) -> State {
        let records = match answer {
            Ok(records) => records,
            Err(error) if error.leaves_a_choice() => Vec::new(),
            Err(error) => return self.failed(error),
        };
        let mut usable: Vec<(Transport, Naptr)> =
            records.into_iter().filter_map(|record| Some((self.transport_of(&record)?, record))).collect();
        usable.sort_by(|(_, a), (_, b)| {
            (a.order, a.preference, &a.replacement).cmp(&(b.order, b.preference, &b.replacement))
        });
        // RFC 3403 4.1: once an order matches, those above it are not looked at.
        let order = usable.first().map(|(_, record)| record.order);
        usable.retain(|(_, record)| Some(record.order) == order);
        usable.truncate(MAX_SERVICES);
        let Some((transport, _)) = usable.first() else {
            let each = |transport| (transport, self.service_name(transport));
            let names = self.usable().into_iter().map(each).collect();
            return self.ask_services(names, otherwise);
        };
        let otherwise = *transport;
        let mut services = Vec::with_capacity(usable.len());
        for (at, (transport, record)) in usable.into_iter().enumerate() {
            let answer = if is_flag(&record, "a") {
                let port = transport.default_port();
                Some(Ok(vec![Srv { priority: 0, weight: 0, port, host: record.replacement }]))
            } else {
                self.outputs.push_back(Output::AskServices(at, record.replacement));
                None
            };
            services.push(Service { transport, answer });
        }
        self.services(services, otherwise)
    }

    /// The transport of ours that a NAPTR record is about. RFC 3263 4.1 knows replacements that name SRV records, flag `s`; one that names a host
    /// says as much of transport and domain, and what `a` means is the same everywhere (RFC 3404 4.3). A URI (`u`) would be the answer to
    /// another question: whom to call.
    fn transport_of(&self, record: &Naptr) -> Option<Transport> {
        let leads_on = (is_flag(record, "s") || is_flag(record, "a"))
            && record.regexp.is_empty()
            && !record.replacement.is_empty();
        let services = record.services.to_ascii_uppercase();
        let transport = match services.as_str() {
            "SIP+D2U" => Transport::Udp,
            "SIP+D2T" => Transport::Tcp,
            "SIPS+D2T" => Transport::Tls,
            "SIP+D2W" => Transport::Ws,
            "SIPS+D2W" => Transport::Wss,
            _ => return None,
        };
        let fits = self.supported.contains(&transport)
            && (!self.target.secure || matches!(transport, Transport::Tls | Transport::Wss));
        (leads_on && fits).then_some(transport)
    }

    /// The transports to ask SRV for when no NAPTR says which: `_sip` for sip, `_sips` for sips. RFC 3263 4.1. WebSockets are
    /// found by NAPTR alone. RFC 7118 5.5
    fn usable(&self) -> Vec<Transport> {
        let fits = |transport: &Transport| match (transport, self.target.transport) {
            (_, Some(said)) => *transport == said,
            (Transport::Udp | Transport::Tcp, None) => !self.target.secure,
            (Transport::Tls, None) => self.target.secure,
            (Transport::Ws | Transport::Wss, None) => false,
        };
        self.supported.iter().copied().filter(fits).collect()
    }

    fn service_name(&self, transport: Transport) -> String {
        let prefix = match transport {
            Transport::Udp => "_sip._udp",
            Transport::Tcp => "_sip._tcp",
            Transport::Tls => "_sips._tcp",
            Transport::Ws => "_sip._ws",
            Transport::Wss => "_sips._ws",
        };
        format!("{prefix}.{}", self.target.host)
    }

    fn ask_services(&mut self, names: Vec<(Transport, String)>, otherwise: Transport) -> State {
        let ask = |(at, (transport, name))| {
            self.outputs.push_back(Output::AskServices(at, name));
            Service { transport, answer: None }
        };
        State::Services { services: names.into_iter().enumerate().map(ask).collect(), otherwise }
    }

    fn services(&mut self, services: Vec<Service>, otherwise: Transport) -> State {
        if services.iter().any(|service| service.answer.is_none()) {
            return State::Services { services, otherwise };
        }
        let (mut wanted, mut hosts) = (Vec::new(), Vec::new());
        let (mut is_declined, mut silence) = (false, None);
        for Service { transport, answer } in services {
            let records = match answer.unwrap_or(Err(DnsError::NoSuchHost)) {
                Ok(records) => in_order(records, &mut self.draw),
                Err(error) => {
                    silence = silence.or(Some(error).filter(|error| !error.leaves_a_choice()));
                    continue;
                }
            };
            for record in records {
                // RFC 2782: the root as target says that the service is not there.
                if record.host.is_empty() {
                    is_declined = true;
                } else if let Some(host) = host_number(&mut hosts, &record.host) {
                    wanted.push(Wanted { transport, port: record.port, host });
                }
            }
        }
        match (wanted.is_empty(), silence, is_declined) {
            (false, _, _) => self.ask_addresses(wanted, hosts),
            (true, Some(error), _) => self.failed(error),
            (true, None, true) => self.failed(DnsError::NoSuchHost),
            (true, None, false) => self.domain_itself(otherwise),
        }
    }

    /// No SRV record: the addresses of the domain. RFC 3263 4.2
    fn domain_itself(&mut self, transport: Transport) -> State {
        let port = self.target.port.unwrap_or(transport.default_port());
        let host = Host { name: self.target.host.clone(), answer: None };
        self.ask_addresses(vec![Wanted { transport, port, host: 0 }], vec![host])
    }

    fn ask_addresses(&mut self, wanted: Vec<Wanted>, hosts: Vec<Host>) -> State {
        for (at, host) in hosts.iter().enumerate() {
            self.outputs.push_back(Output::AskAddresses(at, host.name.clone()));
        }
        State::Addresses { wanted, hosts }
    }

    fn addresses(&mut self, wanted: Vec<Wanted>, hosts: Vec<Host>) -> State {
        if hosts.iter().any(|host| host.answer.is_none()) {
            return State::Addresses { wanted, hosts };
        }
        let mut found: Vec<Destination> = Vec::new();
        for Wanted { transport, port, host } in wanted {
            let addresses = hosts.get(host).and_then(|host| host.answer.as_ref()?.as_ref().ok());
            for ip in addresses.into_iter().flatten() {
                let destination = Destination { transport, address: SocketAddr::new(*ip, port) };
                if found.len() < MAX_DESTINATIONS && !found.contains(&destination) {
                    found.push(destination);
                }
            }
        }
        if found.is_empty() {
            let errors = hosts.into_iter().filter_map(|host| host.answer?.err());
            // What may pass says more than what is certain.
            let worst = errors.max_by_key(|error| *error != DnsError::NoSuchHost);
            return self.failed(worst.unwrap_or(DnsError::NoSuchHost));
        }
        self.outputs.push_back(Output::Found(found));
        State::Over
    }

    fn failed(&mut self, error: DnsError) -> State {
        self.outputs.push_back(Output::Failed(error));
        State::Over
    }
}

fn is_flag(record: &Naptr, flag: &str) -> bool {
    record.flags.eq_ignore_ascii_case(flag)
}

/// The number of a host, which is added when it is new. `None` when there are too many.
fn host_number(hosts: &mut Vec<Host>, name: &str) -> Option<usize> {
    if let Some(at) = hosts.iter().position(|host| host.name.eq_ignore_ascii_case(name)) {
        return Some(at);
    }
    (hosts.len() < MAX_HOSTS).then(|| {
        hosts.push(Host { name: name.to_owned(), answer: None });
        hosts.len() - 1
    })
}

#[cfg(test)]
mod tests;
