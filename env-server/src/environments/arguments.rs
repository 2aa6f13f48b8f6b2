//! Arguments of environments: JSON checked against a spec's table of parameters.

use env_protocol::{Kwargs, Parameter};
use serde_json::Value;

/// Why arguments were refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {detail}")]
pub struct KwargsError {
    /// The argument.
    pub name: String,
    /// What was wrong with it.
    pub detail: String,
}

impl KwargsError {
    /// Refuses the named argument.
    pub fn new(name: &str, detail: impl Into<String>) -> Self {
        KwargsError {
            name: name.to_owned(),
            detail: detail.into(),
        }
    }
}

/// Checked arguments: every one is known and in range, and defaults are filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arguments {
    /// In the order of the parameters. A parameter that neither has a default nor was given is absent.
    values: Vec<(String, i64)>,
}

impl Arguments {
    /// Checks arguments against the parameters of a spec.
    ///
    /// # Errors
    /// When one is unknown, no integer or out of range.
    pub fn resolve(parameters: &[Parameter], kwargs: &Kwargs) -> Result<Self, KwargsError> {
        for name in kwargs.keys() {
            if !parameters.iter().any(|p| p.name == *name) {
                let known: Vec<_> = parameters.iter().map(|p| p.name.as_str()).collect();
                let detail = format!("unknown; there are {}", known.join(", "));
                return Err(KwargsError::new(name, detail));
            }
        }
        let mut values = Vec::with_capacity(parameters.len());
        for parameter in parameters {
            let value = match kwargs.get(&parameter.name) {
                Some(value) => Some(integer(parameter, value)?),
                None => parameter.default,
            };
            values.extend(value.map(|value| (parameter.name.clone(), value)));
        }
        Ok(Arguments { values })
    }

    /// The argument, if it was given or has a default.
    pub fn get(&self, name: &str) -> Option<i64> {
        let found = self.values.iter().find(|(n, _)| n == name);
        found.map(|&(_, value)| value)
    }

    /// The arguments as they are shown to clients.
    pub fn to_kwargs(&self) -> Kwargs {
        let entries = self.values.iter();
        entries
            .map(|(name, value)| (name.clone(), Value::from(*value)))
            .collect()
    }
}

fn integer(parameter: &Parameter, value: &Value) -> Result<i64, KwargsError> {
    let Parameter {
        name,
        minimum,
        maximum,
        ..
    } = parameter;
    let in_range = value
        .as_i64()
        .filter(|value| (minimum..=maximum).contains(&value));
    in_range.ok_or_else(|| {
        let detail = format!("must be an integer from {minimum} to {maximum}, not {value}");
        KwargsError::new(name, detail)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parameters() -> Vec<Parameter> {
        let parameter = |name: &str, default| Parameter {
            name: name.to_owned(),
            description: String::new(),
            minimum: 1,
            maximum: 9,
            default,
            resettable: false,
        };
        vec![parameter("length", Some(4)), parameter("width", None)]
    }

    fn resolve(kwargs: Value) -> Result<Arguments, KwargsError> {
        let kwargs: Kwargs = serde_json::from_value(kwargs).unwrap();
        Arguments::resolve(&parameters(), &kwargs)
    }

    #[test]
    fn defaults_are_filled_in() {
        let arguments = resolve(json!({"width": 9})).unwrap();
        assert_eq!(arguments.get("length"), Some(4));
        assert_eq!(arguments.get("width"), Some(9));
        assert_eq!(resolve(json!({})).unwrap().get("width"), None);
    }

    #[test]
    fn refusals_name_the_argument_and_its_range() {
        for (kwargs, message) in [
            (
                json!({"depth": 1}),
                "depth: unknown; there are length, width",
            ),
            (
                json!({"length": 0}),
                "length: must be an integer from 1 to 9, not 0",
            ),
            (
                json!({"length": 2.5}),
                "length: must be an integer from 1 to 9, not 2.5",
            ),
            (
                json!({"length": "3"}),
                "length: must be an integer from 1 to 9, not \"3\"",
            ),
            (
                json!({"length": u64::MAX}),
                "length: must be an integer from 1 to 9, not 18446744073709551615",
            ),
        ] {
            assert_eq!(resolve(kwargs).unwrap_err().to_string(), message);
        }
    }
}
