//! Followers: thousands of connections on which nothing is asked after the first request, and much may come.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use memchr::memmem;
use rustix::event::{Timespec, epoll};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with, sockopt};

/// How long a follower may take to be let in.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often the reading thread looks whether it is to end.
const LOOK_EVERY: Duration = Duration::from_millis(50);
const EVENTS: usize = 1_024;
const PART_BYTES: usize = 256 * 1_024;
/// How much is told of what a follower hears who is not let in.
const SHOWN_BYTES: usize = 200;
/// Connections from one source address, well under the ports that it has.
const EACH_ADDRESS: u32 = 10_000;

/// Connections are made from many addresses of the loopback network, because each has ports for some ten thousands alone.
static CONNECTED: AtomicU32 = AtomicU32::new(0);

/// Whom a crowd follows, and how what it gets is counted.
#[derive(Clone)]
pub struct Crowd {
    /// The server.
    pub target: SocketAddr,
    /// How many connections.
    pub followers: usize,
    /// What each sends once.
    pub request: Vec<u8>,
    /// What each hears first.
    pub greeting: &'static [u8],
    /// What each delivery has in it exactly once.
    pub marker: &'static [u8],
}

/// A crowd that follows, until it is dropped.
pub struct Followers {
    shared: Arc<Shared>,
    reading: Option<JoinHandle<anyhow::Result<()>>>,
}

#[derive(Default)]
struct Shared {
    /// Deliveries to all of them together.
    delivered: AtomicU64,
    bytes: AtomicU64,
    stop: AtomicBool,
    mark: Mutex<Mark>,
    reached: Condvar,
}

/// Which number of deliveries somebody waits for, and when it was reached.
#[derive(Default)]
struct Mark {
    at: u64,
    reached_at: Option<Instant>,
    /// Why nothing more is read, if that is so.
    ended: Option<String>,
}

impl Shared {
    fn mark(&self) -> std::sync::MutexGuard<'_, Mark> {
        self.mark.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Line {
    stream: TcpStream,
    /// The last bytes, in which a marker may have begun.
    rest: Vec<u8>,
}

impl Followers {
    /// Connects them all, and returns when something has come to each.
    pub fn gather(crowd: &Crowd) -> anyhow::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let (finder, mut part) = (memmem::Finder::new(crowd.marker), vec![0; PART_BYTES]);
        let (mut lines, shared) = (Vec::with_capacity(crowd.followers), Arc::new(Shared::default()));
        for number in 0..crowd.followers {
            let mut line = Line { stream: connection(crowd.target)?, rest: Vec::new() };
            // One after the other: a crowd that comes at once overruns the queue of those who are to be let in.
            let found = line.enter(crowd, &finder, &mut part, &shared);
            count(&shared, found.with_context(|| format!("let follower {number} in at {}", crowd.target))?);
            epoll::add(&epoll, &line.stream, epoll::EventData::new_u64(number as u64), epoll::EventFlags::IN)?;
            lines.push(line);
        }
        let (marker, theirs) = (crowd.marker, shared.clone());
        let reading = thread::spawn(move || {
            let read = read(&epoll, lines, marker, &theirs);
            theirs.mark().ended = read.as_ref().err().map(|error| format!("{error:#}"));
            theirs.reached.notify_all();
            read
        });
        Ok(Self { shared, reading: Some(reading) })
    }

    /// Deliveries so far, to all of them together.
    pub fn delivered(&self) -> u64 {
        self.shared.delivered.load(Ordering::Relaxed)
    }

    /// Bytes so far.
    pub fn bytes(&self) -> u64 {
        self.shared.bytes.load(Ordering::Relaxed)
    }

    /// Has the time noted at which that many deliveries are reached. To be called before they can be; else it is now.
    pub fn expect(&self, deliveries: u64) {
        let mut mark = self.shared.mark();
        let reached_at = (self.delivered() >= deliveries).then(Instant::now);
        *mark = Mark { at: deliveries, reached_at, ended: mark.ended.take() };
    }

    /// When the number that was last expected was reached; fails if that takes longer than the patience.
    pub fn reached(&self, patience: Duration) -> anyhow::Result<Instant> {
        let until = Instant::now() + patience;
        let mut mark = self.shared.mark();
        loop {
            if let Some(at) = mark.reached_at {
                return Ok(at);
            }
            let left = until.saturating_duration_since(Instant::now());
            if let Some(why) = &mark.ended {
                bail!("{} deliveries of {} came: {why}", self.delivered(), mark.at);
            }
            if left.is_zero() {
                bail!("{} deliveries of {} came within {patience:?}", self.delivered(), mark.at);
            }
            mark = self.shared.reached.wait_timeout(mark, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Hangs up, and says if something went wrong on the way.
    pub fn leave(mut self) -> anyhow::Result<()> {
        self.end()
    }

    fn end(&mut self) -> anyhow::Result<()> {
        self.shared.stop.store(true, Ordering::Relaxed);
        match self.reading.take().map(JoinHandle::join) {
            Some(Ok(read)) => read,
            Some(Err(_)) => bail!("the thread that follows ended early"),
            None => Ok(()),
        }
    }
}

impl Drop for Followers {
    fn drop(&mut self) {
        // A caller that wants to know calls `leave`.
        let _ = self.end();
    }
}

/// A connection from an address that has ports left.
fn connection(target: SocketAddr) -> anyhow::Result<TcpStream> {
    let IpAddr::V4(_) = target.ip() else { bail!("followers connect over IPv4") };
    let turn = CONNECTED.fetch_add(1, Ordering::Relaxed) / EACH_ADDRESS;
    let from = Ipv4Addr::new(127, 0, 1 + (turn / 250 % 250) as u8, 1 + (turn % 250) as u8);
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    bind(&socket, &SocketAddrV4::new(from, 0))?;
    connect(&socket, &target)?;
    let stream = TcpStream::from(socket);
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn read(epoll: &rustix::fd::OwnedFd, mut lines: Vec<Line>, marker: &[u8], shared: &Shared) -> anyhow::Result<()> {
    let (finder, mut part) = (memmem::Finder::new(marker), vec![0; PART_BYTES]);
    let mut events = Vec::with_capacity(EVENTS);
    let wait = Timespec { tv_sec: 0, tv_nsec: LOOK_EVERY.subsec_nanos().into() };
    while !shared.stop.load(Ordering::Relaxed) {
        events.clear();
        match epoll::wait(epoll, rustix::buffer::spare_capacity(&mut events), Some(&wait)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in &events {
            let line = &mut lines[event.data.u64() as usize];
            let found = line.hear(&finder, &mut part, shared)?;
            if found > 0 {
                count(shared, found);
            }
        }
    }
    Ok(())
}

fn count(shared: &Shared, found: u64) {
    let delivered = shared.delivered.fetch_add(found, Ordering::Relaxed) + found;
    let mut mark = shared.mark();
    if mark.at > 0 && mark.reached_at.is_none() && delivered >= mark.at {
        mark.reached_at = Some(Instant::now());
        shared.reached.notify_all();
    }
}

impl Line {
    /// Asks to be let in, and waits for the answer.
    fn enter(
        &mut self,
        crowd: &Crowd,
        finder: &memmem::Finder<'_>,
        part: &mut [u8],
        shared: &Shared,
    ) -> anyhow::Result<u64> {
        self.stream.set_read_timeout(Some(PATIENCE))?;
        self.stream.write_all(&crowd.request)?;
        let count = self.stream.read(part)?;
        let heard = String::from_utf8_lossy(&part[..count.min(SHOWN_BYTES)]);
        ensure!(part[..count].starts_with(crowd.greeting), "it was answered {heard:?}");
        self.stream.set_nonblocking(true)?;
        Ok(self.take(finder, &part[..count], shared))
    }

    /// Reads what has come, and counts the markers in it.
    fn hear(&mut self, finder: &memmem::Finder<'_>, part: &mut [u8], shared: &Shared) -> anyhow::Result<u64> {
        match self.stream.read(part) {
            Ok(0) => bail!("the server cut a follower off"),
            Ok(count) => Ok(self.take(finder, &part[..count], shared)),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(0),
            Err(error) => Err(error).context("read what a follower gets"),
        }
    }

    fn take(&mut self, finder: &memmem::Finder<'_>, bytes: &[u8], shared: &Shared) -> u64 {
        shared.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        markers(&mut self.rest, finder, bytes)
    }
}

/// How many markers end in these bytes, of which the rest are the bytes before.
fn markers(rest: &mut Vec<u8>, finder: &memmem::Finder<'_>, bytes: &[u8]) -> u64 {
    let keep = finder.needle().len() - 1;
    let mut found = finder.find_iter(bytes).count();
    if !rest.is_empty() {
        // The seam alone: a marker that began before. Shorter than two markers, so there is one at most.
        rest.extend_from_slice(&bytes[..bytes.len().min(keep)]);
        found += usize::from(finder.find(rest).is_some());
    }
    if bytes.len() >= keep {
        rest.clear();
        rest.extend_from_slice(&bytes[bytes.len() - keep..]);
    } else {
        if rest.is_empty() {
            rest.extend_from_slice(bytes);
        }
        rest.drain(..rest.len().saturating_sub(keep));
    }
    found as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_are_counted_however_the_bytes_are_cut() {
        let stream = b"event: revoked\ndata: 1\n\nevent: revoked\ndata: 2\n\nevent: heartbeat\n\nevent: revoked\n";
        let finder = memmem::Finder::new(b"event: revoked\n");
        for size in 1..=stream.len() {
            let mut rest = Vec::new();
            let found: u64 = stream.chunks(size).map(|part| markers(&mut rest, &finder, part)).sum();
            assert_eq!(found, 3, "in parts of {size} bytes");
        }
    }
}
