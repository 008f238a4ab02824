//! Crafter Profile's collection `ticket`, as `mongoexport` writes it.
//!
//! A document holds the ticket itself as `_id`, its profile, and when it was last used. Nothing else is known of its
//! issue; it expires that long after its last use as Crafter's `maxAge` says.

use serde::Deserialize;

use super::ImportSettings;
use super::entry::{CredentialFacts, DumpRow, EntryRefusal, ImportEntry, digested};
use super::instant;
use crate::domain::{Kind, Timestamp};

#[derive(Deserialize)]
struct TicketDocument {
    #[serde(rename = "_id")]
    id: String,
    #[serde(rename = "profileId")]
    profile_id: String,
    tenant: Option<String>,
    #[serde(rename = "lastRequestTime")]
    last_request_time: Date,
}

/// A date in the forms that versions of `mongoexport` give it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Date {
    Millis(u64),
    Text(String),
    Long {
        #[serde(rename = "$numberLong")]
        millis: String,
    },
    Wrapped {
        #[serde(rename = "$date")]
        date: Box<Date>,
    },
}

const ABOUT: &str = "a ticket's document: _id and profileId are strings, and lastRequestTime is a date";

/// Reads one document.
pub fn row(text: &[u8], settings: &ImportSettings) -> Result<DumpRow, EntryRefusal> {
    let ticket: TicketDocument =
        serde_json::from_slice(text).map_err(|error| EntryRefusal::unreadable(&error, ABOUT))?;
    if ticket.id.is_empty() {
        return Err(EntryRefusal::malformed("`_id` is empty"));
    }
    let used_at = ticket.last_request_time.instant();
    let used_at = used_at.ok_or_else(|| EntryRefusal::malformed("`lastRequestTime` is not a date of this time"))?;
    let expires_at = used_at.plus(settings.ttl);
    if expires_at <= settings.now {
        return Ok(DumpRow::Inactive);
    }
    let entry = ImportEntry::new(CredentialFacts {
        kind: Kind::Ticket,
        tenant: ticket.tenant.or_else(|| settings.tenant.clone()),
        subject: ticket.profile_id,
        id: None,
        digest: Some(digested(ticket.id)),
        issued_at: used_at.to_string(),
        expires_at: expires_at.to_string(),
        ttl: Some(settings.ttl.as_seconds()),
        not_after: None,
        aal: None,
    })?;
    Ok(DumpRow::Entry(Box::new(entry)))
}

impl Date {
    fn instant(&self) -> Option<Timestamp> {
        match self {
            Self::Millis(millis) => Timestamp::from_millis(*millis),
            Self::Long { millis } => Timestamp::from_millis(millis.parse().ok()?),
            Self::Text(text) => instant::parse(text),
            Self::Wrapped { date } => date.instant(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{entry, settings};
    use super::*;

    const TICKET: &str = "7d0f1f0c-2a55-4be2-a0d1-40c8e4a1b6d2";

    fn document(date: &str) -> String {
        format!(r#"{{"_id":"{TICKET}","profileId":"5925a68def86951f895cf497","lastRequestTime":{date}}}"#)
    }

    #[test]
    fn every_form_of_a_date_is_the_same_ticket() {
        let forms = [
            r#"{"$date":"2026-11-21T09:00:00.123Z"}"#,
            r#"{"$date":"2026-11-21T09:00:00.123+0000"}"#,
            r#"{"$date":{"$numberLong":"1795251600123"}}"#,
            r#"{"$date":1795251600123}"#,
            "1795251600123",
        ];
        for form in forms {
            let made = entry(row(document(form).as_bytes(), &settings()));
            assert_eq!(
                made,
                r#"{"kind":"ticket","subject":"5925a68def86951f895cf497","digest":"a96b33a619a03ea084d3fff2bae4b90e2465464f35bee5bb0cf4e15771e49253","issued_at":"2026-11-21T09:00:00.123Z","expires_at":"2026-11-21T09:15:00.123Z","ttl":900}"#,
                "{form}"
            );
        }
    }

    #[test]
    fn a_tenant_in_the_document_beats_the_one_that_is_asked_for() {
        let asked = ImportSettings { tenant: Some("asked".to_owned()), ..settings() };
        let text = document("1795251600123");
        assert!(entry(row(text.as_bytes(), &asked)).contains(r#""tenant":"asked""#));
        let own = text.replace(r#""profileId""#, r#""tenant":"own","profileId""#);
        assert!(entry(row(own.as_bytes(), &asked)).contains(r#""tenant":"own""#));
    }

    #[test]
    fn a_ticket_that_was_not_used_for_so_long_is_over() {
        // 900 s before now, to the millisecond.
        let over = document(&(settings().now.as_millis() - 900_000).to_string());
        assert!(matches!(row(over.as_bytes(), &settings()), Ok(DumpRow::Inactive)));
        let good = document(&(settings().now.as_millis() - 899_999).to_string());
        assert!(matches!(row(good.as_bytes(), &settings()), Ok(DumpRow::Entry(_))));
    }

    #[test]
    fn a_row_that_is_not_a_ticket_is_refused_without_being_quoted() {
        let lines = [
            document(r#""yesterday""#),
            document(r#"{"$date":{"$numberLong":"-5"}}"#),
            document("null"),
            document("1795251600123").replace("_id", "id"),
            document("1795251600123").replace(&format!("\"{TICKET}\""), r#"{"$oid":"5925a68def86951f895cf497"}"#),
            format!("\"{TICKET}\""),
            format!("{TICKET} {{"),
        ];
        for line in lines {
            let Err(refusal) = row(line.as_bytes(), &settings()) else { panic!("{line}") };
            assert_eq!(refusal.code, "malformed-line");
            assert!(!refusal.detail.contains(TICKET), "{}", refusal.detail);
        }
    }
}
