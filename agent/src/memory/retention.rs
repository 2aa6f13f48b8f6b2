//! What the retention score of TraceRL's memory is trained on, besides the gate in its attention.

use super::Segment;

/// Targets of the usefulness regression `(uᵢ − αᵢ·R)²` of the reference notebook.
///
/// `index`, `weights`: `[rows, width]` as attention read them from a pool that begins with the null slot, whose column
/// comes first. `returns`: `[rows]`. Returns the index into the pool without the null slot and the targets `αᵢ·R`, both
/// `[rows, width - 1]`. Targets carry no gradient.
pub fn usefulness_targets(
    index: &[i32],
    weights: &[f32],
    returns: &[f32],
    width: usize,
) -> (Vec<i32>, Vec<f32>) {
    let mut slots = Vec::with_capacity(index.len());
    let mut targets = Vec::with_capacity(index.len());
    for ((index, weights), &outcome) in index
        .chunks_exact(width)
        .zip(weights.chunks_exact(width))
        .zip(returns)
    {
        slots.extend(index[1..].iter().map(|&entry| (entry - 1).max(-1)));
        targets.extend(weights[1..].iter().map(|&weight| weight * outcome));
    }
    (slots, targets)
}

/// The last numbers of a row's decisions: what became of the entry that the row offered.
pub mod fate {
    /// How many there are.
    pub const WIDTH: usize = 3;
    /// Bits of the entry's key κ until the rollout is settled, NaN in a lane without noise; then of κ*, the N-th largest
    /// key among the episode's other entries.
    pub const KEY: usize = 0;
    /// 1 if the entry was among the N largest.
    pub const KEPT: usize = 1;
    /// Step of the rollout at which the entry's episode ended; -1 where there is nothing to credit.
    pub const END: usize = 2;
}

/// Finds the fate of every entry offered in a rollout: the bar that it had to pass to be in memory when its episode
/// ended, and whether it did. There is nothing to credit for entries of episodes that began before the rollout or go on
/// after it, of episodes with no more than `slots` steps, and of lanes without noise.
///
/// `starts`, `ends`: `[T*B]`; `decisions`: `[T*B, width]`, of which the last [`fate::WIDTH`] columns are read and written.
pub fn settle(
    batch: usize,
    starts: &[bool],
    ends: &[bool],
    decisions: &mut [i32],
    width: usize,
    slots: usize,
) {
    let (mut keys, mut sorted) = (Vec::new(), Vec::new());
    for lane in 0..batch {
        let mut begin = None;
        for step in 0..starts.len() / batch {
            let row = step * batch + lane;
            if starts[row] {
                begin = Some(row);
            }
            if !ends[row] {
                continue;
            }
            let Some(first) = begin.take() else { continue };
            let rows = || (first..=row).step_by(batch);
            let fate_of = |row: usize| (row + 1) * width - fate::WIDTH;
            keys.clear();
            keys.extend(
                rows().map(|row| f32::from_bits(decisions[fate_of(row) + fate::KEY] as u32)),
            );
            if keys.len() <= slots || keys.iter().any(|key| key.is_nan()) {
                continue;
            }
            sorted.clone_from(&keys);
            sorted.sort_by(|a: &f32, b| b.total_cmp(a));
            for (row, &key) in rows().zip(&keys) {
                let kept = key >= sorted[slots - 1];
                let threshold = if kept {
                    sorted[slots]
                } else {
                    sorted[slots - 1]
                };
                let fate = &mut decisions[fate_of(row)..][..fate::WIDTH];
                fate[fate::KEY] = threshold.to_bits() as i32;
                fate[fate::KEPT] = i32::from(kept);
                fate[fate::END] = step as i32;
            }
        }
    }
}

/// For every entry offered in a segment: the bar that it had to pass to be in memory when its episode ended, whether it
/// did, and the advantage of the outcome; weight 0 where there is nothing to credit.
#[derive(Debug, PartialEq)]
pub struct OfferedEntries {
    /// κ*: the N-th largest key among the episode's other entries.
    pub threshold: Vec<f32>,
    /// Whether the entry was among the N largest.
    pub kept: Vec<bool>,
    /// Advantage of the episode's last action.
    pub weight: Vec<f32>,
}

impl OfferedEntries {
    /// Reads the fates in the last columns of the decisions, `width` numbers a row.
    pub fn of(segment: &Segment<'_>, width: usize) -> Self {
        let rows = segment.starts.len();
        let mut offered = Self {
            threshold: vec![f32::NEG_INFINITY; rows],
            kept: vec![true; rows],
            weight: vec![0.0; rows],
        };
        for (row, decisions) in segment.decisions.chunks_exact(width).enumerate() {
            let fate = &decisions[width - fate::WIDTH..];
            if let Ok(end) = usize::try_from(fate[fate::END]) {
                offered.threshold[row] = f32::from_bits(fate[fate::KEY] as u32);
                offered.kept[row] = fate[fate::KEPT] == 1;
                offered.weight[row] = segment.advantages[end * segment.batch + row % segment.batch];
            }
        }
        offered
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::State;

    /// Two lanes, five steps, one slot. Lane 0 has an episode of three steps with keys 1, 3, 2 and one that goes on;
    /// lane 1 ends one that began before, then has one of two steps without noise, then one of a single step.
    #[test]
    fn fates_by_hand() {
        let nan = f32::NAN;
        let keys = [[1.0, 9.0], [3.0, nan], [2.0, nan], [5.0, 4.0], [6.0, 7.0]];
        let starts = [
            [true, false],
            [false, true],
            [false, false],
            [true, true],
            [false, true],
        ];
        let ends = [
            [false, true],
            [false, false],
            [true, true],
            [false, true],
            [false, false],
        ];
        let mut decisions: Vec<i32> = keys
            .concat()
            .into_iter()
            .flat_map(|key: f32| [77, key.to_bits() as i32, 0, -1])
            .collect();
        settle(2, &starts.concat(), &ends.concat(), &mut decisions, 4, 1);
        let advantages: Vec<f32> = (0..10u8).map(f32::from).collect();
        let segment = Segment {
            steps: 5,
            batch: 2,
            inputs: &[],
            starts: &starts.concat(),
            ends: &ends.concat(),
            actions: &[],
            rewards: &[],
            initial_state: &State::new(2, Vec::new()),
            decisions: &decisions,
            returns: &[],
            advantages: &advantages,
        };
        let offered = OfferedEntries::of(&segment, 4);
        let none = f32::NEG_INFINITY;
        assert_eq!(
            offered.threshold,
            [3.0, none, 2.0, none, 3.0, none, none, none, none, none]
        );
        // The one slot went to the largest key, that of row 2.
        let dropped = [0, 4];
        for row in 0..10 {
            assert_eq!(offered.kept[row], !dropped.contains(&row), "{row}");
        }
        // The episode ended in row 4.
        assert_eq!(
            offered.weight,
            [4.0, 0.0, 4.0, 0.0, 4.0, 0.0, 0.0, 0.0, 0.0, 0.0]
        );
        assert!(decisions.iter().step_by(4).all(|&column| column == 77));
    }
}
