//! Members: the nodes that belong together, as administrators see and change them.

use crate::cluster::Vouch;
use crate::domain::{
    Command, JoinNode, LedgerId, Member, NodeJoined, NodeKey, NodeName, NodeUpgraded, Origin, Position, Reads, Scope,
    Sequence, Timestamp,
};
use crate::service::records::audit_everywhere;
use crate::service::{Call, CallerIdentity, Error, Grants, Outcome, Service};

/// A node of this ledger.
#[derive(Clone, Debug)]
pub struct NodeShown {
    pub key: NodeKey,
    /// Whether it is the answering node.
    pub is_own: bool,
    /// Its folded state.
    pub member: Member,
    /// The events that it reads, as far as that is known.
    pub reads: Option<Reads>,
    /// Its origins, each with how far this node holds it.
    pub origins: Vec<(Origin, Sequence)>,
    /// Its last announcements, run by run; nothing for the answering node.
    pub runs: Vec<RunShown>,
}

/// The latest announcement of one run of a node.
#[derive(Clone, Debug)]
pub struct RunShown {
    /// When it was heard here.
    pub heard_at: Timestamp,
    /// How far it had applied every origin.
    pub applied: Vec<(Origin, Sequence)>,
}

/// The things that a new member needs to know.
#[derive(Clone, Debug)]
pub struct JoinedNode {
    pub ledger: LedgerId,
    /// The record of the join.
    pub position: Option<Position>,
    /// The keys that it can trust from the start.
    pub keys: Vec<NodeKey>,
    /// The addresses of the members.
    pub addresses: Vec<String>,
    /// How far origins go whose nodes are gone and can't sign it themselves.
    pub vouched: Vec<Vouch>,
}

impl Service {
    /// The nodes of this ledger; only this node, if there are no others. Needs `audit` in every tenant.
    pub fn nodes(&self, identity: &CallerIdentity) -> Result<Vec<NodeShown>, Error> {
        audit_everywhere(identity)?;
        let members = self.cluster.members();
        let own = self.cluster.node();
        let mut shown: Vec<(NodeKey, Member)> = members.iter().map(|(key, member)| (key, member.clone())).collect();
        if members.get(own).is_none() {
            shown.push((own, Member::default()));
        }
        let one = |(key, member): (NodeKey, Member)| NodeShown {
            key,
            is_own: key == own,
            reads: if key == own { Some(self.cluster.naming().reads.clone()) } else { member.reads().cloned() },
            member,
            origins: members.origins_of(key).map(|origin| (origin, self.cluster.held(origin))).collect(),
            runs: self.cluster.positions(|positions| {
                let run = |heard: &crate::cluster::HeardAnnouncement| RunShown {
                    heard_at: heard.at,
                    applied: heard.announcement().applied.iter().map(|(origin, far)| (*origin, *far)).collect(),
                };
                positions.of(key).filter(|_| key != own).map(run).collect()
            }),
        };
        Ok(shown.into_iter().map(one).collect())
    }

    /// Makes a node a member, and this one with it if it was alone. Needs `admin` in every tenant.
    pub async fn join_node(&self, call: &Call, node: NodeJoined) -> Result<JoinedNode, Error> {
        let join = JoinNode { node, asked: self.cluster.as_joining() };
        let outcome = self.execute(call, Command::JoinNode(Box::new(join))).await.map_err(Error::widened)?;
        self.cluster.members_changed();
        let position = match outcome {
            Outcome::Appended(filed) => filed.last().map(|filed| filed.position),
            Outcome::Already(_) | Outcome::Repeated(..) | Outcome::Nothing => None,
        };
        let members = self.cluster.members();
        let keys = members.iter().filter(|(key, _)| members.trusts(*key)).map(|(key, _)| key).collect();
        let addresses = members.present().filter_map(|(_, joined, _)| joined.address.as_ref());
        let addresses = addresses.map(|address| address.as_str().to_owned()).collect();
        Ok(JoinedNode { ledger: self.fixed.ledger, position, keys, addresses, vouched: self.cluster.vouches() })
    }

    /// Removes a member permanently: the credentials that it issued beyond the records that this node holds of it are
    /// inactive. Needs `admin` in every tenant.
    pub async fn remove_node(&self, call: &Call, name: NodeName) -> Result<Vec<(Origin, Sequence)>, Error> {
        if !call.identity.grants.everywhere().contains(Scope::Admin) {
            return Err(crate::domain::Rejection::Forbidden.into());
        }
        let named = self.cluster.members().named(&name).map(|(key, _)| key);
        self.execute(call, Command::RemoveNode(name, self.cluster.node())).await.map_err(Error::widened)?;
        self.cluster.members_changed();
        let members = self.cluster.members();
        let removal = named.and_then(|key| members.get(key)).and_then(|member| member.removed.as_ref());
        Ok(removal
            .map(|removal| removal.seals.iter().map(|(origin, seal)| (*origin, *seal)).collect())
            .unwrap_or_default())
    }

    /// Records that this node has caught up, or which events it reads, if its members do not know.
    pub async fn upgrade_node(&self) -> Result<(), Error> {
        let upgraded = NodeUpgraded { key: self.cluster.node(), reads: self.cluster.naming().reads.clone() };
        let identity = CallerIdentity {
            caller: crate::domain::Caller::Node,
            grants: std::sync::Arc::new(Grants::everything()),
            registration: None,
        };
        let call = Call { identity, request: None, idempotency: None, consistency: None };
        self.execute(&call, Command::UpgradeNode(upgraded)).await.map_err(Error::widened)?;
        self.cluster.members_changed();
        Ok(())
    }
}
