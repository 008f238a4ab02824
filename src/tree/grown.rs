//! A growing tree: full tiles in a file for each level, and partial tiles in memory.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::TreeError;
use crate::tlog::{Nodes, Tile, TreeHash, TreeNode};

/// Hashes in a tile.
const WIDTH: u64 = Tile::WIDTH as u64;
/// Bytes of a full tile.
const TILE_BYTES: u64 = WIDTH * TreeHash::BYTES as u64;

/// The Merkle tree of one origin.
///
/// `DATA/tiles/<origin>/<level>` is the concatenation of that level's full tiles. They are written as they fill and not
/// synced: tiles that a loss of power takes are grown again from the log.
pub struct GrownTree {
    directory: PathBuf,
    /// Whether full tiles are written to the files; otherwise they stay in memory, for a reader that may not write.
    writes: bool,
    levels: Vec<TreeLevel>,
}

/// The hashes of one level, from left to right.
#[derive(Default)]
struct TreeLevel {
    file: Option<File>,
    /// How many full tiles are in the file.
    full: u64,
    /// The hashes after them.
    edge: Vec<TreeHash>,
}

impl TreeLevel {
    fn hashes(&self) -> u64 {
        self.full * WIDTH + self.edge.len() as u64
    }
}

impl GrownTree {
    /// The tree whose tiles are in that directory, as far as it goes in full tiles within the first `trusted` leaves;
    /// the files are cut off beyond that. The caller appends the rest, and compares the root with a known one.
    pub fn open(directory: &Path, trusted: u64) -> Result<Self, TreeError> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(directory);
        made.map_err(TreeError::io("make", directory))?;
        Self::load(directory, trusted, true)
    }

    /// The same for reading: nothing is written, and no file need exist.
    pub fn open_for_reading(directory: &Path, trusted: u64) -> Result<Self, TreeError> {
        Self::load(directory, trusted, false)
    }

    /// An empty tree in that directory, whatever was there before.
    pub fn create(directory: &Path) -> Result<Self, TreeError> {
        match fs::remove_dir_all(directory) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(TreeError::io("clear", directory)(error)),
            _ => Self::open(directory, 0),
        }
    }

    /// How many leaves it has.
    pub fn size(&self) -> u64 {
        self.levels.first().map_or(0, TreeLevel::hashes)
    }

    /// Adds the next leaf.
    pub fn append(&mut self, leaf: TreeHash) -> Result<(), TreeError> {
        let (mut level, mut hash) = (0, leaf);
        loop {
            self.push(level, hash)?;
            let Some(root) = self.completed(level)? else { return Ok(()) };
            level += 1;
            hash = root;
        }
    }

    /// The hashes of that tile, or nothing if the tree does not go that far. A full one is checked against its hash one
    /// level up.
    pub fn tile(&self, tile: Tile) -> Result<Option<Vec<TreeHash>>, TreeError> {
        if !tile.is_in(self.size()) {
            return Ok(None);
        }
        let hashes = self.hashes(tile.level, tile.index * WIDTH, tile.width.into())?;
        let above = TreeNode { height: (tile.level + 1) * Tile::HEIGHT, index: tile.index };
        if tile.is_full() && self.load_hash(tile.level + 1, tile.index)? != joined(&hashes) {
            return Err(self.damaged(tile.level, above.index));
        }
        Ok(Some(hashes))
    }

    fn load(directory: &Path, trusted: u64, writes: bool) -> Result<Self, TreeError> {
        let mut tree = Self { directory: directory.to_owned(), writes, levels: Vec::new() };
        let bottom = tree.open_level(0, trusted / WIDTH)?;
        let mut hashes = bottom.full;
        tree.levels.push(bottom);
        let mut level = 1;
        while hashes > 0 {
            let opened = tree.open_level(level, hashes / WIDTH)?;
            let derived = opened.full * WIDTH..hashes;
            tree.levels.push(opened);
            // Hashes that the file of this level lacks follow from the tiles below it.
            for index in derived {
                let root = joined(&tree.hashes(level as u8 - 1, index * WIDTH, WIDTH)?);
                tree.push(level, root)?;
            }
            hashes /= WIDTH;
            level += 1;
        }
        Ok(tree)
    }

    /// A level with at most that many full tiles.
    fn open_level(&self, level: usize, most: u64) -> Result<TreeLevel, TreeError> {
        let path = self.path(level);
        let opened = OpenOptions::new()
            .read(true)
            .write(self.writes)
            .create(self.writes)
            .truncate(false)
            .mode(0o600)
            .open(&path);
        let file = match opened {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(TreeLevel::default()),
            Err(error) => return Err(TreeError::io("open", &path)(error)),
        };
        let length = file.metadata().map_err(TreeError::io("inspect", &path))?.len();
        let full = most.min(length / TILE_BYTES);
        if self.writes && length > full * TILE_BYTES {
            file.set_len(full * TILE_BYTES).map_err(TreeError::io("cut", &path))?;
        }
        Ok(TreeLevel { file: Some(file), full, edge: Vec::new() })
    }

    /// Adds a hash to a level, and writes the tile that it completes.
    fn push(&mut self, level: usize, hash: TreeHash) -> Result<(), TreeError> {
        if level == self.levels.len() {
            let opened = self.open_level(level, 0)?;
            self.levels.push(opened);
        }
        let at = &mut self.levels[level];
        at.edge.push(hash);
        if !self.writes || at.edge.len() < WIDTH as usize {
            return Ok(());
        }
        let Some(file) = &at.file else { return Ok(()) };
        let bytes: Vec<u8> = at.edge.iter().flat_map(|hash| hash.0).collect();
        let written = file.write_all_at(&bytes, at.full * TILE_BYTES);
        at.full += 1;
        at.edge.clear();
        written.map_err(TreeError::io("write", self.path(level)))
    }

    /// The root of the tile that the last push to that level completed, if it did complete one.
    fn completed(&self, level: usize) -> Result<Option<TreeHash>, TreeError> {
        let hashes = self.levels[level].hashes();
        if !hashes.is_multiple_of(WIDTH) {
            return Ok(None);
        }
        self.hashes(level as u8, hashes - WIDTH, WIDTH).map(|tile| Some(joined(&tile)))
    }

    fn load_hash(&self, level: u8, index: u64) -> Result<TreeHash, TreeError> {
        let hashes = self.hashes(level, index, 1)?;
        hashes.first().copied().ok_or(TreeError::Missing(TreeNode { height: level * Tile::HEIGHT, index }))
    }

    /// Hashes of a level side by side, in the file or after it.
    fn hashes(&self, level: u8, first: u64, count: u64) -> Result<Vec<TreeHash>, TreeError> {
        let missing = || TreeError::Missing(TreeNode { height: level.saturating_mul(Tile::HEIGHT), index: first });
        let at = self.levels.get(usize::from(level)).filter(|at| first + count <= at.hashes()).ok_or_else(missing)?;
        let filed = at.full * WIDTH;
        let in_file = count.min(filed.saturating_sub(first));
        let mut bytes = vec![0; in_file as usize * TreeHash::BYTES];
        if let Some(file) = at.file.as_ref().filter(|_| in_file > 0) {
            let read = file.read_exact_at(&mut bytes, first * TreeHash::BYTES as u64);
            read.map_err(TreeError::io("read", self.path(level.into())))?;
        }
        let mut hashes: Vec<TreeHash> = bytes.as_chunks().0.iter().copied().map(TreeHash).collect();
        let (from, to) = (first.max(filed) - filed, (first + count).max(filed) - filed);
        hashes.extend_from_slice(&at.edge[from as usize..to as usize]);
        Ok(hashes)
    }

    fn path(&self, level: usize) -> PathBuf {
        self.directory.join(level.to_string())
    }

    fn damaged(&self, level: u8, index: u64) -> TreeError {
        TreeError::DamagedTile { path: self.path(level.into()), index }
    }
}

impl Nodes for GrownTree {
    type Error = TreeError;

    fn load(&self, node: TreeNode) -> Result<TreeHash, TreeError> {
        let (level, first, count) = Tile::below(node);
        Ok(joined(&self.hashes(level, first, count)?))
    }
}

/// The root over a number of hashes that is a power of two.
fn joined(hashes: &[TreeHash]) -> TreeHash {
    match hashes {
        [] => TreeHash::of_nothing(),
        [hash] => *hash,
        _ => {
            let (left, right) = hashes.split_at(hashes.len() / 2);
            TreeHash::of_children(&joined(left), &joined(right))
        }
    }
}
