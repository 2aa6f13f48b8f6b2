//! Why a configuration is refused.

/// Why a configuration was refused.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum ConfigError {
    /// A value outside its range.
    #[error("{name} = {value} is out of range: it must be {range}")]
    OutOfRange {
        /// The hyper-parameter.
        name: &'static str,
        /// The given value.
        value: String,
        /// The allowed range.
        range: &'static str,
    },
    /// A hyper-parameter that would do nothing.
    #[error(
        "{algorithm} has nothing that {name} would change: leave it out (`agent list {algorithm}` shows what it has)"
    )]
    Unused {
        /// The hyper-parameter.
        name: &'static str,
        /// The algorithm.
        algorithm: &'static str,
    },
    /// `her` was switched on.
    #[error(
        "her: hindsight experience replay relabels goals in a replay that action values are learned from (Andrychowicz et \
         al. 2017); {algorithm} has none. Leave it off, or take dqn or drqn"
    )]
    Her {
        /// The algorithm.
        algorithm: &'static str,
    },
    /// `her` was switched on for a task without goals.
    #[error(
        "her: this task has no goals. They are entries `achieved_goal` and `desired_goal`, of one size, of an observation that is \
         a Dict, as BitFlip-v0 has them. Leave it off"
    )]
    NoGoals,
    /// The heads of an attention share an embedding's numbers out evenly.
    #[error(
        "{name} = {width} cannot be shared out to the {heads} heads of the attention: it must be a multiple of {heads}"
    )]
    Heads {
        /// The hyper-parameter.
        name: &'static str,
        /// As set.
        width: usize,
        /// The memory's.
        heads: usize,
    },
    /// A dataset, and something that would have to play.
    #[error("dataset: {reason}")]
    Dataset {
        /// What is in the way, and what to do.
        reason: &'static str,
    },
    /// A dataset, for an algorithm that plays.
    #[error(
        "dataset: {algorithm} learns from what it plays, not from recorded episodes. Leave it out, or take an algorithm that \
         learns from them: dt"
    )]
    Plays {
        /// The algorithm.
        algorithm: &'static str,
    },
    /// Whole episodes are replayed from their beginnings.
    #[error(
        "burn_in would do nothing: with replay_length = 0 whole episodes are replayed. Leave it out, or set replay_length"
    )]
    BurnIn,
    /// Modules share the hidden units out evenly.
    #[error(
        "hidden_size = {hidden_size} cannot be shared out to modules = {modules}: it must be a multiple of {modules}"
    )]
    Modules {
        /// As set.
        hidden_size: usize,
        /// As set.
        modules: usize,
    },
    /// The active modules are some of the modules.
    #[error("active_modules = {active_modules} is more than modules = {modules}")]
    ActiveModules {
        /// As set.
        active_modules: usize,
        /// As set.
        modules: usize,
    },
    /// The score-function term is on the keeping of steps.
    #[error(
        "memory_score_coef = {memory_score_coef} would do nothing: with memory_scope = lifetime no steps are kept, only \
         whole episodes. Leave it out, or take memory_scope = both"
    )]
    ScoreWithoutSteps {
        /// As set.
        memory_score_coef: f32,
    },
    /// Only steps are read by more than attention, and only dropped steps are summed up.
    #[error(
        "{setting} would do nothing: with memory_scope = lifetime no steps are kept, only whole episodes. Leave it out, or \
         take memory_scope = both"
    )]
    ReadingWithoutSteps {
        /// The setting, as NAME = VALUE.
        setting: String,
    },
    /// Phases are those of an age.
    #[error(
        "age_phases = true has nothing to add to while relative_age = false: leave one of them out"
    )]
    PhasesWithoutAges,
    /// The second head takes the newest match.
    #[error(
        "newest_match = true is about the second way of asking and further ones, and slot_heads = 1: set slot_heads = 2, or leave it out"
    )]
    NewestMatchWithoutHeads,
    /// A rule of retention, and something that does not go with it.
    #[error("retention_rule = {rule}: {reason}")]
    RetentionRule {
        /// As set.
        rule: String,
        /// What is in the way, and what to do.
        reason: &'static str,
    },
    /// The latest steps are in the memory's own slots.
    #[error(
        "recent_entries = {recent_entries} is more than max_entries = {max_entries}: they are some of the memory's slots"
    )]
    MoreRecentThanSlots {
        /// As set.
        recent_entries: usize,
        /// As set.
        max_entries: usize,
    },
    /// Minibatches are made of whole environments.
    #[error(
        "num_minibatches = {num_minibatches} is more than num_envs = {num_envs}: a minibatch holds whole environments"
    )]
    MoreMinibatchesThanEnvs {
        /// As set.
        num_minibatches: usize,
        /// As set.
        num_envs: usize,
    },
    /// Not one step.
    #[error(
        "total_timesteps = {total_timesteps} is not one step in each of num_envs = {num_envs} environments"
    )]
    TooFewTimesteps {
        /// As set.
        total_timesteps: u64,
        /// As set.
        num_envs: usize,
    },
    /// Options are given at resets, and a rollout can begin with one only where episodes are whole.
    #[error("an option drawn for each rollout needs whole_episodes: set --whole-episodes")]
    DrawsNeedWholeEpisodes,
    /// The algorithm cannot play this task.
    #[error("{algorithm} cannot play this task: {reason}")]
    NotApplicable {
        /// The algorithm.
        algorithm: &'static str,
        /// Why.
        reason: &'static str,
    },
    /// No algorithm was named.
    #[error("which algorithm? Name one of them with --algorithm: {known}")]
    NoAlgorithm {
        /// The ids there are.
        known: String,
    },
    /// No such algorithm.
    #[error("there is no algorithm `{name}`{meant}: there are {known}")]
    UnknownAlgorithm {
        /// As given.
        name: String,
        /// A hint at the id that was probably meant.
        meant: String,
        /// The ids there are.
        known: String,
    },
}
