//! The usual form of a credential: a row of fixed size, without a pointer.
//!
//! It holds nearly every live credential. A credential that does not fit it, or is rare, such as a revoked one, is kept
//! as a whole beside the rows: see [`super::store`].

use super::handle::{Layout, SubjectHandle};
use super::numbers::{Number, Numbers};
use super::subjects::Subjects;
use crate::domain::{
    ApplicationId, Generation, Issue, Issuer, KeyId, MAX_INTEGER, Origin, Parent, RecordId, Sequence, Timestamp,
};

/// The values whose numbers rows hold.
pub(super) struct InternedValues {
    pub(super) subjects: Subjects,
    /// Kept permanently, up to [`MAX_RECORDERS`]: as many as applications issue at nodes.
    pub(super) recorders: Numbers<Recorder>,
    /// Kept permanently, up to [`MAX_SIGNERS`].
    pub(super) signers: Numbers<Signer>,
    /// What credentials share that were issued at about the same time, or from one parent.
    pub(super) inherited: Numbers<Inherited>,
}

/// A credential's generation and its parent. Most have neither, and those of one parent usually have the same.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Inherited {
    pub(super) generation: Generation,
    pub(super) parent: Option<Parent>,
}

impl Inherited {
    pub(super) fn of(issue: &Issue) -> Self {
        Self { generation: issue.generation.clone(), parent: issue.parent() }
    }

    fn is_nothing(&self) -> bool {
        self.generation.is_empty() && self.parent.is_none()
    }
}

/// Who recorded an issue: an origin, for an application or not.
pub(super) type Recorder = (Origin, Option<ApplicationId>);
/// The signer of a JWT: its issuer, and the key if that is known.
pub(super) type Signer = (Issuer, Option<KeyId>);

/// Signers of JWTs that have a number: a ledger with more gains little by it.
const MAX_SIGNERS: u32 = 65_536;
/// Recorders that have a number; it takes 20 bits, and 0 means none.
const MAX_RECORDERS: u32 = (1 << RECORDER_BITS) - 1;

impl InternedValues {
    pub(super) fn new(layout: Layout) -> Self {
        Self {
            subjects: Subjects::new(layout),
            recorders: Numbers::default(),
            signers: Numbers::default(),
            inherited: Numbers::default(),
        }
    }

    pub(super) fn inherited(&self, number: Option<Number>) -> Inherited {
        number.and_then(|number| self.inherited.get(number)).unwrap_or_default()
    }

    pub(super) fn hold_inherited(&self, inherited: &Inherited) -> Option<Number> {
        (!inherited.is_nothing()).then(|| self.inherited.hold(inherited))
    }

    pub(super) fn signer(&self, signer: &Signer) -> Option<Number> {
        self.signers.keep(signer, MAX_SIGNERS)
    }

    /// The place of an issue, and the application that issued it, in eight bytes: 20 bits for the recorder, and 44 for
    /// the sequence. A row that has it must release it.
    pub(super) fn hold_place(&self, place: RecordId, application: Option<ApplicationId>) -> Option<PackedPlace> {
        if place.sequence.0 >> SEQUENCE_BITS != 0 {
            return None;
        }
        let recorder = self.recorders.hold_within(&(place.origin, application), MAX_RECORDERS)?;
        Some(PackedPlace(u64::from(recorder.get()) << SEQUENCE_BITS | place.sequence.0))
    }

    pub(super) fn release_place(&self, place: PackedPlace) {
        if let Some(recorder) = place.recorder() {
            self.recorders.release(recorder);
        }
    }

    pub(super) fn unpack_place(&self, place: PackedPlace) -> Option<(RecordId, Option<ApplicationId>)> {
        let sequence = Sequence(place.0 & ((1 << SEQUENCE_BITS) - 1));
        let (origin, application) = self.recorders.get(place.recorder()?)?;
        Some((RecordId { origin, sequence }, application))
    }
}

const RECORDER_BITS: u32 = 20;
const SEQUENCE_BITS: u32 = u64::BITS - RECORDER_BITS;

/// The place of an issue, and its application, as far as they fit eight bytes. By default that of nothing.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct PackedPlace(u64);

impl PackedPlace {
    fn recorder(self) -> Option<Number> {
        Number::new((self.0 >> SEQUENCE_BITS) as u32)
    }
}

/// A credential's row. `N` is the size of its name: 32 bytes, or 48 for a session, which has an id besides its token's
/// digest.
pub(super) struct Packed<const N: usize> {
    pub(super) name: [u8; N],
    /// When it was issued, in the lower 53 bits; above them the highest bits of the delay until its latest use or
    /// extension.
    pub(super) issued: u64,
    pub(super) place: PackedPlace,
    pub(super) subject: SubjectHandle,
    pub(super) life: Span,
    /// The lowest bits of that.
    pub(super) late: u32,
    /// For a ticket its life without use, in seconds; for a session how long it lasts unless it is extended; for a JWT
    /// its signer's number.
    pub(super) form: u32,
    /// The slot of the key that seals its personal data, plus 1; for a token its claims.
    pub(super) slot: u32,
    pub(super) inherited: Option<Number>,
}

/// The times in a row.
pub(super) struct RowTimes {
    pub(super) issued_at: Timestamp,
    pub(super) not_after: Timestamp,
    /// The latest use or extension; the issue itself if there was none.
    pub(super) latest: Timestamp,
}

const ISSUED_BITS: u32 = 53;
const LATE_HIGH_BITS: u32 = 64 - ISSUED_BITS;

impl<const N: usize> Packed<N> {
    /// A row without the parts that only some have, if it fits, and without its place. The caller holds that last, so that a
    /// row that does not fit after all holds nothing.
    pub(super) fn new(name: [u8; N], subject: SubjectHandle, times: RowTimes) -> Option<Self> {
        let life = Span::between(times.issued_at, times.not_after)?;
        let issued = times.issued_at.as_millis();
        let (place, form, slot, inherited) = (PackedPlace::default(), 0, 0, None);
        let mut packed = Self { name, issued, place, subject, life, late: 0, form, slot, inherited };
        packed.set_latest(times.latest).then_some(packed)
    }

    pub(super) fn issued_at(&self) -> Timestamp {
        instant(self.issued & MAX_INTEGER)
    }

    pub(super) fn not_after(&self) -> Timestamp {
        self.life.after(self.issued_at())
    }

    pub(super) fn latest(&self) -> Timestamp {
        let late = (self.issued >> ISSUED_BITS) << 32 | u64::from(self.late);
        self.issued_at().plus_millis(late)
    }

    /// Notes a use or an extension. False if it does not fit.
    pub(super) fn set_latest(&mut self, latest: Timestamp) -> bool {
        let Some(late) = latest.as_millis().checked_sub(self.issued & MAX_INTEGER) else { return false };
        if late >> 32 >= 1 << LATE_HIGH_BITS {
            return false;
        }
        self.issued = self.issued & MAX_INTEGER | (late >> 32) << ISSUED_BITS;
        self.late = late as u32;
        true
    }
}

/// The form of an optional slot of a sealing key, if that fits.
pub(super) fn pack_slot(slot: Option<u64>) -> Option<u32> {
    match slot {
        None => Some(0),
        Some(slot) => u32::try_from(slot).ok()?.checked_add(1),
    }
}

pub(super) fn unpack_slot(slot: u32) -> Option<u64> {
    slot.checked_sub(1).map(u64::from)
}

fn instant(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis).unwrap_or_default()
}

/// A span of up to 24 days in milliseconds, or of up to 68 years in whole seconds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Span(u32);

impl Span {
    const SECONDS: u32 = 1 << 31;

    pub(super) fn between(from: Timestamp, to: Timestamp) -> Option<Self> {
        let millis = to.as_millis().checked_sub(from.as_millis())?;
        let small = |span: u64| u32::try_from(span).ok().filter(|span| *span < Self::SECONDS);
        let seconds = || if millis % 1000 == 0 { small(millis / 1000) } else { None };
        small(millis).or_else(|| Some(seconds()? | Self::SECONDS)).map(Self)
    }

    pub(super) fn after(self, from: Timestamp) -> Timestamp {
        let span = u64::from(self.0 & !Self::SECONDS);
        from.plus_millis(if self.0 & Self::SECONDS == 0 { span } else { span * 1000 })
    }

    pub(super) const fn bits(self) -> u32 {
        self.0
    }

    pub(super) const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }
}

/// The numbers of a row as they are in a snapshot, little-endian; the place, the subject and values with a number of
/// this process are there by themselves.
pub(super) const ROW_NUMBERS: usize = 24;

impl<const N: usize> Packed<N> {
    pub(super) fn write_numbers(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.issued.to_le_bytes());
        for number in [self.life.0, self.late, self.form, self.slot] {
            out.extend_from_slice(&number.to_le_bytes());
        }
    }

    pub(super) fn read(
        name: [u8; N],
        numbers: &[u8; ROW_NUMBERS],
        place: PackedPlace,
        subject: SubjectHandle,
        inherited: Option<Number>,
    ) -> Self {
        let number = |at: usize| u32::from_le_bytes([numbers[at], numbers[at + 1], numbers[at + 2], numbers[at + 3]]);
        let issued = u64::from(number(0)) | u64::from(number(4)) << 32;
        let (life, late, form, slot) = (Span(number(8)), number(12), number(16), number(20));
        Self { name, issued, place, subject, life, late, form, slot, inherited }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::{
        Actor, CredentialRef, CredentialRevoked, Digest, Event, Kind, Recorded, Subject, Tenant, TicketIssued, Ttl,
    };
    use crate::projection::Projection;

    fn times() -> impl Strategy<Value = [u64; 3]> {
        let late = || prop_oneof![Just(0), 0..1u64 << 33, 0..1u64 << 44, Just(400 * 86_400_000)];
        (0..MAX_INTEGER - (1 << 45), late(), late())
            .prop_map(|(issued, life, latest)| [issued, issued + life, issued + latest])
    }

    proptest! {
        #[test]
        fn a_credential_that_fits_a_row_is_read_as_it_was_written(millis in times(), earlier in any::<bool>()) {
            let [issued_at, not_after, mut latest] = millis.map(instant);
            if earlier {
                latest = instant(issued_at.as_millis().saturating_sub(1));
            }
            let subject = SubjectHandle::new(1, 1);
            let row = Packed::new([7; 32], subject, RowTimes { issued_at, not_after, latest });
            if let Some(row) = row {
                prop_assert_eq!([row.issued_at(), row.not_after(), row.latest()], [issued_at, not_after, latest]);
            } else {
                prop_assert!(latest < issued_at || not_after.millis_since(issued_at) >= 1 << 31
                    || latest.millis_since(issued_at) >= 1 << 43);
            }
        }
    }

    #[test]
    fn an_application_has_a_number_as_long_as_it_has_a_row() {
        let projection = Projection::default();
        let origin = Origin::from_random([0; Origin::LEN]);
        let application = ApplicationId(uuid::Uuid::from_u128(7));
        let recorded = |sequence, event| Recorded {
            place: RecordId { origin, sequence: Sequence(sequence) },
            recorded_at: instant(1_000),
            tenant: Some(Tenant::default()),
            actor: Some(Actor::Application(application)),
            request: None,
            idempotency: None,
            event,
        };
        let ticket = |n: u8| TicketIssued {
            digest: Digest::from_bytes([n; 32]),
            subject: Subject::new("ada").expect("a subject"),
            issued_at: None,
            ttl: Ttl::from_seconds(60).expect("a life"),
            expires_at: instant(61_000),
            not_after: instant(61_000),
            generation: Generation::default(),
            parent: None,
        };
        projection.fold(&recorded(1, Event::TicketIssued(ticket(1))));
        projection.fold(&recorded(2, Event::TicketIssued(ticket(2))));
        let number = || projection.shared.recorders.find(&(origin, Some(application)));
        assert!(number().is_some());
        projection.fold(&recorded(
            3,
            Event::Revoked(CredentialRevoked {
                kind: Kind::Ticket,
                credential: CredentialRef::Digest(Digest::from_bytes([1; 32])),
                session_digest: None,
                subject: None,
                known: true,
                retain_until: instant(100_000),
                reason: None,
                note: None,
            }),
        ));
        assert!(number().is_some(), "a revoked ticket is kept whole, and the other one is a row");
        projection.prune(instant(70_000));
        assert!(number().is_none(), "nothing of the application is left");
    }

    #[test]
    fn rows_are_as_small_as_they_are_meant_to_be() {
        assert_eq!((size_of::<Packed<32>>(), size_of::<Packed<48>>()), (72, 88));
    }
}
