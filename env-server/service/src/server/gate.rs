//! Protection against misuse of browsers: requests from other sites' pages, and names that are not
//! this server's.
//!
//! A page of any site can send requests to a server on its reader's machine. The browser names the
//! page's origin in `Origin`. A page whose own name was made to resolve to this machine ("DNS
//! rebinding") looks like one of the server's own pages; its name in `Host` gives it away. Both
//! headers are checked before anything else, byte by byte and without allocating.

use std::net::{IpAddr, SocketAddr};

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Version, header};
use axum::response::{IntoResponse, Response};
use env_protocol::{ErrorCode, Problem};

use super::exposure::is_loopback;
use crate::config::ServiceConfig;
use crate::error::Error;

/// Methods and request headers that a page of another origin may use.
const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, PUT, DELETE");
const HEADERS: HeaderValue =
    HeaderValue::from_static("authorization, content-type, accept, x-request-id, traceparent");
/// Reply headers that it may read, besides the headers that every page may read.
const EXPOSED: HeaderValue =
    HeaderValue::from_static("location, retry-after, allow, idempotency-replayed, x-request-id");
/// Seconds for which a browser may cache a preflight answer.
const MAX_AGE: HeaderValue = HeaderValue::from_static("600");

const PRIVATE_NETWORK_ASKED: &str = "access-control-request-private-network";
const PRIVATE_NETWORK: &str = "access-control-allow-private-network";

/// Most bytes of a header that an error repeats.
const MAX_SHOWN: usize = 80;

/// The names this server answers to, and the origins it admits.
pub(crate) struct Gate {
    names: Option<Names>,
    /// Admitted origins, such as `https://lab.example`.
    origins: Vec<String>,
}

/// The names that a request may be for.
struct Names {
    /// Names without ports: behind a tunnel or a container's port, clients see other ports.
    given: Vec<String>,
    /// The address the server listens on, if it is a listener.
    bound: Option<IpAddr>,
    /// Whether every IP address counts as a name of this server. A page cannot make an address
    /// resolve elsewhere.
    are_addresses_own: bool,
}

/// A page of another origin that has been admitted.
pub(crate) struct Guest(HeaderValue);

impl Gate {
    /// Creates the gate of a server on `address`, or of a service in another program (`None`),
    /// which does not know its own address.
    ///
    /// A server on a loopback address answers only to names of this machine and those in the
    /// settings. On other addresses, IP addresses are names too. A server with tokens on an address
    /// that others can reach answers to every name unless the settings name some, since no page has
    /// a token.
    ///
    /// # Errors
    /// [`Error::Setting`], when the settings contain an invalid name or origin.
    pub(crate) fn new(address: Option<SocketAddr>, config: &ServiceConfig) -> Result<Self, Error> {
        check(config)?;
        let is_outside = address.is_none_or(|address| !is_loopback(address));
        let is_any = is_outside && (config.access.is_some() || address.is_none());
        let own = ["localhost", "127.0.0.1", "[::1]"].map(str::to_owned);
        let given = config.allowed_hosts.iter().cloned();
        Ok(Gate {
            names: (!is_any || !config.allowed_hosts.is_empty()).then(|| Names {
                given: own.into_iter().chain(given).collect(),
                bound: address.map(|address| address.ip()),
                are_addresses_own: is_outside,
            }),
            origins: config.allowed_origins.clone(),
        })
    }

    /// Admits or refuses a request. Returns the page if it comes from another origin.
    ///
    /// # Errors
    /// `malformed-request`, `unknown-host` or `cross-origin`.
    pub(crate) fn let_in(&self, request: &Request) -> Result<Option<Guest>, Problem> {
        let headers = request.headers();
        let host = match request.uri().authority() {
            // The authority takes precedence over the header (RFC 9112, section 3.2.2).
            Some(authority) => Some(authority.as_str()),
            None => only_host(headers)?,
        };
        if let Some(names) = &self.names {
            match host {
                Some(host) if names.have(host) => {}
                Some(host) => return Err(unknown_host(host)),
                // Browsers always send one, and HTTP/1.0 has none.
                None if request.version() == Version::HTTP_10 => {}
                None => {
                    let detail = "there is no Host header";
                    return Err(Problem::new(ErrorCode::MalformedRequest, detail));
                }
            }
        }
        let Some(origin) = headers.get(header::ORIGIN) else {
            return Ok(None);
        };
        let text = origin.to_str().unwrap_or_default();
        let authority = text.split_once("://").map(|(_, authority)| authority);
        match (authority, host) {
            (Some(authority), Some(host)) if authority.eq_ignore_ascii_case(host) => Ok(None),
            _ if self.lets_in(text) => Ok(Some(Guest(origin.clone()))),
            _ => {
                let (origin, host) = (shown(text), shown(host.unwrap_or_default()));
                let detail = format!("the page comes from {origin:?}, but the server is {host:?}");
                Err(Problem::new(ErrorCode::CrossOrigin, detail))
            }
        }
    }

    fn lets_in(&self, origin: &str) -> bool {
        let mut origins = self.origins.iter();
        origins.any(|known| known.eq_ignore_ascii_case(origin))
    }
}

impl Names {
    /// Whether a host, with or without a port, is a name of this server.
    fn have(&self, host: &str) -> bool {
        let Some(name) = without_port(host) else {
            return false;
        };
        let mut given = self.given.iter();
        given.any(|known| known.eq_ignore_ascii_case(name))
            || address(name).is_some_and(|address| {
                self.are_addresses_own
                    || self.bound == Some(address)
                    || address.to_canonical().is_loopback()
            })
    }
}

impl Guest {
    /// Answers a preflight request, with which a browser asks whether a page may send a request;
    /// `None` for other requests.
    pub(crate) fn preflight(&self, request: &Request) -> Option<Response> {
        let asked = request.headers();
        let is_asked = request.method() == Method::OPTIONS
            && asked.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        is_asked.then(|| {
            let mut response = StatusCode::NO_CONTENT.into_response();
            let headers = response.headers_mut();
            headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HEADERS);
            headers.insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE);
            if asked.contains_key(PRIVATE_NETWORK_ASKED) {
                headers.insert(PRIVATE_NETWORK, HeaderValue::from_static("true"));
            }
            response
        })
    }

    /// Adds the headers that let the page read a reply.
    pub(crate) fn may_read(self, response: &mut Response) {
        let headers = response.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, self.0);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        headers.append(header::VARY, HeaderValue::from_static("origin"));
    }
}

/// Returns the host of a request, if it names one.
fn only_host(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let Some(host) = hosts.next() else {
        return Ok(None);
    };
    let refused = |detail: &str| Problem::new(ErrorCode::MalformedRequest, detail);
    if hosts.next().is_some() {
        return Err(refused("there is more than one Host header"));
    }
    let host = host.to_str();
    host.map(Some)
        .map_err(|_| refused("the Host header is not text"))
}

/// Returns the name or address of a host without its port; `None` if it is malformed.
fn without_port(host: &str) -> Option<&str> {
    let end = match host.strip_prefix('[') {
        Some(rest) => rest.find(']')? + 2,
        None => host.find(':').unwrap_or(host.len()),
    };
    let (name, port) = host.split_at(end);
    let is_port = port.is_empty()
        || port
            .strip_prefix(':')
            .is_some_and(|port| port.bytes().all(|b| b.is_ascii_digit()));
    (is_port && !name.is_empty()).then_some(name)
}

/// Parses an address as URLs write it, with IPv6 in brackets.
fn address(name: &str) -> Option<IpAddr> {
    match name.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']')?.parse().ok().map(IpAddr::V6),
        None => name.parse().ok().map(IpAddr::V4),
    }
}

fn unknown_host(host: &str) -> Problem {
    let host = shown(host);
    let detail = format!("the request is for {host:?}, which is not a name of this server");
    Problem::new(ErrorCode::UnknownHost, detail)
}

fn shown(text: &str) -> &str {
    // Only visible ASCII reaches this point.
    text.get(..MAX_SHOWN).unwrap_or(text)
}

/// Checks the names and origins of the settings.
///
/// # Errors
/// [`Error::Setting`].
pub fn check(config: &ServiceConfig) -> Result<(), Error> {
    let wrong = |name, given: &String, detail: &str| {
        Err(Error::Setting {
            name,
            given: given.clone(),
            detail: detail.to_owned(),
        })
    };
    if let Some(given) = config.allowed_hosts.iter().find(|host| !is_host(host)) {
        let detail = "expected a name or an address without scheme or port, IPv6 in brackets";
        return wrong("allowed_hosts", given, detail);
    }
    let mut origins = config.allowed_origins.iter();
    if let Some(given) = origins.find(|origin| !is_origin(origin)) {
        let detail = "expected an origin such as https://lab.example or http://localhost:8000, without a path";
        return wrong("allowed_origins", given, detail);
    }
    Ok(())
}

fn is_host(text: &str) -> bool {
    let is_name = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
    address(text).is_some() || (!text.is_empty() && text.bytes().all(is_name))
}

fn is_origin(text: &str) -> bool {
    let Some((scheme, authority)) = text.split_once("://") else {
        return false;
    };
    let is_scheme = |b: u8| b.is_ascii_alphanumeric() || b"+-.".contains(&b);
    !scheme.is_empty()
        && scheme.bytes().all(is_scheme)
        && without_port(authority).is_some_and(is_host)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::access::{Access, Grant};

    fn gate(address: &str, change: impl FnOnce(&mut ServiceConfig)) -> Gate {
        let mut config = ServiceConfig::default();
        change(&mut config);
        Gate::new(Some(address.parse().unwrap()), &config).unwrap()
    }

    fn with_tokens(config: &mut ServiceConfig) {
        let grant = Grant {
            token: "a-0123456789abcdef".to_owned(),
            ..Grant::default()
        };
        let grants = [("a".to_owned(), grant)].into();
        config.access = Some(Arc::new(Access::from_grants(&grants).unwrap()));
    }

    fn request(headers: &[(&str, &str)]) -> Request {
        let mut request = Request::new(axum::body::Body::empty());
        for (name, value) in headers {
            let name: axum::http::HeaderName = name.parse().unwrap();
            request.headers_mut().append(name, value.parse().unwrap());
        }
        request
    }

    fn code(gate: &Gate, headers: &[(&str, &str)]) -> Option<ErrorCode> {
        gate.let_in(&request(headers)).err().map(|p| p.code)
    }

    fn knows(gate: &Gate, host: &str) -> bool {
        match code(gate, &[("host", host)]) {
            None => true,
            Some(ErrorCode::UnknownHost) => false,
            Some(other) => panic!("{host}: {other}"),
        }
    }

    const OWN: [&str; 9] = [
        "localhost",
        "LocalHost:7878",
        "127.0.0.1",
        "127.0.0.1:1",
        "127.8.8.8:7878",
        "[::1]",
        "[::1]:7878",
        "[::ffff:127.0.0.1]:7878",
        "127.0.0.1:",
    ];
    const FOREIGN: [&str; 10] = [
        "evil.example",
        "evil.example:7878",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "localhost:evil.example",
        "localhost@evil.example",
        "[::1].evil.example",
        "[::1",
        "",
        ":7878",
    ];

    #[test]
    fn a_server_on_loopback_answers_to_names_of_this_machine() {
        for change in [|_: &mut ServiceConfig| {}, with_tokens] {
            let gate = gate("127.0.0.1:7878", change);
            for host in OWN {
                assert!(knows(&gate, host), "{host}");
            }
            for host in FOREIGN.into_iter().chain(["10.0.0.1", "0.0.0.0:7878", "x"]) {
                assert!(!knows(&gate, host), "{host}");
            }
        }
    }

    #[test]
    fn a_server_that_others_reach_answers_to_addresses_and_with_tokens_to_any_name() {
        let open = gate("0.0.0.0:7878", |config| config.insecure = true);
        for host in OWN.into_iter().chain(["10.0.0.1", "[fe80::1]:7878"]) {
            assert!(knows(&open, host), "{host}");
        }
        for host in FOREIGN {
            assert!(!knows(&open, host), "{host}");
        }
        let guarded = gate("0.0.0.0:7878", with_tokens);
        assert!(knows(&guarded, "evil.example"));
        let named = gate("0.0.0.0:7878", |config| {
            with_tokens(config);
            config.allowed_hosts = vec!["lab.example".to_owned()];
        });
        assert!(knows(&named, "LAB.example:443") && knows(&named, "localhost"));
        assert!(knows(&named, "10.0.0.1") && !knows(&named, "evil.example"));
    }

    #[test]
    fn names_can_be_added() {
        let gate = gate("127.0.0.1:7878", |config| {
            config.allowed_hosts = vec!["x".to_owned(), "lab.example".to_owned()];
        });
        for host in ["x", "X:1", "lab.example:443"].into_iter().chain(OWN) {
            assert!(knows(&gate, host), "{host}");
        }
        for host in FOREIGN {
            assert!(!knows(&gate, host), "{host}");
        }
    }

    #[test]
    fn a_request_names_one_host() {
        let gate = gate("127.0.0.1:7878", |_| {});
        let malformed = Some(ErrorCode::MalformedRequest);
        assert_eq!(code(&gate, &[]), malformed);
        let twice = [("host", "localhost"), ("host", "localhost")];
        assert_eq!(code(&gate, &twice), malformed);
        let mut old = request(&[]);
        *old.version_mut() = Version::HTTP_10;
        assert!(gate.let_in(&old).is_ok());
        let mut absolute = request(&[("host", "localhost")]);
        *absolute.uri_mut() = "http://evil.example/v1/envs".parse().unwrap();
        let problem = gate.let_in(&absolute).err().unwrap();
        assert_eq!(problem.code, ErrorCode::UnknownHost);
    }

    #[test]
    fn pages_of_others_are_kept_out_unless_they_are_let_in() {
        let gate = gate("127.0.0.1:7878", |config| {
            config.allowed_origins = vec!["https://lab.example".to_owned()];
        });
        let from = |origin| request(&[("host", "localhost:7878"), ("origin", origin)]);
        for own in ["http://localhost:7878", "https://LOCALHOST:7878"] {
            assert!(gate.let_in(&from(own)).unwrap().is_none(), "{own}");
        }
        for foreign in [
            "http://localhost:7879",
            "http://127.0.0.1:7878",
            "http://evil.example",
            "http://lab.example",
            "https://lab.example:444",
            "https://lab.example.evil",
            "null",
            "",
            "localhost:7878",
        ] {
            let problem = gate.let_in(&from(foreign)).err().unwrap();
            assert_eq!(problem.code, ErrorCode::CrossOrigin, "{foreign}");
        }
        let plain = from("https://lab.example");
        let guest = gate.let_in(&plain).unwrap().unwrap();
        assert!(guest.preflight(&plain).is_none());
        let mut response = Response::default();
        guest.may_read(&mut response);
        let allowed = response.headers().get("access-control-allow-origin");
        assert_eq!(allowed.unwrap(), "https://lab.example");
    }

    #[test]
    fn settings_are_names_and_origins() {
        let hosts = |host: &str| ServiceConfig {
            allowed_hosts: vec![host.to_owned()],
            ..ServiceConfig::default()
        };
        for host in ["x", "lab.example", "my_box", "10.0.0.1", "[fe80::1]"] {
            assert!(check(&hosts(host)).is_ok(), "{host}");
        }
        for host in [
            "",
            "*",
            "lab.example:80",
            "http://lab.example",
            "fe80::1",
            "a b",
        ] {
            let error = check(&hosts(host)).unwrap_err().to_string();
            assert!(error.starts_with("allowed_hosts"), "{error}");
        }
        let origins = |origin: &str| ServiceConfig {
            allowed_origins: vec![origin.to_owned()],
            ..ServiceConfig::default()
        };
        for origin in [
            "http://localhost:8000",
            "https://lab.example",
            "http://[::1]:80",
        ] {
            assert!(check(&origins(origin)).is_ok(), "{origin}");
        }
        for origin in [
            "",
            "*",
            "null",
            "lab.example",
            "https://lab.example/",
            "https://",
        ] {
            let error = check(&origins(origin)).unwrap_err().to_string();
            assert!(error.starts_with("allowed_origins"), "{error}");
        }
    }
}
