//! The tree on disk: whatever its files hold, its answers follow from its leaves.

use std::fs;
use std::path::Path;

use authledger::tlog::{Nodes as _, Tile, TreeHash, cover, root};
use authledger::tree::{Checkpoints, GrownTree, TreeError};

use crate::support::node::origin;
use crate::tlog::Plain;

const TILE_BYTES: usize = 8_192;
/// Three levels of tiles, the uppermost with one hash.
const LEAVES: u64 = 66_000;

fn leaf(number: u64) -> Vec<u8> {
    number.to_string().into_bytes()
}

fn append(tree: &mut GrownTree, until: u64) {
    (tree.size()..until).for_each(|number| tree.append(TreeHash::of_leaf(&leaf(number))).unwrap());
}

fn file(directory: &Path, level: u8) -> std::path::PathBuf {
    directory.join(level.to_string())
}

/// Every tile that the tree has, by the definition: the roots of subtrees of 256^level leaves.
fn assert_tiles(tree: &GrownTree, plain: &Plain) {
    let size = tree.size();
    for level in 0..4 {
        let hashes = Tile::hashes_at(level, size);
        for index in 0..hashes.div_ceil(256) {
            let width = (hashes - index * 256).min(256) as u16;
            let tile = Tile { level, index, width };
            let due: Vec<TreeHash> = (0..u64::from(width))
                .map(|n| plain.load(authledger::tlog::TreeNode { height: level * 8, index: index * 256 + n }).unwrap())
                .collect();
            assert_eq!(tree.tile(tile).unwrap(), Some(due), "{tile} of {size}");
            assert_eq!(tree.tile(Tile { width: 256, ..tile }).unwrap().is_some(), width == 256);
        }
    }
    assert_eq!(root(size, tree).unwrap(), plain.frontier.root());
    for node in cover(size / 3, size) {
        assert_eq!(tree.load(node).unwrap(), plain.load(node).unwrap());
    }
}

#[test]
fn a_tree_grows_over_restarts_and_each_tile_is_that_of_the_definition() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path().join("tree");
    let mut plain = Plain::default();
    let mut trusted = 0;
    for size in [0, 1, 255, 256, 257, 5_000, 65_535, 65_536, 65_537, LEAVES] {
        let mut tree = GrownTree::open(&at, trusted).unwrap();
        assert_eq!(tree.size(), trusted / 256 * 256, "the rest of the leaves is the log's to give");
        append(&mut tree, size);
        plain.append((plain.frontier.size()..size).map(leaf));
        assert_tiles(&tree, &plain);
        trusted = size;
    }
    let mut reading = GrownTree::open_for_reading(&at, LEAVES).unwrap();
    append(&mut reading, LEAVES);
    assert_tiles(&reading, &plain);
    assert_eq!(fs::metadata(file(&at, 0)).unwrap().len(), LEAVES / 256 * TILE_BYTES as u64);
    let mut nowhere = GrownTree::open_for_reading(&directory.path().join("none"), LEAVES).unwrap();
    append(&mut nowhere, 600);
    assert!(!directory.path().join("none").exists());
    assert_tiles(&nowhere, &Plain::of((0..600).map(leaf)));
}

/// Files as a crash or somebody's hand can leave them, and a tree that is right nevertheless.
#[test]
fn hashes_beyond_the_trusted_size_are_cut_off_and_missing_ones_are_made_again() {
    let directory = tempfile::tempdir().unwrap();
    let pristine = directory.path().join("pristine");
    append(&mut GrownTree::open(&pristine, 0).unwrap(), LEAVES);
    let plain = Plain::of((0..LEAVES).map(leaf));
    type Change = fn(&Path);
    let changes: [(&str, u64, Change); 6] = [
        ("nothing", LEAVES, |_| {}),
        ("half a tile at the end", LEAVES, |at| cut(&file(at, 0), 100 * TILE_BYTES + 77)),
        ("garbage after the trusted part", 30_000, |at| overwrite(&file(at, 0), 120 * TILE_BYTES)),
        ("the level above is gone", LEAVES, |at| fs::remove_file(file(at, 1)).unwrap()),
        ("the level above is ahead", 30_000, |at| {
            cut(&file(at, 0), 90 * TILE_BYTES);
            fs::write(file(at, 1), vec![7; 3 * TILE_BYTES]).unwrap();
        }),
        ("all of it is gone", LEAVES, |at| fs::remove_dir_all(at).unwrap()),
    ];
    for (case, trusted, change) in changes {
        let at = directory.path().join("changed");
        copy(&pristine, &at);
        change(&at);
        let mut tree = GrownTree::open(&at, trusted).unwrap();
        assert!(tree.size() <= trusted, "{case}");
        append(&mut tree, LEAVES);
        assert_tiles(&tree, &plain);
        let mut again = GrownTree::open(&at, LEAVES).unwrap();
        append(&mut again, LEAVES);
        assert_tiles(&again, &plain);
    }
}

#[test]
fn a_changed_tile_is_not_given_away() {
    let directory = tempfile::tempdir().unwrap();
    append(&mut GrownTree::open(directory.path(), 0).unwrap(), LEAVES);
    let path = file(directory.path(), 0);
    let mut bytes = fs::read(&path).unwrap();
    bytes[17 * TILE_BYTES + 5_000] ^= 1;
    fs::write(&path, bytes).unwrap();
    let tree = GrownTree::open(directory.path(), LEAVES).unwrap();
    let tile = |index| tree.tile(Tile { level: 0, index, width: 256 });
    assert!(matches!(tile(17), Err(TreeError::DamagedTile { index: 17, .. })));
    assert!(tile(16).unwrap().is_some() && tile(18).unwrap().is_some());
    GrownTree::create(directory.path()).unwrap();
    assert_eq!(fs::metadata(path).unwrap().len(), 0);
}

#[test]
fn a_checkpoint_is_replaced_whole_or_not_at_all() {
    let directory = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints::of(directory.path());
    assert!(checkpoints.find(origin('a')).unwrap().is_none() && checkpoints.list().unwrap().is_empty());
    let note = |text: &str| authledger::tlog::SignedNote::parse(&format!("{text}\n\n\u{2014} log AAAAAAA=\n")).unwrap();
    checkpoints.store(origin('a'), &note("one")).unwrap();
    checkpoints.store(origin('b'), &note("other")).unwrap();
    fs::write(checkpoints.path(origin('a')).with_extension("new"), "half").unwrap();
    assert_eq!(checkpoints.find(origin('a')).unwrap().unwrap(), note("one"));
    checkpoints.store(origin('a'), &note("two")).unwrap();
    assert_eq!(checkpoints.find(origin('a')).unwrap().unwrap(), note("two"));
    assert_eq!(checkpoints.list().unwrap(), [origin('a'), origin('b')]);
    fs::write(checkpoints.path(origin('b')), "no note").unwrap();
    assert!(checkpoints.find(origin('b')).unwrap_err().to_string().contains("bbbbbbbbbbbbb"));
}

fn copy(from: &Path, to: &Path) {
    // There may be one of the round before.
    let _ = fs::remove_dir_all(to);
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

fn cut(path: &Path, bytes: usize) {
    fs::File::options().write(true).open(path).unwrap().set_len(bytes as u64).unwrap();
}

fn overwrite(path: &Path, from: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[from..].fill(9);
    fs::write(path, bytes).unwrap();
}
