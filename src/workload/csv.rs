//! CSV datasets: a header with the columns' names, then a row a prompt; fields in double quotes may hold
//! line breaks. This file must not know which columns mean what.

use std::path::Path;

use super::{Read, Want, open, table};
use crate::config::Columns;
use crate::error::usage;
use crate::record::DatasetName;
use crate::store::columns::Cell;

/// Reads a file.
pub fn read(path: &Path, columns: &Columns, want: &Want<'_>) -> anyhow::Result<Read> {
    let mut rows = csv::ReaderBuilder::new().flexible(true).from_reader(open(path)?);
    let names: Vec<String> = match rows.headers() {
        Ok(names) => names.iter().map(|name| name.trim().to_owned()).collect(),
        Err(error) => {
            let failure = usage(format!("`{}` has no header of CSV: {error}", path.display()));
            return Err(super::looking_like(failure, path, DatasetName::Csv).into());
        }
    };
    let chosen = table::choose(path, &names, columns)
        .map_err(|failure| super::looking_like(failure, path, DatasetName::Csv))?;
    let mut read = Read::default();
    for row in rows.byte_records() {
        match row {
            Ok(row) => {
                let line = row.position().map_or(0, csv::Position::line);
                let place = format!("line {line}");
                let cell = |at: usize| {
                    row.get(at)
                        .map(|field| std::str::from_utf8(field).map(|text| Cell::Text(text.to_owned())))
                };
                match (cell(chosen.text), chosen.output.map(cell)) {
                    (Some(Ok(text)), None | Some(None)) => {
                        table::take(&mut read, &place, &text, None, chosen, want);
                    }
                    (Some(Ok(text)), Some(Some(Ok(output)))) => {
                        table::take(&mut read, &place, &text, Some(&output), chosen, want);
                    }
                    (None, _) => {
                        read.entries += 1;
                        let (fields, columns) = (row.len(), names.len());
                        read.broken.add(place, format_args!("{fields} fields, and the header has {columns}"));
                    }
                    _ => {
                        read.entries += 1;
                        read.broken.add(place, "not UTF-8");
                    }
                }
            }
            Err(error) => {
                read.entries += 1;
                let line = error.position().map_or(0, csv::Position::line);
                read.broken.add(format_args!("line {line}"), error);
                break;
            }
        }
    }
    Ok(read.or_empty(path, DatasetName::Csv, "each row has a prompt in the column of prompts")?)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn parsed(text: &str, columns: &Columns) -> anyhow::Result<Read> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let count = |text: &str| text.len() as u32;
        read(file.path(), columns, &Want { max_tokens: None, turns: false, count: &count })
    }

    fn columns(prompt: Option<&str>, output: Option<&str>, messages: Option<&str>) -> Columns {
        let owned = |name: Option<&str>| name.map(str::to_owned);
        Columns { prompt: owned(prompt), output: owned(output), messages: owned(messages) }
    }

    #[test]
    fn rows_are_read_by_their_columns_names() {
        let text = "\u{feff}id,prompt,output_tokens\n1,\"one, two\nthree\",5\n2,four,\n";
        let read = parsed(text, &Columns::default()).unwrap();
        let seen: Vec<_> = read.prompts.iter().map(|p| (p.text().into_owned(), p.max_tokens)).collect();
        assert_eq!(seen, [("one, two\nthree".to_owned(), Some(5)), ("four".to_owned(), None)]);
        let text = "question,len\nwhy?,7.0\n";
        let read = parsed(text, &columns(Some("question"), Some("len"), None)).unwrap();
        assert_eq!(
            (read.prompts[0].text().into_owned(), read.prompts[0].max_tokens),
            ("why?".to_owned(), Some(7))
        );
        let text = "chat\n\"[{\"\"role\"\":\"\"user\"\",\"\"content\"\":\"\"hi\"\"}]\"\n";
        let read = parsed(text, &columns(None, None, Some("chat"))).unwrap();
        assert_eq!(read.prompts[0].messages()[0].content, "hi");
    }

    #[test]
    fn bad_rows_are_counted_with_their_lines() {
        let text = "prompt,output_tokens\na,0\nb\n,3\nc,many\nd,4\n";
        let read = parsed(text, &Columns::default()).unwrap();
        assert_eq!((read.entries, read.broken.count, read.prompts.len()), (5, 3, 2));
        insta::assert_snapshot!(read.broken.reasons.join("\n"), @r"
        line 2: length limit: expected a whole number of 1 or more, found `0`
        line 4: expected text, found none
        line 5: length limit: expected a whole number of 1 or more, found `many`
        ");
    }

    #[test]
    fn columns_that_are_not_there_are_refused_with_those_that_are() {
        let refused = |text: &str, columns: &Columns| {
            let mut out = Vec::new();
            crate::error::print(&mut out, &parsed(text, columns).unwrap_err()).unwrap();
            let text = String::from_utf8(out).unwrap();
            let name = text.split('`').find(|part| part.starts_with('/')).unwrap_or("/nothing").to_owned();
            text.replace(&name, "FILE")
        };
        insta::assert_snapshot!(refused("question,answer\nx,y\n", &Columns::default()), @r"
        error: `FILE` has no column `prompt` or `messages`
        hint: its columns: `question`, `answer`; choose with --prompt-column or --messages-column
        ");
        insta::assert_snapshot!(refused("question,answer\nx,y\n", &columns(Some("prmpt"), None, None)), @r"
        error: `FILE` has no column `prmpt`
        hint: its columns: `question`, `answer`; choose with --prompt-column
        ");
        insta::assert_snapshot!(refused("{\"prompt\": \"a\"}\n", &Columns::default()), @r#"
        error: `FILE` has no column `prompt` or `messages`
        hint: its columns: `{\"prompt\": \"a\"}`; choose with --prompt-column or --messages-column
        hint: it looks like JSON Lines: choose --dataset-name custom
        "#);
    }
}
