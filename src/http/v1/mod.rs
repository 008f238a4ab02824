//! The native API: one endpoint a file.

mod application;
mod event;
mod events;
mod introspect;
mod issue_ticket;
mod list_applications;
mod noop;
mod register_application;
mod remove_application;
mod revoke;
mod status;
mod subject;

pub use event::event;
pub use events::events;
pub use introspect::introspect;
pub use issue_ticket::issue_ticket;
pub use list_applications::list_applications;
pub use noop::noop;
pub use register_application::register_application;
pub use remove_application::remove_application;
pub use revoke::revoke;
pub use status::status;
pub use subject::subject;

/// This surface's part of the OpenAPI document.
#[derive(utoipa::OpenApi)]
#[openapi(paths(
    register_application::register_application,
    list_applications::list_applications,
    remove_application::remove_application,
    issue_ticket::issue_ticket,
    introspect::introspect,
    revoke::revoke,
    subject::subject,
    events::events,
    event::event,
    status::status,
))]
pub struct Api;
