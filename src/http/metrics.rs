//! `GET /metrics`, as OpenMetrics text.

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

use super::{App, SharedApp};
use crate::telemetry::METRICS_CONTENT_TYPE;

/// Everything that is counted.
pub async fn show(State(app): State<SharedApp>) -> Response {
    measure(&app);
    ([(CONTENT_TYPE, METRICS_CONTENT_TYPE)], app.metrics.encode()).into_response()
}

/// The numbers that are only known when somebody looks.
fn measure(app: &App) {
    let counts = app.service.counts();
    app.metrics.head_position.set(app.service.base().position.0);
    let clock = app.service.clock().standing();
    let offset = clock.wall.as_millis().cast_signed() - clock.ledger.as_millis().cast_signed();
    app.metrics.clock_offset_millis.set(offset);
    app.metrics.clock_unsettled_millis.set(clock.jump.map_or(0, |jump| jump.unsettled_millis.max(1)));
    for (kind, entities) in [
        ("application", counts.applications),
        ("ticket", counts.tickets),
        ("subject", counts.subjects),
        ("idempotency_key", counts.idempotency_keys),
    ] {
        app.metrics.entities(kind).set(entities as u64);
    }
    let observed = app.service.observed();
    app.metrics.wal_bytes.set(observed.wal_bytes);
    app.metrics.disk_free_bytes.set(observed.disk_free_bytes);
    if app.service.cluster().has_others() {
        measure_nodes(app);
    }
}

/// A node without members has none of these.
fn measure_nodes(app: &App) {
    let cluster = app.service.cluster();
    let (trouble, members) = (cluster.alarms().trouble(), cluster.members());
    for (kind, count) in [
        ("member", members.counting(None).count()),
        ("forked_origin", trouble.forked.len()),
        ("unreadable_origin", trouble.unreadable.len()),
        ("skewed_clock", trouble.skewed.len()),
        ("twin", usize::from(trouble.twin) + trouble.copied.len()),
        ("waiting_call", cluster.waiting()),
    ] {
        app.metrics.nodes(kind).set(count as u64);
    }
    app.metrics.nodes("behind_records").set(cluster.records_behind());
    for (refusal, count) in cluster.intake().refused() {
        app.metrics.parcels_refused(refusal.code()).set(count);
    }
}
