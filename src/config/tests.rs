//! Accepted settings, and the refusals of others.

use std::io::Write;

use clap::{CommandFactory, Parser};

use super::*;

#[derive(Parser)]
struct Serve {
    #[command(flatten)]
    arguments: ServeArgs,
}

fn settings(flags: &[&str]) -> Result<Settings, ConfigError> {
    let flags = std::iter::once("serve").chain(flags.iter().copied());
    Settings::check(Serve::try_parse_from(flags).expect("flags that clap takes").arguments, None)
}

fn refusal(flags: &[&str]) -> String {
    settings(flags).err().expect("a refusal").to_string()
}

fn file(text: &str) -> (tempfile::NamedTempFile, String) {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(text.as_bytes()).expect("written");
    let path = file.path().to_str().expect("UTF-8").to_owned();
    (file, path)
}

#[test]
fn every_flag_is_also_a_variable_and_a_key_of_the_file() {
    for flag in Serve::command().get_arguments().filter(|flag| flag.get_id() != "help") {
        let key = flag.get_id().as_str();
        let variable = flag.get_env().and_then(|name| name.to_str());
        assert_eq!(flag.get_long(), Some(key.replace('_', "-").as_str()));
        assert_eq!(variable, Some(format!("AUTHLEDGER_{}", key.to_uppercase()).as_str()));
        // No setting can be that, so the part that has the key refuses the value.
        let refused = file::parse(&format!("{key} = nan")).expect_err("no setting takes that").to_string();
        // The flag --check and the tables [[check]] have one name, so that the file may have it.
        assert_eq!(refused.contains("unknown field"), key == "config", "{refused}");
    }
}

#[test]
fn a_flag_beats_the_file_and_the_file_beats_the_default() {
    let (_file, path) = file("ticket_ttl = 60\nlisten = \"[::1]:9\"\nsurfaces = [\"feed\"]\nbehind_proxy = true\n");
    let settings = settings(&["--config", &path, "--ticket-ttl", "61", "--behind-proxy=false"]).expect("valid");
    assert_eq!(settings.policy.ticket_ttl.as_seconds(), 61);
    assert_eq!(settings.listen, "[::1]:9".parse().expect("an address"));
    assert_eq!(settings.surfaces, [Surface::Feed]);
    assert!(!settings.behind_proxy);
    assert_eq!(settings.policy.ticket_max_life, Policy::default().ticket_max_life);
    assert_eq!((settings.connections, settings.queue_commands, settings.body_bytes), (12_000, 8192, 65_536));
}

#[test]
fn a_server_without_a_surface_is_refused_and_every_surface_is_named() {
    let (_file, path) = file("surfaces = []\n");
    let refusal = refusal(&["--config", &path]);
    assert!(refusal.contains("at least one of native, feed, evidence, "), "{refusal}");
    assert!(refusal.ends_with("slashid, cribl, oauth, status, check, metrics"), "{refusal}");
}

#[test]
fn an_address_that_others_reach_needs_tls_or_a_proxy() {
    for address in ["0.0.0.0:1", "[::]:1", "192.0.2.1:1", "[::ffff:192.0.2.1]:1"] {
        let refusal = refusal(&["--listen", address]);
        assert!(refusal.contains(address) && refusal.contains("--listen"), "{refusal}");
        assert!(refusal.contains("--tls-certificate") && refusal.contains("--behind-proxy"), "{refusal}");
        assert!(settings(&["--listen", address, "--behind-proxy"]).is_ok());
        assert!(settings(&["--listen", address, "--tls-certificate", "c", "--tls-key", "k"]).is_ok());
    }
    for address in ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
        assert!(settings(&["--listen", address]).is_ok(), "{address}");
    }
}

#[test]
fn metrics_are_off_where_others_reach_them_unless_asked_for() {
    assert!(settings(&[]).expect("valid").serves(Surface::Metrics));
    assert!(!settings(&["--behind-proxy"]).expect("valid").serves(Surface::Metrics));
    let asked = ["--listen", "0.0.0.0:1", "--behind-proxy", "--public-metrics"];
    assert!(settings(&asked).expect("valid").serves(Surface::Metrics));
}

#[test]
fn an_unknown_key_is_refused_with_its_name_and_the_files() {
    let (_file, path) = file("queue = 5\nqueu = 6\n");
    let refusal = refusal(&["--config", &path]);
    assert!(refusal.contains(&path) && refusal.contains("queu`") && refusal.contains("line 2"), "{refusal}");
    let missing = super::tests::refusal(&["--config", "/nowhere/at.all"]);
    assert!(missing.contains("/nowhere/at.all") && missing.contains("--config"), "{missing}");
}

#[test]
fn numbers_have_bounds_and_lives_may_not_cross() {
    let refused = refusal(&["--heartbeat", "0"]);
    assert_eq!(refused, "use 0 for --heartbeat (or AUTHLEDGER_HEARTBEAT): it must be 1 to 300 seconds");
    let (_file, path) = file("longest_life = 31622401\n");
    let refused = refusal(&["--config", &path]);
    assert!(refused.contains("`longest_life` in") && refused.contains("31622400 seconds"), "{refused}");
    let refused = refusal(&["--ticket-ttl", "90000"]);
    assert!(refused.contains("--ticket-ttl") && refused.contains("the default of `ticket_max_life`"), "{refused}");
    assert!(refusal(&["--tls-key", "k"]).contains("--tls-certificate"));
    assert!(refusal(&["--node", ""]).contains("1 to 255 bytes"));
    assert!(refusal(&["--log", "=/="]).contains("--log"));
}

#[test]
fn sessions_and_tokens_have_lives_and_our_tokens_an_issuer() {
    let default = settings(&[]).expect("valid");
    let policy = default.policy;
    let lives = [policy.token_ttl, policy.session_ttl, policy.session_max_life].map(Ttl::as_seconds);
    assert_eq!((lives, default.token_algorithm), ([3600, 86_400, 2_592_000], Algorithm::Es256));
    assert!(default.public_url.is_none() && default.trusted_issuers.is_empty());
    let refused = refusal(&["--session-ttl", "2592001"]);
    assert!(refused.contains("--session-ttl") && refused.contains("`session_max_life`"), "{refused}");
    let refused = refusal(&["--longest-life", "86400"]);
    assert!(refused.contains("`session_max_life`") && refused.contains("--longest-life"), "{refused}");
    let refused = refusal(&["--public-url", "https://auth.example/"]);
    assert!(refused.starts_with("use the text of --public-url") && refused.contains("/ at the end"), "{refused}");
    let text = "public_url = \"https://own\"\ntoken_algorithm = \"EdDSA\"\n\
                [[trusted_issuer]]\nissuer = \"https://a\"\njwks_url = \"https://a/keys\"\ntenants = [\"x\"]\n";
    let (_file, path) = file(text);
    let settings = settings(&["--config", &path, "--token-algorithm", "RS256"]).expect("valid");
    assert_eq!((settings.public_url.as_deref(), settings.token_algorithm), (Some("https://own"), Algorithm::Rs256));
    assert_eq!(settings.trusted_issuers.len(), 1);
    let shadowed = refusal(&["--config", &path, "--public-url", "https://a"]);
    assert!(shadowed.contains("another one than --public-url"), "{shadowed}");
}

#[test]
fn a_weak_root_token_is_refused_and_never_shown() {
    let check = |text: &str| Settings::check(ServeArgs::default(), Some(text));
    let refusal = check("hunter2").err().expect("too short").to_string();
    assert!(refusal.contains(ROOT_TOKEN_VARIABLE) && !refusal.contains("hunter2"), "{refusal}");
    assert!(check(&" ".repeat(40)).is_err());
    assert!(check(&"x".repeat(32)).expect("long enough").root_token.is_some());
}
