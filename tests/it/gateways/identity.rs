//! The headers that tell the backend who calls: what the client writes there never arrives.

use super::authority::{Answer, GOOD, IDENTITY, Says};
use super::client::ask;
use super::program::Gateway;
use super::{Stage, with_each_gateway};

with_each_gateway!(the_backend_hears_who_calls_from_the_check_alone);

const FORGED: &str = "forged";

/// Every spelling that CGI, WSGI and PHP take for one of the headers, with the dashes as they are and as underscores.
fn spellings(name: &str) -> Vec<String> {
    let parts: Vec<_> = name.split('-').collect();
    let separators = parts.len() - 1;
    let mut spellings = vec![name.to_uppercase()];
    for chosen in 0..1_u32 << separators {
        let mut spelling = parts[0].to_owned();
        for (index, part) in parts[1..].iter().enumerate() {
            spelling.push(if chosen & (1 << index) == 0 { '-' } else { '_' });
            spelling += part;
        }
        spellings.push(spelling);
    }
    spellings
}

/// As long as the scope may be in an answer whose head is 3 KB, which is what the check keeps to.
const LONG: &str = match str::from_utf8(&[b's'; 2_300]) {
    Ok(text) => text,
    Err(_) => panic!("ASCII"),
};

/// Says yes with each header as it is, with a long one, with each empty, or with none of them, as no check of ours does.
fn answers() -> [(&'static str, Answer); 4] {
    let with = |value: fn(&'static str, &'static str) -> &'static str| {
        (200, IDENTITY.iter().map(|(name, known)| (*name, value(name, known))).collect())
    };
    let long = |name, known| if name == "x-auth-scope" { LONG } else { known };
    [("known", with(|_, known| known)), ("long", with(long)), ("empty", with(|_, _| "")), ("absent", (200, Vec::new()))]
}

async fn the_backend_hears_who_calls_from_the_check_alone(gateway: Gateway) {
    let Some(stage) = Stage::set(gateway).await else { return };
    let forged = IDENTITY.iter().flat_map(|(name, _)| spellings(name)).map(|name| format!("{name}: {FORGED}"));
    let forged: Vec<_> = forged.collect();
    let lines: Vec<_> = forged.iter().map(String::as_str).chain([GOOD]).collect();
    for (what, answer) in answers() {
        stage.authority.say(Says::Always(answer));
        let got = ask(stage.gateway.address(), "GET /", &lines).await;
        let reached = stage.backend.reached();
        assert_eq!((got.status, reached.len()), (200, 1), "{what}: {got:?}, {}", stage.gateway.log());
        for (name, value) in IDENTITY {
            let found = reached[0].values(name);
            match what {
                "long" if name == "x-auth-scope" => assert_eq!(found, [LONG]),
                "known" | "long" => assert_eq!(found, [value], "{name}"),
                "empty" => assert!(matches!(found[..], [] | [""]), "{name}: {found:?}"),
                _ => assert!(!found.iter().any(|value| value.contains(FORGED)), "{name}: {found:?}"),
            }
        }
        let everywhere = reached[0].headers.iter().filter(|(_, value)| value == FORGED);
        assert_eq!(everywhere.count(), 0, "{what}: {:?}", reached[0]);
    }
}

#[test]
fn spellings_are_all_there() {
    let found = spellings("x-auth-id");
    assert_eq!(found, ["X-AUTH-ID", "x-auth-id", "x_auth-id", "x-auth_id", "x_auth_id"]);
}
