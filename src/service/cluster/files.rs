//! The files that a node with members keeps beside its log, below `DATA/members`.
//!
//! `node.json` names the origin that the directory continues, and the run of the node that used it last; `aside/ORIGIN`
//! holds parcels that could not be read, for the next release; `evidence/` holds proofs that an origin has signed two
//! histories; `heard/NODE.RUN` the latest announcement of each run of the other nodes.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Cluster;
use crate::cluster::{CarriedAnnouncement, Fork, HeardAnnouncement, Incarnation, MAX_SUPERSEDED, SignedHead};
use crate::domain::{NodeKey, Origin, RecordId, hex};
use crate::json;

/// The most announcements of other nodes that are kept.
const MAX_HEARD: usize = 4_096;

/// A file below `DATA/members` can't be read or written.
#[derive(Debug, thiserror::Error)]
#[error("use {}: {source}", path.display())]
pub struct FilesError {
    path: PathBuf,
    source: io::Error,
}

/// The origin that a directory continues, and the run that used it last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeFile {
    pub origin: Origin,
    /// The run.
    pub incarnation: Incarnation,
    /// Runs that were over when it began, the ones that other nodes still knew first: an absent member may remember
    /// them for long.
    pub past: Vec<Incarnation>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct NodeFileText {
    origin: String,
    incarnation: Incarnation,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    past: Vec<Incarnation>,
}

impl NodeFile {
    /// The node file of a data directory; nothing for a node that never had members.
    pub fn load(data: &Path) -> Result<Option<Self>, FilesError> {
        let path = data.join("members").join("node.json");
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(FilesError { path, source }),
        };
        let form: NodeFileText = serde_json::from_slice(&text)
            .map_err(|error| FilesError { path: path.clone(), source: io::Error::other(error) })?;
        let origin = form.origin.parse().map_err(|error| FilesError { path, source: io::Error::other(error) })?;
        Ok(Some(Self { origin, incarnation: form.incarnation, past: form.past }))
    }

    /// Writes it, whole or not at all; when this returns, it survives a loss of power.
    pub fn store(&self, data: &Path) -> Result<(), FilesError> {
        let past = self.past.iter().take(MAX_SUPERSEDED).copied().collect();
        let form = NodeFileText { origin: self.origin.to_string(), incarnation: self.incarnation, past };
        replace(&data.join("members").join("node.json"), &json::bytes(&form))
    }
}

impl Cluster {
    /// Keeps a parcel that a later release can read.
    pub(super) fn set_aside(&self, origin: Origin, text: &[u8]) -> Result<(), FilesError> {
        replace(&self.data.join("members").join("aside").join(origin.as_str()), text)
    }

    /// The parcels that were kept for this release.
    pub fn aside(&self) -> Vec<Vec<u8>> {
        let kept = read_all(&self.data.join("members").join("aside"));
        kept.into_iter().map(|(_, text)| text).collect()
    }

    /// The parcel that was set aside for that origin could be read.
    pub(super) fn is_read(&self, origin: Origin) {
        // It is taken again at the next start, and is then found to be held.
        let _ = fs::remove_file(self.data.join("members").join("aside").join(origin.as_str()));
    }

    /// Keeps the proof that an origin has signed two histories: its newly signed head, and the chain that is held here,
    /// under the newest head that it signed before.
    pub(super) fn keep_evidence(&self, fork: &Fork) -> Result<(), FilesError> {
        let RecordId { origin, sequence } = fork.place;
        let signed = |head: &SignedHead| {
            let RecordId { origin, sequence } = head.place;
            json!({
                "origin": origin.as_str(),
                "sequence": sequence.0,
                "hash": hex::encode(&head.hash.0),
                "signature": head.signature.to_string(),
            })
        };
        let evidence = json!({
            "origin": origin.as_str(),
            "sequence": sequence.0,
            "theirs": hex::encode(&fork.theirs.0),
            "held_here": hex::encode(&fork.held.0),
            "shown_by": signed(&fork.shown_by),
            "opening": fork.opening,
            "signed_before": self.kept.newest(origin).as_ref().map(signed),
        });
        let name = format!("{origin}-{sequence}.json");
        replace(&self.data.join("members").join("evidence").join(name), evidence.to_string().as_bytes())
    }

    /// Keeps the latest announcement of every run of the other nodes, so that a restart does not lose how far they
    /// were.
    pub fn keep_heard(&self) -> Result<(), FilesError> {
        let directory = self.data.join("members").join("heard");
        // Held to the end, so that no file is removed here while it is written beside it.
        let mut kept = self.kept_runs.lock();
        let heard: Vec<Word> = self.positions(|positions| positions.iter().take(MAX_HEARD).map(word).collect());
        for (run, name, text) in &heard {
            replace(&directory.join(name), text)?;
            kept.insert(*run);
        }
        kept.retain(|run| heard.iter().any(|(one, ..)| one == run));
        let Ok(entries) = fs::read_dir(&directory) else { return Ok(()) };
        for entry in entries.flatten() {
            let is_over = entry.file_name().to_str().is_none_or(|name| heard.iter().all(|(_, kept, _)| kept != name));
            if is_over {
                // The file of a run that is over is recognised when it is read.
                let _ = fs::remove_file(entry.path());
            }
        }
        Ok(())
    }

    /// Keeps the runs of that node that are not on disk yet. A run that can't be kept is not reported as heard.
    pub(super) fn keep_runs(&self, node: NodeKey) {
        let mut kept = self.kept_runs.lock();
        let is_new = |heard: &&HeardAnnouncement| !kept.contains(&heard.announcement().incarnation);
        let new: Vec<Word> = self.positions(|positions| positions.of(node).filter(is_new).map(word).collect());
        for (run, name, text) in new {
            match replace(&self.data.join("members").join("heard").join(name), &text) {
                Ok(()) => drop(kept.insert(run)),
                Err(error) => {
                    tracing::error!(%error, %node, "a run of another node can't be remembered; that node waits for it")
                }
            }
        }
    }

    /// Reads the kept announcements of other nodes. Each is verified again.
    pub fn recall(&self) {
        for (modified, text) in read_all(&self.data.join("members").join("heard")) {
            let spoken = CarriedAnnouncement::hear(&text).filter(|spoken| self.admits(spoken.announcement.node));
            if let Some(spoken) = spoken {
                self.kept_runs.lock().insert(spoken.announcement.incarnation);
                self.remember(spoken, modified);
            }
        }
    }
}

/// The latest announcement of a run: the run, the name of its file, and its text.
type Word = (Incarnation, String, Box<[u8]>);

fn word(heard: &HeardAnnouncement) -> Word {
    let said = heard.announcement();
    (said.incarnation, format!("{}.{}", said.node, said.incarnation.0), heard.spoken.text.clone())
}

fn replace(path: &Path, bytes: &[u8]) -> Result<(), FilesError> {
    crate::cluster::replace(path, bytes).map_err(|source| FilesError { path: path.to_owned(), source })
}

/// Every file of a directory, with the time when it was written; unreadable ones are left out.
fn read_all(directory: &Path) -> Vec<(crate::domain::Timestamp, Vec<u8>)> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let modified = |entry: &fs::DirEntry| {
        let since = entry.metadata().ok()?.modified().ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
        crate::domain::Timestamp::from_millis(since.as_millis().try_into().ok()?)
    };
    let read = |entry: fs::DirEntry| {
        let is_whole = entry.path().extension().is_none_or(|extension| extension != "new");
        let text = is_whole.then(|| fs::read(entry.path()).ok()).flatten()?;
        Some((modified(&entry).unwrap_or_default(), text))
    };
    entries.flatten().take(MAX_HEARD).filter_map(read).collect()
}
