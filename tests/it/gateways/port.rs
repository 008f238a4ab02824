//! Ports for programs that can't say which one the system gave them.

use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpSocket};

/// How many connections may wait to be accepted.
const BACKLOG: u32 = 1024;

/// A port of the loopback, kept for one server after the other.
///
/// A socket is bound to it and never listens. So the system gives the port to nobody, and refuses connections, while a server that sets
/// `SO_REUSEADDR`, as all do, can listen there.
pub struct Port {
    address: SocketAddr,
    _bound: TcpSocket,
}

impl Port {
    /// A free one.
    pub fn keep() -> Self {
        let bound = reusing("127.0.0.1:0".parse().expect("an address"));
        Self { address: bound.local_addr().expect("bound"), _bound: bound }
    }

    /// Where that is.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Listens on it, until the listener is dropped.
    pub fn listen(&self) -> TcpListener {
        reusing(self.address).listen(BACKLOG).expect("nobody else listens here")
    }
}

fn reusing(address: SocketAddr) -> TcpSocket {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_reuseaddr(true).expect("an option of TCP");
    socket.bind(address).expect("a port");
    socket
}
