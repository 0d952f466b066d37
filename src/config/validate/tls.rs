//! `[server.tls]` and `[admin.tls]`.

use std::time::{Duration, UNIX_EPOCH};

use super::{Outside, shown};
use crate::config::fault::Report;
use crate::config::lines::join;
use crate::config::raw;
use crate::config::settings::Tls;
use crate::files::Snapshot;
use crate::secret::Secret;
use crate::tls::{Authority, ClientAuth, Files, Identity, MAX_PEM_BYTES, Pem, TlsFault};

/// A certificate that ends sooner is worth a word.
const SOON: Duration = Duration::from_hours(14 * 24);

/// What a listener shows its clients, or `None` after a report or where there is no such table.
pub(super) fn tls(
    path: &str,
    raw: Option<&raw::Tls>,
    outside: &dyn Outside,
    report: &mut Report,
) -> Option<Tls> {
    let raw = raw?;
    let text = |key: &str, file: Option<&String>, report: &mut Report| {
        let path = join(path, key);
        let Some(file) = file else {
            report.fault_try(&path, "is required", "name a PEM file");
            return None;
        };
        let read = outside
            .file(file, MAX_PEM_BYTES)
            .map_err(|why| report.fault(&path, format!("{} {why}", shown::path(file))));
        let text = read.ok()?;
        Some((outside.base().join(file), text))
    };
    let cert = text("cert", raw.cert.as_ref(), report);
    let key = text("key", raw.key.as_ref(), report);
    let ca = raw.client_ca.as_ref().map(|ca| text("client_ca", Some(ca), report));
    if raw.client_auth.is_some() && ca.is_none() {
        let why = "means nothing without client_ca";
        report.fault_try(&join(path, "client_auth"), why, "name who vouches for clients");
    }
    let ((cert_file, cert), (key_file, key)) = (cert?, key?);
    for why in key.access.to_secret() {
        report.warn(&join(path, "key"), format!("the private key {why}"));
    }
    let auth = match raw.client_auth {
        Some(raw::ClientAuth::Optional) => ClientAuth::Optional,
        Some(raw::ClientAuth::Required) | None => ClientAuth::Required,
    };
    let (ca_file, ca) = match ca {
        Some(read) => read.map(|(file, ca)| (Some(file), Some(ca)))?,
        None => (None, None),
    };
    let mut noted = Snapshot::default();
    noted.note(cert_file.clone(), &cert.text);
    noted.note(key_file.clone(), &key.text);
    if let (Some(file), Some(ca)) = (&ca_file, &ca) {
        noted.note(file.clone(), &ca.text);
    }
    let clients = ca.map(|ca| Authority { ca: ca.text.to_string(), auth });
    let pem = Pem { cert: cert.text.to_string(), key: Secret::new(key.text.as_str()), clients };
    match Identity::new(&pem) {
        Ok(identity) => {
            warn_of_its_end(&join(path, "cert"), identity.not_after, outside, report);
            let clients = ca_file.map(|ca| Authority { ca, auth });
            let files = Files { cert: cert_file, key: key_file, clients };
            Some(Tls { files, identity, noted })
        }
        Err(fault) => {
            let key = match fault {
                TlsFault::Certificate(_) => "cert",
                TlsFault::Key(_) | TlsFault::Mismatch => "key",
                TlsFault::ClientCa(_) => "client_ca",
            };
            report.fault(&join(path, key), fault.to_string());
            None
        }
    }
}

fn warn_of_its_end(path: &str, not_after: i64, outside: &dyn Outside, report: &mut Report) {
    let end = UNIX_EPOCH + Duration::from_secs(u64::try_from(not_after).unwrap_or(0));
    match end.duration_since(outside.now()) {
        Err(_past) => report.warn(path, "the certificate has expired"),
        Ok(left) if left < SOON => {
            let days = left.as_secs() / (24 * 60 * 60);
            report.warn(path, format!("the certificate expires in {days} days"));
        }
        Ok(_) => {}
    }
}
