//! The time stamps that log lines carry, as written: an absolute instant, or a civil time whose
//! zone (and often year) the line does not tell. It must not know the clock of this machine, nor
//! guess what the line leaves out.

/// When a line was written, and how finely it says so.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LogTime {
    /// An absolute instant, cut down to `resolution_ns`.
    Unix { unix_ns: i64, resolution_ns: i64 },
    /// A civil time in the server's own zone.
    Local {
        year: Option<i32>,
        month: u8,
        day: u8,
        hour: u8,
        minute: u8,
        second: u8,
        nanos: u32,
        resolution_ns: i64,
    },
}
