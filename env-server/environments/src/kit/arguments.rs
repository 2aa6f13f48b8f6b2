//! Arguments of environments: JSON checked against a spec's table of parameters.

use env_protocol::{Domain, Kwargs, Parameter};
use serde_json::Value;

/// Refusal of an argument.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {detail}")]
pub struct KwargsError {
    /// The argument.
    pub name: String,
    /// Reason for the refusal.
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

/// A checked argument.
#[derive(Clone, Debug, PartialEq)]
enum Argument {
    Integer(i64),
    Number(f64),
    Flag(bool),
    Choice(String),
    Integers(Vec<i64>),
}

/// Checked arguments: every one is known and in range, and defaults are filled in.
#[derive(Clone, Debug, PartialEq)]
pub struct Arguments {
    /// Values in the order of the parameters. A parameter without a default that was not given is
    /// absent.
    values: Vec<(String, Argument)>,
}

impl Arguments {
    /// Checks arguments against the parameters of a spec and fills in defaults. Null counts as not
    /// given, for a parameter without a default.
    ///
    /// # Errors
    /// When an argument is unknown, has the wrong type or is out of range.
    pub fn resolve(parameters: &[Parameter], kwargs: &Kwargs) -> Result<Self, KwargsError> {
        for name in kwargs.keys() {
            if !parameters.iter().any(|p| p.name == *name) {
                let known: Vec<_> = parameters.iter().map(|p| p.name.as_str()).collect();
                let detail = match known.is_empty() {
                    true => "unknown; there are none".to_owned(),
                    false => {
                        let meant = env_protocol::hint(name, known.iter().copied());
                        format!("unknown{meant}; there are {}", known.join(", "))
                    }
                };
                return Err(KwargsError::new(name, detail));
            }
        }
        let mut values = Vec::with_capacity(parameters.len());
        for parameter in parameters {
            let default = default(&parameter.domain);
            let value = match kwargs.get(&parameter.name) {
                None | Some(Value::Null) if default.is_none() => None,
                None => default,
                Some(value) => Some(check(parameter, value)?),
            };
            values.extend(value.map(|value| (parameter.name.clone(), value)));
        }
        Ok(Arguments { values })
    }

    fn get(&self, name: &str) -> Option<&Argument> {
        let found = self.values.iter().find(|(n, _)| n == name);
        found.map(|(_, value)| value)
    }

    /// The integer, if it was given or has a default.
    pub fn integer(&self, name: &str) -> Option<i64> {
        match self.get(name)? {
            Argument::Integer(value) => Some(*value),
            _ => None,
        }
    }

    /// The integer, if it was given or has a default, for parameters whose range u32 holds.
    ///
    /// # Errors
    /// When it does not fit.
    pub fn natural(&self, name: &str) -> Result<Option<u32>, KwargsError> {
        let narrow = |value| {
            let narrow = u32::try_from(value);
            narrow.map_err(|_| KwargsError::new(name, format!("{value} is out of range")))
        };
        self.integer(name).map(narrow).transpose()
    }

    /// The number, if it was given or has a default.
    pub fn number(&self, name: &str) -> Option<f64> {
        match self.get(name)? {
            Argument::Number(value) => Some(*value),
            _ => None,
        }
    }

    /// The flag, if it was given or has a default.
    pub fn flag(&self, name: &str) -> Option<bool> {
        match self.get(name)? {
            Argument::Flag(value) => Some(*value),
            _ => None,
        }
    }

    /// The chosen string, if one was given or is the default.
    pub fn choice(&self, name: &str) -> Option<&str> {
        match self.get(name)? {
            Argument::Choice(value) => Some(value),
            _ => None,
        }
    }

    /// The list, if it was given or has a default.
    pub fn integers(&self, name: &str) -> Option<&[i64]> {
        match self.get(name)? {
            Argument::Integers(value) => Some(value),
            _ => None,
        }
    }

    /// Returns the arguments as JSON, the form that clients see.
    pub fn to_kwargs(&self) -> Kwargs {
        let json = |value: &Argument| match value {
            Argument::Integer(value) => Value::from(*value),
            Argument::Number(value) => Value::from(*value),
            Argument::Flag(value) => Value::from(*value),
            Argument::Choice(value) => Value::from(value.as_str()),
            Argument::Integers(value) => Value::from(value.as_slice()),
        };
        let entries = self.values.iter();
        entries
            .map(|(name, value)| (name.clone(), json(value)))
            .collect()
    }
}

/// Returns the value of an argument that a constructor needs.
///
/// # Errors
/// When it is absent.
pub fn required<T>(name: &str, value: Option<T>) -> Result<T, KwargsError> {
    value.ok_or_else(|| KwargsError::new(name, "missing"))
}

fn default(domain: &Domain) -> Option<Argument> {
    match domain {
        Domain::Integer { default, .. } => default.map(Argument::Integer),
        Domain::Number { default, .. } => default.map(Argument::Number),
        Domain::Boolean { default } => default.map(Argument::Flag),
        Domain::Choice { default, .. } => default.clone().map(Argument::Choice),
        Domain::Integers { default, .. } => default.clone().map(Argument::Integers),
    }
}

fn check(parameter: &Parameter, value: &Value) -> Result<Argument, KwargsError> {
    let (checked, wanted) = match &parameter.domain {
        Domain::Integer {
            minimum, maximum, ..
        } => (
            integer(value, *minimum, *maximum).map(Argument::Integer),
            format!("an integer from {minimum} to {maximum}"),
        ),
        Domain::Number {
            minimum, maximum, ..
        } => {
            let number = value.as_f64().filter(|x| (minimum..=maximum).contains(&x));
            let wanted = format!("a number from {minimum} to {maximum}");
            (number.map(Argument::Number), wanted)
        }
        Domain::Boolean { .. } => {
            let flag = value.as_bool().map(Argument::Flag);
            (flag, "true or false".to_owned())
        }
        Domain::Choice { choices, .. } => {
            let choice = value.as_str().filter(|&x| choices.iter().any(|c| c == x));
            let choice = choice.map(|choice| Argument::Choice(choice.to_owned()));
            (choice, format!("one of {}", choices.join(", ")))
        }
        Domain::Integers {
            minimum,
            maximum,
            min_items,
            max_items,
            ..
        } => {
            let items = value.as_array();
            let items = items.filter(|items| (min_items..=max_items).contains(&&items.len()));
            let items = items.and_then(|items| {
                let items = items.iter().map(|item| integer(item, *minimum, *maximum));
                items.collect::<Option<Vec<i64>>>()
            });
            let count = match min_items == max_items {
                true => min_items.to_string(),
                false => format!("{min_items} to {max_items}"),
            };
            let wanted = format!("a list of {count} integers, each from {minimum} to {maximum}");
            (items.map(Argument::Integers), wanted)
        }
    };
    checked.ok_or_else(|| {
        let detail = format!("must be {wanted}, not {}", shown(value));
        KwargsError::new(&parameter.name, detail)
    })
}

/// Returns the given value for an error message, cut if it is long.
fn shown(value: &Value) -> String {
    const MOST: usize = 80;
    let text = value.to_string();
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

fn integer(value: &Value, minimum: i64, maximum: i64) -> Option<i64> {
    let value = value.as_i64();
    value.filter(|value| (minimum..=maximum).contains(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parameters() -> Vec<Parameter> {
        let sizes = Domain::Integers {
            minimum: 1,
            maximum: 4,
            min_items: 1,
            max_items: 3,
            default: Some(vec![2, 3]),
        };
        vec![
            Parameter::integer("length", "", 1, 9, Some(4)),
            Parameter::integer("width", "", 1, 9, None),
            Parameter::number("penalty", "", -1.0, 0.0, Some(-0.5)),
            Parameter::boolean("is_first", ""),
            Parameter::choice("level", "", &["easy", "hard"], Some("easy")),
            Parameter::new("sizes", "", sizes),
        ]
    }

    fn resolve(kwargs: Value) -> Result<Arguments, KwargsError> {
        let kwargs: Kwargs = serde_json::from_value(kwargs).unwrap();
        Arguments::resolve(&parameters(), &kwargs)
    }

    #[test]
    fn defaults_are_filled_in() {
        let arguments = resolve(json!({"width": 9})).unwrap();
        assert_eq!(arguments.integer("length"), Some(4));
        assert_eq!(arguments.integer("width"), Some(9));
        assert_eq!(arguments.number("penalty"), Some(-0.5));
        assert_eq!(arguments.flag("is_first"), None);
        assert_eq!(arguments.choice("level"), Some("easy"));
        assert_eq!(arguments.integers("sizes"), Some(&[2, 3][..]));
        assert_eq!(resolve(json!({})).unwrap().integer("width"), None);
        let null = resolve(json!({"width": null})).unwrap();
        assert_eq!(null.integer("width"), None);
    }

    #[test]
    fn arguments_are_shown_as_they_are_taken() {
        let kwargs =
            json!({"length": 1, "penalty": -1, "is_first": true, "level": "hard", "sizes": [4]});
        let resolved = resolve(kwargs).unwrap();
        assert_eq!(resolved.flag("is_first"), Some(true));
        let shown =
            json!({"length": 1, "penalty": -1.0, "is_first": true, "level": "hard", "sizes": [4]});
        assert_eq!(serde_json::to_value(resolved.to_kwargs()).unwrap(), shown);
        assert_eq!(resolve(shown).unwrap(), resolved);
    }

    #[test]
    fn refusals_name_the_argument_and_its_range() {
        for (kwargs, message) in [
            (
                json!({"lenght": 1}),
                "lenght: unknown (did you mean \"length\"?); there are length, width, penalty, is_first, \
                 level, sizes",
            ),
            (
                json!({"depth": 1}),
                "depth: unknown; there are length, width, penalty, is_first, level, sizes",
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
                json!({"length": null}),
                "length: must be an integer from 1 to 9, not null",
            ),
            (
                json!({"length": u64::MAX}),
                "length: must be an integer from 1 to 9, not 18446744073709551615",
            ),
            (
                json!({"penalty": 0.5}),
                "penalty: must be a number from -1 to 0, not 0.5",
            ),
            (
                json!({"penalty": "none"}),
                "penalty: must be a number from -1 to 0, not \"none\"",
            ),
            (
                json!({"is_first": 1}),
                "is_first: must be true or false, not 1",
            ),
            (
                json!({"level": "hardest"}),
                "level: must be one of easy, hard, not \"hardest\"",
            ),
            (
                json!({"sizes": []}),
                "sizes: must be a list of 1 to 3 integers, each from 1 to 4, not []",
            ),
            (
                json!({"sizes": [1, 5]}),
                "sizes: must be a list of 1 to 3 integers, each from 1 to 4, not [1,5]",
            ),
        ] {
            assert_eq!(resolve(kwargs).unwrap_err().to_string(), message);
        }
        let long = resolve(json!({"level": "é".repeat(1000)})).unwrap_err();
        assert!(long.detail.len() < 250, "{long}");
    }
}
