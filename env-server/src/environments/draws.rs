//! Where environments draw from: a seeded random stream, or the script of a recorded episode.

/// A source of random draws.
pub trait Draws {
    /// A fair bit.
    fn bit(&mut self) -> bool;

    /// An integer from `low..=high` (`1 <= low <= high < 2^53`) whose logarithm is about uniform.
    fn log_uniform(&mut self, low: u64, high: u64) -> u64;
}

/// One recorded draw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Draw {
    /// Answers [`Draws::bit`].
    Bit(bool),
    /// Answers [`Draws::log_uniform`].
    Integer(u64),
}

/// The random stream of a lane: xoshiro256++ (Blackman and Vigna 2021, arXiv:1805.01407), seeded
/// by SplitMix64.
///
/// It is written out here because snapshots hold its state and trajectories are promised to be the
/// same on every machine and in every version: both must not depend on another crate's choices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rng {
    state: [u64; 4],
}

impl Rng {
    /// The stream of a seed.
    pub fn from_seed(seed: u64) -> Self {
        let mut counter = seed;
        let state = std::array::from_fn(|_| {
            counter = counter.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = counter;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        });
        Rng { state }
    }

    /// The next 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        let s = &mut self.state;
        let result = s[0].wrapping_add(s[3]).rotate_left(23).wrapping_add(s[0]);
        let t = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= t;
        s[3] = s[3].rotate_left(45);
        result
    }

    /// The state as 64 hexadecimal digits.
    pub fn to_hex(&self) -> String {
        let [a, b, c, d] = self.state;
        format!("{a:016x}{b:016x}{c:016x}{d:016x}")
    }

    /// The state from 64 hexadecimal digits, if they are that and not all zero.
    pub fn from_hex(text: &str) -> Option<Self> {
        if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        let mut state = [0; 4];
        for (i, word) in state.iter_mut().enumerate() {
            *word = u64::from_str_radix(&text[16 * i..16 * (i + 1)], 16).ok()?;
        }
        (state != [0; 4]).then_some(Rng { state })
    }
}

impl Draws for Rng {
    #[inline]
    fn bit(&mut self) -> bool {
        self.next_u64() >> 63 == 1
    }

    /// `low · ((high + 1) / low)^u`, rounded down, for a uniform `u` of 32 bits.
    ///
    /// The power is built from square roots, which IEEE 754 defines to the last bit, so that the
    /// draw is the same on machines whose logarithms are not.
    fn log_uniform(&mut self, low: u64, high: u64) -> u64 {
        let bits = self.next_u64() >> 32;
        let mut root = (high + 1) as f64 / low as f64;
        let mut power = 1.0;
        for position in (0..32).rev() {
            root = root.sqrt();
            if bits >> position & 1 == 1 {
                power *= root;
            }
        }
        ((low as f64 * power) as u64).clamp(low, high)
    }
}

/// Draws scripted in advance. It notes the first one that was asked for and not there.
#[derive(Debug)]
pub struct Script {
    draws: std::vec::IntoIter<Draw>,
    fault: Option<String>,
}

impl Script {
    /// Gives these draws, in this order.
    pub fn new(draws: Vec<Draw>) -> Self {
        Script {
            draws: draws.into_iter(),
            fault: None,
        }
    }

    /// Checks that exactly the scripted draws were made.
    ///
    /// # Errors
    /// Says what was asked for and not there, or how many were left over.
    pub fn finish(self) -> Result<(), String> {
        match (self.fault, self.draws.len()) {
            (Some(fault), _) => Err(fault),
            (None, 0) => Ok(()),
            (None, left) => Err(format!("{left} recorded draws were never asked for")),
        }
    }

    fn miss(&mut self, wanted: &str, found: Option<Draw>) {
        let found = match found {
            Some(draw) => format!("{draw:?}"),
            None => "none is left".to_owned(),
        };
        let fault = format!("the environment drew {wanted}, but of the recorded draws {found}");
        self.fault.get_or_insert(fault);
    }
}

impl Draws for Script {
    fn bit(&mut self) -> bool {
        match self.draws.next() {
            Some(Draw::Bit(bit)) => bit,
            other => {
                self.miss("a bit", other);
                false
            }
        }
    }

    fn log_uniform(&mut self, low: u64, high: u64) -> u64 {
        match self.draws.next() {
            Some(Draw::Integer(n)) if (low..=high).contains(&n) => n,
            other => {
                self.miss(&format!("an integer from {low} to {high}"), other);
                low
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rand_core::{Rng as _, SeedableRng};
    use rand_xoshiro::Xoshiro256PlusPlus;

    #[test]
    fn equals_the_published_generator() {
        for seed in [0, 1, 7, u64::MAX] {
            let mut ours = Rng::from_seed(seed);
            let mut theirs = Xoshiro256PlusPlus::seed_from_u64(seed);
            for _ in 0..1000 {
                assert_eq!(ours.next_u64(), theirs.next_u64());
            }
        }
    }

    #[test]
    fn state_survives_as_text() {
        let mut rng = Rng::from_seed(3);
        rng.next_u64();
        let text = rng.to_hex();
        assert_eq!(Rng::from_hex(&text), Some(rng));
        assert_eq!(Rng::from_hex(&"0".repeat(64)), None);
        assert_eq!(Rng::from_hex(&"+".repeat(64)), None);
        assert_eq!(Rng::from_hex("é"), None);
        assert_eq!(Rng::from_hex(&text[1..]), None);
    }

    #[test]
    fn log_uniform_gives_each_octave_its_share() {
        let mut rng = Rng::from_seed(11);
        let mut octaves = [0u32; 6];
        for _ in 0..60_000 {
            let n = rng.log_uniform(4, 255);
            assert!((4..=255).contains(&n));
            octaves[n.ilog2() as usize - 2] += 1;
        }
        // Six octaves, 10 000 draws each; five standard deviations are 456.
        for count in octaves {
            assert!(count.abs_diff(10_000) < 456, "{octaves:?}");
        }
        assert_eq!(rng.log_uniform(9, 9), 9);
    }

    #[test]
    fn a_script_notices_what_does_not_match() {
        let mut script = Script::new(vec![Draw::Bit(true), Draw::Integer(5)]);
        assert!(script.bit());
        assert_eq!(script.log_uniform(4, 6), 5);
        assert_eq!(script.finish(), Ok(()));
        let left = Script::new(vec![Draw::Bit(true)]).finish().unwrap_err();
        assert_eq!(left, "1 recorded draws were never asked for");
        let mut short = Script::new(vec![]);
        short.bit();
        assert_eq!(
            short.finish().unwrap_err(),
            "the environment drew a bit, but of the recorded draws none is left"
        );
    }
}
