use authledger::domain::{
    Cohort, Command, CredentialKey, CredentialRef, Decision, EraseSubject, Event, Grants, Inactive, IssueSession,
    IssueTicket, IssueToken, KeyId, Kind, Kinds, MAX_ANCESTORS, Parent, ParentChoice, Recorded, Rejection,
    RevokeCohort, RevokeSubject, SessionIssued, Tenant, TokenForm, WithdrawKey, ancestors,
};

use crate::support::node::{
    ModelNode, application_id, at, digest, issue_session, jti, jwt, new_session, new_token, publish, register,
    revoke_named, revoke_subject, seconds, session_id, session_key, subject, tenant, ticket_key, token_digest,
    token_key,
};

/// A ticket, a session, an opaque token and a JWT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Ticket,
    Session,
    Opaque,
    Jwt,
}

const FORMS: [Form; 4] = [Form::Ticket, Form::Session, Form::Opaque, Form::Jwt];

impl Form {
    fn named(self, n: u64) -> CredentialRef {
        match self {
            Self::Ticket => CredentialRef::Digest(digest(n)),
            Self::Session => CredentialRef::Id(session_id(n)),
            Self::Opaque => CredentialRef::Digest(token_digest(n)),
            Self::Jwt => jwt(n),
        }
    }

    fn kind(self) -> Kind {
        match self {
            Self::Ticket => Kind::Ticket,
            Self::Session => Kind::Session,
            Self::Opaque | Self::Jwt => Kind::Token,
        }
    }

    fn key(self, n: u64) -> CredentialKey {
        match self {
            Self::Ticket => ticket_key(digest(n).id()),
            Self::Session => session_key(n),
            Self::Opaque | Self::Jwt => token_key(&self.named(n)),
        }
    }

    fn issue(self, n: u64, name: &str, parent: Option<CredentialKey>) -> Command {
        self.issue_in("default", n, name, parent)
    }

    fn issue_in(self, tenant_name: &str, n: u64, name: &str, parent: Option<CredentialKey>) -> Command {
        let token = |form| {
            let new = new_token(tenant_name, form, name, None);
            Command::IssueToken(Box::new(IssueToken { parent: parent.map(ParentChoice::Any), ..new }))
        };
        match self {
            Self::Ticket => {
                let (tenant, subject) = (tenant(tenant_name), subject(name));
                Command::IssueTicket(IssueTicket { tenant, subject, digest: digest(n), ttl: None, parent })
            }
            Self::Session => {
                Command::IssueSession(Box::new(IssueSession { parent, ..new_session(tenant_name, n, name, None) }))
            }
            Self::Opaque => token(TokenForm::Opaque(token_digest(n))),
            Self::Jwt => token(TokenForm::Jwt(jti(n))),
        }
    }
}

fn issuer() -> ModelNode {
    let mut node = ModelNode::lone();
    node.ask(register(1, Grants::everything())).unwrap();
    node.ask(publish("key-1")).unwrap();
    node
}

fn by_application(node: &mut ModelNode, command: Command) {
    node.ask_as(authledger::domain::Caller::Application(application_id(1)), command).unwrap();
}

fn cohort(cohort: Cohort) -> Command {
    let revoke = RevokeCohort { cohort, kinds: Kinds::ALL, keep: None, hold: None, reason: None, note: None };
    Command::RevokeCohort(Box::new(revoke))
}

/// Every way in which a credential of alice's with that form and number, which the application issued, is revoked.
fn ways(form: Form, n: u64) -> Vec<Command> {
    let Command::RevokeSubject(all) = revoke_subject("alice", None) else { unreachable!() };
    let older = RevokeSubject { issued_before: Some(at(60_000)), ..all.clone() };
    let of_kind = RevokeSubject { kinds: Kinds::from_iter([form.kind()]), ..all.clone() };
    let erase =
        EraseSubject { tenant: Tenant::default(), subject: subject("alice"), slots: Default::default(), reason: None };
    let mut ways = vec![
        revoke_named(form.kind(), form.named(n)),
        Command::RevokeSubject(all),
        Command::RevokeSubject(older),
        Command::RevokeSubject(of_kind),
        Command::EraseSubject(erase),
        cohort(Cohort::Application(application_id(1))),
        cohort(Cohort::Tenant(Tenant::default())),
    ];
    if form == Form::Jwt {
        let id = KeyId::new("key-1").unwrap();
        ways.push(cohort(Cohort::Key(id.clone())));
        ways.push(cohort(Cohort::Issuer(crate::support::node::issuer())));
        ways.push(Command::WithdrawKey(WithdrawKey { id, reason: None }));
    }
    ways
}

#[test]
fn a_child_of_any_kind_and_subject_is_revoked_by_whatever_revokes_its_parent() {
    for parent in FORMS {
        for child in FORMS {
            for way in 0..ways(parent, 1).len() {
                let mut node = issuer();
                by_application(&mut node, parent.issue(1, "alice", None));
                // The child is root's and bob's: it belongs to nothing else that is revoked, unless that is the tenant or the key.
                node.ask(child.issue(2, "bob", Some(parent.key(1)))).unwrap();
                assert_eq!(node.judge_key(child.key(2)), Ok(()));
                node.after_seconds(61);
                let revoke = ways(parent, 1).swap_remove(way);
                node.ask(revoke.clone()).unwrap();
                let by = Err(Inactive::Revoked(node.last_place(), node.now));
                assert_eq!(
                    [parent.key(1), child.key(2)].map(|key| node.judge_key(key)),
                    [by, by],
                    "{child:?} of {parent:?}, {revoke:?}"
                );
            }
        }
    }
}

#[test]
fn a_lineage_is_revoked_below_what_is_revoked_and_nowhere_else() {
    let last = MAX_ANCESTORS as u64;
    for revoked in 0..=last {
        let mut node = issuer();
        let form = |n: u64| if n == 0 { Form::Session } else { FORMS[n as usize % 4] };
        node.ask(form(0).issue(0, "alice", None)).unwrap();
        for n in 1..=last {
            node.ask(form(n).issue(n, &format!("person-{n}"), Some(form(n - 1).key(n - 1)))).unwrap();
        }
        // A sibling of each.
        for n in 1..=last {
            node.ask(Form::Opaque.issue(100 + n, "sibling", Some(form(n - 1).key(n - 1)))).unwrap();
        }
        assert_eq!(
            node.ask(Form::Opaque.issue(200, "one too many", Some(form(last).key(last)))),
            Err(Rejection::LineageTooDeep)
        );
        node.ask(revoke_named(form(revoked).kind(), form(revoked).named(revoked))).unwrap();
        for n in 0..=last {
            assert_eq!(node.judge_key(form(n).key(n)).is_ok(), n < revoked, "{n} with {revoked} revoked");
            if n > 0 {
                let sibling = node.judge_key(Form::Opaque.key(100 + n));
                assert_eq!(sibling.is_ok(), n - 1 < revoked, "the sibling of {n} with {revoked} revoked");
            }
        }
    }
}

#[test]
fn a_child_expires_no_later_than_its_parent() {
    for child in FORMS {
        let mut node = issuer();
        let parent = new_session("default", 1, "alice", Some(90));
        node.ask(Command::IssueSession(parent.into())).unwrap();
        node.ask(child.issue(2, "bob", Some(session_key(1)))).unwrap();
        node.after_seconds(80);
        // Neither a use nor an extension prolongs it.
        match child {
            Form::Ticket => drop(node.ask(crate::support::node::renew(2, node.now))),
            Form::Session => drop(node.ask(Command::ExtendSession(session_id(2), Some(seconds(1_000))))),
            Form::Opaque | Form::Jwt => {}
        }
        assert_eq!(node.judge_key(child.key(2)), Ok(()), "{child:?}");
        node.after_seconds(10);
        assert_eq!(node.judge_key(child.key(2)), Err(Inactive::Expired), "{child:?}");
    }
}

#[test]
fn a_parent_is_an_active_credential_of_the_same_tenant() {
    let mut node = issuer();
    let command = new_session("default", 1, "alice", Some(10));
    node.ask(Command::IssueSession(command.into())).unwrap();
    node.ask(issue_session(2, "alice")).unwrap();
    node.ask(revoke_named(Kind::Session, CredentialRef::Id(session_id(2)))).unwrap();
    node.ask(Form::Session.issue_in("acme", 3, "alice", None)).unwrap();
    node.after_seconds(11);
    for child in FORMS {
        for (parent, why) in [(1, "expired"), (2, "revoked"), (3, "of another tenant"), (4, "unknown")] {
            let asked = child.issue(9, "alice", Some(session_key(parent)));
            assert_eq!(node.ask(asked), Err(Rejection::ParentInactive), "{child:?}: {why}");
        }
        // Of itself.
        assert_eq!(node.ask(child.issue(9, "alice", Some(child.key(9)))), Err(Rejection::ParentInactive));
    }
}

#[test]
fn a_lineage_that_begins_after_a_revocation_is_active_in_the_same_millisecond() {
    let mut node = issuer();
    node.ask(issue_session(1, "alice")).unwrap();
    node.ask(Form::Jwt.issue(1, "bob", Some(session_key(1)))).unwrap();
    node.ask(revoke_subject("alice", None)).unwrap();
    node.ask(cohort(Cohort::Tenant(Tenant::default()))).unwrap();
    node.ask(issue_session(2, "alice")).unwrap();
    node.ask(Form::Jwt.issue(2, "bob", Some(session_key(2)))).unwrap();
    node.ask(Form::Ticket.issue(2, "carol", Some(Form::Jwt.key(2)))).unwrap();
    assert!(node.judge_key(Form::Jwt.key(1)).is_err());
    assert_eq!([Form::Jwt, Form::Ticket].map(|form| node.judge_key(form.key(2))), [Ok(()), Ok(())]);
}

/// A record that no node of this release would make.
fn forged(node: &mut ModelNode, sequence: u64, tenant_name: &str, n: u64, parent: CredentialKey) {
    let issued = SessionIssued {
        id: session_id(n),
        digest: None,
        subject: subject("alice"),
        issued_at: None,
        authenticated_at: None,
        aal: Default::default(),
        methods: Vec::new(),
        expires_at: at(3_600_000),
        not_after: at(3_600_000),
        generation: Default::default(),
        parent: Some(Parent { key: parent, same_subject: true }),
        sealed: None,
    };
    let other = ModelNode::named('b');
    let recorded = Recorded {
        place: authledger::domain::RecordId { origin: other.origin, sequence: authledger::domain::Sequence(sequence) },
        recorded_at: at(0),
        tenant: Some(tenant(tenant_name)),
        actor: None,
        request: None,
        idempotency: None,
        event: Event::SessionIssued(issued.into()),
    };
    node.receive(&recorded);
}

#[test]
fn a_lineage_that_could_not_have_been_issued_makes_nothing_active() {
    let (mut node, _) = ModelNode::pair();
    node.ask(publish("key-1")).unwrap();
    // A circle, and one that a credential leads into.
    forged(&mut node, 2, "default", 1, session_key(2));
    forged(&mut node, 3, "default", 2, session_key(1));
    forged(&mut node, 4, "default", 3, session_key(3));
    forged(&mut node, 5, "default", 4, session_key(1));
    // One of another tenant.
    node.ask(Form::Session.issue_in("acme", 5, "alice", None)).unwrap();
    forged(&mut node, 6, "default", 6, session_key(5));
    // More generations than there may be.
    node.ask(issue_session(10, "alice")).unwrap();
    for n in 0..=MAX_ANCESTORS as u64 {
        forged(&mut node, 7 + n, "default", 11 + n, session_key(10 + n));
    }
    for n in [1, 2, 3, 4, 6, 11 + MAX_ANCESTORS as u64] {
        assert_eq!(node.judge_key(session_key(n)), Err(Inactive::Unknown), "{n}");
        let child = node.ask(Form::Opaque.issue(n, "alice", Some(session_key(n))));
        assert_eq!(child, Err(Rejection::ParentInactive), "{n}");
        let parent = node.state.credentials[&session_key(n)].issue.as_ref().unwrap().parent();
        assert!(ancestors(&node.state, parent).len() <= MAX_ANCESTORS);
    }
    assert_eq!(node.judge_key(session_key(10 + MAX_ANCESTORS as u64)), Ok(()), "the last generation");
}

#[test]
fn a_child_that_arrives_before_its_parent_and_the_revocation_is_judged_when_all_are_there() {
    let (mut one, mut other) = ModelNode::pair();
    let mut third = ModelNode::named('c');
    one.ask(issue_session(1, "alice")).unwrap();
    other.catch_up(&one);
    other.ask(Form::Opaque.issue(2, "bob", Some(session_key(1)))).unwrap();
    one.ask(revoke_subject("alice", None)).unwrap();
    let records = |node: &ModelNode, from: usize| node.own().skip(from).cloned().collect::<Vec<_>>();
    let (of_one, of_other) = (records(&one, 1), records(&other, 1));
    for recorded in [&one.log[0], &other.log[0]] {
        third.receive(&recorded.clone());
    }
    of_other.iter().for_each(|recorded| third.receive(recorded));
    assert_eq!(third.judge_key(Form::Opaque.key(2)), Ok(()), "its parent is not known yet");
    of_one.iter().for_each(|recorded| third.receive(recorded));
    assert_eq!(third.judge_key(Form::Opaque.key(2)), Err(Inactive::Revoked(one.last_place(), at(0))));
}

#[test]
fn a_node_that_has_not_heard_all_that_the_parents_node_had_issues_nothing_from_it() {
    let (mut one, mut other) = ModelNode::pair();
    let mut third = ModelNode::named('c');
    for node in [&mut one, &mut other] {
        node.receive(&third.log[0].clone());
    }
    third.ask(revoke_subject("alice", None)).unwrap();
    one.catch_up(&third);
    one.ask(issue_session(1, "alice")).unwrap();
    other.catch_up(&one);
    let child = Form::Opaque.issue(2, "bob", Some(session_key(1)));
    assert_eq!(other.ask(child.clone()), Err(Rejection::ParentInactive));
    other.catch_up(&third);
    assert!(matches!(other.ask(child), Ok(Decision::Append(_))));
    assert_eq!(other.judge_key(Form::Opaque.key(2)), Ok(()));
}
