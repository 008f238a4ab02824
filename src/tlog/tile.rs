//! Tiles: the division of a tree into files that are served and kept (C2SP `tlog-tiles`).

use std::fmt;
use std::str::FromStr;

use super::tree::TreeNode;

/// Up to 256 hashes of the tree side by side: at level 0 of leaves, at level `l` of subtrees of 256^`l` leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tile {
    /// 0 to [`Tile::MAX_LEVEL`].
    pub level: u8,
    /// Its place in the level.
    pub index: u64,
    /// How many hashes it has: 1 to [`Tile::WIDTH`].
    pub width: u16,
}

/// The text is not a path of a tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a tile is named by level and index, such as 0/x001/234, and .p/WIDTH after it if it is partial (c2sp.org/tlog-tiles)"
)]
pub struct TilePathError;

impl Tile {
    /// Hashes in a full tile.
    pub const WIDTH: u16 = 256;
    /// Levels of the tree in a tile: its hashes are the leaves of a subtree of that height.
    pub const HEIGHT: u8 = 8;
    /// The highest level that C2SP allows a client to ask for. No tree of 2^53 leaves has more than 7.
    pub const MAX_LEVEL: u8 = 63;

    /// Whether it has all its hashes.
    pub fn is_full(&self) -> bool {
        self.width == Self::WIDTH
    }

    /// How many hashes a level has in a tree of that size.
    pub fn hashes_at(level: u8, size: u64) -> u64 {
        size.checked_shr(u32::from(level) * u32::from(Self::HEIGHT)).unwrap_or(0)
    }

    /// Whether a tree of that size has this tile, or a wider one in its place.
    pub fn is_in(&self, size: u64) -> bool {
        let end = self.index.checked_mul(u64::from(Self::WIDTH)).and_then(|first| first.checked_add(self.width.into()));
        end.is_some_and(|end| end <= Self::hashes_at(self.level, size))
    }

    /// The level whose hashes make that subtree, the first of them there, and how many they are: 1 to 128.
    pub fn below(node: TreeNode) -> (u8, u64, u64) {
        let (level, height) = (node.height / Self::HEIGHT, node.height % Self::HEIGHT);
        (level, node.index << height, 1 << height)
    }

    /// `x001/x234/067`, and `.p/WIDTH` after it if it is partial: the path of an entry bundle, and the end of a tile's.
    pub fn index_path(&self) -> String {
        let mut path = format!("{:03}", self.index % 1_000);
        let mut rest = self.index / 1_000;
        while rest > 0 {
            path = format!("x{:03}/{path}", rest % 1_000);
            rest /= 1_000;
        }
        if !self.is_full() {
            path.push_str(&format!(".p/{}", self.width));
        }
        path
    }

    /// Reads the output of [`Tile::index_path`], and only that.
    pub fn from_index_path(level: u8, path: &str) -> Result<Self, TilePathError> {
        let (index, width) = match path.split_once(".p/") {
            Some((index, width)) => {
                (index, number(width).filter(|width| (1..256).contains(width)).ok_or(TilePathError)?)
            }
            None => (path, u64::from(Self::WIDTH)),
        };
        let tile = Self { level, index: index_of(index).ok_or(TilePathError)?, width: width as u16 };
        // One spelling: no leading zeroes beyond those of the form.
        if tile.level <= Self::MAX_LEVEL && tile.index_path() == path { Ok(tile) } else { Err(TilePathError) }
    }
}

impl fmt::Display for Tile {
    /// The path after `tile/`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.level, self.index_path())
    }
}

impl FromStr for Tile {
    type Err = TilePathError;

    fn from_str(path: &str) -> Result<Self, TilePathError> {
        let (level, rest) = path.split_once('/').ok_or(TilePathError)?;
        let level = number(level).and_then(|level| u8::try_from(level).ok()).ok_or(TilePathError)?;
        Self::from_index_path(level, rest)
    }
}

fn index_of(path: &str) -> Option<u64> {
    // The largest index has 19 digits.
    let digits: String = path.split('/').map(|part| part.trim_start_matches('x')).collect();
    let plain = !digits.is_empty() && digits.len() <= 21 && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse().ok())?
}

/// Decimal digits without a leading zero.
fn number(text: &str) -> Option<u64> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    plain.then(|| text.parse().ok())?
}
