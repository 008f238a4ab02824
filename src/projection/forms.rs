//! The rows of a ticket, a session and a token.

use uuid::Uuid;

use super::handle::SubjectHandle;
use super::numbers::Number;
use super::packed::{Inherited, InternedValues, Packed, RowTimes, Span, pack_slot, unpack_slot};
use crate::domain::{
    Credential, CredentialId, CredentialRef, Digest, Issue, IssuedAs, IssuedJwt, Kind, Lifetime, RecordId, Timestamp,
    TokenId, Ttl,
};

/// The part that is the same for rows of every size.
pub(super) trait PackedRow {
    fn id(&self) -> CredentialId;
    fn subject(&self) -> SubjectHandle;
    fn not_after(&self) -> Timestamp;
    /// The place and time of issue.
    fn issued(&self, shared: &InternedValues) -> Option<(RecordId, Timestamp)>;
    /// Releases the recorder and the inherited values whose numbers it holds.
    fn release(&self, shared: &InternedValues);
}

impl<const N: usize> PackedRow for Packed<N> {
    fn id(&self) -> CredentialId {
        let mut id = [0; 16];
        id.copy_from_slice(&self.name[..16]);
        CredentialId::from_bytes(id)
    }

    fn subject(&self) -> SubjectHandle {
        self.subject
    }

    fn not_after(&self) -> Timestamp {
        self.not_after()
    }

    fn issued(&self, shared: &InternedValues) -> Option<(RecordId, Timestamp)> {
        Some((shared.unpack_place(self.place)?.0, self.issued_at()))
    }

    fn release(&self, shared: &InternedValues) {
        shared.release_place(self.place);
        if let Some(number) = self.inherited {
            shared.inherited.release(number);
        }
    }
}

/// A kind's row, and its kind.
pub(super) trait RowKind: Sized + Send + Sync {
    const KIND: Kind;

    fn row(&self) -> &impl PackedRow;
    /// The digest of its secret, if it has one.
    fn digest(&self) -> Option<Digest>;

    /// The value as a row, if it fits one. The row holds the numbers in it until it is released.
    fn pack(id: CredentialId, credential: &Credential, subject: SubjectHandle, shared: &InternedValues)
    -> Option<Self>;
    /// The value. Nothing, if a value whose number it holds is gone, which does not happen while its shard is locked.
    fn unpack(&self, shared: &InternedValues) -> Option<Credential>;
}

pub(super) struct TicketRow(pub(super) Packed<32>);
pub(super) struct SessionRow(pub(super) Packed<48>);
pub(super) struct TokenRow(pub(super) Packed<32>);

impl RowKind for TicketRow {
    const KIND: Kind = Kind::Ticket;

    fn row(&self) -> &impl PackedRow {
        &self.0
    }

    fn digest(&self) -> Option<Digest> {
        Some(Digest::from_bytes(self.0.name))
    }

    fn pack(id: CredentialId, ticket: &Credential, subject: SubjectHandle, shared: &InternedValues) -> Option<Self> {
        let issue = usual(ticket)?;
        let (Some(digest), Lifetime::Sliding(ttl)) =
            (issue.digest().filter(|digest| digest.id() == id), issue.lifetime)
        else {
            return None;
        };
        let (issued_at, not_after) = (issue.issued_at, issue.not_after);
        let times = RowTimes { issued_at, not_after, latest: ticket.latest };
        let packed = Packed::new(*digest.as_bytes(), subject, times)?;
        let form = u32::try_from(ttl.as_seconds()).ok()?;
        let place = shared.hold_place(issue.place, issue.application)?;
        Some(Self(Packed { place, form, inherited: shared.hold_inherited(&Inherited::of(issue)), ..packed }))
    }

    fn unpack(&self, shared: &InternedValues) -> Option<Credential> {
        let (tenant, subject) = shared.subjects.names(self.0.subject)?;
        let (place, application) = shared.unpack_place(self.0.place)?;
        let Inherited { generation, parent } = shared.inherited(self.0.inherited);
        let issue = Issue {
            place,
            application,
            tenant,
            subject,
            name: IssuedAs::Secret(Some(Digest::from_bytes(self.0.name))),
            issued_at: self.0.issued_at(),
            lifetime: Lifetime::Sliding(Ttl::from_seconds(u64::from(self.0.form))?),
            not_after: self.0.not_after(),
            generation,
            parent: parent.map(Box::new),
            confirmation: None,
            slot: None,
        };
        Some(Credential { latest: self.0.latest(), ..Credential::issued(issue) })
    }
}

/// The issue of a credential that was neither revoked, nor named otherwise than by its issue.
fn usual(credential: &Credential) -> Option<&Issue> {
    credential.issue.as_ref().filter(|_| credential.revocations.is_empty())
}

/// When a fixed life expires.
const fn fixed_expiry(issue: &Issue) -> Option<Timestamp> {
    match issue.lifetime {
        Lifetime::Fixed(expires_at) => Some(expires_at),
        Lifetime::Sliding(_) => None,
    }
}

impl RowKind for SessionRow {
    const KIND: Kind = Kind::Session;

    fn row(&self) -> &impl PackedRow {
        &self.0
    }

    fn digest(&self) -> Option<Digest> {
        let mut digest = [0; 32];
        digest.copy_from_slice(&self.0.name[16..]);
        Some(Digest::from_bytes(digest))
    }

    fn pack(id: CredentialId, session: &Credential, subject: SubjectHandle, shared: &InternedValues) -> Option<Self> {
        let issue = usual(session)?;
        let extended = session.latest != Timestamp::default();
        // A row has no room for an extension that extends nothing.
        if extended && session.latest <= issue.issued_at {
            return None;
        }
        let mut name = [0; 48];
        name[..16].copy_from_slice(id.as_bytes());
        name[16..].copy_from_slice(issue.digest()?.as_bytes());
        let (issued_at, not_after) = (issue.issued_at, issue.not_after);
        let latest = if extended { session.latest } else { issued_at };
        let packed = Packed::new(name, subject, RowTimes { issued_at, not_after, latest })?;
        let form = Span::between(issued_at, fixed_expiry(issue)?)?.bits();
        let slot = pack_slot(issue.slot)?;
        let place = shared.hold_place(issue.place, issue.application)?;
        Some(Self(Packed { place, form, slot, inherited: shared.hold_inherited(&Inherited::of(issue)), ..packed }))
    }

    fn unpack(&self, shared: &InternedValues) -> Option<Credential> {
        let (tenant, subject) = shared.subjects.names(self.0.subject)?;
        let (place, application) = shared.unpack_place(self.0.place)?;
        let issued_at = self.0.issued_at();
        let Inherited { generation, parent } = shared.inherited(self.0.inherited);
        let issue = Issue {
            place,
            application,
            tenant,
            subject,
            name: IssuedAs::Secret(self.digest()),
            issued_at,
            lifetime: Lifetime::Fixed(Span::from_bits(self.0.form).after(issued_at)),
            not_after: self.0.not_after(),
            generation,
            parent: parent.map(Box::new),
            confirmation: None,
            slot: unpack_slot(self.0.slot),
        };
        let extended_to = Some(self.0.latest()).filter(|latest| *latest > issued_at);
        Some(Credential { latest: extended_to.unwrap_or_default(), ..Credential::issued(issue) })
    }
}

impl TokenRow {
    /// The name of a JWT whose `jti` is a UUID, as this ledger's are: 16 bytes after the 16 of its id.
    fn jwt_name(id: CredentialId, jwt: &IssuedJwt, shared: &InternedValues) -> Option<([u8; 32], u32)> {
        let CredentialRef::Jwt { issuer, jti } = &jwt.name else { return None };
        let uuid = Uuid::try_parse(jti.as_str()).ok()?;
        let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
        if uuid.hyphenated().encode_lower(&mut text) != jti.as_str() {
            return None;
        }
        let mut name = [0; 32];
        name[..16].copy_from_slice(id.as_bytes());
        name[16..].copy_from_slice(uuid.as_bytes());
        Some((name, shared.signer(&(issuer.clone(), jwt.key.clone()))?.get()))
    }

    fn name(&self, shared: &InternedValues) -> Option<IssuedAs> {
        let Some(signer) = Number::new(self.0.form) else { return Some(IssuedAs::Secret(self.digest())) };
        let mut jti = [0; 16];
        jti.copy_from_slice(&self.0.name[16..]);
        let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
        let jti = TokenId::new(Uuid::from_bytes(jti).hyphenated().encode_lower(&mut text)).ok()?;
        let (issuer, key) = shared.signers.get(signer)?;
        Some(IssuedAs::Jwt(Box::new(IssuedJwt { name: CredentialRef::Jwt { issuer, jti }, key })))
    }
}

impl RowKind for TokenRow {
    const KIND: Kind = Kind::Token;

    fn row(&self) -> &impl PackedRow {
        &self.0
    }

    fn digest(&self) -> Option<Digest> {
        (self.0.form == 0).then(|| Digest::from_bytes(self.0.name))
    }

    fn pack(id: CredentialId, token: &Credential, subject: SubjectHandle, shared: &InternedValues) -> Option<Self> {
        // A row has no room for what a token is bound to: few tokens are.
        let is_plain = |issue: &&Issue| token.latest == Timestamp::default() && issue.confirmation.is_none();
        let issue = usual(token).filter(is_plain)?;
        let (name, form) = match &issue.name {
            IssuedAs::Secret(digest) => (*digest.filter(|digest| digest.id() == id)?.as_bytes(), 0),
            IssuedAs::Jwt(jwt) => Self::jwt_name(id, jwt, shared)?,
        };
        let (issued_at, not_after) = (issue.issued_at, issue.not_after);
        let times = RowTimes { issued_at, not_after, latest: issued_at };
        let packed = Packed::new(name, subject, times).filter(|_| fixed_expiry(issue) == Some(not_after))?;
        let slot = pack_slot(issue.slot)?;
        let place = shared.hold_place(issue.place, issue.application)?;
        Some(Self(Packed { place, form, slot, inherited: shared.hold_inherited(&Inherited::of(issue)), ..packed }))
    }

    fn unpack(&self, shared: &InternedValues) -> Option<Credential> {
        let (tenant, subject) = shared.subjects.names(self.0.subject)?;
        let (place, application) = shared.unpack_place(self.0.place)?;
        let not_after = self.0.not_after();
        let Inherited { generation, parent } = shared.inherited(self.0.inherited);
        let issue = Issue {
            place,
            application,
            tenant,
            subject,
            name: self.name(shared)?,
            issued_at: self.0.issued_at(),
            lifetime: Lifetime::Fixed(not_after),
            not_after,
            generation,
            parent: parent.map(Box::new),
            confirmation: None,
            slot: unpack_slot(self.0.slot),
        };
        Some(Credential::issued(issue))
    }
}

/// The keys by which a credential's issue is found elsewhere.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct IssuedRow {
    pub(super) place: RecordId,
    pub(super) subject: SubjectHandle,
    pub(super) issued_at: Timestamp,
    pub(super) digest: Option<Digest>,
}

impl IssuedRow {
    pub(super) fn of(credential: &Credential, subject: Option<SubjectHandle>) -> Option<Self> {
        let issue = credential.issue.as_ref()?;
        Some(Self {
            place: issue.place,
            subject: subject?,
            issued_at: issue.issued_at,
            digest: issue.digest().copied(),
        })
    }

    pub(super) fn of_row(row: &impl RowKind, shared: &InternedValues) -> Option<Self> {
        let (place, issued_at) = row.row().issued(shared)?;
        Some(Self { place, subject: row.row().subject(), issued_at, digest: row.digest() })
    }
}
