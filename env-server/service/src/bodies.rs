//! Bodies of requests and replies, whose memory is limited in total.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, HttpBody};
use axum::http::{HeaderValue, header};
use axum::response::Response;
use bytes::Bytes;
use env_protocol::{Encoding, ErrorCode, Problem};
use hyper::body::{Frame, SizeHint};

use crate::aside::Aside;
use crate::room::{Room, Rooms};

/// Bytes of a request's body that are not counted; `--max-requests-in-flight` bounds the number of
/// such bodies.
const UNCOUNTED_BYTES: usize = 64 << 10;

/// A body larger than this is decoded aside, since that takes about a millisecond.
const LARGE_BYTES: usize = 128 << 10;

/// Memory of a large body while it is decoded, as a multiple of its size: a list of short numbers
/// takes many times its JSON text.
const DECODED_TIMES: usize = 8;

/// Bodies of requests that are being read and decoded.
#[derive(Debug)]
pub struct Bodies {
    max_bytes: usize,
    /// Memory of the large ones together: enough for at least one of the largest.
    rooms: Arc<Rooms>,
    aside: Aside,
}

impl Bodies {
    /// Creates a limit for bodies of at most `max_body_bytes` each.
    pub fn new(max_body_bytes: usize) -> Self {
        Bodies {
            max_bytes: max_body_bytes,
            rooms: Rooms::new(max_body_bytes.saturating_mul(2 * DECODED_TIMES)),
            aside: Aside::default(),
        }
    }

    /// Returns the size of the largest body that is accepted.
    pub fn max_body_bytes(&self) -> usize {
        self.max_bytes
    }

    /// Returns the threads that decode large bodies; other long jobs may use them as well.
    pub fn aside(&self) -> &Aside {
        &self.aside
    }

    /// Whether a body takes long to decode.
    pub(crate) fn is_large(len: usize) -> bool {
        len > LARGE_BYTES
    }

    /// Reserves memory for `len` bytes received, including bytes that are already counted.
    ///
    /// # Errors
    /// `overloaded`.
    pub fn count(&self, room: &mut Option<Room>, len: usize) -> Result<(), Problem> {
        if len <= UNCOUNTED_BYTES {
            return Ok(());
        }
        let is_there = match room {
            Some(room) => room.grow(len),
            None => {
                *room = self.rooms.take(len, 0);
                room.is_some()
            }
        };
        match is_there {
            true => Ok(()),
            false => {
                let detail = "the bodies of the requests in flight have reached their total limit";
                Err(Problem::new(ErrorCode::Overloaded, detail))
            }
        }
    }

    /// Reserves memory for decoding a large body.
    ///
    /// # Errors
    /// `overloaded`.
    pub fn count_decoded(&self, room: &mut Option<Room>, len: usize) -> Result<(), Problem> {
        self.count(room, len.saturating_mul(DECODED_TIMES))
    }
}

/// A body in pieces, which holds its memory reservation until it has been sent.
struct PiecesBody {
    pieces: VecDeque<Bytes>,
    left: u64,
    _room: Option<Arc<Room>>,
}

impl HttpBody for PiecesBody {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let piece = self.pieces.pop_front();
        self.left -= piece.as_ref().map_or(0, |piece| piece.len() as u64);
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// Builds a reply in pieces, which holds `room` until it has been sent.
pub fn with_pieces(encoding: Encoding, pieces: Vec<Bytes>, mut room: Room) -> Response {
    let len = pieces.iter().map(Bytes::len).sum();
    room.resize(len);
    let room = Arc::new(room);
    let body = PiecesBody {
        pieces: pieces.into(),
        left: len as u64,
        _room: Some(Arc::clone(&room)),
    };
    let mut response = Response::new(Body::new(body));
    let content_type = HeaderValue::from_static(encoding.content_type());
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, content_type);
    // Needed where the reply is not sent as an HTTP body.
    response.extensions_mut().insert(room);
    response
}
