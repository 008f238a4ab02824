//! What one command decides while another one changes what it depends on.

use std::ops::AddAssign;
use std::sync::Arc;

use authledger::clock::Clock;
use authledger::domain::{Aal, CredentialId, IssueRejection, IssueTokenRejection, Kind, Kinds, Subject, Tenant};
use authledger::service::{
    Call, Error, IssuedToken, NewSession, NewSubjectRevocation, NewToken, Personal, Service, Target, TokenParent,
    TokenRefusal, Why,
};

use super::{call, start};

/// Sessions that are revoked while a token of each is issued.
const RACES: usize = 10_000;
/// Races that are run at a time, so that one commit decides several, in any order.
const AT_ONCE: usize = 32;

/// How the races came out.
#[derive(Debug, Default)]
struct Outcomes {
    /// The token was issued first, and was revoked with its parent.
    issued: usize,
    /// The revocation came first.
    refused: usize,
}

impl AddAssign for Outcomes {
    fn add_assign(&mut self, other: Self) {
        self.issued += other.issued;
        self.refused += other.refused;
    }
}

#[derive(Clone)]
struct Racer {
    service: Arc<Service>,
    call: Arc<Call>,
}

impl Racer {
    async fn session(&self, subject: &Subject) -> CredentialId {
        let new = NewSession {
            tenant: Tenant::default(),
            subject: subject.clone(),
            ttl: None,
            aal: Aal::Aal1,
            methods: Vec::new(),
            personal: Personal::default(),
            parent: None,
        };
        self.service.issue_session(&self.call, new).await.expect("a session").session.id
    }

    async fn issue(
        self,
        subject: Subject,
        parent: TokenParent,
        opaque: bool,
    ) -> Result<IssuedToken, Error<TokenRefusal>> {
        let new = NewToken {
            tenant: Tenant::default(),
            subject,
            ttl: None,
            parent: Some(parent),
            audience: Vec::new(),
            scope: None,
            confirmation: None,
            claims: Default::default(),
            status_list: None,
            opaque,
        };
        self.service.issue_token(&self.call, new).await
    }

    /// Revokes the session, by itself or with all sessions of its subject.
    async fn revoke(self, subject: Subject, session: CredentialId, alone: bool) {
        if alone {
            let revoked = self.service.revoke(&self.call, Target::Id(Kind::Session, session), Why::default()).await;
            assert!(revoked.expect("revoked").made);
            return;
        }
        let new = NewSubjectRevocation {
            tenant: Tenant::default(),
            subject,
            kinds: Kinds::from_iter([Kind::Session]),
            issued_before: None,
            keep: None,
            hold: None,
            why: Why::default(),
        };
        self.service.revoke_subject(&self.call, new).await.expect("revoked");
    }

    /// Races one issue of each kind of token against one revocation of each kind.
    async fn race(&self, number: usize) -> Outcomes {
        let subject = Subject::new(&format!("subject-{number}")).expect("a subject");
        let session = self.session(&subject).await;
        let (opaque, alone) = (number.is_multiple_of(2), number % 4 < 2);
        // Half of the tokens are an agent's, which come from the person's session.
        let (owner, parent) = if number % 16 < 8 {
            (subject.clone(), TokenParent::OwnSession(session))
        } else {
            let agent = Subject::new("agent").expect("a subject");
            (agent, TokenParent::Any(Target::Id(Kind::Session, session)))
        };
        let issue = self.clone().issue(owner, parent, opaque);
        let revocation = self.clone().revoke(subject, session, alone);
        // The runtime has several threads, and starts now this one first, now that one.
        let (issued, ()) = if number % 8 < 4 {
            let (issue, revocation) = (tokio::spawn(issue), tokio::spawn(revocation));
            (issue.await.expect("no panic"), revocation.await.expect("no panic"))
        } else {
            let (revocation, issue) = (tokio::spawn(revocation), tokio::spawn(issue));
            (issue.await.expect("no panic"), revocation.await.expect("no panic"))
        };
        match issued {
            Ok(token) => {
                let found = self.service.introspect(&self.call.identity, token.secret.expose(), None).await;
                assert!(found.expect("an answer").is_none(), "the token of race {number} outlives its parent");
                Outcomes { issued: 1, refused: 0 }
            }
            Err(Error::Refused(TokenRefusal::Rejected(
                IssueTokenRejection::SessionInactive | IssueTokenRejection::Issue(IssueRejection::ParentInactive),
            ))) => Outcomes { issued: 0, refused: 1 },
            Err(error) => panic!("race {number}: {error}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn an_issue_that_races_the_revocation_of_its_parent_leaves_no_active_token() {
    let data = tempfile::tempdir().unwrap();
    let running = start(data.path(), &Clock::system(), 8_192).await;
    let racer = Racer { service: running.service.clone(), call: Arc::new(call(&running.service)) };
    let lanes = (0..AT_ONCE).map(|lane| {
        let racer = racer.clone();
        tokio::spawn(async move {
            let mut outcomes = Outcomes::default();
            for number in (lane..RACES).step_by(AT_ONCE) {
                outcomes += racer.race(number).await;
            }
            outcomes
        })
    });
    let mut outcomes = Outcomes::default();
    for lane in lanes.collect::<Vec<_>>() {
        outcomes += lane.await.unwrap();
    }
    assert_eq!(outcomes.issued + outcomes.refused, RACES);
    assert!(outcomes.issued > 0 && outcomes.refused > 0, "both came first at times: {outcomes:?}");
    drop(racer);
    running.stop().unwrap();
}
