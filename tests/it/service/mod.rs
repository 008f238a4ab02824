//! The use cases, without HTTP.

mod erasure;
mod issuer;
mod overload;
mod races;
mod renewals;
mod sealing;

use crate::support::settings::settings;
use std::path::Path;
use std::sync::Arc;

use authledger::clock::Clock;
use authledger::domain::{Secret, Subject, Tenant, Ttl};
use authledger::event_log::DataDirectory;
use authledger::service::{Authentication, Call, NewTicket, NodeSettings, Running, Service, SingleNode, open};

const ROOT: &str = "a root secret of the tests, long enough";

async fn start(data: &Path, clock: &Clock, queue: usize) -> Running {
    let settings = NodeSettings { queue, ..settings(data.to_owned(), clock) };
    let directory = DataDirectory::lock(data).unwrap();
    let root = Secret::new(ROOT).digest();
    open(directory, settings, clock.clone(), root, Arc::new(SingleNode), |_, _| Vec::new(), |_, _| {}).await.unwrap()
}

fn call(service: &Service) -> Call {
    let Authentication::Caller(identity) = service.authenticate(ROOT.as_bytes()) else { panic!("root is refused") };
    Call { identity, request: None, idempotency: None, consistency: None }
}

fn ticket(subject: &str, ttl_seconds: u64) -> NewTicket {
    NewTicket {
        tenant: Tenant::default(),
        subject: Subject::new(subject).unwrap(),
        ttl: Some(Ttl::from_seconds(ttl_seconds).unwrap()),
        parent: None,
    }
}
