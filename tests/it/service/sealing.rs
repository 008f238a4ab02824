//! Personal data are sealed under their subject's key, and gone with it.

use authledger::domain::{CredentialKey, CredentialView as _, Event, Kind};
use authledger::keys::SealingKeys;
use authledger::service::{IssuedSession, NewSession, Personal};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, json};

use super::*;

fn session(subject: &str, email: &str) -> NewSession {
    let traits = json!({"traits": {"email": email}});
    NewSession {
        tenant: Tenant::default(),
        subject: Subject::new(subject).unwrap(),
        ttl: None,
        aal: Default::default(),
        methods: Vec::new(),
        personal: Personal { identity: traits.as_object().cloned(), device: Some(Map::new()) },
        parent: None,
    }
}

async fn issue(service: &Service, subject: &str) -> IssuedSession {
    service.issue_session(&call(service), session(subject, &format!("{subject}@example.org"))).await.unwrap()
}

/// The slot that seals a session, the sealed bytes, and the associated data as `schema/sealing.md` has them.
fn sealed(service: &Service, issued: &IssuedSession) -> (u64, Vec<u8>, Vec<u8>) {
    let Event::SessionIssued(record) = &issued.filed.recorded.event else { panic!("another event") };
    let sealed = record.sealed.as_ref().unwrap();
    let context = format!("authledger sealed v1\n{}\nsession\n{}", service.origin(), issued.session.id);
    (sealed.slot, URL_SAFE_NO_PAD.decode(&*sealed.sealed).unwrap(), context.into_bytes())
}

#[tokio::test]
async fn a_subject_has_one_key_and_no_other_opens_what_it_seals() {
    let data = tempfile::tempdir().unwrap();
    let running = start(data.path(), &Clock::system(), 64).await;
    let service = &running.service;
    let (ada, again, bob) = (issue(service, "ada").await, issue(service, "ada").await, issue(service, "bob").await);
    let (slot, bytes, context) = sealed(service, &ada);
    let (same, again_bytes, again_context) = sealed(service, &again);
    let (other, ..) = sealed(service, &bob);
    assert!(slot == same && slot != other);
    let keys = SealingKeys::open(&data.path().join("keys")).unwrap();
    let plain = keys.open_sealed(slot, &context, &bytes).unwrap();
    assert!(String::from_utf8(plain).unwrap().contains("ada@example.org"));
    assert!(keys.open_sealed(other, &context, &bytes).is_err(), "another subject's key");
    assert!(keys.open_sealed(slot, &again_context, &bytes).is_err(), "another session of the same subject");
    assert!(keys.open_sealed(slot, &again_context, &again_bytes).is_ok());
    running.stop().unwrap();
}

#[tokio::test]
async fn after_its_key_was_erased_a_session_works_without_what_was_personal() {
    let data = tempfile::tempdir().unwrap();
    let running = start(data.path(), &Clock::system(), 64).await;
    let (ada, bob) = (issue(&running.service, "ada").await, issue(&running.service, "bob").await);
    let (slot, ..) = sealed(&running.service, &ada);
    running.stop().unwrap();
    SealingKeys::open(&data.path().join("keys")).unwrap().erase(slot).unwrap();

    let running = start(data.path(), &Clock::system(), 64).await;
    let service = &running.service;
    let identity = call(service).identity;
    assert!(service.introspect(&identity, ada.secret.expose(), None).await.unwrap().is_some());
    let shown = service.session(&identity, ada.session.id).await.unwrap().unwrap();
    assert!(shown.active && shown.personal.identity.is_none() && shown.personal.device.is_none());
    let opened = service.opened_event(&identity, ada.filed.position).await.unwrap();
    assert_eq!(opened, Some(None));
    let others = service.session(&identity, bob.session.id).await.unwrap().unwrap();
    assert_eq!(others.personal.identity, bob.session.personal.identity);

    let (fresh, ..) = sealed(service, &issue(service, "ada").await);
    assert_ne!(fresh, slot, "later data have another key");
    let key = CredentialKey { kind: Kind::Session, id: ada.session.id };
    assert_eq!(service.projection().credential(key).issue.unwrap().slot, Some(slot), "the record stands as it was");
    running.stop().unwrap();
}

#[tokio::test]
async fn a_node_that_lost_its_origins_key_goes_on_with_its_sealing_keys() {
    let data = tempfile::tempdir().unwrap();
    let running = start(data.path(), &Clock::system(), 64).await;
    let ada = issue(&running.service, "ada").await;
    let (slot, ..) = sealed(&running.service, &ada);
    running.stop().unwrap();
    std::fs::remove_file(data.path().join("keys/origin.key")).unwrap();

    let running = start(data.path(), &Clock::system(), 64).await;
    let service = &running.service;
    let identity = call(service).identity;
    assert_ne!(service.origin(), ada.filed.recorded.place.origin, "a new origin continues the old one");
    let shown = service.session(&identity, ada.session.id).await.unwrap().unwrap();
    assert_eq!(shown.personal.identity, ada.session.personal.identity);
    let (others, ..) = sealed(service, &issue(service, "bob").await);
    assert_ne!(others, slot, "no two subjects share a key");
    let (again, ..) = sealed(service, &issue(service, "ada").await);
    assert_eq!(again, slot, "and a subject keeps its own");
    running.stop().unwrap();
}
