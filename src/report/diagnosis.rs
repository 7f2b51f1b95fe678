//! What `tare doctor` found, on a terminal. Layout only.

use std::fmt::Write as _;
use std::io::{self, Write};

use crate::record::clocks::{ClockRelation, Clocks};
use crate::record::diagnosis::{Diagnosis, Level, State};
use crate::units;

/// Prints a diagnosis.
pub fn print(out: &mut impl Write, diagnosis: &Diagnosis) -> io::Result<()> {
    write!(out, "{}", text(diagnosis))
}

/// The same as text; ends with a line break.
pub fn text(d: &Diagnosis) -> String {
    let mut out = String::new();
    for note in &d.notes {
        line(&mut out, &format!("note: {note}"));
    }
    line(&mut out, &format!("{}: {}", d.url, server(d)));
    let unstreamed = match &d.unstreamed_error {
        None => "one not streamed answered".to_owned(),
        Some(error) => format!("one not streamed failed: {error}"),
    };
    line(&mut out, &format!("{} of {} streamed requests answered, {unstreamed}", d.streamed_ok, d.streamed));
    if let Some(error) = &d.error {
        line(&mut out, &format!("  an error: {error}"));
    }
    out.push_str("\nEvidence, the best first\n");
    for level in &d.levels {
        one_level(&mut out, level);
    }
    out.push_str("\nBetween client and server\n");
    line(
        &mut out,
        &format!(
            "  {}",
            d.between.gateway.map_or_else(
                || "no sign of a gateway".to_owned(),
                |sure| format!("a gateway, by what was seen: {}", sure.as_str())
            )
        ),
    );
    for finding in &d.between.findings {
        line(&mut out, &format!("  ! {} ({})", finding.what, finding.sure.as_str()));
    }
    for clear in &d.between.clear {
        line(&mut out, &format!("  - {clear}"));
    }
    out.push_str("\nClocks\n");
    for sentence in clocks(d.same_host, &d.clocks) {
        line(&mut out, &format!("  {sentence}"));
    }
    if d.clocks.relation == ClockRelation::OneClock && d.between.gateway.is_some() {
        line(&mut out, "  the address is the gateway's: the server behind it may be on another host");
    }
    out.push('\n');
    line(&mut out, &format!("next: {}", d.next.as_deref().unwrap_or(nothing(d))));
    out
}

/// Why there is nothing to do next.
fn nothing(d: &Diagnosis) -> &'static str {
    let spans = d.levels.iter().any(|level| level.name == "OTLP spans" && level.state == State::On);
    if spans { "nothing: spans tell every part of a request" } else { "nothing: this server tells no more" }
}

fn server(d: &Diagnosis) -> String {
    let s = &d.server;
    let mut said = s.kind.clone();
    if let Some(version) = &s.version {
        let _ = write!(said, " {version}");
    }
    let _ = write!(said, " ({})", s.kind_from);
    if let Some(model) = &s.model {
        let _ = write!(said, ", model `{model}`");
    }
    if let Some(fingerprint) = &s.fingerprint {
        let _ = write!(said, ", fingerprint `{fingerprint}`");
    }
    said
}

fn one_level(out: &mut String, level: &Level) {
    line(out, &format!("  {:<8} {:<18} {}", level.state.as_str(), level.name, level.seen));
    let more = |out: &mut String, word: &str, text: &str| line(out, &format!("  {:27} {word}: {text}", ""));
    if level.state != State::On {
        more(out, "adds", level.adds);
    }
    if let Some(unlock) = &level.unlock {
        more(out, if level.state == State::On { "finer" } else { "unlock" }, unlock);
        if let Some(advice) = level.advice {
            more(out, "note", advice);
        }
    }
    if let Some(give) = level.give.as_ref().filter(|_| level.state == State::Unknown) {
        more(out, "look", &format!("tare doctor … {give}"));
    }
}

fn clocks(same_host: bool, c: &Clocks) -> Vec<String> {
    let pairs = c.pairs_out + c.pairs_back;
    match c.relation {
        ClockRelation::OneClock if pairs == 0 => vec![
            "one clock, by its address: this host. No stamp of the server was there to check it".to_owned(),
        ],
        ClockRelation::OneClock if c.against_one_clock > 0 => vec![format!(
            "one clock, by its address, and {} of {pairs} pairs of stamps contradict that: late stamps, or a container with a clock of its own",
            c.against_one_clock
        )],
        ClockRelation::OneClock => {
            vec![format!("one clock, by its address: this host; {pairs} of {pairs} pairs of stamps agree")]
        }
        ClockRelation::Bounded => {
            let host = if same_host { "one host by its address, and two clocks: " } else { "two clocks: " };
            c.stretches
                .iter()
                .map(|s| {
                    format!(
                        "{host}server − client lies within {} … {} (±{}), by {} pairs out and {} back",
                        units::microsecond_fine(s.offset_lo_s),
                        units::microsecond_fine(s.offset_hi_s),
                        units::seconds(s.reach_s()),
                        c.pairs_out,
                        c.pairs_back
                    )
                })
                .collect()
        }
        ClockRelation::Contradict => {
            vec![format!(
                "no offset and drift satisfies the {pairs} pairs of stamps: instants are not compared"
            )]
        }
        ClockRelation::Unknown => vec![
            "nothing bounds the offset: it takes instants of the server (spans, stat log, request log lines)"
                .to_owned(),
        ],
    }
}

fn line(out: &mut String, text: &str) {
    out.push_str(text.trim_end());
    out.push('\n');
}
