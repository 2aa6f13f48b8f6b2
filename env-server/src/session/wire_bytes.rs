//! Numbers in records: LEB128, seven bits per byte, the lowest first.

/// Writes a number.
pub(super) fn write_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Reads a number and advances past it; `None` if there is none.
pub(super) fn read_number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let bits = u64::from(byte & 0x7f);
        if bits << shift >> shift != bits {
            return None;
        }
        number |= bits << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

/// Writes a length.
pub(super) fn write_length(out: &mut Vec<u8>, length: usize) {
    write_number(out, length as u64);
}

/// Reads a length.
pub(super) fn read_length(bytes: &mut &[u8]) -> Option<usize> {
    read_number(bytes)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_come_back(number: u64, follows: u8) {
            let mut bytes = Vec::new();
            write_number(&mut bytes, number);
            bytes.push(follows);
            let mut rest = &bytes[..];
            prop_assert_eq!(read_number(&mut rest), Some(number));
            prop_assert_eq!(rest, &[follows]);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            let mut rest = &bytes[..];
            while read_number(&mut rest).is_some() {}
        }
    }

    #[test]
    fn a_number_cut_off_or_too_large_is_none() {
        assert_eq!(read_number(&mut &[0x80][..]), None);
        assert_eq!(read_number(&mut &[0xff; 10][..]), None);
        assert_eq!(read_number(&mut &[][..]), None);
    }
}
