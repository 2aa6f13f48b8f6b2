//! The tasks, a file each, by family, and the table of them all.
//!
//! A new task is declared and listed here, and nowhere else.

pub mod associative_recall;
mod delays;
pub mod memory_task;
pub mod persistent_recall;

pub mod bsuite {
    //! Tasks of the Behaviour Suite for Reinforcement Learning (Osband et al. 2020).

    pub mod discounting_chain;
    pub mod memory;
    pub mod umbrella_chain;
}

pub mod control {
    //! Poles and pendulums, which forces keep up: all of their state is shown here, and a part of it
    //! in [`popgym`](super::popgym).

    pub(super) mod cart_pole;
    pub mod full_cart_pole;
    pub mod full_pendulum;
    pub(crate) mod motion;
    pub(crate) mod noise;
    pub(super) mod pendulum;
    pub(super) mod settings;
    mod states;
    pub(crate) mod swing_up;
}

pub mod goals {
    //! Tasks whose goal is drawn anew for each episode and shown to the agent.

    pub mod bit_flip;
    mod goal;
    pub mod reach_cell;
}

pub mod grid {
    //! Grids that are shown from above, as rasters.

    pub mod maze;
}

pub mod popgym {
    //! Tasks of POPGym (Morad et al. 2023).

    pub mod autoencode;
    pub mod battleship;
    mod cards;
    pub mod concentration;
    pub mod count_recall;
    pub mod higher_lower;
    mod labyrinth;
    pub mod labyrinth_escape;
    pub mod labyrinth_explore;
    mod levels;
    pub mod minesweeper;
    pub mod multiarmed_bandit;
    pub mod noisy_cartpole;
    pub mod noisy_pendulum;
    pub mod position_only_pendulum;
    pub mod repeat_first;
    pub mod repeat_previous;
    pub mod stateless_cartpole;
    pub mod velocity_cartpole;
}

pub mod tmaze {
    //! T-mazes: a sign at one place says where to turn at another.

    pub mod corridor;
    pub mod distractors;
    pub mod endless;
    mod mazes;
}

use crate::entry::Entry;
use associative_recall::AssociativeRecall;
use bsuite::discounting_chain::BsuiteDiscountingChain;
use bsuite::memory::{BsuiteMemoryLen, BsuiteMemorySize};
use bsuite::umbrella_chain::BsuiteUmbrellaChain;
use control::full_cart_pole::FullCartPole;
use control::full_pendulum::FullPendulum;
use goals::bit_flip::BitFlip;
use goals::reach_cell::ReachCell;
use grid::maze::GridMaze;
use memory_task::MemoryTask;
use persistent_recall::PersistentRecall;
use popgym::autoencode::Autoencode;
use popgym::battleship::Battleship;
use popgym::concentration::Concentration;
use popgym::count_recall::CountRecall;
use popgym::higher_lower::HigherLower;
use popgym::labyrinth_escape::LabyrinthEscape;
use popgym::labyrinth_explore::LabyrinthExplore;
use popgym::minesweeper::MineSweeper;
use popgym::multiarmed_bandit::MultiarmedBandit;
use popgym::noisy_cartpole::NoisyPositionOnlyCartPole;
use popgym::noisy_pendulum::NoisyPositionOnlyPendulum;
use popgym::position_only_pendulum::PositionOnlyPendulum;
use popgym::repeat_first::RepeatFirst;
use popgym::repeat_previous::RepeatPrevious;
use popgym::stateless_cartpole::StatelessCartPole;
use popgym::velocity_cartpole::VelocityOnlyCartPole;
use tmaze::corridor::{TMazeActive, TMazePassive};
use tmaze::distractors::TMazeDistractors;
use tmaze::endless::EndlessTMaze;

/// Every task, in the order of the catalogue: new ones go to the end.
pub const ENTRIES: &[Entry] = &[
    Entry::recorded::<MemoryTask>(),
    Entry::recorded::<BsuiteMemoryLen>(),
    Entry::recorded::<BsuiteMemorySize>(),
    Entry::recorded::<BsuiteUmbrellaChain>(),
    Entry::recorded::<BsuiteDiscountingChain>(),
    Entry::recorded::<TMazePassive>(),
    Entry::recorded::<TMazeActive>(),
    Entry::recorded::<RepeatFirst>(),
    Entry::recorded::<RepeatPrevious>(),
    Entry::recorded::<Autoencode>(),
    Entry::recorded::<CountRecall>(),
    Entry::recorded::<Concentration>(),
    Entry::recorded::<HigherLower>(),
    Entry::recorded::<MultiarmedBandit>(),
    Entry::recorded::<Battleship>(),
    Entry::recorded::<MineSweeper>(),
    Entry::recorded::<StatelessCartPole>(),
    Entry::new::<EndlessTMaze>(),
    Entry::new::<PersistentRecall>(),
    Entry::new::<TMazeDistractors>(),
    Entry::new::<GridMaze>(),
    Entry::new::<BitFlip>(),
    Entry::new::<ReachCell>(),
    Entry::recorded::<LabyrinthEscape>(),
    Entry::recorded::<LabyrinthExplore>(),
    Entry::recorded::<PositionOnlyPendulum>(),
    Entry::recorded::<NoisyPositionOnlyPendulum>(),
    Entry::recorded::<NoisyPositionOnlyCartPole>(),
    Entry::recorded::<VelocityOnlyCartPole>(),
    Entry::new::<FullCartPole>(),
    Entry::new::<FullPendulum>(),
    Entry::new::<AssociativeRecall>(),
];
