//! Schemas of the types whose serde form is written by hand.

use std::borrow::Cow;

use utoipa::openapi::schema::{
    AnyOfBuilder, ArrayBuilder, ObjectBuilder, OneOfBuilder, Schema, SchemaType, Type,
};
use utoipa::openapi::{Ref, RefOr};
use utoipa::{PartialSchema, ToSchema};

use crate::array::Array;
use crate::problem::ErrorCode;
use crate::space::Bound;
use crate::value::Value;

/// [`Value`] under a name that the derive does not take for `serde_json`'s.
pub(crate) type SpaceValue = Value;

fn typed(kind: Type) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(SchemaType::new(kind))
}

/// By hand, because the derive does not see through the macro that the table of codes is.
impl PartialSchema for ErrorCode {
    fn schema() -> RefOr<Schema> {
        let codes = ErrorCode::ALL.iter().map(|code| code.as_str());
        typed(Type::String)
            .enum_values(Some(codes))
            .description(Some("What went wrong, as a program sees it."))
            .into()
    }
}

impl ToSchema for ErrorCode {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("ErrorCode")
    }
}

impl PartialSchema for Array {
    fn schema() -> RefOr<Schema> {
        let typed_array = typed(Type::Object)
            .property("dtype", Ref::from_schema_name("Dtype"))
            .property("shape", ArrayBuilder::new().items(typed(Type::Integer)))
            .property(
                "data",
                typed(Type::String).description(Some("Little-endian elements in C order.")),
            )
            .required("dtype")
            .required("shape")
            .required("data")
            .description(Some("The form in MessagePack; `data` is of type bin."));
        OneOfBuilder::new()
            .item(typed(Type::Number))
            .item(typed(Type::Boolean))
            .item(ArrayBuilder::new().items(Ref::from_schema_name("Array")))
            .item(typed_array)
            .description(Some(
                "A number, or nested lists of numbers; in MessagePack also `{dtype, shape, data}`.",
            ))
            .into()
    }
}

impl ToSchema for Array {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("Array")
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push(("Dtype".to_owned(), crate::array::Dtype::schema()));
    }
}

impl PartialSchema for Value {
    fn schema() -> RefOr<Schema> {
        let value = Ref::from_schema_name("Value");
        // Any of them: a list of numbers is an array and a list of values.
        AnyOfBuilder::new()
            .item(Ref::from_schema_name("Array"))
            .item(ArrayBuilder::new().items(value.clone()))
            .item(typed(Type::Object).additional_properties(Some(value)))
            .description(Some(
                "An element of a space: an array, a tuple as a list, a dict as an object.",
            ))
            .into()
    }
}

impl ToSchema for Value {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("Value")
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push(("Array".to_owned(), Array::schema()));
        Array::schemas(schemas);
    }
}

impl PartialSchema for Bound {
    fn schema() -> RefOr<Schema> {
        let number: RefOr<Schema> = RefOr::T(Schema::from(
            OneOfBuilder::new()
                .item(typed(Type::Number))
                .item(typed(Type::String).enum_values(Some(["Infinity", "-Infinity"]))),
        ));
        OneOfBuilder::new()
            .item(number.clone())
            .item(ArrayBuilder::new().items(number))
            .description(Some(
                "One number for all elements, or a list with one for each.",
            ))
            .into()
    }
}

impl ToSchema for Bound {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("Bound")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A list of numbers is an array, and a list of values: a value that must be exactly one of
    /// them would be neither.
    #[test]
    fn the_forms_of_a_value_overlap() {
        let schema = serde_json::to_value(Value::schema()).unwrap();
        assert_eq!(
            schema["anyOf"].as_array().map(Vec::len),
            Some(3),
            "{schema}"
        );
        assert!(schema.get("oneOf").is_none());
    }
}
