//! Time: the law that nothing revoked comes back, under clocks that jump; and what a server does while nobody knows the time.

mod fold;
mod law;
mod server;
