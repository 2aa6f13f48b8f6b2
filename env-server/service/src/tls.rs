//! TLS: certificate and key from files, which can be reread while the server runs.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::{CryptoProvider, aws_lc_rs};
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{self, ServerConfig};

use crate::access::warn_if_readable_by_all;
use crate::error::Error;

/// A certificate chain and its key, for TLS 1.2 and 1.3.
pub struct Tls {
    cert: PathBuf,
    key: PathBuf,
    current: RwLock<Arc<ServerConfig>>,
}

impl Tls {
    /// Reads a certificate chain, the server's own first, and its private key, both PEM.
    ///
    /// # Errors
    /// [`Error::Tls`], when a file cannot be read or does not contain what it should, or when the
    /// key does not belong to the certificate.
    pub fn from_files(cert: &Path, key: &Path) -> Result<Self, Error> {
        Ok(Tls {
            cert: cert.to_owned(),
            key: key.to_owned(),
            current: RwLock::new(load(cert, key)?),
        })
    }

    /// Rereads the files, for new connections.
    ///
    /// # Errors
    /// As [`Tls::from_files`]; then the certificate stays as it was.
    pub fn reload(&self) -> Result<(), Error> {
        let loaded = load(&self.cert, &self.key)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = loaded;
        Ok(())
    }

    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        TlsAcceptor::from(Arc::clone(&current))
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Tls");
        debug.field("cert", &self.cert).field("key", &self.key);
        debug.finish_non_exhaustive()
    }
}

/// Returns the cryptography provider in use. It is passed explicitly wherever needed, because a
/// program that embeds the server may have linked another one.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// Reads the certificates of a PEM file.
///
/// # Errors
/// [`Error::Tls`], when it cannot be read or holds none.
pub fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let certificates: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    let certificates = certificates.map_err(|e| failed(path, pem_detail(&e, "certificate")))?;
    match certificates.is_empty() {
        true => Err(failed(path, "holds no certificate".to_owned())),
        false => Ok(certificates),
    }
}

fn load(cert: &Path, key: &Path) -> Result<Arc<ServerConfig>, Error> {
    let chain = read_certificates(cert)?;
    let secret = PrivateKeyDer::from_pem_file(key)
        .map_err(|e| failed(key, pem_detail(&e, "private key")))?;
    if let Ok(metadata) = std::fs::metadata(key) {
        warn_if_readable_by_all(key, &metadata);
    }
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .and_then(|builder| {
            builder
                .with_no_client_auth()
                .with_single_cert(chain, secret)
        })
        .map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => {
                let detail = format!("is not the key of the certificate in {}", cert.display());
                failed(key, detail)
            }
            other => failed(
                cert,
                format!("cannot be used with {}: {other}", key.display()),
            ),
        })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn failed(path: &Path, detail: String) -> Error {
    let path = path.to_owned();
    Error::Tls { path, detail }
}

fn pem_detail(error: &pem::Error, what: &str) -> String {
    match error {
        pem::Error::Io(error) => format!("cannot be read: {error}"),
        pem::Error::NoItemsFound => format!("holds no {what}"),
        _ => format!("is not PEM with a {what}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_files_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let make = || rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (one, other) = (make(), make());
        let cert = write("cert.pem", &one.cert.pem());
        let key = write("key.pem", &one.signing_key.serialize_pem());
        let wrong_key = write("wrong.pem", &other.signing_key.serialize_pem());
        let empty = write("empty.pem", "");
        let cut = write("cut.pem", &one.cert.pem()[..100]);
        let missing = folder.path().join("missing.pem");
        assert!(Tls::from_files(&cert, &key).is_ok());
        for (cert, key, said) in [
            (&missing, &key, "missing.pem: cannot be read"),
            (&cert, &missing, "missing.pem: cannot be read"),
            (&empty, &key, "empty.pem: holds no certificate"),
            (&key, &key, "key.pem: holds no certificate"),
            (&cert, &empty, "empty.pem: holds no private key"),
            (&cert, &cert, "cert.pem: holds no private key"),
            (&cut, &key, "cut.pem: is not PEM with a certificate"),
            (
                &cert,
                &wrong_key,
                "wrong.pem: is not the key of the certificate",
            ),
        ] {
            let error = Tls::from_files(cert, key).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
    }

    #[test]
    fn a_bad_reload_keeps_the_certificate() {
        let folder = tempfile::tempdir().unwrap();
        let (cert, key) = (folder.path().join("c"), folder.path().join("k"));
        let write = || {
            let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
            std::fs::write(&cert, made.cert.pem()).unwrap();
            std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        };
        write();
        let tls = Tls::from_files(&cert, &key).unwrap();
        let current = || Arc::as_ptr(&tls.current.read().unwrap());
        let first = current();
        std::fs::write(&cert, "").unwrap();
        assert!(tls.reload().is_err());
        assert_eq!(current(), first);
        write();
        tls.reload().unwrap();
        assert_ne!(current(), first);
    }
}
