//! The manifests for Kubernetes: each document is held against the schema of its kind, and names what the others have.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::node::BINARY;

const FOLDER: &str = "tools/gateways/kubernetes";

/// Kinds by the file that has them, in order.
const KINDS: [(&str, &[&str]); 4] = [
    ("edge-daemonset.yaml", &["Namespace", "ConfigMap", "DaemonSet", "Service", "NetworkPolicy"]),
    ("edge-sidecar.yaml", &["Deployment", "Service"]),
    (
        "envoy-gateway.yaml",
        &["GatewayClass", "Gateway", "ClientTrafficPolicy", "HTTPRoute", "SecurityPolicy", "ReferenceGrant"],
    ),
    ("istio.yaml", &["AuthorizationPolicy", "EnvoyFilter"]),
];

fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The Python and the definitions that `tools/test` installs, or nothing, in which case the test is left out, and has been told so.
fn installed() -> Option<(PathBuf, PathBuf)> {
    let (python, definitions) = (project().join(".tools/gateways/bin/python"), project().join(".tools/gateways/crds"));
    if python.exists() && definitions.exists() {
        return Some((python, definitions));
    }
    println!("left out: the schemas of Kubernetes are not installed; run tools/test");
    assert!(std::env::var("CI").as_deref() != Ok("true"), "no test may be left out in CI");
    None
}

#[test]
fn each_manifest_fits_the_schema_of_its_kind() {
    let Some((python, definitions)) = installed() else { return };
    let files = KINDS.map(|(file, _)| project().join(FOLDER).join(file));
    let script = project().join("tests/clients/gateways/manifests.py");
    let run = |files: &[PathBuf]| {
        Command::new(&python).arg(&script).arg(&definitions).args(files).output().expect("python runs")
    };
    let output = run(&files);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let found: Vec<_> = said.lines().filter_map(|line| line.split_once(' ')).collect();
    let due = KINDS.iter().flat_map(|(file, kinds)| kinds.iter().map(move |kind| (*file, *kind)));
    assert_eq!(found.len(), due.clone().count(), "{said}");
    for ((file, found), (due_file, kind)) in found.iter().zip(due) {
        assert!(*file == due_file && found.contains(&format!(" {kind} ")), "{file}: {found}, and not {kind}");
    }

    // A success means something only if it can fail.
    let directory = tempfile::tempdir().unwrap();
    for (file, right, wrong) in [
        ("envoy-gateway.yaml", "failOpen: false", "failOpened: false"),
        ("envoy-gateway.yaml", "withUnderscoresAction: DropHeader", "withUnderscoresAction: Drop"),
        ("edge-daemonset.yaml", "maxSurge: 1", "surge: 1"),
        ("istio.yaml", "action: CUSTOM", "action: ASK"),
    ] {
        let text = fs::read_to_string(project().join(FOLDER).join(file)).unwrap();
        let spoiled = directory.path().join(file);
        fs::write(&spoiled, text.replace(right, wrong)).unwrap();
        assert!(!run(&[spoiled]).status.success(), "{file}: {wrong}");
    }
}

/// The arguments of the edge in a manifest, and the file that its config map has, if there is one.
fn edge(text: &str) -> (Vec<String>, String) {
    let (_, after) = text.split_once("            - edge\n").expect("an edge");
    let arguments = after.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    let arguments = arguments.map_while(|line| line.strip_prefix("- ").filter(|argument| argument.starts_with("--")));
    let file = text.split_once("  edge.toml: |\n").map_or("", |(_, rest)| rest.split("---").next().expect("a file"));
    (arguments.map(str::to_owned).collect(), file.lines().map(|line| format!("{}\n", line.trim_start())).collect())
}

#[test]
fn the_edges_in_the_manifests_take_their_settings() {
    for manifest in ["edge-daemonset.yaml", "edge-sidecar.yaml"] {
        let (arguments, rules) = edge(&fs::read_to_string(project().join(FOLDER).join(manifest)).unwrap());
        assert!(arguments.len() > 3, "{arguments:?}");
        let directory = tempfile::tempdir().unwrap();
        let (token, config) = (directory.path().join("token"), directory.path().join("edge.toml"));
        fs::write(&token, "a-secret").unwrap();
        fs::write(&config, rules).unwrap();
        let here = |argument: String| match argument.split_once('=') {
            Some(("--token-file", _)) => format!("--token-file={}", token.display()),
            Some(("--config", _)) => format!("--config={}", config.display()),
            Some(("--state", _)) => format!("--state={}", directory.path().display()),
            _ => argument,
        };
        let mut command = Command::new(BINARY);
        command.arg("edge").args(arguments.into_iter().map(here)).arg("--check").current_dir(&directory);
        let output = command.output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "{manifest}: {}", String::from_utf8_lossy(&said));
    }
}

#[test]
fn every_manifest_is_known() {
    let mut found: Vec<_> =
        fs::read_dir(project().join(FOLDER)).unwrap().map(|file| file.unwrap().file_name()).collect();
    found.sort();
    assert_eq!(found, KINDS.map(|(file, _)| file));
}
