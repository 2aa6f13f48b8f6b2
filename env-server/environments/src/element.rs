//! Types of the numbers in observations and actions.

use env_protocol::{Data, Dtype};

/// A type of numbers that observations or actions are made of.
pub trait Element: Copy + Default + PartialEq + Send + 'static {
    /// Their type on the wire.
    const DTYPE: Dtype;

    /// Wraps numbers for the wire.
    fn into_data(numbers: Vec<Self>) -> Data;

    /// As f64, exactly.
    fn to_f64(self) -> f64;

    /// From f64, if it is exactly one of this type.
    fn from_f64(number: f64) -> Option<Self>;

    /// From f64, to one of this type: the same number wherever there is one.
    fn nearest(number: f64) -> Self;
}

impl Element for f32 {
    const DTYPE: Dtype = Dtype::Float32;

    fn into_data(numbers: Vec<Self>) -> Data {
        Data::Float32(numbers)
    }

    fn to_f64(self) -> f64 {
        f64::from(self)
    }

    fn from_f64(number: f64) -> Option<Self> {
        let narrow = number as f32;
        (f64::from(narrow) == number).then_some(narrow)
    }

    #[inline]
    fn nearest(number: f64) -> Self {
        number as f32
    }
}

impl Element for f64 {
    const DTYPE: Dtype = Dtype::Float64;

    fn into_data(numbers: Vec<Self>) -> Data {
        Data::Float64(numbers)
    }

    fn to_f64(self) -> f64 {
        self
    }

    fn from_f64(number: f64) -> Option<Self> {
        number.is_finite().then_some(number)
    }

    #[inline]
    fn nearest(number: f64) -> Self {
        number
    }
}

impl Element for i64 {
    const DTYPE: Dtype = Dtype::Int64;

    fn into_data(numbers: Vec<Self>) -> Data {
        Data::Int64(numbers)
    }

    fn to_f64(self) -> f64 {
        self as f64
    }

    fn from_f64(number: f64) -> Option<Self> {
        let narrow = number as i64;
        (narrow as f64 == number).then_some(narrow)
    }

    /// Up to 2⁵¹ in size: adding 1.5 · 2⁵² puts an integer into the last bits, for several numbers at
    /// once, which `as` does not.
    #[inline]
    fn nearest(number: f64) -> Self {
        const SHIFT: f64 = 6_755_399_441_055_744.0;
        let bits = (number + SHIFT).to_bits();
        bits.wrapping_sub(SHIFT.to_bits()) as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_the_same_in_f64() {
        let most = 1i64 << 51;
        for integer in [0, 1, -1, 77, 1 - most, most - 1] {
            assert_eq!(i64::nearest(integer as f64), integer);
            assert_eq!(i64::from_f64(integer as f64), Some(integer));
        }
        assert_eq!(i64::nearest(-0.0), 0);
        assert_eq!(f32::nearest(0.1), 0.1f32);
    }
}
