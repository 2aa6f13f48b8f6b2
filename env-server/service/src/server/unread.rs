//! Answers to input that hyper cannot parse as a request. By itself hyper answers with an empty
//! body; here the answer gets a problem document, like every other error.
//!
//! Such answers are recognised by how hyper writes them: a head alone, with an error status and a
//! `Content-Length` of 0. No route answers like that. Only the preface of HTTP/2 gets no answer:
//! hyper closes the connection.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use env_protocol::{ErrorCode, Problem};
use tokio::io::AsyncWrite;

use crate::problem::last_answer;

/// Most bytes of such a head: a status line and three short headers.
const MAX_HEAD_BYTES: usize = 256;

const HEAD_END: &[u8] = b"\r\n\r\n";

/// Bytes that no request head can contain, followed by the end of a head: they make hyper reject
/// it.
pub(super) const NO_HEAD: &[u8] = b"\0\n\n";

/// Whether bytes to be written may end with such an answer. Checked on every write, so it must be
/// cheap.
pub(super) fn may_refuse(bytes: &[u8]) -> bool {
    bytes.ends_with(HEAD_END)
}

/// Finds such an answer at the end of bytes to be written; returns where it begins and its status.
pub(super) fn find_refusal(bytes: &[u8]) -> Option<(usize, u16)> {
    let from = bytes.len().saturating_sub(MAX_HEAD_BYTES);
    let tail = &bytes[from..];
    let at = tail.windows(7).rposition(|part| part == b"HTTP/1.")?;
    let head = str::from_utf8(tail[at..].strip_suffix(HEAD_END)?).ok()?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let is_empty = lines.any(|line| line.eq_ignore_ascii_case("content-length: 0"));
    (is_empty && matches!(status, 400 | 414 | 431)).then_some((from + at, status))
}

/// Returns the problem for one of hyper's own statuses.
pub(super) fn problem(status: u16, max_head_bytes: usize) -> Problem {
    match status {
        414 => Problem::new(
            ErrorCode::UriTooLong,
            "the path and query are over 65534 bytes",
        ),
        431 => {
            let detail =
                format!("the head is over {max_head_bytes} bytes, or has more than 100 headers");
            Problem::new(ErrorCode::HeadTooLarge, detail)
        }
        _ => {
            let detail = "the request line or a header is not valid HTTP/1.1";
            Problem::new(ErrorCode::MalformedRequest, detail)
        }
    }
}

/// An answer that replaces hyper's, and how much of it has been written.
pub(super) struct Answer {
    bytes: Vec<u8>,
    written: usize,
}

impl Answer {
    pub(super) fn new(problem: &Problem) -> Self {
        Answer {
            bytes: last_answer(problem),
            written: 0,
        }
    }

    /// Writes the rest of the answer; ready when it is complete.
    pub(super) fn poll_write(
        &mut self,
        mut io: Pin<&mut impl AsyncWrite>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while let Some(rest) = self.bytes.get(self.written..).filter(|r| !r.is_empty()) {
            match ready!(io.as_mut().poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                len => self.written += len,
            }
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_heads_that_refuse_are_found() {
        let head = |status: &str| {
            format!(
                "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: 0\r\ndate: x\r\n\r\n"
            )
        };
        for (status, found) in [
            ("400 Bad Request", Some(400)),
            ("414 URI Too Long", Some(414)),
            ("431 Request Header Fields Too Large", Some(431)),
            ("200 OK", None),
            ("404 Not Found", None),
        ] {
            let head = head(status);
            assert!(may_refuse(head.as_bytes()));
            let expected = found.map(|status| (0, status));
            assert_eq!(find_refusal(head.as_bytes()), expected, "{status}");
            let after = format!("the end of a reply before{head}");
            let expected = found.map(|status| (25, status));
            assert_eq!(find_refusal(after.as_bytes()), expected, "{status}");
        }
        let to_head = "HTTP/1.1 400 Bad Request\r\ncontent-length: 120\r\n\r\n";
        assert_eq!(find_refusal(to_head.as_bytes()), None);
        assert!(!may_refuse(b"{\"observation\":[0.0]}\n"));
    }
}
