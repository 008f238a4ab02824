//! What is answered before a node is ready, and then everything.

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

    /// What connections are given: each request goes to whatever is open when it comes.
    pub fn router(self: &Arc<Self>) -> Router {
        let doors = self.clone();
        Router::new().fallback_service(tower::service_fn(move |request: Request| {
            let open = doors.0.read().clone();
            open.oneshot(request)
        }))
    }
}
