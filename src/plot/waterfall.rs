//! `waterfall`: single requests. Of each the parts of its time, where they lie up to the first token, and every stamp of
//! both sides with what it leaves open; of one alone also each stamp by name, and the gaps between its tokens. This file
//! must not know how any of it was placed.

use super::draw::axis::Axis;
use super::draw::canvas::{self, Align, Canvas, Ink};
use super::draw::page;
use super::theme::{self, Colour};
use super::{Drawn, Fall, Plot, PlotData};
use crate::metric::Unit;
use crate::record::Whose;
use crate::record::waterfall::{Decode, DrawnPart, Stamp};
use crate::units::{self, milliseconds};

/// Room for names on the left, for numbers and how they were found on the right.
const LEFT: f64 = theme::MARGIN + 176.0;
const RIGHT: f64 = theme::WIDTH - theme::MARGIN - 236.0;
const NUMBERS: f64 = RIGHT + 118.0;
const HEADING: f64 = 44.0;
const ROW: f64 = 18.0;
const TICKS: f64 = 26.0;
const GAPS: f64 = 118.0;
const BELOW: f64 = 18.0;

/// The figure.
pub struct Waterfall;

impl Plot for Waterfall {
    fn name(&self) -> &'static str {
        "waterfall"
    }

    fn caption(&self) -> &'static str {
        "Single requests: the parts of their time, and every stamp of both sides"
    }

    fn draw(&self, data: &PlotData) -> anyhow::Result<Drawn> {
        let falls: Vec<Drawing> =
            data.falls.iter().filter_map(|fall| Drawing::of(fall, data.falls.len() == 1)).collect();
        let Some(first) = falls.first() else {
            return Ok(Drawn::Nothing("there are no requests, or two loads in turn".to_owned()));
        };
        let title = finding(first.fall);
        let notes = notes(falls.len());
        let height =
            page::TOP + falls.iter().map(Drawing::height).sum::<f64>() + ROW * notes.len() as f64 + 10.0;
        let run = if data.run.is_empty() { String::new() } else { format!("{} · ", data.run) };
        let ended = units::count(data.n_ended as u64);
        let subtitle = format!("{run}{} of {ended} requests", falls.len());
        let svg = canvas::svg((theme::WIDTH, height), &title, |canvas| {
            page::header(canvas, theme::WIDTH, &title, &subtitle)?;
            let mut top = page::TOP;
            for fall in &falls {
                fall.draw(canvas, top)?;
                top += fall.height();
            }
            for (i, note) in notes.iter().enumerate() {
                let at = (theme::MARGIN, top + ROW * i as f64 + 4.0);
                canvas.text(note, at, Ink::new(theme::SMALL, theme::QUIET))?;
            }
            Ok(())
        })?;
        Ok(Drawn::Svg(svg))
    }
}

/// The request, and what most of its time to first token was.
fn finding(fall: &Fall) -> String {
    let who = format!("Request {}", fall.index);
    let who = if fall.why.is_empty() { who } else { format!("{who} ({})", fall.why) };
    let inside = fall.parts.iter().filter(|p| p.part.inside());
    let largest = inside
        .filter_map(|p| Some((p.part, p.ttft_s?)))
        .filter(|(_, s)| s.is_finite())
        .max_by(|a, b| a.1.total_cmp(&b.1));
    match (fall.ttft_s, largest) {
        (Some(ttft), Some((part, s))) if ttft > 0.0 => {
            let (all, of) = (units::seconds(ttft), units::seconds(s));
            format!("{who}: TTFT {all}, {of} of it {} ({})", part.name(), units::percent(s / ttft))
        }
        (Some(ttft), _) => format!("{who}: TTFT {}", units::seconds(ttft)),
        (None, _) => format!("{who}: {}, no first token", fall.status),
    }
}

fn notes(n: usize) -> Vec<&'static str> {
    let mut notes = vec![
        "Full: certainly there. Pale: somewhere there, by what stamps and clocks leave open. ms since the request's start, by the client's clock.",
    ];
    if n > 1 {
        notes.push(
            "Each request has an axis of its own, up to its first token (without one: to its last stamp).",
        );
    }
    notes
}

/// A request with its axis.
struct Drawing<'a> {
    fall: &'a Fall,
    axis: Axis,
    /// Each stamp by name, and the gaps between tokens.
    detailed: bool,
}

impl<'a> Drawing<'a> {
    fn of(fall: &'a Fall, detailed: bool) -> Option<Self> {
        let last = fall.stamps.iter().map(|s| s.hi_s).filter(|s| s.is_finite()).fold(0.0, f64::max);
        let axis = Axis::between(0.0, fall.ttft_s.filter(|t| *t > 0.0).unwrap_or(last), Unit::Seconds)?;
        Some(Self { fall, axis, detailed })
    }

    fn x(&self, at: f64) -> f64 {
        LEFT + self.axis.fraction(at) * (RIGHT - LEFT)
    }

    fn rows(&self) -> usize {
        let stamps = if self.detailed { self.fall.stamps.len() + 1 } else { self.lanes().len() };
        self.fall.parts.len() + stamps
    }

    fn height(&self) -> f64 {
        let gaps = if self.gaps().is_some() { GAPS } else { 0.0 };
        HEADING + ROW * self.rows() as f64 + TICKS + gaps + BELOW
    }

    fn gaps(&self) -> Option<&Decode> {
        self.fall.decode.as_ref().filter(|decode| self.detailed && !decode.gaps.is_empty())
    }

    fn lanes(&self) -> Vec<(&'static str, Whose)> {
        let all = [
            ("client's stamps", Whose::Client),
            ("hops' stamps", Whose::Tare),
            ("server's stamps", Whose::Server),
        ];
        let has = |whose: Whose| self.fall.stamps.iter().any(|s| s.by.whose() == whose);
        all.into_iter().filter(|(_, whose)| has(*whose)).collect()
    }

    fn draw(&self, canvas: &Canvas, top: f64) -> anyhow::Result<()> {
        self.heading(canvas, top)?;
        let (begin, end) = (top + HEADING, top + HEADING + ROW * self.rows() as f64);
        let quiet = Ink::new(theme::SMALL, theme::QUIET);
        for tick in &self.axis.ticks {
            let x = self.x(*tick);
            canvas.line(&[(x, begin - 6.0), (x, end)], theme::GRID, 1.0, 1.0)?;
            canvas.text(&self.axis.label(*tick), (x, end + 11.0), quiet.align(Align::Centre))?;
        }
        canvas.text(self.axis.scale.name, (RIGHT + 26.0, end + 11.0), quiet)?;
        canvas.text("ms", (NUMBERS, begin - 8.0), quiet.align(Align::Right))?;
        canvas.line(&[(LEFT, end), (RIGHT, end)], theme::AXIS, 1.0, 1.0)?;
        let middle = |row: usize| begin + ROW * row as f64 + ROW / 2.0;
        for (row, part) in self.fall.parts.iter().enumerate() {
            self.part(canvas, middle(row), part)?;
        }
        let parts = self.fall.parts.len();
        if !self.detailed {
            for (i, (name, whose)) in self.lanes().iter().enumerate() {
                let y = middle(parts + i);
                canvas.text(name, (LEFT - 8.0, y), quiet.align(Align::Right))?;
                for stamp in self.fall.stamps.iter().filter(|s| s.by.whose() == *whose) {
                    self.stamp(canvas, y, stamp)?;
                }
            }
            return Ok(());
        }
        let y = middle(parts);
        canvas.text(
            "stamps",
            (LEFT - 8.0, y),
            Ink::new(theme::SMALL, theme::INK).bold().align(Align::Right),
        )?;
        for (i, stamp) in self.fall.stamps.iter().enumerate() {
            let y = middle(parts + 1 + i);
            Self::named(canvas, y, &stamp.what, &when(stamp), stamp.by.name())?;
            self.stamp(canvas, y, stamp)?;
        }
        match self.gaps() {
            Some(decode) => gaps(canvas, end + TICKS + 10.0, decode),
            None => Ok(()),
        }
    }

    fn heading(&self, canvas: &Canvas, top: f64) -> anyhow::Result<()> {
        let f = self.fall;
        let why = if f.why.is_empty() { String::new() } else { format!(", {}", f.why) };
        let heading = format!("Request {}{why}: {}", f.index, f.status);
        canvas.text(&heading, (theme::MARGIN, top + 6.0), Ink::new(theme::HEADING, theme::INK).bold())?;
        let figures = [("TTFT", f.ttft_s), ("E2E", f.e2e_s)];
        let known: Vec<String> = figures
            .into_iter()
            .filter_map(|(name, value)| Some(format!("{name} {}", units::seconds(value?))))
            .collect();
        let right = theme::WIDTH - theme::MARGIN;
        let ink = Ink::new(theme::SMALL, theme::INK).align(Align::Right);
        canvas.text(&known.join(" · "), (right, top + 6.0), ink)?;
        let id = canvas::fit(&f.request_id, theme::SMALL, right - theme::MARGIN);
        canvas.text(&id, (theme::MARGIN, top + 23.0), Ink::new(theme::SMALL, theme::QUIET))
    }

    /// Its name on the left, its number and how it was found on the right.
    fn named(canvas: &Canvas, y: f64, name: &str, number: &str, how: &str) -> anyhow::Result<()> {
        let ink = Ink::new(theme::SMALL, theme::INK);
        let name = canvas::fit(name, theme::SMALL, LEFT - theme::MARGIN - 8.0);
        canvas.text(&name, (LEFT - 8.0, y), ink.align(Align::Right))?;
        canvas.text(number, (NUMBERS, y), ink.align(Align::Right))?;
        canvas.text(how, (NUMBERS + 8.0, y), Ink::new(theme::SMALL, theme::QUIET))
    }

    fn part(&self, canvas: &Canvas, y: f64, part: &DrawnPart) -> anyhow::Result<()> {
        let number = match (part.bounds, part.ttft_s) {
            (Some(b), _) => format!("{} … {}", milliseconds(b.lo_s), milliseconds(b.hi_s)),
            (None, Some(s)) => milliseconds(s),
            (None, None) => "–".to_owned(),
        };
        let how = match part.ttft_s {
            Some(_) => part.how().to_owned(),
            None => part.e2e_s.map_or_else(String::new, |s| format!("{} of E2E", milliseconds(s))),
        };
        Self::named(canvas, y, part.part.name(), &number, &how)?;
        let colour = theme::whose(part.part.whose());
        for extent in &part.extents {
            if let Some(perhaps) = extent.perhaps() {
                self.bar(canvas, y, perhaps, colour, 0.3)?;
            }
            if let Some(certain) = extent.certain() {
                self.bar(canvas, y, certain, colour, 1.0)?;
            }
        }
        Ok(())
    }

    /// At least a stroke wide.
    fn bar(
        &self,
        canvas: &Canvas,
        y: f64,
        (from, to): (f64, f64),
        colour: Colour,
        opacity: f64,
    ) -> anyhow::Result<()> {
        let (from, to) = (self.x(from), self.x(to));
        let to = to.max(from + 1.2);
        canvas.rect((from, y - 6.0), (to, y + 6.0), colour, opacity)
    }

    fn stamp(&self, canvas: &Canvas, y: f64, stamp: &Stamp) -> anyhow::Result<()> {
        let colour = theme::whose(stamp.by.whose());
        if stamp.lo_s > self.axis.hi {
            let ink = Ink::new(theme::SMALL, colour);
            return if self.detailed { canvas.text("→", (RIGHT + 4.0, y), ink) } else { Ok(()) };
        }
        let (from, to) = (self.x(stamp.lo_s), self.x(stamp.hi_s));
        if to - from > 2.0 {
            canvas.rect((from, y - 4.0), (to, y + 4.0), colour, 0.3)?;
            canvas.line(&[(from, y - 5.0), (from, y + 5.0)], colour, 1.0, 1.0)?;
            if stamp.hi_s > self.axis.hi {
                return canvas.text("→", (RIGHT + 4.0, y), Ink::new(theme::SMALL, colour));
            }
            return canvas.line(&[(to, y - 5.0), (to, y + 5.0)], colour, 1.0, 1.0);
        }
        canvas.line(&[(from, y - 6.0), (from, y + 6.0)], colour, 1.0, 2.0)
    }
}

/// ms since the start; a point, or within bounds.
fn when(s: &Stamp) -> String {
    let (lo, hi) = (milliseconds(s.lo_s), milliseconds(s.hi_s));
    if lo == hi { lo } else { format!("{lo} … {hi}") }
}

/// A stroke for each gap at the moment that ended it; of those that share a pixel the longest.
fn gaps(canvas: &Canvas, top: f64, decode: &Decode) -> anyhow::Result<()> {
    const PLOT_TOP: f64 = 26.0;
    const PLOT_BOTTOM: f64 = 84.0;
    let longest = decode.gaps.iter().map(|g| g.gap_s).filter(|g| g.is_finite()).fold(0.0, f64::max);
    let begin = decode.gaps.first().map_or(0.0, |g| g.at_s - g.gap_s);
    let end = decode.gaps.last().map_or(0.0, |g| g.at_s);
    let (Some(down), Some(across)) =
        (Axis::between(0.0, longest * 1.05, Unit::Seconds), Axis::between(begin, end, Unit::Seconds))
    else {
        return Ok(());
    };
    let left = theme::MARGIN + 60.0;
    let right = theme::WIDTH - theme::MARGIN;
    let x = |at: f64| left + across.fraction(at) * (right - left);
    let y = |gap: f64| top + PLOT_BOTTOM - down.fraction(gap) * (PLOT_BOTTOM - PLOT_TOP);
    let said = format!(
        "Gaps between {} token events ({}): median {}, longest {}; {} of {} between exact stamps; {} stalls over {}",
        decode.events,
        down.scale.name,
        units::seconds(decode.median_s),
        units::seconds(longest),
        decode.exact_gaps,
        decode.gaps.len(),
        decode.stalls.len(),
        units::seconds(decode.stall_over_s),
    );
    let said = canvas::fit(&said, theme::SMALL, right - theme::MARGIN);
    canvas.text(&said, (theme::MARGIN, top + 8.0), Ink::new(theme::SMALL, theme::INK))?;
    let quiet = Ink::new(theme::SMALL, theme::QUIET);
    for tick in &down.ticks {
        canvas.line(&[(left, y(*tick)), (right, y(*tick))], theme::GRID, 1.0, 1.0)?;
    }
    for tick in down.ticks.iter().step_by(2) {
        canvas.text(&down.label(*tick), (left - 6.0, y(*tick)), quiet.align(Align::Right))?;
    }
    for tick in &across.ticks {
        let label = format!("{} {}", across.label(*tick), across.scale.name);
        canvas.text(&label, (x(*tick), top + PLOT_BOTTOM + 12.0), quiet.align(Align::Centre))?;
    }
    let pixel = |at: f64| x(at).round() as i64;
    for shared in decode.gaps.chunk_by(|a, b| pixel(a.at_s) == pixel(b.at_s)) {
        let Some(gap) = shared.iter().max_by(|a, b| a.gap_s.total_cmp(&b.gap_s)) else { continue };
        let colour = if gap.gap_s > decode.stall_over_s { theme::NOTE } else { theme::CLIENT };
        let x = x(gap.at_s);
        canvas.line(&[(x, y(0.0)), (x, y(gap.gap_s))], colour, 1.0, 1.4)?;
    }
    canvas.line(&[(left, y(0.0)), (right, y(0.0))], theme::AXIS, 1.0, 1.0)
}
