//! The feed in this process: two origins, and cursors that travel between nodes.

mod cursor;
mod items;
mod pair;
mod travel;
