//! Key files: the only place that reads or writes one.
//!
//! A file that another user of the machine could read is refused, not repaired: its contents must count as known.

mod borrowed;
mod copy;
mod file;
mod marks;
mod mint;
mod origin;
mod pem;
mod pseudonym;
mod root;
mod sealing;
mod signing;
mod slots;

use std::io;
use std::path::PathBuf;

pub use borrowed::BorrowedKeys;
pub use copy::copy;
pub use marks::load_or_create_mark_key;
pub use mint::{SecretPrefix, is_well_formed, mint};
pub use origin::OriginKey;
pub use pem::public_key_pem;
pub use pseudonym::PseudonymKey;
pub use root::RootToken;
pub use sealing::{SealError, SealingKeys, UnsealError};
pub use signing::{Algorithm, SigningKey};

/// Why a key can't be used. Each error names the file and what to do; none holds a byte of any secret.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The disk or the file system refused.
    #[error("{action} {}: {source}", path.display())]
    Io {
        /// The action: a verb, such as `read`.
        action: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    /// Others on this machine may read the file or enter the directory.
    #[error(
        "trust {path}: its mode {mode:04o} lets others on this machine in; \
         run `chmod {wanted:o} {path}`, and replace its contents if anyone else could have read it",
        path = path.display()
    )]
    TooOpen {
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// The permission bits that it should have.
        wanted: u32,
    },
    /// The file holds something else.
    #[error("read {}: it does not hold {wanted}; put back the one that was there, or move it away to have a new one made", path.display())]
    Malformed {
        path: PathBuf,
        /// The expected content.
        wanted: &'static str,
    },
    /// A slot of the sealing keys holds neither a key nor the mark of an erased one.
    #[error(
        "read {}: slot {slot} is damaged; put back the file from the backup of the keys, because nothing else \
         opens the data that was sealed under that slot",
        path.display()
    )]
    DamagedSlot { path: PathBuf, slot: u64 },
    /// A slot that was never made can't be erased.
    #[error("erase a key in {}: it has no slot {slot}", path.display())]
    NoSlot { path: PathBuf, slot: u64 },
    /// The file of sealing keys would become longer than it may.
    #[error("make slot {slot} in {}: it has room for {most}", path.display())]
    TooManySlots {
        path: PathBuf,
        /// The requested slot.
        slot: u64,
        /// The most slots.
        most: u64,
    },
    /// The operating system gave no randomness.
    #[error("draw random bytes from the operating system; check that getrandom is allowed in this sandbox")]
    NoRandomness,
    /// A token key does not sign, or a new one can't be read back.
    #[error(
        "sign with a token key: the cryptographic library refuses it; start again, and report it if that does not help"
    )]
    Unsigned,
}

impl KeyError {
    fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}
