//! What the kernel writes in `/proc` and in control groups, as numbers: text in, values out, no I/O.
//! This file must not know which process is looked at.

use std::collections::BTreeMap;

/// The counters that are kept, of `/proc/net/snmp` (`Tcp:`) and `/proc/net/netstat` (`TcpExt:`).
const COUNTERS: [(&str, &[&str]); 2] = [
    ("Tcp", &["RetransSegs", "OutRsts", "InErrs", "AttemptFails", "EstabResets"]),
    (
        "TcpExt",
        &[
            "ListenOverflows",
            "ListenDrops",
            "TCPTimeouts",
            "TCPSynRetrans",
            "TCPFastRetrans",
            "TCPSlowStartRetrans",
            "TCPLossProbes",
            "TCPLossProbeRecovery",
            "TCPOFOQueue",
            "TCPDSACKOldSent",
            "TCPBacklogDrop",
            "TCPRcvQDrop",
            "TCPReqQFullDrop",
            "PruneCalled",
            "TCPRcvCollapsed",
            "TCPToZeroWindowAdv",
        ],
    ),
];

/// One thread's times, as read.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct ThreadStat {
    pub(super) name: String,
    pub(super) user_ticks: u64,
    pub(super) system_ticks: u64,
}

/// `/proc/<pid>/task/<tid>/stat`. The name may hold anything, brackets and spaces among them.
pub(super) fn thread_stat(text: &str) -> Option<ThreadStat> {
    let (head, rest) = text.rsplit_once(')')?;
    let name = head.split_once('(')?.1.to_owned();
    // Fields 14 and 15 of the line; the first after the name is the third.
    let mut fields = rest.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse().ok();
    Some(ThreadStat { name, user_ticks: ticks()?, system_ticks: ticks()? })
}

/// `/proc/<pid>/task/<tid>/schedstat`: nanoseconds on a CPU, and nanoseconds runnable without one.
pub(super) fn schedstat(text: &str) -> Option<(u64, u64)> {
    let mut fields = text.split_whitespace();
    let mut field = || fields.next()?.parse().ok();
    Some((field()?, field()?))
}

/// The counters of one protocol among the pairs of lines (names, then values) of such a file.
pub(super) fn counters(text: &str, into: &mut BTreeMap<String, u64>) {
    let lines: Vec<&str> = text.lines().collect();
    for pair in lines.windows(2) {
        let [names, values] = pair else { continue };
        let (Some((protocol, names)), Some((same, values))) = (names.split_once(':'), values.split_once(':'))
        else {
            continue;
        };
        let Some((_, kept)) = COUNTERS.iter().find(|(name, _)| *name == protocol && *name == same) else {
            continue;
        };
        for (name, value) in names.split_whitespace().zip(values.split_whitespace()) {
            if let (true, Ok(value)) = (kept.contains(&name), value.parse()) {
                into.insert(name.to_owned(), value);
            }
        }
    }
}

/// Ticks that the hypervisor gave to others, of all CPUs: `/proc/stat`.
pub(super) fn steal_ticks(text: &str) -> Option<u64> {
    let all = text.lines().find_map(|line| line.strip_prefix("cpu "))?;
    all.split_whitespace().nth(7)?.parse().ok()
}

/// This process's group in the unified hierarchy: `/proc/self/cgroup`.
pub(super) fn cgroup(text: &str) -> Option<&str> {
    text.lines().find_map(|line| line.strip_prefix("0::"))
}

/// The limit of `cpu.max`, in CPUs; `None` when there is none.
pub(super) fn cpu_max(text: &str) -> Option<f64> {
    let mut fields = text.split_whitespace();
    let quota: f64 = fields.next()?.parse().ok()?;
    let period: f64 = fields.next()?.parse().ok()?;
    (period > 0.0).then_some(quota / period)
}

/// Microseconds that the limit held threads back: `cpu.stat`.
pub(super) fn throttled_us(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("throttled_usec "))?.trim().parse().ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_threads_name_may_hold_anything() {
        let rest = "S 1 1 1 0 -1 4194304 99 0 0 0 731 42 0 0 20 0 1 0 1366725 3133440 390";
        for name in ["tare-load", "a) b (c", "tmux: server", ""] {
            let stat = thread_stat(&format!("1938 ({name}) {rest}")).unwrap();
            assert_eq!((stat.name.as_str(), stat.user_ticks, stat.system_ticks), (name, 731, 42));
        }
        for cut in ["", "1938 (tare", "1938 (tare) S 1 1", "1938 tare) S"] {
            assert_eq!(thread_stat(cut), None);
        }
    }

    #[test]
    fn schedstat_is_time_on_a_cpu_then_time_without() {
        assert_eq!(schedstat("1180212417 5130021 882\n"), Some((1_180_212_417, 5_130_021)));
        assert_eq!(schedstat("7"), None);
    }

    #[test]
    fn counters_are_found_by_their_names() {
        let snmp = "Ip: Forwarding DefaultTTL\nIp: 1 64\n\
                    Tcp: RtoAlgorithm RtoMin MaxConn ActiveOpens RetransSegs InErrs OutRsts\n\
                    Tcp: 1 200 -1 20394 1059 0 3502\n";
        let netstat = "TcpExt: SyncookiesSent TW ListenOverflows ListenDrops TCPTimeouts\n\
                       TcpExt: 0 16948 3 4 1057\n\
                       IpExt: ListenDrops\nIpExt: 99\n";
        let mut all = BTreeMap::new();
        counters(snmp, &mut all);
        counters(netstat, &mut all);
        let found: Vec<(&str, u64)> = all.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        assert_eq!(
            found,
            [
                ("InErrs", 0),
                ("ListenDrops", 4),
                ("ListenOverflows", 3),
                ("OutRsts", 3502),
                ("RetransSegs", 1059),
                ("TCPTimeouts", 1057)
            ]
        );
        counters("Tcp: RetransSegs", &mut all);
        counters("no such file\nat all", &mut all);
        assert_eq!(all["RetransSegs"], 1059);
    }

    #[test]
    fn the_machines_stolen_time_is_the_eighth() {
        let text = "cpu  1008064 1050945 171245 481835 5225 0 4426 7912 0 0\ncpu0 1 2 3 4 5 6 7 8 9 0\n";
        assert_eq!(steal_ticks(text), Some(7912));
        assert_eq!(steal_ticks("cpu  1 2 3\n"), None);
    }

    #[test]
    fn limits_of_a_control_group() {
        assert_eq!(cgroup("9:name=systemd:/\n1:cpu:/a\n0::/user.slice/x\n"), Some("/user.slice/x"));
        assert_eq!(cpu_max("150000 100000\n"), Some(1.5));
        assert_eq!(cpu_max("max 100000\n"), None);
        assert_eq!(throttled_us("usage_usec 7\nnr_throttled 2\nthrottled_usec 123456\n"), Some(123_456));
        assert_eq!(throttled_us("usage_usec 7\n"), None);
    }
}
