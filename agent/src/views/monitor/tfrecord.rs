//! The framing of a TFRecord file: length, payload, and a checksum of each.
//!
//! | bytes | what |
//! |---|---|
//! | 8 | length of the payload, little-endian |
//! | 4 | masked CRC-32C of those 8 bytes |
//! | length | payload |
//! | 4 | masked CRC-32C of the payload |
//!
//! Source: TensorFlow's documentation of TFRecord.

use std::io::{self, BufReader, Read, Seek};

/// Constant that TensorFlow adds to a rotated checksum, so that the checksum of data that itself
/// holds checksums does not degenerate.
const MASK_DELTA: u32 = 0xa282_ead8;

/// Appends `payload` to `file` as one record.
pub(super) fn append_record(file: &mut Vec<u8>, payload: &[u8]) {
    let length = (payload.len() as u64).to_le_bytes();
    file.extend_from_slice(&length);
    file.extend_from_slice(&masked_crc(&length).to_le_bytes());
    file.extend_from_slice(payload);
    file.extend_from_slice(&masked_crc(payload).to_le_bytes());
}

/// Reads the beginning of every record's payload, up to `N` bytes of it, and gives it to `each`. A file that ends within a
/// record, as after a crash, ends with the record before it. Checksums are not looked at.
pub(super) fn each_beginning<const N: usize>(
    file: impl Read + Seek,
    mut each: impl FnMut(&[u8]),
) -> io::Result<()> {
    const LENGTH_AND_CHECKSUM: usize = 12;
    const CHECKSUM: i64 = 4;
    let mut file = BufReader::new(file);
    let mut beginning = [0; N];
    loop {
        let mut head = [0; LENGTH_AND_CHECKSUM];
        if !fills(&mut file, &mut head)? {
            return Ok(());
        }
        let length = u64::from_le_bytes(head[..8].try_into().expect("eight bytes"));
        let part = usize::try_from(length).unwrap_or(N).min(N);
        let Ok(rest) = i64::try_from(length - part as u64) else {
            return Ok(());
        };
        if !fills(&mut file, &mut beginning[..part])? {
            return Ok(());
        }
        each(&beginning[..part]);
        file.seek_relative(rest.saturating_add(CHECKSUM))?;
    }
}

/// Reads as many bytes as there is room for; whether there were so many.
fn fills(file: &mut impl Read, bytes: &mut [u8]) -> io::Result<bool> {
    match file.read_exact(bytes) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

fn masked_crc(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes)
        .rotate_right(15)
        .wrapping_add(MASK_DELTA)
}

/// The payloads of a file of whole records, checksums checked by a bitwise CRC of its own.
#[cfg(test)]
pub(super) fn read_records(mut file: &[u8]) -> Vec<&[u8]> {
    fn take<'a>(file: &mut &'a [u8], length: usize) -> &'a [u8] {
        file.split_off(..length)
            .expect("the file ends inside a record")
    }
    fn check(file: &mut &[u8], bytes: &[u8]) {
        let mut crc = u32::MAX;
        for &byte in bytes {
            crc ^= u32::from(byte);
            for _ in 0..8 {
                crc = (crc >> 1) ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 };
            }
        }
        let masked = (!crc).rotate_right(15).wrapping_add(MASK_DELTA);
        assert_eq!(take(file, 4), masked.to_le_bytes());
    }

    let mut payloads = Vec::new();
    while !file.is_empty() {
        let length = take(&mut file, 8);
        check(&mut file, length);
        let payload = take(
            &mut file,
            u64::from_le_bytes(length.try_into().unwrap()) as usize,
        );
        check(&mut file, payload);
        payloads.push(payload);
    }
    payloads
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_of_three_bytes() {
        // Checksums computed apart, bit by bit: CRC-32C("abc") is 0x364b3fb7.
        let mut file = Vec::new();
        append_record(&mut file, b"abc");
        assert_eq!(
            file,
            *b"\x03\x00\x00\x00\x00\x00\x00\x00\xb0\x99I\x0eabcnW\xf1!"
        );
        assert_eq!(read_records(&file), [b"abc"]);
    }

    #[test]
    fn beginnings_are_read_up_to_where_a_file_is_torn() {
        let mut file = Vec::new();
        for payload in [&b"abcdef"[..], b"xy", b"", b"torn off"] {
            append_record(&mut file, payload);
        }
        // In the checksum, in the payload, in the length.
        for cut in [3, 5, 20] {
            let mut seen = Vec::new();
            let torn = io::Cursor::new(&file[..file.len() - cut]);
            each_beginning::<3>(torn, |bytes| seen.push(bytes.to_vec())).unwrap();
            let whole: [&[u8]; 3] = [b"abc", b"xy", b""];
            assert_eq!(seen[..3], whole);
            assert_eq!(seen.len(), if cut == 20 { 3 } else { 4 });
        }
    }

    #[test]
    fn the_first_bytes_of_every_event_file() {
        // An event file begins with a version of 24 bytes, and so with these well-known bytes.
        let mut file = Vec::new();
        append_record(&mut file, &[0; 24]);
        assert_eq!(file[..12], *b"\x18\0\0\0\0\0\0\0\xa3\x7fK\"");
    }
}
