//! Rows of a snapshot: credentials in their usual form, as bytes that need little decoding.
//!
//! A row is the credential's name, its numbers, the place of its issue, and its subject. Values that many rows share
//! come before a block's rows, and a row refers to them by number, from 1; 0 means none. Numbers are little-endian.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::super::Projection;
use super::super::forms::{IssuedRow, PackedRow as _, RowKind, SessionRow, TicketRow, TokenRow};
use super::super::names::Spelled;
use super::super::numbers::Number;
use super::super::packed::{Inherited, InternedValues, Packed, ROW_NUMBERS, Recorder};
use super::SnapshotError;
use super::blocks::BLOCK_ITEMS;
use super::items::{FORM, ParentItem, PlaceItem, generation_item, origin, parent_item};
use crate::domain::{
    ApplicationId, CredentialId, CredentialKey, HashMap, Issuer, KeyId, Malformed, Origin, Patch, RecordId, Sequence,
    Tenant, Timestamp,
};

/// The values that a block's rows share.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct RefersTo {
    shard: u32,
    pub(super) rows: u32,
    recorders: Vec<([u8; Origin::LEN], Option<[u8; 16]>)>,
    tenants: Vec<String>,
    signers: Vec<(String, Option<String>)>,
    inherited: Vec<(Vec<PlaceItem>, Option<ParentItem>)>,
}

/// Rows that are being written.
pub(super) struct RowWriter<'a> {
    shared: &'a InternedValues,
    pub(super) refers_to: RefersTo,
    pub(super) bytes: Vec<u8>,
    tenants: HashMap<Number, u32>,
    signers: HashMap<Number, u32>,
    inherited: HashMap<Number, u32>,
    recorders: HashMap<Recorder, u32>,
}

/// The number of the value among those that are referred to, added if it is new.
fn which<K: std::hash::Hash + Eq, V>(
    known: &mut HashMap<K, u32>,
    key: K,
    all: &mut Vec<V>,
    value: impl FnOnce() -> V,
) -> u32 {
    *known.entry(key).or_insert_with(|| {
        all.push(value());
        all.len() as u32
    })
}

impl<'a> RowWriter<'a> {
    pub(super) fn new(shared: &'a InternedValues, shard: usize) -> Self {
        Self {
            shared,
            refers_to: RefersTo { shard: shard as u32, ..RefersTo::default() },
            bytes: Vec::new(),
            tenants: HashMap::default(),
            signers: HashMap::default(),
            inherited: HashMap::default(),
            recorders: HashMap::default(),
        }
    }

    fn number(&mut self, number: u32) {
        self.bytes.extend_from_slice(&number.to_le_bytes());
    }

    fn packed<const N: usize>(&mut self, row: &Packed<N>) {
        self.bytes.extend_from_slice(&row.name);
        row.write_numbers(&mut self.bytes);
        let shared = self.shared;
        let (place, application) = shared.unpack_place(row.place).unwrap_or_else(|| (super::items::nowhere(), None));
        let recorder = (place.origin, application);
        let text = || (*place.origin.as_bytes(), application.map(|id| *id.0.as_bytes()));
        let which_recorder = which(&mut self.recorders, recorder, &mut self.refers_to.recorders, text);
        self.number(which_recorder);
        self.bytes.extend_from_slice(&place.sequence.0.to_le_bytes());
        let all = &mut self.refers_to.inherited;
        let which_inherited = row.inherited.map_or(0, |number| {
            which(&mut self.inherited, number, all, || inherited_item(&shared.inherited(Some(number))))
        });
        self.number(which_inherited);
        shared.subjects.with_spelled(row.subject, |tenant, name| {
            let text = || shared.subjects.tenant_with(tenant).map_or_else(String::new, |tenant| tenant.to_string());
            let which_tenant = which(&mut self.tenants, tenant, &mut self.refers_to.tenants, text);
            self.number(which_tenant);
            let (mark, bytes) = name.parts();
            self.bytes.push(mark);
            self.bytes.extend_from_slice(bytes);
        });
        self.refers_to.rows += 1;
    }

    fn signer(&mut self, number: u32) -> u32 {
        let Some(number) = Number::new(number) else { return 0 };
        let text = || {
            let (issuer, key) = self.shared.signers.get(number)?;
            Some((issuer.to_string(), key.map(|key| key.as_str().to_owned())))
        };
        which(&mut self.signers, number, &mut self.refers_to.signers, || text().unwrap_or_default())
    }
}

fn inherited_item(inherited: &Inherited) -> (Vec<PlaceItem>, Option<ParentItem>) {
    (generation_item(&inherited.generation), inherited.parent.map(parent_item))
}

fn inherited((generation, parent): (Vec<PlaceItem>, Option<ParentItem>)) -> Result<Inherited, Malformed> {
    Ok(Inherited {
        generation: super::items::generation(generation)?,
        parent: parent.map(super::items::parent).transpose()?,
    })
}

/// A kind's rows.
pub(super) trait RowForm: RowKind {
    fn write(&self, out: &mut RowWriter);
    fn read(input: &mut RowReader) -> Result<Self, Malformed>;
}

impl RowForm for TicketRow {
    fn write(&self, out: &mut RowWriter) {
        out.packed(&self.0);
    }

    fn read(input: &mut RowReader) -> Result<Self, Malformed> {
        input.packed().map(Self)
    }
}

impl RowForm for SessionRow {
    fn write(&self, out: &mut RowWriter) {
        out.packed(&self.0);
    }

    fn read(input: &mut RowReader) -> Result<Self, Malformed> {
        input.packed().map(Self)
    }
}

impl RowForm for TokenRow {
    fn write(&self, out: &mut RowWriter) {
        let signer = out.signer(self.0.form);
        out.number(signer);
        out.packed(&self.0);
    }

    fn read(input: &mut RowReader) -> Result<Self, Malformed> {
        let signer = input.number()? as usize;
        let mut row: Packed<32> = input.packed()?;
        row.form = if signer == 0 { 0 } else { input.signers.get(signer - 1).ok_or(FORM)?.get() };
        Ok(Self(row))
    }
}

/// Rows that are being read, with the values that they refer to.
pub(super) struct RowReader<'a> {
    shared: &'a InternedValues,
    rest: &'a [u8],
    recorders: Vec<Recorder>,
    tenants: Vec<Number>,
    signers: Vec<Number>,
    inherited: Vec<Inherited>,
}

impl<'a> RowReader<'a> {
    fn new(shared: &'a InternedValues, refers_to: &RefersTo, rest: &'a [u8]) -> Result<Self, Malformed> {
        let tenants = refers_to.tenants.iter().map(|tenant| Tenant::new(tenant)).collect::<Result<Vec<_>, _>>()?;
        let signer = |(issuer, key): &(String, Option<String>)| {
            let key = key.as_deref().map(KeyId::new).transpose()?;
            shared.signer(&(Issuer::new(issuer)?, key)).ok_or(FORM)
        };
        let recorder = |(bytes, id): &([u8; Origin::LEN], Option<[u8; 16]>)| {
            Ok::<_, Malformed>((origin(*bytes)?, id.map(|id| ApplicationId(Uuid::from_bytes(id)))))
        };
        Ok(Self {
            shared,
            rest,
            recorders: refers_to.recorders.iter().map(recorder).collect::<Result<_, _>>()?,
            signers: refers_to.signers.iter().map(signer).collect::<Result<_, _>>()?,
            inherited: refers_to.inherited.iter().cloned().map(inherited).collect::<Result<_, _>>()?,
            // Last, because they are held until the rows are read.
            tenants: tenants.iter().map(|tenant| shared.subjects.hold_tenant(tenant)).collect(),
        })
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (bytes, rest) = self.rest.split_first_chunk::<N>().ok_or(FORM)?;
        self.rest = rest;
        Ok(*bytes)
    }

    fn number(&mut self) -> Result<u32, Malformed> {
        self.bytes().map(u32::from_le_bytes)
    }

    fn packed<const N: usize>(&mut self) -> Result<Packed<N>, Malformed> {
        let (name, numbers) = (self.bytes::<N>()?, self.bytes::<ROW_NUMBERS>()?);
        let recorder = self.number()? as usize;
        let (origin, application) = *self.recorders.get(recorder.wrapping_sub(1)).ok_or(FORM)?;
        let place = RecordId { origin, sequence: Sequence(u64::from_le_bytes(self.bytes()?)) };
        let place = self.shared.hold_place(place, application).ok_or(FORM)?;
        let which_inherited = self.number()? as usize;
        let tenant = self.number()? as usize;
        let tenant = *self.tenants.get(tenant.wrapping_sub(1)).ok_or(FORM)?;
        let [mark] = self.bytes::<1>()?;
        let (name_bytes, rest) = self.rest.split_at_checked(Spelled::length(mark)).ok_or(FORM)?;
        self.rest = rest;
        let spelled = Spelled::read(mark, name_bytes).ok_or(FORM)?;
        let inherited = match which_inherited {
            0 => None,
            which => self.shared.hold_inherited(self.inherited.get(which - 1).ok_or(FORM)?),
        };
        // If there is no room for subjects, the state is folded.
        let subject = self.shared.subjects.enter_spelled(tenant, &spelled).ok_or(FORM)?;
        Ok(Packed::read(name, &numbers, place, subject, inherited))
    }
}

/// How many rows a block holds.
pub(super) fn count(content: &[u8]) -> Result<u64, SnapshotError> {
    let (refers_to, _) =
        postcard::take_from_bytes::<RefersTo>(content).map_err(|_| SnapshotError::Damaged("a block can't be read"))?;
    Ok(u64::from(refers_to.rows))
}

/// Sessions whose place in the order of issue is yet to be noted.
pub(super) type SessionIssueTimes = Vec<(Tenant, Timestamp, CredentialId)>;

/// Adds a block's rows; returns how many they were.
pub(super) fn take<F: RowForm>(
    projection: &Projection,
    store: &super::super::store::Store<F>,
    content: &[u8],
    mut note: impl FnMut(CredentialKey, super::super::handle::Handle, &IssuedRow),
) -> Result<u64, Malformed> {
    let (refers_to, rest) = postcard::take_from_bytes::<RefersTo>(content).map_err(|_| FORM)?;
    let mut input = RowReader::new(&projection.shared, &refers_to, rest)?;
    store.reserve(refers_to.shard as usize, (refers_to.rows as usize).min(BLOCK_ITEMS));
    for _ in 0..refers_to.rows {
        let row = F::read(&mut input)?;
        let id = row.row().id();
        projection.note_end(row.row().not_after());
        let issued = IssuedRow::of_row(&row, &projection.shared).ok_or(FORM)?;
        match store.insert(row) {
            Ok(handle) => note(CredentialKey { kind: F::KIND, id }, handle, &issued),
            Err(row) => {
                let value = row.unpack(&projection.shared).ok_or(FORM)?;
                row.row().release(&projection.shared);
                projection.restore(Patch::Credential(CredentialKey { kind: F::KIND, id }, value));
            }
        }
    }
    input.tenants.iter().for_each(|tenant| projection.shared.subjects.release_tenant(*tenant));
    if input.rest.is_empty() { Ok(u64::from(refers_to.rows)) } else { Err(FORM) }
}
