//! Members of the ledger, as administrators see and change them.

mod join;
mod list;
mod promote;
mod reach;
mod remove;

pub use join::{__path_join_node, join_node};
pub use list::{__path_list_nodes, list_nodes};
pub use promote::{__path_promote_node, promote_node};
pub use reach::{__path_reach, reach};
pub use remove::{__path_remove_node, remove_node};
