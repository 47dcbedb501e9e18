//! `eq`, `ne`, `lt`, `le`, `gt`, `ge`.

use std::cmp::Ordering;

use super::functions::Function;
use super::value::Value;

/// # Errors
/// What cannot be compared.
pub(super) fn compare(function: Function, values: &[Value<'_>]) -> Result<bool, String> {
    match (function, values) {
        (Function::Equal, [_]) => Err("there is nothing to compare with".into()),
        (Function::Equal, [one, others @ ..]) => {
            for other in others {
                if equal(one, other)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        (Function::NotEqual, [one, other]) => Ok(!equal(one, other)?),
        (Function::Less, [one, other]) => Ok(less(one, other)?),
        (Function::GreaterOrEqual, [one, other]) => Ok(!less(one, other)?),
        (Function::LessOrEqual, [one, other]) => Ok(less(one, other)? || equal(one, other)?),
        (Function::Greater, [one, other]) => Ok(!(less(one, other)? || equal(one, other)?)),
        _ => Err("the function cannot be called this way".into()),
    }
}

fn unlike(one: &Value<'_>, other: &Value<'_>) -> String {
    format!("{} and {} cannot be compared", one.kind(), other.kind())
}

fn is_nil(value: &Value<'_>) -> bool {
    matches!(value, Value::Nothing | Value::NoSecret)
}

fn equal(one: &Value<'_>, other: &Value<'_>) -> Result<bool, String> {
    use Value::{Bool, Byte, Float, Int, List, Map, NoSecret, Nothing, Secret, Text};
    match (one, other) {
        (Bool(one), Bool(other)) => Ok(one == other),
        (Int(one), Int(other)) => Ok(one == other),
        (Byte(one), Byte(other)) => Ok(one == other),
        (Int(one), Byte(other)) | (Byte(other), Int(one)) => Ok(*one == i64::from(*other)),
        (Float(one), Float(other)) => Ok(one == other),
        (Text(one), Text(other)) => Ok(one.bytes() == other.bytes()),
        // Pointers to one another's secret; aliases are unique.
        (Secret(one), Secret(other)) => Ok(one.alias == other.alias),
        (Nothing | NoSecret, Nothing | NoSecret) => Ok(true),
        (NoSecret, Secret(_)) | (Secret(_), NoSecret) => Ok(false),
        (Nothing, _) | (_, Nothing) => Ok(false),
        (List(_), List(_)) | (Map, Map) => Err(format!("{} cannot be compared", one.kind())),
        _ => Err(unlike(one, other)),
    }
}

fn less(one: &Value<'_>, other: &Value<'_>) -> Result<bool, String> {
    use Value::{Byte, Float, Int, Text};
    let order = match (one, other) {
        (Int(one), Int(other)) => one.cmp(other),
        (Byte(one), Byte(other)) => one.cmp(other),
        (Int(one), Byte(other)) => one.cmp(&i64::from(*other)),
        (Byte(one), Int(other)) => i64::from(*one).cmp(other),
        (Float(one), Float(other)) => one.total_cmp(other),
        (Text(one), Text(other)) => one.bytes().cmp(other.bytes()),
        _ if is_nil(one) || is_nil(other) => return Err("nil has no order".into()),
        _ => return Err(unlike(one, other)),
    };
    Ok(order == Ordering::Less)
}
