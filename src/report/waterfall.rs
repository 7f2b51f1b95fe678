//! One request on a terminal: its stamps in time order, its parts as bars, its token gaps as a line of
//! blocks, and what is not known. Layout only: what it says was found in `correlate`.

mod bar;

use std::fmt::Write as _;
use std::io::{self, Write};

use self::bar::Axis;
use crate::record::RequestRow;
use crate::record::waterfall::{Decode, DrawnPart, Gap, InHead, Stamp, Waterfall};
use crate::units::{self, milliseconds};

/// Characters of a bar.
const WIDTH: usize = 60;
/// So many stalls are told; the others are counted.
const STALLS_TOLD: usize = 5;
/// And so many durations that one gateway states.
const STATED_TOLD: usize = 12;

/// Prints one request.
pub fn print(out: &mut impl Write, waterfall: &Waterfall) -> io::Result<()> {
    write!(out, "{}", text(waterfall))
}

/// The same as text; ends with a line break.
pub fn text(w: &Waterfall) -> String {
    let mut out = head(w);
    out.push_str("\n  ms from the start                  what                                    by\n");
    for stamp in &w.stamps {
        line(&mut out, &stamp_line(stamp));
    }
    if let Some(ttft) = w.row.client.ttft_s {
        out.push('\n');
        parts(&mut out, &w.parts, Some(ttft));
    } else if !w.parts.is_empty() {
        out.push('\n');
        parts(&mut out, &w.parts, None);
    }
    if let Some(decode) = &w.decode {
        out.push('\n');
        gaps(&mut out, decode);
    }
    if !w.unknown.is_empty() {
        out.push_str("\n  not known\n");
        for sentence in &w.unknown {
            line(&mut out, &format!("  - {sentence}"));
        }
    }
    out
}

/// Who it is, how it ended, and its figures.
fn head(w: &Waterfall) -> String {
    let c = &w.row.client;
    let mut out = format!("request {} (number {}): {}", c.request_id, c.index, c.status.as_str());
    if let Some(status) = c.http_status {
        let _ = write!(out, ", HTTP {status}");
    }
    let _ = write!(out, ", {} connection", c.connection.as_str());
    let tokens = c.output_tokens.map_or_else(|| "an unknown number of".to_owned(), |n| n.to_string());
    let _ = writeln!(out, ", {tokens} tokens in {} events, {} of them exact", c.n_events, c.n_exact_events);
    if let Some(error) = &c.error {
        line(&mut out, &format!("  error: {error}"));
    }
    let measured = figures(&client_figures(c));
    if !measured.is_empty() {
        line(&mut out, &format!("  client  {measured}"));
    }
    let r = &w.row;
    let server = [
        ("TTFT", r.server_ttft_s),
        ("queue", r.server_queue_s),
        ("prefill", r.server_prefill_s),
        ("decode", r.server_decode_s),
        ("E2E", r.server_e2e_s),
    ];
    let told = figures(&server);
    if !told.is_empty() {
        line(&mut out, &format!("  server  {told} ({})", sources(w)));
    }
    for said in in_heads(w) {
        line(&mut out, &format!("  {said}"));
    }
    out
}

/// What gateways state of it, each in a sentence.
pub fn in_heads(w: &Waterfall) -> Vec<String> {
    w.in_head.chunk_by(|a, b| a.by == b.by).map(in_head).collect()
}

fn in_head(of_one: &[InHead]) -> String {
    let by = of_one.first().map_or("", |one| one.by.as_str());
    let whole = if of_one.iter().any(|one| one.whole_ms) { ", in whole milliseconds" } else { "" };
    let all: Vec<String> = of_one
        .iter()
        .take(STATED_TOLD)
        .map(|one| format!("{} {}", one.what, units::seconds(one.seconds)))
        .collect();
    let more = match of_one.len().saturating_sub(STATED_TOLD) {
        0 => String::new(),
        n => format!(" and {n} more"),
    };
    format!("{by} states {}{more} (in the head of its answer{whole})", all.join(", "))
}

fn client_figures(c: &RequestRow) -> [(&'static str, Option<f64>); 4] {
    [("TTFT", c.ttft_s), ("ITL", c.itl_mean_s), ("TPOT", c.tpot_s), ("E2E", c.e2e_s)]
}

fn figures(all: &[(&str, Option<f64>)]) -> String {
    let known = all.iter().filter_map(|(name, value)| Some(format!("{name} {}", units::seconds((*value)?))));
    known.collect::<Vec<_>>().join(", ")
}

/// Which source told which of the server's figures.
fn sources(w: &Waterfall) -> String {
    let r = &w.row;
    let (times, engine) = (r.ttft_source.or(r.e2e_source), r.engine_source);
    match (times, engine) {
        (Some(a), Some(b)) if a != b => format!("{}; queue, prefill, decode: {}", a.as_str(), b.as_str()),
        (Some(a), _) | (None, Some(a)) => a.as_str().to_owned(),
        (None, None) => r.source.as_str().to_owned(),
    }
}

fn stamp_line(s: &Stamp) -> String {
    let (lo, hi) = (milliseconds(s.lo_s), milliseconds(s.hi_s));
    // An interval too narrow to be seen is a point to whoever reads it.
    let is_point = lo == hi;
    let how = match &s.note {
        Some(note) if is_point => format!(" ({note})"),
        Some(note) => format!(" (within {}: {note})", units::seconds(s.hi_s - s.lo_s)),
        None => String::new(),
    };
    let when = if is_point { lo } else { format!("{lo} … {hi}") };
    format!("  {when:>24}           {:<38}  {}{how}", s.what, s.by.name())
}

/// A line for each part; with bars up to the first token where there was one.
fn parts(out: &mut String, parts: &[DrawnPart], ttft: Option<f64>) {
    let axis = ttft.map(|end| Axis { begin_s: 0.0, end_s: end, width: WIDTH });
    let ends = ttft.map_or_else(String::new, |end| {
        let right = format!("{} ms", milliseconds(end));
        format!("0{right:>width$}", width = WIDTH - 1)
    });
    line(out, &format!("  {:<22} {:>20} {:>10}  {ends}", "part", "of TTFT (ms)", "of E2E"));
    for part in parts {
        let number = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), milliseconds);
        let ttft = part.bounds.map_or_else(
            || number(part.ttft_s),
            |b| format!("{} … {}", milliseconds(b.lo_s), milliseconds(b.hi_s)),
        );
        let drawn = axis.as_ref().map_or_else(String::new, |axis| axis.bar(&part.extents));
        let how = match (part.bounds.is_some(), part.measured, part.part.inside()) {
            (true, ..) => "within bounds",
            (false, true, true) => "",
            (false, false, true) => "by subtraction",
            (false, _, false) => "beside TTFT",
        };
        line(
            out,
            &format!(
                "  {:<22} {ttft:>20} {:>10}  {drawn:<WIDTH$}  {how}",
                part.part.name(),
                number(part.e2e_s)
            ),
        );
    }
    if axis.is_some() {
        line(out, "  █ certainly there, ░ perhaps; a part shorter than a character is ▏");
    }
}

/// The gaps between tokens, and the stalls.
fn gaps(out: &mut String, decode: &Decode) {
    let longest = decode.gaps.iter().map(|gap| gap.gap_s).fold(0.0, f64::max);
    line(
        out,
        &format!(
            "  gaps between {} token events: median {}, longest {}; {} of {} between exact stamps",
            decode.events,
            units::seconds(decode.median_s),
            units::seconds(longest),
            decode.exact_gaps,
            decode.gaps.len()
        ),
    );
    let cells = bar::cells(&decode.gaps, WIDTH);
    let per_cell = decode.gaps.len().div_ceil(cells.len().max(1));
    let shown: String = cells.iter().map(|gaps| bar::level(longest_of(gaps), longest)).collect();
    let marks: String =
        cells.iter().map(|gaps| if longest_of(gaps) > decode.stall_over_s { '^' } else { ' ' }).collect();
    let note = if per_cell > 1 {
        format!("  (up to {per_cell} gaps a character: the longest)")
    } else {
        String::new()
    };
    line(out, &format!("  {shown}{note}"));
    line(out, &format!("  {marks}"));
    if decode.stalls.is_empty() {
        line(out, &format!("  no stall: no gap over {}", units::seconds(decode.stall_over_s)));
        return;
    }
    for stall in decode.stalls.iter().take(STALLS_TOLD) {
        let gap = &stall.gap;
        let mut said = format!(
            "  stall: {} before event {}, until {} ms",
            units::seconds(gap.gap_s),
            gap.event,
            milliseconds(gap.at_s)
        );
        if gap.bounds.width_s() > 0.0 {
            let _ = write!(
                said,
                " (between {} and {})",
                units::seconds(gap.bounds.lo_s),
                units::seconds(gap.bounds.hi_s)
            );
        }
        if stall.events_in_read > 1 {
            let _ = write!(said, "; {} events came in the read that ended it", stall.events_in_read);
        }
        if let Some(still) = stall.client_stood_still_s.filter(|still| *still > 0.0) {
            let _ = write!(said, "; this program stood still for {} of it", units::seconds(still));
        }
        line(out, &said);
    }
    if decode.stalls.len() > STALLS_TOLD {
        line(out, &format!("  and {} more stalls", decode.stalls.len() - STALLS_TOLD));
    }
    line(
        out,
        &format!(
            "  a stall is a gap over {}: twice the median of all gaps of the run",
            units::seconds(decode.stall_over_s)
        ),
    );
}

fn longest_of(gaps: &[Gap]) -> f64 {
    gaps.iter().map(|gap| gap.gap_s).fold(0.0, f64::max)
}

/// Adds a line without blanks at its end.
fn line(out: &mut String, text: &str) {
    out.push_str(text.trim_end());
    out.push('\n');
}
