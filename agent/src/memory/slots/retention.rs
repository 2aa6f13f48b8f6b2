//! Training targets of the retention score of TraceRL's memory, in addition to the gate in its
//! attention.

use crate::memory::Segment;

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
    pub const WIDTH: usize = 2;
    /// Bits of the entry's key κ until the rollout is settled, NaN in a lane without noise; then of the bound that the key
    /// reached: had it been lower, the entry would have been dropped earlier. Of a rule that chooses what goes: its choice.
    pub const LOW: usize = 0;
    /// Bits of the bound that the key did not reach: had it, the entry would have been kept longer. NaN where there is
    /// nothing to credit, as everywhere until the rollout is settled.
    pub const HIGH: usize = 1;
}

/// How a memory's slots are shared out.
#[derive(Clone, Copy, Debug)]
pub struct Ring {
    /// Slots that hold the latest entries. Only what leaves them is offered to the others.
    pub recent: usize,
    /// Slots that entries compete for.
    pub others: usize,
}

/// Finds the fate of every entry offered in a rollout. There is nothing to credit for entries of
/// episodes that began before the rollout or continue after it, for entries that never left the
/// ring, and in lanes without noise.
///
/// `starts`, `ends`: `[T*B]`; `decisions`: `[T*B, width]`; the last [`fate::WIDTH`] columns are
/// read and written.
pub fn settle(
    batch: usize,
    starts: &[bool],
    ends: &[bool],
    decisions: &mut [i32],
    width: usize,
    ring: Ring,
) {
    let fate_of = |row: usize| (row + 1) * width - fate::WIDTH;
    let mut keys = Vec::new();
    for (first, end) in whole_episodes(batch, starts, ends) {
        let rows = || (first..=end).step_by(batch);
        keys.clear();
        keys.extend(rows().map(|row| f32::from_bits(decisions[fate_of(row) + fate::LOW] as u32)));
        // The entry that the last step writes is never read, nor is an entry that only this write
        // would drop.
        let offered = (keys.len() - 1).saturating_sub(ring.recent);
        if offered <= ring.others || keys.iter().any(|key| key.is_nan()) {
            continue;
        }
        let bounds = bounds(&keys[..offered], ring.others);
        for (row, [low, high]) in rows().zip(bounds) {
            let fate = &mut decisions[fate_of(row)..][..fate::WIDTH];
            fate[fate::LOW] = low.to_bits() as i32;
            fate[fate::HIGH] = high.to_bits() as i32;
        }
    }
}

/// Between which bounds the key of each of some entries lay that were offered to so many slots, one after the other. An
/// entry stays as long as its key is larger than the smallest of the largest others. Dropped, it was larger than the
/// largest dropped before it (while it was offered to free slots and until then), and smaller than all that stay.
fn bounds(keys: &[f32], slots: usize) -> Vec<[f32; 2]> {
    let mut bounds = vec![[f32::NEG_INFINITY, f32::INFINITY]; keys.len()];
    let mut held: Vec<usize> = Vec::with_capacity(slots + 1);
    let mut largest_dropped = f32::NEG_INFINITY;
    for entry in 0..keys.len() {
        held.push(entry);
        if held.len() <= slots {
            continue;
        }
        // Of two equal entries the older stays.
        let smallest = |held: &[usize]| {
            (0..held.len())
                .rev()
                .min_by(|&a, &b| keys[held[a]].total_cmp(&keys[held[b]]))
        };
        let Some(weakest) = smallest(&held) else {
            continue;
        };
        let dropped = held.remove(weakest);
        let least = smallest(&held).map_or(f32::INFINITY, |at| keys[held[at]]);
        // An entry that is dropped at once has never been in the memory.
        let low = match dropped == entry {
            true => f32::NEG_INFINITY,
            false => largest_dropped,
        };
        bounds[dropped] = [low, least];
        largest_dropped = largest_dropped.max(keys[dropped]);
    }
    for kept in held {
        bounds[kept][0] = largest_dropped;
    }
    bounds
}

/// For every entry offered in a segment: the bounds of its key, and how much better than expected went what came after it;
/// weight 0 where there is nothing to credit.
#[derive(Debug, PartialEq)]
pub struct OfferedEntries {
    /// Bounds of the key.
    pub bounds: Vec<[f32; 2]>,
    /// Sum of the episode's rewards from the entry's step on, less the mean over the other episodes of the segment that
    /// reached that step, over the deviation of these differences. No value function is subtracted: it sees what is in
    /// the memory, and would take away just what keeping it was worth.
    pub weight: Vec<f32>,
}

impl OfferedEntries {
    /// Reads the fates in the last columns of the decisions, `width` numbers a row.
    pub fn of(segment: &Segment<'_>, width: usize) -> Self {
        let (rows, batch) = (segment.starts.len(), segment.batch);
        let mut offered = Self {
            bounds: vec![[f32::NEG_INFINITY, f32::INFINITY]; rows],
            weight: vec![0.0; rows],
        };
        // By age of the episode: the sum of returns from there on, and how many.
        let mut by_age: Vec<(f64, f64)> = Vec::new();
        let mut credited: Vec<(usize, usize, f64)> = Vec::new();
        for (first, end) in whole_episodes(batch, segment.starts, segment.ends) {
            let mut to_go = 0.0;
            let length = (end - first) / batch + 1;
            by_age.resize(by_age.len().max(length), (0.0, 0.0));
            for age in (0..length).rev() {
                let row = first + age * batch;
                to_go += f64::from(segment.rewards[row]);
                by_age[age].0 += to_go;
                by_age[age].1 += 1.0;
                let fate = &segment.decisions[(row + 1) * width - fate::WIDTH..][..fate::WIDTH];
                let bounds =
                    [fate::LOW, fate::HIGH].map(|bound| f32::from_bits(fate[bound] as u32));
                if !bounds[1].is_nan() {
                    offered.bounds[row] = bounds;
                    credited.push((row, age, to_go));
                }
            }
        }
        let others = |&(row, age, to_go): &(usize, usize, f64)| {
            let (sum, count) = by_age[age];
            let mean = (sum - to_go) / (count - 1.0);
            (row, if count > 1.0 { to_go - mean } else { 0.0 })
        };
        let differences: Vec<(usize, f64)> = credited.iter().map(others).collect();
        let squares: f64 = differences
            .iter()
            .map(|(_, difference)| difference.powi(2))
            .sum();
        let deviation = (squares / differences.len().max(1) as f64).sqrt();
        if deviation > 1e-8 {
            for (row, difference) in differences {
                offered.weight[row] = (difference / deviation) as f32;
            }
        }
        offered
    }
}

/// First and last row of every episode that lies whole within a rollout, lane by lane. `starts`, `ends`: `[T*B]`.
fn whole_episodes(
    batch: usize,
    starts: &[bool],
    ends: &[bool],
) -> impl Iterator<Item = (usize, usize)> {
    (0..batch).flat_map(move |lane| {
        let mut begin = None;
        let rows = (lane..starts.len()).step_by(batch);
        rows.filter_map(move |row| {
            if starts[row] {
                begin = Some(row);
            }
            match ends[row] {
                true => Some((begin.take()?, row)),
                false => None,
            }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::State;

    const NEVER: f32 = f32::NEG_INFINITY;
    const ALWAYS: f32 = f32::INFINITY;

    #[test]
    fn bounds_by_hand() {
        // One slot: 1 stays until 3 comes; 2 never gets in; 3 stays until 5 comes.
        let keys = [1.0, 3.0, 2.0, 5.0, 4.0];
        let expected = [
            [NEVER, 3.0],
            [2.0, 5.0],
            [NEVER, 3.0],
            [4.0, ALWAYS],
            [NEVER, 5.0],
        ];
        assert_eq!(bounds(&keys, 1), expected);
        // Two slots: 1 is dropped for 2 while 3 stays; 4 pushes out 2, which was larger than 1.
        let keys = [1.0, 3.0, 2.0, 4.0];
        let expected = [[NEVER, 2.0], [2.0, ALWAYS], [1.0, 3.0], [2.0, ALWAYS]];
        assert_eq!(bounds(&keys, 2), expected);
        // Without a slot nothing is kept whatever its key.
        assert_eq!(bounds(&keys[..1], 0), [[NEVER, ALWAYS]]);
        assert_eq!(bounds(&[2.0, 2.0], 1), [[2.0, ALWAYS], [NEVER, 2.0]]);
    }

    /// A key that moves within its bounds does not change the stays of entries; a key that moves
    /// out does.
    #[test]
    fn bounds_are_where_an_entrys_stay_changes() {
        let keys: Vec<f32> = (0..40u8).map(|i| f32::from(i * 37 % 101)).collect();
        let slots = 5;
        let leaves = |keys: &[f32], entry: usize| {
            let held = |upto: usize| {
                let mut order: Vec<usize> = (0..=upto).collect();
                order.sort_by(|&a, &b| keys[b].total_cmp(&keys[a]));
                order[..slots.min(order.len())].contains(&entry)
            };
            (entry..keys.len()).find(|&upto| !held(upto))
        };
        for (entry, [low, high]) in bounds(&keys, slots).into_iter().enumerate() {
            assert!((low..high).contains(&keys[entry]));
            let moved = |key: f32| {
                let mut keys = keys.clone();
                keys[entry] = key;
                leaves(&keys, entry)
            };
            let stays = leaves(&keys, entry);
            for (bound, inside, outside) in [(low, 0.25, -0.25), (high, -0.25, 0.25)] {
                if bound.is_finite() {
                    assert_eq!(moved(bound + inside), stays, "{entry}");
                    assert_ne!(moved(bound + outside), stays, "{entry}");
                }
            }
        }
    }

    /// Two lanes, five steps, one slot. Lane 0 has an episode of four steps with keys 1, 3, 2, 9,
    /// the last of them never read, and an unfinished one; lane 1 ends an episode that began before, then
    /// has one of four steps.
    fn offered(noiseless: bool, ring: Ring) -> OfferedEntries {
        let nan = if noiseless { f32::NAN } else { 4.0 };
        let keys = [[1.0, 9.0], [3.0, nan], [2.0, 6.0], [9.0, 5.0], [6.0, 7.0]];
        let starts = [
            [true, false],
            [false, true],
            [false, false],
            [false, false],
            [true, false],
        ];
        let ends = [
            [false, true],
            [false, false],
            [false, false],
            [true, false],
            [false, true],
        ];
        let mut decisions: Vec<i32> = keys
            .concat()
            .into_iter()
            .flat_map(|key: f32| [77, key.to_bits() as i32, f32::NAN.to_bits() as i32])
            .collect();
        settle(2, &starts.concat(), &ends.concat(), &mut decisions, 3, ring);
        assert!(decisions.iter().step_by(3).all(|&column| column == 77));
        // Lane 0: 1 in all; lane 1: 3 in its second episode, at its third step.
        let rewards = [0.0, 50.0, 0.0, 0.0, 0.0, 0.0, 1.0, 3.0, 0.0, 0.0];
        let segment = Segment {
            steps: 5,
            batch: 2,
            inputs: &[],
            starts: &starts.concat(),
            ends: &ends.concat(),
            actions: &[],
            rewards: &rewards,
            goals: None,
            initial_state: &State::new(2, Vec::new()),
            decisions: &decisions,
            returns: &[],
            values: &[],
        };
        OfferedEntries::of(&segment, 3)
    }

    const NOTHING: [f32; 2] = [NEVER, ALWAYS];

    #[test]
    fn fates_by_hand() {
        let one = Ring {
            recent: 0,
            others: 1,
        };
        let both = offered(false, one);
        let expected = [
            [NEVER, 3.0],
            NOTHING,
            [2.0, ALWAYS],
            [NEVER, 6.0],
            [NEVER, 3.0],
            [5.0, ALWAYS],
            NOTHING,
            [NEVER, 6.0],
            NOTHING,
            NOTHING,
        ];
        assert_eq!(both.bounds, expected);
        // Each of the first three steps of both episodes: 1 less 3, and 3 less 1.
        let expected = [-1.0, 0.0, -1.0, 1.0, -1.0, 1.0, 0.0, 1.0, 0.0, 0.0];
        assert_eq!(both.weight, expected);
        // A lane without noise has chosen nothing, but is what the other is compared with.
        let alone = offered(true, one);
        assert_eq!(alone.bounds[3], NOTHING);
        assert_eq!(alone.weight[..5], [-1.0, 0.0, -1.0, 0.0, -1.0]);
    }

    #[test]
    fn what_never_leaves_the_ring_is_not_credited() {
        let ring = Ring {
            recent: 1,
            others: 1,
        };
        // Of 1, 3, 2 two leave it and compete.
        let offered = offered(true, ring);
        assert_eq!(offered.bounds[0], [NEVER, 3.0]);
        assert_eq!(offered.bounds[2], [1.0, ALWAYS]);
        assert_eq!(offered.bounds[4], NOTHING);
        assert_eq!(offered.weight[4], 0.0);
    }
}
