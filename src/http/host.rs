//! The host that a request names: RFC 9112, section 3.2.
//!
//! Nothing here is served by host. But a proxy in front of us may route by it, and if a request names two hosts, the
//! proxy and we could take it for different ones.

use axum::http::header::{HOST, HeaderMap};
use axum::http::{Uri, Version};

use super::problem::{Code, Problem};

/// Refuses a request that names no host, several hosts, or an impossible one. Before HTTP/1.1 a request need not name
/// any.
pub(super) fn check(version: Version, target: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
    let mut hosts = headers.get_all(HOST).iter();
    let one = hosts.next();
    if hosts.next().is_some() {
        return Err(refusal("`Host` is given more than once"));
    }
    match one {
        None if version >= Version::HTTP_11 => return Err(refusal("`Host` is missing")),
        Some(host) if !is_authority(host.as_bytes()) => {
            return Err(refusal("`Host` is not a host with an optional port"));
        }
        Some(_) | None => {}
    }
    match target.authority() {
        Some(named) if !is_authority(named.as_str().as_bytes()) => Err(refusal("the target's host is malformed")),
        Some(_) | None => Ok(()),
    }
}

fn refusal(detail: &'static str) -> Problem {
    Problem::with_detail(Code::InvalidHost, detail)
}

/// `uri-host [":" port]`, RFC 9110, section 7.2. A host may be empty, and so may a port.
fn is_authority(text: &[u8]) -> bool {
    let (host_is_one, port) = match text.strip_prefix(b"[") {
        Some(rest) => {
            let Some(end) = rest.iter().position(|byte| *byte == b']') else { return false };
            (is_address(&rest[..end]), &rest[end + 1..])
        }
        None => {
            let end = text.iter().position(|byte| *byte == b':').unwrap_or(text.len());
            (is_name(&text[..end]), &text[end..])
        }
    };
    host_is_one && is_port(port)
}

fn is_port(text: &[u8]) -> bool {
    match text.split_first() {
        None => true,
        Some((b':', digits)) => {
            let number = digits.iter().try_fold(0_u32, |number, byte| {
                let digit = char::from(*byte).to_digit(10)?;
                number.checked_mul(10)?.checked_add(digit)
            });
            number.is_some_and(|number| number <= u32::from(u16::MAX))
        }
        Some(_) => false,
    }
}

/// `IP-literal` without its brackets: an IPv6 address, or an address of a later version.
fn is_address(text: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(text) else { return false };
    let future = |rest: &str| {
        let Some((version, address)) = rest.split_once('.') else { return false };
        let is_version = !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_version && !address.is_empty() && address.bytes().all(|byte| is_plain(byte) || byte == b':')
    };
    text.parse::<std::net::Ipv6Addr>().is_ok() || text.strip_prefix(['v', 'V']).is_some_and(future)
}

/// `reg-name`: plain characters and percent escapes. An IPv4 address has the form of a name.
fn is_name(text: &[u8]) -> bool {
    let mut rest = text;
    while let Some(escape) = rest.iter().position(|byte| !is_plain(*byte)) {
        rest = match &rest[escape..] {
            [b'%', high, low, behind @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => behind,
            _ => return false,
        };
    }
    true
}

const fn is_plain(byte: u8) -> bool {
    PLAIN[byte as usize]
}

/// Which bytes [`is_unreserved_or_sub_delim`]: a table, because every byte of every request's host is asked about.
const PLAIN: [bool; 256] = {
    let (mut plain, mut byte) = ([false; 256], 0);
    while byte < plain.len() {
        plain[byte] = is_unreserved_or_sub_delim(byte as u8);
        byte += 1;
    }
    plain
};

/// RFC 3986, section 2.
const fn is_unreserved_or_sub_delim(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'-' | b'.' | b'_' | b'~')
        || matches!(byte, b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_told_from_what_is_none() {
        let hosts = [
            "",
            "a",
            "a:",
            "a:80",
            ":80",
            "ledger.example:65535",
            "127.0.0.1",
            "127.0.0.1:7878",
            "[::1]",
            "[::1]:7878",
            "[v1.a:b]",
            "a%41b",
            "a_b",
            "xn--bcher-kva.example",
        ];
        for host in hosts {
            assert!(is_authority(host.as_bytes()), "{host}");
        }
        let none = [
            "a b",
            "a:b",
            "a:80:80",
            "a:65536",
            "a:-1",
            "a:99999999999999999999",
            "user@a",
            "http://a",
            "a/",
            "a?b",
            "a#b",
            "::1",
            "[::1",
            "[::1]a",
            "[]",
            "[a]",
            "[v.a]",
            "[v1.]",
            "a%4",
            "a%zz",
            "a\"",
            "a\\b",
            "bücher",
            "<a>",
            "a{",
            "a|b",
        ];
        for host in none {
            assert!(!is_authority(host.as_bytes()), "{host}");
        }
    }
}
