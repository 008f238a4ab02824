//! The real binary: started, stopped, killed, starved of disk, and followed.

mod clocks;
mod disk;
mod evidence;
mod faults;
mod feed;
pub mod follower;
mod kill;
mod lifecycle;
mod nginx;
pub mod node;
mod pseudonyms;
mod refusals;
mod status_lists;
mod strangers;
mod sync;
pub mod visitors;
