//! The feed in this process: two origins, and cursors that travel.
