//! `data/*.csv`: the numbers behind each figure of the page, in the units of the files (s, tokens per s).
//! An empty cell is what was not measured. Layout only.

mod breakdown;
mod requests;
mod timeline;
mod waterfalls;

pub(super) use self::breakdown::BREAKDOWN;
pub(super) use self::requests::REQUESTS;
pub(super) use self::timeline::{CLIENT as TIMELINE_CLIENT, SERVER as TIMELINE_SERVER};
pub(super) use self::waterfalls::{GAPS, STAMPS};

/// A table with a head, as text.
fn table(head: &[&str], rows: impl Iterator<Item = Vec<String>>) -> anyhow::Result<String> {
    let mut writer = ::csv::Writer::from_writer(Vec::new());
    writer.write_record(head)?;
    for row in rows {
        writer.write_record(&row)?;
    }
    Ok(String::from_utf8(writer.into_inner().map_err(::csv::IntoInnerError::into_error)?)?)
}

/// A value, or nothing.
fn cell(value: Option<impl ToString>) -> String {
    value.map_or_else(String::new, |v| v.to_string())
}
