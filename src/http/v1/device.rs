//! The device behind a request, as proxies describe it in headers: for sessions that are issued without one.
//!
//! Anybody can write these headers, so they are read only where the operator says that a proxy sets them. Their names and
//! their order are Kratos's, which records a device of every login.

use std::net::IpAddr;

use axum::http::HeaderMap;
use axum::http::header::USER_AGENT;
use serde_json::{Map, Value};

/// The longest text of a device that is taken from a header, in bytes.
const MAX_TEXT_BYTES: usize = 512;
/// Headers with one address, in the order in which they count.
const ADDRESS: [&str; 3] = ["true-client-ip", "cf-connecting-ip", "x-real-ip"];
/// The header with all addresses on the way, the nearest last.
const ADDRESSES: &str = "x-forwarded-for";
/// The headers with the parts of a location.
const LOCATION: [&str; 2] = ["cf-ipcity", "cf-ipcountry"];

/// The device that the headers describe; nothing if they describe none.
pub fn described(headers: &HeaderMap) -> Option<Map<String, Value>> {
    let location: Vec<&str> = LOCATION.iter().filter_map(|name| texts(headers, name).next()).collect();
    let agents: Vec<&str> = texts(headers, USER_AGENT.as_str()).collect();
    let members = [
        ("ip_address", address(headers).map(|address| address.to_string())),
        ("user_agent", bounded(&agents.join(" "))),
        ("location", bounded(&location.join(", "))),
    ];
    let given = members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), Value::String(value?))));
    let device: Map<String, Value> = given.collect();
    (!device.is_empty()).then_some(device)
}

/// The first that is named by itself; else the nearest on the way that is not in a private network.
fn address(headers: &HeaderMap) -> Option<IpAddr> {
    if let Some(text) = ADDRESS.iter().find_map(|name| texts(headers, name).next()) {
        return text.parse().ok();
    }
    let way: Vec<&str> = texts(headers, ADDRESSES).flat_map(|text| text.split(',')).collect();
    way.iter().rev().filter_map(|text| text.trim().parse().ok()).find(|address| !is_private(*address))
}

fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => address.is_private(),
        IpAddr::V6(address) => address.is_unique_local(),
    }
}

/// The values of that header that are not empty.
fn texts<'a>(headers: &'a HeaderMap, name: &str) -> impl Iterator<Item = &'a str> {
    let values = headers.get_all(name).iter().filter_map(|value| std::str::from_utf8(value.as_bytes()).ok());
    values.map(str::trim).filter(|text| !text.is_empty())
}

fn bounded(text: &str) -> Option<String> {
    let text = &text[..text.floor_char_boundary(MAX_TEXT_BYTES)];
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};
    use serde_json::json;

    use super::*;

    fn device(pairs: &[(&'static str, &str)]) -> Value {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            let value = HeaderValue::from_bytes(value.as_bytes()).expect("a value");
            headers.append(HeaderName::from_static(name), value);
        }
        described(&headers).map_or(Value::Null, Value::Object)
    }

    #[test]
    fn the_nearest_public_address_counts() {
        let forwarded = ("x-forwarded-for", "203.0.113.1, 198.51.100.2, 10.0.0.1");
        assert_eq!(device(&[forwarded]), json!({"ip_address": "198.51.100.2"}));
        assert_eq!(device(&[forwarded, ("x-forwarded-for", "2001:db8::1, fd00::1, x")])["ip_address"], "2001:db8::1");
        assert_eq!(device(&[("x-forwarded-for", "10.0.0.1, ::ffff:192.168.0.1")]), Value::Null);
        for name in ADDRESS {
            assert_eq!(device(&[forwarded, (name, "192.0.2.7")])["ip_address"], "192.0.2.7", "{name}");
        }
        assert_eq!(device(&[("x-real-ip", "<script>")]), Value::Null);
    }

    #[test]
    fn a_location_has_a_city_and_a_country() {
        let agent = "é".repeat(300);
        let found = device(&[("cf-ipcountry", "DE"), ("cf-ipcity", "Köln"), ("user-agent", &agent)]);
        assert_eq!(found, json!({"location": "Köln, DE", "user_agent": "é".repeat(256)}));
        assert_eq!(device(&[("cf-ipcountry", "DE")]), json!({"location": "DE"}));
        assert_eq!(device(&[("user-agent", "")]), Value::Null);
    }
}
