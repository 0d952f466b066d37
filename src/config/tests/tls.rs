//! `[server.tls]`.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rcgen::{CertificateParams, KeyPair};

use super::*;
use crate::clock::Clock;
use crate::tls::{Authority, ClientAuth};

struct Fixture(tempfile::TempDir);

impl Fixture {
    /// A certificate of so many days, its key, and a configuration that may name them.
    fn new(days: i64) -> Self {
        let fixture = Self(tempfile::tempdir().unwrap());
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["weir.test".to_owned()]).unwrap();
        let now = Clock::system().wall();
        let day = Duration::from_hours(24);
        params.not_before = (now - day * 100).into();
        let span = day * u32::try_from(days.abs()).unwrap();
        params.not_after = if days < 0 { now - span } else { now + span }.into();
        fixture.write("cert.pem", &params.self_signed(&key).unwrap().pem());
        fixture.write("key.pem", &key.serialize_pem());
        fixture
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
        let mode = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(self.path(name), mode).unwrap();
    }

    fn load(&self, tls: &str) -> Result<Loaded, Faults> {
        self.write("weir.toml", &format!("[server.tls]\n{tls}\n{SMALL}"));
        load(&self.path("weir.toml"), &Env::new())
    }

    /// Faults, without the directory.
    fn bad(&self, tls: &str) -> Vec<String> {
        let faults = self.load(tls).unwrap_err().to_string();
        let faults = faults.replace(&format!("{}/", self.0.path().display()), "");
        faults.lines().map(ToOwned::to_owned).collect()
    }
}

const PAIR: &str = "cert = \"cert.pem\"\nkey = \"key.pem\"";

#[test]
fn files_stand_beside_the_configuration() {
    let fixture = Fixture::new(90);
    let loaded = fixture.load(PAIR).unwrap();
    let tls = loaded.settings.server.tls.unwrap();
    assert_eq!(tls.files.cert, fixture.path("cert.pem"));
    assert_eq!(tls.files.clients, None);
    assert_eq!(tls.noted, tls.noted.again());
    assert_eq!(loaded.warnings, []);
    let with_ca = format!("{PAIR}\nclient_ca = \"cert.pem\"");
    for (auth, expected) in [
        ("", ClientAuth::Required),
        ("\nclient_auth = \"required\"", ClientAuth::Required),
        ("\nclient_auth = \"optional\"", ClientAuth::Optional),
    ] {
        let loaded = fixture.load(&format!("{with_ca}{auth}")).unwrap();
        let clients = loaded.settings.server.tls.unwrap().files.clients;
        assert_eq!(clients, Some(Authority { ca: fixture.path("cert.pem"), auth: expected }));
    }
}

#[test]
fn every_fault_is_told_and_nothing_is_quoted() {
    let fixture = Fixture::new(90);
    let other = Fixture::new(90);
    std::fs::copy(other.path("key.pem"), fixture.path("other.pem")).unwrap();
    fixture.write("empty", "");
    assert_eq!(
        fixture.bad("client_auth = \"optional\""),
        [
            "weir.toml:1: server.tls.cert: is required; name a PEM file",
            "weir.toml:1: server.tls.key: is required; name a PEM file",
            "weir.toml:2: server.tls.client_auth: means nothing without client_ca; \
             name who vouches for clients",
        ]
    );
    assert_eq!(
        fixture.bad("cert = \"none\"\nkey = \"nothing\"\nclient_ca = \"nobody\""),
        [
            "weir.toml:2: server.tls.cert: \"none\" cannot be read: No such file or directory (os error 2)",
            "weir.toml:3: server.tls.key: \"nothing\" cannot be read: No such file or directory (os error 2)",
            "weir.toml:4: server.tls.client_ca: \"nobody\" cannot be read: No such file or directory (os error 2)",
        ]
    );
    let key = std::fs::read_to_string(fixture.path("key.pem")).unwrap();
    for pasted in [key.clone(), key.replace('\n', ""), "A".repeat(1025), "MIIEvQIB".repeat(5)] {
        let told = fixture.bad(&format!("cert = \"cert.pem\"\nkey = {pasted:?}"));
        let [told] = &told[..] else { panic!("{told:?}") };
        assert!(
            told.starts_with("weir.toml:3: server.tls.key: what is written there is not shown")
        );
    }
    let one = |tls: &str| fixture.bad(tls).pop().unwrap();
    assert_eq!(
        one("cert = \"cert.pem\"\nkey = \"other.pem\""),
        "weir.toml:3: server.tls.key: the private key belongs to another certificate"
    );
    assert_eq!(
        one("cert = \"empty\"\nkey = \"key.pem\""),
        "weir.toml:2: server.tls.cert: the certificate is not there: no CERTIFICATE in the file"
    );
    assert_eq!(
        one(&format!("{PAIR}\nclient_ca = \"key.pem\"")),
        "weir.toml:4: server.tls.client_ca: a certificate of client_ca is not there: \
         no CERTIFICATE in the file"
    );
}

#[test]
fn a_certificate_that_ends_is_a_warning() {
    let warned = |days, mode| {
        let fixture = Fixture::new(days);
        let set = |path: &Path| {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        set(&fixture.path("key.pem"));
        let loaded = fixture.load(PAIR).unwrap();
        let warned = loaded.warnings.iter().map(|warning| warning.0.why.clone());
        warned.collect::<Vec<_>>()
    };
    assert_eq!(warned(15, 0o600), Vec::<String>::new());
    assert_eq!(warned(14, 0o600), ["the certificate expires in 13 days"]);
    assert_eq!(warned(-1, 0o600), ["the certificate has expired"]);
    let readable = "the private key can be read by every user of this machine";
    assert_eq!(warned(90, 0o644), [readable]);
}
