//! Revocations of JWTs that are presented: they may be of another issuer, and may hold another token.

use super::machine::Outcome;
use super::revocations::{RevocationOutcome, Revoker, Why};
use super::sealing::Belongs;
use super::tokens::Judged;
use super::{Error, Failure, Service};
use crate::domain::{
    AnyRejection, Caller, CredentialRef, Inactive, Kind, Presented, PresentedToken, RecordId, Request, RevokeTokens,
    RevokeTokensRejection, Sequence, TokenId, judge_presented,
};

impl Service {
    /// Revokes a JWT, and the one in it if it is a container. If it is revoked already, returns the revocation; an
    /// expired one has nothing left to revoke. A repetition waits for its consistency as the first call did, and tells
    /// whether it had to.
    pub async fn revoke_jwt(
        &self,
        revoker: Revoker,
        token: &Judged,
        why: Why,
    ) -> Result<RevocationOutcome, Error<RevokeTokensRejection>> {
        let tokens: Vec<PresentedToken> = std::iter::once(&token.presented).chain(&token.inner).cloned().collect();
        let note = match &why.note {
            Some(note) => {
                let belongs = Belongs::Revocation(Kind::Token, &token.presented.credential);
                let whose = Some((&token.presented.tenant, &token.presented.subject));
                Some(self.seal_note(whose, &belongs, note)?)
            }
            None => None,
        };
        let command = RevokeTokens { tokens, reason: why.reason, note };
        let (outcome, consistency) = match revoker {
            Revoker::Application(call) => (self.submit(call.with(command)).await?, call.consistency),
            Revoker::Issuer(call) => (self.submit(call.with(Presented(command))).await?, call.consistency),
            Revoker::Bearer(own, request, consistency) => {
                let caller = bearer(&own.presented.credential)?;
                (self.submit(Request { caller, request, idempotency: None, command }).await?, consistency)
            }
        };
        let waited = match consistency {
            Some(consistency) => self.wait_for(&self.revocations_of(token, &outcome), consistency).await?,
            None => false,
        };
        let mut revocations = RevocationOutcome::from(outcome);
        revocations.waited = waited && !revocations.made;
        Ok(revocations)
    }

    /// The records that a call waits for: the ones that it appended, or else the ones that have revoked the token and
    /// the one in it.
    fn revocations_of(&self, token: &Judged, outcome: &Outcome) -> Vec<RecordId> {
        match outcome {
            Outcome::Appended(filed) => filed.last().map(|filed| filed.recorded.place).into_iter().collect(),
            Outcome::Repeated(first, records) => {
                let last = Sequence(first.sequence.0 + records.saturating_sub(1));
                vec![RecordId { sequence: last, ..*first }]
            }
            Outcome::Already(_) | Outcome::Nothing => {
                let now = self.clock.now();
                let tokens = std::iter::once(&token.presented).chain(&token.inner);
                let revoked = tokens.filter_map(|one| match judge_presented(&*self.projection, one, now) {
                    Err(Inactive::Revoked(place, _)) => Some(place),
                    Ok(()) | Err(Inactive::Expired | Inactive::Unknown) => None,
                });
                revoked.collect()
            }
        }
    }
}

fn bearer(credential: &CredentialRef) -> Result<Caller, Error<RevokeTokensRejection>> {
    let (issuer, jti) = match credential {
        CredentialRef::Jwt { issuer, jti } => (issuer.clone(), jti.clone()),
        CredentialRef::Payload { issuer, digest } => {
            (issuer.clone(), TokenId::new(&digest.to_string()).map_err(Failure::key)?)
        }
        CredentialRef::Id(_) | CredentialRef::Digest(_) => {
            return Err(Error::Refused(AnyRejection::Unauthenticated.into()));
        }
    };
    Ok(Caller::Bearer { issuer, jti })
}
