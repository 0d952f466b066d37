//! How many connections each client address has.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::peer::PeerAddr;

/// Counts connections by address. Holds one number an address that has any, so no more than there
/// are connections. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Addresses {
    most: usize,
    open: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

impl Addresses {
    pub(super) fn new(most: usize) -> Self {
        Self { most, open: Arc::default() }
    }

    /// A place for one more of this peer, until it is dropped; none when its address has them all.
    /// Who comes through a file is not counted: the file says who may.
    pub(super) fn place(&self, PeerAddr(peer): PeerAddr) -> Option<Place> {
        let Some(peer) = peer else { return Some(Place { of: None }) };
        let address = network(peer.ip());
        let mut open = self.open.lock();
        let count = open.entry(address).or_insert(0);
        if *count >= self.most {
            return None;
        }
        *count += 1;
        drop(open);
        Some(Place { of: Some((address, self.clone())) })
    }
}

/// A place that is taken.
#[derive(Debug)]
pub(super) struct Place {
    of: Option<(IpAddr, Addresses)>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some((address, addresses)) = &self.of else { return };
        let mut open = addresses.open.lock();
        if let Some(count) = open.get_mut(address) {
            *count -= 1;
            if *count == 0 {
                open.remove(address);
            }
        }
    }
}

/// Who has one IPv6 address has its whole /64.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or_else(
            || {
                let [a, b, c, d, ..] = v6.segments();
                IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
            },
            IpAddr::V4,
        ),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_has_so_many_places_and_gives_them_back() {
        let addresses = Addresses::new(2);
        let place = |text: &str| {
            let address = std::net::SocketAddr::new(text.parse().unwrap(), 1);
            addresses.place(PeerAddr(Some(address)))
        };
        let held = (place("10.0.0.1").unwrap(), place("::ffff:10.0.0.1").unwrap());
        assert!(place("10.0.0.1").is_none());
        assert!(place("10.0.0.2").is_some());
        let network = (place("2001:db8::1").unwrap(), place("2001:db8::ffff:1").unwrap());
        assert!(place("2001:db8::2").is_none());
        assert!(place("2001:db8:0:1::2").is_some());
        drop(held);
        assert!(place("10.0.0.1").is_some());
        assert!(Addresses::new(0).place(PeerAddr(None)).is_some());
        drop(network);
        assert_eq!(addresses.open.lock().len(), 0, "nothing is kept of those that are gone");
    }
}
