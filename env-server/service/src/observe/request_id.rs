//! Request ids: chosen by the client, or generated here.

use std::sync::atomic::{AtomicU64, Ordering};

use axum::http::{HeaderMap, HeaderName, HeaderValue};

/// Header with the request's id, in requests and replies.
pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longest id that is accepted from a client.
const MAX_LEN: usize = 64;

/// Generates ids: eight hexadecimal digits that identify the server, a dash, and a count.
#[derive(Debug)]
pub(super) struct RequestIds {
    prefix: [u8; 9],
    next: AtomicU64,
}

const DIGITS: &[u8; 16] = b"0123456789abcdef";

impl RequestIds {
    /// Creates a generator; `server` should be random.
    pub(super) fn new(server: u32) -> Self {
        let mut prefix = *b"00000000-";
        for (i, digit) in prefix[..8].iter_mut().enumerate() {
            *digit = DIGITS[(server >> (28 - 4 * i)) as usize & 15];
        }
        RequestIds {
            prefix,
            next: AtomicU64::new(1),
        }
    }

    /// Returns the client's id if it is safe to log as it is, or else a new one.
    pub(super) fn id(&self, headers: &HeaderMap) -> HeaderValue {
        match headers.get(X_REQUEST_ID) {
            Some(id) if is_safe(id.as_bytes()) => id.clone(),
            _ => self.make(),
        }
    }

    fn make(&self) -> HeaderValue {
        let mut count = self.next.fetch_add(1, Ordering::Relaxed);
        // Written from the end; sixteen digits hold every count.
        let mut text = [0; 9 + 16];
        let mut begin = text.len();
        loop {
            begin -= 1;
            text[begin] = DIGITS[count as usize & 15];
            count >>= 4;
            if count == 0 {
                break;
            }
        }
        begin -= self.prefix.len();
        text[begin..begin + self.prefix.len()].copy_from_slice(&self.prefix);
        HeaderValue::from_bytes(&text[begin..]).expect("digits and a dash")
    }
}

/// Whether an id has 1 to 64 of the characters A-Z a-z 0-9 . _ - and no other.
fn is_safe(id: &[u8]) -> bool {
    let is_allowed = |b: &u8| b.is_ascii_alphanumeric() || b"._-".contains(b);
    (1..=MAX_LEN).contains(&id.len()) && id.iter().all(is_allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_told_apart() {
        let ids = RequestIds::new(0x01ab_cdef);
        let none = HeaderMap::new();
        assert_eq!(ids.id(&none), "01abcdef-1");
        ids.next.store(0xfff, Ordering::Relaxed);
        assert_eq!(ids.id(&none), "01abcdef-fff");
        assert_eq!(ids.id(&none), "01abcdef-1000");
        ids.next.store(u64::MAX, Ordering::Relaxed);
        assert_eq!(ids.id(&none), "01abcdef-ffffffffffffffff");
    }

    #[test]
    fn only_safe_ids_are_taken() {
        let longest = "x".repeat(64);
        for good in ["a", "A-9_.z", &longest] {
            assert!(is_safe(good.as_bytes()), "{good}");
        }
        for bad in ["", "a b", "a\"", "é", "a\tb", "{}", &"x".repeat(65)] {
            assert!(!is_safe(bad.as_bytes()), "{bad}");
        }
    }
}
