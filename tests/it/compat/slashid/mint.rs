//! `POST /persons/{person_id}/mint-token`

use authledger::service::RESERVED_CLAIMS;
use serde_json::{Value, json};

use super::{NOW, Place, refusal};
use crate::jose::decode;

fn claims(token: &str) -> Value {
    serde_json::from_slice(&decode(token.split('.').nth(1).expect("a payload"))).expect("JSON")
}

#[tokio::test]
async fn a_minted_token_says_whose_it_is_and_what_the_caller_adds() {
    let place = Place::start().await;
    let key = place.key(&[("one", &["issue"])]).await;
    let minter = place.keyed(&key).with("slashid-orgid", "one");
    let custom = json!({"role": "admin", "id": 7, "deep": {"a": [null, true]}});
    let answer = minter.post("/slashid/persons/ada%20%7C%C3%A9/mint-token", json!({"custom_claims": custom})).await;
    assert_eq!((answer.status.as_u16(), answer.header("cache-control")), (201, "no-store"));
    assert_eq!(answer.json().as_object().map(|members| members.len()), Some(1));
    let said = claims(answer.text("result"));
    assert_eq!((&said["sub"], &said["person_id"]), (&json!("ada |é"), &json!("ada |é")));
    assert_eq!((&said["oid"], &said["iat"], &said["exp"]), (&json!("one"), &json!(NOW), &json!(NOW + 3600)));
    assert_eq!((&said["role"], &said["id"], &said["deep"]), (&custom["role"], &custom["id"], &custom["deep"]));
    assert_eq!(place.invalidity(answer.text("result")).await, None);
    for body in [json!({}), json!({"custom_claims": null}), json!({"custom_claims": {}})] {
        assert_eq!(minter.post("/persons/ada/mint-token", body).await.status, 201);
    }
}

#[tokio::test]
async fn claims_that_the_ledger_sets_itself_cannot_be_added() {
    let place = Place::start().await;
    let minter = place.root().with("slashid-orgid", "one");
    let before = place.head();
    for name in RESERVED_CLAIMS.into_iter().chain(["person_id"]) {
        let answer = minter.post("/persons/ada/mint-token", json!({"custom_claims": {name: "x"}})).await;
        let told = format!("`custom_claims` must not have `{name}`, which the ledger sets itself");
        assert_eq!(refusal(&answer), (400, told));
    }
    let large = json!({"custom_claims": {"x": "x".repeat(33_000)}});
    let told = "`custom_claims` must have at most 32 KiB as JSON".to_owned();
    assert_eq!(refusal(&minter.post("/persons/ada/mint-token", large).await), (400, told));
    let form = "the body must be a JSON object whose `custom_claims`, if it has them, are an object".to_owned();
    for body in [json!([]), json!({"custom_claims": []}), json!({"custom_claims": "x"})] {
        assert_eq!(refusal(&minter.post("/persons/ada/mint-token", body).await), (400, form.clone()));
    }
    for path in
        ["/persons/%ff/mint-token", "/persons/%zz/mint-token", "/persons/%00/mint-token", "/persons//mint-token"]
    {
        assert_eq!(refusal(&minter.post(path, json!({})).await).0, 400, "{path}");
    }
    // The first mint of all makes a key, and of these only the large one came that far.
    let more = place.records_after(before).await;
    assert!(more.iter().all(|record| record["type"] == "key.published"), "{more:?}");
}

#[tokio::test]
async fn an_organisation_exists_for_callers_with_a_scope_in_it_alone() {
    let place = Place::start().await;
    let issuer = place.key(&[("one", &["issue"]), ("two", &["revoke"])]).await;
    let path = "/persons/ada/mint-token";
    let asked = |key: &str, tenant: &str| place.keyed(key).with("slashid-orgid", tenant);
    let unknown = (404, "this application does not know this organization".to_owned());
    for tenant in ["three", "default", "*", "", &"x".repeat(256)] {
        assert_eq!(refusal(&asked(&issuer, tenant).post(path, json!({})).await), unknown, "{tenant}");
    }
    let other = (403, "the application's grants do not allow this in this organization".to_owned());
    assert_eq!(refusal(&asked(&issuer, "two").post(path, json!({})).await), other);
    let nobody = (401, "`SlashID-API-Key` is unknown, expired or removed".to_owned());
    // A caller without a secret learns of no organisation, and of no fault in its body.
    assert_eq!(refusal(&asked("nobody's", "three").post_text(path, "{").await), nobody);
    let answer = place.node.holder(&issuer).with("slashid-orgid", "one").post(path, json!({})).await;
    assert_eq!(refusal(&answer), (401, "send `SlashID-API-Key`".to_owned()));
    let answer = place.keyed(&issuer).post(path, json!({})).await;
    assert_eq!(refusal(&answer), (400, "`SlashID-OrgID` is missing".to_owned()));
}

#[tokio::test]
async fn a_person_on_hold_gets_no_token_and_their_revoked_ones_say_so() {
    let place = Place::start().await;
    let token = place.mint("ada").await;
    let revocation = json!({"tenant": "one", "subject": "ada", "hold": 60});
    assert_eq!(place.node.root().post("/v1/revocations", revocation).await.status, 201);
    let minter = place.root().with("slashid-orgid", "one");
    let answer = minter.post("/persons/ada/mint-token", json!({})).await;
    assert_eq!(refusal(&answer), (409, "the person gets no new tokens for now".to_owned()));
    assert_eq!(place.invalidity(&token).await.as_deref(), Some("person_not_active"));
    place.node.clock.advance(60_000);
    assert_eq!(place.invalidity(&token).await.as_deref(), Some("revoked"));
    let again = place.mint("ada").await;
    assert_eq!(place.invalidity(&again).await, None);
}
