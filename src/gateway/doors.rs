//! The sockets of both listeners: opened, or taken over from whoever started this process.

use std::net::{Ipv4Addr, SocketAddr};

use super::GatewayFailure;
use crate::address::{Address, Passed};
use crate::config::Settings;
use crate::serve::{Listener, PassedSockets, Sharing, SocketOptions};

/// One listener's sockets.
#[derive(Debug, Default)]
pub(super) struct Door {
    pub(super) listeners: Vec<Listener>,
    /// Where they really are.
    pub(super) at: Vec<Address>,
}

const PUBLIC: &str = "server.listen";
const ADMIN: &str = "admin.listen";

/// Opens everything that the settings name: the public listener's, the admin listener's.
pub(super) fn open(
    settings: &Settings,
    mut passed: PassedSockets,
) -> Result<(Door, Door), GatewayFailure> {
    let server = &settings.server;
    let sharing = if server.reuse_port { Sharing::Shared } else { Sharing::Alone };
    let options = SocketOptions { sharing, unix_mode: server.unix_mode };
    let (mut public, mut admin) = (Door::default(), Door::default());
    let mut wanted: Vec<_> = server.listen.iter().map(|address| (PUBLIC, address)).collect();
    wanted.push((ADMIN, &settings.admin.listen));
    // Who takes the rest comes last.
    wanted.sort_by_key(|(_, address)| **address == Address::Passed(Passed::Rest));
    for (key, address) in wanted {
        let door = if key == PUBLIC { &mut public } else { &mut admin };
        // An operator's connections are not shared with another process.
        let options = SocketOptions {
            sharing: if key == PUBLIC { options.sharing } else { Sharing::Alone },
            ..options
        };
        let listeners = Listener::open(address, options, &mut passed)
            .map_err(|source| GatewayFailure::Bind { key, address: address.clone(), source })?;
        door.at.extend(listeners.iter().map(|it| it.address().unwrap_or_else(|| address.clone())));
        door.listeners.extend(listeners);
    }
    if !passed.is_empty() {
        let sockets = passed.len();
        tracing::warn!(sockets, "sockets were passed that no listener names; they are closed");
    }
    guard(settings, &public.at)?;
    // Where the address is written, the configuration warns.
    let was_passed = matches!(settings.admin.listen, Address::Passed(_));
    let anyone = settings.admin.token.is_none() && admin.at.iter().any(Address::is_open);
    if was_passed && anyone {
        tracing::warn!(
            "anyone who reaches the admin listener may purge the cache: set admin.token"
        );
    }
    Ok((public, admin))
}

/// Where passed sockets are is known only now: anonymous callers are for this machine alone.
pub(super) fn guard(settings: &Settings, public: &[Address]) -> Result<(), GatewayFailure> {
    let anyone = settings.clients.is_empty() && !settings.server.allow_anonymous;
    match public.iter().find(|address| anyone && address.is_open()) {
        Some(address) => Err(GatewayFailure::OpenToAnyone(address.clone())),
        None => Ok(()),
    }
}

/// The first that is an address and a port; port 0 where there is none.
pub(super) fn first_tcp(at: &[Address]) -> SocketAddr {
    let tcp = at.iter().find_map(|address| match address {
        Address::Tcp(address) => Some(*address),
        _ => None,
    });
    tcp.unwrap_or_else(|| SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)))
}

/// All of them, for people.
pub(super) fn named(at: &[Address]) -> String {
    at.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
