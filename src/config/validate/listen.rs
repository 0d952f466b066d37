//! Where listeners are, and how their sockets are opened.

use std::net::{Ipv4Addr, SocketAddr};

use super::Outside;
use crate::address::{Address, MAX_UNIX_PATH};
use crate::config::fault::Report;
use crate::config::units::OneOrMany;

const MOST_ADDRESSES: usize = 16;
const HINT: &str =
    r#"write "127.0.0.1:8080", "[::]:8080", "unix:/run/weir/weir.sock" or "systemd""#;

/// A list may be written with commas too: that is how the environment says it.
pub(super) fn several(
    path: &str,
    OneOrMany(written): &OneOrMany,
    outside: &dyn Outside,
    report: &mut Report,
) -> Vec<Address> {
    let mut addresses: Vec<Address> = Vec::new();
    for text in written.iter().flat_map(|text| text.split(',')) {
        let address = one(path, text.trim(), outside, report);
        if addresses.iter().any(|other| other.collides(&address)) {
            report.fault(path, format!("names {:?} twice", text.trim()));
        }
        addresses.push(address);
    }
    if addresses.is_empty() {
        report.fault_try(path, "is empty", HINT);
    }
    if addresses.len() > MOST_ADDRESSES {
        report.fault(path, format!("names more than {MOST_ADDRESSES} addresses"));
    }
    addresses
}

pub(super) fn one(path: &str, text: &str, outside: &dyn Outside, report: &mut Report) -> Address {
    let Some(address) = Address::parse(text) else {
        let why = format!("{text:?} is not an address and port, a socket file or systemd's");
        report.fault_try(path, why, HINT);
        return Address::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    };
    let address = address.relative_to(outside.base());
    if let Address::Unix(file) = &address
        && file.as_os_str().len() > MAX_UNIX_PATH
    {
        let why = format!("{text:?} leads to a path of more than {MAX_UNIX_PATH} bytes");
        report.fault_try(path, why, "the system allows no longer one: choose another directory");
    }
    address
}

/// Permissions of a socket file.
pub(super) fn mode(path: &str, text: &str, report: &mut Report) -> u32 {
    let digits = (3..=4).contains(&text.len()) && text.bytes().all(|digit| digit.is_ascii_digit());
    let mode = u32::from_str_radix(text, 8).ok().filter(|mode| digits && *mode <= 0o777);
    mode.unwrap_or_else(|| {
        let why = format!("{text:?} is not a file's mode");
        report.fault_try(path, why, r#"write "0660": owner and group may connect"#);
        0
    })
}
