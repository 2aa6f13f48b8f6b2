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

/// For every entry offered in a segment: the bar that it had to pass to be in memory when its episode ended, whether it
/// did, and the advantage of the outcome. Entries of episodes that began before the segment or go on after it have
/// weight 0, and so have those of lanes without noise, whose keys are NaN.
pub struct OfferedEntries {
    /// κ*: the N-th largest key among the episode's other entries, −∞ where there are fewer.
    pub threshold: Vec<f32>,
    /// Whether the entry was among the N largest.
    pub kept: Vec<bool>,
    /// Advantage of the episode's last action.
    pub weight: Vec<f32>,
}

impl OfferedEntries {
    /// Reads keys from the last column of the decisions, `width` numbers a row.
    pub fn of(segment: &Segment<'_>, width: usize, slots: usize) -> Self {
        let rows = segment.starts.len();
        let mut offered = Self {
            threshold: vec![f32::NEG_INFINITY; rows],
            kept: vec![true; rows],
            weight: vec![0.0; rows],
        };
        let key = |row: usize| f32::from_bits(segment.decisions[row * width + width - 1] as u32);
        for lane in 0..segment.batch {
            let row = |step: usize| step * segment.batch + lane;
            let mut begin = None;
            for step in 0..segment.steps {
                if segment.starts[row(step)] {
                    begin = Some(step);
                }
                if segment.ends[row(step)]
                    && let Some(begin) = begin.take()
                {
                    let keys: Vec<f32> = (begin..=step).map(|step| key(row(step))).collect();
                    offered.set_episode(&keys, slots, segment.advantages[row(step)], |i| {
                        row(begin + i)
                    });
                }
            }
        }
        offered
    }

    fn set_episode(
        &mut self,
        keys: &[f32],
        slots: usize,
        advantage: f32,
        row: impl Fn(usize) -> usize,
    ) {
        if keys.len() <= slots || keys.iter().any(|key| key.is_nan()) {
            return;
        }
        let mut sorted = keys.to_vec();
        sorted.sort_by(|a, b| b.total_cmp(a));
        for (i, &key) in keys.iter().enumerate() {
            let kept = key >= sorted[slots - 1];
            self.kept[row(i)] = kept;
            self.threshold[row(i)] = if kept {
                sorted[slots]
            } else {
                sorted[slots - 1]
            };
            self.weight[row(i)] = advantage;
        }
    }
}
