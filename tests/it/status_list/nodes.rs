//! Two nodes that hear of each other's records late, and in different orders: what one publishes, both make again from their own logs.

use std::collections::BTreeSet;

use authledger::audit::{self, StatusListFlaw};
use authledger::domain::{
    Command, Decision, Event, IssueToken, KeyId, Kind, ParentChoice, StatusListClass, StatusListId, StatusListOpened,
    StatusListPublished, TokenForm,
};
use authledger::projection::Projection;
use authledger::status_list::{ENCODER, StatusArray, StatusWidth};

use crate::support::log::{LogFile, fold_into};
use crate::support::node::{
    ModelNode, issue_session, jti, jwt, new_token, publish, revoke_kinds, revoke_named, revoke_subject, seconds,
    session_id, token_key,
};
use crate::support::random::Random;

const SUBJECTS: [&str; 3] = ["ada", "bob", "cyd"];
const STORIES: u64 = 40;
const STEPS: u64 = 120;

fn list() -> StatusListId {
    "q".repeat(StatusListId::LEN).parse().unwrap()
}

/// The publisher: a node with its memory, and the array that it published last.
struct Publisher {
    node: ModelNode,
    memory: Projection,
    folded: usize,
    array: StatusArray,
    iat: u64,
}

impl Publisher {
    /// The memory, up to the end of the log.
    fn catch_up(&mut self) {
        self.node.log[self.folded..].iter().for_each(|recorded| fold_into(&self.memory, recorded));
        self.folded = self.node.log.len();
    }

    fn publish(&mut self) {
        self.catch_up();
        let capture = self.memory.capture_status_list(&list()).expect("nothing is under way");
        self.iat = self.node.now.as_seconds().max(self.iat + 1);
        for entry in capture.revoked.iter().filter(|entry| self.iat < entry.expires_at_seconds) {
            assert!(self.array.set(entry.index, 1));
        }
        let published = StatusListPublished {
            list: list(),
            iat: self.iat,
            exp: self.iat + 600,
            ttl: 60,
            kid: KeyId::new("k-1").unwrap(),
            algorithm: "ES256".into(),
            upto: capture.upto,
            array: self.array.hash(),
            deflate: ENCODER.into(),
            signature: "AAAA".into(),
        };
        let decision = self.node.ask(Command::PublishStatusList(published.into())).unwrap();
        assert!(matches!(decision, Decision::Append(_)));
        self.memory.settle_status_list(&list(), capture.revoked.len());
    }
}

fn begin() -> (Publisher, ModelNode) {
    let (mut node, mut other) = ModelNode::pair();
    node.ask(publish("k-1")).unwrap();
    let opened = StatusListOpened { list: list(), entries: 1 << 14, class: StatusListClass::Day };
    node.ask(Command::OpenStatusList(opened)).unwrap();
    other.catch_up(&node);
    let array = StatusArray::new(StatusWidth::One, 1 << 14);
    (Publisher { node, memory: Projection::default(), folded: 0, array, iat: 0 }, other)
}

#[test]
fn a_publication_of_one_node_is_made_again_by_every_node_in_any_order_of_arrival() {
    let (mut publications, mut set) = (0, 0);
    for seed in 0..STORIES {
        let mut random = Random::of(seed);
        let (mut one, mut other) = begin();
        let mut tokens = Vec::new();
        let mut sessions = Vec::new();
        for n in 0..STEPS {
            let subject = SUBJECTS[random.below(3) as usize];
            match random.below(100) {
                0..35 => {
                    let of_subject = |(_, whose): &&(u64, &str)| *whose == subject;
                    let session = sessions.iter().rev().find(of_subject).map(|(n, _)| session_id(*n));
                    let other = if random.percent(30) { random.pick(&tokens) } else { None };
                    let other = other.map(|n| ParentChoice::Any(token_key(&jwt(n))));
                    let parent = other.or(session.map(ParentChoice::OwnSession));
                    let token = new_token("default", TokenForm::Jwt(jti(n)), subject, None);
                    let status = Some(std::array::from_fn(|_| random.next() as u32));
                    let ttl = Some(seconds(30 + random.below(300)));
                    let token = IssueToken { status, parent, ttl, ..token };
                    if one.node.ask(Command::IssueToken(token.into())).is_ok() {
                        tokens.push(n);
                    }
                }
                35..45 => {
                    let node = if random.percent(50) { &mut one.node } else { &mut other };
                    node.ask(issue_session(n, subject)).unwrap();
                    sessions.push((n, subject));
                }
                // Either node may revoke, also what it has not heard of.
                45..70 => {
                    let node = if random.percent(40) { &mut one.node } else { &mut other };
                    let command = match random.below(5) {
                        0 => revoke_subject(subject, None),
                        1 => revoke_kinds(subject, &[Kind::Session]),
                        2 => match random.pick(&sessions) {
                            Some((n, _)) => {
                                revoke_named(Kind::Session, authledger::domain::CredentialRef::Id(session_id(n)))
                            }
                            None => continue,
                        },
                        _ => match random.pick(&tokens) {
                            Some(n) => revoke_named(Kind::Token, jwt(n)),
                            None => continue,
                        },
                    };
                    let _ = node.ask(command);
                }
                70..78 => one.node.catch_up(&other),
                78..84 => other.catch_up(&one.node),
                84..92 => {
                    let by = random.below(60);
                    one.node.after_seconds(by);
                    other.after_seconds(by);
                }
                _ => one.publish(),
            }
        }
        one.publish();
        other.catch_up(&one.node);
        one.node.catch_up(&other);
        set += one.array.set_entries();
        let of = |node: &ModelNode| audit::status_lists(&LogFile::of(&node.log).path(), |_, _| {}).unwrap();
        let published = one.node.log.iter().filter(|one| matches!(one.event, Event::StatusListPublished(_))).count();
        for (count, flaws) in [of(&one.node), of(&other)] {
            assert_eq!(count, published as u64);
            // The tests' keys sign nothing. It is looked at only where everything else holds.
            let others: BTreeSet<_> = flaws
                .iter()
                .filter(|(_, flaw)| !matches!(flaw, StatusListFlaw::Signature { .. }))
                .map(|(place, flaw)| (*place, flaw.to_string()))
                .collect();
            assert_eq!(others, BTreeSet::new(), "seed {seed}");
        }
        publications += published;
    }
    println!("{STORIES} stories of two nodes: {publications} publications, {set} entries set");
    assert!(publications > 200 && set > 200);
}
