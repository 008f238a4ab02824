//! The messages between the nodes of a ledger, and the decisions that follow from them. No network, no thread and no
//! clock: couriers carry, and tests drive the same code over a network of their own.
//!
//! Trust never depends on the courier: records lead to a head that their origin signed, and a node signs its own
//! announcements. A key counts once a `node.joined` names it.

mod anchors;
mod announcement;
mod head;
mod identity;
mod ingest;
mod kept;
mod parcel;
mod positions;
mod request;
mod sign;
pub mod wire;

pub use anchors::{Anchors, AnchorsError, MAX_VOUCHED, Vouch, VouchText};
pub use announcement::{
    Announcement, CarriedAnnouncement, Incarnation, MAX_ANNOUNCEMENT_BYTES, MAX_SUPERSEDED, Unverified,
};
pub use head::SignedHead;
pub use identity::{
    Begun, Holding, IdentityDecision, LEAST_PATIENCE, OriginRenewal, Own, beside, have_all_answered, identify,
    is_heard, may_write,
};
pub use ingest::{Foreign, Fork, IngestContext, ParcelVerdict, Refusal, Unreadable, judge, other_end};
pub use kept::{KeptError, KeptHeads, replace};
pub use parcel::{MAX_PARCEL_BYTES, Parcel, ParcelError};
pub use positions::{Arrival, HeardAnnouncement, NodeReach, Positions};
pub use request::{MAX_REQUEST_AGE_MILLIS, RequestSignature};
pub use sign::{Signature, verify};
