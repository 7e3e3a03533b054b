//! What an edge knows of the others: who is alive, where, and the key of the flow tokens.

use std::net::SocketAddr;
use std::time::Duration;

use cluster_api::cluster::v1::Member;
use cluster_rpc::EDGE_ROLE;
use cluster_rpc::membership::{Listed, View};
use hashbrown::{HashMap, HashSet};

use crate::dialog_mark::{Dialog, Mark};
use crate::flow_token::{BadToken, FlowKey, FlowToken};
use crate::gateway_mark::{Known, Numbers, Sides};
use crate::gateways::Gateways;
use crate::trunk_mark::TrunkSide;

/// The cluster as this edge saw it last.
#[derive(Debug)]
pub(crate) struct Cluster {
    edges: HashMap<String, Sibling>,
    /// Lives of edges that were in a list once, and then in none that proves that they are over.
    doubted: HashMap<String, Sibling>,
    /// Lives that no list had when they were asked for.
    absent: HashSet<(String, u64)>,
    /// The last list proves that who is not in it is gone.
    is_proof: bool,
    /// Where members serve each other.
    inside: HashSet<SocketAddr>,
    /// Where the peers of trunks are.
    pub(crate) gateways: Gateways,
    /// The key to seal with.
    key: FlowKey,
    /// Keys that tokens may still be sealed with.
    older: Vec<FlowKey>,
}

/// Another life of an edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sibling {
    epoch: u64,
    /// Its internal SIP listener.
    pub(crate) sip: Option<SocketAddr>,
    /// The one for what may not come in clear.
    pub(crate) sip_tls: Option<SocketAddr>,
}

impl Sibling {
    /// Where others send what is for it.
    pub(crate) fn listeners(&self) -> impl Iterator<Item = SocketAddr> + use<> {
        [self.sip, self.sip_tls].into_iter().flatten()
    }
}

/// The key that only this process has is replaced by the cluster's with the first lease; tokens made before stay valid.
const OLDER_KEPT: usize = 2;

/// Lives that are remembered to be in no list, in some 100 kB; beyond it all are forgotten, and asked for once more.
const MOST_ABSENT: usize = 1_000;

/// How long lists must have come without a gap before absence from one proves anything: the time of a lease. After a gap
/// members may be missing that merely could not renew either.
const STEADY: Duration = Duration::from_secs(2);

impl Cluster {
    /// An edge that knows nobody yet and has made up a key of its own.
    pub(crate) fn alone(key: FlowKey) -> Self {
        Self {
            edges: HashMap::new(),
            doubted: HashMap::new(),
            absent: HashSet::new(),
            is_proof: false,
            inside: HashSet::new(),
            gateways: Gateways::default(),
            key,
            older: Vec::new(),
        }
    }

    /// Takes over who is alive; lives of edges that are over for certain. Somebody else may [serve](Self::serves_at) where they did.
    pub(crate) fn learn(&mut self, view: &View) -> Vec<Sibling> {
        let sibling = |member: &Member| Sibling {
            epoch: member.epoch,
            sip: member.sip.parse().ok(),
            sip_tls: member.sip_tls.parse().ok(),
        };
        let edges = view.of_role(EDGE_ROLE).map(|member| (member.id.clone(), sibling(member))).collect();
        self.doubted.extend(std::mem::replace(&mut self.edges, edges));
        let gone = self.gone(view);
        // One that is named and not numbered is not known by address.
        let grpc = view.members.iter().filter_map(|member| member.grpc.split_once("://")?.1.parse().ok());
        self.inside = self.edges.values().flat_map(Sibling::listeners).chain(grpc).collect();
        self.gateways = Gateways::of(view.gateways.iter().map(|place| &**place));
        if let Ok(key) = <[u8; 32]>::try_from(view.flow_key.as_ref())
            && self.key != FlowKey::new(key)
        {
            self.older.insert(0, std::mem::replace(&mut self.key, FlowKey::new(key)));
            self.older.truncate(OLDER_KEPT);
        }
        gone
    }

    /// The edges of which the list proves that they are over.
    fn gone(&mut self, view: &View) -> Vec<Sibling> {
        let steady = |listed: Listed| listed.asked.saturating_duration_since(listed.steady_since) >= STEADY;
        self.is_proof = view.current && view.listed.is_some_and(steady);
        let (edges, is_proof) = (&self.edges, self.is_proof);
        self.doubted.retain(|id, life| edges.get(id).is_none_or(|now| now.epoch != life.epoch));
        self.doubted.extract_if(|id, _| is_proof || edges.contains_key(id)).map(|(_, life)| life).collect()
    }

    /// The living edge of this id, if it is still in this life.
    pub(crate) fn sibling(&self, id: &str, epoch: u64) -> Option<Sibling> {
        self.edges.get(id).copied().filter(|sibling| sibling.epoch == epoch)
    }

    /// Does the last list say of this life that it is over? One that began after it was written is not in it either.
    pub(crate) fn is_over(&self, id: &str, epoch: u64) -> bool {
        match self.edges.get(id) {
            Some(now) => now.epoch > epoch,
            None => self.is_proof && !self.doubted.contains_key(id),
        }
    }

    /// May this life, which is not in the last list, have begun after that was made? Not when the edge is known to live a later one, when
    /// it was known itself, or when a list was asked for since and does not have it.
    pub(crate) fn may_be_new(&self, id: &str, epoch: u64) -> bool {
        let known = self.edges.get(id).or_else(|| self.doubted.get(id)).map(|life| life.epoch);
        known.is_none_or(|known| known < epoch) && !self.absent.contains(&(id.to_owned(), epoch))
    }

    /// A list was asked for, and this life is still not in it.
    pub(crate) fn note_absent(&mut self, id: String, epoch: u64) {
        if self.absent.len() >= MOST_ABSENT {
            self.absent.clear();
        }
        self.absent.insert((id, epoch));
    }

    /// The living edges but this one, each with its life.
    pub(crate) fn others<'a>(&'a self, myself: &'a str) -> impl Iterator<Item = (&'a str, u64)> {
        let others = self.edges.iter().filter(move |(id, _)| **id != *myself);
        others.map(|(id, sibling)| (id.as_str(), sibling.epoch))
    }

    /// Does a member serve the others there?
    pub(crate) fn serves_at(&self, address: &SocketAddr) -> bool {
        self.inside.contains(address)
    }

    /// Writes a flow token.
    pub(crate) fn seal(&self, token: &FlowToken) -> String {
        self.key.seal(token)
    }

    /// The mark of a dialog for Record-Route.
    pub(crate) fn mark(&self, dialog: &Dialog<'_>, hour: u32) -> String {
        self.key.mark(dialog, hour)
    }

    /// What the mark says, when an edge of this cluster made it for this dialog.
    pub(crate) fn read_mark(&self, dialog: &Dialog<'_>, mark: &str) -> Option<Mark<'_>> {
        std::iter::once(&self.key).chain(&self.older).find_map(|key| key.read_mark(dialog, mark))
    }

    /// The mark of a trunk for Record-Route.
    pub(crate) fn trunk_mark(&self, dialog: &Dialog<'_>, side: &TrunkSide) -> String {
        self.key.trunk_mark(dialog, side)
    }

    /// The trunk of a mark that an edge of this cluster made for this dialog.
    pub(crate) fn read_trunk_mark(&self, dialog: &Dialog<'_>, mark: &str) -> Option<TrunkSide> {
        std::iter::once(&self.key).chain(&self.older).find_map(|key| key.read_trunk_mark(dialog, mark))
    }

    /// The mark of a dialog with a gateway for Record-Route; `None` where no side is one.
    pub(crate) fn gateway_mark(&self, dialog: &Dialog<'_>, numbers: Numbers<'_>) -> Option<String> {
        self.key.gateway_mark(dialog, numbers)
    }

    /// What the mark says of the sides, when an edge of this cluster made it for this dialog.
    pub(crate) fn read_gateway_mark(&self, dialog: &Dialog<'_>, mark: &str) -> Option<Sides> {
        std::iter::once(&self.key).chain(&self.older).find_map(|key| key.read_gateway_mark(dialog, mark))
    }

    /// Is this the number that the mark of an edge of this cluster says of a side?
    pub(crate) fn is_number(&self, dialog: &Dialog<'_>, known: Known, number: &str) -> bool {
        std::iter::once(&self.key).chain(&self.older).any(|key| key.is_number(dialog, known, number))
    }

    /// Reads a flow token.
    ///
    /// # Errors
    /// When it was sealed by nobody of this cluster.
    pub(crate) fn open(&self, text: &str) -> Result<FlowToken, BadToken> {
        let mut keys = std::iter::once(&self.key).chain(&self.older);
        keys.find_map(|key| key.open(text).ok()).ok_or(BadToken)
    }
}

#[cfg(test)]
mod tests {
    use sip_endpoint::{FlowId, Hop};

    use super::*;

    fn view(key: u8) -> View {
        let member = |id: &str, role: &str, epoch| Member {
            id: id.into(),
            role: role.into(),
            epoch,
            sip: "192.0.2.1:5060".into(),
            sip_tls: "192.0.2.1:5062".into(),
            grpc: "http://192.0.2.1:50051".into(),
            ..Member::default()
        };
        let members = vec![member("e1", "edge", 5), member("r1", "registrar", 5)];
        View::fixed(members, vec![key; 32])
    }

    /// OBD-07
    #[test]
    fn only_edges_in_the_named_life_are_siblings() {
        let mut cluster = Cluster::alone(FlowKey::new([0; 32]));
        cluster.learn(&view(1));
        assert_eq!(cluster.sibling("e1", 5).unwrap().sip, "192.0.2.1:5060".parse().ok());
        assert_eq!(cluster.sibling("e1", 4), None);
        assert_eq!(cluster.sibling("r1", 5), None);
        let serves_at = |address: &str| cluster.serves_at(&address.parse().unwrap());
        assert!(serves_at("192.0.2.1:5060") && serves_at("192.0.2.1:50051") && !serves_at("192.0.2.1:5070"));
    }

    /// F1, F8: after a gap in the lists nobody is gone who merely is absent; a later life ends the one before in any case.
    #[test]
    fn an_edge_is_gone_when_a_steady_list_or_its_next_life_says_so() {
        let asked = tokio::time::Instant::now() + Duration::from_secs(60);
        let gone = |cluster: &mut Cluster, view: &View| {
            let gone: Vec<_> = cluster.learn(view).iter().flat_map(Sibling::listeners).collect();
            gone.into_iter().filter(|at| !cluster.serves_at(at)).collect::<Vec<_>>()
        };
        let listed = |seconds| Some(Listed { asked, steady_since: asked - Duration::from_secs(seconds) });
        let nobody = View::fixed(Vec::new(), vec![1; 32]);
        let mut cluster = Cluster::alone(FlowKey::new([0; 32]));
        let at: Vec<SocketAddr> = ["192.0.2.1:5060", "192.0.2.1:5062"].map(|at| at.parse().unwrap()).to_vec();
        assert_eq!(gone(&mut cluster, &view(1)), []);
        assert_eq!(gone(&mut cluster, &View { listed: listed(1), ..nobody.clone() }), []);
        assert!(!cluster.is_over("e1", 5), "nobody knows");
        assert_eq!(gone(&mut cluster, &View { listed: listed(2), ..nobody.clone() }), at);
        assert_eq!(gone(&mut cluster, &View { listed: listed(3), ..nobody.clone() }), [], "once");
        assert!(cluster.is_over("e1", 5));

        gone(&mut cluster, &view(1));
        gone(&mut cluster, &nobody);
        gone(&mut cluster, &view(1));
        assert_eq!(gone(&mut cluster, &View { listed: listed(2), ..view(1) }), [], "it is back");
        assert_eq!([4, 5, 6].map(|epoch| cluster.is_over("e1", epoch)), [true, false, false]);
        let next = |sip: &str| {
            let members = view(1).members.iter().cloned().collect::<Vec<_>>();
            members
                .into_iter()
                .map(|member| Member { epoch: 6, sip: sip.into(), ..member })
                .collect::<Vec<_>>()
        };
        assert_eq!(
            gone(&mut cluster, &View::fixed(next("192.0.2.1:5060"), vec![1; 32])),
            [],
            "at the same place"
        );
        gone(&mut cluster, &view(1));
        assert_eq!(gone(&mut cluster, &View::fixed(next("192.0.2.7:5060"), vec![1; 32])), at[..1]);
    }

    /// F5, OBD-05
    #[test]
    fn a_life_that_no_list_had_may_have_just_begun() {
        let mut cluster = Cluster::alone(FlowKey::new([0; 32]));
        cluster.learn(&view(1));
        assert_eq!([4, 5, 6].map(|epoch| cluster.may_be_new("e1", epoch)), [false, false, true]);
        assert!(cluster.may_be_new("e2", 1));
        cluster.note_absent("e2".into(), 1);
        assert_eq!([1, 2].map(|epoch| cluster.may_be_new("e2", epoch)), [false, true]);
        cluster.learn(&View::fixed(Vec::new(), vec![1; 32]));
        assert!(!cluster.may_be_new("e1", 5), "it was known");
        for epoch in 0..2 * MOST_ABSENT as u64 {
            cluster.note_absent("e3".into(), epoch);
        }
        assert!(cluster.absent.len() <= MOST_ABSENT);
    }

    /// OBD-01
    #[test]
    fn tokens_outlive_a_change_of_the_key_and_others_read_the_new_ones() {
        let token = FlowToken {
            edge_id: "e1".into(),
            epoch: 5,
            hop: Hop::Flow(FlowId(1)),
            phone: None,
            is_named: false,
        };
        let (mut one, mut other) =
            (Cluster::alone(FlowKey::new([0; 32])), Cluster::alone(FlowKey::new([9; 32])));
        let early = one.seal(&token);
        one.learn(&view(1));
        other.learn(&view(1));
        assert_eq!(one.open(&early), Ok(token.clone()));
        assert_eq!(other.open(&early), Err(BadToken));
        assert_eq!(other.open(&one.seal(&token)), Ok(token));
    }
}
