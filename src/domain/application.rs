//! Applications: calling programs, and their scopes in tenants.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::credential::Digest;
use super::ids::{ApplicationId, Malformed, RecordId, Tenant};
use super::time::Timestamp;

/// A permission of a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Issue credentials.
    Issue,
    /// Revoke credentials.
    Revoke,
    /// Ask whether a credential is active.
    Introspect,
    /// Follow the feed.
    Follow,
    /// Read records and evidence.
    Audit,
    /// Administer applications.
    Admin,
}

impl Scope {
    /// Every scope, in the order that records list them.
    pub const ALL: [Self; 6] = [Self::Issue, Self::Revoke, Self::Introspect, Self::Follow, Self::Audit, Self::Admin];

    /// The scope's name in records and bodies.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Issue => "issue",
            Self::Revoke => "revoke",
            Self::Introspect => "introspect",
            Self::Follow => "follow",
            Self::Audit => "audit",
            Self::Admin => "admin",
        }
    }
}

impl FromStr for Scope {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        Self::ALL
            .into_iter()
            .find(|scope| scope.as_str() == text)
            .ok_or(Malformed("one of issue, revoke, introspect, follow, audit, admin"))
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A set of scopes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scopes(u8);

impl Scopes {
    /// Every scope.
    pub const ALL: Self = Self(0b11_1111);

    /// The set without members.
    pub const NONE: Self = Self(0);

    /// Whether the set holds that scope.
    pub const fn contains(self, scope: Scope) -> bool {
        self.0 & (1 << scope as u8) != 0
    }

    /// Whether every member of this set is one of the other.
    pub const fn is_subset(self, of: Self) -> bool {
        self.0 & !of.0 == 0
    }

    /// The members that both sets have.
    pub const fn both(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The members, in the order of [`Scope::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.into_iter().filter(move |scope| self.contains(*scope))
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<T: IntoIterator<Item = Scope>>(scopes: T) -> Self {
        Self(scopes.into_iter().fold(0, |set, scope| set | 1 << scope as u8))
    }
}

/// Scopes in one tenant, or in all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The tenant, or `None` for `*`.
    pub tenant: Option<Tenant>,
    /// The allowed scopes.
    pub scopes: Scopes,
}

/// The most grants that one application has.
pub const MAX_GRANTS: usize = 64;

/// An application's grants, in order: the first whose tenant is `*` or equal decides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants(Vec<Grant>);

impl Grants {
    /// Grants in that order.
    pub fn new(grants: Vec<Grant>) -> Result<Self, Malformed> {
        if grants.len() <= MAX_GRANTS { Ok(Self(grants)) } else { Err(Malformed("64 grants at most")) }
    }

    /// Every scope in every tenant.
    pub fn everything() -> Self {
        Self(vec![Grant { tenant: None, scopes: Scopes::ALL }])
    }

    /// The same grants without the scopes that are not among those.
    pub fn only(&self, scopes: Scopes) -> Self {
        let grant = |grant: &Grant| Grant { scopes: grant.scopes.both(scopes), ..grant.clone() };
        Self(self.0.iter().map(grant).collect())
    }

    /// The grants in order.
    pub fn as_slice(&self) -> &[Grant] {
        &self.0
    }

    /// The scopes in that tenant.
    pub fn in_tenant(&self, tenant: &Tenant) -> Scopes {
        self.deciding(Some(tenant))
    }

    /// The scopes in a tenant that no grant names.
    pub fn elsewhere(&self) -> Scopes {
        self.deciding(None)
    }

    /// The scopes that are allowed in every tenant.
    pub fn everywhere(&self) -> Scopes {
        let mut scopes = self.elsewhere();
        for tenant in self.named() {
            scopes = scopes.both(self.in_tenant(tenant));
        }
        scopes
    }

    /// Whether the scope is allowed in any tenant at all.
    pub fn somewhere(&self, scope: Scope) -> bool {
        self.elsewhere().contains(scope) || self.tenants_with(scope).next().is_some()
    }

    /// The tenants named in a grant where that scope is allowed.
    pub fn tenants_with(&self, scope: Scope) -> impl Iterator<Item = &Tenant> {
        self.named().into_iter().filter(move |tenant| self.in_tenant(tenant).contains(scope))
    }

    /// Whether these grants allow nothing, in any tenant, that those do not.
    pub fn within(&self, those: &Self) -> bool {
        self.elsewhere().is_subset(those.elsewhere())
            && self
                .named()
                .union(&those.named())
                .all(|tenant| self.in_tenant(tenant).is_subset(those.in_tenant(tenant)))
    }

    fn named(&self) -> BTreeSet<&Tenant> {
        self.0.iter().filter_map(|grant| grant.tenant.as_ref()).collect()
    }

    fn deciding(&self, tenant: Option<&Tenant>) -> Scopes {
        let decides = |grant: &&Grant| grant.tenant.is_none() || grant.tenant.as_ref() == tenant;
        self.0.iter().find(decides).map_or(Scopes::NONE, |grant| grant.scopes)
    }
}

/// A calling program, as it was registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// Its public name.
    pub id: ApplicationId,
    /// Its display name: 1 to 255 bytes.
    pub name: Box<str>,
    /// The digest of its secret; nothing if it authenticates with a key alone.
    pub digest: Option<Digest>,
    /// Its scopes, tenant by tenant.
    pub grants: Arc<Grants>,
    /// When its secret stops working, if ever.
    pub expires_at: Option<Timestamp>,
    /// The parts that a vendor's contract shows and the ledger has no word for: text, kept as it came.
    pub attributes: Option<Box<str>>,
    /// What it is as an OAuth client, besides its id and its secret.
    pub oauth: Option<Box<OauthClient>>,
}

/// The most audiences of an OAuth client.
pub const MAX_AUDIENCES: usize = 16;
/// The longest key set that is kept with an application, in bytes.
pub const MAX_CLIENT_JWKS_BYTES: usize = 16 << 10;

/// An application as an OAuth client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OauthClient {
    /// A token with an audience is active for it only if one of these is among them; none stand for any.
    pub audiences: Vec<Box<str>>,
    /// The keys with which it authenticates: RFC 7523, section 2.2.
    pub keys: Option<ClientKeys>,
    /// The algorithm of the answers that are signed for it: RFC 9701, section 6.
    pub signed_response_alg: Option<Box<str>>,
    /// Whether answers for it leave out when a token expires, so that it keeps none of them.
    pub omits_exp: bool,
}

impl OauthClient {
    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a token for these receivers is for the client, too.
    pub fn may_use<'a>(&self, mut audience: impl Iterator<Item = &'a str>) -> bool {
        self.audiences.is_empty() || audience.any(|one| self.audiences.iter().any(|own| **own == *one))
    }
}

/// The public keys of an OAuth client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientKeys {
    /// A JWK set (RFC 7517, section 5), as text.
    Set(Box<str>),
    /// The address at which they are published.
    Url(Box<str>),
}

/// The OAuth grant that a token was issued by. Only the ledger's own token endpoint writes it: who bears such a token counts
/// as the application that it was issued to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrantType {
    /// RFC 6749, section 4.4.
    ClientCredentials,
}

impl GrantType {
    /// Its name in requests and records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClientCredentials => "client_credentials",
        }
    }
}

impl FromStr for GrantType {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let is_it = text == Self::ClientCredentials.as_str();
        is_it.then_some(Self::ClientCredentials).ok_or(Malformed("client_credentials"))
    }
}

impl fmt::Display for GrantType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The folded state of an application. A removal wins over a registration, whichever comes first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Application {
    /// How it was registered, by the earliest record if there are several.
    pub registered: Option<(RecordId, Arc<Registration>)>,
    /// Whether it has been removed.
    pub removed: bool,
}

impl Application {
    /// The registration, if the application may call at `now`.
    pub fn callable(&self, now: Timestamp) -> Option<&Arc<Registration>> {
        self.present().filter(|registration| registration.expires_at.is_none_or(|expires_at| now < expires_at))
    }

    /// The registration, if the application has not been removed. It may have expired.
    pub fn present(&self) -> Option<&Arc<Registration>> {
        self.registered.as_ref().filter(|_| !self.removed).map(|(_, registration)| registration)
    }

    /// Joins the state from another node or a later record.
    pub fn merge(&mut self, other: Self) {
        self.removed |= other.removed;
        self.registered = match (self.registered.take(), other.registered) {
            (Some(mine), Some(other)) => Some(if mine.0 <= other.0 { mine } else { other }),
            (mine, other) => mine.or(other),
        };
    }
}
