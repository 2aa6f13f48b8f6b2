//! ONNX graphs, built operation by operation. [`crate::deploy::onnx_export`] describes the graph of
//! a whole agent.

mod graph;
mod proto;
mod step;

pub use self::graph::{Attribute, GraphBuilder, Value};
pub use self::proto::DataType;
#[cfg(test)]
pub(crate) use self::proto::ValueInfoProto;
pub(crate) use self::proto::{
    IR_VERSION, ModelProto, OPSET, OperatorSetIdProto, StringStringEntryProto,
};
pub use self::step::{StateInfo, StepGraph};
