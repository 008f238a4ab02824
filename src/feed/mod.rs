//! The feed: every revocation, in order, for every follower. Frames, cursors and followers; no HTTP.

mod cursor;
mod follower;
mod frame;
mod hub;
mod marked;
mod snapshots;
mod watchers;

pub use cursor::{Cursor, MAX_CURSOR_CHARS, NoCursor, OriginPosition};
pub use follower::{FollowError, FollowStart, FollowedFrames, Follower};
pub use frame::{CohortShown, FeedFilter, FeedItem, Frame, FrameFormat, event_bytes, revoked_kinds, snapshot_items};
pub use hub::{Hub, HubLookup, Tip};
pub use snapshots::{OpenSnapshot, Snapshots};
pub use watchers::{Watcher, Watchers};
