//! What the system lets a load have: open files and source ports. Said before the load begins, with
//! the remedy, for a load that meets them measures them. This file must not know what connections
//! are opened for.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::error::{Failure, usage};
use crate::units::count;

/// Files, pipes and sockets beside the connections.
const OTHERS: u64 = 64;
/// Seconds for which Linux keeps the port of a connection that this side closed first (`TIME_WAIT`).
const TIME_WAIT_S: f64 = 60.0;
/// The same where the kernel may use such a port again (`tcp_tw_reuse`).
const REUSED_AFTER_S: f64 = 1.0;
const RANGE: &str = "/proc/sys/net/ipv4/ip_local_port_range";
const RESERVED: &str = "/proc/sys/net/ipv4/ip_local_reserved_ports";
const REUSE: &str = "/proc/sys/net/ipv4/tcp_tw_reuse";
/// More addresses than this are told by their number.
const FEW_ADDRESSES: u64 = 8;
/// What the port range can be widened to without touching the ports of services.
const WIDEST: (u16, u16) = (1024, 65535);

/// Connections that a load has open at one time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Demand {
    pub at_once: u64,
    /// The number is certain (users), not a guess from a rate: then it is refused what it cannot have.
    pub certain: bool,
}

/// Raises the limit of open files to what `demand` needs. What is lacking is refused if the demand is
/// certain; else it is returned as a warning.
pub fn raise_files(demand: Demand) -> Result<Option<String>, Failure> {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return Ok(None) };
    let wanted = (demand.at_once + OTHERS).min(hard);
    let most = raise_to(wanted, soft, |wanted| setrlimit(Resource::RLIMIT_NOFILE, wanted, hard).is_ok());
    files(demand, most.unwrap_or(Most::Hard(hard)))
}

/// As many open files as there can be, and whose word that is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Most {
    /// The process's hard limit, which was somebody's decision.
    Hard(u64),
    /// The kernel's for any process, below the hard limit: macOS calls that unlimited, and takes no more than
    /// `kern.maxfilesperproc`.
    Kernel(u64),
}

/// Raises to `wanted`; if the kernel does not take that, as far as it goes.
fn raise_to(wanted: u64, soft: u64, mut raise: impl FnMut(u64) -> bool) -> Option<Most> {
    if wanted <= soft || raise(wanted) {
        return None;
    }
    let (mut taken, mut refused) = (soft, wanted);
    while refused - taken > 1 {
        let middle = taken + (refused - taken) / 2;
        if raise(middle) { taken = middle } else { refused = middle }
    }
    Some(Most::Kernel(taken))
}

fn files(demand: Demand, most: Most) -> Result<Option<String>, Failure> {
    let needed = demand.at_once + OTHERS;
    let (limit, most, hint) = match most {
        Most::Hard(most) => (
            "hard limit",
            most,
            format!(
                "raise the hard limit before the run: `ulimit -n {needed}` as root, `LimitNOFILE={needed}` in a systemd unit"
            ),
        ),
        Most::Kernel(most) => (
            "limit of the kernel",
            most,
            format!(
                "raise it before the run: `sudo sysctl kern.maxfilesperproc={needed}` on macOS, `fs.nr_open` on Linux"
            ),
        ),
    };
    if needed <= most {
        return Ok(None);
    }
    let (files, connections, most) = (count(needed), count(demand.at_once), count(most));
    if demand.certain {
        let found =
            format!("expected {files} open files for {connections} connections, found a {limit} of {most}");
        return Err(usage(found).hint(hint).hint("or use fewer users"));
    }
    Ok(Some(format!(
        "up to {connections} connections at once need {files} open files, and the {limit} is {most}: {hint}"
    )))
}

/// The source ports of connections to one target.
#[derive(Clone, Debug)]
pub struct Ports {
    /// As many connections to the target as each source address can have.
    each: u64,
    /// Source addresses; none given is the one that the system chooses.
    sources: Vec<IpAddr>,
    target: SocketAddr,
    /// Seconds for which a closed connection may keep its port.
    held_s: f64,
}

impl Ports {
    /// As this system gives them; `None` where it does not say.
    pub fn read(target: SocketAddr, sources: &[IpAddr]) -> Option<Self> {
        let text = |path: &str| std::fs::read_to_string(path).ok();
        let range = port_range(&text(RANGE)?)?;
        let reserved = port_list(&text(RESERVED).unwrap_or_default());
        // 1: everywhere; 2, the usual: on the loopback interface alone.
        let reused = match text(REUSE).as_deref().map(str::trim) {
            Some("1") => true,
            Some("2") => target.ip().is_loopback(),
            _ => false,
        };
        let held_s = if reused { REUSED_AFTER_S } else { TIME_WAIT_S };
        Some(Self { each: usable(&range, &reserved), sources: sources.to_vec(), target, held_s })
    }

    fn all(&self) -> u64 {
        self.each * self.sources.len().max(1) as u64
    }

    /// Whether connections of `demand` find a port each; what is lacking is refused if the demand is
    /// certain, else returned as a warning.
    pub fn check(&self, demand: Demand) -> Result<Option<String>, Failure> {
        if demand.at_once <= self.all() {
            return Ok(None);
        }
        let found = format!("found {}", self.in_words());
        let connections = count(demand.at_once);
        if demand.certain {
            let expected = format!("expected a source port for each of {connections} connections, {found}");
            return Err(self.remedies(demand.at_once).into_iter().fold(usage(expected), Failure::hint));
        }
        Ok(Some(format!(
            "up to {connections} connections at once need a source port each, {found}: {}",
            self.remedies(demand.at_once).join("; or ")
        )))
    }

    /// A warning if so many connections, opened and closed at such a rate, outrun the ports that closed
    /// ones keep.
    pub fn check_turnover(&self, opened: u64, per_second: f64) -> Option<String> {
        let held = (per_second * self.held_s).ceil() as u64;
        if held.min(opened) <= self.all() {
            return None;
        }
        Some(format!(
            "{per_second:.0} new connections per second, each of which keeps its source port for {} s after its \
             end (TIME_WAIT) unless the server closes first, need up to {} ports, found {}: {}; or keep connections \
             (`--connections warm`)",
            self.held_s,
            count(held),
            self.in_words(),
            self.remedies(held).join("; or ")
        ))
    }

    fn in_words(&self) -> String {
        let range = format!("{} (ip_local_port_range)", count(self.each));
        match self.sources.len() {
            0 | 1 => range,
            n => format!("{} on {n} source addresses, {range} on each", count(self.all())),
        }
    }

    /// What gives so many ports.
    fn remedies(&self, wanted: u64) -> Vec<String> {
        let addresses = wanted.div_ceil(self.each.max(1));
        let mut ways = Vec::new();
        match self.target.ip() {
            IpAddr::V4(ip) if ip.is_loopback() && addresses <= FEW_ADDRESSES => {
                let names: Vec<String> = (1..=addresses).map(|n| format!("127.0.0.{n}")).collect();
                ways.push(format!("`--source-address {}`", names.join(",")));
            }
            IpAddr::V4(ip) if ip.is_loopback() => {
                ways.push(format!("`--source-address` with {addresses} addresses of 127.0.0.0/8"));
            }
            _ => ways.push(format!(
                "`--source-address A,B…` with {addresses} addresses of this host: each has ports of its own"
            )),
        }
        let (first, last) = WIDEST;
        if (u64::from(last - first) + 1) * self.sources.len().max(1) as u64 >= wanted {
            ways.push(format!("`sysctl -w net.ipv4.ip_local_port_range=\"{first} {last}\"`"));
        }
        ways
    }
}

/// `32768  60999`.
fn port_range(text: &str) -> Option<RangeInclusive<u16>> {
    let mut numbers = text.split_whitespace().map(str::parse::<u16>);
    match (numbers.next()?, numbers.next()?, numbers.next()) {
        (Ok(first), Ok(last), None) if first <= last => Some(first..=last),
        _ => None,
    }
}

/// `8080,9148-9150`; what is no port is left out.
fn port_list(text: &str) -> Vec<RangeInclusive<u16>> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.trim().parse().ok()?..=last.trim().parse().ok()?)
    };
    text.trim().split(',').filter_map(range).collect()
}

/// Ports of the range that are not reserved.
fn usable(range: &RangeInclusive<u16>, reserved: &[RangeInclusive<u16>]) -> u64 {
    range.clone().filter(|port| !reserved.iter().any(|r| r.contains(port))).count() as u64
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(failure: Failure) -> String {
        let error = anyhow::Error::from(failure);
        assert_eq!(crate::error::exit(&error), crate::error::Exit::Usage);
        let mut out = Vec::new();
        crate::error::print(&mut out, &error).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn ports(target: &str, sources: &[&str]) -> Ports {
        Ports {
            each: 28_232,
            sources: sources.iter().map(|s| s.parse().unwrap()).collect(),
            target: target.parse().unwrap(),
            held_s: TIME_WAIT_S,
        }
    }

    fn users(at_once: u64) -> Demand {
        Demand { at_once, certain: true }
    }

    fn guess(at_once: u64) -> Demand {
        Demand { at_once, certain: false }
    }

    proptest! {
        #[test]
        fn a_range_is_counted_without_what_is_reserved(first in 1_u16..60_000, length in 0_u16..5000, gap in 0_u16..5000, n in 0_u16..200) {
            let range = port_range(&format!("{first}\t{}\n", first + length)).unwrap();
            let from = first.saturating_add(gap);
            let reserved = port_list(&format!("{from}-{},{from}\n", from.saturating_add(n)));
            let inside = (u64::from(length) + 1).saturating_sub(u64::from(gap)).min(u64::from(n) + 1);
            prop_assert_eq!(usable(&range, &reserved), u64::from(length) + 1 - inside);
        }

        #[test]
        fn any_text_gives_ports_or_none(text in "[0-9 ,\\-\\n]{0,20}") {
            let all = usable(&(1..=u16::MAX), &port_list(&text));
            prop_assert!(all <= 65_535);
            if let Some(range) = port_range(&text) {
                prop_assert!(range.start() <= range.end());
            }
        }
    }

    #[test]
    fn the_kernels_files_are_read() {
        assert_eq!(port_range("32768\t60999\n"), Some(32_768..=60_999));
        assert_eq!(usable(&(32_768..=60_999), &port_list("\n")), 28_232);
        assert_eq!(port_list("8080,9148-9150\n"), [8080..=8080, 9148..=9150]);
        for odd in ["", "1", "60999 32768", "a b", "1 2 3", "1 70000"] {
            assert_eq!(port_range(odd), None, "{odd:?}");
        }
    }

    #[test]
    fn too_few_files_are_refused_or_warned_of() {
        assert_eq!(files(users(5000), Most::Hard(5064)).unwrap(), None);
        insta::assert_snapshot!(shown(files(users(5000), Most::Hard(1024)).unwrap_err()), @r"
        error: expected 5,064 open files for 5,000 connections, found a hard limit of 1,024
        hint: raise the hard limit before the run: `ulimit -n 5064` as root, `LimitNOFILE=5064` in a systemd unit
        hint: or use fewer users
        ");
        insta::assert_snapshot!(files(guess(5000), Most::Hard(1024)).unwrap().unwrap(), @"up to 5,000 connections at once need 5,064 open files, and the hard limit is 1,024: raise the hard limit before the run: `ulimit -n 5064` as root, `LimitNOFILE=5064` in a systemd unit");
    }

    #[test]
    fn a_limit_that_the_system_does_not_take_is_raised_as_far_as_it_goes() {
        // As macOS has it: unlimited by name, and a limit behind.
        let mut has = 256;
        let mut raise = |wanted| {
            let takes = wanted <= 61_440;
            has = if takes { wanted } else { has };
            takes
        };
        assert_eq!(raise_to(200, 256, &mut raise), None, "enough");
        assert_eq!(raise_to(5064, 256, &mut raise), None, "taken");
        assert_eq!(raise_to(70_000, 5064, &mut raise), Some(Most::Kernel(61_440)));
        assert_eq!(has, 61_440);
        insta::assert_snapshot!(shown(files(users(70_000), Most::Kernel(61_440)).unwrap_err()), @r"
        error: expected 70,064 open files for 70,000 connections, found a limit of the kernel of 61,440
        hint: raise it before the run: `sudo sysctl kern.maxfilesperproc=70064` on macOS, `fs.nr_open` on Linux
        hint: or use fewer users
        ");
    }

    #[test]
    fn the_soft_limit_is_raised_and_never_lowered() {
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        let asked = (soft + 1).min(hard).saturating_sub(OTHERS);
        assert_eq!(raise_files(users(asked)).unwrap(), None);
        let (raised, same) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        assert!(raised >= (soft + 1).min(hard) && same == hard);
        assert_eq!(raise_files(users(1)).unwrap(), None);
        assert!(getrlimit(Resource::RLIMIT_NOFILE).unwrap().0 >= raised);
    }

    #[test]
    fn too_few_ports_are_refused_with_a_way_out() {
        let local = "127.0.0.1:8000";
        assert_eq!(ports(local, &[]).check(users(28_232)).unwrap(), None);
        assert_eq!(ports(local, &["127.0.0.1", "127.0.0.2"]).check(users(56_464)).unwrap(), None);
        insta::assert_snapshot!(shown(ports(local, &[]).check(users(30_000)).unwrap_err()), @r#"
        error: expected a source port for each of 30,000 connections, found 28,232 (ip_local_port_range)
        hint: `--source-address 127.0.0.1,127.0.0.2`
        hint: `sysctl -w net.ipv4.ip_local_port_range="1024 65535"`
        "#);
        let two = ports("10.0.0.9:80", &["10.0.0.1", "10.0.0.2"]);
        insta::assert_snapshot!(shown(two.check(users(100_000)).unwrap_err()), @r#"
        error: expected a source port for each of 100,000 connections, found 56,464 on 2 source addresses, 28,232 (ip_local_port_range) on each
        hint: `--source-address A,B…` with 4 addresses of this host: each has ports of its own
        hint: `sysctl -w net.ipv4.ip_local_port_range="1024 65535"`
        "#);
        assert!(ports(local, &[]).check(guess(30_000)).unwrap().unwrap().contains("127.0.0.1,127.0.0.2"));
    }

    #[test]
    fn ports_that_closed_connections_keep_are_counted() {
        let there = ports("10.0.0.9:80", &[]);
        assert_eq!(there.check_turnover(1_000_000, 470.0), None);
        assert_eq!(there.check_turnover(20_000, 5000.0), None, "so few never use up the ports");
        insta::assert_snapshot!(there.check_turnover(1_000_000, 1000.0).unwrap(), @r#"1000 new connections per second, each of which keeps its source port for 60 s after its end (TIME_WAIT) unless the server closes first, need up to 60,000 ports, found 28,232 (ip_local_port_range): `--source-address A,B…` with 3 addresses of this host: each has ports of its own; or `sysctl -w net.ipv4.ip_local_port_range="1024 65535"`; or keep connections (`--connections warm`)"#);
        let many = ports("127.0.0.1:80", &[]).check_turnover(1_000_000, 5000.0).unwrap();
        assert!(many.contains("`--source-address` with 11 addresses of 127.0.0.0/8; or keep"), "{many}");
        let reused = Ports { held_s: REUSED_AFTER_S, ..there };
        assert_eq!(reused.check_turnover(1_000_000, 1000.0), None);
    }

    #[cfg_attr(not(target_os = "linux"), ignore = "how many ports there are is read from /proc")]
    #[test]
    fn this_system_says_how_many_ports_it_has() {
        let ports = Ports::read("127.0.0.1:80".parse().unwrap(), &[]).unwrap();
        assert!((1..=65_535).contains(&ports.each), "{ports:?}");
    }
}
