//! bsuite's discounting chain: five arms that pay once, later and later; one pays a little more.
//!
//! Observation `[context, t/100]`. The first action becomes the context (−1 before) and is the
//! chosen arm; later actions do nothing. An episode has 100 steps. Arm a pays once, at step
//! 1, 3, 10, 30 or 100: 1, or 1.1 for the bonus arm, which is `mapping_seed` mod 5. Nothing is
//! drawn in an episode.
//!
//! Nothing must be remembered within an episode; the choice must be credited up to 100 steps
//! later. Returns: random 1.02, memoryless, best and oracle 1.1. Without a `mapping_seed` the bonus
//! arm is drawn before the first episode and stays the same. No observation shows it, so a player
//! that knows nothing of earlier episodes expects 1.02.
//!
//! Source: Osband et al. 2020, arXiv:1908.03568; bsuite 0.3.6,
//! `environments/discounting_chain.py`. Quirk kept: the second slot counts up, where a comment of
//! the original has it count down. Deviations: rows are flat, not `(1, n)`; a step after the end
//! does not reset.

use env_protocol::{Bound, Dtype, Parameter, Returns, Space};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::kit::recording::{ensure, parse};
use crate::render::{Bar, Picture, Seen, Tone};
use crate::{
    Arguments, Catalogued, Draw, Draws, Environment, KwargsError, Pictured, Profile, Recorded,
    Transition,
};

/// Steps of an episode.
const LENGTH: u32 = 100;
/// Step at which each arm pays.
const PAYS_AT: [u32; 5] = [1, 3, 10, 30, 100];
/// Reward of the bonus arm; the others pay 1.
const BONUS: f64 = 1.1;

/// `BsuiteDiscountingChain-v0`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BsuiteDiscountingChain {
    /// Whether the bonus arm follows from a `mapping_seed`.
    is_mapped: bool,
    /// `None` before it is drawn.
    bonus_arm: Option<u8>,
    /// The chosen arm.
    context: Option<u8>,
    /// Actions until the end of the episode.
    remaining: u32,
}

impl BsuiteDiscountingChain {
    fn observe(&self, observation: &mut [f32]) {
        let t = LENGTH - self.remaining;
        observation[0] = self.context.map_or(-1.0, f32::from);
        observation[1] = (f64::from(t) / f64::from(LENGTH)) as f32;
    }

    fn pays(&self, arm: u8) -> f64 {
        if self.bonus_arm == Some(arm) {
            BONUS
        } else {
            1.0
        }
    }
}

impl Catalogued for BsuiteDiscountingChain {
    fn profile() -> Profile {
        Profile {
            id: "BsuiteDiscountingChain-v0",
            description: "The first action chooses one of five arms, which pay after 1, 3, 10, 30 \
                          or 100 steps; one of them pays 1.1, the others 1.",
            parameters: vec![Parameter::integer(
                "mapping_seed",
                "The arm that pays more is this modulo 5. When left out, it is drawn before the \
                 first episode.",
                0,
                i64::from(u32::MAX),
                None,
            )],
            remember: "nothing within an episode: the task asks for credit assignment over up to \
                       100 steps",
            source: "bsuite 0.3.6, discounting_chain (Osband et al. 2020, arXiv:1908.03568)",
        }
    }

    fn reward_range(&self) -> [f64; 2] {
        [0.0, BONUS]
    }

    fn returns(&self) -> Returns {
        let known = if self.is_mapped { BONUS } else { 1.02 };
        Returns {
            random: Some(1.02),
            memoryless: Some(known),
            best: Some(known),
            oracle: Some(BONUS),
            note: "Without mapping_seed, memoryless and best are those of a player that knows \
                   nothing of earlier episodes."
                .to_owned(),
        }
    }

    /// Returns relative to a player that knows the bonus arm. A player can find the arm over
    /// several episodes, even without a `mapping_seed`.
    fn solved_threshold(&self) -> Option<f64> {
        let returns = Returns {
            best: Some(BONUS),
            ..self.returns()
        };
        returns.solved_threshold()
    }
}

impl Environment for BsuiteDiscountingChain {
    type Element = f32;
    type Action = i64;

    fn new(arguments: &Arguments) -> Result<Self, KwargsError> {
        let bonus_arm = arguments
            .natural("mapping_seed")?
            .map(|seed| (seed % 5) as u8);
        Ok(BsuiteDiscountingChain {
            is_mapped: bonus_arm.is_some(),
            bonus_arm,
            context: None,
            remaining: 0,
        })
    }

    fn observation_space(&self) -> Space {
        Space::Box {
            shape: vec![2],
            dtype: Dtype::Float32,
            low: Bound::Each(vec![-1.0, 0.0]),
            high: Bound::Each(vec![4.0, 1.0]),
        }
    }

    fn action_space(&self) -> Space {
        Space::Discrete { n: 5, start: 0 }
    }

    fn inherit(&mut self, previous: &Self) {
        if self.bonus_arm.is_none() {
            self.bonus_arm = previous.bonus_arm;
        }
    }

    /// Draws the bonus arm once, unless it is given.
    fn reset(&mut self, draws: &mut impl Draws, observation: &mut [f32]) {
        let drawn = || draws.below(PAYS_AT.len() as u64) as u8;
        self.bonus_arm.get_or_insert_with(drawn);
        self.context = None;
        self.remaining = LENGTH;
        self.observe(observation);
    }

    #[inline]
    fn step(
        &mut self,
        action: &[i64],
        _draws: &mut impl Draws,
        observation: &mut [f32],
    ) -> Transition {
        let arm = *self.context.get_or_insert(action[0] as u8);
        self.remaining -= 1;
        self.observe(observation);
        let is_paid = PAYS_AT[usize::from(arm)] == LENGTH - self.remaining;
        let reward = if is_paid { self.pays(arm) } else { 0.0 };
        Transition::new(reward, self.remaining == 0, false)
    }

    fn oracle(&self) -> Vec<i64> {
        vec![i64::from(self.bonus_arm.unwrap_or(0))]
    }

    fn validate(&self) -> Result<(), String> {
        let is_arm = |arm: Option<u8>| arm.is_none_or(|arm| usize::from(arm) < PAYS_AT.len());
        let has_chosen = self.remaining < LENGTH;
        if !is_arm(self.bonus_arm) || !is_arm(self.context) || self.remaining > LENGTH {
            return Err("there are 5 arms and 100 steps".to_owned());
        }
        if self.bonus_arm.is_none() && (self.is_mapped || self.is_running()) {
            return Err("the bonus arm is missing".to_owned());
        }
        if self.is_running() && has_chosen != self.context.is_some() {
            return Err("the first action chooses the arm".to_owned());
        }
        Ok(())
    }

    fn is_running(&self) -> bool {
        self.remaining > 0
    }
}

impl Pictured for BsuiteDiscountingChain {
    /// Shows when each arm pays, the time, and the chosen arm.
    fn picture(&self, seen: &Seen<'_, f32>) -> Picture {
        let share = |t: u32| f64::from(t) / f64::from(LENGTH);
        let t = LENGTH.saturating_sub(self.remaining);
        let arms = PAYS_AT.iter().zip(0_u8..).map(|(&at, arm)| {
            let is_chosen = self.context == Some(arm);
            let tone = match (is_chosen, self.bonus_arm == Some(arm)) {
                (true, true) => Tone::Good,
                (true, false) => Tone::Agent,
                (false, true) => Tone::Goal,
                (false, false) => Tone::Hidden,
            };
            Bar::new(&format!("arm {arm}"), share(at))
                .tick(share(t))
                .note(&format!("{} at step {at}", self.pays(arm)))
                .tone(tone)
                .chosen(is_chosen && t == 1)
        });
        let picture = Picture::new()
            .bars("when each arm pays (tick: now)", arms)
            .grid("context, time", seen.grid());
        let Some(arm) = self.context else {
            return picture.note(Tone::Goal, "the next action chooses the arm");
        };
        let at = PAYS_AT.get(usize::from(arm)).copied().unwrap_or(LENGTH);
        let (verb, tone) = match self.pays(arm) == BONUS {
            _ if at > t => ("will pay", Tone::Hidden),
            true => ("has paid", Tone::Good),
            false => ("has paid", Tone::Agent),
        };
        let text = format!("arm {arm} is chosen and {verb} {}", self.pays(arm));
        picture.note(tone, &text)
    }
}

impl Recorded for BsuiteDiscountingChain {
    const REFERENCE_NAME: &'static str = "bsuite/discounting_chain";

    /// `{"bonus_arm", "arm_rewards", "arm_reward_step"}`.
    fn script(&self, latent: &Value) -> Result<Vec<Draw>, String> {
        #[derive(Deserialize)]
        struct Latent {
            bonus_arm: u8,
            arm_rewards: Vec<f64>,
            arm_reward_step: Vec<u32>,
        }
        let latent: Latent = parse(latent)?;
        let mut mapped = self.clone();
        let bonus_arm = *mapped.bonus_arm.get_or_insert(latent.bonus_arm);
        ensure(bonus_arm == latent.bonus_arm, || {
            format!("the bonus arm is {bonus_arm} here")
        })?;
        let pays: Vec<f64> = (0..5).map(|arm| mapped.pays(arm)).collect();
        ensure(latent.arm_rewards == pays, || {
            format!("the arms pay {pays:?} here")
        })?;
        ensure(latent.arm_reward_step == PAYS_AT, || {
            format!("the arms pay at {PAYS_AT:?} here")
        })?;
        Ok(match self.bonus_arm {
            Some(_) => Vec::new(),
            None => vec![Draw::Integer(u64::from(bonus_arm))],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rng;
    use crate::check::{arguments, check_environment};
    use serde_json::json;

    fn chain(kwargs: Value) -> BsuiteDiscountingChain {
        BsuiteDiscountingChain::new(&arguments::<BsuiteDiscountingChain>(kwargs)).unwrap()
    }

    #[test]
    fn keeps_the_contract() {
        for kwargs in [json!({"mapping_seed": 3}), json!({})] {
            check_environment::<BsuiteDiscountingChain>(kwargs);
        }
    }

    #[test]
    fn each_arm_pays_once_at_its_step() {
        let mut chain = chain(json!({"mapping_seed": 7}));
        let mut rng = Rng::from_seed(1);
        let mut observation = [9.0; 2];
        for (arm, at) in PAYS_AT.into_iter().enumerate() {
            chain.reset(&mut rng, &mut observation);
            assert_eq!(observation, [-1.0, 0.0]);
            for t in 1..=100 {
                let action = if t == 1 { arm as i64 } else { 0 };
                let transition = chain.step(&[action], &mut rng, &mut observation);
                let pays = if arm == 2 { 1.1 } else { 1.0 };
                let reward = if t == at { pays } else { 0.0 };
                assert_eq!(transition, Transition::new(reward, t == 100, false));
                assert_eq!(observation, [arm as f32, t as f32 / 100.0]);
            }
        }
        assert_eq!(rng, Rng::from_seed(1), "nothing is drawn");
    }

    #[test]
    fn a_drawn_arm_stays() {
        let mut chain = chain(json!({"mapping_seed": null}));
        let mut rng = Rng::from_seed(1);
        chain.reset(&mut rng, &mut [0.0; 2]);
        let after_one_draw = rng.clone();
        let drawn = chain.bonus_arm;
        chain.reset(&mut rng, &mut [0.0; 2]);
        assert_eq!((chain.bonus_arm, rng), (drawn, after_one_draw));
        let mut next = BsuiteDiscountingChain {
            bonus_arm: None,
            ..chain.clone()
        };
        next.inherit(&chain);
        assert_eq!(next.bonus_arm, drawn);
    }
}
