//! Where a tile is found, and which hashes it has.

use authledger::tlog::{Tile, TreeNode};

#[test]
fn a_tile_has_one_path() {
    let tile = |level, index, width| Tile { level, index, width };
    for (tile, path) in [
        (tile(0, 0, 256), "0/000"),
        (tile(0, 1_234_067, 256), "0/x001/x234/067"),
        (tile(1, 1_000, 7), "1/x001/000.p/7"),
        (tile(63, u64::MAX, 255), "63/x018/x446/x744/x073/x709/x551/615.p/255"),
    ] {
        assert_eq!(tile.to_string(), path);
        assert_eq!(path.parse(), Ok(tile));
    }
}

#[test]
fn a_text_that_is_not_a_path_is_refused() {
    for path in [
        "",
        "0",
        "0/",
        "/000",
        "0/0",
        "0/00",
        "0/0000",
        "0/x000/000",
        "00/000",
        "+1/000",
        "64/000",
        "0/001/002",
        "0/x001",
        "0/x001/x002",
        "0/000.p/0",
        "0/000.p/256",
        "0/000.p/01",
        "0/000.p/",
        "0/000.p/-1",
        "0/000.p/1.p/1",
        "0/000/",
        "0/ 00",
        "0/x99999/000",
        "0/x018/x446/x744/x073/x709/x551/616",
        "0/x999/x999/x999/x999/x999/x999/x999/999",
        "0/000.p/1 ",
        "-1/000",
        "0/x-01/000",
        "0/xx01/000",
    ] {
        assert!(path.parse::<Tile>().is_err(), "{path}");
    }
}

#[test]
fn a_tree_has_the_tiles_that_the_specification_names() {
    let in_70_000 = |level, index, width| Tile { level, index, width }.is_in(70_000);
    for (level, full, partial) in [(0, 273, 112), (1, 1, 17), (2, 0, 1)] {
        assert!(full == 0 || in_70_000(level, full - 1, 256));
        assert!(in_70_000(level, full, partial) && !in_70_000(level, full, partial + 1));
    }
    assert!(!in_70_000(3, 0, 1) && !in_70_000(63, 0, 1) && !in_70_000(0, u64::MAX, 256));
    assert_eq!([0, 1, 2, 3].map(|level| Tile::hashes_at(level, 70_000)), [70_000, 273, 1, 0]);
    assert_eq!(Tile::below(TreeNode { height: 0, index: 9 }), (0, 9, 1));
    assert_eq!(Tile::below(TreeNode { height: 7, index: 3 }), (0, 384, 128));
    assert_eq!(Tile::below(TreeNode { height: 17, index: 5 }), (2, 10, 2));
}
