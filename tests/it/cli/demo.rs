//! `authledger demo`

use super::*;

#[test]
fn the_demonstration_holds_and_leaves_nothing_behind() {
    let scratch = tempfile::tempdir().unwrap();
    let said = finish(program(&["demo", "--rounds", "5"]).env("TMPDIR", scratch.path())).succeeded();
    assert!(said.contains("Every claim held"), "{said}");
    assert!(said.contains("p99") && said.contains("(5 times)"), "{said}");
    assert!(!said.contains('\x1b'), "colours are for terminals: {said}");
    assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0);
}

#[test]
fn a_demonstration_that_can_not_go_on_names_the_step_and_fails() {
    let refusal = finish(program(&["demo"]).env("TMPDIR", "/nowhere/at/all")).refused();
    assert!(refusal.starts_with("authledger: the demonstration failed at step 1, A server"), "{refusal}");
}
