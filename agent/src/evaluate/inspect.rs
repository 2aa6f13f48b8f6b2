//! Plays one episode and records what the memory kept and attended to, for [`crate::views::heatmap`] to draw.

use crate::env::VectorEnv;
use crate::evaluate::{EvaluateError, EvaluateOptions, Mode, Player};
use crate::memory::{MemoryContents, SlotContents};
use crate::policy::tables::reading::{DISTANCES, RETURNS, VALUES};
use crate::views::heatmap::{Entries, EpisodeView, MemoryView, SlotsView, UnitsView, VectorView};

/// The longest episode that is recorded; with 16 slots it takes about 60 MB.
pub const MAX_STEPS: u64 = 200_000;

/// Plays a greedy episode in an environment of one lane. `seed` gives the environment's, which is never one of
/// training's; `cue_steps` are the steps whose observation has to be remembered, as far as they are known.
///
/// # Errors
/// As [`Player::evaluate`].
pub fn record_episode(
    player: &Player,
    env: &mut dyn VectorEnv,
    seed: u64,
    title: String,
    cue_steps: Vec<u32>,
) -> Result<EpisodeView, EvaluateError> {
    let options = EvaluateOptions {
        episodes: 1,
        seed,
        mode: Mode::Greedy,
        balanced: false,
        judged_step: None,
        episodes_per_lifetime: 1,
    };
    let mut view = EpisodeView {
        title,
        observations: Vec::new(),
        actions: Vec::new(),
        rewards: Vec::new(),
        cue_steps,
        memory: MemoryView::None,
    };
    player.watch(env, &options, |moment| {
        view.observations.push(moment.observation.to_vec());
        view.actions.push(moment.action.clone());
        view.rewards.push(moment.reward);
        record_memory(&mut view.memory, &moment.memory);
    })?;
    Ok(view)
}

/// Appends one step's contents; the first step decides the kind of memory.
fn record_memory(memory: &mut MemoryView, contents: &MemoryContents) {
    match contents {
        MemoryContents::Nothing => {}
        MemoryContents::Units(units) => {
            if *memory == MemoryView::None {
                *memory = MemoryView::Units(UnitsView {
                    num_units: units.len(),
                    values: Vec::new(),
                });
            }
            if let MemoryView::Units(view) = memory {
                view.values.extend_from_slice(units);
            }
        }
        MemoryContents::Vectors(vectors) => record_vectors(memory, vectors),
        MemoryContents::Slots(slots) => record_slots(memory, Entries::Steps, slots),
        MemoryContents::Episodes(slots) => record_slots(memory, Entries::Episodes, slots),
    }
}

fn record_vectors(memory: &mut MemoryView, vectors: &[(&'static str, Vec<f32>)]) {
    if *memory == MemoryView::None {
        let empty = vectors.iter().map(|(name, numbers)| VectorView {
            name: (*name).to_owned(),
            length: numbers.len(),
            values: Vec::new(),
        });
        *memory = MemoryView::Vectors {
            vectors: empty.collect(),
        };
    }
    if let MemoryView::Vectors { vectors: views } = memory {
        for (view, (_, numbers)) in views.iter_mut().zip(vectors) {
            view.values.extend_from_slice(numbers);
        }
    }
}

fn record_slots(memory: &mut MemoryView, entries: Entries, slots: &[Option<SlotContents>]) {
    if *memory == MemoryView::None {
        *memory = MemoryView::Slots(SlotsView {
            num_slots: slots.len(),
            entries,
            write_step: Vec::new(),
            usefulness: Vec::new(),
            attention: Vec::new(),
        });
    }
    if let MemoryView::Slots(view) = memory {
        for slot in slots {
            view.write_step.push(slot.map(|entry| entry.written_at));
            view.usefulness
                .push(slot.map_or(0.0, |entry| entry.usefulness));
            view.attention
                .push(slot.map_or(0.0, |entry| entry.attention));
        }
    }
}

/// Returns a line for each entry that the memory held at the end of an episode, most attended
/// first; for tables, a line for each choice with the neighbours of the last key. None for other memories.
pub fn last_contents(view: &EpisodeView) -> Vec<String> {
    let slots = match &view.memory {
        MemoryView::Slots(slots) => slots,
        MemoryView::Vectors { vectors } => return last_neighbours(view, vectors),
        _ => return Vec::new(),
    };
    let Some(first) = slots.write_step.len().checked_sub(slots.num_slots) else {
        return Vec::new();
    };
    let mut held: Vec<(u32, usize)> = (first..slots.write_step.len())
        .filter_map(|index| Some((slots.write_step[index]?, index)))
        .collect();
    held.sort_by(|a, b| slots.attention[b.1].total_cmp(&slots.attention[a.1]));
    held.into_iter()
        .map(|(written, index)| {
            let what = match slots.entries {
                Entries::Steps if view.cue_steps.contains(&written) => {
                    format!("written at step {written}, the cue")
                }
                Entries::Steps => format!("written at step {written}"),
                Entries::Episodes => format!("episode {written}"),
            };
            format!(
                "{:5.1} % of the attention, usefulness {:+.2}: slot {}, {what}",
                100.0 * slots.attention[index],
                slots.usefulness[index],
                index - first,
            )
        })
        .collect()
}

/// Neighbours in a line.
const NEIGHBOURS_SHOWN: usize = 6;

/// Returns the returns of the last key's neighbours and their distances, a line for each choice.
fn last_neighbours(view: &EpisodeView, vectors: &[VectorView]) -> Vec<String> {
    let last = |name: &str| -> Option<&[f32]> {
        let vector = vectors.iter().find(|vector| vector.name == name)?;
        vector.values.get((view.num_steps() - 1) * vector.length..)
    };
    let (Some(values), Some(returns), Some(distances)) =
        (last(VALUES), last(RETURNS), last(DISTANCES))
    else {
        return Vec::new();
    };
    let count = returns.len() / values.len();
    let lines = returns
        .chunks(count)
        .zip(distances.chunks(count))
        .enumerate();
    let line = |(choice, (returns, distances)): (usize, (&[f32], &[f32]))| {
        let there = returns
            .iter()
            .zip(distances)
            .filter(|(_, distance)| **distance >= 0.0);
        let shown = there.take(NEIGHBOURS_SHOWN);
        let shown: Vec<String> = shown
            .map(|(value, distance)| format!("{value:+.2} at {distance:.2}"))
            .collect();
        let value = values[choice];
        format!(
            "choice {choice} is worth {value:+.2}; returns of the nearest: {}",
            shown.join(", ")
        )
    };
    lines.map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::SlotContents;

    fn entry(written_at: u32, usefulness: f32, attention: f32) -> Option<SlotContents> {
        Some(SlotContents {
            written_at,
            usefulness,
            attention,
        })
    }

    #[test]
    fn slots_are_recorded_step_by_step() {
        let mut memory = MemoryView::None;
        record_memory(
            &mut memory,
            &MemoryContents::Slots(vec![entry(0, 0.5, 1.0), None]),
        );
        record_memory(
            &mut memory,
            &MemoryContents::Slots(vec![entry(0, 0.5, 0.25), entry(1, -1.0, 0.75)]),
        );
        let expected = SlotsView {
            num_slots: 2,
            entries: Entries::Steps,
            write_step: vec![Some(0), None, Some(0), Some(1)],
            usefulness: vec![0.5, 0.0, 0.5, -1.0],
            attention: vec![1.0, 0.0, 0.25, 0.75],
        };
        assert_eq!(memory, MemoryView::Slots(expected));

        let view = EpisodeView {
            title: String::new(),
            observations: vec![vec![1.0]; 2],
            actions: vec![vec![0.0]; 2],
            rewards: vec![0.0; 2],
            cue_steps: vec![0],
            memory,
        };
        assert_eq!(
            last_contents(&view),
            [
                " 75.0 % of the attention, usefulness -1.00: slot 1, written at step 1",
                " 25.0 % of the attention, usefulness +0.50: slot 0, written at step 0, the cue",
            ]
        );
    }

    #[test]
    fn units_are_recorded_step_by_step() {
        let mut memory = MemoryView::None;
        for values in [[0.5, -0.5], [1.0, 0.0]] {
            record_memory(&mut memory, &MemoryContents::Units(values.to_vec()));
        }
        let expected = UnitsView {
            num_units: 2,
            values: vec![0.5, -0.5, 1.0, 0.0],
        };
        assert_eq!(memory, MemoryView::Units(expected));
    }

    #[test]
    fn neighbours_are_told_choice_by_choice() {
        let mut memory = MemoryView::None;
        let vectors = vec![
            (VALUES, vec![0.5, -1.0]),
            (RETURNS, vec![1.0, 0.0, -1.0, 0.0]),
            (DISTANCES, vec![0.5, 2.0, 1.0, -1.0]),
        ];
        record_memory(&mut memory, &MemoryContents::Vectors(vectors));
        let view = EpisodeView {
            title: String::new(),
            observations: vec![vec![1.0]],
            actions: vec![vec![0.0]],
            rewards: vec![0.0],
            cue_steps: vec![0],
            memory,
        };
        assert_eq!(
            last_contents(&view),
            [
                "choice 0 is worth +0.50; returns of the nearest: +1.00 at 0.50, +0.00 at 2.00",
                "choice 1 is worth -1.00; returns of the nearest: -1.00 at 1.00",
            ]
        );
    }

    #[test]
    fn vectors_are_recorded_by_name() {
        let mut memory = MemoryView::None;
        for numbers in [[1.0, 2.0], [3.0, 4.0]] {
            let vectors = vec![("usage", numbers.to_vec()), ("gate", vec![0.5])];
            record_memory(&mut memory, &MemoryContents::Vectors(vectors));
        }
        let view = |name: &str, length, values: &[f32]| VectorView {
            name: name.to_owned(),
            length,
            values: values.to_vec(),
        };
        let expected = [
            view("usage", 2, &[1.0, 2.0, 3.0, 4.0]),
            view("gate", 1, &[0.5, 0.5]),
        ];
        let vectors = expected.to_vec();
        assert_eq!(memory, MemoryView::Vectors { vectors });
    }
}
