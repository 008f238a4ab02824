//! The routes that are open before a node is ready, and then all routes.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use parking_lot::RwLock;
use tower::ServiceExt as _;

/// Routes that are exchanged while connections are open.
#[derive(Default)]
pub struct Doors(RwLock<Router>);

impl Doors {
    /// Answers with these from now on.
    pub fn open(&self, router: Router) {
        *self.0.write() = router;
    }

    /// The router for connections: each request goes to the routes that are open when it comes.
    pub fn router(self: &Arc<Self>) -> Router {
        let doors = self.clone();
        Router::new().fallback_service(tower::service_fn(move |request: Request| {
            let open = doors.0.read().clone();
            open.oneshot(request)
        }))
    }
}
