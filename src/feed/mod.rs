//! The feed: every revocation, in order, for every follower. Frames, cursors and followers; no HTTP.

mod cursor;
mod follower;
mod frame;
mod hub;

pub use cursor::{Cursor, NoCursor, Reached};
pub use follower::{FollowError, Follower, Start, Taken};
pub use frame::{Filter, Format, Frame, Item, event_bytes, revoked_kinds, snapshot_items};
pub use hub::{Found, Hub, Tip};
