//! `agent export`: a trained agent as a file that runs without this program.

use std::path::PathBuf;
use std::process::ExitCode;

use agent::deploy::onnx_export;
use anyhow::anyhow;
use clap::Args;

use super::{print, values};

/// Export a trained agent as an ONNX model, for ONNX Runtime and other programs
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  agent export --checkpoint runs/hard --onnx hard.onnx

The model is one step of any number of lanes: observations in, actions, logits and values out. The
state of the memory is an input and an output: zeros before the first step, then each next_NAME as
NAME. The metadata has spaces, inputs and states as JSON. docs/serving.md runs one from Python.

Some memories have no such form, for example a memory of whole episodes. Then nothing is written,
and the error is the reason. `agent serve` serves every trained agent.")]
pub struct ExportArgs {
    /// A checkpoint, or a run's folder
    #[arg(long, value_name = "PATH|DIR")]
    checkpoint: PathBuf,
    /// File of the model; an existing file is replaced
    #[arg(long, value_name = "FILE")]
    onnx: PathBuf,
}

pub fn run(args: &ExportArgs) -> anyhow::Result<ExitCode> {
    let path = values::checkpoint(&args.checkpoint)?;
    let fails =
        |path: &PathBuf, error: &dyn std::fmt::Display| anyhow!("{}: {error}", path.display());
    let checkpoint = std::fs::read(&path).map_err(|error| fails(&path, &error))?;
    let model = onnx_export::export(&checkpoint).map_err(|error| fails(&path, &error))?;
    std::fs::write(&args.onnx, model).map_err(|error| fails(&args.onnx, &error))?;
    print(&args.onnx.display().to_string())?;
    Ok(ExitCode::SUCCESS)
}
