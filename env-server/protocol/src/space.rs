//! Spaces: the sets of observations and of actions, in Gymnasium's terms.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::array::{Array, Data, Dtype};
use crate::value::Value;

/// A set of values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "type", deny_unknown_fields)]
pub enum Space {
    /// The integers `start .. start + n`.
    Discrete {
        /// Number of values.
        n: i64,
        /// The least value.
        #[serde(default)]
        start: i64,
    },
    /// Arrays of one shape whose elements lie between two bounds, both inclusive.
    Box {
        /// Sizes of the dimensions.
        shape: Vec<usize>,
        /// Element type.
        dtype: Dtype,
        /// Least elements.
        low: Bound,
        /// Greatest elements.
        high: Bound,
    },
    /// Vectors of integers, the i-th in `0 .. nvec[i]`.
    MultiDiscrete {
        /// Number of values at each position.
        nvec: Vec<i64>,
    },
    /// Vectors of `n` bits.
    MultiBinary {
        /// Number of bits.
        n: usize,
    },
    /// One value of each space, in order.
    Tuple {
        /// The spaces.
        #[cfg_attr(feature = "openapi", schema(no_recursion))]
        spaces: Vec<Space>,
    },
    /// One value of each space, by name.
    Dict {
        /// The spaces.
        #[cfg_attr(feature = "openapi", schema(no_recursion))]
        spaces: BTreeMap<String, Space>,
    },
}

impl Space {
    /// The shape of an element that is one array; `None` for `Tuple` and `Dict`.
    pub fn shape(&self) -> Option<Vec<usize>> {
        match self {
            Space::Discrete { .. } => Some(Vec::new()),
            Space::Box { shape, .. } => Some(shape.clone()),
            Space::MultiDiscrete { nvec } => Some(vec![nvec.len()]),
            Space::MultiBinary { n } => Some(vec![*n]),
            Space::Tuple { .. } | Space::Dict { .. } => None,
        }
    }

    /// The element type of an element that is one array; `None` for `Tuple` and `Dict`.
    pub fn dtype(&self) -> Option<Dtype> {
        match self {
            Space::Box { dtype, .. } => Some(*dtype),
            Space::Discrete { .. } | Space::MultiDiscrete { .. } | Space::MultiBinary { .. } => {
                Some(Dtype::Int64)
            }
            Space::Tuple { .. } | Space::Dict { .. } => None,
        }
    }

    /// Count of numbers in an element.
    pub fn flat_size(&self) -> usize {
        match self {
            Space::Discrete { .. } => 1,
            Space::Box { shape, .. } => shape.iter().product(),
            Space::MultiDiscrete { nvec } => nvec.len(),
            Space::MultiBinary { n } => *n,
            Space::Tuple { spaces } => spaces.iter().map(Space::flat_size).sum(),
            Space::Dict { spaces } => spaces.values().map(Space::flat_size).sum(),
        }
    }

    /// Whether the value is an element of the space.
    ///
    /// A float box accepts floats of either width and an integer box integers of any width, because
    /// JSON does not distinguish widths. NaN is in no space.
    pub fn contains(&self, value: &Value) -> bool {
        match (self, value) {
            (Space::Tuple { spaces }, Value::Tuple(values)) => {
                spaces.len() == values.len()
                    && spaces.iter().zip(values).all(|(s, v)| s.contains(v))
            }
            (Space::Dict { spaces }, Value::Dict(values)) => {
                spaces.len() == values.len()
                    && spaces
                        .iter()
                        .all(|(name, s)| values.get(name).is_some_and(|v| s.contains(v)))
            }
            (_, Value::Array(array)) => {
                self.shape().as_deref() == Some(array.shape()) && self.contains_elements(array)
            }
            _ => false,
        }
    }

    /// Whether the elements of an array of the right shape are in range.
    fn contains_elements(&self, array: &Array) -> bool {
        let is_float = matches!(array.data(), Data::Float32(_) | Data::Float64(_));
        let elements = array.to_f64s();
        match self {
            Space::Box {
                dtype, low, high, ..
            } => {
                let wants_float = matches!(dtype, Dtype::Float32 | Dtype::Float64);
                is_float == wants_float
                    && elements
                        .iter()
                        .enumerate()
                        .all(|(i, &x)| low.at(i) <= x && x <= high.at(i))
            }
            Space::Discrete { n, start } => {
                let (n, start) = (*n as f64, *start as f64);
                !is_float && elements.iter().all(|&x| start <= x && x < start + n)
            }
            Space::MultiDiscrete { nvec } => {
                let in_range = |(&x, &n): (&f64, &i64)| 0.0 <= x && x < n as f64;
                !is_float && elements.iter().zip(nvec).all(in_range)
            }
            Space::MultiBinary { .. } => {
                !is_float && elements.iter().all(|&x| x == 0.0 || x == 1.0)
            }
            Space::Tuple { .. } | Space::Dict { .. } => false,
        }
    }
}

/// One side of a `Box`: one number for all elements, or a list with one number for each (flat, C
/// order).
///
/// JSON has no infinities, so both encodings write them as the strings `"Infinity"` and
/// `"-Infinity"`.
#[derive(Clone, Debug, PartialEq)]
pub enum Bound {
    /// The same for all elements.
    All(f64),
    /// One bound for each element.
    Each(Vec<f64>),
}

impl Bound {
    /// The bound of the element with this flat index; NaN if the list is too short.
    pub fn at(&self, index: usize) -> f64 {
        match self {
            Bound::All(bound) => *bound,
            Bound::Each(bounds) => bounds.get(index).copied().unwrap_or(f64::NAN),
        }
    }
}

/// A number that may be infinite, on the wire.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Extended {
    Finite(f64),
    Infinite(Infinite),
}

#[derive(Serialize, Deserialize)]
enum Infinite {
    #[serde(rename = "Infinity")]
    Positive,
    #[serde(rename = "-Infinity")]
    Negative,
}

impl From<f64> for Extended {
    fn from(number: f64) -> Self {
        match number {
            f64::INFINITY => Extended::Infinite(Infinite::Positive),
            f64::NEG_INFINITY => Extended::Infinite(Infinite::Negative),
            finite => Extended::Finite(finite),
        }
    }
}

impl From<Extended> for f64 {
    fn from(number: Extended) -> Self {
        match number {
            Extended::Finite(finite) => finite,
            Extended::Infinite(Infinite::Positive) => f64::INFINITY,
            Extended::Infinite(Infinite::Negative) => f64::NEG_INFINITY,
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum WireBound {
    All(Extended),
    Each(Vec<Extended>),
}

impl Serialize for Bound {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let wire = match self {
            Bound::All(bound) => WireBound::All((*bound).into()),
            Bound::Each(bounds) => {
                WireBound::Each(bounds.iter().map(|&bound| bound.into()).collect())
            }
        };
        wire.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Bound {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match WireBound::deserialize(deserializer)? {
            WireBound::All(bound) => Bound::All(bound.into()),
            WireBound::Each(bounds) => Bound::Each(bounds.into_iter().map(Into::into).collect()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Encoding;

    fn unit_box() -> Space {
        Space::Box {
            shape: vec![3],
            dtype: Dtype::Float32,
            low: Bound::All(0.0),
            high: Bound::All(1.0),
        }
    }

    #[test]
    fn json_uses_gymnasiums_names() {
        let json = |space: &Space| serde_json::to_string(space).unwrap();
        assert_eq!(
            json(&Space::Discrete { n: 2, start: 0 }),
            r#"{"type":"Discrete","n":2,"start":0}"#
        );
        assert_eq!(
            json(&unit_box()),
            r#"{"type":"Box","shape":[3],"dtype":"float32","low":0.0,"high":1.0}"#
        );
        let open = Space::Box {
            shape: vec![2],
            dtype: Dtype::Float32,
            low: Bound::Each(vec![f64::NEG_INFINITY, -1.0]),
            high: Bound::All(f64::INFINITY),
        };
        assert_eq!(
            json(&open),
            r#"{"type":"Box","shape":[2],"dtype":"float32","low":["-Infinity",-1.0],"high":"Infinity"}"#
        );
    }

    #[test]
    fn every_space_survives_both_encodings() {
        let parts = vec![
            Space::Discrete { n: 4, start: -1 },
            unit_box(),
            Space::MultiDiscrete { nvec: vec![2, 3] },
            Space::MultiBinary { n: 5 },
        ];
        let space = Space::Dict {
            spaces: BTreeMap::from([("all".to_owned(), Space::Tuple { spaces: parts })]),
        };
        assert_eq!(space.flat_size(), 1 + 3 + 2 + 5);
        for encoding in [Encoding::Json, Encoding::MessagePack] {
            let bytes = encoding.encode(&space);
            assert_eq!(encoding.decode::<Space>(&bytes).unwrap(), space);
        }
    }

    #[test]
    fn contains_checks_shape_kind_and_range() {
        let floats = |x: Vec<f32>| Value::from(Array::from_f32(vec![x.len()], x).unwrap());
        assert!(unit_box().contains(&floats(vec![0.0, 0.5, 1.0])));
        assert!(!unit_box().contains(&floats(vec![0.0, 0.5])));
        assert!(!unit_box().contains(&floats(vec![0.0, 0.5, 1.1])));
        assert!(!unit_box().contains(&floats(vec![0.0, 0.5, f32::NAN])));
        let integers = Value::from(Array::from_i64(vec![3], vec![0, 1, 0]).unwrap());
        assert!(!unit_box().contains(&integers));

        let discrete = Space::Discrete { n: 2, start: 5 };
        let inside: Vec<bool> = (4..8)
            .map(|n| discrete.contains(&Array::scalar(n).into()))
            .collect();
        assert_eq!(inside, [false, true, true, false]);

        let pair = Space::Tuple {
            spaces: vec![Space::MultiDiscrete { nvec: vec![2, 3] }, discrete],
        };
        let position = Value::from(Array::from_i64(vec![2], vec![1, 2]).unwrap());
        let tuple = Value::Tuple(vec![position.clone(), Array::scalar(6).into()]);
        assert!(pair.contains(&tuple));
        assert!(!pair.contains(&Value::Tuple(vec![position])));
    }
}
