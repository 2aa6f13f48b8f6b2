//! Counts over the actions that need an earlier step.

/// The greatest distance of the first band; that of each further band is four times as large.
const NEAREST: u32 = 4;

/// The attention to a needed entry that was kept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Attended {
    /// Its share, as the mean over heads.
    pub mean: f64,
    /// Its share of the head that attended to it most.
    pub best_head: f64,
    /// Whether a head attended to no other slot more.
    pub is_found: bool,
}

impl Attended {
    /// The attention to a slot, of heads that attended to all slots of a lane so.
    pub fn to<'a>(slot: usize, heads: impl Iterator<Item = &'a [f32]>) -> Self {
        let mut attended = Self {
            mean: 0.0,
            best_head: 0.0,
            is_found: false,
        };
        let mut count = 0;
        for weights in heads {
            let share = weights[slot];
            count += 1;
            attended.mean += f64::from(share);
            attended.best_head = attended.best_head.max(f64::from(share));
            attended.is_found |= weights.iter().all(|&other| other <= share);
        }
        attended.mean /= f64::from(count.max(1));
        attended
    }
}

/// Counts of needed entries that are about as old.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Band {
    /// How many were needed.
    pub needed: u64,
    /// How many of them were in the slots.
    pub kept: u64,
    /// Sums over those: the share of attention as the mean over heads, and that of the best head.
    attention: f64,
    best_head: f64,
    /// To how many a head attended more than to other slots.
    found: u64,
}

impl Band {
    /// Share of the needed that were in the slots.
    pub fn kept_share(&self) -> f64 {
        self.kept as f64 / self.needed.max(1) as f64
    }

    /// Of the kept, the mean share of attention over heads.
    pub fn attention(&self) -> f64 {
        self.attention / self.kept.max(1) as f64
    }

    /// Of the kept, the share of attention of the best head.
    pub fn best_head(&self) -> f64 {
        self.best_head / self.kept.max(1) as f64
    }

    /// Share of the kept to which a head attended more than to other slots.
    pub fn found_share(&self) -> f64 {
        self.found as f64 / self.kept.max(1) as f64
    }

    fn add(&mut self, other: &Self) {
        self.needed += other.needed;
        self.kept += other.kept;
        self.attention += other.attention;
        self.best_head += other.best_head;
        self.found += other.found;
    }
}

/// Counts of all episodes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counts {
    /// By distance; see [`Counts::bands`].
    bands: Vec<Band>,
    /// Actions that needed what the episode had not shown.
    pub unseen: u64,
    /// Right actions among the others.
    pub right: u64,
}

impl Counts {
    /// Counts an action that needed the step so many steps ago, and whether it was right.
    pub fn push(&mut self, distance: u32, attended: Option<Attended>, is_right: bool) {
        let mut band = 0;
        while distance > most_of(band) {
            band += 1;
        }
        if self.bands.len() <= band {
            self.bands.resize(band + 1, Band::default());
        }
        self.right += u64::from(is_right);
        let band = &mut self.bands[band];
        band.needed += 1;
        if let Some(attended) = attended {
            band.kept += 1;
            band.attention += attended.mean;
            band.best_head += attended.best_head;
            band.found += u64::from(attended.is_found);
        }
    }

    /// The bands in which anything was needed, each with its least and its greatest distance in steps.
    pub fn bands(&self) -> impl Iterator<Item = ([u32; 2], &Band)> {
        let bands = self.bands.iter().enumerate();
        let bands = bands.filter(|(_, band)| band.needed > 0);
        bands.map(|(at, band)| {
            let least = at.checked_sub(1).map_or(0, most_of) + 1;
            ([least, most_of(at)], band)
        })
    }

    /// All bands as one.
    pub fn all(&self) -> Band {
        let mut all = Band::default();
        self.bands.iter().for_each(|band| all.add(band));
        all
    }

    /// Actions that needed an earlier step, shown or not.
    pub fn needed(&self) -> u64 {
        self.all().needed + self.unseen
    }

    /// Share of them that needed what the episode had not shown.
    pub fn unseen_share(&self) -> f64 {
        self.unseen as f64 / self.needed().max(1) as f64
    }

    /// Share of right actions where the episode had shown what was needed.
    pub fn right_share(&self) -> f64 {
        self.right as f64 / self.all().needed.max(1) as f64
    }
}

/// The greatest distance of a band.
fn most_of(band: usize) -> u32 {
    NEAREST.saturating_mul(4u32.saturating_pow(band as u32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attention_is_the_mean_over_heads_and_that_of_the_best() {
        let heads = [[0.25f32, 0.75, 0.0], [0.5, 0.0, 0.25]];
        let attended = |slot| Attended::to(slot, heads.iter().map(|head| &head[..]));
        let expected = Attended {
            mean: 0.375,
            best_head: 0.5,
            is_found: true,
        };
        assert_eq!(attended(0), expected);
        let expected = Attended {
            mean: 0.125,
            best_head: 0.25,
            is_found: false,
        };
        assert_eq!(attended(2), expected);
    }

    #[test]
    fn distances_fall_into_bands() {
        let mut counts = Counts::default();
        let attended = Attended {
            mean: 0.25,
            best_head: 0.5,
            is_found: true,
        };
        counts.push(4, Some(attended), true);
        counts.push(17, Some(attended), true);
        counts.push(64, None, false);
        counts.push(65, None, false);
        counts.unseen += 1;
        let bands: Vec<_> = counts
            .bands()
            .map(|(distances, band)| (distances, band.needed, band.kept))
            .collect();
        assert_eq!(bands, [([1, 4], 1, 1), ([17, 64], 2, 1), ([65, 256], 1, 0)]);
        let all = counts.all();
        assert_eq!((all.kept_share(), all.attention()), (0.5, 0.25));
        assert_eq!((all.best_head(), all.found_share()), (0.5, 1.0));
        assert_eq!((counts.needed(), counts.unseen_share()), (5, 0.2));
        assert_eq!(counts.right_share(), 0.5);
        assert_eq!(most_of(40), u32::MAX);
    }
}
