//! Load: what is asked of a server, in which order and at which pace, and what came of it.
//!
//! One generator drives everything that is spoken over a socket, so that nobody is measured with a better client. Each of its
//! threads waits for its connections with one `epoll`, has one request under way on each, and reads no more of an answer than
//! its end and whether it is the right one.

mod followers;
mod generator;
mod http;
mod latency;
mod resp;

use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

pub use followers::{Crowd, Followers};
pub use generator::run;
pub use http::{Http, ask};
pub use latency::Latency;
pub use resp::{Resp, subscribe};

/// How requests follow each other.
#[derive(Clone, Copy, Debug)]
pub enum Pace {
    /// Each connection asks again as soon as it has an answer: what the server can do. Latencies are those of a full server.
    Closed,
    /// Requests fall due on a schedule, whatever the server does, and latency counts from when one fell due: what waits for
    /// a free connection waits.
    Open {
        /// Requests a second, over all connections.
        per_second: f64,
    },
}

/// What is to be done.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Who is asked.
    pub target: SocketAddr,
    /// On how many threads the connections are waited for.
    pub threads: usize,
    /// How requests follow each other.
    pub pace: Pace,
    /// How long new requests are made.
    pub lasting: Duration,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Ran {
    /// Right answers.
    pub good: u64,
    /// Wrong ones.
    pub wrong: u64,
    /// The first wrong one, shortened.
    pub first_wrong: Option<String>,
    /// From the first request to the last answer.
    pub elapsed: Duration,
    /// Of right answers.
    pub latency: Latency,
}

impl Ran {
    /// Right answers a second.
    pub fn rate(&self) -> f64 {
        self.good as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }
}

/// How requests are written and answers read.
pub trait Protocol: Send {
    /// Writes a request; the slot is what differs between two of them.
    fn write(&self, slot: &[u8], out: &mut Vec<u8>);
    /// Looks at what has come since the request.
    fn read(&self, bytes: &[u8]) -> Read;
}

/// What has come of an answer.
pub enum Read {
    /// Not all of it.
    Part,
    /// All of it.
    Whole {
        /// Whether it is the right one.
        good: bool,
        /// Where what it says lies.
        body: Range<usize>,
    },
}

/// What one connection asks, one request after the other.
pub trait Script: Send {
    /// Puts what the next request is about into the slot. False if there is nothing more to ask.
    fn next(&mut self, slot: &mut Vec<u8>) -> bool;
    /// Sees a right answer.
    fn answered(&mut self, _body: &[u8]) {}
}
