//! Of every cue the same number of episodes.

/// Rounds after which no more are looked for: fair cues need two or three, and a task with one cue only would never end.
const MAX_ROUNDS: usize = 64;

/// Balancing did not come to an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "cannot balance over the cue: after 64 rounds there were {below} episodes of one kind and {above} of the other; \
     --no-balance takes them as they come"
)]
pub struct Unbalanced {
    /// First number below one half.
    pub below: usize,
    /// One half or more.
    pub above: usize,
}

/// Seeds from `first_seed` on, of the first `episodes / 2` episodes whose first observation has a first number below one
/// half, then of the first ones above. `first_numbers` tells that number for each of `episodes` seeds.
///
/// # Errors
/// [`Unbalanced`], and what `first_numbers` fails with.
pub fn balanced_seeds<E: From<Unbalanced>>(
    first_seed: u64,
    episodes: usize,
    mut first_numbers: impl FnMut(&[u64]) -> Result<Vec<f32>, E>,
) -> Result<Vec<u64>, E> {
    let mut next = first_seed;
    let wanted = [episodes / 2, episodes - episodes / 2];
    let mut found: [Vec<u64>; 2] = Default::default();
    for _ in 0..MAX_ROUNDS {
        let batch: Vec<u64> = (next..).take(episodes).collect();
        next += episodes as u64;
        for (&seed, first) in batch.iter().zip(first_numbers(&batch)?) {
            let cue = usize::from(first >= 0.5);
            if found[cue].len() < wanted[cue] {
                found[cue].push(seed);
            }
        }
        if found[0].len() == wanted[0] && found[1].len() == wanted[1] {
            return Ok(found.concat());
        }
    }
    Err(Unbalanced {
        below: found[0].len(),
        above: found[1].len(),
    }
    .into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_seeds_of_each_cue_are_kept() {
        // Multiples of three have a cue of 1.
        let cue = |seeds: &[u64]| {
            let cues = seeds.iter().map(|seed| f32::from(u8::from(seed % 3 == 0)));
            Ok::<_, Unbalanced>(cues.collect())
        };
        assert_eq!(balanced_seeds(10, 4, cue), Ok(vec![10, 11, 12, 15]));
    }

    #[test]
    fn a_task_with_one_cue_is_told() {
        let always = |seeds: &[u64]| Ok::<_, Unbalanced>(vec![1.0; seeds.len()]);
        let (below, above) = (0, 2);
        assert_eq!(
            balanced_seeds(0, 4, always),
            Err(Unbalanced { below, above })
        );
    }
}
