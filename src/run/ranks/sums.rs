//! What each rank's manifest says of its load, as one load. This file must not know rows or clocks.

use serde_json::{Map, Value, json};

/// Sums, ends and flags of all: each with the shift that sets its instants on the first rank's axis.
pub(super) fn loads(all: &[(&Value, i64)]) -> Option<Value> {
    let mut sum = Map::new();
    for (load, shift_ns) in all {
        for (key, value) in load.as_object()? {
            let so_far = sum.remove(key).unwrap_or(Value::Null);
            let value = match (key.ends_with("_unix_ns"), value.as_i64()) {
                (true, Some(at)) => json!(at.saturating_sub(*shift_ns)),
                _ => (*value).clone(),
            };
            sum.insert(key.clone(), both(key, so_far, value));
        }
    }
    (!sum.is_empty()).then_some(Value::Object(sum))
}

fn both(key: &str, a: Value, b: Value) -> Value {
    let earliest = key.starts_with("begun");
    let latest = key.ends_with("_unix_ns") || key.ends_with("_late_s");
    match (a, b) {
        (Value::Null, one) | (one, Value::Null) => one,
        (Value::Bool(a), Value::Bool(b)) => Value::Bool(a || b),
        (Value::Object(mut a), Value::Object(b)) => {
            for (key, value) in b {
                let so_far = a.remove(&key).unwrap_or(Value::Null);
                let together = both(&key, so_far, value);
                a.insert(key, together);
            }
            Value::Object(a)
        }
        (a, b) => match (a.as_i64().zip(b.as_i64()), a.as_f64().zip(b.as_f64())) {
            (Some((a, b)), _) if earliest => json!(a.min(b)),
            (Some((a, b)), _) if latest => json!(a.max(b)),
            (Some((a, b)), _) => json!(a + b),
            (None, Some((a, b))) if latest => json!(a.max(b)),
            (None, Some((a, b))) => json!(a + b),
            (None, None) => a,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loads_are_summed_and_their_ends_are_the_outermost() {
        let a = json!({"begun_unix_ns": 100, "ended_unix_ns": 900, "sent": 5, "interrupted": false,
                       "last_due_unix_ns": null, "connections": {"new": 1, "warm": 4}, "ready_late_s": 0.5});
        let b = json!({"begun_unix_ns": 1_090, "ended_unix_ns": 1_950, "sent": 7, "interrupted": true,
                       "last_due_unix_ns": 1_800, "connections": {"new": 2, "warm": 0}, "ready_late_s": 0.25});
        assert_eq!(
            loads(&[(&a, 0), (&b, 1_000)]),
            Some(json!({"begun_unix_ns": 90, "ended_unix_ns": 950, "sent": 12, "interrupted": true,
                   "last_due_unix_ns": 800, "connections": {"new": 3, "warm": 4}, "ready_late_s": 0.5}))
        );
        assert_eq!(loads(&[]), None);
    }
}
