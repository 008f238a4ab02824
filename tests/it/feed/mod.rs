//! The feed in this process: two origins, and cursors that travel between nodes.

mod cursor;
mod pair;
mod travel;
