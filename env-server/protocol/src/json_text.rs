//! Arrays as JSON text, written directly from their elements.
//!
//! A batch in JSON has thousands of numbers, nearly all of them small integers. Calling a
//! serializer for each took four fifths of the time of a step of 256 lanes.

use std::io::Write;

use serde::ser::{Serialize, SerializeStruct, Serializer};

use crate::array::{Array, Data};

/// Name of the struct that serde_json writes as raw JSON text. The crate has no public function
/// that writes such text without parsing it first, so this relies on an internal name; the test
/// `text_is_written_unchanged` fails if it changes.
const RAW_VALUE: &str = "$serde_json::private::RawValue";

/// Writes the array as nested lists.
pub(crate) fn serialize<S: Serializer>(array: &Array, serializer: S) -> Result<S::Ok, S::Error> {
    let mut raw = serializer.serialize_struct(RAW_VALUE, 1)?;
    raw.serialize_field(RAW_VALUE, &Text(array))?;
    raw.end()
}

struct Text<'a>(&'a Array);

impl Serialize for Text<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = text(self.0);
        serializer.serialize_str(&text)
    }
}

/// The array as JSON text.
fn text(array: &Array) -> String {
    let mut out = Vec::with_capacity(16 + 6 * array.data().len());
    let shape = array.shape();
    match array.data() {
        Data::Bool(x) => lists(&mut out, shape, x, |out, &flag| {
            out.extend_from_slice(if flag { b"true" } else { b"false" });
        }),
        Data::Uint8(x) => lists(&mut out, shape, x, |out, &x| integer(out, i64::from(x))),
        Data::Int64(x) => lists(&mut out, shape, x, |out, &x| integer(out, x)),
        Data::Float32(x) => lists(&mut out, shape, x, |out, &x| {
            match whole(f64::from(x)) {
                Some(digit) => small(out, digit),
                None => general(out, &x),
            };
        }),
        Data::Float64(x) => lists(&mut out, shape, x, |out, &x| {
            match whole(x) {
                Some(digit) => small(out, digit),
                None => general(out, &x),
            };
        }),
    }
    String::from_utf8(out).expect("JSON is text")
}

/// Writes nested lists of the given shape, with `write` for each item.
fn lists<T>(out: &mut Vec<u8>, shape: &[usize], items: &[T], write: fn(&mut Vec<u8>, &T)) {
    let Some((&len, inner)) = shape.split_first() else {
        return write(out, &items[0]);
    };
    let stride: usize = inner.iter().product();
    out.push(b'[');
    for i in 0..len {
        if i > 0 {
            out.push(b',');
        }
        match inner {
            [] => write(out, &items[i]),
            _ => lists(out, inner, &items[i * stride..(i + 1) * stride], write),
        }
    }
    out.push(b']');
}

/// Returns the number as an integer from -9 to 9, if it is one exactly. −0 is not.
fn whole(number: f64) -> Option<i8> {
    let digit = number as i8;
    let is_digit = (-9..=9).contains(&digit) && f64::from(digit).to_bits() == number.to_bits();
    is_digit.then_some(digit)
}

/// Writes an integer from -9 to 9 as serde_json writes the float: `3.0`.
fn small(out: &mut Vec<u8>, digit: i8) {
    if digit < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(&[b'0' + digit.unsigned_abs(), b'.', b'0']);
}

fn integer(out: &mut Vec<u8>, number: i64) {
    match number {
        0..=9 => out.push(b'0' + number as u8),
        _ => write!(out, "{number}").expect("into memory"),
    }
}

fn general(out: &mut Vec<u8>, number: &impl Serialize) {
    serde_json::to_writer(out, number).expect("a number into memory");
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn json(array: &Array) -> String {
        serde_json::to_string(array).unwrap()
    }

    #[test]
    fn text_is_written_unchanged() {
        let array = Array::from_f32(vec![2, 2], vec![0.0, -1.0, 0.1, 1e30]).unwrap();
        assert_eq!(json(&array), "[[0.0,-1.0],[0.1,1e+30]]");
        assert_eq!(
            serde_json::to_value(&array).unwrap(),
            serde_json::json!([[0.0, -1.0], [0.1, 1e30]])
        );
        assert_eq!(json(&Array::scalar(-12)), "-12");
        assert_eq!(json(&Array::mask(vec![true, false])), "[true,false]");
        assert_eq!(json(&Array::vector(vec![-0.0, f64::NAN])), "[-0.0,null]");
        let empty = Array::from_i64(vec![2, 0], vec![]).unwrap();
        assert_eq!(json(&empty), "[[],[]]");
    }

    proptest! {
        #[test]
        fn every_float_is_written_as_serde_json_does(
            wide: Vec<f64>, narrow: Vec<f32>, digits in prop::collection::vec(-20i32..20, 0..20)
        ) {
            let digits: Vec<f64> = digits.into_iter().map(f64::from).collect();
            for numbers in [wide, digits] {
                let expected = serde_json::to_string(&numbers).unwrap();
                prop_assert_eq!(json(&Array::vector(numbers)), expected);
            }
            let expected = serde_json::to_string(&narrow).unwrap();
            let array = Array::from_f32(vec![narrow.len()], narrow).unwrap();
            prop_assert_eq!(json(&array), expected);
        }

        #[test]
        fn every_integer_is_written_as_serde_json_does(numbers: Vec<i64>) {
            let expected = serde_json::to_string(&numbers).unwrap();
            let array = Array::from_i64(vec![numbers.len()], numbers).unwrap();
            prop_assert_eq!(json(&array), expected);
        }
    }
}
