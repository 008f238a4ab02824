//! Time: the law that nothing revoked comes back, under clocks that jump; and the behaviour of a server while nobody knows the time.

mod fold;
mod law;
mod server;
