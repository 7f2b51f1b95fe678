//! `assets/summary.schema.json` describes `summary.json`: real output is held against it, and every key of it must be
//! described. The checker here knows as much of JSON Schema (draft 2020-12) as that file uses, and refuses the rest.

use std::path::Path;

use serde_json::{Map, Value};

use crate::program::{LookAlike, Place};
use crate::tap::Tap;

const KNOWN: [&str; 18] = [
    "$schema",
    "$defs",
    "$ref",
    "title",
    "description",
    "type",
    "enum",
    "const",
    "anyOf",
    "properties",
    "patternProperties",
    "additionalProperties",
    "required",
    "items",
    "minItems",
    "maxItems",
    "minimum",
    "pattern",
];

fn schema() -> Value {
    serde_json::from_str(include_str!("../../assets/summary.schema.json")).unwrap()
}

struct Checker {
    root: Value,
}

impl Checker {
    /// Everything that is wrong, each with its place.
    fn check(&self, schema: &Value, value: &Value, at: &str, wrong: &mut Vec<String>) {
        let Some(schema) = schema.as_object() else { return };
        if let Some(name) = schema.get("$ref").and_then(Value::as_str) {
            let target =
                self.root.pointer(name.strip_prefix('#').unwrap()).unwrap_or_else(|| panic!("no {name}"));
            self.check(target, value, at, wrong);
        }
        if let Some(any) = schema.get("anyOf").and_then(Value::as_array) {
            let each = any.iter().map(|one| {
                let mut of_one = Vec::new();
                self.check(one, value, at, &mut of_one);
                of_one
            });
            wrong.extend(each.min_by_key(Vec::len).unwrap_or_default());
        }
        if let Some(types) = schema.get("type") {
            let fits = |name: &Value| match name.as_str().unwrap() {
                "null" => value.is_null(),
                "boolean" => value.is_boolean(),
                "integer" => value.is_i64() || value.is_u64(),
                "number" => value.is_number(),
                "string" => value.is_string(),
                "array" => value.is_array(),
                "object" => value.is_object(),
                other => panic!("no type: {other}"),
            };
            let fit = types.as_array().map_or_else(|| fits(types), |list| list.iter().any(fits));
            if !fit {
                wrong.push(format!("{at}: expected {types}, found {value}"));
            }
        }
        if schema.get("const").is_some_and(|one| one != value) {
            wrong.push(format!("{at}: expected {}, found {value}", schema["const"]));
        }
        if schema.get("enum").is_some_and(|list| !list.as_array().unwrap().contains(value)) {
            wrong.push(format!("{at}: expected one of {}, found {value}", schema["enum"]));
        }
        if value
            .as_f64()
            .zip(schema.get("minimum").and_then(Value::as_f64))
            .is_some_and(|(v, least)| v < least)
        {
            wrong.push(format!("{at}: {value} is too small"));
        }
        match value {
            Value::Object(object) => self.object(schema, object, at, wrong),
            Value::Array(list) => {
                let n = |key: &str| schema.get(key).and_then(Value::as_u64);
                let len = list.len() as u64;
                if n("minItems").is_some_and(|n| len < n) || n("maxItems").is_some_and(|n| len > n) {
                    wrong.push(format!("{at}: {len} items"));
                }
                for item in list {
                    self.check(
                        &schema.get("items").cloned().unwrap_or_default(),
                        item,
                        &format!("{at}[]"),
                        wrong,
                    );
                }
            }
            _ => {}
        }
    }

    fn object(
        &self,
        schema: &Map<String, Value>,
        object: &Map<String, Value>,
        at: &str,
        wrong: &mut Vec<String>,
    ) {
        let required = schema.get("required").and_then(Value::as_array);
        for name in required.into_iter().flatten().map(|name| name.as_str().unwrap()) {
            if !object.contains_key(name) {
                wrong.push(format!("{at} lacks `{name}`"));
            }
        }
        for (key, value) in object {
            let own = schema.get("properties").and_then(|properties| properties.get(key));
            // The only pattern is that of the flat keys with their metrics and statistics.
            let pattern = || {
                let (_, of) = schema.get("patternProperties")?.as_object()?.iter().next()?;
                is_flat(key).then_some(of)
            };
            match own.or_else(pattern).or_else(|| schema.get("additionalProperties")) {
                Some(Value::Bool(false)) => wrong.push(format!("{at}: `{key}` is not described")),
                Some(of) => self.check(of, value, &format!("{at}.{key}"), wrong),
                None => {}
            }
        }
    }
}

/// As the schema's pattern says it: `^(mean|median|std|p[0-9.]+)_(ttft|tpot|itl|e2el)_ms$`.
fn is_flat(key: &str) -> bool {
    let Some((stat, metric)) = key.strip_suffix("_ms").and_then(|key| key.split_once('_')) else {
        return false;
    };
    let percentile = |stat: &str| {
        stat.strip_prefix('p')
            .is_some_and(|p| !p.is_empty() && p.chars().all(|c| c.is_ascii_digit() || c == '.'))
    };
    (["mean", "median", "std"].contains(&stat) || percentile(stat))
        && ["ttft", "tpot", "itl", "e2el"].contains(&metric)
}

/// What is wrong with a folder's summary.
fn wrong(folder: &Path) -> Vec<String> {
    let summary: Value =
        serde_json::from_slice(&std::fs::read(folder.join("summary.json")).unwrap()).unwrap();
    let checker = Checker { root: schema() };
    let mut wrong = Vec::new();
    checker.check(&checker.root, &summary, "summary", &mut wrong);
    wrong
}

#[test]
fn real_output_is_as_the_schema_describes_it() {
    let place = Place::new();
    let load = "--num-prompts 40 --random-input-len 20 --random-output-len 6 --ignore-eos";
    let runs = [
        format!("run {load} --users 2 --otlp --otlp-grpc-port 0 --otlp-http-port 0 --output closed"),
        format!("run {load} --request-rate 20 --goodput ttft:200 tpot:50 --output open"),
    ];
    for args in &runs {
        let said = place.tare(&format!("{args} -q"));
        assert_eq!(said.code, Some(0), "{}", said.err);
    }
    assert_eq!(wrong(&place.path("closed")), [""; 0]);
    assert_eq!(wrong(&place.path("open")), [""; 0]);
    assert_eq!(place.tare("report open -q --window 0.2..1.5").code, Some(0));
    assert_eq!(wrong(&place.path("open")), [""; 0], "of a window");
    // A checker that finds nothing proves nothing.
    let mut spoilt: Value =
        serde_json::from_slice(&std::fs::read(place.path("open/summary.json")).unwrap()).unwrap();
    spoilt["summary"]["totals"]["bonus"] = Value::from(1);
    spoilt["completed"] = Value::from("many");
    spoilt.as_object_mut().unwrap().remove("reconciliation");
    std::fs::write(place.path("open/summary.json"), spoilt.to_string()).unwrap();
    let mut found = wrong(&place.path("open"));
    found.sort();
    assert_eq!(
        found,
        [
            "summary lacks `reconciliation`",
            "summary.completed: expected \"integer\", found \"many\"",
            "summary.summary.totals: `bonus` is not described",
        ]
    );
}

#[test]
fn an_audit_and_what_failed_are_described_as_well() {
    let server = LookAlike::start(&[]);
    let tap = Tap::start(&server.url);
    let place = Place::new();
    let small = "--concurrency 1,2 --prompt-tokens 12 --output-tokens 4 --requests-per-user 2 --spread 0.01 --rounds 2";
    let audit =
        format!("audit -q --direct {} --through http://{} {small} --output audit", server.url, tap.address);
    assert_eq!(place.tare(&audit).code, Some(0));
    assert_eq!(wrong(&place.path("audit")), [""; 0]);
    let failing = "run -q --users 1 --num-prompts 3 --base-url http://127.0.0.1:9 --model m --output failing";
    let said = place.tare(failing);
    if place.path("failing/summary.json").is_file() {
        assert_eq!(wrong(&place.path("failing")), [""; 0], "{}", said.err);
    }
}

#[test]
fn every_key_has_words_and_nothing_is_used_that_the_checker_does_not_know() {
    fn walk(schema: &Value, at: &str) {
        let Some(object) = schema.as_object() else { return };
        let known = |key: &String| KNOWN.contains(&key.as_str());
        assert!(object.keys().all(known), "{at}: {:?}", object.keys().collect::<Vec<_>>());
        for section in ["properties", "patternProperties", "$defs"] {
            for (key, of) in object.get(section).and_then(Value::as_object).into_iter().flatten() {
                let words = of.get("description").and_then(Value::as_str).unwrap_or_default();
                assert!(words.len() > 3, "{at}.{key} is not described");
                walk(of, &format!("{at}.{key}"));
            }
        }
        object.get("items").into_iter().for_each(|of| walk(of, at));
        object.get("additionalProperties").into_iter().for_each(|of| walk(of, at));
        object.get("anyOf").and_then(Value::as_array).into_iter().flatten().for_each(|of| walk(of, at));
    }
    walk(&schema(), "");
    assert!(
        is_flat("p99.9_itl_ms")
            && is_flat("mean_e2el_ms")
            && !is_flat("p_ttft_ms")
            && !is_flat("mean_foo_ms")
    );
}
