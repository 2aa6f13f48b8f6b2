//! ONNX graphs, built operation by operation. What a whole agent looks like as such a graph is said in
//! [`crate::deploy::onnx_export`].

mod graph;
mod proto;
mod step;

pub use self::graph::{Attribute, GraphBuilder, Value};
pub use self::proto::DataType;
pub(crate) use self::proto::{
    IR_VERSION, ModelProto, OPSET, OperatorSetIdProto, StringStringEntryProto,
};
pub use self::step::{StateInfo, StepGraph};
