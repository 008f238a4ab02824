//! Dumps as databases, editors, spreadsheets and packers write them, read by `authledger import --dry-run`.

use std::fs;
use std::io::Write as _;

use super::*;
use crate::process::visitors::program as tool;

const SESSION: &str = "0f2e5a0c-7a71-4c4e-9d5c-0b9d8a2f6e10";
const TOKEN: &str = "MP2YWEMeM8MxjkGKpH4dqOQ4Q4DlSPaj";

/// Kratos's table in SQLite: an active session, one that was revoked, and one whose column `active` has the default of Kratos's
/// migration, which is a text.
const SQLITE: &str = r#"
CREATE TABLE "sessions" ("id" TEXT PRIMARY KEY, "issued_at" DATETIME NOT NULL, "expires_at" DATETIME NOT NULL, "authenticated_at" DATETIME NOT NULL,
  "identity_id" char(36) NOT NULL, "token" TEXT, "active" NUMERIC DEFAULT 'false', "nid" char(36), "aal" TEXT, "authentication_methods" TEXT);
INSERT INTO sessions VALUES ('0f2e5a0c-7a71-4c4e-9d5c-0b9d8a2f6e10', '2026-11-29 10:00:00.123456789+00:00', '2099-11-30 10:00:00+00:00',
  '2026-11-29 10:00:00.5+00:00', 'alice', 'MP2YWEMeM8MxjkGKpH4dqOQ4Q4DlSPaj', TRUE, NULL, 'aal1', '[{"method":"password"}]');
INSERT INTO sessions VALUES ('0f2e5a0c-7a71-4c4e-9d5c-0b9d8a2f6e11', '2026-11-29 10:00:00+00:00', '2099-11-30 10:00:00+00:00',
  '2026-11-29 10:00:00+00:00', 'bob', 'x', FALSE, NULL, 'aal1', '[]');
INSERT INTO sessions (id, issued_at, expires_at, authenticated_at, identity_id, token)
  VALUES ('0f2e5a0c-7a71-4c4e-9d5c-0b9d8a2f6e12', '2026-11-29 10:00:00+00:00', '2099-11-30 10:00:00+00:00', '2026-11-29 10:00:00+00:00', 'carol', 'y');
"#;

/// What PostgreSQL 15's psql writes of the same table: `\copy … CSV HEADER`, from columns with a time zone and without, and `-At` with
/// `row_to_json`.
const POSTGRESQL: [&str; 3] = [
    "id,issued_at,expires_at,identity_id,token,active,nid,aal,authentication_methods\n\
     0f2e5a0c-7a71-4c4e-9d5c-0b9d8a2f6e10,2026-11-29 10:00:00.123456,2099-11-30 10:00:00,alice,MP2YWEMeM8MxjkGKpH4dqOQ4Q4DlSPaj,t,,aal1,\"[{\"\"aal\"\": \"\"aal1\"\", \"\"method\"\": \"\"password\"\"}]\"\n\
     0f2e5a0c-7a71-4c4e-9d5c-0b9d8a2f6e11,2026-11-29 10:00:00,2099-11-30 10:00:00,bob,,f,,aal1,[]\n",
    "id,issued_at,expires_at,identity_id,token,active,nid,aal,authentication_methods\n\
     0f2e5a0c-7a71-4c4e-9d5c-0b9d8a2f6e10,2026-11-29 15:30:00.123456+05:30,2099-11-30 15:30:00+05:30,alice,MP2YWEMeM8MxjkGKpH4dqOQ4Q4DlSPaj,t,,aal1,[]\n",
    "{\"id\":\"0f2e5a0c-7a71-4c4e-9d5c-0b9d8a2f6e10\",\"issued_at\":\"2026-11-29T10:00:00.123456\",\"expires_at\":\"2099-11-30T10:00:00\",\"identity_id\":\"alice\",\"token\":\"MP2YWEMeM8MxjkGKpH4dqOQ4Q4DlSPaj\",\"active\":true,\"nid\":null,\"aal\":\"aal1\"}\n\
     {\"id\":\"0f2e5a0c-7a71-4c4e-9d5c-0b9d8a2f6e11\",\"issued_at\":\"2026-11-29T10:00:00\",\"expires_at\":\"2099-11-30T10:00:00\",\"identity_id\":\"bob\",\"token\":null,\"active\":false,\"nid\":null,\"aal\":\"aal1\"}\n",
];

/// What MariaDB 10.11's JSON_OBJECT makes of the table: TINYINT(1) is a number, and a time has no zone.
const MARIADB: &str = "{\"id\": \"0f2e5a0c-7a71-4c4e-9d5c-0b9d8a2f6e10\", \"identity_id\": \"alice\", \"issued_at\": \"2026-11-29 10:00:00.123456\", \"expires_at\": \"2099-11-30 10:00:00\", \"active\": 1, \"aal\": \"aal1\", \"token\": \"MP2YWEMeM8MxjkGKpH4dqOQ4Q4DlSPaj\"}\n\
     {\"id\": \"0f2e5a0c-7a71-4c4e-9d5c-0b9d8a2f6e11\", \"identity_id\": \"bob\", \"issued_at\": \"2026-11-29 10:00:00.000000\", \"expires_at\": \"2099-11-30 10:00:00\", \"active\": 0, \"aal\": \"aal1\", \"token\": null}\n";

/// Kratos's table in MariaDB, filled as from another zone. A column of the type TIMESTAMP keeps an instant, one of the type DATETIME what
/// was written.
const MARIADB_TABLE: &str = r#"
SET GLOBAL time_zone = '+05:30'; SET time_zone = '+00:00';
CREATE DATABASE kratos CHARACTER SET utf8mb4; USE kratos;
CREATE TABLE sessions (id CHAR(36) NOT NULL PRIMARY KEY, issued_at TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6), expires_at DATETIME NOT NULL,
  identity_id CHAR(36) NOT NULL, token VARCHAR(39), active BOOL DEFAULT false, nid CHAR(36), aal VARCHAR(4) NOT NULL DEFAULT '', authentication_methods JSON);
INSERT INTO sessions VALUES ('0f2e5a0c-7a71-4c4e-9d5c-0b9d8a2f6e10', '2026-11-29 10:00:00.123456', '2099-11-30 10:00:00', 'alice',
  'MP2YWEMeM8MxjkGKpH4dqOQ4Q4DlSPaj', true, NULL, 'aal1', '[{"method":"password"}]');
INSERT INTO sessions VALUES ('0f2e5a0c-7a71-4c4e-9d5c-0b9d8a2f6e11', '2026-11-29 10:00:00', '2099-11-30 10:00:00', 'bob', NULL, false, NULL, 'aal1', '[]');
"#;

/// A line of the table with a subject that needs escaping, and is not of the character set that a client takes without a locale.
const MARIADB_ESCAPED: &str = r#"
INSERT INTO sessions VALUES ('0f2e5a0c-7a71-4c4e-9d5c-0b9d8a2f6e12', '2026-11-29 10:00:00', '2099-11-30 10:00:00', 'é漢 "\\'' b', 'y', true, NULL, '', '[]');
"#;

/// The query of the guide.
const MARIADB_QUERY: &str = "SET time_zone = '+00:00'; SELECT JSON_OBJECT('id', id, 'identity_id', identity_id, 'issued_at', issued_at, \
     'expires_at', expires_at, 'active', active, 'aal', aal, 'token', token) FROM sessions";

/// A server of Debian's `mariadb-server-core`, without accounts and without a port.
struct MariaDb {
    server: Child,
    client: PathBuf,
    socket: String,
    /// Open for as long as the server writes to it.
    _errors: BufReader<std::process::ChildStderr>,
    _directory: tempfile::TempDir,
}

impl MariaDb {
    fn start() -> Option<Self> {
        let (program, client) = (tool(&["mariadbd", "/usr/sbin/mariadbd"])?, tool(&["mariadb"])?);
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
        let mut server = Command::new(program)
            .args([
                "--no-defaults",
                "--user=root",
                "--skip-grant-tables",
                "--skip-networking",
                "--innodb-buffer-pool-size=16M",
            ])
            .args([format!("--datadir={}", path("")), format!("--socket={}", path("socket"))])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut errors = BufReader::new(server.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("ready for connections") {
            line.clear();
            assert_ne!(errors.read_line(&mut line).unwrap(), 0, "it has stopped");
        }
        Some(Self {
            server,
            client,
            socket: format!("--socket={}", path("socket")),
            _errors: errors,
            _directory: directory,
        })
    }

    /// Asked as the guide says, in an environment without a locale.
    fn ask(&self, arguments: &[&str]) -> Vec<u8> {
        let mut client = Command::new(&self.client);
        client
            .args(["--no-defaults", &self.socket, "--default-character-set=utf8mb4"])
            .args(arguments)
            .env("LC_ALL", "C");
        let output = client.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        output.stdout
    }
}

impl Drop for MariaDb {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// Reads a dump of Kratos as `authledger import` does, from the standard input.
fn rehearse(dump: &[u8]) -> Exited {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(dump).unwrap();
    std::io::Seek::rewind(&mut file).unwrap();
    finish(program(&["import", "-", "--from", "kratos", "--dry-run", "--json"]).stdin(file))
}

#[track_caller]
fn assert_alice_alone(dump: &[u8]) {
    let digest = authledger::domain::Digest::of(TOKEN.as_bytes()).to_string();
    let due = json!({
        "kind": "session", "subject": "alice", "id": SESSION, "digest": digest, "aal": "aal1",
        "issued_at": "2026-11-29T10:00:00.123Z", "expires_at": "2099-11-30T10:00:00.000Z",
    });
    let shown = rehearse(dump).succeeded();
    let lines: Vec<Value> = shown.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines, [due], "{}", String::from_utf8_lossy(dump));
}

#[test]
fn kratoss_table_is_read_as_each_of_its_databases_writes_it() {
    for dump in POSTGRESQL {
        assert_alice_alone(dump.as_bytes());
    }
    assert_alice_alone(MARIADB.as_bytes());
    let words = POSTGRESQL[0].replace(",t,", ",TRUE,").replace(",f,", ",False,");
    assert_alice_alone(words.as_bytes());
    let Some(sqlite3) = tool(&["sqlite3"]) else { return };
    let directory = tempfile::tempdir().unwrap();
    let database = directory.path().join("kratos.sqlite");
    let ask = |arguments: &[&str]| {
        let output = Command::new(&sqlite3).args(arguments).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        output.stdout
    };
    let file = database.to_str().unwrap();
    ask(&[file, SQLITE]);
    assert_alice_alone(&ask(&["-readonly", "-csv", "-header", file, "SELECT * FROM sessions"]));
    assert_alice_alone(&ask(&["-readonly", "-json", file, "SELECT * FROM sessions"]));
    assert_alice_alone(&ask(&["-readonly", "-csv", "-header", file, "SELECT * FROM sessions WHERE active"]));
}

#[test]
fn a_dump_of_mariadb_is_read_whatever_its_zone_and_the_clients_locale() {
    let Some(database) = MariaDb::start() else { return };
    database.ask(&["-e", MARIADB_TABLE]);
    let dump = || database.ask(&["--skip-column-names", "--raw", "kratos", "-e", MARIADB_QUERY]);
    assert_eq!(String::from_utf8(dump()).unwrap(), MARIADB);
    assert_alice_alone(&dump());
    database.ask(&["kratos", "-e", MARIADB_ESCAPED]);
    let shown = rehearse(&dump()).succeeded();
    let last: Value = serde_json::from_str(shown.lines().last().unwrap()).unwrap();
    assert_eq!(last["subject"], "é漢 \"\\' b");
}

/// As LibreOffice saves it where a comma is part of numbers: with a mark, semicolons, quotes around texts, and CRLF.
#[test]
fn a_spreadsheets_file_is_read_or_refused_by_its_line() {
    let saved = "\u{feff}\"id\";\"issued_at\";\"expires_at\";\"identity_id\";\"token\";\"active\";\"aal\"\r\n\
        \"0f2e5a0c-7a71-4c4e-9d5c-0b9d8a2f6e10\";\"2026-11-29 10:00:00.123456\";\"2099-11-30 10:00:00\";\"alice\";\
        \"MP2YWEMeM8MxjkGKpH4dqOQ4Q4DlSPaj\";TRUE;\"aal1\"\r\n";
    assert_alice_alone(saved.as_bytes());
    assert_alice_alone(saved.replace(';', "\t").as_bytes());
    for (is, would_be, why) in [
        ("\"2099-11-30 10:00:00\"", "30.11.2099 10:00", "`expires_at` is not an instant since 1970"),
        ("\"2099-11-30 10:00:00\"", "11/30/99 10:00 AM", "`expires_at` is not an instant since 1970"),
        ("\"2099-11-30 10:00:00\"", "72993,4166666667", "`expires_at` is not an instant since 1970"),
        ("TRUE", "WAHR", "`active` is not true, t or 1"),
    ] {
        let refused = rehearse(saved.replace(is, would_be).as_bytes()).refused();
        assert!(refused.contains(&format!("line 2: malformed-line: {why}")), "{refused}");
    }
}

#[test]
fn an_activity_that_cannot_be_told_is_refused_with_its_line() {
    for unclear in ["2", "yes", "-1"] {
        let refused = rehearse(POSTGRESQL[0].replace(",t,", &format!(",{unclear},")).as_bytes()).refused();
        assert!(refused.contains("line 2: malformed-line: `active` is not true, t or 1"), "{refused}");
        let refused = rehearse(MARIADB.replace("\"active\": 1", &format!("\"active\": {unclear}")).as_bytes());
        assert_eq!(refused.status.code(), Some(1));
    }
}

#[test]
fn a_dump_may_have_a_mark_before_it_or_be_packed_by_the_usual_programs() {
    let directory = tempfile::tempdir().unwrap();
    for dump in [POSTGRESQL[0], POSTGRESQL[2], MARIADB] {
        let marked = format!("\u{feff}{dump}");
        assert_alice_alone(marked.as_bytes());
        // The name says nothing about what is in it.
        let file = directory.path().join("sessions.csv");
        fs::write(&file, &marked).unwrap();
        for packer in ["gzip", "zstd"] {
            let Some(packer) = tool(&[packer]) else { continue };
            let packed = Command::new(packer).arg("-c").stdin(fs::File::open(&file).unwrap()).output().unwrap();
            assert!(packed.status.success() && packed.stdout.len() > 20);
            assert_alice_alone(&packed.stdout);
            let short = rehearse(&packed.stdout[..packed.stdout.len() - 3]).refused();
            assert!(short.contains("nothing after that place was read") || short.contains("read -:"), "{short}");
        }
    }
}

#[test]
fn utf16_is_named_for_what_it_is() {
    let utf16 = |text: &str, bytes: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(bytes).collect::<Vec<u8>>();
    let named = "it is UTF-16 text, as spreadsheets and some editors save it; save it as UTF-8";
    for bytes in [u16::to_le_bytes as fn(u16) -> [u8; 2], u16::to_be_bytes] {
        for text in [format!("\u{feff}{}", POSTGRESQL[0]), POSTGRESQL[0].to_owned()] {
            let refused = rehearse(&utf16(&text, bytes)).refused();
            assert!(refused.contains(named), "{refused}");
        }
    }
    let directory = tempfile::tempdir().unwrap();
    let token = directory.path().join("token");
    fs::write(&token, utf16("\u{feff}al_a_x\r\n", u16::to_le_bytes)).unwrap();
    let list = ["application", "list", "--url", "http://127.0.0.1:1", "--token-file", token.to_str().unwrap()];
    let refused = run(&list).refused();
    assert!(refused.contains(named), "{refused}");
    fs::write(&token, "\u{feff}al_a_x\r\n").unwrap();
    assert!(run(&list).refused().contains("is the server running there?"), "the mark is not in the secret");
    let settings = directory.path().join("authledger.toml");
    let check = ["serve", "--check", "--config", settings.to_str().unwrap()];
    let data = directory.path().join("data");
    let text = format!("\u{feff}data = {:?}\n", data.to_str().unwrap());
    fs::write(&settings, utf16(&text, u16::to_le_bytes)).unwrap();
    let refused = run(&check).refused();
    assert!(refused.contains(named), "{refused}");
    fs::write(&settings, text).unwrap();
    assert!(run(&check).succeeded().contains("these settings are valid"));
}
