//! A stream that never waits for its peer without a limit, and costs nothing while nothing is waited for.
//!
//! A connection is in one of four phases. Between requests the peer has the idle time; from the first byte of a head it
//! has the head time for the rest; a body must make progress within the stall time; and while it is served, reading has
//! no limit, because a follower sends nothing. In every phase a write that makes no progress for the stall time ends
//! the connection.
//!
//! A timer is made when something is first waited for. It is not moved when its deadline moves: when it fires early it
//! is set again, so a busy connection never touches the timers, and a follower soon has none.

use std::io::{Error, ErrorKind, IoSlice, Result};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// How long a peer may take.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For a head, from its first byte; for the first one, TLS handshake included, from the connection's start.
    pub head: Duration,
    /// Until the next request's first byte.
    pub idle: Duration,
    /// Until a write, or the reading of a body, makes progress.
    pub stall: Duration,
}

#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Phase {
    Head = 0,
    Receiving = 1,
    Serving = 2,
    Idle = 3,
}

/// Tells a [`Guarded`] stream what the connection is doing.
#[derive(Clone, Default)]
pub struct Activity(Arc<ActivityState>);

#[derive(Default)]
struct ActivityState {
    phase: AtomicU8,
    /// The latest request was answered before its body had come.
    left_unread: AtomicBool,
}

impl Activity {
    /// A whole head has come; its body is awaited.
    pub fn receiving(&self) {
        self.0.left_unread.store(false, Ordering::Relaxed);
        self.set(Phase::Receiving);
    }

    /// The body has come, or is not wanted; the answer is being made, or is complete already.
    pub fn received(&self) {
        let (from, to) = (Phase::Receiving as u8, Phase::Serving as u8);
        // Where it is something else, the answer came before the body.
        let _ = self.0.phase.compare_exchange(from, to, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Nobody reads the rest of the body.
    pub fn leave_unread(&self) {
        self.0.left_unread.store(true, Ordering::Relaxed);
    }

    /// Whether the peer may still be sending a body that nobody reads.
    pub fn has_left_unread(&self) -> bool {
        self.0.left_unread.load(Ordering::Relaxed)
    }

    /// The answer is complete.
    pub fn idle(&self) {
        self.set(Phase::Idle);
    }

    fn set(&self, phase: Phase) {
        self.0.phase.store(phase as u8, Ordering::Relaxed);
    }

    fn phase(&self) -> Phase {
        // One task drives the stream and its service, so no ordering is needed.
        match self.0.phase.load(Ordering::Relaxed) {
            0 => Phase::Head,
            1 => Phase::Receiving,
            2 => Phase::Serving,
            _ => Phase::Idle,
        }
    }
}

/// A stream with [`Patience`]: it fails with `TimedOut` when that has run out.
pub struct Guarded<S> {
    stream: S,
    activity: Activity,
    patience: Patience,
    reading: WaitTimer,
    writing: WaitTimer,
}

impl<S> Guarded<S> {
    /// Guards a new connection's stream; the time for its first head runs from here.
    pub fn new(stream: S, activity: Activity, patience: Patience) -> Self {
        let reading = WaitTimer { since: Some(Instant::now()), timer: None };
        Self { stream, activity, patience, reading, writing: WaitTimer::default() }
    }

    fn read(&mut self, result: Poll<Result<()>>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        match (&result, self.activity.phase()) {
            (Poll::Ready(_), Phase::Idle) => {
                self.activity.set(Phase::Head);
                self.reading.since = Some(Instant::now());
            }
            (Poll::Pending, Phase::Head) => return self.reading.wait(self.patience.head, "the head", cx),
            (Poll::Pending, Phase::Idle) => return self.reading.wait(self.patience.idle, "the next request", cx),
            (Poll::Pending, Phase::Receiving) => return self.reading.wait(self.patience.stall, "the body", cx),
            (Poll::Pending, Phase::Serving) => self.reading.rest(),
            (Poll::Ready(_), Phase::Receiving | Phase::Serving) => self.reading.since = None,
            (Poll::Ready(_), Phase::Head) => {}
        }
        result
    }

    fn wrote<T>(&mut self, result: Poll<Result<T>>, cx: &mut Context<'_>) -> Poll<Result<T>> {
        if result.is_pending() {
            return self.writing.wait(self.patience.stall, "the peer to read", cx);
        }
        self.writing.since = None;
        if self.activity.phase() != Phase::Head {
            // The bytes written in between end any wait for the next request.
            self.reading.since = None;
        }
        result
    }
}

/// Waiting for one thing.
#[derive(Default)]
struct WaitTimer {
    since: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl WaitTimer {
    /// Nothing is waited for. A timer that still runs is kept for the next time.
    fn rest(&mut self) {
        self.since = None;
        self.timer.take_if(|timer| timer.is_elapsed());
    }

    /// Pending until the time is up, counted from the first call since `since` was cleared.
    fn wait<T>(&mut self, limit: Duration, what: &str, cx: &mut Context<'_>) -> Poll<Result<T>> {
        let deadline = *self.since.get_or_insert_with(Instant::now) + limit;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if timer.deadline() > deadline {
            timer.as_mut().reset(deadline);
        }
        while timer.as_mut().poll(cx).is_ready() {
            if timer.deadline() >= deadline {
                return Poll::Ready(Err(Error::new(ErrorKind::TimedOut, format!("waited too long for {what}"))));
            }
            timer.as_mut().reset(deadline);
        }
        Poll::Pending
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.stream).poll_read(cx, buffer);
        this.read(result, cx)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.wrote(result, cx)
    }

    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.stream).poll_write_vectored(cx, slices);
        this.wrote(result, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
