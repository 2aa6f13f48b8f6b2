//! Neural episodic control.

use super::algorithm::Algorithm;
use super::defaults::{episodic, no_check, only_choices};
use super::family::Family;
use crate::learner::episodic::nec::{Dictionary, Nec};
use crate::learner::settings::{Optimiser, Replaying};
use crate::memory::Network;
use crate::memory::episodic::embedded::{Embedded, Embedding};
use crate::policy::decider::Decider;
use crate::policy::greediness::Greediness;
use crate::policy::outputs::Outputs;
use crate::policy::tables::{Lookup, Reading, TableSettings};

/// Neural episodic control.
pub const ROW: Algorithm = Algorithm {
    id: "nec",
    title: "NEC",
    family: Family::Episodic,
    summary: "Tables of the returns that followed learned keys: a mean of the nearest by distance, whose error trains keys and rows.",
    source: "Pritzel et al. 2017, Neural Episodic Control, arXiv:1703.01988",
    decider: Decider::Network,
    defaults: || {
        episodic(|hyper| {
            hyper
                .with(Optimiser::default())
                .with(Replaying::default())
                .with(Network::default())
                .with(Embedding::default())
                .with(Dictionary::default())
        })
        .with(Greediness {
            epsilon: 0.01,
            epsilon_fraction: 0.2,
        })
        .with(Replaying {
            replay_steps: 20_000,
            train_every: 16,
            batch_size: 32,
            ..Replaying::default()
        })
        .edited(|lookup: &mut Lookup| {
            (lookup.neighbours, lookup.optimistic) = (10, false);
        })
    },
    check: no_check,
    plays: only_choices,
    core: |context| Box::new(Embedded::new(context)),
    outputs: Outputs::Tables(|hyper| TableSettings {
        lookup: hyper.get(),
        reading: Reading::Kernel {
            delta: hyper.get::<Dictionary>().kernel_delta,
        },
    }),
    learner: |context| Box::new(Nec::new(context)),
};
