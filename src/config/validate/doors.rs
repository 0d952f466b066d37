//! Every door that stands open, one line each: none of these is a fault, and none should be news.

use http::Method;

use crate::address::Address;
use crate::config::fault::Report;
use crate::config::settings::{ClientSettings, Server, Settings};
use crate::policy::endpoint::Methods;
use crate::tls::ClientAuth;

/// What `[server.tls]` comes to for whoever knocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tls {
    /// Everything can be read on the way.
    Off,
    /// No certificates are asked for.
    On,
    /// Who has a certificate may show it.
    Optional,
    /// Nobody comes in without one.
    Required,
}

impl Tls {
    fn of(server: &Server) -> Self {
        let clients = server.tls.as_ref().map(|tls| tls.files.clients.as_ref());
        match clients.map(|clients| clients.map(|clients| clients.auth)) {
            None => Self::Off,
            Some(None) => Self::On,
            Some(Some(ClientAuth::Optional)) => Self::Optional,
            Some(Some(ClientAuth::Required)) => Self::Required,
        }
    }
}

/// Warns of what others could walk through.
pub(super) fn warn(settings: &Settings, report: &mut Report) {
    let tls = Tls::of(&settings.server);
    keys_in_the_clear(tls, &settings.server.listen, &settings.clients, report);
    unseen_certificates(tls, &settings.clients, report);
    writers(settings, report);
}

fn keys_in_the_clear(
    tls: Tls,
    listen: &[Address],
    clients: &[ClientSettings],
    report: &mut Report,
) {
    let shown = |client: &ClientSettings| !client.keys.is_empty() || !client.subjects.is_empty();
    if tls == Tls::Off && listen.iter().any(Address::is_open) && clients.iter().any(shown) {
        let why = "clients' keys can be read on their way here: write [server.tls]";
        report.warn("server.listen", why);
    }
}

/// Clients that are known by nothing else are not known where certificates need not be shown.
fn unseen_certificates(tls: Tls, clients: &[ClientSettings], report: &mut Report) {
    let why = match tls {
        Tls::Required => return,
        Tls::Optional => {
            "is known by its certificate alone, and server.tls.client_auth = \"optional\" \
             lets it come without"
        }
        Tls::Off | Tls::On => "is known by its certificate alone, and no certificate is asked for",
    };
    for (index, client) in clients.iter().enumerate() {
        if client.keys.is_empty() && client.subjects.is_empty() {
            report.warn(&format!("clients[{index}].certificates"), why);
        }
    }
}

/// Who may change something upstream because nobody said what it may ask.
fn writers(settings: &Settings, report: &mut Report) {
    let writes = |methods: &Methods| match methods {
        Methods::Any => true,
        Methods::Listed(listed) => listed.iter().any(|method| !is_reading(method)),
    };
    let mut endpoints = settings.upstreams.iter().flat_map(|upstream| &upstream.endpoints);
    if !endpoints.any(|endpoint| writes(&endpoint.methods)) {
        return;
    }
    let mut free = settings.clients.iter().filter(|client| client.endpoints.is_none());
    let Some(first) = free.next() else { return };
    let others = match free.count() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let why = format!("{:?}{others} may also ask endpoints that write: list endpoints", first.name);
    report.warn("clients", why);
}

fn is_reading(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Env, from_text};

    #[test]
    fn tls_closes_the_doors_that_it_can() {
        let text = "[[clients]]\nname = \"cert\"\ncertificates = [\"cn:a\"]\n\
                    [[clients]]\nname = \"both\"\ncertificates = [\"cn:b\"]\n\
                    key = { value = \"0123456789abcdef\" }\n\
                    [upstreams.u]\nbase_url = \"http://127.0.0.1:1\"\nauth = { kind = \"none\" }\n\
                    [[upstreams.u.endpoints]]\nid = \"a\"\npath = \"/a\"\n";
        let clients = from_text("weir.toml", text, &Env::new()).unwrap().settings.clients;
        let (clear, unseen) = ("server.listen", "clients[0].certificates");
        for (tls, open) in [
            (Tls::Off, vec![unseen, clear]),
            (Tls::On, vec![unseen]),
            (Tls::Optional, vec![unseen]),
            (Tls::Required, vec![]),
        ] {
            let mut report = Report::default();
            let listen = [Address::Tcp("0.0.0.0:1".parse().unwrap())];
            keys_in_the_clear(tls, &listen, &clients, &mut report);
            unseen_certificates(tls, &clients, &mut report);
            let warned: Vec<_> =
                report.finish().unwrap().into_iter().map(|warning| warning.0.path).collect();
            assert_eq!(warned, open, "{tls:?}");
        }
    }
}
