//! TLS 1.2 and 1.3 for HTTP/1.1 and HTTP/2, from a certificate chain and a key in PEM files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::version::{TLS12, TLS13};
use rustls_pki_types::pem::{Error as PemError, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// The names of protocols in a handshake: RFC 7301.
pub const HTTP_2: &[u8] = b"h2";
const HTTP_1: &[u8] = b"http/1.1";

/// Why TLS can't start. No error holds a byte of the key.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file holds no PEM of the kind that it should, or can't be read.
    #[error("read the {wanted} in {}: {problem}; check the path and that this user may read it", path.display())]
    File {
        /// The expected content.
        wanted: &'static str,
        path: PathBuf,
        /// The actual content.
        problem: String,
    },
    /// The certificate and the key do not belong together, or neither can be used.
    #[error(
        "use the certificate in {} with the key in {}: {source}; give the pair that was made together, the server's own \
         certificate first in its file", certificate.display(), key.display()
    )]
    Pair {
        certificate: PathBuf,
        key: PathBuf,
        /// The error of rustls.
        source: rustls::Error,
    },
}

/// Reads both files and checks that they belong together.
pub fn load(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>, TlsError> {
    let chain = read_chain(certificate).map_err(|error| refused("certificate chain", certificate, &error))?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| refused("private key", key, &error))?;
    let pair = |source| TlsError::Pair { certificate: certificate.into(), key: key.into(), source };
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(pair)?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(pair)?;
    config.alpn_protocols = vec![HTTP_1.to_vec()];
    Ok(Arc::new(config))
}

/// The same certificate for a listener that speaks HTTP/2, too.
pub fn with_http2(config: &ServerConfig) -> Arc<ServerConfig> {
    let mut config = config.clone();
    config.alpn_protocols = vec![HTTP_2.to_vec(), HTTP_1.to_vec()];
    Arc::new(config)
}

fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, PemError> {
    let chain = CertificateDer::pem_file_iter(path)?.collect::<Result<Vec<_>, _>>()?;
    if chain.is_empty() { Err(PemError::NoItemsFound) } else { Ok(chain) }
}

fn refused(wanted: &'static str, path: &Path, error: &PemError) -> TlsError {
    let problem = match error {
        PemError::Io(error) => error.to_string(),
        PemError::NoItemsFound => format!("the file holds no PEM section with a {wanted}"),
        // The rest quotes the file, which may be a key.
        _ => "the file is damaged, or is not PEM".to_owned(),
    };
    TlsError::File { wanted, path: path.into(), problem }
}
