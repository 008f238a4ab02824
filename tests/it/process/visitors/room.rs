//! A disk with little room: a server on it is not ready, from its start on.

use std::process::Command;

use super::super::node::Launch;

/// A command that mounts a disk of that size over a directory, for itself and its children alone.
fn on_a_disk(of: &str, at: &std::path::Path) -> Option<Command> {
    let mount = format!("mount -t tmpfs -o size={of} tmpfs '{}' && exec \"$0\" \"$@\"", at.display());
    for namespaces in [&["--mount"][..], &["--user", "--map-root-user", "--mount"]] {
        let mut command = Command::new("unshare");
        command.args(namespaces).args(["sh", "-c"]);
        let mut attempt = Command::new("unshare");
        attempt.args(namespaces).args(["sh", "-c", &mount, "true"]);
        if attempt.output().is_ok_and(|output| output.status.success()) {
            command.arg(mount);
            return Some(command);
        }
    }
    println!("left out: this user may not mount a disk of their own");
    assert!(std::env::var("CI").as_deref() != Ok("true"), "no test may be left out in CI");
    None
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_without_room_for_a_batch_is_not_ready_from_the_start_on() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("disk");
    std::fs::create_dir(&data).unwrap();
    let Some(small) = on_a_disk("4m", &data) else { return };
    let node = Launch::behind(small, &data).start();
    let refused = node.api.get("/health/ready").await.expect(503);
    assert_eq!(refused["type"], "/problems/disk-full");
    let metrics = node.api.get("/metrics").await.body.as_str().unwrap().to_owned();
    let free = metrics.lines().find_map(|line| line.strip_prefix("authledger_disk_free_bytes ")).expect("a gauge");
    assert!(free.parse::<u64>().unwrap() < 4 << 20, "{free}");
    node.stop().await;
    let Some(enough) = on_a_disk("64m", &data) else { return };
    let node = Launch::behind(enough, &data).start();
    node.api.get("/health/ready").await.expect(200);
    node.stop().await;
}
