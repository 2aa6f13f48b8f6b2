//! Schemas of the types whose serde form is written by hand.

use std::borrow::Cow;

use utoipa::openapi::schema::{
    AnyOfBuilder, ArrayBuilder, ObjectBuilder, OneOfBuilder, Schema, SchemaFormat, SchemaType, Type,
};
use utoipa::openapi::{KnownFormat, Ref, RefOr};
use utoipa::{PartialSchema, ToSchema};

use crate::array::{Array, Dtype};
use crate::problem::ErrorCode;
use crate::space::Bound;
use crate::value::Value;

/// [`Value`] under a name that the derive does not confuse with `serde_json`'s.
pub(crate) type SpaceValue = Value;

fn typed(kind: Type) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(SchemaType::new(kind))
}

/// Written by hand, because the derive cannot see the codes inside the `error_codes` macro.
impl PartialSchema for ErrorCode {
    fn schema() -> RefOr<Schema> {
        let codes = ErrorCode::ALL.iter().map(|code| code.as_str());
        typed(Type::String)
            .enum_values(Some(codes))
            .description(Some("The kind of a problem, for programs."))
            .into()
    }
}

impl ToSchema for ErrorCode {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("ErrorCode")
    }
}

/// The schema of an array describes its JSON form. The form in MessagePack is the separate schema
/// `TypedArray`.
impl PartialSchema for Array {
    fn schema() -> RefOr<Schema> {
        // Some readers of the document treat a number without a format as a float32.
        let number =
            typed(Type::Number).format(Some(SchemaFormat::KnownFormat(KnownFormat::Double)));
        OneOfBuilder::new()
            .item(number)
            .item(typed(Type::Boolean))
            .item(ArrayBuilder::new().items(Ref::from_schema_name("Array")))
            .description(Some(
                "A number or a boolean, or nested lists of these. In MessagePack the server writes every list of \
                 numbers or booleans as a `TypedArray`, and accepts it in either form.",
            ))
            .into()
    }
}

impl ToSchema for Array {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("Array")
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((TypedArray::name().into_owned(), TypedArray::schema()));
        TypedArray::schemas(schemas);
    }
}

/// An `Array` as MessagePack writes it.
#[derive(ToSchema)]
#[expect(dead_code, reason = "read by the derive only")]
struct TypedArray {
    /// Type of the elements.
    dtype: Dtype,
    /// Sizes of the dimensions.
    shape: Vec<u64>,
    /// The elements in C order, little-endian, as MessagePack's type bin.
    #[schema(value_type = String, format = Binary)]
    data: Vec<u8>,
}

/// An [`Array`] that is one action.
pub(crate) struct Action;

impl PartialSchema for Action {
    fn schema() -> RefOr<Schema> {
        OneOfBuilder::new()
            .item(typed(Type::Number))
            .item(ArrayBuilder::new().items(typed(Type::Number)))
            .description(Some(
                "An integer, a number where the action space is a Box without dimensions, or a \
                 list of them where the action space has several.",
            ))
            .into()
    }
}

impl ToSchema for Action {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("Action")
    }
}

impl PartialSchema for Value {
    fn schema() -> RefOr<Schema> {
        let value = Ref::from_schema_name("Value");
        // Not exclusive: a list of numbers is an array, and might be a tuple.
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
                "One number for all elements, or a list with one number for each.",
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

    /// A list of numbers is both an array and a list of values, so `oneOf` would refuse it.
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
