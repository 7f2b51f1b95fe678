//! The statistics line that vLLM writes every few seconds, in all its versions. It must not know
//! what stands before it.

use nom::Parser;
use nom::branch::alt;
use nom::bytes::complete::tag;
use nom::character::complete::u32 as decimal_u32;
use nom::sequence::{preceded, terminated};

use crate::event::Event;
use crate::line::{Read, Wanted, decimal, expect, fail};

/// Whether this is a statistics line, whole or cut.
pub(crate) fn begins(said: &str) -> bool {
    said.starts_with("Avg prompt ")
}

/// `Avg prompt throughput: 3.2 tokens/s, Avg generation throughput: 1.6 tokens/s, Running: 1 reqs,
/// Waiting: 0 reqs, GPU KV cache usage: 0.0%, Prefix cache hit rate: 0.0%`. The parts after the two
/// throughputs vary by version and setting, so they are read by name and the unknown ones skipped.
pub(crate) fn stats<'a>(engine: Option<&'a str>, input: &'a str) -> Read<'a, Event<'a>> {
    let (rest, prompt_throughput_tps) = expect(
        "`Avg prompt throughput: ` and tokens per second",
        preceded(alt((tag("Avg prompt throughput: "), tag("Avg prompt tput: "))), tokens_per_second),
    )
    .parse(input)?;
    let (rest, generation_throughput_tps) = expect(
        "`, Avg generation throughput: ` and tokens per second",
        preceded(
            alt((tag(", Avg generation throughput: "), tag(", Avg generation tput: "))),
            tokens_per_second,
        ),
    )
    .parse(rest)?;
    let (rest, parts) = parts(rest)?;
    let Some(running) = parts.running else {
        return fail(rest, "`Running: ` and a number of requests");
    };
    let Some(waiting) = parts.waiting else {
        return fail(rest, "`Waiting: ` or `Pending: ` and a number of requests");
    };
    let event = Event::Stats {
        engine,
        prompt_throughput_tps,
        generation_throughput_tps,
        running,
        waiting,
        kv_cache_usage: parts.kv_cache_usage,
        prefix_cache_hit_rate: parts.prefix_cache_hit_rate,
    };
    Ok((rest, event))
}

fn tokens_per_second(input: &str) -> Read<'_, f64> {
    terminated(decimal::<0>, alt((tag(" tokens/s"), tag(" toks/s")))).parse(input)
}

#[derive(Default)]
struct Parts {
    running: Option<u32>,
    waiting: Option<u32>,
    kv_cache_usage: Option<f64>,
    prefix_cache_hit_rate: Option<f64>,
}

fn parts(input: &str) -> Read<'_, Parts> {
    let mut parts = Parts::default();
    let mut rest = input.strip_suffix('.').unwrap_or(input);
    while !rest.is_empty() {
        let (part, _) = expect("`, ` and another part", tag(", ")).parse(rest)?;
        let end = memchr::memmem::find(part.as_bytes(), b", ").unwrap_or(part.len());
        rest = part.get(end..).unwrap_or_default();
        let part = part.get(..end).unwrap_or_default();
        match part.split_once(": ") {
            Some((name, value)) => parts.read(name, value)?,
            // The unknown may have commas of its own, but what the line ends with has a value.
            None if rest.is_empty() => return fail("", "`: ` and a value"),
            None => {}
        }
    }
    Ok((rest, parts))
}

impl Parts {
    fn read<'a>(&mut self, name: &str, value: &'a str) -> Wanted<'a, ()> {
        match name {
            "Running" | "Reqs Running" => self.running = Some(requests(value)?),
            // `Pending` is V0's word.
            "Waiting" | "Pending" => self.waiting = Some(requests(value)?),
            "Prefix cache hit rate" => self.prefix_cache_hit_rate = Some(share(value)?),
            // V0 gives the GPU's cache and then the CPU's; V1 gives one, whichever device it is.
            _ if name.ends_with(" KV cache usage") || name.ends_with(" KV cache used") => {
                let share = share(value)?;
                self.kv_cache_usage.get_or_insert(share);
            }
            _ => {}
        }
        Ok(())
    }
}

fn requests(value: &str) -> Wanted<'_, u32> {
    let (unit, number) = expect("a number of requests", decimal_u32).parse(value)?;
    match unit {
        "" | " reqs" => Ok(number),
        _ => fail(unit, "` reqs`"),
    }
}

/// A percentage as a share of 1.
fn share(value: &str) -> Wanted<'_, f64> {
    expect("a percentage", terminated(decimal::<2>, tag("%"))).parse(value).map(|(_, share)| share)
}
