//! From the values of a body to the numbers that an agent takes, with the place of whatever does not fit.

use std::fmt::Write;

use env_protocol::{Array, Data, Dtype, ErrorCode, Problem, Space, Value};

use crate::spaces::encoder;

/// The flat observations of a batch, `[lanes, flat_size]`.
///
/// # Errors
/// `invalid-observation`, when they are not `lanes` elements of the space. A `Box` is asked as the float32 that the agent
/// takes: what is beyond its bounds, or becomes an infinity, is no observation of its.
pub fn rows(space: &Space, batch: Value, lanes: usize) -> Result<Vec<f32>, Problem> {
    const POINTER: &str = "/observations";
    let rows = fitting(space, batch, lanes, POINTER).and_then(|batch| {
        encoder::flatten(space, batch, lanes).map_err(|detail| refused(detail, POINTER))
    });
    rows.map_err(|misfit| misfit.problem(ErrorCode::InvalidObservation))
}

/// What does not fit, and its place.
pub(super) struct Misfit {
    detail: String,
    pointer: String,
}

impl Misfit {
    /// The answer to a request that has it.
    pub(super) fn problem(self, code: ErrorCode) -> Problem {
        Problem::new(code, self.detail).at(self.pointer)
    }
}

pub(super) fn refused(detail: String, pointer: &str) -> Misfit {
    Misfit {
        detail,
        pointer: pointer.into(),
    }
}

/// Returns a batch of `lanes` elements of a space, if it is one. `pointer` is its place.
pub(super) fn fitting(
    space: &Space,
    batch: Value,
    lanes: usize,
    pointer: &str,
) -> Result<Value, Misfit> {
    let batch = as_space_has_it(space, batch);
    check(space, &batch, lanes, pointer)?;
    Ok(batch)
}

/// A `Tuple` of equal parts comes from JSON as one array, which the space tells from the array of a `Box`.
fn as_space_has_it(space: &Space, value: Value) -> Value {
    match (space, value) {
        (Space::Tuple { spaces }, Value::Array(array)) => match split(&array, spaces.len()) {
            Some(parts) => as_space_has_it(space, Value::Tuple(parts)),
            None => Value::Array(array),
        },
        (Space::Tuple { spaces }, Value::Tuple(parts)) if parts.len() == spaces.len() => {
            let pairs = spaces.iter().zip(parts);
            Value::Tuple(pairs.map(|(s, part)| as_space_has_it(s, part)).collect())
        }
        (Space::Dict { spaces }, Value::Dict(parts)) => {
            let of = |name: &String| spaces.get(name);
            let pairs = parts.into_iter().map(|(name, part)| {
                let part = match of(&name) {
                    Some(space) => as_space_has_it(space, part),
                    None => part,
                };
                (name, part)
            });
            Value::Dict(pairs.collect())
        }
        (_, value) => value,
    }
}

/// An array as the arrays along its first dimension, if that has `count` places.
fn split(array: &Array, count: usize) -> Option<Vec<Value>> {
    let (&first, rest) = array.shape().split_first()?;
    if first != count || count == 0 {
        return None;
    }
    let part = |i: usize| -> Option<Value> {
        let size = array.data().len() / count;
        let range = i * size..(i + 1) * size;
        let data = match array.data() {
            Data::Bool(x) => Data::Bool(x[range].to_vec()),
            Data::Uint8(x) => Data::Uint8(x[range].to_vec()),
            Data::Int64(x) => Data::Int64(x[range].to_vec()),
            Data::Float32(x) => Data::Float32(x[range].to_vec()),
            Data::Float64(x) => Data::Float64(x[range].to_vec()),
        };
        Array::new(rest.to_vec(), data).ok().map(Value::Array)
    };
    (0..count).map(part).collect()
}

fn check(space: &Space, value: &Value, lanes: usize, pointer: &str) -> Result<(), Misfit> {
    match (space, value) {
        (Space::Tuple { spaces }, Value::Tuple(parts)) if parts.len() == spaces.len() => {
            let mut pairs = spaces.iter().zip(parts).enumerate();
            pairs.try_for_each(|(i, (space, part))| {
                check(space, part, lanes, &format!("{pointer}/{i}"))
            })
        }
        (Space::Dict { spaces }, Value::Dict(parts)) => {
            if let Some(unknown) = parts.keys().find(|name| !spaces.contains_key(*name)) {
                let known: Vec<_> = spaces.keys().map(String::as_str).collect();
                let detail = format!("{unknown:?} is unknown; there are {}", known.join(", "));
                return Err(refused(detail, pointer));
            }
            spaces
                .iter()
                .try_for_each(|(name, space)| match parts.get(name) {
                    Some(part) => check(space, part, lanes, &format!("{pointer}/{}", escape(name))),
                    None => Err(refused(format!("{name:?} is missing"), pointer)),
                })
        }
        (Space::Tuple { spaces }, _) => {
            let detail = format!("a list of {} batches is needed", spaces.len());
            Err(refused(detail, pointer))
        }
        (Space::Dict { .. }, _) => Err(refused("a map of batches is needed".into(), pointer)),
        (leaf, Value::Array(array)) => check_array(leaf, array, lanes, pointer),
        (_, other) => {
            let detail = match other {
                Value::Tuple(_) => "an array is needed, all of its rows of one length",
                _ => "an array is needed",
            };
            Err(refused(detail.into(), pointer))
        }
    }
}

fn check_array(space: &Space, array: &Array, lanes: usize, pointer: &str) -> Result<(), Misfit> {
    let needed = [&[lanes], &space.shape().unwrap_or_default()[..]].concat();
    if array.shape() != needed {
        let found = array.shape();
        let detail = format!("the shape is {found:?}, but {needed:?} is needed");
        return Err(refused(detail, pointer));
    }
    let width = space.flat_size().max(1);
    if array.dtype() == Dtype::Bool && !matches!(space, Space::MultiBinary { .. }) {
        let detail = "numbers are needed, not truth values";
        return Err(refused(detail.into(), pointer));
    }
    let is_element = |i: usize, x: f64| match space {
        Space::Discrete { n, start } => is_within(x, *start, *n),
        Space::MultiDiscrete { nvec } => is_within(x, 0, nvec[i]),
        Space::MultiBinary { .. } => is_within(x, 0, 2),
        Space::Box {
            dtype, low, high, ..
        } => {
            let is_whole = x.fract() == 0.0 || matches!(dtype, Dtype::Float32 | Dtype::Float64);
            let x = x as f32;
            x.is_finite() && is_whole && low.at(i) as f32 <= x && x <= high.at(i) as f32
        }
        Space::Tuple { .. } | Space::Dict { .. } => false,
    };
    let numbers = array.to_f64s();
    let mut numbered = numbers.iter().enumerate();
    match numbered.find(|&(i, &x)| !is_element(i % width, x)) {
        None => Ok(()),
        Some((i, x)) => {
            let detail = format!("{x} is not in {}", described(space, i % width));
            Err(refused(detail, &format!("{pointer}{}", place(array, i))))
        }
    }
}

/// The place of an element, counted in C order, as tokens of a JSON pointer.
fn place(array: &Array, element: usize) -> String {
    let mut rest = element;
    let mut size = array.data().len();
    let mut tokens = String::new();
    for dimension in array.shape() {
        size /= dimension;
        let _ = write!(tokens, "/{}", rest / size);
        rest %= size;
    }
    tokens
}

/// Whether a number is one of `start..start + n`.
fn is_within(x: f64, start: i64, n: i64) -> bool {
    x.fract() == 0.0 && x >= start as f64 && x < start as f64 + n as f64
}

fn described(space: &Space, position: usize) -> String {
    match space {
        Space::Discrete { n, start } => format!("{start}..{}", start + n),
        Space::MultiDiscrete { nvec } => format!("0..{}", nvec[position]),
        Space::MultiBinary { .. } => "0..2".into(),
        Space::Box { low, high, .. } => {
            format!("{} to {}", low.at(position), high.at(position))
        }
        _ => "the space".into(),
    }
}

/// A name as a token of a JSON pointer (RFC 6901).
fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use super::*;
    use env_protocol::Encoding;

    fn read(space: &str, batch: &str, lanes: usize) -> Result<Vec<f32>, (String, String)> {
        let space = serde_json::from_str(space).unwrap();
        let batch = Encoding::Json.decode(batch.as_bytes()).unwrap();
        rows(&space, batch, lanes).map_err(|problem| {
            assert_eq!(problem.code, ErrorCode::InvalidObservation);
            (problem.errors[0].pointer.clone(), problem.detail)
        })
    }

    const BOX: &str = r#"{"type":"Box","shape":[2],"dtype":"float32","low":0.0,"high":1.0}"#;
    const CHOICE: &str = r#"{"type":"Discrete","n":3,"start":-1}"#;

    #[test]
    fn batches_become_rows() {
        assert_eq!(
            read(BOX, "[[0, 0.5], [1, 1]]", 2),
            Ok(vec![0.0, 0.5, 1.0, 1.0])
        );
        assert_eq!(read(CHOICE, "[-1, 1]", 2), Ok(vec![-1.0, 1.0]));
        let dict = format!(r#"{{"type":"Dict","spaces":{{"a":{CHOICE},"b":{BOX}}}}}"#);
        assert_eq!(
            read(&dict, r#"{"b":[[1,0.25]],"a":[0]}"#, 1),
            Ok(vec![0.0, 1.0, 0.25])
        );
    }

    /// Two batches of two choices are one square of numbers in JSON.
    #[test]
    fn a_tuple_of_equal_parts_is_told_from_an_array() {
        let tuple = format!(r#"{{"type":"Tuple","spaces":[{CHOICE},{CHOICE}]}}"#);
        assert_eq!(
            read(&tuple, "[[0, 1], [-1, 0]]", 2),
            Ok(vec![0.0, -1.0, 1.0, 0.0])
        );
        let nested = format!(r#"{{"type":"Tuple","spaces":[{tuple},{tuple}]}}"#);
        assert_eq!(
            read(&nested, "[[[0], [1]], [[-1], [0]]]", 1),
            Ok(vec![0.0, 1.0, -1.0, 0.0])
        );
    }

    #[test]
    fn what_does_not_fit_is_pointed_at() {
        let many = r#"{"type":"MultiDiscrete","nvec":[2,3]}"#;
        let wide =
            r#"{"type":"Box","shape":[2,2],"dtype":"float32","low":"-Infinity","high":"Infinity"}"#;
        let pixels = r#"{"type":"Box","shape":[1],"dtype":"uint8","low":0,"high":255}"#;
        assert_refused(&[
            (BOX, "[[0, 1]]", "/observations", "[1, 2], but [2, 2]"),
            (BOX, "[0, 1, 2, 3]", "/observations", "[4], but [2, 2]"),
            (BOX, "[[0, 1], [1]]", "/observations", "of one length"),
            (BOX, "{}", "/observations", "an array is needed"),
            (
                BOX,
                "[[0, 1], [1, 1.5]]",
                "/observations/1/1",
                "1.5 is not in 0 to 1",
            ),
            (
                BOX,
                "[[0, -1e-3], [1, 1]]",
                "/observations/0/1",
                "-0.001 is not in 0 to 1",
            ),
            (
                BOX,
                "[[true, false], [true, true]]",
                "/observations",
                "not truth values",
            ),
            (
                wide,
                "[[[0, 0], [0, 1e39]], [[0, 0], [0, 0]]]",
                "/observations/0/1/1",
                "is not in -inf to inf",
            ),
            (
                pixels,
                "[[0.5], [0]]",
                "/observations/0/0",
                "0.5 is not in 0 to 255",
            ),
            (CHOICE, "[0, 2]", "/observations/1", "2 is not in -1..2"),
            (CHOICE, "[0.5, 0]", "/observations/0", "0.5 is not in"),
            (
                many,
                "[[1, 2], [1, 3]]",
                "/observations/1/1",
                "3 is not in 0..3",
            ),
        ]);
        let space = serde_json::from_str(BOX).unwrap();
        let nan = Array::from_f32(vec![1, 2], vec![0.0, f32::NAN]).unwrap();
        let problem = rows(&space, nan.into(), 1).unwrap_err();
        assert_eq!(problem.errors[0].pointer, "/observations/0/1");
        // The bounds of the space are float32, and so is what is between them.
        let tenth =
            r#"{"type":"Box","shape":[1],"dtype":"float32","low":0.0,"high":0.10000000149011612}"#;
        assert!(read(tenth, "[[0.1], [0.100000001]]", 2).is_ok());
    }

    #[test]
    fn what_does_not_fit_into_a_part_is_pointed_at() {
        let tuple = format!(r#"{{"type":"Tuple","spaces":[{CHOICE},{BOX}]}}"#);
        let dict = format!(r#"{{"type":"Dict","spaces":{{"a/b":{CHOICE}}}}}"#);
        assert_refused(&[
            (&tuple, "[[0, 0]]", "/observations", "a list of 2 batches"),
            (
                &tuple,
                "[[0, 9], [[0, 0], [0, 0]]]",
                "/observations/0/1",
                "9 is not",
            ),
            (&dict, "[1]", "/observations", "a map"),
            (
                &dict,
                r#"{"a/b":[0,7]}"#,
                "/observations/a~1b/1",
                "7 is not",
            ),
            (
                &dict,
                r#"{"c":[0,0]}"#,
                "/observations",
                "\"c\" is unknown; there are a/b",
            ),
            (&dict, "{}", "/observations", "\"a/b\" is missing"),
        ]);
    }

    /// Checks that batches of two lanes are refused: the space, the batch, the pointer to its error, and a part of the
    /// error's text.
    fn assert_refused(cases: &[(&str, &str, &str, &str)]) {
        for &(space, batch, pointer, said) in cases {
            let (found, detail) = read(space, batch, 2).unwrap_err();
            assert_eq!(found, pointer, "{batch}: {detail}");
            assert!(detail.contains(said), "{batch}: {detail}");
        }
    }
}
