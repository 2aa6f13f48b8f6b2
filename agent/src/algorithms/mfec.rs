//! Model-free episodic control.

use std::convert::identity;

use super::algorithm::Algorithm;
use super::defaults::{episodic, no_check, only_choices};
use super::family::Family;
use crate::learner::episodic::mfec::Mfec;
use crate::learner::settings::Discount;
use crate::memory::episodic::history::History;
use crate::policy::decider::Decider;
use crate::policy::greediness::Greediness;
use crate::policy::outputs::Outputs;
use crate::policy::tables::{Lookup, Reading, Recency, TableSettings};

/// Model-free episodic control.
pub const ROW: Algorithm = Algorithm {
    id: "mfec",
    title: "MFEC",
    family: Family::Episodic,
    summary: "Tables of the best return that ever followed a history, and the mean of the nearest where it is new. Nothing is trained.",
    source: "Blundell et al. 2016, Model-Free Episodic Control, arXiv:1606.04460",
    decider: Decider::Network,
    defaults: || {
        episodic(identity)
            .with(Greediness {
                epsilon: 0.005,
                epsilon_fraction: 0.0,
            })
            .edited(|discount: &mut Discount| discount.gamma = 1.0)
            .edited(|lookup: &mut Lookup| lookup.table_recency = Recency::Written)
    },
    check: no_check,
    plays: only_choices,
    core: |context| Box::new(History::new(context)),
    outputs: Outputs::Tables(|hyper| TableSettings {
        lookup: hyper.get(),
        reading: Reading::Mean,
    }),
    learner: |context| Box::new(Mfec::new(context)),
};
