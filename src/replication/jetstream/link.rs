//! The connection to a region's servers: kept up, with the tasks that run over it.
//!
//! A lost connection is not repaired but thrown away, with all tasks that ran over it, and a new one is made: then
//! nothing that was sent before can linger in a buffer, and every task looks at the servers afresh.

use std::sync::Arc;
use std::time::Duration;

use async_nats::{Client, ConnectOptions, Event};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::counted::add;
use super::session::{BrokerSession, SUBSCRIPTION_MESSAGES};
use super::settings::Servers;
use super::{CourierState, announce, follow, listen, publish};
use crate::domain::Region;

/// The pause before the next attempt to connect.
const RECONNECT_DELAY: Duration = Duration::from_millis(250);
/// How long connecting and its handshakes may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(2);
/// How long a question to JetStream may wait for its answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// How often an idle connection is pinged. It counts as lost after two that were not answered.
const PING_EVERY: Duration = Duration::from_secs(1);
/// How often a connection is checked, should the client fail to report its loss.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Commands that wait for the connection.
const CLIENT_COMMANDS: usize = 64;

/// Keeps a connection until `stop` is true.
pub(super) async fn keep(servers: Servers, is_own: bool, shared: Arc<CourierState>, mut stop: watch::Receiver<bool>) {
    tokio::select! {
        () = again_and_again(&servers, is_own, &shared) => {}
        _ = stop.wait_for(|stop| *stop) => {}
    }
}

async fn again_and_again(servers: &Servers, is_own: bool, shared: &Arc<CourierState>) {
    let region = &servers.region;
    let (mut connections, mut is_known_to_fail) = (0u64, false);
    loop {
        match connect(servers).await {
            Ok((client, lost)) => {
                tracing::info!(%region, "connected to the region's NATS servers");
                connections += 1;
                is_known_to_fail = false;
                if connections > 1 {
                    add(&shared.counted.reconnects);
                }
                session(client, lost, servers.region.clone(), is_own, shared).await;
                tracing::warn!(%region, "the connection to the region's NATS servers is lost; trying to make a new one");
            }
            Err(error) if !is_known_to_fail => {
                is_known_to_fail = true;
                tracing::warn!(%region, %error, "the region's NATS servers can't be reached; trying until they can");
            }
            Err(error) => tracing::debug!(%region, %error, "the region's NATS servers still can't be reached"),
        }
        // Servers that restart are tried four times a second, and not without a pause, until the node stops (`keep`).
        tokio::time::sleep(RECONNECT_DELAY).await;
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
enum LinkError {
    #[error("the credentials file {path} can't be used: {source}")]
    Credentials { path: String, source: std::io::Error },
    #[error("{0}")]
    Connect(#[from] async_nats::ConnectError),
}

/// A connection, and the signal that it is lost.
async fn connect(servers: &Servers) -> Result<(Client, watch::Receiver<bool>), LinkError> {
    let (lose, lost) = watch::channel(false);
    let mut options = ConnectOptions::new()
        .name("authledger")
        .connection_timeout(CONNECT_WITHIN)
        .request_timeout(Some(ANSWER_WITHIN))
        .ping_interval(PING_EVERY)
        .subscription_capacity(SUBSCRIPTION_MESSAGES)
        .client_capacity(CLIENT_COMMANDS)
        .reconnect_delay_callback(|attempt| if attempt <= 1 { Duration::ZERO } else { RECONNECT_DELAY })
        // Each server once; after that the next attempt is ours.
        .max_reconnects(servers.addresses.len())
        .event_callback(move |event| {
            match event {
                Event::Disconnected | Event::Closed => drop(lose.send_replace(true)),
                Event::ServerError(error) => tracing::warn!(%error, "a NATS server refuses something"),
                _ => {}
            }
            std::future::ready(())
        });
    if let Some(user) = &servers.user {
        options = options.user_and_password(user.name.clone(), user.password.clone());
    }
    if let Some(ca) = &servers.ca {
        options = options.add_root_certificates(ca.clone());
    }
    if let Some(path) = &servers.credentials {
        let failed = |source| LinkError::Credentials { path: path.display().to_string(), source };
        options = options.credentials_file(path).await.map_err(failed)?;
    }
    Ok((options.connect(&servers.addresses[..]).await?, lost))
}

/// Runs all tasks of a connection, until it is lost or one of them ends.
async fn session(
    client: Client,
    lost: watch::Receiver<bool>,
    region: Region,
    is_own: bool,
    shared: &Arc<CourierState>,
) {
    let context = async_nats::jetstream::new(client.clone());
    let session = BrokerSession { client: client.clone(), context, region, shared: Arc::clone(shared) };
    // Dropping it ends them.
    let mut tasks = JoinSet::new();
    tasks.spawn(listen::live(session.clone()));
    tasks.spawn(listen::announcements(session.clone()));
    tasks.spawn(follow::all(session.clone()));
    if is_own {
        let (newest, parcels) = watch::channel(None);
        tasks.spawn(publish::live(session.clone(), newest));
        tasks.spawn(publish::in_stream(session.clone(), parcels));
        tasks.spawn(announce::tell(session.clone()));
        tasks.spawn(announce::keep(session));
    }
    tokio::select! {
        () = until_lost(&client, lost) => {}
        // No task ends by itself unless it can't continue.
        ended = tasks.join_next() => if let Some(Err(error)) = ended {
            tracing::error!(%error, "a task of the NATS courier has failed; all are started anew");
        },
    }
}

/// The client reports it by an event, which may be dropped if too many wait; so its count is checked as well.
async fn until_lost(client: &Client, mut lost: watch::Receiver<bool>) {
    let statistics = client.statistics();
    loop {
        let told = tokio::time::timeout(LOOK_EVERY, lost.wait_for(|lost| *lost)).await;
        let is_new = statistics.connects.load(std::sync::atomic::Ordering::Relaxed) > 1;
        if told.is_ok() || is_new {
            return;
        }
    }
}
