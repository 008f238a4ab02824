//! Pages: counted ones for a subject's sessions, and opaque tokens for a tenant's. Links are relative to the host.
//!
//! Both are read as leniently as Kratos reads them, and tokens of Kratos are understood, so that a client that was
//! turning pages while its server was replaced goes on. Links have Kratos's relations and parameters.

use std::fmt::Write as _;
use std::ops::Range;

use axum::http::{HeaderValue, Uri};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde_json::Value;
use uuid::Uuid;

use super::error::OryError;
use super::query::Query;
use crate::domain::{CredentialId, Tenant, Timestamp};
use crate::service::SessionCursor;

/// The default number of sessions on a page.
const DEFAULT_SIZE: i64 = 250;
/// The most sessions on a page. A caller that asks for more gets so many, and a `Link` that says so.
const MAX_SIZE: i64 = 1_000;

const PAGE_SIZE: &str = "page_size";
const PAGE_TOKEN: &str = "page_token";
/// The deprecated name of `page_size`.
const PER_PAGE: &str = "per_page";
/// The deprecated way to name a page: by its number.
const PAGE: &str = "page";

/// Where Kratos starts a list: before everything that it has.
const BEFORE_ALL: &str = "created_at=2200-12-31 23:59:59/id=00000000-0000-0000-0000-000000000000";

/// A page of a list that is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NumberedPage {
    /// How many pages come before it.
    index: i64,
    size: i64,
}

impl NumberedPage {
    /// The requested page. A value that is not a number counts as absent, as in Kratos.
    pub fn of(query: &Query) -> Self {
        let size = |name| query.number(name).unwrap_or(DEFAULT_SIZE).clamp(1, MAX_SIZE);
        if query.has(PAGE_TOKEN) || query.has(PAGE_SIZE) {
            let size = size(PAGE_SIZE);
            let offset = query.get(PAGE_TOKEN).and_then(offset_in).unwrap_or_default().max(0);
            Self { index: offset / size, size }
        } else {
            // Both 0 and 1 are the first page.
            let number = query.number(PAGE).unwrap_or_default();
            Self { index: number.saturating_sub(1).max(0), size: size(PER_PAGE) }
        }
    }

    /// Its part of a list, which may be shorter.
    pub fn range(self) -> Range<usize> {
        // The size is small, and neither is negative.
        let (index, size) = (usize::try_from(self.index).unwrap_or(usize::MAX), self.size as usize);
        let start = index.saturating_mul(size);
        start..start.saturating_add(size)
    }

    /// Links to other pages of a list with that many items: those that Kratos gives there.
    pub fn links(self, uri: &Uri, query: &Query, total: usize) -> HeaderValue {
        let Self { index, size } = self;
        let total = i64::try_from(total).unwrap_or(i64::MAX);
        // Where the last page starts.
        let last = if total % size == 0 { total - size } else { total / size * size };
        let offset = index.saturating_mul(size);
        let (next, previous) = (offset.saturating_add(size), offset.saturating_sub(size));
        let pages = if total == 0 {
            vec![("first", 0), ("next", next), ("prev", previous)]
        } else if offset >= last && total <= size {
            return header([counted_link(uri, query, "first", 0, total)].into_iter());
        } else if offset >= last {
            vec![("first", 0), ("prev", last - size)]
        } else if offset < size {
            vec![("next", size), ("last", last)]
        } else {
            vec![("first", 0), ("next", next), ("prev", previous), ("last", last)]
        };
        header(pages.into_iter().map(|(rel, offset)| counted_link(uri, query, rel, offset, size)))
    }
}

fn counted_link(uri: &Uri, query: &Query, rel: &str, offset: i64, size: i64) -> String {
    let token = URL_SAFE_NO_PAD.encode(format!("{{\"offset\":\"{offset}\",\"v\":2}}"));
    let (number, size) = ((offset / size).to_string(), size.to_string());
    link(uri, query, &[(PAGE, &number), (PAGE_SIZE, &size), (PAGE_TOKEN, &token), (PER_PAGE, &size)], rel)
}

/// The offset in a token of a counted page: `{"offset":"250","v":2}`.
fn offset_in(token: &str) -> Option<i64> {
    let json: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token).ok()?).ok()?;
    match json.get("offset")? {
        Value::String(text) => text.parse().ok(),
        other => other.as_i64(),
    }
}

/// A page of a tenant's sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TenantSessionPage {
    /// The place where it starts.
    pub start: Option<SessionCursor>,
    /// How many sessions it has.
    pub size: usize,
}

impl TenantSessionPage {
    /// The requested page. Kratos names `page_size` whichever of the two it can't read.
    pub fn of(query: &Query, tenant: &Tenant) -> Result<Self, OryError> {
        const UNREADABLE: OryError = OryError::Parameter(PAGE_SIZE);
        let start = match query.first_given(PAGE_TOKEN) {
            Some(token) => start_of(tenant, token)?,
            None => None,
        };
        let size = match query.first_given(PAGE_SIZE) {
            Some(text) => text.parse().map_err(|_| UNREADABLE)?,
            None => DEFAULT_SIZE,
        };
        let size = if size < 1 { DEFAULT_SIZE } else { size.min(MAX_SIZE) };
        Ok(Self { start, size: size as usize })
    }

    /// Links to the first page, and to the next one if there is one.
    pub fn links(self, uri: &Uri, query: &Query, tenant: &Tenant, next: Option<SessionCursor>) -> HeaderValue {
        let size = self.size.to_string();
        let to = |token: &str, rel| link(uri, query, &[(PAGE_SIZE, &size), (PAGE_TOKEN, token)], rel);
        let first = to(&STANDARD_NO_PAD.encode(BEFORE_ALL), "first");
        header([first].into_iter().chain(next.map(|next| to(&token(tenant, next), "next"))))
    }
}

fn start_of(tenant: &Tenant, token: &str) -> Result<Option<SessionCursor>, OryError> {
    const CRAFTED: OryError = OryError::Malformed("The page token is invalid, do not craft your own page tokens");
    if let Some(cursor) = parse_token(tenant, token) {
        return Ok(Some(cursor));
    }
    let text = STANDARD_NO_PAD.decode(token).map_err(|_| OryError::Parameter(PAGE_SIZE))?;
    let text = String::from_utf8(text).map_err(|_| CRAFTED)?;
    let part = |name| text.split('/').find_map(|part| part.split_once('=').filter(|(known, _)| *known == name));
    let id = part("id").and_then(|(_, id)| Uuid::try_parse(id).ok()).ok_or(CRAFTED)?;
    if id.is_nil() {
        return Ok(None);
    }
    let (_, created_at) = part("created_at").ok_or(CRAFTED)?;
    let created_at: jiff::Timestamp = format!("{}Z", created_at.replacen(' ', "T", 1)).parse().map_err(|_| CRAFTED)?;
    // Kratos has another order within an instant, so the whole millisecond comes again: a session may be shown twice,
    // and none is passed over.
    let after = u64::try_from(created_at.as_millisecond()).ok().and_then(|millis| Timestamp::from_millis(millis + 1));
    Ok(Some((after.ok_or(CRAFTED)?, CredentialId::from_bytes([0; 16]))))
}

/// A page token: instant and id of the last session before the page, and a mark of the tenant, so that a token made for
/// another tenant is refused. It grants nothing: its bearer sees only the bearer's own tenant.
fn token(tenant: &Tenant, (issued_at, id): SessionCursor) -> String {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&issued_at.as_millis().to_be_bytes());
    bytes[8..24].copy_from_slice(id.as_bytes());
    let mark = mark(tenant, &bytes[..24]);
    bytes[24..].copy_from_slice(&mark);
    URL_SAFE_NO_PAD.encode(bytes)
}

fn parse_token(tenant: &Tenant, token: &str) -> Option<SessionCursor> {
    let bytes: [u8; 32] = URL_SAFE_NO_PAD.decode(token).ok()?.try_into().ok()?;
    let (millis, id) = (bytes[..8].try_into().ok()?, bytes[8..24].try_into().ok()?);
    let issued_at = Timestamp::from_millis(u64::from_be_bytes(millis))?;
    (bytes[24..] == mark(tenant, &bytes[..24])).then(|| (issued_at, CredentialId::from_bytes(id)))
}

fn mark(tenant: &Tenant, place: &[u8]) -> [u8; 8] {
    let mut hash = blake3::Hasher::new_derive_key("authledger 2026 ory page token v1");
    hash.update(place).update(tenant.as_str().as_bytes());
    let mut mark = [0; 8];
    hash.finalize_xof().fill(&mut mark);
    mark
}

/// The request's own path and query, with these parameters in place of its own of the same names; in the order of the
/// names, as Kratos has them.
fn link(uri: &Uri, query: &Query, own: &[(&str, &str)], rel: &str) -> String {
    let is_own = |name: &str| own.iter().any(|(own, _)| *own == name);
    let others = query.0.iter().filter(|(name, _)| !is_own(name)).map(|(name, value)| (&**name, &**value));
    let mut parameters: Vec<(&str, &str)> = others.chain(own.iter().copied()).collect();
    parameters.sort_by_key(|(name, _)| *name);
    let mut link = format!("<{}", uri.path());
    for (at, (name, value)) in parameters.into_iter().enumerate() {
        link.push(if at == 0 { '?' } else { '&' });
        push_escaped(&mut link, name);
        link.push('=');
        push_escaped(&mut link, value);
    }
    link + ">; rel=\"" + rel + "\""
}

/// As Go escapes a query: https://pkg.go.dev/net/url#QueryEscape
fn push_escaped(link: &mut String, text: &str) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            link.push(char::from(byte));
        } else if byte == b' ' {
            link.push('+');
        } else {
            // Writing to a String can't fail.
            let _ = write!(link, "%{byte:02X}");
        }
    }
}

fn header(links: impl Iterator<Item = String>) -> HeaderValue {
    let links: Vec<String> = links.collect();
    // A path as it came and escaped text: both are visible ASCII.
    HeaderValue::try_from(links.join(",")).unwrap_or(HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> (Uri, Query) {
        let uri: Uri = format!("/auth/sessions?{text}").parse().expect("a URI");
        let query = Query::of(&uri).expect("a query");
        (uri, query)
    }

    fn page(text: &str) -> NumberedPage {
        NumberedPage::of(&query(text).1)
    }

    fn offset(offset: i64) -> String {
        URL_SAFE_NO_PAD.encode(format!("{{\"offset\":\"{offset}\",\"v\":2}}"))
    }

    #[test]
    fn every_item_is_on_exactly_one_page() {
        for (total, size) in [(0, 3), (1, 3), (3, 3), (4, 3), (10, 1), (250, 250), (251, 250)] {
            let pages = total as i64 / size + 2;
            let page = |index| NumberedPage { index, size }.range();
            let found: Vec<usize> = (0..pages).flat_map(page).filter(|item| *item < total).collect();
            assert_eq!(found, (0..total).collect::<Vec<_>>(), "{total} by {size}");
        }
        assert!(NumberedPage { index: i64::MAX, size: 1_000 }.range().is_empty());
    }

    #[test]
    fn links_name_their_neighbours_in_order() {
        let links = |text: &str, total| {
            let (uri, query) = query(text);
            let links = NumberedPage::of(&query).links(&uri, &query, total);
            links.to_str().expect("ASCII").replace(">,<", ">,\n<").replace(",<", ",\n<")
        };
        let third = format!("page_token={}&page_size=2", offset(4));
        let beyond = format!("page_token={}&page_size=2", offset(16));
        let told = [
            links("", 0),
            links("page_size=2&active=true&x=%C3%A9%20%22", 1),
            links("page_size=2&active=true&x=%C3%A9%20%22", 5),
            links("per_page=2&page=2", 5),
            links(&third, 7),
            links(&third, 5),
            links(&beyond, 5),
        ];
        insta::assert_snapshot!(told.join("\n\n"));
    }

    #[test]
    fn a_parameter_that_cannot_be_read_counts_as_absent() {
        for first in ["page=0", "page=1", "page=x", "page_token=abc", "page_size=many", "page_token", "per_page="] {
            assert_eq!(page(first), NumberedPage { index: 0, size: 250 }, "{first}");
        }
        for (text, index, size) in [
            ("page=2&per_page=7", 1, 7),
            ("per_page=1001", 0, 1_000),
            ("per_page=-1", 0, 1),
            ("page_size=0", 0, 1),
            ("page=3&page_size=9", 0, 9),
            (&format!("page_token={}&page_size=10", offset(25)), 2, 10),
            (&format!("page_token={}", offset(-250)), 0, 250),
        ] {
            assert_eq!(page(text), NumberedPage { index, size }, "{text}");
        }
    }

    #[test]
    fn a_tenants_page_is_read_as_kratos_reads_it() {
        let own = Tenant::default();
        let page = |text: &str| TenantSessionPage::of(&query(text).1, &own);
        let size = |text: &str| page(text).map(|page| page.size);
        assert_eq!((size(""), size("page_size=0"), size("page_size=-3")), (Ok(250), Ok(250), Ok(250)));
        assert_eq!((size("page_size=1001"), size("page_size=&page_size=9")), (Ok(1_000), Ok(9)));
        for unreadable in ["page_size=many", "page_size=1.5", "page_token=%C3%A9", "page_token=x"] {
            assert_eq!(page(unreadable), Err(OryError::Parameter("page_size")), "{unreadable}");
        }
        let start = |text: &str| {
            let (_, query) = query("");
            let token = STANDARD_NO_PAD.encode(text);
            TenantSessionPage::of(&Query([query.0, vec![("page_token".into(), token)]].concat()), &own)
                .map(|page| page.start)
        };
        assert_eq!(start(BEFORE_ALL), Ok(None));
        let id = "6ba7b810-9dad-11d1-80b4-00c04fd430c8";
        let at = |millis| (Timestamp::from_millis(millis).expect("in range"), CredentialId::from_bytes([0; 16]));
        for text in [
            format!("id={id}/created_at=2027-01-15 08:00:00.12345"),
            format!("created_at=2027-01-15 08:00:00.123/id={id}"),
        ] {
            assert_eq!(start(&text), Ok(Some(at(1_800_000_000_124))), "{text}");
        }
        for crafted in ["a", "id=7", &format!("id={id}"), &format!("id={id}/created_at=soon")] {
            assert!(matches!(start(crafted), Err(OryError::Malformed(_))), "{crafted}");
        }
    }

    #[test]
    fn a_token_is_whole_and_of_its_tenant() {
        let cursor = (Timestamp::from_millis(1_800_000_000_000).expect("in range"), CredentialId::from_bytes([7; 16]));
        let (own, other) = (Tenant::default(), Tenant::new("acme").expect("a name"));
        let text = token(&own, cursor);
        assert_eq!(parse_token(&own, &text), Some(cursor));
        assert_eq!(parse_token(&other, &text), None);
        for at in 0..text.len() {
            let mut broken = text.clone().into_bytes();
            broken[at] = if broken[at] == b'A' { b'B' } else { b'A' };
            assert_eq!(parse_token(&own, std::str::from_utf8(&broken).expect("ASCII")), None, "{at}");
        }
        assert_eq!(parse_token(&own, &text[1..]), None);
    }
}
