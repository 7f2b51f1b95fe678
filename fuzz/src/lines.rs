//! Logs of servers and gateways, and what stat loggers write.

use tare::clock::UnixNs;
use tare::ingest::hop::HopReader;
use tare::ingest::lines::{Line, Lines};
use tare::ingest::log::{Freshness, LogCounts, LogReader};
use tare::ingest::problem::Notes;
use tare::ingest::reader::LineReader;
use tare::ingest::stat_log::StatReader;

use super::survives;

const READ: UnixNs = UnixNs(1_795_533_161_860_419_328);

/// Any bytes as a log: the same lines however they are cut, every line counted once, and rows that can be written and
/// read. The first byte says how long a piece is, the second how long a line may be and how fresh it is.
pub fn lines(data: &[u8]) {
    let [cut, limit, log @ ..] = data else { return };
    let most = if *limit < 128 { 1 << 20 } else { usize::from(*limit) };
    let freshness = [Freshness::Fresh, Freshness::Piped, Freshness::Old][usize::from(*limit) % 3];
    let split = split(log.chunks(usize::from(*cut) + 1), most);
    assert_eq!(split, self::split(std::iter::once(log), most));

    let notes = Notes::default();
    let mut server = LogReader::new("log", None, notes.clone()).unwrap();
    server.detect(split.iter().map(|line| line.text.as_ref()));
    let mut hop = HopReader::new("hop", None, "log", notes);
    let mut stats = StatReader::new("log");
    for line in &split {
        if let (Some(row), _) = server.line(line, READ, freshness) {
            survives(&row);
        }
        hop.line(line, READ, freshness).iter().for_each(survives);
        stats.line(line, READ).iter().for_each(survives);
    }
    for counts in [server.counts(), hop.counts(), stats.counts()] {
        let LogCounts { seen, parsed, other, unparsed, bad, blank, .. } = counts;
        assert_eq!(seen, split.len() as u64);
        assert_eq!(seen, parsed + other + unparsed + bad + blank);
    }
    let _ = (server.verdict(), hop.verdict(), stats.verdict());
}

fn split<'a>(pieces: impl Iterator<Item = &'a [u8]>, most: usize) -> Vec<Line<'static>> {
    let (mut lines, mut out) = (Lines::new(most), Vec::new());
    let owned = |line: Line<'_>| Line { text: line.text.into_owned().into(), ..line };
    for piece in pieces {
        lines.push(piece, |line| out.push(owned(line)));
    }
    lines.finish(|line| out.push(owned(line)));
    out
}
