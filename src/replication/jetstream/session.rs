//! What every task that runs over a connection shares.

use std::sync::Arc;

use async_nats::Client;
use async_nats::jetstream::Context;

use super::{CourierState, PARCEL_BYTES};
use crate::domain::Region;

/// Messages that wait in a subscription; it loses those beyond, and the reader finds the gap.
pub(super) const SUBSCRIPTION_MESSAGES: usize = 1024;

/// A connection, and the state that its tasks need.
#[derive(Clone)]
pub(super) struct BrokerSession {
    pub(super) client: Client,
    pub(super) context: Context,
    pub(super) region: Region,
    pub(super) shared: Arc<CourierState>,
}

impl BrokerSession {
    /// How many bytes of records to put into a message: half of the server's limit leaves room for a longer record, and
    /// for headers.
    pub(super) fn parcel_bytes(&self) -> usize {
        PARCEL_BYTES.min(self.client.max_payload() / 2)
    }
}
