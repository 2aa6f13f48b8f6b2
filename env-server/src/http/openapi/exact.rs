//! Constraints on requests and replies that Rust types do not express: ranges of integers, the form
//! of ids, the existing specs, optional bodies, and limits from the settings.

use env_protocol::ErrorCode;
use serde_json::json;
use utoipa::Number;
use utoipa::openapi::path::{Operation, Parameter};
use utoipa::openapi::schema::{AdditionalProperties, ArrayItems, Object, SchemaFormat, SchemaType};
use utoipa::openapi::{KnownFormat, OpenApi, RefOr, Required, Schema, Type};

use super::items::operations;
use crate::session::Limits;
use environments::registry;
use service::leases::ID_PATTERN;

/// Operations for which an empty body is enough, by the prefixes of their ids.
const BODY_IS_OPTIONAL: [&str; 4] = ["reset_", "renew_", "fork_", "describe_"];

/// Adds all known constraints.
pub(super) fn make_exact(document: &mut OpenApi, limits: &Limits) {
    if let Some(components) = &mut document.components {
        for (name, schema) in &mut components.schemas {
            visit(schema, &mut bound_integers);
            bound_fields(name, schema, limits);
        }
    }
    for item in document.paths.paths.values_mut() {
        for operation in operations(item) {
            let id = operation.operation_id.as_deref().unwrap_or_default();
            let may_be_empty = BODY_IS_OPTIONAL.iter().any(|verb| id.starts_with(verb));
            if let Some(RefOr::T(body)) = &mut operation.request_body
                && may_be_empty
            {
                body.required = Some(Required::False);
            }
            for (name, schema) in parameters(operation) {
                visit(schema, &mut bound_integers);
                match (name, schema) {
                    ("env_id", RefOr::T(Schema::Object(object))) => describe_id(object),
                    ("spec_id", RefOr::T(Schema::Object(object))) => list_specs(object),
                    ("code", RefOr::T(Schema::Object(object))) => list_codes(object),
                    _ => {}
                }
            }
        }
    }
}

/// Bounds the fields of a request's body, by the name of its type.
fn bound_fields(name: &str, schema: &mut RefOr<Schema>, limits: &Limits) {
    let RefOr::T(Schema::Object(body)) = schema else {
        return;
    };
    let mut change = |field, change: &dyn Fn(&mut Object)| {
        if let Some(RefOr::T(Schema::Object(object))) = body.properties.get_mut(field) {
            change(object);
        }
    };
    let at_most = |max| move |object: &mut Object| object.maximum = Some(Number::UInt(max));
    match name {
        "CreateEnv" | "CreateVectorEnv" => change("spec_id", &list_specs),
        "ForkRequest" => change("env_id", &describe_id),
        "LeaseRequest" => {}
        _ => return,
    }
    change("ttl_s", &at_most(limits.max_ttl_s as usize));
    change("num_envs", &at_most(limits.max_lanes_per_env));
}

fn parameters(operation: &mut Operation) -> impl Iterator<Item = (&str, &mut RefOr<Schema>)> {
    let parameters = operation.parameters.iter_mut().flatten();
    parameters.filter_map(|parameter| match parameter {
        RefOr::T(Parameter {
            name,
            schema: Some(schema),
            ..
        }) => Some((&**name, schema)),
        _ => None,
    })
}

fn list_specs(object: &mut Object) {
    let ids = registry::specs().iter().map(|spec| json!(spec.id));
    object.enum_values = Some(ids.collect());
}

fn list_codes(object: &mut Object) {
    let codes = ErrorCode::ALL.iter().map(|code| json!(code.as_str()));
    object.enum_values = Some(codes.collect());
}

fn describe_id(object: &mut Object) {
    object.pattern = Some(ID_PATTERN.to_owned());
}

/// Gives an integer the range of its Rust type. The derive knows only its number of bits.
fn bound_integers(object: &mut Object) {
    let is_integer = match &object.schema_type {
        SchemaType::Type(kind) => *kind == Type::Integer,
        SchemaType::Array(kinds) => kinds.contains(&Type::Integer),
        SchemaType::AnyValue => false,
    };
    if !is_integer {
        return;
    }
    let is_unsigned = object.minimum.is_some();
    let is_short = object.format == Some(SchemaFormat::KnownFormat(KnownFormat::Int32));
    let (format, minimum, maximum) = match (is_unsigned, is_short) {
        (true, true) => ("uint32", Number::UInt(0), Number::UInt(u32::MAX as usize)),
        (true, false) => ("uint64", Number::UInt(0), Number::UInt(usize::MAX)),
        (false, true) => (
            "int32",
            Number::Int(i32::MIN as isize),
            Number::Int(i32::MAX as isize),
        ),
        (false, false) => ("int64", Number::Int(isize::MIN), Number::Int(isize::MAX)),
    };
    object.format = Some(SchemaFormat::Custom(format.to_owned()));
    object.minimum.get_or_insert(minimum);
    object.maximum.get_or_insert(maximum);
}

/// Applies `change` to every object schema in this one, including itself.
fn visit(schema: &mut RefOr<Schema>, change: &mut impl FnMut(&mut Object)) {
    let RefOr::T(schema) = schema else { return };
    match schema {
        Schema::Object(object) => {
            change(object);
            for property in object.properties.values_mut() {
                visit(property, change);
            }
            if let Some(AdditionalProperties::RefOr(value)) =
                object.additional_properties.as_deref_mut()
            {
                visit(value, change);
            }
        }
        Schema::Array(array) => {
            if let ArrayItems::RefOrSchema(items) = &mut array.items {
                visit(items, change);
            }
        }
        Schema::OneOf(of) => of.items.iter_mut().for_each(|item| visit(item, change)),
        Schema::AllOf(of) => of.items.iter_mut().for_each(|item| visit(item, change)),
        Schema::AnyOf(of) => of.items.iter_mut().for_each(|item| visit(item, change)),
        _ => {}
    }
}
