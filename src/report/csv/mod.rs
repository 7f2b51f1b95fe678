//! `data/*.csv`: the numbers behind each figure of the page, in the units of the files (s, tokens per s).
//! An empty cell is what was not measured. Layout only.

mod breakdown;
mod requests;
mod timeline;
mod waterfalls;

use std::borrow::Cow;

pub(super) use self::breakdown::BREAKDOWN;
pub(super) use self::requests::REQUESTS;
pub(super) use self::timeline::{
    CLIENT as TIMELINE_CLIENT, SERVER as TIMELINE_SERVER, TTFT as TIMELINE_TTFT,
};
pub(super) use self::waterfalls::{GAPS, STAMPS, one as one_request};

/// A table with a head, as text.
fn table(head: &[&str], rows: impl Iterator<Item = Vec<String>>) -> anyhow::Result<String> {
    let mut writer = ::csv::Writer::from_writer(Vec::new());
    writer.write_record(head)?;
    for row in rows {
        writer.write_record(row.iter().map(|cell| no_formula(cell).into_owned()))?;
    }
    Ok(String::from_utf8(writer.into_inner().map_err(::csv::IntoInnerError::into_error)?)?)
}

/// A spreadsheet takes some texts for formulas, and ids may be anybody's: those get a sign that they are text.
fn no_formula(cell: &str) -> Cow<'_, str> {
    let is_formula = match cell.chars().next() {
        Some('=' | '@' | '\t' | '\r') => true,
        Some('+' | '-') => cell.parse::<f64>().is_err(),
        _ => false,
    };
    if is_formula { Cow::Owned(format!("'{cell}")) } else { Cow::Borrowed(cell) }
}

/// A value, or nothing.
fn cell(value: Option<impl ToString>) -> String {
    value.map_or_else(String::new, |v| v.to_string())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_text_or_a_number_and_no_formula() {
        let row = ["=1+1", "@x", "-x", "-1.5e-3", "+2", "a,\"b\"\n", ""].map(str::to_owned).to_vec();
        let text = table(&["a"; 7], std::iter::once(row)).unwrap();
        assert_eq!(text, "a,a,a,a,a,a,a\n'=1+1,'@x,'-x,-1.5e-3,+2,\"a,\"\"b\"\"\n\",\n");
    }
}
