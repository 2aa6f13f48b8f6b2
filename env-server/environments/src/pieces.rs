//! Large bodies, written in pieces: a growing body moves no piece, and a sender can free each piece
//! once it is sent.

use std::io::{self, Write};

use bytes::Bytes;

/// Size of a piece, in bytes.
const PIECE_BYTES: usize = 256 << 10;

/// A body that is being written.
#[derive(Debug, Default)]
pub struct Pieces {
    full: Vec<Bytes>,
    last: Vec<u8>,
    len: usize,
}

impl Pieces {
    /// Bytes written.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Appends a line feed, so that a text ends with its line.
    pub fn end_line(&mut self) {
        self.last.push(b'\n');
        self.len += 1;
    }

    /// Appends another body.
    pub fn append(&mut self, other: Pieces) {
        self.finish_piece();
        self.full.extend(other.full);
        self.last = other.last;
        self.len += other.len;
    }

    fn finish_piece(&mut self) {
        if !self.last.is_empty() {
            let piece = std::mem::take(&mut self.last);
            self.full.push(piece.into());
        }
    }

    /// Returns the pieces in order. None is empty.
    pub fn into_pieces(mut self) -> Vec<Bytes> {
        self.last.shrink_to_fit();
        self.finish_piece();
        self.full
    }
}

impl From<Vec<u8>> for Pieces {
    /// Makes a body of one piece, of any size.
    fn from(bytes: Vec<u8>) -> Self {
        Self {
            len: bytes.len(),
            full: match bytes.is_empty() {
                true => Vec::new(),
                false => vec![bytes.into()],
            },
            last: Vec::new(),
        }
    }
}

impl Write for Pieces {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Most writes are of a number or a comma.
        if bytes.len() < self.last.capacity() - self.last.len()
            && self.last.len() + bytes.len() < PIECE_BYTES
        {
            self.last.extend_from_slice(bytes);
            self.len += bytes.len();
            return Ok(bytes.len());
        }
        self.write_more(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Pieces {
    fn write_more(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(PIECE_BYTES - self.last.len()));
            // The first piece grows with a small body; later ones are allocated whole, so nothing
            // moves.
            if self.last.capacity() < self.last.len() + now.len() && !self.full.is_empty() {
                self.last.reserve_exact(PIECE_BYTES - self.last.len());
            }
            self.last.extend_from_slice(now);
            if self.last.len() == PIECE_BYTES {
                self.finish_piece();
            }
            rest = later;
        }
        self.len += bytes.len();
        Ok(bytes.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_what_was_written() {
        let bytes: Vec<u8> = (0..3 * PIECE_BYTES + 17).map(|i| (i % 251) as u8).collect();
        let (mut whole, mut others) = (Pieces::default(), Pieces::default());
        for piece in bytes.chunks(100_003) {
            whole.write_all(piece).unwrap();
            others.write_all(piece).unwrap();
        }
        assert_eq!(whole.len(), bytes.len());
        whole.append(others);
        whole.write_all(b"end").unwrap();
        assert_eq!(whole.len(), 2 * bytes.len() + 3);
        let pieces = whole.into_pieces();
        assert!(
            pieces
                .iter()
                .all(|piece| !piece.is_empty() && piece.len() <= PIECE_BYTES)
        );
        assert_eq!(pieces.concat(), [&bytes[..], &bytes, b"end"].concat());
        assert!(Pieces::default().is_empty() && Pieces::default().into_pieces().is_empty());
    }
}
