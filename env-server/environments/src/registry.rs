//! Lookups in the catalogue. Routes, help and documents use them.

use std::sync::LazyLock;

use env_protocol::{Kwargs, Spec};

use crate::kit::arguments::{Arguments, KwargsError};

pub use crate::catalogue::Instance;
pub use crate::entry::{Entry, Reference};
pub use crate::tasks::ENTRIES;

/// Returns every spec, in the order of [`ENTRIES`].
pub fn specs() -> &'static [Spec] {
    static SPECS: LazyLock<Vec<Spec>> =
        LazyLock::new(|| ENTRIES.iter().map(|entry| (entry.spec)()).collect());
    &SPECS
}

/// Finds a spec by its id.
pub fn find(spec_id: &str) -> Option<(&'static Entry, &'static Spec)> {
    let mut entries = ENTRIES.iter().zip(specs());
    entries.find(|(_, spec)| spec.id == spec_id)
}

/// Returns a spec with the spaces, rewards and returns of these arguments instead of the default
/// ones; `None` when there is no such spec.
///
/// # Errors
/// When the arguments are refused.
pub fn spec_with(spec_id: &str, kwargs: &Kwargs) -> Option<Result<Spec, KwargsError>> {
    let (_, spec) = find(spec_id)?;
    let instance = instance(spec_id, kwargs)?;
    Some(instance.map(|instance| Spec {
        observation_space: instance.observation_space,
        action_space: instance.action_space,
        reward_range: instance.reward_range,
        solved_threshold: instance.solved_threshold,
        returns: instance.returns,
        ..spec.clone()
    }))
}

/// Returns the spaces, rewards and returns of a spec with these arguments; `None` when there is no
/// such spec.
///
/// # Errors
/// When the arguments are refused.
pub fn instance(spec_id: &str, kwargs: &Kwargs) -> Option<Result<Instance, KwargsError>> {
    let (entry, spec) = find(spec_id)?;
    let arguments = Arguments::resolve(&spec.parameters, kwargs);
    Some(arguments.and_then(|arguments| (entry.instance)(&arguments)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn needs_memory(spec_id: &str, kwargs: serde_json::Value) -> bool {
        let kwargs = serde_json::from_value(kwargs).expect("an object");
        let instance = instance(spec_id, &kwargs).expect("it is in the table");
        instance.expect("good arguments").needs_memory
    }

    #[test]
    fn tasks_say_whether_remembering_earns_anything() {
        let without: Vec<&str> = specs()
            .iter()
            .filter(|spec| !spec.needs_memory)
            .map(|spec| spec.id.as_str())
            .collect();
        assert_eq!(
            without,
            [
                "BsuiteUmbrellaChain-v0",
                "BsuiteDiscountingChain-v0",
                "BitFlip-v0",
                "ReachCell-v0",
                "VelocityOnlyCartPole-v0",
                "CartPole-v1",
                "Pendulum-v1"
            ]
        );
        assert!(!needs_memory("MemoryTask-v0", json!({"delay": 1})));
        assert!(needs_memory("MemoryTask-v0", json!({"delay": 2})));
        // A wrapper makes some returns unknown, but does not change whether memory helps.
        let noisy = json!({"observation_noise": 0.1});
        assert!(!needs_memory("BsuiteUmbrellaChain-v0", noisy.clone()));
        assert!(needs_memory("MemoryTask-v0", noisy));
        assert!(!needs_memory(
            "MultiarmedBandit-v0",
            json!({"num_bandits": 1})
        ));
    }
}
