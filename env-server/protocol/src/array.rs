//! Typed n-dimensional arrays.
//!
//! `array_serde` holds their form on the wire.

use std::borrow::Cow;
use std::fmt;

use bytemuck::NoUninit;
use serde::{Deserialize, Serialize};

/// Largest number of dimensions of an array. Deeper nesting in a body is refused.
pub const MAX_DIMS: usize = 8;

/// Element types on the wire, under their NumPy names.
///
/// The server sends bool, uint8, int64, float32 and float64. The other integer types are accepted
/// and widened to int64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names are NumPy's and need no explanation")]
pub enum Dtype {
    Bool,
    Uint8,
    Int8,
    Int16,
    Uint16,
    Int32,
    Uint32,
    Int64,
    Uint64,
    Float32,
    Float64,
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format!("{self:?}").to_lowercase())
    }
}

impl Dtype {
    /// Size of one element in bytes.
    pub const fn size_bytes(self) -> usize {
        match self {
            Dtype::Bool | Dtype::Uint8 | Dtype::Int8 => 1,
            Dtype::Int16 | Dtype::Uint16 => 2,
            Dtype::Int32 | Dtype::Uint32 | Dtype::Float32 => 4,
            Dtype::Int64 | Dtype::Uint64 | Dtype::Float64 => 8,
        }
    }
}

/// The elements of an [`Array`], flat in C order.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "one variant for each dtype")]
pub enum Data {
    Bool(Vec<bool>),
    Uint8(Vec<u8>),
    Int64(Vec<i64>),
    Float32(Vec<f32>),
    Float64(Vec<f64>),
}

impl Data {
    /// Number of elements.
    pub fn len(&self) -> usize {
        match self {
            Data::Bool(x) => x.len(),
            Data::Uint8(x) => x.len(),
            Data::Int64(x) => x.len(),
            Data::Float32(x) => x.len(),
            Data::Float64(x) => x.len(),
        }
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Element type.
    pub fn dtype(&self) -> Dtype {
        match self {
            Data::Bool(_) => Dtype::Bool,
            Data::Uint8(_) => Dtype::Uint8,
            Data::Int64(_) => Dtype::Int64,
            Data::Float32(_) => Dtype::Float32,
            Data::Float64(_) => Dtype::Float64,
        }
    }

    /// The elements as little-endian bytes.
    pub(crate) fn to_bytes(&self) -> Cow<'_, [u8]> {
        match self {
            Data::Bool(x) => Cow::Borrowed(bytemuck::cast_slice(x)),
            Data::Uint8(x) => Cow::Borrowed(x),
            Data::Int64(x) => pack(x, i64::to_le_bytes),
            Data::Float32(x) => pack(x, f32::to_le_bytes),
            Data::Float64(x) => pack(x, f64::to_le_bytes),
        }
    }

    /// Reads little-endian bytes. `bytes.len()` must be a multiple of the element size.
    pub(crate) fn from_bytes(dtype: Dtype, bytes: &[u8]) -> Result<Self, ArrayError> {
        Ok(match dtype {
            Dtype::Bool => match bytes.iter().find(|&&b| b > 1) {
                Some(&b) => return Err(ArrayError::NotBool(b)),
                None => Data::Bool(bytes.iter().map(|&b| b == 1).collect()),
            },
            Dtype::Uint8 => Data::Uint8(bytes.to_vec()),
            Dtype::Int8 => Data::Int64(unpack(bytes, |b| i64::from(i8::from_le_bytes(b)))),
            Dtype::Int16 => Data::Int64(unpack(bytes, |b| i64::from(i16::from_le_bytes(b)))),
            Dtype::Uint16 => Data::Int64(unpack(bytes, |b| i64::from(u16::from_le_bytes(b)))),
            Dtype::Int32 => Data::Int64(unpack(bytes, |b| i64::from(i32::from_le_bytes(b)))),
            Dtype::Uint32 => Data::Int64(unpack(bytes, |b| i64::from(u32::from_le_bytes(b)))),
            Dtype::Int64 => Data::Int64(unpack(bytes, i64::from_le_bytes)),
            Dtype::Uint64 => {
                let wide = unpack(bytes, u64::from_le_bytes);
                let narrow: Result<Vec<i64>, _> = wide.iter().map(|&x| x.try_into()).collect();
                Data::Int64(narrow.map_err(|_| ArrayError::TooLarge)?)
            }
            Dtype::Float32 => Data::Float32(unpack(bytes, f32::from_le_bytes)),
            Dtype::Float64 => Data::Float64(unpack(bytes, f64::from_le_bytes)),
        })
    }
}

/// Returns the items as little-endian bytes, borrowed where the machine is little-endian.
fn pack<T: NoUninit, const N: usize>(
    items: &[T],
    to_le_bytes: impl Fn(T) -> [u8; N],
) -> Cow<'_, [u8]> {
    if cfg!(target_endian = "little") {
        return Cow::Borrowed(bytemuck::cast_slice(items));
    }
    Cow::Owned(items.iter().flat_map(|&item| to_le_bytes(item)).collect())
}

fn unpack<T, const N: usize>(bytes: &[u8], from_le_bytes: impl Fn([u8; N]) -> T) -> Vec<T> {
    let (chunks, _) = bytes.as_chunks::<N>();
    chunks.iter().map(|chunk| from_le_bytes(*chunk)).collect()
}

/// The reason why elements and shape do not form an array.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArrayError {
    /// The shape does not multiply to the number of elements, or overflows.
    #[error("shape {shape:?} does not match the {len} elements given")]
    Shape {
        /// The shape as given.
        shape: Vec<usize>,
        /// Number of elements given.
        len: usize,
    },
    /// More than [`MAX_DIMS`] dimensions.
    #[error("{0} dimensions, at most {MAX_DIMS} are allowed")]
    TooManyDims(usize),
    /// The bytes are not a whole number of elements.
    #[error("{len} bytes are not a whole number of {dtype} elements")]
    Bytes {
        /// Declared element type.
        dtype: Dtype,
        /// Number of bytes given.
        len: usize,
    },
    /// A byte of a bool array is neither 0 nor 1.
    #[error("bool arrays hold bytes 0 and 1, not {0}")]
    NotBool(u8),
    /// A uint64 element does not fit int64.
    #[error("an element is greater than the largest int64")]
    TooLarge,
}

/// An n-dimensional array: a shape, and as many elements as the product of its sizes.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    shape: Vec<usize>,
    data: Data,
}

impl Array {
    /// Creates an array from its shape and its elements (flat, C order).
    ///
    /// # Errors
    /// When shape and elements do not match, or there are more than [`MAX_DIMS`] dimensions.
    pub fn new(shape: Vec<usize>, data: Data) -> Result<Self, ArrayError> {
        if shape.len() > MAX_DIMS {
            return Err(ArrayError::TooManyDims(shape.len()));
        }
        let size = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
        if size != Some(data.len()) {
            let len = data.len();
            return Err(ArrayError::Shape { shape, len });
        }
        Ok(Array { shape, data })
    }

    /// An int64 array.
    ///
    /// # Errors
    /// As [`Array::new`].
    pub fn from_i64(shape: Vec<usize>, data: Vec<i64>) -> Result<Self, ArrayError> {
        Array::new(shape, Data::Int64(data))
    }

    /// A float32 array.
    ///
    /// # Errors
    /// As [`Array::new`].
    pub fn from_f32(shape: Vec<usize>, data: Vec<f32>) -> Result<Self, ArrayError> {
        Array::new(shape, Data::Float32(data))
    }

    /// A one-dimensional bool array, such as a mask over lanes.
    pub fn mask(flags: Vec<bool>) -> Self {
        Array {
            shape: vec![flags.len()],
            data: Data::Bool(flags),
        }
    }

    /// A one-dimensional float64 array, such as the rewards of a batch.
    pub fn vector(numbers: Vec<f64>) -> Self {
        Array {
            shape: vec![numbers.len()],
            data: Data::Float64(numbers),
        }
    }

    /// One integer: an array without dimensions, a plain number on the wire.
    pub fn scalar(number: i64) -> Self {
        Array {
            shape: Vec::new(),
            data: Data::Int64(vec![number]),
        }
    }

    /// Sizes of the dimensions.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The elements, flat in C order.
    pub fn data(&self) -> &Data {
        &self.data
    }

    /// Returns the elements, without a copy.
    pub fn into_data(self) -> Data {
        self.data
    }

    /// Element type.
    pub fn dtype(&self) -> Dtype {
        self.data.dtype()
    }

    /// The elements as f64. Exact except for int64 beyond 2^53.
    pub fn to_f64s(&self) -> Vec<f64> {
        match &self.data {
            Data::Bool(x) => x.iter().map(|&b| f64::from(u8::from(b))).collect(),
            Data::Uint8(x) => x.iter().map(|&n| f64::from(n)).collect(),
            Data::Int64(x) => x.iter().map(|&n| n as f64).collect(),
            Data::Float32(x) => x.iter().map(|&n| f64::from(n)).collect(),
            Data::Float64(x) => x.clone(),
        }
    }

    /// The elements as f32, without a copy when they are float32 already.
    pub fn into_f32s(self) -> Vec<f32> {
        match self.data {
            Data::Float32(x) => x,
            _ => self.to_f64s().into_iter().map(|x| x as f32).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Encoding;

    #[test]
    fn messagepack_form_is_dtype_shape_and_little_endian_bytes() {
        let array = Array::from_f32(vec![1, 2], vec![1.0, -0.5]).unwrap();
        let mut expected = vec![0x83];
        for (key, value) in [
            ("dtype", &b"\xa7float32"[..]),
            ("shape", b"\x92\x01\x02"),
            ("data", b"\xc4\x08\x00\x00\x80\x3f\x00\x00\x00\xbf"),
        ] {
            expected.push(0xa0 | key.len() as u8);
            expected.extend_from_slice(key.as_bytes());
            expected.extend_from_slice(value);
        }
        let bytes = Encoding::MessagePack.encode(&array);
        assert_eq!(bytes, expected);
        assert_eq!(
            Encoding::MessagePack.decode::<Array>(&bytes).unwrap(),
            array
        );
    }

    #[test]
    fn json_form_is_nested_lists() {
        let array = Array::from_f32(vec![2, 3], vec![0.0, 1.0, 0.1, 2.0, 3.0, 4.0]).unwrap();
        let json = String::from_utf8(Encoding::Json.encode(&array)).unwrap();
        assert_eq!(json, "[[0.0,1.0,0.1],[2.0,3.0,4.0]]");
    }

    #[test]
    fn any_integer_type_widens_to_int64() {
        for (dtype, bytes) in [
            (Dtype::Int8, vec![0xff]),
            (Dtype::Int16, vec![0xff; 2]),
            (Dtype::Int32, vec![0xff; 4]),
            (Dtype::Int64, vec![0xff; 8]),
        ] {
            assert_eq!(
                Data::from_bytes(dtype, &bytes).unwrap(),
                Data::Int64(vec![-1])
            );
        }
        assert_eq!(
            Data::from_bytes(Dtype::Uint16, &[0xff, 0xff]).unwrap(),
            Data::Int64(vec![65535])
        );
        assert_eq!(
            Data::from_bytes(Dtype::Uint32, &[0xff; 4]).unwrap(),
            Data::Int64(vec![4_294_967_295])
        );
        assert_eq!(
            Data::from_bytes(Dtype::Uint64, &[0xff; 8]),
            Err(ArrayError::TooLarge)
        );
    }

    #[test]
    fn shape_and_elements_must_fit() {
        let shape = vec![usize::MAX, 2];
        let overflow = Array::from_i64(shape.clone(), vec![0, 0]);
        assert_eq!(overflow, Err(ArrayError::Shape { shape, len: 2 }));
        assert_eq!(
            Array::from_i64(vec![1; 9], vec![0]),
            Err(ArrayError::TooManyDims(9))
        );
        assert!(Array::from_i64(vec![3], vec![1, 2]).is_err());
        assert!(Array::from_i64(vec![], vec![1]).is_ok());
    }

    #[test]
    fn bool_bytes_other_than_zero_and_one_are_refused() {
        assert_eq!(
            Data::from_bytes(Dtype::Bool, &[0, 1, 2]),
            Err(ArrayError::NotBool(2))
        );
    }
}
