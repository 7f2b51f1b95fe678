//! What kind of file one looks like, by its first bytes: for whoever named the wrong one. This file must
//! not know how any of them is read.

use std::io::Read;
use std::path::Path;

use crate::record::DatasetName;

/// UTF-8's, with which some editors begin a file.
pub const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// What a file looks like.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Looks {
    Dataset(DatasetName),
    /// Something else, in words.
    Other(&'static str),
}

impl Looks {
    /// By the first bytes of a file; `None` when it cannot be read, or looks like nothing known.
    pub fn of(path: &Path) -> Option<Self> {
        let mut start = vec![0; 4096];
        let n = std::fs::File::open(path).and_then(|mut file| file.read(&mut start)).ok()?;
        Self::by(start.get(..n)?)
    }

    fn by(start: &[u8]) -> Option<Self> {
        let magic: [(&[u8], Self); 10] = [
            (b"PAR1", Self::Dataset(DatasetName::Parquet)),
            (b"\x1f\x8b", Self::Other("gzip: unpack it first")),
            (b"PK\x03\x04", Self::Other("a zip archive: unpack it first")),
            (b"\x28\xb5\x2f\xfd", Self::Other("zstd: unpack it first")),
            (b"\xff\xfe", Self::Other("UTF-16: write it as UTF-8")),
            (b"\xfe\xff", Self::Other("UTF-16: write it as UTF-8")),
            (b"ARROW1", Self::Other("an Arrow file: write it as Parquet")),
            (
                b"version https://git-lfs",
                Self::Other("a pointer of Git LFS: the file itself was not fetched"),
            ),
            (b"<!DOCTYPE", Self::Other("a web page: was the download refused?")),
            (b"<html", Self::Other("a web page: was the download refused?")),
        ];
        if let Some((_, looks)) = magic.iter().find(|(magic, _)| start.starts_with(magic)) {
            return Some(*looks);
        }
        let text = start.strip_prefix(BYTE_ORDER_MARK).unwrap_or(start).trim_ascii_start();
        match text.first()? {
            b'[' => Some(Self::Dataset(DatasetName::Sharegpt)),
            b'{' => Some(Self::Dataset(DatasetName::Jsonl)),
            _ => {
                let line = text.split(|&byte| byte == b'\n').next()?;
                let is_head =
                    line.contains(&b',') && line.iter().all(|b| b.is_ascii_graphic() || b" \r\t".contains(b));
                is_head.then_some(Self::Dataset(DatasetName::Csv))
            }
        }
    }

    /// A hint for someone who took it for `named`; `None` when it looks like just that.
    pub fn hint(self, named: DatasetName) -> Option<String> {
        match self {
            Self::Dataset(which) if which == named => None,
            Self::Dataset(which) => {
                let about = match which {
                    DatasetName::Parquet => "Parquet",
                    DatasetName::Sharegpt => "one JSON list",
                    DatasetName::Jsonl => "JSON Lines",
                    _ => "CSV with a header",
                };
                Some(format!("it looks like {about}: choose --dataset-name {}", which.as_str()))
            }
            Self::Other(what) => Some(format!("it looks like {what}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_told_by_how_they_begin() {
        let named = |bytes: &[u8]| match Looks::by(bytes) {
            Some(Looks::Dataset(which)) => which.as_str(),
            Some(Looks::Other(what)) => what,
            None => "nothing",
        };
        assert_eq!(named(b"PAR1\x15\x04"), "parquet");
        assert_eq!(named(b"\xef\xbb\xbf\n [{\"conversations\""), "sharegpt");
        assert_eq!(named(b"{\"prompt\": \"a\"}\n"), "custom");
        assert_eq!(named(b"prompt,output_tokens\r\nhi,5"), "csv");
        assert_eq!(named(b"\x1f\x8b\x08"), "gzip: unpack it first");
        assert_eq!(named(b"\xff\xfep\0r\0"), "UTF-16: write it as UTF-8");
        assert_eq!(named(b"hello"), "nothing");
        assert_eq!(Looks::by(b"PAR1").and_then(|looks| looks.hint(DatasetName::Parquet)), None);
    }
}
