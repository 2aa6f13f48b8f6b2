//! Bodies on their way in and out: what they take in memory together has a limit.

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

use super::aside::Aside;
use crate::session::room::{Room, Rooms};
use environments::pieces::Pieces;

/// Bytes of a request's body that are not counted: `--max-requests-in-flight` bounds how many such there are.
const UNCOUNTED_BYTES: usize = 64 << 10;

/// A body with more bytes than this is decoded aside: it takes about a millisecond.
const LARGE_BYTES: usize = 128 << 10;

/// What a large body takes while it is decoded, in its own bytes: a list of short numbers in JSON takes many times as
/// much as a document.
const DECODED_TIMES: usize = 8;

/// Bodies of requests that are being read and decoded.
#[derive(Debug)]
pub struct Bodies {
    max_bytes: usize,
    /// What the large ones take together: at least one of the largest can always be decoded.
    rooms: Arc<Rooms>,
    pub(crate) aside: Aside,
}

impl Bodies {
    /// Bodies of at most so many bytes each.
    pub fn new(max_body_bytes: usize) -> Self {
        Bodies {
            max_bytes: max_body_bytes,
            rooms: Rooms::new(max_body_bytes.saturating_mul(2 * DECODED_TIMES)),
            aside: Aside::default(),
        }
    }

    /// Bytes of the largest body that is taken.
    pub fn max_body_bytes(&self) -> usize {
        self.max_bytes
    }

    /// Whether a body takes long to decode.
    pub(super) fn is_large(len: usize) -> bool {
        len > LARGE_BYTES
    }

    /// Takes room for `len` bytes that have come, of which some are counted already.
    ///
    /// # Errors
    /// `overloaded`.
    pub(super) fn count(&self, room: &mut Option<Room>, len: usize) -> Result<(), Problem> {
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
                let detail =
                    "the bodies of the requests under way are as large as they may be together";
                Err(Problem::new(ErrorCode::Overloaded, detail))
            }
        }
    }

    /// Takes room for what a large body becomes.
    ///
    /// # Errors
    /// `overloaded`.
    pub(super) fn count_decoded(&self, room: &mut Option<Room>, len: usize) -> Result<(), Problem> {
        self.count(room, len.saturating_mul(DECODED_TIMES))
    }
}

/// A body in pieces, which holds its room until it has been sent.
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

/// A reply in pieces, which takes this room until it has been sent.
pub(crate) fn with_pieces(encoding: Encoding, mut pieces: Pieces, mut room: Room) -> Response {
    if encoding == Encoding::Json {
        pieces.end_line();
    }
    room.resize(pieces.len());
    let left = pieces.len() as u64;
    let room = Arc::new(room);
    let body = PiecesBody {
        pieces: pieces.into_pieces().into(),
        left,
        _room: Some(Arc::clone(&room)),
    };
    let mut response = Response::new(Body::new(body));
    let content_type = HeaderValue::from_static(encoding.content_type());
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, content_type);
    // For who sends it otherwise than as a body.
    response.extensions_mut().insert(room);
    response
}
