//! The arrays that a space is written as, and their columns in a flat row.

use std::ops::Range;

use env_protocol::{Dtype, Space};

/// An array of a space. For each step it has a block of this shape.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Leaf {
    /// Names of the groups that lead to it, and its own: empty where the space is one array.
    pub path: Vec<String>,
    /// Shape of a step's block; empty for one number.
    pub shape: Vec<usize>,
    /// Type of its numbers, as Gymnasium's spaces have it.
    pub dtype: Dtype,
    /// Its columns in a flat row.
    pub columns: Range<usize>,
    /// The values of each column, if they are choices; a box has none.
    pub choices: Vec<Range<i64>>,
}

/// Returns the arrays of a space, in the order of their columns.
///
/// # Errors
/// A name of a part that no array can have.
pub(super) fn leaves(space: &Space) -> Result<Vec<Leaf>, String> {
    let mut leaves = Vec::new();
    append(space, &mut Vec::new(), &mut leaves)?;
    Ok(leaves)
}

fn append(space: &Space, path: &mut Vec<String>, leaves: &mut Vec<Leaf>) -> Result<(), String> {
    let mut part = |name: String, space: &Space| {
        path.push(name);
        append(space, path, leaves)?;
        path.pop();
        Ok(())
    };
    let (dtype, choices) = match space {
        Space::Tuple { spaces } => {
            let mut parts = spaces.iter().enumerate();
            return parts.try_for_each(|(index, space)| part(format!("_index_{index}"), space));
        }
        Space::Dict { spaces } => {
            return spaces.iter().try_for_each(|(name, space)| {
                // In a file `/` divides names, and these two mean groups.
                if name.is_empty() || name.contains(['/', '\0']) || name == "." || name == ".." {
                    return Err(format!("no array can have the name {name:?}"));
                }
                part(name.clone(), space)
            });
        }
        Space::Discrete { n, start } => {
            let choices = *start..start.saturating_add(*n);
            (Dtype::Int64, std::iter::once(choices).collect())
        }
        Space::MultiDiscrete { nvec } => (Dtype::Int64, nvec.iter().map(|&n| 0..n).collect()),
        Space::MultiBinary { n } => (Dtype::Int8, vec![0..2; *n]),
        Space::Box { dtype, .. } => (*dtype, Vec::new()),
    };
    let first = leaves.last().map_or(0, |leaf| leaf.columns.end);
    leaves.push(Leaf {
        path: path.clone(),
        shape: space.shape().expect("not of parts"),
        dtype,
        columns: first..first + space.flat_size(),
        choices,
    });
    Ok(())
}

impl Leaf {
    /// Whether a number may stand in this column of the array, counted from 0: choices are whole, and all are finite in
    /// single precision.
    pub(super) fn accepts(&self, column: usize, number: f64) -> bool {
        match self.choices.get(column) {
            Some(choices) => number.fract() == 0.0 && choices.contains(&(number as i64)),
            None => (number as f32).is_finite(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_arrays_with_names_and_columns() {
        let space = serde_json::json!({"type": "Dict", "spaces": {
            "b": {"type": "Tuple", "spaces": [
                {"type": "Discrete", "n": 3, "start": -1},
                {"type": "MultiBinary", "n": 2},
            ]},
            "a": {"type": "Box", "shape": [2, 2], "dtype": "float64", "low": 0.0, "high": 1.0},
        }});
        let leaves = leaves(&serde_json::from_value(space).unwrap()).unwrap();
        let seen: Vec<_> = leaves
            .iter()
            .map(|leaf| {
                (
                    leaf.path.join("/"),
                    &leaf.shape[..],
                    leaf.dtype,
                    leaf.columns.clone(),
                )
            })
            .collect();
        assert_eq!(seen[0], ("a".into(), &[2, 2][..], Dtype::Float64, 0..4));
        assert_eq!(seen[1], ("b/_index_0".into(), &[][..], Dtype::Int64, 4..5));
        assert_eq!(seen[2], ("b/_index_1".into(), &[2][..], Dtype::Int8, 5..7));
        assert!(leaves[0].accepts(3, 1e30) && !leaves[0].accepts(3, 1e300));
        assert!(!leaves[0].accepts(0, f64::NAN));
        let discrete = &leaves[1];
        assert!(discrete.accepts(0, -1.0) && discrete.accepts(0, 1.0));
        for wrong in [-2.0, 2.0, 0.5, f64::NAN, f64::INFINITY] {
            assert!(!discrete.accepts(0, wrong), "{wrong}");
        }
    }

    #[test]
    fn names_that_would_leave_their_group_are_refused() {
        for name in ["", "a/b", ".", "..", "a\0"] {
            let space = serde_json::json!({"type": "Dict", "spaces": {name: {"type": "MultiBinary", "n": 2}}});
            assert!(
                leaves(&serde_json::from_value(space).unwrap()).is_err(),
                "{name:?}"
            );
        }
    }
}
