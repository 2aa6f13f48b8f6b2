//! Stored steps with their targets, to learn from again.

use rand::RngExt;
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::{Deserialize, Serialize};

use crate::experience::floats;

/// Steps; the oldest make room for new ones.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Transitions {
    /// `[stored, width]`.
    #[serde(with = "floats")]
    rows: Vec<f32>,
    /// `[stored, components]`.
    actions: Vec<u32>,
    /// `[stored]`.
    #[serde(with = "floats")]
    targets: Vec<f32>,
    /// Place of the next step, once all are taken.
    next: usize,
}

impl Transitions {
    /// Returns the steps that fit into both bounds, at least one.
    pub fn capacity(steps: usize, bytes: usize, width: usize, components: usize) -> usize {
        steps
            .min(bytes / (size_of::<f32>() * (width + components + 1)))
            .max(1)
    }

    /// Returns the number of stored steps.
    pub fn len(&self) -> usize {
        self.targets.len()
    }

    /// Stores a step, in place of the oldest if there are `capacity` already.
    pub fn push(&mut self, row: &[f32], action: &[u32], target: f32, capacity: usize) {
        if self.len() < capacity {
            self.rows.extend_from_slice(row);
            self.actions.extend_from_slice(action);
            self.targets.push(target);
            return;
        }
        let at = self.next;
        self.rows[at * row.len()..][..row.len()].copy_from_slice(row);
        self.actions[at * action.len()..][..action.len()].copy_from_slice(action);
        self.targets[at] = target;
        self.next = (at + 1) % capacity;
    }

    /// Draws steps with replacement. There must be one.
    pub fn draw(&self, count: usize, rng: &mut Xoshiro256PlusPlus) -> Vec<usize> {
        (0..count)
            .map(|_| rng.random_range(0..self.len()))
            .collect()
    }

    /// Returns the row, the action and the target of a step.
    pub fn get(&self, step: usize) -> (&[f32], &[u32], f32) {
        let (width, components) = (
            self.rows.len() / self.len(),
            self.actions.len() / self.len(),
        );
        (
            &self.rows[step * width..][..width],
            &self.actions[step * components..][..components],
            self.targets[step],
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_step_makes_room() {
        let mut stored = Transitions::default();
        let capacity = Transitions::capacity(9, 3 * 4 * 4, 2, 1);
        assert_eq!(capacity, 3);
        for i in 0..5 {
            stored.push(&[i as f32, 0.5], &[i], -(i as f32), capacity);
        }
        let held: Vec<f32> = (0..3).map(|step| stored.get(step).2).collect();
        assert_eq!(held, [-3.0, -4.0, -2.0]);
        assert_eq!(stored.get(1), (&[4.0, 0.5][..], &[4][..], -4.0));
        let saved = rmp_serde::to_vec_named(&stored).unwrap();
        assert_eq!(
            rmp_serde::from_slice::<Transitions>(&saved).unwrap(),
            stored
        );
    }
}
