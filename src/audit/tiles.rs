//! The tiles of a server, compared with the records that they were made of.
//!
//! A level's file holds the hashes of its full tiles, one after another; they come up in that order while the tree grows, so
//! each file is read once, from its beginning to its end.

use std::fs::{self, File};
use std::io::{self, BufReader, Read as _};
use std::path::{Path, PathBuf};

use super::flaw::{EvidenceCheckError, TILE_BYTES, TileFlaw};
use crate::tlog::{Tile, TreeHash, TreeNode};

/// The tiles of one origin.
#[derive(Default)]
pub(super) struct Tiles(Vec<TileLevel>);

struct TileLevel {
    path: PathBuf,
    height: u8,
    file: BufReader<File>,
    /// How many hashes of full tiles there are, and how many have been compared.
    hashes: u64,
    compared: u64,
    flaw: Option<TileFlaw>,
}

impl Tiles {
    /// Opens the levels in that directory; none if it does not exist.
    pub(super) fn open(directory: &Path) -> Result<Self, EvidenceCheckError> {
        let mut levels = Vec::new();
        for level in 0..=Tile::MAX_LEVEL / Tile::HEIGHT {
            let path = directory.join(level.to_string());
            let file = match File::open(&path) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(EvidenceCheckError::io("read", &path)(error)),
            };
            let bytes = file.metadata().map_err(EvidenceCheckError::io("inspect", &path))?.len();
            let (tile, rest) = (bytes / TILE_BYTES, bytes % TILE_BYTES);
            levels.push(TileLevel {
                path,
                height: level * Tile::HEIGHT,
                file: BufReader::with_capacity(1 << 16, file),
                hashes: tile * u64::from(Tile::WIDTH),
                compared: 0,
                flaw: (rest > 0).then_some(TileFlaw::Short { tile, bytes: rest }),
            });
        }
        Ok(Self(levels))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Compares a subtree that has just become complete.
    pub(super) fn compare(&mut self, node: TreeNode, computed: TreeHash) {
        if let Some(level) = self.0.iter_mut().find(|level| level.height == node.height)
            && level.compared < level.hashes
        {
            level.compare(node, computed);
        }
    }

    /// Each file with the number of hashes that agreed, or with the flaw, if the checkpoint covers `signed` records.
    pub(super) fn into_findings(self, signed: u64) -> impl Iterator<Item = (PathBuf, Result<u64, TileFlaw>)> {
        self.0.into_iter().map(move |level| {
            let width = u64::from(Tile::WIDTH);
            let (tile, due) = (level.compared / width, Tile::hashes_at(level.height / Tile::HEIGHT, signed) / width);
            let beyond = (level.compared < level.hashes).then_some(TileFlaw::Beyond { tile });
            let missing = (level.hashes / width < due).then_some(TileFlaw::Missing { tile: level.hashes / width });
            (level.path, level.flaw.or(beyond).or(missing).map_or(Ok(level.compared), Err))
        })
    }
}

impl TileLevel {
    fn compare(&mut self, node: TreeNode, computed: TreeHash) {
        let mut found = TreeHash([0; TreeHash::BYTES]);
        let (tile, hash) = (node.index / u64::from(Tile::WIDTH), node.index % u64::from(Tile::WIDTH));
        self.compared += 1;
        if let Err(error) = self.file.read_exact(&mut found.0) {
            self.flaw.get_or_insert(TileFlaw::Unread { tile, why: error.to_string() });
        } else if found != computed && !matches!(self.flaw, Some(TileFlaw::Hash { .. })) {
            let leaf = node.index << node.height;
            self.flaw = Some(TileFlaw::Hash { tile, hash, leaf, found, computed });
        }
    }
}

/// The directories of tiles below that one, by the name of their origin.
pub(super) fn origins_in(directory: &Path) -> Result<Vec<(String, PathBuf)>, EvidenceCheckError> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(EvidenceCheckError::io("read", directory)(error)),
    };
    let mut named = Vec::new();
    for entry in entries {
        let entry = entry.map_err(EvidenceCheckError::io("read", directory))?;
        named.extend(entry.file_name().into_string().ok().map(|name| (name, entry.path())));
    }
    named.sort();
    Ok(named)
}
