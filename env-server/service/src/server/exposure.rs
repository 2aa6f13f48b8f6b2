//! Checks which addresses may be served without tokens.

use std::net::SocketAddr;

use crate::config::ServiceConfig;
use crate::error::Error;

/// Refuses an address that other machines can reach when there are no tokens to identify clients.
///
/// # Errors
/// [`Error::Exposed`], when the address is not loopback, there are no tokens, and the settings do
/// not say `insecure`.
pub fn check_exposure(address: SocketAddr, config: &ServiceConfig) -> Result<(), Error> {
    match is_loopback(address) || config.access.is_some() || config.insecure {
        true => Ok(()),
        false => Err(Error::Exposed(address)),
    }
}

/// Returns a warning if strangers may do everything, or if what clients send could be read in
/// transit.
pub(super) fn warning(address: SocketAddr, config: &ServiceConfig) -> Option<&'static str> {
    match (&config.access, &config.tls) {
        _ if is_loopback(address) => None,
        (None, _) => {
            Some("there are no tokens: anyone who can reach this address may do everything")
        }
        (Some(_), None) => Some(
            "tokens arrive over plain HTTP: give --tls-cert and --tls-key, or put a TLS proxy in \
             front of the server",
        ),
        (Some(_), Some(_)) => None,
    }
}

/// Whether only this machine can reach an address.
pub(super) fn is_loopback(address: SocketAddr) -> bool {
    // An IPv4 address may be written as IPv6.
    address.ip().to_canonical().is_loopback()
}
