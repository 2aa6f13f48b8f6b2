use super::*;
use crate::memory::slots::state::{initial_state, write};
use crate::nn::Params;
use crate::seeds::LaneGenerators;

/// A rule without parameters.
fn rule(kind: RetentionRule, slots: usize, recent: usize) -> Rule {
    Rule {
        kind,
        slots,
        recent,
        head: None,
        evictions: None,
        coef: 0.0,
        draws: array::SUMMARIES,
    }
}

/// Adds to a rule a head whose number is the embedding, which has one number.
fn with_head(rule: Rule, params: &mut Params) -> Rule {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(0);
    let weight = params.add("weight", (1, 1), Init::Constant(1.0), &mut rng);
    let bias = params.add("bias", (1, 1), Init::Zeros, &mut rng);
    Rule {
        head: Some((weight, bias)),
        ..rule
    }
}

/// Adds choices to a rule, whose scores are the embeddings.
fn with_evictions(rule: Rule, params: &mut Params) -> Rule {
    let is_address = rule.kind == RetentionRule::Aler;
    Rule {
        evictions: Some(Evictions::of_numbers(rule.slots, is_address, params)),
        ..rule
    }
}

/// Writes the entry of one lane's next step. It has this embedding, and the slots got this attention before. Returns the numbers
/// for learning, and the steps that the slots hold then.
fn write_next(
    rule: &Rule,
    params: &Params,
    state: &mut State,
    (embedding, attention): (f32, &[f32]),
    mut rng: Option<&mut LaneGenerators>,
) -> ([f32; fate::WIDTH], Vec<f32>) {
    state.arrays[array::ATTENTION].data[..attention.len()].copy_from_slice(attention);
    let mut graph = Graph::inference(params);
    let embedded = graph.constant(vec![embedding], (1, 1));
    let has_noise = noise_of(rng.as_deref_mut(), 0).is_some();
    let judged = rule.judge(&mut graph, state, &embedded, rng.as_deref_mut());
    let noise = rule.noise(rng, state, 0);
    let offer = Offer {
        input: &[0.0],
        embedding: &[embedding],
        usefulness: 7.0,
        gate: 0.0,
        noise: noise.unwrap_or(0.0),
        key: rule.key(judged.as_deref(), 0, 7.0, noise.unwrap_or(0.0)),
    };
    let fate = rule.fate(state, 0, &offer, noise, has_noise);
    write(state, 0, rule.recent, &offer);
    state.arrays[array::AGE].data[0] += 1.0;
    state.arrays[array::CLOCK].data[0] += 1.0;
    (fate, state.arrays[array::WRITTEN].data.clone())
}

/// The steps held after each of some steps with these embeddings, nothing being attended to.
fn held(rule: &Rule, params: &Params, embeddings: &[f32]) -> Vec<Vec<f32>> {
    let mut state = initial_state(1, rule.slots, 1, 1, 0);
    let mut next = |&embedding| write_next(rule, params, &mut state, (embedding, &[]), None).1;
    embeddings.iter().map(&mut next).collect()
}

/// The steps held after each of some steps in which the slots got this attention.
fn held_attended(rule: &Rule, attention: &[&[f32]]) -> Vec<Vec<f32>> {
    let (mut state, params) = (initial_state(1, rule.slots, 1, 1, 0), Params::new());
    let mut next = |of_step: &&[f32]| write_next(rule, &params, &mut state, (0.0, of_step), None).1;
    attention.iter().map(&mut next).collect()
}

#[test]
fn fifo_keeps_the_latest() {
    let steps = held(&rule(RetentionRule::Fifo, 2, 2), &Params::new(), &[0.0; 4]);
    assert_eq!(steps[1], [0.0, 1.0]);
    assert_eq!(steps[2], [2.0, 1.0]);
    assert_eq!(steps[3], [2.0, 3.0]);
}

#[test]
fn the_least_recently_attended_goes() {
    let attention: [&[f32]; 5] = [
        &[0.0, 0.0],
        // More than the half that is an even share of one entry and the null slot.
        &[0.6, 0.0],
        // More than a third: 0 was attended to now, 1 never since its write.
        &[0.5, 0.2],
        // None: 0 was attended to before 2 was written.
        &[0.1, 0.2],
        // Both: the first of them goes.
        &[0.4, 0.35],
    ];
    let steps = held_attended(&rule(RetentionRule::Lru, 2, 0), &attention);
    assert_eq!(steps[1], [0.0, 1.0]);
    assert_eq!(steps[2], [0.0, 2.0]);
    assert_eq!(steps[3], [3.0, 2.0]);
    assert_eq!(steps[4], [4.0, 2.0]);
}

#[test]
fn the_least_attended_goes_when_it_leaves_the_ring() {
    let attention: [&[f32]; 5] = [
        &[0.0, 0.0, 0.0],
        &[0.5, 0.0, 0.0],
        &[0.3, 0.2, 0.0],
        // Of 0, 1 and 2 so far 0.8, 0.35 and 0.4.
        &[0.4, 0.1, 0.05],
        // Of 3 no more than 0.1, of 2 now 0.5.
        &[0.1, 0.0, 0.1],
    ];
    let steps = held_attended(&rule(RetentionRule::AttentionMass, 3, 1), &attention);
    assert_eq!(steps[1], [1.0, 0.0, EMPTY]);
    assert_eq!(steps[2], [2.0, 0.0, 1.0]);
    assert_eq!(steps[3], [3.0, 0.0, 2.0]);
    assert_eq!(steps[4], [4.0, 0.0, 2.0]);
}

/// log σ of 0, 2 and −2 is −0.69, −0.13 and −2.13 for each step of age.
#[test]
fn what_has_decayed_most_goes() {
    let mut params = Params::new();
    let rule = with_head(rule(RetentionRule::Trim, 2, 0), &mut params);
    let steps = held(&rule, &params, &[0.0, 2.0, -2.0, 2.0, 0.0]);
    assert_eq!(steps[1], [0.0, 1.0]);
    // −1.39 against −0.13.
    assert_eq!(steps[2], [2.0, 1.0]);
    // −2.13 against −0.25.
    assert_eq!(steps[3], [3.0, 1.0]);
    // The older of two equal ones: −0.13 against −0.38.
    assert_eq!(steps[4], [3.0, 4.0]);
}

/// The scores of attention fall by as much as importance.
#[test]
fn attention_decays_with_age() {
    let mut params = Params::new();
    let rule = with_head(rule(RetentionRule::Trim, 3, 0), &mut params);
    let mut state = initial_state(1, 3, 1, 1, 0);
    for embedding in [0.0, 2.0] {
        write_next(&rule, &params, &mut state, (embedding, &[]), None);
    }
    let mut graph = Graph::inference(&params);
    let times = [0.0, 1.0, EMPTY];
    let terms = rule
        .held_terms(&mut graph, &state, &[0, 1, 2, -1], &times)
        .unwrap();
    let log_sigmoid = |x: f32| -(-x).exp().ln_1p();
    let expected = [0.0, 2.0 * log_sigmoid(0.0), log_sigmoid(2.0), 0.0];
    for (found, expected) in nn::values(&terms).iter().zip(expected) {
        assert!((found - expected).abs() < 1e-6, "{found} {expected}");
    }
}

#[test]
fn the_largest_values_are_kept_without_noise() {
    let mut params = Params::new();
    let rule = with_head(rule(RetentionRule::Q, 2, 0), &mut params);
    let steps = held(&rule, &params, &[1.0, 3.0, 2.0, 2.0, 5.0]);
    assert_eq!(steps[1], [0.0, 1.0]);
    assert_eq!(steps[2], [2.0, 1.0]);
    assert_eq!(steps[3], [2.0, 1.0]);
    assert_eq!(steps[4], [4.0, 1.0]);
}

/// Of six entries two are kept: each in a third of the lanes, in the first and in the second episode, and not the same two.
/// A third of 3,000 lanes has a deviation of 26.
#[test]
fn a_reservoir_is_a_uniform_sample() {
    const LANES: usize = 3_000;
    let rule = rule(RetentionRule::Reservoir, 2, 0);
    let mut state = initial_state(LANES, 2, 1, 1, 0);
    state.arrays.extend(rule.array(LANES));
    let episodes = [(); 2].map(|()| {
        for lane in 0..LANES {
            state::clear(&mut state, lane);
        }
        for age in 0..6u8 {
            state.arrays[array::AGE].data.fill(f32::from(age));
            for lane in 0..LANES {
                let noise = rule.noise(None, &mut state, lane).unwrap();
                let offer = Offer {
                    input: &[0.0],
                    embedding: &[0.0],
                    usefulness: f32::from(age),
                    gate: 0.0,
                    noise,
                    key: rule.key(None, lane, f32::from(age), noise),
                };
                write(&mut state, lane, 0, &offer);
            }
        }
        state.arrays[array::WRITTEN].data.clone()
    });
    for kept in &episodes {
        for age in 0..6u8 {
            let times = kept.iter().filter(|&&step| step == f32::from(age)).count();
            assert!((895..=1_105).contains(&times), "{age}: {times}");
        }
    }
    assert_ne!(episodes[0], episodes[1]);
    // Lanes draw from streams of their own.
    let pairs: Vec<&[f32]> = episodes[0].chunks_exact(2).collect();
    assert!(pairs.iter().any(|pair| pair != &pairs[0]));
}

const EMBEDDINGS: [f32; 5] = [1.0, 3.0, 2.0, 0.0, 5.0];

/// The places that were chosen, and the steps held after each step.
fn played(kind: RetentionRule) -> (Vec<f32>, Vec<Vec<f32>>) {
    let mut params = Params::new();
    let rule = with_evictions(rule(kind, 2, 0), &mut params);
    let mut state = initial_state(1, 2, 1, 1, 0);
    let mut next = |embedding| {
        let ([place, credit], held) =
            write_next(&rule, &params, &mut state, (embedding, &[]), None);
        // Without noise nothing was drawn.
        assert!(credit.is_nan());
        (place, held)
    };
    EMBEDDINGS.map(&mut next).into_iter().unzip()
}

#[test]
fn without_noise_the_likeliest_goes() {
    let (places, steps) = played(RetentionRule::Ngc);
    assert!(places[0].is_nan() && places[1].is_nan());
    assert_eq!(places[2..], [1.0, 1.0, 2.0]);
    assert_eq!(steps[1..], [[0.0, 1.0], [0.0, 2.0], [0.0, 3.0], [0.0, 3.0]]);
}

#[test]
fn an_address_is_always_written() {
    let (places, steps) = played(RetentionRule::Aler);
    assert_eq!(places[2..], [1.0, 1.0, 0.0]);
    assert_eq!(steps[1..], [[0.0, 1.0], [0.0, 2.0], [0.0, 3.0], [4.0, 3.0]]);
}

/// Scores ln 1, ln 2 and ln 5: an eighth, two and five. A quarter of 4,000 has a deviation of 27.
#[test]
fn evictions_are_drawn_from_the_softmax_of_the_scores() {
    let mut params = Params::new();
    let rule = with_evictions(rule(RetentionRule::Ngc, 2, 0), &mut params);
    let mut rng = LaneGenerators::new(1, 0..1);
    let mut counts = [0; 3];
    for _ in 0..4_000 {
        let mut state = initial_state(1, 2, 1, 1, 0);
        for embedding in [0.0, 2.0f32.ln()] {
            write_next(&rule, &params, &mut state, (embedding, &[]), Some(&mut rng));
        }
        let last = (5.0f32.ln(), &[][..]);
        let ([place, credit], _) = write_next(&rule, &params, &mut state, last, Some(&mut rng));
        assert_eq!(credit, 0.0);
        counts[place as usize] += 1;
    }
    for (count, expected) in counts.into_iter().zip([500, 1_000, 2_500i32]) {
        assert!((expected - count).abs() < 120, "{counts:?}");
    }
}
