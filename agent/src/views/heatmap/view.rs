//! The record of an episode that is drawn.

use serde::{Deserialize, Serialize};

use super::error::HeatMapError;

/// More cues than this are not described in words, one by one.
const MAX_CUES_DESCRIBED: usize = 4;

/// One episode of `T` steps with the memory's contents at each; step `t` is the `t`-th action,
/// counted from 0, and everything else at index `t` is what the agent had when it chose it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpisodeView {
    /// Title of the drawing: the task and the agent.
    pub title: String,
    /// The observations, flattened, all of one length: `[T][features]`.
    pub observations: Vec<Vec<f32>>,
    /// The actions, all of one number of components: `[T][components]`. Choices are whole numbers.
    pub actions: Vec<Vec<f32>>,
    /// The reward that each action brought: `[T]`.
    pub rewards: Vec<f64>,
    /// The steps whose observation holds what has to be remembered.
    pub cue_steps: Vec<u32>,
    /// The memory.
    pub memory: MemoryView,
}

/// The visible part of a memory over an episode.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum MemoryView {
    /// A memory of entries in slots.
    Slots(SlotsView),
    /// A memory whose state is a vector.
    Units(UnitsView),
    /// A memory with several named vectors.
    Vectors {
        /// The vectors, in the order in which panels show them.
        vectors: Vec<VectorView>,
    },
    /// No memory.
    None,
}

/// The kind of a memory's entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Entries {
    /// Steps of the episode.
    #[default]
    Steps,
    /// Whole episodes that came before it.
    Episodes,
}

/// The contents of `N` slots over `T` steps; all arrays are `[T, N]`, row-major.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SlotsView {
    /// `N`.
    pub num_slots: usize,
    /// The kind of the entries.
    #[serde(default)]
    pub entries: Entries,
    /// The step at which the slot's entry was written, or the number of the episode that it is; `None` in an empty
    /// slot.
    pub write_step: Vec<Option<u32>>,
    /// How useful the memory holds the entry to be; not read in an empty slot.
    pub usefulness: Vec<f32>,
    /// The share of attention the entry gets, in `0..=1`; not read in an empty slot.
    pub attention: Vec<f32>,
}

/// The values of `H` units over `T` steps, `[T, H]`, row-major.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UnitsView {
    /// `H`.
    pub num_units: usize,
    /// The units' values.
    pub values: Vec<f32>,
}

/// The values of a named vector over `T` steps, `[T, length]`, row-major.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VectorView {
    /// Name, such as "read weights".
    pub name: String,
    /// Numbers of the vector.
    pub length: usize,
    /// The numbers.
    pub values: Vec<f32>,
}

impl EpisodeView {
    /// `T`.
    #[must_use]
    pub fn num_steps(&self) -> usize {
        self.actions.len()
    }

    /// Components of an action.
    pub(super) fn num_components(&self) -> usize {
        self.actions.first().map_or(0, Vec::len)
    }

    /// Length of an observation.
    pub(super) fn num_features(&self) -> usize {
        self.observations.first().map_or(0, Vec::len)
    }

    /// Whether all parts are of the episode's length and all values can be drawn.
    pub(super) fn check(&self) -> Result<(), HeatMapError> {
        let num_steps = self.num_steps();
        if num_steps == 0 {
            return Err(HeatMapError::NoSteps);
        }
        check_length("observations", self.observations.len(), num_steps)?;
        check_length("rewards", self.rewards.len(), num_steps)?;
        for action in &self.actions {
            let num_components = self.num_components();
            check_length("components of an action", action.len(), num_components)?;
            check_finite("components of an action", action)?;
        }
        for observation in &self.observations {
            check_length(
                "features of an observation",
                observation.len(),
                self.num_features(),
            )?;
            check_finite("features of an observation", observation)?;
        }
        if let Some(index) = self.rewards.iter().position(|reward| !reward.is_finite()) {
            return Err(HeatMapError::NotFinite {
                what: "rewards",
                index,
            });
        }
        for &step in &self.cue_steps {
            check_step("cue_steps", step, num_steps - 1)?;
        }
        match &self.memory {
            MemoryView::Slots(slots) => slots.check(num_steps),
            MemoryView::Units(units) => units.check(num_steps),
            MemoryView::Vectors { vectors } => vectors.iter().try_for_each(|x| x.check(num_steps)),
            MemoryView::None => Ok(()),
        }
    }

    /// Returns a sentence about each cue.
    pub(super) fn notes(&self) -> Vec<String> {
        match &self.memory {
            MemoryView::Slots(slots) if slots.entries == Entries::Episodes => {
                vec!["The entries are whole episodes that came before this one.".to_owned()]
            }
            MemoryView::Slots(slots) => self
                .cue_steps
                .iter()
                .take(MAX_CUES_DESCRIBED)
                .map(|&cue| slots.fate_of(cue, self.num_steps()))
                .collect(),
            MemoryView::Units(_) | MemoryView::Vectors { .. } => Vec::new(),
            MemoryView::None => vec!["This agent has no memory.".to_owned()],
        }
    }
}

impl SlotsView {
    fn check(&self, num_steps: usize) -> Result<(), HeatMapError> {
        let expected = num_steps * self.num_slots;
        check_length("write_step", self.write_step.len(), expected)?;
        check_length("usefulness", self.usefulness.len(), expected)?;
        check_length("attention", self.attention.len(), expected)?;
        check_finite("usefulness", &self.usefulness)?;
        check_finite("attention", &self.attention)?;
        if self.entries == Entries::Episodes {
            return Ok(());
        }
        for (index, written) in self.write_step.iter().enumerate() {
            if let Some(written) = *written {
                check_step("write_step", written, index / self.num_slots)?;
            }
        }
        Ok(())
    }

    /// How long the entry written at step `cue` was kept, and what attention it got at the end.
    fn fate_of(&self, cue: u32, num_steps: usize) -> String {
        let holds = |index: &usize| self.write_step[*index] == Some(cue);
        let last_seen = (0..self.write_step.len())
            .rev()
            .find(holds)
            .map(|index| index / self.num_slots);
        match last_seen {
            None => format!("The cue of step {cue} never entered the memory."),
            Some(step) if step + 1 < num_steps => {
                format!("The cue of step {cue} was in memory until step {step}.")
            }
            Some(step) => {
                let last_row = step * self.num_slots..num_steps * self.num_slots;
                let attention: f32 = last_row
                    .filter(holds)
                    .map(|index| self.attention[index])
                    .sum();
                format!(
                    "The cue of step {cue} was kept to the end; at the last step it got {:.0} % of the attention.",
                    100.0 * attention
                )
            }
        }
    }
}

impl UnitsView {
    fn check(&self, num_steps: usize) -> Result<(), HeatMapError> {
        check_length("values", self.values.len(), num_steps * self.num_units)?;
        check_finite("values", &self.values)
    }
}

impl VectorView {
    fn check(&self, num_steps: usize) -> Result<(), HeatMapError> {
        check_length("values", self.values.len(), num_steps * self.length)?;
        check_finite("values", &self.values)
    }
}

fn check_length(what: &'static str, found: usize, expected: usize) -> Result<(), HeatMapError> {
    if found == expected {
        return Ok(());
    }
    Err(HeatMapError::WrongLength {
        what,
        found,
        expected,
    })
}

fn check_finite(what: &'static str, values: &[f32]) -> Result<(), HeatMapError> {
    match values.iter().position(|value| !value.is_finite()) {
        None => Ok(()),
        Some(index) => Err(HeatMapError::NotFinite { what, index }),
    }
}

fn check_step(what: &'static str, named: u32, latest: usize) -> Result<(), HeatMapError> {
    if named as usize <= latest {
        return Ok(());
    }
    Err(HeatMapError::LaterStep {
        what,
        named,
        latest,
    })
}

/// Episodes for the tests of this module.
#[cfg(test)]
pub(super) mod examples {
    use super::*;

    /// Three steps and two slots: the first keeps the cue, the second is overwritten.
    pub fn slots() -> EpisodeView {
        EpisodeView {
            title: "example".to_owned(),
            observations: vec![vec![1.0, 0.0], vec![0.0, 0.0], vec![0.0, 0.5]],
            actions: vec![vec![0.0], vec![1.0], vec![1.0]],
            rewards: vec![0.0, 0.0, 1.0],
            cue_steps: vec![0],
            memory: MemoryView::Slots(SlotsView {
                num_slots: 2,
                entries: Entries::Steps,
                write_step: vec![Some(0), None, Some(0), Some(1), Some(0), Some(2)],
                usefulness: vec![0.5, 0.0, 1.0, -1.0, 2.0, 0.0],
                attention: vec![0.75, 0.0, 0.5, 0.25, 0.875, 0.125],
            }),
        }
    }

    /// The same episode for a memory of three units.
    pub fn units() -> EpisodeView {
        EpisodeView {
            memory: MemoryView::Units(UnitsView {
                num_units: 3,
                values: vec![0.0, 0.5, -0.5, 0.25, 0.5, -1.0, 0.0, 0.0, 0.125],
            }),
            ..slots()
        }
    }

    /// The same episode for a memory with two vectors, of two numbers and of one.
    pub fn vectors() -> EpisodeView {
        let vector = |name: &str, length, values: &[f32]| VectorView {
            name: name.to_owned(),
            length,
            values: values.to_vec(),
        };
        EpisodeView {
            memory: MemoryView::Vectors {
                vectors: vec![
                    vector("read weights", 2, &[0.0, 1.0, 0.5, 0.5, 1.0, 0.0]),
                    vector("gate", 1, &[0.25, 0.5, 0.75]),
                ],
            },
            ..slots()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots_of(view: &mut EpisodeView) -> &mut SlotsView {
        match &mut view.memory {
            MemoryView::Slots(slots) => slots,
            _ => unreachable!("the example has slots"),
        }
    }

    #[test]
    fn words_say_what_became_of_a_cue() {
        let mut view = examples::slots();
        view.cue_steps = vec![0, 1, 2];
        assert_eq!(
            view.notes(),
            [
                "The cue of step 0 was kept to the end; at the last step it got 88 % of the attention.",
                "The cue of step 1 was in memory until step 1.",
                "The cue of step 2 was kept to the end; at the last step it got 12 % of the attention.",
            ]
        );
        slots_of(&mut view).write_step[3] = None;
        assert_eq!(
            view.notes()[1],
            "The cue of step 1 never entered the memory."
        );
    }

    #[test]
    fn entries_that_are_episodes_may_have_any_number() {
        let mut view = examples::slots();
        slots_of(&mut view).write_step = vec![Some(9_000); 6];
        assert!(view.check().is_err());
        slots_of(&mut view).entries = Entries::Episodes;
        assert!(view.check().is_ok());
        assert_eq!(
            view.notes(),
            ["The entries are whole episodes that came before this one."]
        );
    }

    #[test]
    fn contradictions_are_named() {
        let error = |change: fn(&mut EpisodeView)| {
            let mut view = examples::slots();
            change(&mut view);
            view.check().unwrap_err().to_string()
        };
        assert_eq!(
            error(|view| view.rewards.truncate(2)),
            "`rewards` has 2 values where 3 are expected"
        );
        assert_eq!(
            error(|view| slots_of(view).attention[4] = f32::NAN),
            "`attention` has a value at index 4 that is not finite"
        );
        assert_eq!(
            error(|view| slots_of(view).write_step[1] = Some(2)),
            "`write_step` names step 2 where the latest possible is 0"
        );
        assert_eq!(
            error(|view| view.actions.clear()),
            "the episode has no steps; play at least one before drawing it"
        );
        assert!(examples::slots().check().is_ok());
        assert!(examples::units().check().is_ok());
        assert!(examples::vectors().check().is_ok());
    }

    #[test]
    fn a_view_survives_json() {
        for view in [examples::slots(), examples::units(), examples::vectors()] {
            let json = serde_json::to_string(&view).unwrap();
            assert_eq!(serde_json::from_str::<EpisodeView>(&json).unwrap(), view);
        }
    }
}
