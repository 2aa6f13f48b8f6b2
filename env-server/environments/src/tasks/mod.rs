//! The tasks, a file each, by family.

pub mod memory_task;
pub mod persistent_recall;

pub mod bsuite {
    //! Tasks of the Behaviour Suite for Reinforcement Learning (Osband et al. 2020).

    pub mod discounting_chain;
    pub mod memory;
    pub mod umbrella_chain;
}

pub mod popgym {
    //! Tasks of POPGym (Morad et al. 2023).

    pub mod autoencode;
    pub mod battleship;
    mod cards;
    pub mod concentration;
    pub mod count_recall;
    pub mod higher_lower;
    mod levels;
    pub mod minesweeper;
    pub mod multiarmed_bandit;
    pub mod repeat_first;
    pub mod repeat_previous;
    pub mod stateless_cartpole;
}

pub mod tmaze {
    //! T-mazes: a sign at one place says where to turn at another.

    pub mod corridor;
    pub mod distractors;
    pub mod endless;
    mod mazes;
}
