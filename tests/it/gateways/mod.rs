//! Real gateways, configured by the files of `tools/gateways`: what a client gets, what reaches the backend, and what the check is asked.
//!
//! Authority and backend are servers in the test's process, so that a test sees both sides; `nodes` has real ones.

mod answers;
mod apache;
mod authority;
mod backend;
mod client;
mod cluster;
mod edges;
mod grpc;
mod identity;
mod manifests;
mod nodes;
mod outages;
pub mod port;
pub mod program;
mod requests;

use authority::{Authority, Says};
use backend::Backend;
use program::{Gateway, Running};

/// A gateway that runs, and the servers that it stands between.
struct Stage {
    gateway: Running,
    authority: Authority,
    backend: Backend,
}

impl Stage {
    /// Starts all three; the authority judges by the credential. Nothing if the gateway is not installed.
    async fn set(gateway: Gateway) -> Option<Self> {
        let program = gateway.find()?;
        let authority = Authority::start(gateway.speaks(), Says::Judgement).await;
        let backend = Backend::start().await;
        let gateway = gateway.start(&program, authority.address(), backend.address()).await;
        // The gateway has asked already, when it was waited for.
        authority.asked();
        Some(Self { gateway, authority, backend })
    }
}

/// The test for each gateway, in a module named after it.
macro_rules! with_each_gateway {
    ($($test:ident),+ $(,)?) => {
        with_each_gateway!(@ nginx Nginx $($test)+);
        with_each_gateway!(@ haproxy HaProxy $($test)+);
        with_each_gateway!(@ caddy_2_6 CaddyOfDebian $($test)+);
        with_each_gateway!(@ caddy Caddy $($test)+);
        with_each_gateway!(@ traefik Traefik $($test)+);
        with_each_gateway!(@ envoy Envoy $($test)+);
        with_each_gateway!(@ envoy_grpc EnvoyGrpc $($test)+);
    };
    (@ $module:ident $gateway:ident $($test:ident)+) => {
        mod $module {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $test() {
                    super::$test(crate::gateways::program::Gateway::$gateway).await;
                }
            )+
        }
    };
}
use with_each_gateway;
