//! Specs: the catalogue of environments.

use serde::{Deserialize, Serialize};

use crate::space::Space;

/// One kind of environment that can be created.
///
/// Spaces, reward range and returns hold for the default arguments. Other arguments may change
/// them; the description of a created environment has its actual spaces.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Spec {
    /// Name with version, as in `MemoryTask-v0`.
    pub id: String,
    /// Description of the task and of its demands on memory.
    pub description: String,
    /// The arguments of the environment.
    pub parameters: Vec<Parameter>,
    /// Space of observations, with the default arguments.
    pub observation_space: Space,
    /// Space of actions, with the default arguments.
    pub action_space: Space,
    /// Least and greatest reward of one step, with the default arguments.
    pub reward_range: [f64; 2],
    /// Least mean return at which the task counts as solved, with the default arguments; absent
    /// where the returns to compare with are unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(nullable = false))]
    pub solved_threshold: Option<f64>,
    /// Information that a player must remember, and for how long.
    #[serde(default)]
    pub remember: String,
    /// Whether memory raises the return, with the default arguments: `false` where a player that
    /// sees only the last observation is as good as the best.
    #[serde(default = "usually")]
    pub needs_memory: bool,
    /// Returns of reference players, with the default arguments.
    #[serde(default)]
    pub returns: Returns,
    /// Origin of the task.
    pub source: String,
}

/// Least score at which a task counts as solved: this share of the way from random actions (0) to
/// the best player known (1).
pub const SOLVED_SCORE: f64 = 0.95;

/// Value of `needs_memory` in a spec from a server that leaves it out.
const fn usually() -> bool {
    true
}

/// Expected undiscounted returns of an episode, for given arguments of an environment. Unknown ones
/// are absent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Returns {
    /// Return of uniformly random actions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub random: Option<f64>,
    /// Return of the best player that sees only the last observation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memoryless: Option<f64>,
    /// Return of the best player that remembers everything it has seen, or of the best player known
    /// (the note says which).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub best: Option<f64>,
    /// Return of a player that also knows every hidden draw.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oracle: Option<f64>,
    /// How the returns follow from the arguments, and which of them are measured.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
}

impl Returns {
    /// The ends of the task's scale: the return of random actions (score 0) and that of the best
    /// player known, or of the clairvoyant player where no other is known (score 1). `None` when an
    /// end is unknown, or random actions are as good as the best player.
    pub fn scale(&self) -> Option<(f64, f64)> {
        let (random, best) = (self.random?, self.best.or(self.oracle)?);
        (best > random).then_some((random, best))
    }

    /// The return at [`SOLVED_SCORE`] on the task's scale, in thousandths.
    pub fn solved_threshold(&self) -> Option<f64> {
        let (random, best) = self.scale()?;
        Some(((random + SOLVED_SCORE * (best - random)) * 1e3).round() / 1e3)
    }
}

/// An argument of a spec.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Parameter {
    /// Name in `kwargs`.
    pub name: String,
    /// Description of its effect.
    pub description: String,
    /// Type, range and default.
    #[serde(flatten)]
    pub domain: Domain,
    /// Whether the `options` of a reset may override it.
    pub resettable: bool,
}

/// Type and range of an argument. `default` is the value when the argument is left out; it is
/// absent where the value follows from other arguments, as the description then says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Domain {
    /// An integer.
    Integer {
        /// Least value.
        minimum: i64,
        /// Greatest value.
        maximum: i64,
        /// Value when left out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        default: Option<i64>,
    },
    /// A number, not necessarily whole.
    Number {
        /// Least value.
        minimum: f64,
        /// Greatest value.
        maximum: f64,
        /// Value when left out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        default: Option<f64>,
    },
    /// True or false.
    Boolean {
        /// Value when left out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        default: Option<bool>,
    },
    /// One of some strings.
    Choice {
        /// The strings.
        choices: Vec<String>,
        /// Value when left out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        default: Option<String>,
    },
    /// A list of integers.
    Integers {
        /// Least value of each.
        minimum: i64,
        /// Greatest value of each.
        maximum: i64,
        /// Least length of the list.
        min_items: usize,
        /// Greatest length of the list.
        max_items: usize,
        /// Value when left out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        default: Option<Vec<i64>>,
    },
}

impl Parameter {
    /// Creates an integer parameter from `minimum` to `maximum`, which a reset cannot change.
    pub fn integer(
        name: &str,
        description: &str,
        minimum: i64,
        maximum: i64,
        default: Option<i64>,
    ) -> Self {
        let domain = Domain::Integer {
            minimum,
            maximum,
            default,
        };
        Parameter::new(name, description, domain)
    }

    /// Creates a number parameter from `minimum` to `maximum`, which a reset cannot change.
    pub fn number(
        name: &str,
        description: &str,
        minimum: f64,
        maximum: f64,
        default: Option<f64>,
    ) -> Self {
        let domain = Domain::Number {
            minimum,
            maximum,
            default,
        };
        Parameter::new(name, description, domain)
    }

    /// Creates a boolean parameter without a default, which a reset cannot change.
    pub fn boolean(name: &str, description: &str) -> Self {
        Parameter::new(name, description, Domain::Boolean { default: None })
    }

    /// Creates a parameter that is one of `choices`, which a reset cannot change.
    pub fn choice(name: &str, description: &str, choices: &[&str], default: Option<&str>) -> Self {
        let domain = Domain::Choice {
            choices: choices.iter().map(|&choice| choice.to_owned()).collect(),
            default: default.map(str::to_owned),
        };
        Parameter::new(name, description, domain)
    }

    /// Creates a parameter that a reset cannot change.
    pub fn new(name: &str, description: &str, domain: Domain) -> Self {
        Parameter {
            name: name.to_owned(),
            description: description.to_owned(),
            domain,
            resettable: false,
        }
    }

    /// Returns the parameter, marked as one a reset may change.
    pub fn resettable(self) -> Self {
        Parameter {
            resettable: true,
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Encoding;

    #[test]
    fn a_task_is_solved_at_95_hundredths_of_its_own_scale() {
        let returns = |random, best, oracle| Returns {
            random,
            best,
            oracle,
            ..Returns::default()
        };
        let threshold = |random, best, oracle| returns(random, best, oracle).solved_threshold();
        assert_eq!(threshold(Some(0.0), Some(1.0), Some(1.0)), Some(0.95));
        // -2 + 0.95 * 6
        assert_eq!(threshold(Some(-2.0), Some(4.0), None), Some(3.7));
        assert_eq!(threshold(Some(0.0), Some(0.4), Some(0.9)), Some(0.38));
        // The clairvoyant player's return is an upper bound, used where no better one is known.
        assert_eq!(threshold(Some(0.0), None, Some(1.0)), Some(0.95));
        assert_eq!(threshold(None, Some(1.0), Some(1.0)), None);
        assert_eq!(threshold(Some(0.0), None, None), None);
        // A task where random actions are as good as any cannot be solved.
        assert_eq!(threshold(Some(1.0), Some(1.0), None), None);
    }

    #[test]
    fn an_integer_parameter_has_its_type_on_the_wire() {
        let delay = Parameter::integer("delay", "Actions.", 1, 9, Some(4)).resettable();
        let json = r#"{"name":"delay","description":"Actions.","type":"integer","minimum":1,"maximum":9,"default":4,"resettable":true}"#;
        assert_eq!(serde_json::to_string(&delay).unwrap(), json);
    }

    #[test]
    fn every_domain_survives_both_encodings() {
        let sizes = Domain::Integers {
            minimum: 1,
            maximum: 12,
            min_items: 1,
            max_items: 8,
            default: Some(vec![2, 3]),
        };
        for parameter in [
            Parameter::integer("k", "", -1, i64::MAX, None),
            Parameter::number("penalty", "", -1.0, 0.5, Some(0.0)),
            Parameter::boolean("is_first", ""),
            Parameter::choice("level", "", &["easy", "hard"], Some("easy")),
            Parameter::new("sizes", "", sizes),
        ] {
            for encoding in [Encoding::Json, Encoding::MessagePack] {
                let bytes = encoding.encode(&parameter);
                assert_eq!(encoding.decode::<Parameter>(&bytes).unwrap(), parameter);
            }
        }
    }
}
