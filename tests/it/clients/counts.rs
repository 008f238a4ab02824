//! The server's own counts, against the calls that clients say that they made.

use std::collections::BTreeMap;

use super::Made;

/// The number of answers of each route, method and status.
pub type Counts = BTreeMap<(String, String, u16), u64>;

/// The calls by route under that prefix, method and status.
pub fn of_calls(prefix: &str, calls: &[Made]) -> Counts {
    let mut counts = Counts::new();
    for call in calls {
        *counts.entry((format!("{prefix}{}", call.route), call.method.clone(), call.status)).or_default() += 1;
    }
    counts
}

/// The routes that begin like that in the text of `/metrics`.
pub fn of_metrics(prefix: &str, metrics: &str) -> Counts {
    let lines = metrics.lines().filter_map(|line| line.strip_prefix("authledger_http_requests_total"));
    lines.map(counted).filter(|((route, ..), _)| route.starts_with(prefix)).collect()
}

fn counted(line: &str) -> ((String, String, u16), u64) {
    let (labels, count) = line.rsplit_once(' ').unwrap();
    let label = |name: &str| labels.split(&format!("{name}=\"")).nth(1).unwrap().split('"').next().unwrap().to_owned();
    ((label("route"), label("method"), label("status").parse().unwrap()), count.parse().unwrap())
}

#[test]
fn calls_and_metrics_are_counted_alike() {
    let made = |method: &str, route: &str, status| Made {
        call: String::new(),
        method: method.to_owned(),
        route: route.to_owned(),
        status,
    };
    let calls = [
        made("GET", "/sessions/whoami", 200),
        made("GET", "/sessions/whoami", 401),
        made("DELETE", "/sessions/{id}", 204),
        made("GET", "/sessions/whoami", 200),
    ];
    let metrics = r#"# TYPE authledger_http_requests counter
authledger_http_requests_total{route="/auth/sessions/whoami",method="GET",status="200"} 2
authledger_http_requests_total{route="/auth/sessions/whoami",method="GET",status="401"} 1
authledger_http_requests_total{route="/auth/sessions/{id}",method="DELETE",status="204"} 1
authledger_http_requests_total{route="/v1/sessions",method="POST",status="201"} 8
authledger_connections 1
"#;
    assert_eq!(of_calls("/auth", &calls), of_metrics("/auth", metrics));
    assert_ne!(of_calls("/auth", &calls[..3]), of_metrics("/auth", metrics));
    assert_eq!(of_metrics("/auth", metrics).values().sum::<u64>(), 4);
}
