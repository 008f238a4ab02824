//! The generator: connections in threads, each thread waiting for its own with one `epoll`.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rustix::event::{PollFd, PollFlags, Timespec, epoll, poll};

use super::{Load, Pace, Protocol, Ran, Read, Script};

/// How long answers to the last requests may take.
const GRACE: Duration = Duration::from_secs(15);
/// The longest wait between two looks at the clock.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How many sockets are heard of at once.
const EVENTS: usize = 256;
/// What is read at once.
const PART_BYTES: usize = 16_384;
/// How much of a wrong answer is told.
const SHOWN_BYTES: usize = 300;

/// Runs the load with one connection for each script, and gives the scripts back with what they have seen.
pub fn run<P, S>(load: &Load, protocol: &P, scripts: Vec<S>) -> anyhow::Result<(Ran, Vec<S>)>
where
    P: Protocol + Clone,
    S: Script,
{
    let threads = load.threads.clamp(1, scripts.len().max(1));
    let mut parts: Vec<Vec<S>> = (0..threads).map(|_| Vec::new()).collect();
    for (number, script) in scripts.into_iter().enumerate() {
        parts[number % threads].push(script);
    }
    // Connected before the clock runs: setting up is not measured.
    let parts = parts.into_iter().map(|part| Part::connect(load.target, protocol.clone(), part));
    let parts = parts.collect::<anyhow::Result<Vec<_>>>()?;
    let start = Instant::now();
    let ended: Vec<_> = thread::scope(|scope| {
        let begin = |(number, part): (usize, Part<P, S>)| scope.spawn(move || part.run(load, start, number, threads));
        let running: Vec<_> = parts.into_iter().enumerate().map(begin).collect();
        running.into_iter().map(|one| one.join()).collect()
    });
    let (mut ran, mut scripts) = (Ran::default(), Vec::new());
    for part in ended {
        let Ok(part) = part else { bail!("a thread of the load generator ended early") };
        let part = part?;
        scripts.extend(part.lines.into_iter().map(|line| line.script));
        ran.good += part.ran.good;
        ran.wrong += part.ran.wrong;
        ran.elapsed = ran.elapsed.max(part.ran.elapsed);
        ran.first_wrong = ran.first_wrong.or(part.ran.first_wrong);
        ran.latency.join(&part.ran.latency);
    }
    Ok((ran, scripts))
}

/// One connection.
struct Line<S> {
    stream: TcpStream,
    script: S,
    inbox: Vec<u8>,
    /// When its request was sent, or fell due; none if none is under way.
    asked_at: Option<Instant>,
}

/// One thread's connections.
struct Part<P, S> {
    protocol: P,
    lines: Vec<Line<S>>,
    epoll: rustix::fd::OwnedFd,
    ran: Ran,
    /// Connections that wait for something to ask.
    free: Vec<usize>,
    under_way: usize,
    /// Connections that have nothing more to ask.
    over: usize,
    slot: Vec<u8>,
    outbox: Vec<u8>,
}

impl<P: Protocol, S: Script> Part<P, S> {
    fn connect(target: SocketAddr, protocol: P, scripts: Vec<S>) -> anyhow::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut lines = Vec::with_capacity(scripts.len());
        for (number, script) in scripts.into_iter().enumerate() {
            let stream = TcpStream::connect(target).with_context(|| format!("connect to {target}"))?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            epoll::add(&epoll, &stream, epoll::EventData::new_u64(number as u64), epoll::EventFlags::IN)?;
            lines.push(Line { stream, script, inbox: Vec::new(), asked_at: None });
        }
        let free = (0..lines.len()).rev().collect();
        let ran = Ran::default();
        Ok(Self { protocol, lines, epoll, ran, free, under_way: 0, over: 0, slot: Vec::new(), outbox: Vec::new() })
    }

    fn run(mut self, load: &Load, start: Instant, number: usize, threads: usize) -> anyhow::Result<Self> {
        let until = start + load.lasting;
        let mut due = match load.pace {
            Pace::Closed => None,
            Pace::Open { per_second } => Some(Due::new(per_second, start, until, number, threads)),
        };
        let mut events = Vec::with_capacity(EVENTS);
        loop {
            let now = Instant::now();
            match &mut due {
                None if now < until => self.ask_all(now)?,
                None => {}
                Some(due) => self.ask_due(due, now)?,
            }
            let waiting = self.over < self.lines.len() && due.as_ref().is_some_and(|due| !due.is_over());
            if self.under_way == 0 && !waiting {
                break;
            }
            if now >= until + GRACE {
                bail!("{} answers did not come within {GRACE:?} after the last request", self.under_way);
            }
            let wait =
                due.as_ref().filter(|_| !self.free.is_empty()).and_then(|due| due.wait(now)).unwrap_or(LOOK_EVERY);
            self.hear(&mut events, wait, until, due.is_none())?;
        }
        self.ran.elapsed = start.elapsed();
        Ok(self)
    }

    fn ask_all(&mut self, now: Instant) -> anyhow::Result<()> {
        while let Some(line) = self.free.pop() {
            self.ask(line, now)?;
        }
        Ok(())
    }

    fn ask_due(&mut self, due: &mut Due, now: Instant) -> anyhow::Result<()> {
        while !self.free.is_empty()
            && let Some(at) = due.take(now)
        {
            let line = self.free.pop().unwrap_or_default();
            self.ask(line, at)?;
        }
        Ok(())
    }

    /// Sends that connection's next request. One whose script is at its end stays silent.
    fn ask(&mut self, number: usize, at: Instant) -> anyhow::Result<()> {
        let line = &mut self.lines[number];
        self.slot.clear();
        if !line.script.next(&mut self.slot) {
            self.over += 1;
            return Ok(());
        }
        self.outbox.clear();
        self.protocol.write(&self.slot, &mut self.outbox);
        line.asked_at = Some(at);
        self.under_way += 1;
        send(&mut line.stream, &self.outbox)
    }

    /// Waits for answers and takes what has come. In a closed loop each answer's connection asks again at once.
    fn hear(
        &mut self,
        events: &mut Vec<epoll::Event>,
        wait: Duration,
        until: Instant,
        closed: bool,
    ) -> anyhow::Result<()> {
        events.clear();
        let timeout = Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: wait.subsec_nanos().into() };
        match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(events), Some(&timeout)) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        for event in events.iter() {
            let number = event.data.u64() as usize;
            if let Some(now) = self.take(number)? {
                if closed && now < until {
                    self.ask(number, now)?;
                } else {
                    self.free.push(number);
                }
            }
        }
        Ok(())
    }

    /// Reads what has come on that connection; the time, if an answer is whole.
    fn take(&mut self, number: usize) -> anyhow::Result<Option<Instant>> {
        let line = &mut self.lines[number];
        let mut part = [0; PART_BYTES];
        match line.stream.read(&mut part) {
            Ok(0) => bail!("the server closed a connection of the load generator"),
            Ok(count) if line.inbox.is_empty() => {
                // Nearly always the answer is there whole, and nothing is copied.
                let taken = finish(&self.protocol, &mut self.ran, &mut line.script, line.asked_at, &part[..count]);
                match taken {
                    Some(now) => {
                        line.asked_at = None;
                        self.under_way -= 1;
                        return Ok(Some(now));
                    }
                    None => line.inbox.extend_from_slice(&part[..count]),
                }
            }
            Ok(count) => line.inbox.extend_from_slice(&part[..count]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => return Ok(None),
            Err(error) => return Err(error).context("read an answer"),
        }
        let taken = finish(&self.protocol, &mut self.ran, &mut line.script, line.asked_at, &line.inbox);
        if taken.is_some() {
            line.inbox.clear();
            line.asked_at = None;
            self.under_way -= 1;
        }
        Ok(taken)
    }
}

/// Counts an answer if it is whole.
fn finish<P: Protocol, S: Script>(
    protocol: &P,
    ran: &mut Ran,
    script: &mut S,
    asked_at: Option<Instant>,
    bytes: &[u8],
) -> Option<Instant> {
    let Read::Whole { good, body, .. } = protocol.read(bytes) else { return None };
    let now = Instant::now();
    if good {
        ran.good += 1;
        ran.latency.add(asked_at.map(|at| now.saturating_duration_since(at)).unwrap_or_default());
        script.answered(&bytes[body]);
    } else {
        ran.wrong += 1;
        let shown = &bytes[..bytes.len().min(SHOWN_BYTES)];
        ran.first_wrong.get_or_insert_with(|| String::from_utf8_lossy(shown).into_owned());
    }
    Some(now)
}

/// Writes all of a request. It nearly always fits what the system buffers; if not, this waits for room.
fn send(stream: &mut TcpStream, mut bytes: &[u8]) -> anyhow::Result<()> {
    while !bytes.is_empty() {
        match stream.write(bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                let room = Timespec { tv_sec: GRACE.as_secs() as i64, tv_nsec: 0 };
                poll(&mut [PollFd::new(&*stream, PollFlags::OUT)], Some(&room))?;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error).context("send a request"),
        }
    }
    Ok(())
}

/// When this thread's requests fall due.
struct Due {
    next: Instant,
    step: Duration,
    until: Instant,
}

impl Due {
    /// Threads take turns, so that all requests together are evenly spaced.
    fn new(per_second: f64, start: Instant, until: Instant, number: usize, threads: usize) -> Self {
        let between = Duration::from_secs_f64(1.0 / per_second.max(1e-3));
        Self { next: start + between * number as u32, step: between * threads as u32, until }
    }

    fn take(&mut self, now: Instant) -> Option<Instant> {
        let at = self.next;
        (at <= now && at < self.until).then(|| {
            self.next += self.step;
            at
        })
    }

    fn wait(&self, now: Instant) -> Option<Duration> {
        (!self.is_over()).then(|| self.next.saturating_duration_since(now))
    }

    fn is_over(&self) -> bool {
        self.next >= self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_threads_share_one_even_schedule() {
        let start = Instant::now();
        let until = start + Duration::from_secs(1);
        let mut due: Vec<Duration> = Vec::new();
        for number in 0..2 {
            let mut schedule = Due::new(100.0, start, until, number, 2);
            assert_eq!(schedule.wait(start), Some(Duration::from_millis(10) * number as u32));
            due.extend(std::iter::from_fn(|| schedule.take(until)).map(|at| at - start));
            assert!(schedule.is_over() && schedule.wait(start).is_none());
        }
        due.sort();
        assert_eq!(due.len(), 100);
        assert!(due.windows(2).all(|pair| pair[1] - pair[0] == Duration::from_millis(10)));
    }
}
