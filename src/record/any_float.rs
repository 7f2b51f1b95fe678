//! Sample values in JSON: it has no NaN and no infinities, servers do, so those are written as the
//! exposition spells them. This file must not know what a sample is.

use std::fmt;

use serde::de::{Deserializer, Error, Visitor};
use serde::ser::Serializer;

// Serde calls it by reference.
#[allow(clippy::trivially_copy_pass_by_ref)]
pub(super) fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    if value.is_finite() {
        serializer.serialize_f64(*value)
    } else if value.is_nan() {
        serializer.serialize_str("NaN")
    } else {
        serializer.serialize_str(if *value > 0.0 { "+Inf" } else { "-Inf" })
    }
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    deserializer.deserialize_any(AnyFloat)
}

struct AnyFloat;

impl Visitor<'_> for AnyFloat {
    type Value = f64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, \"NaN\", \"+Inf\" or \"-Inf\"")
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<f64, E> {
        Ok(value)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<f64, E> {
        Ok(value as f64)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<f64, E> {
        Ok(value as f64)
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<f64, E> {
        value.parse().map_err(E::custom)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use crate::record::SampleRow;

    #[test]
    fn a_sample_keeps_values_that_json_has_no_number_for() {
        for value in [0.1, -3.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let row = SampleRow { name: "x".to_owned(), labels: Vec::new(), value };
            let back: SampleRow = serde_json::from_str(&serde_json::to_string(&row).unwrap()).unwrap();
            assert_eq!(back.value.to_bits(), value.to_bits());
        }
        let whole: SampleRow = serde_json::from_str(r#"{"name":"x","labels":[],"value":7}"#).unwrap();
        assert!((whole.value - 7.0).abs() < 1e-12);
        assert!(serde_json::from_str::<SampleRow>(r#"{"name":"x","labels":[],"value":"many"}"#).is_err());
    }
}
