//! Stalls made by hand, and what is concluded from them.

use super::*;
use crate::clock::UnixNs;
use crate::record::own::{Delay, LoadThreads};

fn stall(what: Stalled, at_s: f64, length_s: f64, cpu_s: f64, waited_s: Option<f64>) -> Stall {
    let begin_unix_ns = UnixNs(0).plus_seconds(at_s);
    Stall { what, begin_unix_ns, length_s, cpu_s: Some(cpu_s), waited_s, window_s: length_s }
}

fn own(stalls: Vec<Stall>) -> OwnLag {
    OwnLag {
        ended_unix_ns: UnixNs(10_000_000_000),
        runtime_delay: Some(Delay { n: 2000, p99_s: 0.012, max_s: 0.034, ..Delay::default() }),
        load: LoadThreads {
            threads: Some(2),
            busy_s: Some(19.0),
            on_cpu_s: Some(8.0),
            waited_s: Some(0.1),
            ..LoadThreads::default()
        },
        stalls,
        ..OwnLag::default()
    }
}

fn words(own: &OwnLag) -> String {
    Causes::of(own).in_words()
}

#[test]
fn a_stop_is_told_from_waiting_and_from_being_busy() {
    use Stalled::{Process, Runtime};
    let causes = [
        (stall(Process, 1.0, 2.0, 0.01, Some(0.001)), Cause::Stopped),
        (stall(Process, 1.0, 2.0, 0.01, Some(1.9)), Cause::Starved),
        (stall(Process, 1.0, 2.0, 1.5, Some(0.001)), Cause::HeldUp),
        (stall(Process, 1.0, 2.0, 0.01, None), Cause::StoppedOrStarved),
        // The time used lies before it, in the beat that it followed on.
        (Stall { window_s: 0.17, ..stall(Process, 1.0, 0.15, 0.016, Some(0.001)) }, Cause::Stopped),
        (Stall { window_s: 0.17, ..stall(Process, 1.0, 0.15, 0.036, Some(0.001)) }, Cause::HeldUp),
        (stall(Runtime, 1.0, 0.03, 0.9, Some(0.002)), Cause::Busy),
        (stall(Runtime, 1.0, 0.03, 0.9, Some(0.020)), Cause::Starved),
        (stall(Runtime, 1.0, 0.03, 0.9, None), Cause::Busy),
    ];
    for (stall, expected) in causes {
        assert_eq!(cause(&stall, 0.8), expected, "{stall:?}");
    }
}

#[test]
fn a_stop_explains_the_runtimes_stall_in_it() {
    let own = own(vec![
        stall(Stalled::Process, 1.0, 2.0, 0.01, Some(0.001)),
        stall(Stalled::Runtime, 0.999, 2.001, 0.01, Some(0.0)),
    ]);
    assert_eq!(words(&own), "; cause: the process was stopped or the machine slept for 2,000 ms (1 time)");
}

#[test]
fn a_busy_runtime_is_named_with_its_remedy() {
    let busy = own(vec![stall(Stalled::Runtime, 4.0, 0.034, 0.9, Some(0.001))]);
    let said = words(&busy);
    assert!(
        said.contains("waited 12.00 ms at p99, 34.00 ms at most, its 2 threads were busy for 95.0 %"),
        "{said}"
    );
    assert!(
        said.contains("`--threads`") && !said.contains("stopped") && !said.contains("for a CPU"),
        "{said}"
    );
    // The same without any stall over 10 ms.
    assert_eq!(words(&own(Vec::new())), said);
}

#[test]
fn waiting_for_a_cpu_is_named_though_no_stall_shows_it() {
    let mut starved = own(Vec::new());
    starved.load.waited_s = Some(2.0);
    let said = words(&starved);
    assert!(said.contains("waited 2,000 ms for a CPU in 10.00 s (20.0 % of the time"), "{said}");
    assert!(said.contains("`--affinity`") && !said.contains("busy"), "{said}");
}

#[test]
fn a_client_without_kernel_stamps_is_late_by_what_the_watch_saw() {
    assert!(was_late(&own(Vec::new())), "its runtime was");
    let calm = OwnLag { runtime_delay: Some(Delay::default()), ..own(Vec::new()) };
    assert!(!was_late(&calm));
    let stopped = stall(Stalled::Process, 1.0, 2.0, 0.01, Some(0.001));
    assert!(was_late(&OwnLag { stalls: vec![stopped], ..calm }));
}

#[test]
fn without_evidence_no_cause_is_made_up() {
    let mut calm = own(Vec::new());
    calm.runtime_delay = Some(Delay { n: 2000, p99_s: 0.0002, ..Delay::default() });
    assert_eq!(words(&calm), "; no cause was seen: no stall of over 10 ms was met, and CPUs were free");
}

#[test]
fn lost_packets_are_counted_and_none_are_not_mentioned() {
    let counted = |n| {
        let kernel = ["TCPTimeouts", "ListenDrops"].map(|name| (name.to_owned(), n));
        kernel.into_iter().collect()
    };
    let quiet = OwnLag { kernel: Some(counted(0)), ..OwnLag::default() };
    assert_eq!(super::kernel(&quiet), [""; 0]);
    assert_eq!(super::kernel(&OwnLag::default()), [""; 0]);
    assert_eq!((full_buffers(&quiet), full_buffers(&OwnLag::default())), (None, None));
    let full = OwnLag { kernel: Some([("TCPToZeroWindowAdv".to_owned(), 2)].into()), ..OwnLag::default() };
    assert!(full_buffers(&full).is_some_and(|said| said.contains("full 2 times")));
    let lossy = OwnLag { kernel: Some(counted(7)), ..OwnLag::default() };
    let said = super::kernel(&lossy);
    assert!(said.len() == 2 && said.iter().all(|line| line.starts_with("7 ")), "{said:?}");
    let probed = ["TCPFastRetrans", "TCPLossProbes", "TCPOFOQueue"].map(|name| (name.to_owned(), 1200));
    let round_trip =
        RoundTrip { n: 9, min_s: 0.4, mean_s: 0.44, p50_s: 0.41, p90_s: 0.5, p99_s: 1.2, max_s: 1.3 };
    let network = Some(Network { round_trip, ..Network::default() });
    let lossy = OwnLag { kernel: Some(probed.into()), network, ..OwnLag::default() };
    insta::assert_snapshot!(super::kernel(&lossy).join("\n"), @r"
    at least 1,200 TCP segments were lost and sent again during the load, 0 of them to connect, 0 after a timeout (all programs of this network namespace): a timeout is 0.2 s or more, 1 s or more to connect, and the TTFT of the requests concerned contains it
    the network lost or held up what servers sent: 1,200 TCP segments waited in this host's kernel for earlier ones during the load (all programs of this network namespace), and what they brought is as late as those; the kernel's round trip times to the server: 400.0 ms at least, p50 410.0 ms, p99 1,200 ms
    ");
}
