//! POPGym's levels: easy, medium and hard stand for values of the other arguments.

use env_protocol::Parameter;

use crate::{Arguments, KwargsError};

/// The names, from easy to hard.
const LEVELS: [&str; 3] = ["easy", "medium", "hard"];
/// The choice in which each argument has its own value.
const CUSTOM: &str = "custom";

/// Returns the parameter `level`.
pub(crate) fn parameter() -> Parameter {
    Parameter::choice(
        "level",
        "easy, medium and hard set all other arguments. With custom, or when left out, each is \
         taken by itself, and one left out is as at easy.",
        &["easy", "medium", "hard", CUSTOM],
        None,
    )
}

/// Arguments whose values a level may set.
pub(crate) struct Levels<'a> {
    arguments: &'a Arguments,
    /// Position among [`LEVELS`].
    level: Option<usize>,
}

impl<'a> Levels<'a> {
    /// Reads the level among these arguments.
    pub(crate) fn from_arguments(arguments: &'a Arguments) -> Self {
        let level = arguments.choice("level");
        Levels {
            arguments,
            level: LEVELS.iter().position(|name| level == Some(name)),
        }
    }

    /// Returns the integer. `values` are its values at the levels.
    ///
    /// # Errors
    /// When the given value differs from that of the level.
    pub(crate) fn natural(&self, name: &str, values: [u32; 3]) -> Result<u32, KwargsError> {
        self.decide(name, values, self.arguments.natural(name)?)
    }

    /// Returns the number. `values` are its values at the levels.
    ///
    /// # Errors
    /// When the given value differs from that of the level.
    pub(crate) fn number(&self, name: &str, values: [f64; 3]) -> Result<f64, KwargsError> {
        self.decide(name, values, self.arguments.number(name))
    }

    /// Returns the choice. `values` are its values at the levels.
    ///
    /// # Errors
    /// When the given value differs from that of the level.
    pub(crate) fn choice(
        &self,
        name: &str,
        values: [&'static str; 3],
    ) -> Result<String, KwargsError> {
        let given = self.arguments.choice(name).map(str::to_owned);
        self.decide(name, values.map(str::to_owned), given)
    }

    /// Returns the list. `value` is its value at all levels.
    ///
    /// # Errors
    /// When the given value differs from that of the level.
    pub(crate) fn integers(&self, name: &str, value: &[i64]) -> Result<Vec<i64>, KwargsError> {
        self.lists(name, [value, value, value].map(<[i64]>::to_vec))
    }

    /// Returns the list. `values` are its values at the levels.
    ///
    /// # Errors
    /// When the given value differs from that of the level.
    pub(crate) fn lists(&self, name: &str, values: [Vec<i64>; 3]) -> Result<Vec<i64>, KwargsError> {
        let given = self.arguments.integers(name).map(<[i64]>::to_vec);
        self.decide(name, values, given)
    }

    fn decide<T: PartialEq + std::fmt::Debug + Clone>(
        &self,
        name: &str,
        values: [T; 3],
        given: Option<T>,
    ) -> Result<T, KwargsError> {
        let usual = &values[self.level.unwrap_or(0)];
        match (self.level, given) {
            (Some(level), Some(given)) if given != *usual => {
                let level = LEVELS[level];
                let detail = format!("is {usual:?} at level {level}, not {given:?}");
                Err(KwargsError::new(name, detail))
            }
            (_, given) => Ok(given.unwrap_or_else(|| usual.clone())),
        }
    }
}

/// Returns the entry of `values` for the level at which an argument has this value. Arrays hold
/// easy, medium and hard.
pub(crate) fn at_level<T: PartialEq>(value: &T, of: &[T; 3], values: [f64; 3]) -> Option<f64> {
    let level = of.iter().position(|usual| usual == value)?;
    Some(values[level])
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn decks(kwargs: serde_json::Value) -> Result<u32, String> {
        let parameters = [
            parameter(),
            Parameter::integer("num_decks", "", 1, 32, None),
        ];
        let kwargs = serde_json::from_value(kwargs).unwrap();
        let arguments = Arguments::resolve(&parameters, &kwargs).unwrap();
        let decks = Levels::from_arguments(&arguments).natural("num_decks", [1, 8, 16]);
        decks.map_err(|e| e.to_string())
    }

    #[test]
    fn a_level_decides_and_custom_leaves_it_to_the_argument() {
        assert_eq!(decks(json!({})), Ok(1));
        assert_eq!(decks(json!({"level": "medium"})), Ok(8));
        assert_eq!(decks(json!({"level": "hard", "num_decks": 16})), Ok(16));
        assert_eq!(decks(json!({"num_decks": 5})), Ok(5));
        assert_eq!(decks(json!({"level": "custom", "num_decks": 5})), Ok(5));
        assert_eq!(decks(json!({"level": "custom"})), Ok(1));
        assert_eq!(
            decks(json!({"level": "medium", "num_decks": 5})),
            Err("num_decks: is 8 at level medium, not 5".to_owned())
        );
    }
}
