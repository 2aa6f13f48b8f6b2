//! Spaces in Minari's JSON: text inside the metadata's text. Bounds are nested lists, and infinities are written as Python
//! does, `Infinity` without quotes.

use env_protocol::{Bound, Dtype, Space};
use serde_json::{Map, Value, json};

/// A space in Minari's words.
pub(super) fn to_text(space: &Space) -> String {
    // JSON has no infinities; here they are texts until the end.
    let mut text = to_json(space).to_string();
    for infinity in ["Infinity", "-Infinity"] {
        text = text.replace(&format!("\"{MARK}{infinity}\""), infinity);
    }
    text
}

/// Before the text of an infinity. A name with it would be a name of control characters.
const MARK: &str = "\\u0000";

fn to_json(space: &Space) -> Value {
    match space {
        Space::Discrete { n, start } => {
            json!({"type": "Discrete", "dtype": "int64", "start": start, "n": n})
        }
        Space::MultiDiscrete { nvec } => json!({
            "type": "MultiDiscrete",
            "dtype": "int64",
            "nvec": nvec,
            "start": vec![0; nvec.len()],
        }),
        Space::MultiBinary { n } => json!({"type": "MultiBinary", "n": n}),
        Space::Box {
            shape,
            dtype,
            low,
            high,
        } => json!({
            "type": "Box",
            "dtype": dtype.to_string(),
            "shape": shape,
            "low": nested(shape, &mut 0, *dtype, low),
            "high": nested(shape, &mut 0, *dtype, high),
        }),
        Space::Tuple { spaces } => {
            json!({"type": "Tuple", "subspaces": spaces.iter().map(to_json).collect::<Vec<_>>()})
        }
        Space::Dict { spaces } => {
            let spaces = spaces
                .iter()
                .map(|(name, space)| (name.clone(), to_json(space)));
            json!({"type": "Dict", "subspaces": spaces.collect::<Map<_, _>>()})
        }
    }
}

/// The bounds of a box as nested lists of its shape, from element `next` on.
fn nested(shape: &[usize], next: &mut usize, dtype: Dtype, bound: &Bound) -> Value {
    if let [size, rest @ ..] = shape {
        let rows = (0..*size).map(|_| nested(rest, next, dtype, bound));
        return Value::Array(rows.collect());
    }
    let number = bound.at(*next);
    *next += 1;
    match number {
        f64::INFINITY => json!("\0Infinity"),
        f64::NEG_INFINITY => json!("\0-Infinity"),
        _ if matches!(dtype, Dtype::Float32 | Dtype::Float64) => json!(number),
        _ if dtype == Dtype::Bool => json!(number != 0.0),
        // Wide unsigned integers do not fit the signed ones.
        _ if number >= 0.0 => json!(number as u64),
        _ => json!(number as i64),
    }
}

/// Reads a space in Minari's words, as far as our spaces can tell it.
///
/// # Errors
/// Says what it is not.
pub(super) fn from_text(text: &str) -> Result<Space, String> {
    let json = serde_json::from_str(&quoted_infinities(text)).map_err(|error| error.to_string())?;
    from_json(&json)
}

/// Puts quotes around numbers that only Python's JSON has: `Infinity`, `-Infinity` and `NaN`.
fn quoted_infinities(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len());
    let (mut rest, mut is_inside) = (text, false);
    while let Some(first) = rest.chars().next() {
        let named = ["-Infinity", "Infinity", "NaN"].into_iter();
        let named = named
            .filter(|_| !is_inside)
            .find(|name| rest.starts_with(name));
        let taken = match (first, named) {
            (_, Some(name)) => {
                quoted.extend(["\"", name, "\""]);
                rest = &rest[name.len()..];
                continue;
            }
            ('\\', _) => rest.chars().take(2).map(char::len_utf8).sum(),
            _ => first.len_utf8(),
        };
        is_inside ^= first == '"';
        quoted.push_str(&rest[..taken]);
        rest = &rest[taken..];
    }
    quoted
}

fn from_json(json: &Value) -> Result<Space, String> {
    let field = |name: &str| {
        json.get(name)
            .ok_or_else(|| format!("a space has no {name}: {}", brief(json)))
    };
    let whole = |name: &str| {
        let number = field(name)?.as_i64();
        number.ok_or_else(|| format!("{name} of a space is no whole number: {}", brief(json)))
    };
    let list = |name: &str| {
        let numbers = field(name)?
            .as_array()
            .map(|list| list.iter().map(Value::as_i64));
        let numbers: Option<Vec<i64>> = numbers.and_then(Iterator::collect);
        numbers.ok_or_else(|| {
            format!(
                "{name} of a space is no list of whole numbers: {}",
                brief(json)
            )
        })
    };
    match field("type")?.as_str().unwrap_or_default() {
        "Discrete" => Ok(Space::Discrete {
            n: whole("n")?,
            start: whole("start")?,
        }),
        "MultiDiscrete" => {
            let nvec = list("nvec")?;
            if json.get("start").is_some() && list("start")?.iter().any(|&start| start != 0) {
                return Err("a MultiDiscrete that does not start at 0 is not supported".into());
            }
            Ok(Space::MultiDiscrete { nvec })
        }
        "MultiBinary" => Ok(Space::MultiBinary {
            n: usize::try_from(whole("n")?).map_err(|error| error.to_string())?,
        }),
        "Box" => a_box(json, list("shape")?),
        "Tuple" => {
            let spaces = field("subspaces")?
                .as_array()
                .ok_or("a Tuple has no list of spaces")?;
            let spaces = spaces.iter().map(from_json).collect::<Result<_, _>>()?;
            Ok(Space::Tuple { spaces })
        }
        "Dict" => {
            let spaces = field("subspaces")?
                .as_object()
                .ok_or("a Dict has no spaces by name")?;
            let named = |(name, space): (&String, _)| Ok((name.clone(), from_json(space)?));
            let spaces = spaces.iter().map(named).collect::<Result<_, String>>()?;
            Ok(Space::Dict { spaces })
        }
        other => Err(format!("a space of the type {other:?} is not supported")),
    }
}

fn a_box(json: &Value, shape: Vec<i64>) -> Result<Space, String> {
    let bound = |name: &str| {
        let mut numbers = Vec::new();
        append_numbers(json.get(name).unwrap_or(&Value::Null), &mut numbers)?;
        Ok::<_, String>(Bound::Each(numbers))
    };
    let sizes = shape.into_iter().map(usize::try_from);
    let dtype = json.get("dtype").cloned().unwrap_or_default();
    let unknown = |_| format!("numbers of the type {dtype} are not supported");
    Ok(Space::Box {
        shape: sizes
            .collect::<Result<_, _>>()
            .map_err(|error| error.to_string())?,
        dtype: serde_json::from_value(dtype.clone()).map_err(unknown)?,
        low: bound("low")?,
        high: bound("high")?,
    })
}

fn append_numbers(bounds: &Value, numbers: &mut Vec<f64>) -> Result<(), String> {
    let number = match bounds {
        Value::Array(rows) => return rows.iter().try_for_each(|row| append_numbers(row, numbers)),
        Value::Bool(bit) => Some(f64::from(u8::from(*bit))),
        Value::String(text) if text == "Infinity" => Some(f64::INFINITY),
        Value::String(text) if text == "-Infinity" => Some(f64::NEG_INFINITY),
        other => other.as_f64(),
    };
    numbers
        .push(number.ok_or_else(|| format!("a bound of a Box is no number: {}", brief(bounds)))?);
    Ok(())
}

/// The beginning of a document, for a message.
fn brief(json: &Value) -> String {
    const LONG: usize = 80;
    let text = json.to_string();
    match text.char_indices().nth(LONG) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// Returns how a dataset's space differs from the environment's, if it does: in the kinds, names, shapes and choices of its
/// parts. Bounds and types of numbers may differ, since an agent sees neither.
pub(super) fn difference(dataset: &Space, environment: &Space) -> Option<String> {
    let is_same = match (dataset, environment) {
        (Space::Box { shape, .. }, Space::Box { shape: other, .. }) => shape == other,
        (Space::Tuple { spaces }, Space::Tuple { spaces: others })
            if spaces.len() == others.len() =>
        {
            let mut parts = spaces.iter().zip(others).enumerate();
            return parts.find_map(|(index, (space, other))| {
                Some(format!("in part {index}: {}", difference(space, other)?))
            });
        }
        (Space::Dict { spaces }, Space::Dict { spaces: others })
            if spaces.keys().eq(others.keys()) =>
        {
            let mut parts = spaces.iter().zip(others.values());
            return parts.find_map(|((name, space), other)| {
                Some(format!("in {name:?}: {}", difference(space, other)?))
            });
        }
        (space, other) => space == other,
    };
    (!is_same).then(|| format!("{} there, {} here", words(dataset), words(environment)))
}

/// Whether the space has a picture in Minari's sense: bytes from 0 to 255, at least 32 by 32. Minari writes these as JPEG, unless
/// `jpeg_encoding` is false.
pub(super) fn has_pictures(space: &Space) -> bool {
    match space {
        Space::Box {
            shape,
            dtype: Dtype::Uint8,
            low,
            high,
        } => {
            let is_large = matches!(shape[..], [rows, columns] | [rows, columns, _] if rows.min(columns) >= 32);
            is_large && (0..space.flat_size()).all(|i| low.at(i) == 0.0 && high.at(i) == 255.0)
        }
        Space::Tuple { spaces } => spaces.iter().any(has_pictures),
        Space::Dict { spaces } => spaces.values().any(has_pictures),
        _ => false,
    }
}

/// A space without its bounds.
fn words(space: &Space) -> String {
    match space {
        Space::Discrete { n, start: 0 } => format!("Discrete({n})"),
        Space::Discrete { n, start } => format!("Discrete({n}, start={start})"),
        Space::MultiDiscrete { nvec } => format!("MultiDiscrete({nvec:?})"),
        Space::MultiBinary { n } => format!("MultiBinary({n})"),
        Space::Box { shape, .. } => format!("Box of shape {shape:?}"),
        Space::Tuple { spaces } => {
            let spaces: Vec<String> = spaces.iter().map(words).collect();
            format!("Tuple({})", spaces.join(", "))
        }
        Space::Dict { spaces } => {
            let named = spaces
                .iter()
                .map(|(name, space)| format!("{name}: {}", words(space)));
            format!("Dict({})", named.collect::<Vec<_>>().join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn space(json: Value) -> Space {
        serde_json::from_value(json).unwrap()
    }

    fn compound() -> Space {
        space(json!({"type": "Dict", "spaces": {
            "card \"Infinity\"": {"type": "Discrete", "n": 5, "start": -2},
            "hand": {"type": "Tuple", "spaces": [
                {"type": "MultiDiscrete", "nvec": [3, 4]},
                {"type": "MultiBinary", "n": 3},
                {"type": "Box", "shape": [2, 1], "dtype": "float32", "low": "-Infinity", "high": [0.5, 2.0]},
                {"type": "Box", "shape": [], "dtype": "uint8", "low": 0, "high": 255},
            ]},
        }}))
    }

    #[test]
    fn a_space_is_read_back_as_it_was_written() {
        let text = to_text(&compound());
        assert!(
            text.contains(r#""low":[[-Infinity],[-Infinity]]"#),
            "{text}"
        );
        assert!(text.contains(r#""high":[[0.5],[2.0]]"#), "{text}");
        let read = from_text(&text).unwrap();
        assert_eq!(difference(&read, &compound()), None);
        let Space::Dict { spaces } = read else {
            panic!("a Dict")
        };
        let Space::Tuple { spaces } = &spaces["hand"] else {
            panic!("a Tuple")
        };
        let expected = Space::Box {
            shape: vec![2, 1],
            dtype: Dtype::Float32,
            low: Bound::Each(vec![f64::NEG_INFINITY; 2]),
            high: Bound::Each(vec![0.5, 2.0]),
        };
        assert_eq!(spaces[2], expected);
    }

    #[test]
    fn a_difference_is_told_with_its_place() {
        let other = to_text(&compound()).replace("\"n\":3", "\"n\":4");
        let other = from_text(&other).unwrap();
        assert_eq!(
            difference(&other, &compound()).unwrap(),
            "in \"hand\": in part 1: MultiBinary(4) there, MultiBinary(3) here"
        );
        let discrete = space(json!({"type": "Discrete", "n": 2}));
        let message = difference(&discrete, &compound()).unwrap();
        assert!(
            message.starts_with("Discrete(2) there, Dict(card"),
            "{message}"
        );
    }

    #[test]
    fn what_is_no_space_is_refused() {
        for text in [
            "",
            "3",
            "{}",
            r#"{"type": "Text", "max_length": 3}"#,
            r#"{"type": "Discrete", "n": 2.5, "start": 0}"#,
            r#"{"type": "MultiDiscrete", "nvec": [[2, 3]], "dtype": "int64", "start": [0]}"#,
            r#"{"type": "MultiDiscrete", "nvec": [2], "dtype": "int64", "start": [1]}"#,
            r#"{"type": "MultiBinary", "n": -1}"#,
            r#"{"type": "Box", "shape": [-1], "dtype": "float32", "low": [0], "high": [1]}"#,
            r#"{"type": "Box", "shape": [1], "dtype": "object", "low": [0], "high": [1]}"#,
            r#"{"type": "Box", "shape": [1], "dtype": "float32", "low": [NaN], "high": [1]}"#,
            r#"{"type": "Dict", "subspaces": [1]}"#,
        ] {
            assert!(from_text(text).is_err(), "{text}");
        }
        let deep = r#"{"type": "Tuple", "subspaces": ["#.repeat(100_000);
        assert!(from_text(&deep).is_err());
    }
}
