//! Rules, the credential of a request, and identity headers: no node is needed.

use authledger::check::{
    CheckOutcome, CheckRules, CredentialSource, IdentityHeaders, MAX_ANSWER_HEAD_BYTES, MAX_CREDENTIAL_BYTES,
    Presentation, Standing, WhenOriginBehind, WhenStale, presented,
};
use authledger::domain::{Kind, Subject, Tenant, Timestamp};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;

use super::{rules, tables};

#[test]
fn a_rule_without_keys_is_the_default_one_by_another_name() {
    let found = rules("[[check]]\nrule = \"other\"\nissuers = []");
    let (other, default) = (found.find("other").expect("a rule"), found.find("default").expect("it always exists"));
    assert_eq!(authledger::check::CheckRule { name: default.name.clone(), ..(**other).clone() }, **default);
    assert_eq!(default.kinds.iter().collect::<Vec<_>>(), [Kind::Session, Kind::Token]);
    assert_eq!(default.credentials, [CredentialSource::Bearer]);
    assert!(found.find("Other").is_none() && found.find("").is_none() && found.find(&"x".repeat(65)).is_none());
    let replaced = rules(
        "[[check]]\nrule = \"default\"\nkinds = [\"session\"]\nwhen_stale = \"allow\"\nwhen_origin_behind = \"refuse\"",
    );
    let default = replaced.find("default").expect("a rule");
    assert_eq!(default.kinds.iter().collect::<Vec<_>>(), [Kind::Session]);
    assert_eq!((default.when_stale, default.when_origin_behind), (WhenStale::Allow, WhenOriginBehind::Refuse));
}

#[test]
fn a_table_that_can_not_be_used_is_refused_with_its_rule_and_key() {
    let refusal = |text: &str| match tables(text) {
        Err(malformed) => malformed,
        Ok(tables) => CheckRules::of_tables(&tables).expect_err(text).to_string(),
    };
    assert_eq!(
        refusal("[[check]]\nrule = \"r\"\nkinds = [\"cookie\"]"),
        "use the [[check]] of \"r\": its `kinds` must be one of ticket, session, token"
    );
    for (key, wrong) in [
        ("kinds = []", "`kinds` must be left out, or a list that is not empty"),
        ("credentials = []", "`credentials` must be left out"),
        ("credentials = [\"query:token\"]", "`credentials` must be `bearer`, `header:NAME` or `cookie:NAME`"),
        ("credentials = [\"header:a b\"]", "`credentials` must be `bearer`"),
        ("credentials = [\"cookie:\"]", "`credentials` must be `bearer`"),
        ("credentials = [\"header:Authorization\"]", "`credentials` must be `bearer` for `Authorization`"),
        ("credentials = [\"header:cookie\"]", "and `cookie:NAME` for a cookie"),
        ("tenants = [\"\"]", "`tenants` must be 1 to 255 bytes"),
        ("tenants = []", "`tenants` must be left out"),
        ("audience = [\"\"]", "`audience` must be texts of 1 to 255 bytes"),
        ("scope = \"read  write\"", "`scope` must be scopes with one space between two"),
        ("scope = \"\"", "`scope` must be scopes"),
        ("scope = \"a\\\"b\"", "`scope` must be scopes"),
        ("min_aal = \"aal4\"", "`min_aal` must be one of aal0"),
        ("renew = true", "`renew` must be left out unless `kinds` names tickets"),
        ("when_stale = \"guess\"", "unknown variant `guess`"),
        ("audiences = [\"a\"]", "unknown field `audiences`"),
    ] {
        let refused = refusal(&format!("[[check]]\nrule = \"r\"\n{key}"));
        assert!(refused.contains(wrong), "{key}: {refused}");
    }
    for name in ["", "Reports", "a/b", "a.b", &"x".repeat(65)] {
        assert!(refusal(&format!("[[check]]\nrule = \"{name}\"")).contains("`rule` must be 1 to 64"), "{name}");
    }
    assert!(refusal("[[check]]\nrule = \"r\"\n[[check]]\nrule = \"r\"").contains("another name"));
    let many = format!("[[check]]\nrule = \"r\"\ntenants = [{}]", "\"t\",".repeat(65));
    assert!(refusal(&many).contains("`tenants` must be a list of at most 64"));
}

#[test]
fn the_first_place_that_has_a_credential_decides() {
    let places = ["bearer", "header:X-Session-Token", "cookie:session"];
    let sources: Vec<CredentialSource> = places.iter().map(|place| place.parse().expect("a place")).collect();
    let long = "x".repeat(MAX_CREDENTIAL_BYTES);
    let too_long = format!("Bearer {long}x");
    let at_most = format!("bearer {long}");
    let (one, nothing, malformed) = (Presentation::One, Presentation::Nothing, Presentation::Malformed);
    let cases: Vec<(Vec<(&str, &str)>, Presentation<'_>)> = vec![
        (vec![], nothing),
        (vec![("authorization", "Bearer abc")], one("abc")),
        (vec![("authorization", "bEARER   a-b._~+/=")], one("a-b._~+/=")),
        (vec![("authorization", &at_most)], one(&long)),
        (vec![("authorization", &too_long)], malformed),
        (vec![("authorization", "Bearer a"), ("authorization", "Bearer a")], malformed),
        (vec![("authorization", "Basic a"), ("authorization", "Bearer a")], malformed),
        (vec![("authorization", "Bearer a,Bearer b")], malformed),
        (vec![("authorization", "Bearer a b")], malformed),
        (vec![("authorization", "Bearer")], malformed),
        (vec![("authorization", "Bearer\ta")], malformed),
        (vec![("authorization", "Bearer,a")], malformed),
        (vec![("authorization", "Bearer é")], malformed),
        (vec![("authorization", "Bearertoken a")], nothing),
        (vec![("authorization", "DPoP a")], nothing),
        (vec![("authorization", "")], nothing),
        (vec![("authorization", "Basic a"), ("x-session-token", "b")], one("b")),
        (vec![("authorization", "Bearer a"), ("x-session-token", "b")], one("a")),
        (vec![("authorization", "Bearer a,b"), ("x-session-token", "b")], malformed),
        (vec![("x-session-token", "b"), ("x-session-token", "b")], malformed),
        (vec![("x-session-token", "")], malformed),
        (vec![("x-session-token", "Bearer b")], malformed),
        (vec![("x_session_token", "b")], nothing),
        (vec![("x-session-token", "b"), ("cookie", "session=c")], one("b")),
        (vec![("cookie", "a=1; session=c; b=2")], one("c")),
        (vec![("cookie", "a=1;session=c==")], one("c==")),
        (vec![("cookie", "a=1"), ("cookie", "session=c")], one("c")),
        (vec![("cookie", "session=c; session=c"), ("cookie", "session=c")], one("c")),
        (vec![("cookie", "session=c"), ("cookie", "session=d")], malformed),
        (vec![("cookie", "session=")], malformed),
        (vec![("cookie", "session=\"c\"")], malformed),
        (vec![("cookie", "Session=c; sessions=d; session")], nothing),
    ];
    for (lines, expected) in cases {
        let mut headers = HeaderMap::new();
        for (name, value) in &lines {
            let name: HeaderName = name.parse().expect("a name");
            headers.append(name, HeaderValue::from_bytes(value.as_bytes()).expect("a value"));
        }
        assert_eq!(presented(&sources, &headers), expected, "{lines:?}");
    }
}

fn standing() -> Standing {
    Standing {
        kind: Kind::Token,
        id: Some("id".into()),
        issuer: Some("https://a.example".into()),
        tenant: Tenant::default(),
        subject: Subject::new("alice").expect("a name"),
        session: None,
        client: Some("app".into()),
        scope: Some("read write".into()),
        audience: vec!["reports".into(), "invoices".into()],
        aal: Some("aal2".into()),
        expires_at: Some(Timestamp::from_millis(1_800_000_000_999).expect("within bounds")),
    }
}

#[test]
fn a_rule_is_judged_in_one_order_and_what_can_not_be_compared_does_not_suffice() {
    type Change = fn(&mut Standing);
    let rule = "kinds = [\"token\"]\ntenants = [\"default\"]\nissuers = [\"https://a.example\"]\naudience = [\"x\", \"reports\"]\n\
                scope = \"write read\"\nmin_aal = \"aal2\"";
    let found = rules(&format!("[[check]]\nrule = \"r\"\n{rule}"));
    let rule = found.find("r").expect("a rule");
    // Each makes one more thing wrong, from the last that is looked at to the first.
    let changes: [(Change, CheckOutcome); 12] = [
        (|_| (), CheckOutcome::Allowed),
        (|one| one.aal = Some("aal3".into()), CheckOutcome::Allowed),
        (|one| one.aal = Some("aal1".into()), CheckOutcome::LowAal),
        (|one| one.aal = Some("urn:mace:silver".into()), CheckOutcome::LowAal),
        (|one| one.aal = None, CheckOutcome::LowAal),
        (|one| one.scope = Some("read writes".into()), CheckOutcome::NoScope),
        (|one| one.scope = None, CheckOutcome::NoScope),
        (|one| one.audience = vec!["report".into()], CheckOutcome::OtherAudience),
        (|one| one.issuer = None, CheckOutcome::OtherIssuer),
        (|one| one.issuer = Some("https://a.example/".into()), CheckOutcome::OtherIssuer),
        (|one| one.tenant = Tenant::new("acme").expect("a name"), CheckOutcome::OtherTenant),
        (|one| one.kind = Kind::Session, CheckOutcome::OtherKind),
    ];
    let mut one = standing();
    for (number, (change, expected)) in changes.into_iter().enumerate() {
        change(&mut one);
        assert_eq!(rule.judge(&one), expected, "change {number}");
    }
}

#[test]
fn each_outcome_has_one_of_four_statuses_and_a_name_of_its_own() {
    let names: std::collections::BTreeSet<_> = CheckOutcome::ALL.iter().map(|outcome| outcome.as_str()).collect();
    assert_eq!(names.len(), CheckOutcome::ALL.len());
    for (at, outcome) in CheckOutcome::ALL.into_iter().enumerate() {
        assert!([200, 401, 403, 503].contains(&outcome.status().as_u16()), "{outcome:?}");
        assert_eq!(outcome.index(), at);
    }
}

/// The headers by their names behind the prefix.
fn shown(headers: &IdentityHeaders, standing: &Standing) -> Vec<(String, String)> {
    let identity = headers.of(standing);
    let lines = headers.lines(identity);
    lines.map(|(name, value)| (name.to_string(), value.to_str().expect("visible").to_owned())).collect()
}

#[test]
fn every_header_is_there_and_empty_where_there_is_nothing_to_say() {
    let all = shown(&IdentityHeaders::default(), &standing());
    let expected = [
        ("subject", "alice"),
        ("tenant", "default"),
        ("kind", "token"),
        ("id", "id"),
        ("issuer", "https://a.example"),
        ("session", ""),
        ("client", "app"),
        ("scope", "read write"),
        ("audience", "reports invoices"),
        ("aal", "aal2"),
        ("expires", "1800000000"),
    ];
    let expected: Vec<_> =
        expected.iter().map(|(name, value)| (format!("x-auth-{name}"), (*value).to_owned())).collect();
    assert_eq!(all, expected);
    assert_eq!(IdentityHeaders::new("X-Auth-"), Ok(IdentityHeaders::default()));
    let other = IdentityHeaders::new("Remote-").expect("a prefix");
    assert_eq!(shown(&other, &standing())[0].0, "remote-subject");
    for bad in ["", "X_Auth_", "X-Auth", "-Auth-", "1-", "X-Auth-é-", "X Auth-", &format!("{}-", "x".repeat(32))] {
        assert!(IdentityHeaders::new(bad).is_err(), "{bad}");
    }
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        if *first == b'%' {
            let (digits, behind) = rest.split_at(2);
            let digits = std::str::from_utf8(digits).expect("ASCII");
            bytes.push(u8::from_str_radix(digits, 16).expect("hexadecimal digits"));
            rest = behind;
        } else {
            bytes.push(*first);
        }
    }
    String::from_utf8(bytes).expect("UTF-8")
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[ -~]{1,40}", "\\PC{1,40}", " {1,3}", "%[0-9a-f]{2}", "\\PC{80,255}"]
        .prop_filter("a name has at most 255 bytes", |text| !text.is_empty() && text.len() <= 255)
}

fn standings() -> impl Strategy<Value = Standing> {
    let some = || proptest::option::of(text());
    let long = proptest::option::of("\\PC{0,3000}");
    (text(), text(), (some(), some(), some()), long, proptest::collection::vec(text(), 0..20), some()).prop_map(
        |(subject, tenant, (id, issuer, client), scope, audience, aal)| Standing {
            kind: Kind::Token,
            id,
            issuer,
            tenant: Tenant::new(&tenant).unwrap_or_default(),
            subject: Subject::new(&subject).unwrap_or_else(|_| Subject::new("a").expect("a name")),
            session: None,
            client,
            scope,
            audience,
            aal,
            expires_at: None,
        },
    )
}

proptest! {
    #[test]
    fn an_identity_decodes_to_itself_is_visible_and_fits_the_buffer_of_a_gateway(standing in standings()) {
        let headers = IdentityHeaders::default();
        let is_cut = headers.of(&standing).is_cut;
        let all = shown(&headers, &standing);
        prop_assert_eq!(all.len(), 11);
        let head: usize = all.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
        prop_assert!(head < MAX_ANSWER_HEAD_BYTES, "{} bytes", head);
        let own = |text: &Option<String>| text.clone().unwrap_or_default();
        let expected = [
            standing.subject.as_str().to_owned(),
            standing.tenant.as_str().to_owned(),
            "token".to_owned(),
            own(&standing.id),
            own(&standing.issuer),
            String::new(),
            own(&standing.client),
            own(&standing.scope),
            standing.audience.join(" "),
            own(&standing.aal),
            String::new(),
        ];
        for (at, ((name, value), expected)) in all.iter().zip(expected).enumerate() {
            prop_assert!(value.bytes().all(|byte| (0x20..=0x7e).contains(&byte)), "{} {:?}", name, value);
            prop_assert!(!value.starts_with(' ') && !value.ends_with(' '), "{} {:?}", name, value);
            // Subject, tenant and kind are never left out.
            if !(is_cut && at > 2 && value.is_empty()) {
                prop_assert_eq!(decoded(value), expected, "{}", name);
            }
        }
    }
}

#[test]
fn a_head_that_would_be_too_large_loses_scope_and_audience_first() {
    let headers = IdentityHeaders::default();
    let mut one = standing();
    one.scope = Some("s".repeat(2_900));
    let all = shown(&headers, &one);
    assert!(headers.of(&one).is_cut);
    let empty: Vec<_> = all.iter().filter(|(_, value)| value.is_empty()).map(|(name, _)| &**name).collect();
    assert_eq!(empty, ["x-auth-session", "x-auth-scope", "x-auth-audience"]);
    assert!(!headers.of(&standing()).is_cut);
}
