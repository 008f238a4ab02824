//! The event log: an append-only SQLite file whose records are chained by hash. `schema/event-log.md` defines the bytes.

#[cfg(feature = "server")]
mod batch;
mod chain;
#[cfg(feature = "server")]
mod copy;
mod error;
mod files;
mod links;
#[cfg(feature = "server")]
mod locks;
mod ordered;
#[cfg(feature = "server")]
mod queue;
mod reader;
mod record;
#[cfg(feature = "server")]
mod rescue;
mod schema;
mod store;
#[cfg(feature = "server")]
mod wal;
#[cfg(feature = "server")]
mod watch;
#[cfg(feature = "server")]
mod writer;

#[cfg(feature = "server")]
pub use batch::{Batch, ForeignError, LogEntry, Machine};
pub use chain::{Chain, ChainHash};
#[cfg(feature = "server")]
pub use copy::{CopyError, CopyWriter};
pub use error::{Damage, Fault, OpenError, ReadError, is_corruption};
#[cfg(feature = "server")]
pub use files::OpenLog;
#[cfg(feature = "server")]
pub use queue::{Queued, SubmitError, WriterHandle};
pub use reader::{Base, Head, Lineage, MAX_PAGE_ROWS, Reader, RowRecord, StoredRecord};
pub use record::{MAX_RECORD_BYTES, RecordError, decode, decode_by_definition, encode};
#[cfg(feature = "server")]
pub use rescue::refuse_rescued;
pub use rusqlite::Error as SqliteError;
pub use schema::{Added, BrokenGuard, SchemaChanges};
pub use store::{DataDirectory, FORMAT, open_for_reading, open_for_writing};
#[cfg(feature = "server")]
pub use wal::WalCopier;
#[cfg(feature = "server")]
pub use watch::{Observed, ROOM_FOR_A_BATCH_BYTES, RemovedLog, Rescue};
#[cfg(feature = "server")]
pub use writer::{NowFn, Writer, WriterStart};
