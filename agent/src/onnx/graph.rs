//! A graph of ONNX operators, built one node at a time. Every tensor of it has the batch of lanes as its first dimension,
//! but for constants.

use super::proto::{
    AttributeProto, AttributeType, DataType, Dimension, DimensionProto, GraphProto, NodeProto,
    TensorProto, TensorShapeProto, TensorTypeProto, TypeProto, ValueInfoProto,
};

/// Name of the dimension that counts lanes.
const BATCH: &str = "batch";

/// A tensor of a graph, by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value(String);

/// Attributes of a node.
pub enum Attribute {
    /// One number.
    Int(&'static str, i64),
    /// A list of numbers.
    Ints(&'static str, Vec<i64>),
}

/// A graph that is being built.
#[derive(Debug, Default)]
pub struct GraphBuilder {
    proto: GraphProto,
}

impl GraphBuilder {
    /// An input of lanes with tensors of this shape.
    pub fn input(&mut self, name: &str, dtype: DataType, shape: &[usize], doc: &str) -> Value {
        self.proto.input.push(value_info(name, dtype, shape, doc));
        Value(name.into())
    }

    /// Gives a value out, as lanes with tensors of this shape.
    pub fn output(
        &mut self,
        name: &str,
        value: &Value,
        dtype: DataType,
        shape: &[usize],
        doc: &str,
    ) {
        self.proto.output.push(value_info(name, dtype, shape, doc));
        self.push("Identity", &[value], name.into(), Vec::new());
    }

    /// A constant of real numbers.
    pub fn floats(&mut self, shape: &[usize], data: &[f32]) -> Value {
        let bytes = data.iter().flat_map(|x| x.to_le_bytes()).collect();
        let name = format!("constant_{}", self.proto.initializer.len());
        self.initializer(name, DataType::Float, shape, bytes)
    }

    /// A constant of whole numbers.
    pub fn ints(&mut self, shape: &[usize], data: &[i64]) -> Value {
        let bytes = data.iter().flat_map(|x| x.to_le_bytes()).collect();
        let name = format!("constant_{}", self.proto.initializer.len());
        self.initializer(name, DataType::Int64, shape, bytes)
    }

    /// A constant of real numbers with a name of its own, made once.
    pub fn named(&mut self, name: &str, shape: &[usize], data: &[f32]) -> Value {
        if self
            .proto
            .initializer
            .iter()
            .any(|known| known.name == name)
        {
            return Value(name.into());
        }
        let bytes = data.iter().flat_map(|x| x.to_le_bytes()).collect();
        self.initializer(name.into(), DataType::Float, shape, bytes)
    }

    fn initializer(
        &mut self,
        name: String,
        dtype: DataType,
        shape: &[usize],
        raw_data: Vec<u8>,
    ) -> Value {
        self.proto.initializer.push(TensorProto {
            dims: shape.iter().map(|&size| size as i64).collect(),
            data_type: dtype.into(),
            name: name.clone(),
            raw_data,
        });
        Value(name)
    }

    /// The first output of a new node.
    pub fn node(
        &mut self,
        op: &'static str,
        inputs: &[&Value],
        attributes: Vec<Attribute>,
    ) -> Value {
        let output = format!("{}_{}", op.to_lowercase(), self.proto.node.len());
        self.push(op, inputs, output, attributes)
    }

    /// [`GraphBuilder::node`] of an operator without attributes.
    pub fn op(&mut self, op: &'static str, inputs: &[&Value]) -> Value {
        self.node(op, inputs, Vec::new())
    }

    /// Values side by side, in their second dimension.
    pub fn concat(&mut self, values: &[&Value]) -> Value {
        self.node("Concat", values, vec![Attribute::Int("axis", 1)])
    }

    /// Each lane's numbers in another shape.
    pub fn reshape(&mut self, value: &Value, shape: &[usize]) -> Value {
        let sizes: Vec<i64> = shape.iter().map(|&size| size as i64).collect();
        let target = self.ints(&[1 + sizes.len()], &[&[-1], &sizes[..]].concat());
        self.op("Reshape", &[value, &target])
    }

    /// Columns `first..end` of every lane.
    pub fn columns(&mut self, value: &Value, first: usize, end: usize) -> Value {
        let [first, end] = [first, end].map(|column| self.ints(&[1], &[column as i64]));
        let axis = self.ints(&[1], &[1]);
        self.op("Slice", &[value, &first, &end, &axis])
    }

    fn push(
        &mut self,
        op: &'static str,
        inputs: &[&Value],
        output: String,
        attributes: Vec<Attribute>,
    ) -> Value {
        self.proto.node.push(NodeProto {
            input: inputs.iter().map(|value| value.0.clone()).collect(),
            output: vec![output.clone()],
            name: format!("{op}_{}", self.proto.node.len()),
            op_type: op.into(),
            attribute: attributes.into_iter().map(Attribute::into_proto).collect(),
        });
        Value(output)
    }

    /// The graph.
    pub fn finish(mut self, name: &str) -> GraphProto {
        self.proto.name = name.into();
        self.proto
    }
}

impl Attribute {
    fn into_proto(self) -> AttributeProto {
        match self {
            Attribute::Int(name, number) => AttributeProto {
                name: name.into(),
                i: Some(number),
                r#type: AttributeType::Int.into(),
                ..AttributeProto::default()
            },
            Attribute::Ints(name, numbers) => AttributeProto {
                name: name.into(),
                ints: numbers,
                r#type: AttributeType::Ints.into(),
                ..AttributeProto::default()
            },
        }
    }
}

fn value_info(name: &str, dtype: DataType, shape: &[usize], doc: &str) -> ValueInfoProto {
    let sizes = shape.iter().map(|&size| Dimension::Size(size as i64));
    let dims = std::iter::once(Dimension::Name(BATCH.into())).chain(sizes);
    let shape = TensorShapeProto {
        dim: dims
            .map(|value| DimensionProto { value: Some(value) })
            .collect(),
    };
    ValueInfoProto {
        name: name.into(),
        r#type: Some(TypeProto {
            tensor_type: Some(TensorTypeProto {
                elem_type: dtype.into(),
                shape: Some(shape),
            }),
        }),
        doc_string: doc.into(),
    }
}
