//! Traces in JSON Lines: an object a line with a time, two lengths and, maybe, hash ids of the prompt's blocks.
//! Mooncake's time is whole milliseconds; that of a `timed_trace` is in units the user states.

use std::io::BufRead;

use serde_json::{Map, Value};

use super::{FROM_THE_BEGIN, File, Line, Row, Taken, refused, unreadable};
use crate::config::{Trace, TraceFormat};
use crate::error::{Failure, usage};
use crate::workload::jsonl::not_json;
use crate::workload::kind;

/// Hands every line that is not empty to `keep`.
pub(super) fn read(
    trace: &Trace,
    mut file: File,
    mut keep: impl FnMut(Taken) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut text = Vec::new();
    for number in 1.. {
        text.clear();
        let read = file.read_until(b'\n', &mut text);
        if read.map_err(|error| unreadable(&trace.path, number, error))? == 0 {
            break;
        }
        if !text.trim_ascii().is_empty() {
            keep(line(trace, number, &text)?)?;
        }
    }
    Ok(())
}

fn line(trace: &Trace, number: u64, text: &[u8]) -> Result<Taken, Failure> {
    let broken = |why: String| Ok(Taken::Broken(number, why));
    let object: Map<String, Value> = match serde_json::from_slice(text) {
        Ok(object) => object,
        Err(error) => return broken(format!("column {}: {}", error.column(), not_json(&error))),
    };
    let fields = &trace.fields;
    let time = match object.get(&fields.timestamp).map(|value| (value.as_f64(), value)) {
        Some((Some(time), _)) => time,
        found => return broken(expected(&fields.timestamp, "a number", found.map(|(_, value)| value))),
    };
    if time < 0.0 {
        return Err(refused(trace, number, &format!("is negative: {time}")).hint(FROM_THE_BEGIN));
    }
    let seconds = if trace.format == TraceFormat::Mooncake {
        if time.fract() != 0.0 {
            return Err(refused(
                trace,
                number,
                &format!("is in milliseconds, which are whole numbers: found {time}"),
            )
            .hint("for times in seconds: `--dataset-name timed-trace --timed-trace-chunk-hash-size 512`"));
        }
        time / 1e3
    } else {
        time * trace.sec_multiplier
    };
    if !seconds.is_finite() {
        return broken(format!("{}: {time} is no time", fields.timestamp));
    }
    let mut lengths = [0_u32; 2];
    for (length, field) in lengths.iter_mut().zip([&fields.input_length, &fields.output_length]) {
        let value = object.get(field);
        match value.and_then(Value::as_u64).and_then(|n| u32::try_from(n).ok()) {
            Some(n) => *length = n,
            None => return broken(expected(field, "a number of tokens", value)),
        }
    }
    let [input_tokens, output_tokens] = lengths;
    if input_tokens == 0 || output_tokens == 0 {
        let field = if input_tokens == 0 { &fields.input_length } else { &fields.output_length };
        return Ok(Taken::Pruned(number, format!("{field}: 0 tokens")));
    }
    let hash_ids = match object.get(&fields.hash_ids) {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(ids)) => match ids.iter().map(id).collect::<Option<Vec<u64>>>() {
            Some(ids) => ids,
            None => return broken(format!("{}: expected whole numbers", fields.hash_ids)),
        },
        found => return broken(expected(&fields.hash_ids, "a list of numbers", found)),
    };
    fits(trace, number, input_tokens, hash_ids.len())?;
    let row = Row { offset_s: 0.0, input_tokens, output_tokens, hash_ids };
    Ok(Taken::Row(Line { number, time_s: seconds, row }))
}

fn id(value: &Value) -> Option<u64> {
    // Hashes of 64 bits are written with a sign by some.
    value.as_u64().or_else(|| value.as_i64().map(i64::cast_unsigned))
}

/// So many ids, of so many tokens each, are about the prompt; else another size was meant, and prompts
/// would share what they did not.
fn fits(trace: &Trace, number: u64, input_tokens: u32, ids: usize) -> Result<(), Failure> {
    let (of_ids, tokens) = (ids as u64 * u64::from(trace.block_tokens), u64::from(input_tokens));
    let block = u64::from(trace.block_tokens);
    if ids == 0 || (tokens <= 2 * of_ids && of_ids <= 2 * (tokens + block)) {
        return Ok(());
    }
    let (path, fields) = (trace.path.display(), &trace.fields);
    let message = format!(
        "{path}:{number}: `{}`: {ids} ids of {block} tokens each are {of_ids} tokens, and `{}` is {tokens}",
        fields.hash_ids, fields.input_length
    );
    Err(usage(message).hint(match trace.format {
        TraceFormat::Mooncake => {
            "Mooncake's ids are of 512 tokens; for others: `--dataset-name timed-trace --timed-trace-chunk-hash-size N`"
        }
        _ => "`--timed-trace-chunk-hash-size` says how many tokens an id is; Mooncake's are 512, and in milliseconds: `--dataset-name mooncake`",
    }))
}

fn expected(field: &str, what: &str, found: Option<&Value>) -> String {
    match found {
        None => format!("{field}: missing"),
        Some(Value::Number(number)) => format!("{field}: expected {what}, found {number}"),
        Some(value) => format!("{field}: expected {what}, found {}", kind(value)),
    }
}
