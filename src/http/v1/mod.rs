//! The native API: one endpoint a file.

mod application;
mod as_of;
mod asked;
mod clock;
mod confirmation;
mod device;
mod erase;
mod event;
mod events;
mod extend_session;
mod find_session;
mod history;
mod import;
mod introspect;
mod issue_session;
mod issue_ticket;
mod issue_token;
mod key;
mod list_applications;
mod list_keys;
mod nodes;
mod noop;
mod oauth_client;
mod parent;
mod prove;
mod register_application;
mod remove_application;
mod revoke;
mod rotate_key;
mod sealed;
mod session;
mod status;
mod subject;
mod target;
mod uses;
mod withdraw_key;

pub use as_of::{as_of, presented_as_of};
pub use clock::{accept_clock, show_clock};
pub use erase::erase;
pub use event::event;
pub use events::events;
pub use extend_session::extend_session;
pub use find_session::find_session;
pub use history::{history, presented_history};
pub use import::import;
pub use introspect::introspect;
pub use issue_session::issue_session;
pub use issue_ticket::issue_ticket;
pub use issue_token::issue_token;
pub use list_applications::list_applications;
pub use list_keys::list_keys;
pub use nodes::{join_node, list_nodes, promote_node, reach, remove_node};
pub use noop::noop;
pub use prove::prove;
pub use register_application::register_application;
pub use remove_application::remove_application;
pub use revoke::revoke;
pub use rotate_key::rotate_key;
pub use sealed::sealed;
pub use status::status;
pub use subject::subject;
pub use uses::report_uses;
pub use withdraw_key::withdraw_key;

/// This surface's part of the OpenAPI document.
#[derive(utoipa::OpenApi)]
#[openapi(paths(
    register_application::register_application,
    list_applications::list_applications,
    remove_application::remove_application,
    issue_ticket::issue_ticket,
    issue_session::issue_session,
    find_session::find_session,
    extend_session::extend_session,
    issue_token::issue_token,
    introspect::introspect,
    revoke::revoke,
    import::import,
    uses::report_uses,
    subject::subject,
    erase::erase,
    events::events,
    event::event,
    prove::prove,
    sealed::sealed,
    history::history,
    history::presented_history,
    as_of::as_of,
    as_of::presented_as_of,
    rotate_key::rotate_key,
    list_keys::list_keys,
    withdraw_key::withdraw_key,
    clock::show_clock,
    clock::accept_clock,
    status::status,
    nodes::list_nodes,
    nodes::join_node,
    nodes::remove_node,
    nodes::promote_node,
    nodes::reach,
))]
pub struct NativeApi;
