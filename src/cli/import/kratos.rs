//! Kratos's table `sessions`: as CSV with a header, or as JSON, from any of the databases that Kratos runs on.
//!
//! A session's token becomes its digest here, unless the dump has a column `digest` made at the source. Without either,
//! a session can be revoked by its id, but not presented.

use std::collections::BTreeMap;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use super::ImportSettings;
use super::entry::{CredentialFacts, DumpRow, EntryRefusal, ImportEntry, digested};
use super::instant;
use crate::domain::{Kind, Timestamp};

/// Without these, an active session can't be told from an inactive one.
const NEEDED: [&str; 5] = ["id", "identity_id", "issued_at", "expires_at", "active"];
const ABOUT: &str =
    "a session's row: id, identity_id, issued_at and expires_at are strings, and active is true, false, 1 or 0";

/// The used columns of a row. Others are left out.
#[derive(Deserialize)]
struct KratosSession {
    id: String,
    identity_id: String,
    issued_at: String,
    expires_at: String,
    active: Truth,
    token: Option<String>,
    digest: Option<String>,
    aal: Option<String>,
}

/// Reads one object, as `row_to_json` makes it.
pub fn row(text: &[u8], settings: &ImportSettings) -> Result<DumpRow, EntryRefusal> {
    let session: KratosSession =
        serde_json::from_slice(text).map_err(|error| EntryRefusal::unreadable(&error, ABOUT))?;
    session.row(settings)
}

/// The places of the columns.
#[derive(Debug)]
pub struct CsvHeader {
    columns: BTreeMap<String, usize>,
    width: usize,
}

impl CsvHeader {
    /// The first record of a CSV file; an error names what is wrong with it.
    pub fn new(names: Vec<String>) -> Result<Self, String> {
        let width = names.len();
        let columns: BTreeMap<String, usize> = names.into_iter().zip(0..).collect();
        if let Some(missing) = NEEDED.iter().find(|name| !columns.contains_key(**name)) {
            return Err(format!("its first line does not name the column {missing}"));
        }
        if columns.len() < width {
            Err("its first line names a column twice".to_owned())
        } else {
            Ok(Self { columns, width })
        }
    }

    /// Reads one record.
    pub fn row(&self, fields: &[String], settings: &ImportSettings) -> Result<DumpRow, EntryRefusal> {
        if fields.len() != self.width {
            let (found, width) = (fields.len(), self.width);
            return Err(EntryRefusal::malformed(format!("the record has {found} fields, and the header {width}")));
        }
        // NULL is written as an empty field.
        let field =
            |name: &str| self.columns.get(name).map(|place| &fields[*place]).filter(|text| !text.is_empty()).cloned();
        let needed = |name: &str| field(name).ok_or_else(|| EntryRefusal::malformed(format!("`{name}` is empty")));
        let session = KratosSession {
            id: needed("id")?,
            identity_id: needed("identity_id")?,
            issued_at: needed("issued_at")?,
            expires_at: needed("expires_at")?,
            active: Truth(truth(&needed("active")?).ok_or_else(|| EntryRefusal::malformed(TRUTH))?),
            token: field("token"),
            digest: field("digest"),
            aal: field("aal"),
        };
        session.row(settings)
    }
}

/// Whether a session is active, in each database's own way: PostgreSQL has a type for it, MariaDB, MySQL and SQLite store a number.
struct Truth(bool);

impl<'de> Deserialize<'de> for Truth {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Bool(bool),
            Number(u8),
            Text(String),
        }
        let read = match Written::deserialize(deserializer) {
            Ok(Written::Bool(is_true)) => Some(is_true),
            Ok(Written::Number(number @ (0 | 1))) => Some(number == 1),
            Ok(Written::Text(text)) => truth(&text),
            Ok(Written::Number(_)) | Err(_) => None,
        };
        read.map(Self).ok_or_else(|| D::Error::custom(TRUTH))
    }
}

const TRUTH: &str = "`active` is not true, t or 1, nor false, f or 0";

fn truth(text: &str) -> Option<bool> {
    let is = |words: [&str; 3]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
    match (is(["t", "true", "1"]), is(["f", "false", "0"])) {
        (true, _) => Some(true),
        (_, true) => Some(false),
        _ => None,
    }
}

impl KratosSession {
    fn row(self, settings: &ImportSettings) -> Result<DumpRow, EntryRefusal> {
        let issued_at = read("issued_at", &self.issued_at)?;
        let expires_at = read("expires_at", &self.expires_at)?;
        if !self.active.0 || expires_at <= settings.now {
            return Ok(DumpRow::Inactive);
        }
        let token = self.token.filter(|token| !token.is_empty());
        let entry = ImportEntry::new(CredentialFacts {
            kind: Kind::Session,
            tenant: settings.tenant.clone(),
            subject: self.identity_id,
            id: Some(self.id),
            digest: self.digest.or_else(|| token.map(digested)),
            issued_at: issued_at.to_string(),
            expires_at: expires_at.to_string(),
            ttl: None,
            not_after: None,
            aal: self.aal.filter(|aal| !aal.is_empty()),
        })?;
        Ok(DumpRow::Entry(Box::new(entry)))
    }
}

fn read(name: &str, text: &str) -> Result<Timestamp, EntryRefusal> {
    instant::parse(text).ok_or_else(|| EntryRefusal::malformed(format!("`{name}` is not an instant since 1970")))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{entry, settings};
    use super::*;

    const TOKEN: &str = "MP2YWEMeM8MxjkGKpH4dqOQ4Q4DlSPaj";
    const MADE: &str = r#"{"kind":"session","subject":"d1e0b0f5-6d0c-4a52-8b38-3f1fbd2a3c11","id":"0f2e5a0c-7a71-4c4e-9d5c-0b9d8a2f6e10","digest":"DIGEST","issued_at":"2026-11-21T08:00:00.123Z","expires_at":"2026-11-22T08:00:00.123Z","aal":"aal1"}"#;

    fn made() -> String {
        MADE.replace("DIGEST", &digested(TOKEN.to_owned()))
    }

    fn object(active: &str, expires_at: &str) -> String {
        format!(
            r#"{{"id":"0f2e5a0c-7a71-4c4e-9d5c-0b9d8a2f6e10","issued_at":"2026-11-21T08:00:00.123456","expires_at":"{expires_at}","authenticated_at":"2026-11-21T08:00:00.123456","created_at":"2026-11-21T08:00:00.123456","updated_at":"2026-11-21T08:00:00.123456","token":"{TOKEN}","identity_id":"d1e0b0f5-6d0c-4a52-8b38-3f1fbd2a3c11","active":{active},"nid":"4f6a3a0a-0000-4000-8000-000000000000","logout_token":"u4","aal":"aal1","authentication_methods":[{{"method":"password"}}]}}"#
        )
    }

    #[test]
    fn a_row_as_json_is_a_session() {
        let text = object("true", "2026-11-22T08:00:00.123456");
        assert_eq!(entry(row(text.as_bytes(), &settings())), made());
    }

    #[test]
    fn a_record_of_csv_is_the_same_session() {
        let header = "id,issued_at,expires_at,authenticated_at,token,identity_id,active,aal,authentication_methods";
        let header = CsvHeader::new(header.split(',').map(str::to_owned).collect()).expect("as it was written");
        let fields = [
            "0f2e5a0c-7a71-4c4e-9d5c-0b9d8a2f6e10",
            "2026-11-21 08:00:00.123456+00",
            "2026-11-22 08:00:00.123456",
            "",
            TOKEN,
            "d1e0b0f5-6d0c-4a52-8b38-3f1fbd2a3c11",
            "t",
            "aal1",
            r#"[{"method": "password"}]"#,
        ];
        let mut fields = fields.map(str::to_owned).to_vec();
        assert_eq!(entry(header.row(&fields, &settings())), made());
        fields[6] = "f".to_owned();
        assert!(matches!(header.row(&fields, &settings()), Ok(DumpRow::Inactive)));
        fields[6] = String::new();
        assert!(header.row(&fields, &settings()).is_err(), "whether it is active must be known");
        fields.pop();
        assert!(header.row(&fields, &settings()).is_err(), "a field is missing");
    }

    #[test]
    fn inactive_and_expired_sessions_are_not_entries() {
        for text in [object("false", "2026-11-22T08:00:00"), object("true", "2026-11-21T09:10:00")] {
            assert!(matches!(row(text.as_bytes(), &settings()), Ok(DumpRow::Inactive)), "{text}");
        }
    }

    #[test]
    fn a_digest_made_at_the_source_is_taken_instead_of_the_token() {
        let digest = "8e147d5d9d1e3a5e021d50685bb8866d9eb95055c9750dd21bb5544b500b8dd0";
        let text =
            object("true", "2026-11-22T08:00:00").replace("\"nid\"", &format!("\"digest\":\"{digest}\",\"nid\""));
        assert!(entry(row(text.as_bytes(), &settings())).contains(digest));
        let without = text.replace(&format!("\"token\":\"{TOKEN}\","), "");
        assert!(entry(row(without.as_bytes(), &settings())).contains(digest));
    }

    #[test]
    fn a_header_must_name_what_is_needed_once() {
        let header = |names: &str| CsvHeader::new(names.split(',').map(str::to_owned).collect());
        assert!(header("id,identity_id,issued_at,expires_at,active").is_ok());
        assert_eq!(
            header("id,identity_id,issued_at,expires_at").unwrap_err(),
            "its first line does not name the column active"
        );
        assert!(header("id,identity_id,issued_at,expires_at,active,id").is_err());
    }

    #[test]
    fn a_row_that_is_not_a_session_is_refused_without_being_quoted() {
        let good = object("true", "2026-11-22T08:00:00");
        let lines = [
            good.replace("\"active\":true", "\"active\":null"),
            good.replace("0f2e5a0c-7a71-4c4e-9d5c-0b9d8a2f6e10", TOKEN),
            good.replace("\"nid\"", &format!("\"digest\":\"{TOKEN}\",\"nid\"")),
            good.replace("2026-11-22T08:00:00", "infinity"),
            format!("[\"{TOKEN}\"]"),
        ];
        for line in lines {
            let Err(refusal) = row(line.as_bytes(), &settings()) else { panic!("{line}") };
            assert!(!refusal.detail.contains(TOKEN), "{}", refusal.detail);
        }
    }
}
