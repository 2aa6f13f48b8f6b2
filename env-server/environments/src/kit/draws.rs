//! Sources of random draws: a seeded random stream, or the script of a recorded episode.
//!
//! Every draw is made of integer arithmetic and of floating-point operations that IEEE 754 defines
//! to the last bit, so that a seed gives the same trajectory on every machine.

use std::f64::consts::TAU;

/// A source of random draws.
pub trait Draws {
    /// A fair bit.
    fn bit(&mut self) -> bool;

    /// `n` fair bits, at most 64, the first one lowest.
    fn bits(&mut self, n: u32) -> u64;

    /// An integer below `n`, each equally likely. `n` is at least 1.
    fn below(&mut self, n: u64) -> u64;

    /// An integer from `low..=high` (`1 <= low <= high < 2^53`) whose logarithm is about uniform.
    fn log_uniform(&mut self, low: u64, high: u64) -> u64;

    /// A number from `[low, high)`, uniform: one of 2^53 equally spaced ones, rounded.
    fn uniform(&mut self, low: f64, high: f64) -> f64;

    /// A number from `[0, 1)`, uniform: one of 2^24 equally spaced ones.
    fn unit_f32(&mut self) -> f32;

    /// Two independent normal numbers with mean 0 and this standard deviation.
    fn normal_pair(&mut self, deviation: f64) -> [f64; 2];

    /// Shuffles items, every order equally likely.
    fn shuffle(&mut self, items: &mut [u8]);
}

/// The random stream of a lane: xoshiro256++ (Blackman and Vigna 2021, arXiv:1805.01407), seeded
/// by SplitMix64.
///
/// The generator is written out here because snapshots hold its state, and trajectories must be the
/// same on every machine and in every version: neither may depend on the choices of another crate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rng {
    state: [u64; 4],
}

impl Rng {
    /// Makes the stream of a seed.
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

    /// Returns the next 64 random bits.
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

    /// Returns the state as 64 hexadecimal digits.
    pub fn to_hex(&self) -> String {
        let [a, b, c, d] = self.state;
        format!("{a:016x}{b:016x}{c:016x}{d:016x}")
    }

    /// Reads a state from 64 hexadecimal digits; `None` if the text is anything else, or all zero.
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

    /// The upper `n` bits of one draw.
    #[inline]
    fn bits(&mut self, n: u32) -> u64 {
        self.next_u64().checked_shr(64 - n).unwrap_or(0)
    }

    /// Takes the upper half of a 128-bit product, and rejects the few draws that would make some
    /// results more likely than others (Lemire 2019, arXiv:1805.10941).
    #[inline]
    fn below(&mut self, n: u64) -> u64 {
        let mut product = u128::from(self.next_u64()) * u128::from(n);
        if (product as u64) < n {
            let threshold = n.wrapping_neg() % n;
            while (product as u64) < threshold {
                product = u128::from(self.next_u64()) * u128::from(n);
            }
        }
        (product >> 64) as u64
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

    #[inline]
    fn uniform(&mut self, low: f64, high: f64) -> f64 {
        let unit = (self.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64);
        let number = low + (high - low) * unit;
        // Rounding may have reached the upper end.
        if number < high {
            number
        } else {
            high.next_down().max(low)
        }
    }

    #[inline]
    fn unit_f32(&mut self) -> f32 {
        (self.next_u64() >> 40) as f32 * (1.0 / (1u32 << 24) as f32)
    }

    /// Box and Muller 1958. Logarithm, sine and cosine are those of `libm`, which are the same on every
    /// machine.
    #[inline]
    fn normal_pair(&mut self, deviation: f64) -> [f64; 2] {
        // The logarithm needs a number from (0, 1].
        let radius = (-2.0 * libm::log(1.0 - self.uniform(0.0, 1.0))).sqrt();
        let (sin, cos) = libm::sincos(self.uniform(0.0, TAU));
        [deviation * (radius * cos), deviation * (radius * sin)]
    }

    /// Fisher and Yates' shuffle, from the end.
    #[inline]
    fn shuffle(&mut self, items: &mut [u8]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i as u64 + 1) as usize);
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
    fn below_gives_each_number_its_share() {
        let mut rng = Rng::from_seed(2);
        let mut counts = [0u32; 6];
        for _ in 0..60_000 {
            counts[rng.below(6) as usize] += 1;
        }
        // 10 000 draws each; five standard deviations are 456.
        for count in counts {
            assert!(count.abs_diff(10_000) < 456, "{counts:?}");
        }
        assert_eq!(rng.below(1), 0);
        // Half of all draws are rejected for this many.
        let many = (1 << 63) + 1;
        assert!((0..1000).all(|_| rng.below(many) < many));
    }

    #[test]
    fn bits_are_fair_and_no_more_than_asked_for() {
        let mut rng = Rng::from_seed(6);
        let mut ones = [0u32; 20];
        for _ in 0..10_000 {
            let bits = rng.bits(20);
            assert_eq!(bits >> 20, 0);
            for (position, count) in ones.iter_mut().enumerate() {
                *count += u32::from(bits >> position & 1 == 1);
            }
        }
        // 5000 each; five standard deviations are 250.
        assert!(ones.iter().all(|n| n.abs_diff(5000) < 250), "{ones:?}");
        let mut same = rng.clone();
        assert_eq!(rng.bits(64), same.next_u64());
        assert_eq!(rng.bits(0), 0);
    }

    #[test]
    fn uniform_numbers_fill_their_range() {
        let mut rng = Rng::from_seed(4);
        let numbers: Vec<f64> = (0..60_000).map(|_| rng.uniform(-0.05, 0.05)).collect();
        assert!(numbers.iter().all(|x| (-0.05..0.05).contains(x)));
        // The mean's standard deviation is 0.1 / sqrt(12 · 60 000) = 0.00012.
        assert!((numbers.iter().sum::<f64>() / 60_000.0).abs() < 0.0006);
        assert!(numbers.iter().any(|&x| x < -0.0499) && numbers.iter().any(|&x| x > 0.0499));
        assert!((0..1000).all(|_| (0.0..1.0).contains(&rng.unit_f32())));
        let tiny = 1.0f64.next_up();
        assert!((0..100).all(|_| rng.uniform(1.0, tiny) == 1.0));
    }

    #[test]
    fn the_same_seed_draws_the_same_on_every_machine() {
        let mut rng = Rng::from_seed(1);
        let mut cards: Vec<u8> = (0..8).collect();
        rng.shuffle(&mut cards);
        let drawn = (
            cards,
            rng.below(1000),
            rng.uniform(-1.0, 1.0),
            rng.unit_f32(),
        );
        let expected = (
            vec![4, 2, 1, 7, 3, 0, 5, 6],
            523,
            -0.806_796_348_164_061_2,
            0.134_293_74,
        );
        assert_eq!(drawn, expected);
    }

    /// 60 000 numbers with deviation 2. The standard deviation of their mean is 2 / √60 000 = 0.0082, and
    /// that of their standard deviation 2 / √120 000 = 0.0058.
    #[test]
    fn normal_numbers_have_their_deviation() {
        let mut rng = Rng::from_seed(5);
        let pairs: Vec<[f64; 2]> = (0..30_000).map(|_| rng.normal_pair(2.0)).collect();
        let numbers = pairs.concat();
        let n = numbers.len() as f64;
        let mean = numbers.iter().sum::<f64>() / n;
        let deviation = (numbers.iter().map(|x| x * x).sum::<f64>() / n).sqrt();
        assert!(mean.abs() < 0.041, "{mean}");
        assert!((deviation - 2.0).abs() < 0.029, "{deviation}");
        // The two of a pair are independent: their mean product is 0, give or take 4 / √30 000 = 0.023.
        let product = pairs.iter().map(|[a, b]| a * b).sum::<f64>() / (0.5 * n);
        assert!(product.abs() < 0.115, "{product}");
        assert_eq!(rng.normal_pair(0.0).map(f64::abs), [0.0; 2]);
    }

    #[test]
    fn every_order_is_equally_likely() {
        let mut rng = Rng::from_seed(3);
        let mut counts = std::collections::BTreeMap::new();
        for _ in 0..60_000 {
            let mut items = [0, 1, 2];
            rng.shuffle(&mut items);
            *counts.entry(items).or_insert(0u32) += 1;
        }
        assert_eq!(counts.len(), 6);
        for &count in counts.values() {
            assert!(count.abs_diff(10_000) < 456, "{counts:?}");
        }
    }
}
