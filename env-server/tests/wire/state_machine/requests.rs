//! Random requests to a server. Choices that depend on earlier requests are made when a request is
//! sent, so that any request can be left out when a failure shrinks.

use env_protocol::{AutoresetMode, Encoding};
use proptest::prelude::*;
use proptest::sample::Index;

use super::model::Mode;

/// A request about one of the environments so far.
#[derive(Clone, Debug)]
pub struct Request {
    /// The first one, if absent.
    pub about: Option<Index>,
    pub what: What,
}

#[derive(Clone, Debug)]
pub enum What {
    Operate {
        body: BodyChoice,
        seq: SeqChoice,
        encoding: Encoding,
    },
    /// Repeats an operation that was applied: the last one, or one a given number before it.
    Repeat {
        encoding: Encoding,
        before: usize,
    },
    /// Several clients send the same operation with the next seq at once.
    Storm {
        body: BodyChoice,
    },
    /// Several clients send two different operations with the next seq at once.
    Race,
    Put(PutChoice),
    /// A lease in seconds; 0 is refused.
    Lease {
        ttl_s: Option<u64>,
    },
    /// Time passes.
    Wait {
        s: u64,
    },
    Close,
    /// Saves the present state for later restores.
    Save,
}

#[derive(Clone, Debug)]
pub enum BodyChoice {
    Reset {
        seed: Option<u64>,
        delay: Option<u32>,
        mask: Option<Vec<bool>>,
    },
    /// One action per lane, cut to the number of lanes unless it `is_misshapen`.
    Step {
        actions: [i64; 2],
        is_misshapen: bool,
    },
    /// Restores with one of the kinds of damage, or without.
    Restore {
        damage: Option<usize>,
    },
    Fork {
        id: IdChoice,
        ttl_s: Option<u64>,
    },
}

#[derive(Clone, Copy, Debug)]
pub enum IdChoice {
    Fresh,
    /// The id of any environment so far.
    Known(Index),
    Malformed,
}

/// The seq of a request, relative to the next one.
#[derive(Clone, Copy, Debug)]
pub enum SeqChoice {
    None,
    Offset(i64),
    /// The largest possible number.
    Largest,
}

#[derive(Clone, Copy, Debug)]
pub enum PutChoice {
    /// The body with which the test's first environment was created.
    Usual,
    /// A body with another seed.
    Other,
    UnknownSpec,
    BadKwargs,
    BadTtl,
}

pub fn mode() -> impl Strategy<Value = Mode> {
    use AutoresetMode::{Disabled, NextStep, SameStep};
    prop::sample::select(vec![None, Some(NextStep), Some(SameStep), Some(Disabled)])
}

pub fn request() -> impl Strategy<Value = Request> {
    let about = prop::option::weighted(0.3, any::<Index>());
    (about, what()).prop_map(|(about, what)| Request { about, what })
}

fn what() -> impl Strategy<Value = What> {
    let put = prop_oneof![
        4 => Just(PutChoice::Usual),
        1 => Just(PutChoice::Other),
        1 => Just(PutChoice::UnknownSpec),
        1 => Just(PutChoice::BadKwargs),
        1 => Just(PutChoice::BadTtl),
    ];
    let operate = (body(), seq(), encoding()).prop_map(|(body, seq, encoding)| What::Operate {
        body,
        seq,
        encoding,
    });
    prop_oneof![
        30 => operate,
        6 => (encoding(), prop_oneof![2 => Just(0), 1 => 0..20usize])
            .prop_map(|(encoding, before)| What::Repeat { encoding, before }),
        2 => body().prop_map(|body| What::Storm { body }),
        1 => Just(What::Race),
        3 => put.prop_map(What::Put),
        2 => prop::sample::select(vec![None, Some(0), Some(100), Some(1_000)])
            .prop_map(|ttl_s| What::Lease { ttl_s }),
        2 => Just(What::Wait { s: 600 }),
        1 => Just(What::Close),
        2 => Just(What::Save),
    ]
}

fn body() -> impl Strategy<Value = BodyChoice> {
    let mask = prop::sample::select(vec![
        vec![true, true],
        vec![true, false],
        vec![false, true],
        vec![false, false],
        vec![true],
    ]);
    let reset = (
        prop::option::weighted(0.7, 0u64..2),
        prop::option::weighted(0.3, 0u32..3),
        prop::option::weighted(0.3, mask),
    );
    // 2 is outside the action space.
    let action = || prop_oneof![4 => 0i64..2, 1 => Just(2)];
    let step = ([action(), action()], prop::bool::weighted(0.05));
    let id = prop_oneof![
        4 => Just(IdChoice::Fresh),
        2 => any::<Index>().prop_map(IdChoice::Known),
        1 => Just(IdChoice::Malformed),
    ];
    let ttl_s = prop::sample::select(vec![None, None, Some(0), Some(100)]);
    prop_oneof![
        5 => reset.prop_map(|(seed, delay, mask)| BodyChoice::Reset { seed, delay, mask }),
        20 => step.prop_map(|(actions, is_misshapen)| BodyChoice::Step { actions, is_misshapen }),
        3 => prop::option::weighted(0.3, 0usize..4)
            .prop_map(|damage| BodyChoice::Restore { damage }),
        2 => (id, ttl_s).prop_map(|(id, ttl_s)| BodyChoice::Fork { id, ttl_s }),
    ]
}

fn seq() -> impl Strategy<Value = SeqChoice> {
    prop_oneof![
        2 => Just(SeqChoice::None),
        12 => Just(SeqChoice::Offset(0)),
        3 => Just(SeqChoice::Offset(-1)),
        1 => Just(SeqChoice::Offset(-2)),
        1 => Just(SeqChoice::Offset(1)),
        1 => Just(SeqChoice::Largest),
    ]
}

fn encoding() -> impl Strategy<Value = Encoding> {
    prop_oneof![Just(Encoding::Json), Just(Encoding::MessagePack)]
}
