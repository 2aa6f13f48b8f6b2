//! Parts shared by several sections of the page.

use agent::evaluate::Mode;
use serde::Serialize;

use crate::format::fixed;
use crate::scores::statistics::Estimate;
use crate::scores::summary::{AgentSummary, ExperimentSummary};
use crate::scores::verdict::Verdict;

/// Number of colours for agents in the page's style.
const COLOURS: usize = 8;

/// Colours of the agents, the same in every figure.
pub struct Colours {
    pub names: Vec<String>,
    classes: Vec<String>,
}

impl Colours {
    pub fn new(summaries: &[ExperimentSummary<'_>]) -> Self {
        let mut names: Vec<String> = Vec::new();
        for agent in summaries.iter().flat_map(|summary| &summary.agents) {
            if !names.contains(&agent.agent.name) {
                names.push(agent.agent.name.clone());
            }
        }
        let classes = (0..names.len().max(1))
            .map(|index| format!("c{}", index % COLOURS))
            .collect();
        Self { names, classes }
    }

    pub fn class(&self, name: &str) -> &str {
        let index = self
            .names
            .iter()
            .position(|known| known == name)
            .unwrap_or(0);
        &self.classes[index]
    }
}

#[derive(Serialize)]
pub struct Figure {
    pub title: String,
    pub caption: String,
    pub svg: String,
}

#[derive(Serialize)]
pub struct GridCell {
    verdict: &'static str,
    class: &'static str,
    greedy: String,
    detail: String,
}

pub fn grid_cell(summary: &AgentSummary<'_>) -> GridCell {
    let verdict = summary.verdict();
    let value = |mode, format: fn(&Estimate) -> String| {
        summary
            .estimate(mode)
            .map_or_else(|| "–".to_owned(), |judged| format(&judged))
    };
    let class = match verdict {
        Verdict::Remembers => "good",
        Verdict::ActionTrail => "trick",
        Verdict::UsesMemory | Verdict::Untested => "uses",
        Verdict::AsGoodAsWithoutMemory
        | Verdict::NoBetterThanRandom
        | Verdict::WorseThanRandom
        | Verdict::NothingToRemember
        | Verdict::NotApplicable => "chance",
        Verdict::Failed => "failed",
    };
    GridCell {
        verdict: verdict.name(),
        class,
        greedy: value(Mode::Greedy, |judged| fixed(judged.mean, 2)),
        detail: match summary.not_applicable {
            Some(reason) => reason.to_owned(),
            None => Mode::ALL
                .map(|mode| format!("{mode} {}", value(mode, Estimate::to_string)))
                .join(", "),
        },
    }
}

/// Returns the mark next to an agent's name.
pub fn badge(summary: &AgentSummary<'_>) -> Option<&'static str> {
    match (&summary.agent.external, summary.agent.tuned) {
        (Some(_), _) => Some("external"),
        (None, true) => Some("tuned"),
        (None, false) => None,
    }
}

pub fn or_dash<T>(value: Option<T>, format: impl FnOnce(T) -> String) -> String {
    value.map_or_else(|| "–".to_owned(), format)
}

/// Returns `1 seed` or `mean of 3 seeds`, for tooltips.
pub fn seed_list(count: usize) -> String {
    if count == 1 {
        "1 seed".to_owned()
    } else {
        format!("mean of {count} seeds")
    }
}
