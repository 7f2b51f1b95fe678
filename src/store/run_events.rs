//! The events of a run, where they lie: a long run's are many times the memory there is, so that they stay in
//! their stream, and are read from there request by request, as often as something is to be made of them. This
//! file must not know what that is.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs::File;
use std::io::{BufReader, Cursor, Read as _, Seek as _, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use super::event_stream::{Batches, END_OF_STREAM, Torn};
use super::events::{Events, Part};

/// A batch of events is some tens of kilobytes.
const READ_AT_ONCE: usize = 1 << 20;

/// The events of many requests, each request's together.
#[derive(Debug)]
pub struct RunEvents {
    lie: Lie,
    /// Where each request's are.
    places: HashMap<String, Place>,
    events: usize,
    /// The stream was cut while a batch was being written.
    pub torn: Option<Torn>,
}

#[derive(Debug)]
enum Lie {
    InMemory(Events),
    Stream(PathBuf),
}

/// Of the batch that begins at a byte of the stream, the rows.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Place {
    batch: u64,
    rows: Range<usize>,
}

impl From<Events> for RunEvents {
    fn from(events: Events) -> Self {
        let place = |rows: &Range<usize>| Place { batch: 0, rows: rows.clone() };
        let places = events.requests.iter().map(|(id, rows)| (id.clone(), place(rows))).collect();
        Self { places, events: events.len(), torn: None, lie: Lie::InMemory(events) }
    }
}

impl RunEvents {
    /// Those of a stream, up to its last whole batch. A file that does not begin like one is an error; one that
    /// ends in the middle is not.
    pub fn open(path: &Path) -> Result<Self> {
        let mut batches = open(path)?;
        let (mut places, mut events) = (HashMap::new(), 0);
        let (mut batch, mut last) = (Events::default(), None);
        loop {
            let place = batches.place();
            if !batches.next(&mut batch) {
                break;
            }
            let first = batch.requests.first().map(|(id, _)| id.as_str());
            if first.is_some() && first == last.as_deref() {
                // Written by no version of this program; to put them together they are read whole.
                return in_memory(path);
            }
            last = batch.requests.last().map(|(id, _)| id.clone());
            events += batch.len();
            for (id, rows) in batch.requests.drain(..) {
                places.insert(id, Place { batch: place, rows });
            }
        }
        Ok(Self { lie: Lie::Stream(path.to_owned()), places, events, torn: batches.torn() })
    }

    /// As `open`, from memory.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let ends = bytes.ends_with(&END_OF_STREAM);
        Ok(whole(Batches::new(Cursor::new(bytes), bytes.len() as u64, ends)?))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.events
    }

    pub fn is_empty(&self) -> bool {
        self.events == 0
    }

    /// Whose they are.
    pub fn request_ids(&self) -> impl Iterator<Item = &str> {
        self.places.keys().map(String::as_str)
    }

    /// How many of them are this request's.
    pub fn count_of(&self, request_id: &str) -> usize {
        self.places.get(request_id).map_or(0, |place| place.rows.len())
    }

    /// Those of the requests that are kept alone; the files stay as they are.
    #[must_use]
    pub fn only(mut self, keep: impl Fn(&str) -> bool) -> Self {
        self.places.retain(|id, _| keep(id));
        self.events = self.places.values().map(|place| place.rows.len()).sum();
        self
    }

    /// One request's.
    pub fn of(&self, request_id: &str) -> Result<Events> {
        let mut found = Events::default();
        let Some(place) = self.places.get(request_id) else { return Ok(found) };
        match &self.lie {
            Lie::InMemory(events) => found.extend(request_id, events.part(&place.rows)),
            Lie::Stream(path) => {
                let (mut batches, mut batch) = (open(path)?, Events::default());
                read(&mut batches, place.batch, &mut batch, path)?;
                found.extend(request_id, batch.part(&place.rows));
            }
        }
        Ok(found)
    }

    /// Those of some requests, into memory.
    pub fn of_some(&self, wanted: impl Fn(&str) -> bool) -> Result<Events> {
        let mut found = Events::default();
        self.each_of(wanted, |id, part| found.extend(id, part))?;
        Ok(found)
    }

    /// Those of a few requests of many, into memory: nothing else is looked at.
    pub fn of_these(&self, ids: &HashSet<&str>) -> Result<Events> {
        let mut found = Events::default();
        let places = ids.iter().filter_map(|id| self.places.get(*id));
        let batches = places.map(|place| place.batch).collect();
        self.each_in(&batches, |id| ids.contains(id), |id, part| found.extend(id, part))?;
        Ok(found)
    }

    /// All of them, into memory.
    pub fn whole(&self) -> Result<Events> {
        self.of_some(|_| true)
    }

    /// Each request's events, in the order of the file.
    pub fn each(&self, take: impl FnMut(&str, Part<'_>)) -> Result<()> {
        self.each_of(|_| true, take)
    }

    /// The same of some requests; what holds none of theirs is not read.
    pub fn each_of(&self, wanted: impl Fn(&str) -> bool, take: impl FnMut(&str, Part<'_>)) -> Result<()> {
        let of_wanted = self.places.iter().filter(|(id, _)| wanted(id));
        let batches = of_wanted.map(|(_, place)| place.batch).collect();
        self.each_in(&batches, wanted, take)
    }

    /// The same, of requests whose events lie in these batches.
    fn each_in(
        &self,
        places: &BTreeSet<u64>,
        wanted: impl Fn(&str) -> bool,
        mut take: impl FnMut(&str, Part<'_>),
    ) -> Result<()> {
        let mut taken = |events: &Events, batch: u64| {
            for (id, rows) in &events.requests {
                // An id that came again: the last ones are its events.
                let is_place = self.places.get(id).is_some_and(|p| p.batch == batch && p.rows == *rows);
                if is_place && wanted(id) {
                    take(id, events.part(rows));
                }
            }
        };
        match &self.lie {
            Lie::InMemory(events) => taken(events, 0),
            Lie::Stream(path) => {
                let (mut batches, mut batch) = (open(path)?, Events::default());
                for place in places {
                    read(&mut batches, *place, &mut batch, path)?;
                    taken(&batch, *place);
                }
            }
        }
        Ok(())
    }

    /// Everything in the file, some requests at a time.
    pub fn batches(&self, mut take: impl FnMut(&Events) -> Result<()>) -> Result<()> {
        match &self.lie {
            Lie::InMemory(events) => take(events),
            Lie::Stream(path) => {
                let (mut batches, mut batch) = (open(path)?, Events::default());
                while batches.next(&mut batch) {
                    take(&batch)?;
                }
                Ok(())
            }
        }
    }
}

fn open(path: &Path) -> Result<Batches<BufReader<File>>> {
    let cannot = || format!("cannot read {}", path.display());
    let mut file = File::open(path).with_context(cannot)?;
    let length = file.metadata().with_context(cannot)?.len();
    let mut last = [0; END_OF_STREAM.len()];
    if length >= last.len() as u64 {
        file.seek(SeekFrom::Start(length - last.len() as u64)).with_context(cannot)?;
        file.read_exact(&mut last).with_context(cannot)?;
        file.rewind().with_context(cannot)?;
    }
    let file = BufReader::with_capacity(READ_AT_ONCE, file);
    Batches::new(file, length, last == END_OF_STREAM).with_context(|| not_ours(path))
}

/// The batch that began there when the file was first read.
fn read(batches: &mut Batches<BufReader<File>>, place: u64, batch: &mut Events, path: &Path) -> Result<()> {
    batches.go_to(place);
    ensure!(batches.next(batch), changed(path));
    Ok(())
}

fn in_memory(path: &Path) -> Result<RunEvents> {
    Ok(whole(open(path)?))
}

fn whole<R: std::io::Read + std::io::Seek>(mut batches: Batches<R>) -> RunEvents {
    let (mut all, mut batch) = (Events::default(), Events::default());
    while batches.next(&mut batch) {
        for (id, rows) in &batch.requests {
            all.extend(id, batch.part(rows));
        }
    }
    RunEvents { torn: batches.torn(), ..RunEvents::from(all) }
}

fn not_ours(path: &Path) -> String {
    format!("{} is not an event stream of tare", path.display())
}

fn changed(path: &Path) -> String {
    format!("{} is no longer what it was when it was first read", path.display())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::event_stream::EventEncoder;
    use super::*;
    use crate::record::Finished;
    use crate::record::fixture::finished;

    /// A stream of these batches, on disc and in memory.
    fn both(batches: &[Vec<Finished>]) -> (tempfile::TempDir, RunEvents, RunEvents) {
        let mut encoder = EventEncoder::new();
        let mut bytes = encoder.header().unwrap().to_vec();
        for batch in batches {
            bytes.extend_from_slice(encoder.batch(batch).unwrap());
        }
        bytes.extend_from_slice(encoder.end().unwrap());
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events.arrows");
        std::fs::write(&path, &bytes).unwrap();
        (dir, RunEvents::open(&path).unwrap(), RunEvents::from_bytes(&bytes).unwrap())
    }

    fn ids(events: &RunEvents) -> Vec<(String, usize)> {
        let mut ids = Vec::new();
        events.each(|id, part| ids.push((id.to_owned(), part.bytes.len()))).unwrap();
        ids
    }

    #[test]
    fn what_is_read_from_disc_is_what_memory_would_hold() {
        let batches = [vec![finished(3), finished(0)], vec![finished(2)], vec![finished(1), finished(4)]];
        let (_dir, disc, memory) = both(&batches);
        assert!(matches!(disc.lie, Lie::Stream(_)));
        assert_eq!((disc.len(), disc.count_of("r-0002"), disc.count_of("r-0009")), (55, 11, 0));
        assert_eq!(ids(&disc), ids(&memory));
        assert_eq!(
            ids(&disc).iter().map(|(id, _)| id.as_str()).collect::<String>(),
            "r-0003r-0000r-0002r-0001r-0004"
        );
        assert_eq!(disc.whole().unwrap(), memory.whole().unwrap());
        for id in ["r-0000", "r-0004", "r-0009"] {
            assert_eq!(disc.of(id).unwrap(), memory.of(id).unwrap());
        }
        let some = HashSet::from(["r-0003", "r-0004", "r-0009"]);
        assert_eq!(disc.of_these(&some).unwrap(), disc.of_some(|id| some.contains(id)).unwrap());
        assert_eq!(disc.of_these(&some).unwrap(), memory.of_these(&some).unwrap());
        let mut one = Events::default();
        one.push(&finished(4));
        assert_eq!(disc.of("r-0004").unwrap(), one);
    }

    #[test]
    fn some_are_kept_and_the_file_still_has_all() {
        let (_dir, disc, memory) = both(&[vec![finished(0), finished(1)], vec![finished(2)]]);
        for events in [disc, memory] {
            let some = events.only(|id| id != "r-0001");
            assert_eq!(some.len(), 22);
            assert_eq!(ids(&some).len(), 2);
            assert!(some.of("r-0001").unwrap().is_empty());
            let mut in_file = 0;
            some.batches(|batch| {
                in_file += batch.len();
                Ok(())
            })
            .unwrap();
            assert_eq!(in_file, 33);
        }
    }

    #[test]
    fn an_id_that_came_again_has_the_last_events() {
        let mut again = finished(0);
        again.events.truncate(2);
        let (_dir, disc, memory) = both(&[vec![finished(0)], vec![finished(1), again]]);
        for events in [&disc, &memory] {
            assert_eq!((events.count_of("r-0000"), events.of("r-0000").unwrap().len()), (2, 2));
            assert_eq!(ids(events), [("r-0001".to_owned(), 11), ("r-0000".to_owned(), 2)]);
        }
    }

    #[test]
    fn a_request_in_two_batches_is_put_together() {
        let mut parts = [finished(0), finished(0)];
        parts[0].events.truncate(5);
        parts[1].events.drain(..5);
        let [first, second] = parts;
        let (_dir, disc, _) = both(&[vec![finished(1), first], vec![second]]);
        let mut whole = Events::default();
        whole.push(&finished(0));
        assert_eq!(disc.of("r-0000").unwrap(), whole);
    }

    #[test]
    fn a_file_that_is_changed_meanwhile_is_an_error_in_words() {
        let (dir, disc, _) = both(&[vec![finished(0)], vec![finished(1)]]);
        let path = dir.path().join("events.arrows");
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        let error = format!("{:#}", disc.whole().unwrap_err());
        assert!(error.contains("is no longer what it was when it was first read"), "{error}");
    }
}
