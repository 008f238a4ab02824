//! The edge as its other surfaces see it: introspection, health and metrics.

use super::flights::Sharing;
use super::{Decision, Edge, Keeping, jwt};
use crate::follower::FollowerStanding;
use crate::http::edge::{EdgeView, IntrospectedHere, Readiness};
use crate::jose::OwnKeys as _;

impl EdgeView for Edge {
    fn may_introspect(&self, secret: &str) -> bool {
        self.0.is_introspecting(secret)
    }

    fn issuer(&self) -> Option<std::sync::Arc<str>> {
        self.0.keys.issuer()
    }

    async fn introspect(&self, token: &str) -> IntrospectedHere {
        let core = &self.0;
        let is_fresh = core.follower.is_fresh();
        let decision = if is_fresh {
            core.decide(token).await.0
        } else {
            core.ask(jwt::digest_of(token), token, Sharing::Later, Keeping::Secrets).await
        };
        let known = match decision {
            Decision::Active(known) => known,
            Decision::Refused => return IntrospectedHere::Inactive,
            Decision::Blind => return IntrospectedHere::Blind,
        };
        // An introspection repeats claims of a JWT that are not kept.
        let found = match known.jwt {
            Some(_) => core.read_jwt(token).await.ok().map(|token| (token.found, crate::service::IssueFacts::Nothing)),
            None => known.introspection(),
        };
        found
            .or_else(|| known.introspection())
            .map_or(IntrospectedHere::Blind, |found| IntrospectedHere::Active(Box::new(found)))
    }

    fn now(&self) -> crate::domain::Timestamp {
        self.0.follower.now()
    }

    fn readiness(&self) -> Readiness {
        match self.0.follower.standing() {
            FollowerStanding::Loading => Readiness::Loading,
            FollowerStanding::Fresh => Readiness::Ready,
            FollowerStanding::Stale => Readiness::Stale,
        }
    }

    fn metrics(&self) -> String {
        let core = &self.0;
        let metrics = &core.metrics;
        metrics.set_state(match core.follower.standing() {
            FollowerStanding::Loading => "loading",
            FollowerStanding::Fresh => "fresh",
            FollowerStanding::Stale => "stale",
        });
        metrics.set_feed_age(core.follower.age().map(|age| age.as_secs_f64()));
        let behind = core.follower.behind_millis().into_iter();
        metrics.set_behind(behind.map(|(origin, millis)| (origin, millis as f64 / 1_000.0)));
        metrics.revocations.set(core.follower.len() as u64);
        metrics.kept.set(core.kept.len() as u64);
        metrics.dropped.set(core.kept.dropped());
        metrics.encode()
    }
}
