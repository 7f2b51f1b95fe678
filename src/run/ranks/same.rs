//! What must be the same on all ranks of a run, and where two ranks differ. This file must not know how
//! ranks tell each other.

use serde_json::Value;

use crate::config::Config;
use crate::workload::Workload;

/// What each rank may have of its own: where results go, what its host is given to work with, and what only
/// the rank that records the server's side needs.
const OWN: [&str; 15] = [
    "/output",
    "/overwrite",
    "/results",
    "/gates",
    "/label",
    "/metadata",
    "/observe",
    "/hops",
    "/load/threads",
    "/load/affinity",
    "/load/source_addresses",
    "/target/ready_timeout_s",
    "/target/api_key_env",
    "/target/ca_cert",
    "/target/embedded",
];

/// The configuration without that, and what the workload made of it: two hosts may have two files of one name.
pub(super) fn all_share(config: &Config, workload: &Workload) -> anyhow::Result<Value> {
    let mut value = serde_json::to_value(config)?;
    for path in OWN {
        let (parent, key) = path.rsplit_once('/').unwrap_or(("", path));
        if let Some(map) = value.pointer_mut(parent).and_then(Value::as_object_mut) {
            map.remove(key);
        }
    }
    let mut prompts = FNV;
    for prompt in workload.prompts.iter() {
        prompts = fold(prompts, format!("{prompt:?}").as_bytes());
    }
    for time in workload.times_s.iter().flat_map(|times| times.iter()) {
        prompts = fold(prompts, &time.to_bits().to_le_bytes());
    }
    if let Some(map) = value.as_object_mut() {
        map.insert(
            "prompts".to_owned(),
            format!("{} with digest {prompts:016x}", workload.prompts.len()).into(),
        );
        map.insert("tare".to_owned(), env!("CARGO_PKG_VERSION").into());
    }
    Ok(value)
}

/// A number for it. It guards against mistakes, not against malice.
pub(super) fn digest(all_share: &Value) -> u64 {
    fold(FNV, all_share.to_string().as_bytes())
}

const FNV: u64 = 0xcbf2_9ce4_8422_2325;

/// FNV-1a.
pub(super) fn fold(hash: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(hash, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// Where `there` is not as `here`, each with both values.
pub(super) fn differences(here: &Value, there: &Value) -> Vec<String> {
    let mut found = Vec::new();
    compare("", here, there, &mut found);
    found
}

fn compare(path: &str, here: &Value, there: &Value, found: &mut Vec<String>) {
    if let (Value::Object(a), Value::Object(b)) = (here, there) {
        let keys: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
        for key in keys {
            let at = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            let of = |map: &serde_json::Map<String, Value>| map.get(key).cloned().unwrap_or(Value::Null);
            compare(&at, &of(a), &of(b), found);
        }
    } else if here != there {
        found.push(format!("{path} is {here} on rank 0, {there} there"));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn differences_are_named_by_their_place() {
        let here = json!({"load": {"arrival": {"rate_rps": 10.0}, "requests": 5}, "seed": 1});
        let there = json!({"load": {"arrival": {"rate_rps": 12.0}}, "seed": 1});
        assert_eq!(
            differences(&here, &there),
            [
                "load.arrival.rate_rps is 10.0 on rank 0, 12.0 there",
                "load.requests is 5 on rank 0, null there"
            ]
        );
        assert_ne!(digest(&here), digest(&there));
        assert!(differences(&here, &here).is_empty());
    }
}
