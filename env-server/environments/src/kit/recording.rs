//! Reads the hidden draws (`latent`) of recorded episodes, strictly: a value that the original
//! could not have drawn is an error, even where no observation would show it.

use serde::de::{self, Deserialize, DeserializeOwned, Deserializer};
use serde_json::Value;

use crate::Draw;

/// Reads the latent as a struct.
///
/// # Errors
/// When a field is missing or of another type.
pub(crate) fn parse<T: DeserializeOwned>(latent: &Value) -> Result<T, String> {
    T::deserialize(latent).map_err(|e| format!("latent: {e}"))
}

/// Checks a condition on a latent.
///
/// # Errors
/// The message, when the condition does not hold.
pub(crate) fn ensure(holds: bool, message: impl FnOnce() -> String) -> Result<(), String> {
    match holds {
        true => Ok(()),
        false => Err(format!("latent: {}", message())),
    }
}

/// A bit, recorded as 0 or 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bit(pub bool);

impl<'de> Deserialize<'de> for Bit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u64::deserialize(deserializer)? {
            0 => Ok(Bit(false)),
            1 => Ok(Bit(true)),
            other => Err(de::Error::custom(format_args!("{other} is no bit"))),
        }
    }
}

impl From<Bit> for Draw {
    fn from(bit: Bit) -> Self {
        Draw::Bit(bit.0)
    }
}
