//! What a Parquet file says of itself at its end, held against the bytes in which it says it: polars asks for as much
//! memory as a list there says that it is long. This file must not know what the numbers mean, nor where the bytes
//! come from.
//!
//! <https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift>

use anyhow::{Result, ensure};

use super::thrift::Is::{Binary, Bool, Byte, List, Number, Struct};
use super::thrift::{self, Layout, Seen};

/// Columns in columns: polars goes down from one to the next, and its stack ends somewhere. Parquet's own lists need
/// two levels each.
const MAX_NESTED: usize = 100;

/// Of a page as well.
pub(super) const STATISTICS: Layout =
    &[(1, Binary), (2, Binary), (3, Number), (4, Number), (5, Binary), (6, Binary), (7, Bool), (8, Bool)];

const EMPTY: Layout = &[];
const UNIT: Layout = &[(1, Struct(EMPTY)), (2, Struct(EMPTY)), (3, Struct(EMPTY))];
const TIME: Layout = &[(1, Bool), (2, Struct(UNIT))];
const LOGICAL_TYPE: Layout = &[
    (1, Struct(EMPTY)),
    (2, Struct(EMPTY)),
    (3, Struct(EMPTY)),
    (4, Struct(EMPTY)),
    (5, Struct(&[(1, Number), (2, Number)])),
    (6, Struct(EMPTY)),
    (7, Struct(TIME)),
    (8, Struct(TIME)),
    (10, Struct(&[(1, Byte), (2, Bool)])),
    (11, Struct(EMPTY)),
    (12, Struct(EMPTY)),
    (13, Struct(EMPTY)),
    (14, Struct(EMPTY)),
    (15, Struct(EMPTY)),
];
const SCHEMA_ELEMENT: Layout = &[
    (1, Number),
    (2, Number),
    (3, Number),
    (4, Binary),
    (CHILDREN, Number),
    (6, Number),
    (7, Number),
    (8, Number),
    (9, Number),
    (10, Struct(LOGICAL_TYPE)),
];
const COLUMN: Layout = &[
    (1, Number),
    (2, List(&Number)),
    (3, List(&Binary)),
    (4, Number),
    (5, Number),
    (6, Number),
    (7, Number),
    (9, Number),
    (10, Number),
    (11, Number),
    (12, Struct(STATISTICS)),
    (14, Number),
    (15, Number),
];
const COLUMN_CHUNK: Layout =
    &[(1, Binary), (2, Number), (3, Struct(COLUMN)), (4, Number), (5, Number), (6, Number), (7, Number)];
const ROW_GROUP: Layout = &[
    (1, List(&Struct(COLUMN_CHUNK))),
    (2, Number),
    (3, Number),
    (4, List(&Struct(&[(1, Number), (2, Bool), (3, Bool)]))),
    (5, Number),
    (6, Number),
    (7, Number),
];
const FILE: Layout = &[
    (1, Number),
    (SCHEMA, List(&Struct(SCHEMA_ELEMENT))),
    (3, Number),
    (4, List(&Struct(ROW_GROUP))),
    (5, List(&Struct(&[(1, Binary), (2, Binary)]))),
    (6, Binary),
    (7, List(&Struct(&[(1, Struct(EMPTY)), (2, Struct(EMPTY))]))),
];
const SCHEMA: i16 = 2;
const CHILDREN: i16 = 5;

/// That the lists in these bytes are as long as they say, and columns not nested without end.
///
/// # Errors
/// When they are not, with the place.
pub(super) fn check(bytes: &[u8]) -> Result<()> {
    // Of each column that is gone down into, how many are still to come.
    let mut open: Vec<i64> = Vec::new();
    let (mut children, mut deepest) = (0, 0);
    let read = thrift::read(bytes, FILE, &mut |way, seen| match (way, seen) {
        ([SCHEMA, CHILDREN], Seen::Number(number)) => children = number,
        ([SCHEMA], Seen::End) => {
            if let Some(left) = open.last_mut() {
                *left -= 1;
            }
            let children = std::mem::take(&mut children);
            if children > 0 {
                open.push(children);
            }
            deepest = deepest.max(open.len());
            while open.last().is_some_and(|left| *left <= 0) {
                open.pop();
            }
        }
        _ => {}
    });
    if let Err(problem) = read {
        anyhow::bail!(
            "the file is damaged: the {} bytes in which it speaks of itself: {problem}",
            bytes.len()
        );
    }
    ensure!(
        deepest <= MAX_NESTED,
        "the file is damaged: it says that columns are nested {deepest} times, at most {MAX_NESTED} are read"
    );
    Ok(())
}
