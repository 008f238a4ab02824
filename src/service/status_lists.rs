//! Token Status Lists: entries for tokens that are issued, and the lists, published as records and as files that are derived from them.
//!
//! `schema/status-lists.md` says what is published and how it is made again. Nothing here is in the way of a commit: a revocation notes an
//! entry in memory, and a publication reads these notes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use parking_lot::{Mutex, RwLock};

use super::machine::Outcome;
use super::shares::Party;
use super::{Error, Failure, Service, TokenRefusal};
use crate::audit;
use crate::clock::random;
use crate::domain::{
    Caller, Command, IssueTokenRejection, Issuer, Origin, Rejection, Request, Sequence, StatusListClass, StatusListId,
    StatusListOpened, StatusListPublished, Timestamp, View as _, hex, lineage, open_list, signing_key,
};
use crate::keys::SigningKey;
use crate::projection::{Projection, StatusListShown};
use crate::status_list::{
    ENCODER, StatusArray, StatusWidth, aggregation_uri, array_of, list_uri, signature_of, signing_input, token,
};

/// For how many seconds verifiers may keep a list before they fetch the next one.
const TTL_SECONDS: u64 = 60;
/// Attempts to give a token an entry: while a list is being opened, its first publication included.
pub(super) const ENTRY_ATTEMPTS: usize = 3;
const JWT_EXTENSION: &str = "jwt";

/// The operator's settings of status lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusListSettings {
    /// Whether tokens get entries. If not, the lists of those that have one are still published.
    pub are_given: bool,
    /// Whether every JWT gets an entry whose issuer does not decline it, and not only those that are asked for.
    pub every_token: bool,
    /// The entries of a list that is opened now.
    pub entries: u32,
    /// How long a changed list waits at most until it is published.
    pub interval: Duration,
    /// After how long a published list expires.
    pub life: Duration,
}

/// The newest publication of a list, ready to be sent.
#[derive(Debug)]
pub struct ServedStatusList {
    /// The signed token.
    pub token: Bytes,
    /// The same, compressed with gzip.
    pub gzip: Bytes,
    /// SHA-256 of the token, in hexadecimal digits.
    pub hash: String,
    pub published: Arc<StatusListPublished>,
}

/// What there is to send of a list.
#[derive(Clone, Debug)]
pub enum StatusListAnswer {
    /// No list has that name, or it was retired.
    Unknown,
    /// Nothing that has not expired.
    Unavailable,
    Found(Arc<ServedStatusList>),
}

/// Lists that are published or served.
pub(super) struct StatusLists {
    settings: Option<StatusListSettings>,
    directory: PathBuf,
    served: RwLock<BTreeMap<StatusListId, Arc<ServedStatusList>>>,
    /// The arrays that were published last. Held while a list is published, so that there is one publication at a time.
    arrays: Arc<tokio::sync::Mutex<BTreeMap<StatusListId, StatusArray>>>,
    /// Held while a list is opened.
    opening: tokio::sync::Mutex<()>,
    /// Lists that could not be made again: reported once.
    reported: Mutex<BTreeSet<StatusListId>>,
    /// Whether the files of lists that were retired have been removed.
    is_tidy: AtomicBool,
}

impl StatusLists {
    pub(super) fn new(settings: Option<StatusListSettings>, ledger: &Path) -> Self {
        Self {
            settings,
            directory: ledger.with_file_name("status-lists"),
            served: RwLock::default(),
            arrays: Arc::default(),
            opening: tokio::sync::Mutex::default(),
            reported: Mutex::default(),
            is_tidy: AtomicBool::default(),
        }
    }
}

/// A publication that is ready to be recorded.
struct Prepared {
    published: StatusListPublished,
    token: String,
    array: StatusArray,
    /// How many notes of the memory it has looked at.
    noticed: usize,
}

impl Service {
    /// Whether a token gets an entry: as it is asked for, else as the operator has set it.
    pub(super) fn gets_entry(&self, asked: Option<bool>, is_opaque: bool) -> Result<bool, TokenRefusal> {
        match (self.status_lists.settings, asked) {
            (Some(settings), Some(true)) if settings.are_given && !is_opaque => Ok(true),
            (_, Some(true)) => Err(TokenRefusal::StatusListsOff),
            (Some(settings), None) => Ok(settings.are_given && settings.every_token && !is_opaque),
            (_, Some(false)) | (None, None) => Ok(false),
        }
    }

    /// Makes sure that a list of that class takes indexes, and has been published: a token that names it can be checked at once.
    pub(super) async fn ensure_status_list(&self, class: StatusListClass) -> Result<(), Error<TokenRefusal>> {
        let settings = self.status_lists.settings.ok_or(Error::Refused(TokenRefusal::StatusListsOff))?;
        let open = || {
            let list = open_list(&*self.projection, self.origin, class, self.clock.now());
            list.map(|list| list.opened.list)
        };
        let is_shown = |id: &StatusListId| matches!(self.status_list(*id), StatusListAnswer::Found(_));
        if open().is_some_and(|id| is_shown(&id)) {
            return Ok(());
        }
        let _opening = self.status_lists.opening.lock().await;
        if open().is_none() {
            let list = StatusListId::from_random(random()?);
            let opened = StatusListOpened { list, entries: settings.entries, class };
            self.as_node(Command::OpenStatusList(opened)).await?;
        }
        let id = open().ok_or(Error::Refused(IssueTokenRejection::NoStatusList.into()))?;
        match self.find_shown(id).filter(|_| !is_shown(&id)) {
            None => Ok(()),
            Some(list) if self.is_aged(&list) => self.publish_status_list(id, settings).await,
            Some(list) => Ok(self.serve_published(&list).await?),
        }
    }

    /// One look at every list: what has changed is published, what is there to be served is served, and what was retired is removed.
    pub async fn keep_status_lists(&self) {
        let shown = self.projection.status_lists();
        let now = self.clock.now();
        let own = lineage(&self.projection.origins(), self.origin, None);
        let mut known = BTreeSet::new();
        for list in shown.iter().filter(|list| now < list.view.retired_at()) {
            let id = list.view.opened.list;
            known.insert(id);
            let is_own = own.contains(&list.view.place.origin);
            let kept = match self.status_lists.settings.filter(|settings| is_own && self.is_due(list, *settings)) {
                Some(settings) => self.publish_status_list(id, settings).await,
                None => self.serve_published(list).await.map_err(Into::into),
            };
            match kept {
                Ok(()) => drop(self.status_lists.reported.lock().remove(&id)),
                Err(error) if self.log.writer.fault().is_none() && self.status_lists.reported.lock().insert(id) => {
                    tracing::warn!(list = %id, %error, "a status list could not be published; it is tried again");
                }
                Err(_) => {}
            }
        }
        if !self.status_lists.is_tidy.swap(true, Ordering::Relaxed) {
            self.remove_files_except(&known);
        }
        let gone: Vec<_> = self.status_lists.served.read().keys().filter(|id| !known.contains(id)).copied().collect();
        for id in gone {
            self.status_lists.served.write().remove(&id);
            self.status_lists.arrays.lock().await.remove(&id);
            self.status_lists.is_tidy.store(false, Ordering::Relaxed);
        }
    }

    /// Removes the files of lists that were retired, and what a crash has left. What can't be removed now is derived, and does no harm.
    fn remove_files_except(&self, known: &BTreeSet<StatusListId>) {
        let Ok(files) = fs::read_dir(&self.status_lists.directory) else { return };
        for path in files.filter_map(|file| Some(file.ok()?.path())) {
            let id = path.file_stem().and_then(|name| name.to_str()?.parse().ok());
            let is_list = path.extension().is_some_and(|extension| extension == JWT_EXTENSION);
            if !is_list || id.is_none_or(|id| !known.contains(&id)) {
                let _ = fs::remove_file(path);
            }
        }
    }

    /// The newest publication of that list.
    pub fn status_list(&self, id: StatusListId) -> StatusListAnswer {
        let now = self.clock.now();
        if self.projection.status_list(&id).is_none_or(|view| view.retired_at() <= now) {
            return StatusListAnswer::Unknown;
        }
        let served = self.status_lists.served.read().get(&id).cloned();
        match served.filter(|served| now.as_seconds() < served.published.exp) {
            Some(served) => StatusListAnswer::Found(served),
            None => StatusListAnswer::Unavailable,
        }
    }

    /// The addresses of all lists that have not been retired; nothing if this server has no address.
    pub fn status_list_uris(&self) -> Vec<String> {
        let Some(issuer) = self.token_issuer() else { return Vec::new() };
        let now = self.clock.now();
        let lists = self.projection.status_lists().into_iter();
        let known = lists.filter(|list| list.published.is_some() && now < list.view.retired_at());
        known.map(|list| list_uri(&issuer, list.view.opened.list)).collect()
    }

    /// Where these addresses are.
    pub fn status_list_aggregation(&self) -> Option<String> {
        self.token_issuer().map(|issuer| aggregation_uri(&issuer))
    }

    /// The publication of that list that was the newest at that time and had not expired, made again from the log: its token, and whether the
    /// list is known. One reading of the log for each, a few at a time.
    pub async fn status_list_at(
        &self,
        party: &Party,
        id: StatusListId,
        at_seconds: u64,
    ) -> Result<Option<String>, Error> {
        let path = self.log.reader.path().to_owned();
        let read = move || audit::status_list(&path, id, Some(at_seconds), |_, _| {});
        let rebuilt = self.questions.readers.read(party, read).await?;
        let rebuilt = rebuilt.map_err(|error| unreadable(&error))?;
        let valid = rebuilt.filter(|rebuilt| at_seconds < rebuilt.published.exp);
        let Some(rebuilt) = valid else { return Ok(None) };
        match (rebuilt.flaw, rebuilt.token) {
            (None, Some(token)) => Ok(Some(token)),
            (flaw, _) => {
                let flaw = flaw.map(|flaw| flaw.to_string());
                tracing::error!(list = %id, flaw, "a published status list can't be made again");
                Err(Failure::internal(None, "a published status list can't be made again").into())
            }
        }
    }

    fn is_due(&self, list: &StatusListShown, settings: StatusListSettings) -> bool {
        let now = self.clock.now().as_seconds();
        // A clock that was ahead when the list was signed, and has been set back since, does not keep revocations waiting.
        let waits = |iat: u64| (iat..iat + settings.interval.as_secs()).contains(&now);
        let is_waiting = list.published.as_ref().is_some_and(|(_, published)| waits(published.iat));
        self.is_aged(list) || (list.may_have_changed && !is_waiting)
    }

    /// Whether the list is to be published even if nothing has changed.
    fn is_aged(&self, list: &StatusListShown) -> bool {
        let Some((_, published)) = &list.published else { return true };
        // A key that was withdrawn may have signed anything.
        let is_withdrawn = self.projection.keys().get(&published.kid).is_none_or(|key| key.withdrawn);
        let half = published.iat + (published.exp - published.iat) / 2;
        is_withdrawn || self.clock.now().as_seconds() >= half
    }

    async fn publish_status_list(
        &self,
        id: StatusListId,
        settings: StatusListSettings,
    ) -> Result<(), Error<TokenRefusal>> {
        self.ensure_key_signs().await?;
        let key = signing_key(&*self.projection, self.origin);
        let key = key.ok_or(Error::Refused(IssueTokenRejection::NoSigningKey.into()))?;
        let lost = || Error::Refused(IssueTokenRejection::NoSigningKey.into());
        let signs = self.signing.find(&key.id).map_err(Failure::key)?.ok_or_else(lost)?;
        let mut arrays = self.status_lists.arrays.clone().lock_owned().await;
        let Some(list) = self.find_shown(id) else { return Ok(()) };
        let is_forced = self.is_aged(&list);
        let before = self.array_published(&list, &mut arrays).await?;
        let publisher = Publisher {
            projection: self.projection.clone(),
            list,
            before,
            key: signs,
            kid: key.id.clone(),
            issuer: key.issuer,
            now: self.clock.now(),
            is_forced,
            settings,
        };
        let prepared = tokio::task::spawn_blocking(move || publisher.prepare()).await.map_err(Failure::of_task)?;
        let Some(Prepared { published, token, array, noticed }) = prepared.map_err(Failure::key)? else {
            return Ok(());
        };
        let outcome = self.as_node(Command::PublishStatusList(Box::new(published.clone()))).await?;
        if !matches!(outcome, Outcome::Appended(_)) {
            return Ok(());
        }
        self.projection.settle_status_list(&id, noticed);
        arrays.insert(id, array);
        self.serve(Arc::new(published), token).await
    }

    fn find_shown(&self, id: StatusListId) -> Option<StatusListShown> {
        self.projection.status_lists().into_iter().find(|list| list.view.opened.list == id)
    }

    /// Sees to it that the newest publication is served, also one of another node.
    async fn serve_published(&self, list: &StatusListShown) -> Result<(), Failure> {
        let Some((_, published)) = &list.published else { return Ok(()) };
        let is_held = |(origin, sequence): (&Origin, &Sequence)| *sequence <= self.projection.head(*origin);
        if !published.upto.iter().all(is_held) {
            // It follows from records that have yet to arrive from other nodes.
            return Ok(());
        }
        let id = list.view.opened.list;
        let served = self.status_lists.served.read().get(&id).cloned();
        if served.is_some_and(|served| served.published.signature == published.signature) {
            return Ok(());
        }
        let mut arrays = self.status_lists.arrays.clone().lock_owned().await;
        self.array_published(list, &mut arrays).await.map(drop)
    }

    /// The array of the list's last publication: as it is known, else from its file, else from what memory has noticed since the one before,
    /// else made again from the log. From then on it is served. All 0 for a list that was not published.
    async fn array_published(
        &self,
        list: &StatusListShown,
        arrays: &mut BTreeMap<StatusListId, StatusArray>,
    ) -> Result<StatusArray, Failure> {
        let (id, entries) = (list.view.opened.list, list.view.opened.entries);
        let Some((_, published)) = &list.published else { return Ok(StatusArray::new(StatusWidth::One, entries)) };
        if let Some(array) = arrays.get(&id).filter(|array| array.hash() == published.array) {
            let is_served = self
                .status_lists
                .served
                .read()
                .get(&id)
                .is_some_and(|served| served.published.signature == published.signature);
            if is_served {
                return Ok(array.clone());
            }
        }
        let source = Source {
            published: published.clone(),
            file: self.status_lists.directory.join(id.as_str()).with_extension(JWT_EXTENSION),
            ledger: self.log.reader.path().to_owned(),
            projection: self.projection.clone(),
            issuer: self
                .projection
                .keys()
                .get(&published.kid)
                .and_then(|key| Some(key.published.as_ref()?.1.issuer.clone())),
            before: arrays.get(&id).cloned(),
        };
        let found = tokio::task::spawn_blocking(move || source.find()).await.map_err(Failure::of_task)??;
        let (token, array) = found;
        self.serve(published.clone(), token).await.map_err(|error: Error<TokenRefusal>| match error {
            Error::Failed(failure) => failure,
            _ => Failure::internal(None, "a list that is served was refused"),
        })?;
        arrays.insert(id, array.clone());
        Ok(array)
    }

    /// Serves the token, and keeps it in a file, from which a start has it without reading the log.
    async fn serve(&self, published: Arc<StatusListPublished>, token: String) -> Result<(), Error<TokenRefusal>> {
        let (id, directory) = (published.list, self.status_lists.directory.clone());
        let made = tokio::task::spawn_blocking(move || {
            if let Err(error) = store(&directory, id, &token) {
                // It is derived: without it the next start takes longer.
                tracing::warn!(path = %directory.display(), %error, "a status list could not be written to its file");
            }
            ServedStatusList::new(published, token)
        });
        let served = Arc::new(made.await.map_err(Failure::of_task)?);
        self.status_lists.served.write().insert(id, served);
        Ok(())
    }

    async fn as_node(&self, command: Command) -> Result<Outcome, Error<TokenRefusal>> {
        let request = Request { caller: Caller::Node, request: None, idempotency: None, command };
        self.submit(request).await.map_err(|error: Error<Rejection>| match error {
            Error::Failed(failure) => Error::Failed(failure),
            // The node may do everything, and its lists name no subject.
            Error::Refused(Rejection::MemberTooOld) => Error::Refused(crate::domain::AnyRejection::MemberTooOld.into()),
            _ => Failure::internal(None, "a status list was refused").into(),
        })
    }
}

impl ServedStatusList {
    fn new(published: Arc<StatusListPublished>, token: String) -> Self {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
        // Memory takes everything.
        let gzip = gzip.write_all(token.as_bytes()).and_then(|()| gzip.finish()).unwrap_or_default();
        let hash = hex::encode(digest(&SHA256, token.as_bytes()).as_ref());
        Self { token: token.into(), gzip: gzip.into(), hash, published }
    }
}

/// What a publication is made of.
struct Publisher {
    projection: Arc<Projection>,
    list: StatusListShown,
    before: StatusArray,
    key: Arc<SigningKey>,
    kid: crate::domain::KeyId,
    issuer: Issuer,
    now: Timestamp,
    settings: StatusListSettings,
    /// Whether it is published even if nothing has changed.
    is_forced: bool,
}

impl Publisher {
    /// Nothing if it has to be tried again, or says nothing new.
    fn prepare(self) -> Result<Option<Prepared>, crate::keys::KeyError> {
        let Self { projection, list, before, key, kid, issuer, now, settings, is_forced } = self;
        let Some(capture) = projection.capture_status_list(&list.view.opened.list) else { return Ok(None) };
        let last = list.published.as_ref().map(|(_, published)| &**published);
        // Later than the last one, also where that was signed in the same second or by a clock that was ahead.
        let iat = now.as_seconds().max(last.map_or(0, |last| last.iat + 1));
        let mut array = before.clone();
        for entry in capture.revoked.iter().filter(|entry| iat < entry.expires_at_seconds) {
            array.set(entry.index, 1);
        }
        if array == before && !is_forced {
            // Those tokens have expired, or were published before a restart.
            projection.settle_status_list(&list.view.opened.list, capture.revoked.len());
            return Ok(None);
        }
        let mut published = StatusListPublished {
            list: list.view.opened.list,
            iat,
            exp: iat + settings.life.as_secs(),
            ttl: TTL_SECONDS,
            kid,
            algorithm: key.algorithm().as_str().into(),
            upto: capture.upto,
            array: array.hash(),
            deflate: ENCODER.into(),
            signature: Box::default(),
        };
        let Some(input) = signing_input(&published, &issuer, &array) else { return Ok(None) };
        published.signature = URL_SAFE_NO_PAD.encode(key.sign(input.as_bytes())?).into();
        let token = format!("{input}.{}", published.signature);
        Ok(Some(Prepared { published, token, array, noticed: capture.revoked.len() }))
    }
}

/// Where a published token comes from that this process has not published.
struct Source {
    published: Arc<StatusListPublished>,
    file: PathBuf,
    ledger: PathBuf,
    projection: Arc<Projection>,
    issuer: Option<Issuer>,
    /// The array of the publication before, if it is known.
    before: Option<StatusArray>,
}

impl Source {
    fn find(self) -> Result<(String, StatusArray), Failure> {
        if let Some(found) = self.in_file() {
            return Ok(found);
        }
        if let Some(found) = self.noticed() {
            return Ok(found);
        }
        let Self { published, ledger, .. } = self;
        let rebuilt = audit::status_list(&ledger, published.list, Some(published.iat), |_, _| {});
        let rebuilt = rebuilt.map_err(|error| unreadable(&error))?;
        let rebuilt = rebuilt.filter(|rebuilt| rebuilt.flaw.is_none() && *rebuilt.published == *published);
        let found = rebuilt.and_then(|rebuilt| Some((rebuilt.token?, rebuilt.array)));
        found.ok_or_else(|| Failure::internal(None, "a published status list can't be made again"))
    }

    /// A file that is not exactly what was published counts as none.
    fn in_file(&self) -> Option<(String, StatusArray)> {
        let found = fs::read_to_string(&self.file).ok()?;
        let signature = URL_SAFE_NO_PAD.decode(&*self.published.signature).ok()?;
        let array = array_of(&found).filter(|array| array.hash() == self.published.array)?;
        let is_whole = token(&self.published, self.issuer.as_ref()?, &array).is_none_or(|made| made == found);
        (signature_of(&found)? == signature && is_whole).then_some((found, array))
    }

    /// Another node has published it: by what this one has noticed, unless the two have heard of revocations in another order.
    fn noticed(&self) -> Option<(String, StatusArray)> {
        let mut array = self.before.clone()?;
        let capture = self.projection.capture_status_list(&self.published.list)?;
        for entry in capture.revoked.iter().filter(|entry| self.published.iat < entry.expires_at_seconds) {
            array.set(entry.index, 1);
        }
        let is_same = array.hash() == self.published.array;
        let token = token(&self.published, self.issuer.as_ref()?, &array).filter(|_| is_same)?;
        self.projection.settle_status_list(&self.published.list, capture.revoked.len());
        Some((token, array))
    }
}

fn unreadable(error: &audit::AuditError) -> Failure {
    tracing::error!(%error, "the log could not be read for a status list");
    Failure::Internal("the log could not be read for a status list")
}

fn store(directory: &Path, id: StatusListId, token: &str) -> std::io::Result<()> {
    fs::create_dir_all(directory)?;
    let path = directory.join(id.as_str());
    let fresh = path.with_extension("new");
    fs::write(&fresh, token)?;
    fs::rename(&fresh, path.with_extension(JWT_EXTENSION))
}
