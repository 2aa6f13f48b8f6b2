//! Hosts of URLs: whether one is this machine.

use std::net::IpAddr;

/// Whether the host of a URL is this machine itself: `localhost`, 127.0.0.0/8, `::1` (with or
/// without brackets), or an unspecified address such as 0.0.0.0. A proxy on another machine cannot
/// reach such a host, so clients ignore proxy settings for it.
pub fn is_loopback(host: &str) -> bool {
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    if name == "localhost" || name.ends_with(".localhost") {
        return true;
    }
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    let address = bare.parse::<IpAddr>().map(|address| address.to_canonical());
    address.is_ok_and(|address| address.is_loopback() || address.is_unspecified())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_known_by_its_names() {
        let here = "localhost LocalHost localhost. a.localhost 127.0.0.1 127.8.9.1 [::1] ::1 0.0.0.0 [::ffff:127.0.0.1]";
        for host in here.split(' ') {
            assert!(is_loopback(host), "{host}");
        }
        for host in [
            "",
            "example.org",
            "localhost.example.org",
            "127.0.0.1.example.org",
            "10.0.0.1",
            "[::2]",
            "notlocalhost",
        ] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
