//! Pages: numbered ones for a subject's sessions, and opaque tokens for a tenant's. Links are relative to the host.

use std::fmt::Write as _;
use std::ops::Range;

use axum::http::{HeaderValue, Uri};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::error::OryError;
use super::query::Query;
use crate::domain::{CredentialId, Tenant, Timestamp};
use crate::service::SessionCursor;

/// The parameter for the size of a page, and its deprecated name.
const SIZE: [&str; 2] = ["page_size", "per_page"];
/// The parameter for the place of a page, and its deprecated name.
const PAGE: [&str; 2] = ["page_token", "page"];

/// A numbered page. The first is 1, and 0 is refused: it would have to be the same as another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NumberedPage {
    number: usize,
    size: usize,
}

impl NumberedPage {
    /// The requested page.
    pub fn of(query: &Query) -> Result<Self, OryError> {
        Ok(Self { number: query.number(&PAGE)?.unwrap_or(1), size: query.page_size(&SIZE)? })
    }

    /// Its part of a list with that many items.
    pub fn range(self, total: usize) -> Range<usize> {
        let start = (self.number - 1).saturating_mul(self.size).min(total);
        start..start.saturating_add(self.size).min(total)
    }

    /// Links to the first, next, previous and last pages of a list with that many items.
    pub fn links(self, uri: &Uri, query: &Query, total: usize) -> HeaderValue {
        let last = total.div_ceil(self.size).max(1);
        let mut pages = vec![("first", 1)];
        if self.number < last {
            pages.push(("next", self.number + 1));
        }
        if self.number > 1 {
            pages.push(("prev", (self.number - 1).min(last)));
        }
        pages.push(("last", last));
        let links = pages.into_iter().map(|(rel, number)| {
            let (number, size) = (number.to_string(), self.size.to_string());
            let own = [("page", &*number), ("page_size", &size), ("page_token", &number), ("per_page", &size)];
            link(uri, query, &own, rel)
        });
        header(links)
    }
}

/// Links to the first page of a tenant's sessions, and to the next one if there is one.
pub fn token_links(uri: &Uri, query: &Query, size: usize, tenant: &Tenant, next: Option<SessionCursor>) -> HeaderValue {
    let size = size.to_string();
    let first = link(uri, query, &[("page_size", &size)], "first");
    let next = next.map(|next| {
        let token = token(tenant, next);
        link(uri, query, &[("page_size", &size), ("page_token", &token)], "next")
    });
    header([first].into_iter().chain(next))
}

/// The place where the requested page starts.
pub fn cursor(query: &Query, tenant: &Tenant) -> Result<Option<SessionCursor>, OryError> {
    let Some(token) = query.get(PAGE[0]) else { return Ok(None) };
    parse_token(tenant, token).map(Some).ok_or(OryError::Parameter(PAGE[0]))
}

/// The requested size of a page of a tenant's sessions.
pub fn token_page_size(query: &Query) -> Result<usize, OryError> {
    query.page_size(&SIZE[..1])
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

/// The request's own path and query, with these parameters in place of those that choose a page.
fn link(uri: &Uri, query: &Query, own: &[(&str, &str)], rel: &str) -> String {
    let chooses = |name: &str| SIZE.contains(&name) || PAGE.contains(&name);
    let others = query.0.iter().filter(|(name, _)| !chooses(name)).map(|(name, value)| (&**name, &**value));
    let mut link = format!("<{}", uri.path());
    for (at, (name, value)) in others.chain(own.iter().copied()).enumerate() {
        link.push(if at == 0 { '?' } else { '&' });
        push_escaped(&mut link, name);
        link.push('=');
        push_escaped(&mut link, value);
    }
    link + ">; rel=\"" + rel + "\""
}

fn push_escaped(link: &mut String, text: &str) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            link.push(char::from(byte));
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

    fn page(text: &str) -> (Uri, Query, Result<NumberedPage, OryError>) {
        let uri: Uri = format!("/auth/sessions?{text}").parse().expect("a URI");
        let query = Query::of(&uri).expect("a query");
        let page = NumberedPage::of(&query);
        (uri, query, page)
    }

    #[test]
    fn every_item_is_on_exactly_one_page() {
        for (total, size) in [(0, 3), (1, 3), (3, 3), (4, 3), (10, 1), (250, 250), (251, 250)] {
            let pages = total / size + 2;
            let page = |number| NumberedPage { number, size }.range(total);
            let found: Vec<usize> = (1..=pages).flat_map(page).collect();
            assert_eq!(found, (0..total).collect::<Vec<_>>(), "{total} by {size}");
        }
        assert!(NumberedPage { number: usize::MAX, size: 1_000 }.range(5).is_empty());
    }

    #[test]
    fn links_name_their_neighbours_in_order() {
        let links = |text: &str, total| {
            let (uri, query, page) = page(text);
            page.expect("a page")
                .links(&uri, &query, total)
                .to_str()
                .expect("ASCII")
                .replace(">,<", ">,\n<")
                .replace(",<", ",\n<")
        };
        let told = [
            links("", 0),
            links("page_size=2&active=true&x=%C3%A9%20%22", 5),
            links("per_page=2&page=2", 5),
            links("page_token=3&page_size=2", 5),
            links("page_token=9&page_size=2", 5),
        ];
        insta::assert_snapshot!(told.join("\n\n"));
    }

    #[test]
    fn there_is_no_page_before_the_first() {
        assert_eq!(page("page=0").2, Err(OryError::Parameter("page")));
        assert_eq!(page("page_token=abc").2, Err(OryError::Parameter("page_token")));
        assert_eq!(page("page=1").2, Ok(NumberedPage { number: 1, size: 250 }));
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
