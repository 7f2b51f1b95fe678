//! The threads of a load: how many, on which CPUs, and the runtime that they share. Nothing else of
//! the program runs on them: the writer, the ingester and what watches the load have their own.

use anyhow::{Context, anyhow};
use tokio::runtime::{Builder, Runtime};

use super::affinity;
use crate::config::{Connections, CpuList, Load};
use crate::net;

/// Threads that are used without being asked for, at most. One thread takes in the tokens of
/// thousands of streams (on two busy CPUs, with 50 and with 300 streams, one, two and four threads
/// lagged alike); a few more go on when one is held up, and many would only take CPUs from a server on
/// the same host.
const MOST_THREADS: usize = 4;

/// So many users with kept connections are served by one thread, if nothing else is asked for: threads that hand work
/// to each other cost an eighth more (50 users of 50 tokens/s), and take it from a server on the same host. Where
/// connections are opened while others are read, the handshakes of TLS are in the way: with one for each request of
/// 50 users, tokens lagged by 0.16 to 0.33 ms at p99 on one thread, by 0.03 to 0.10 ms on two.
const FEW_USERS: u32 = 64;

/// The threads of this load: as many as asked for; else one per CPU that they may run on, within
/// reason.
pub(super) fn threads(load: &Load) -> usize {
    let cpus = || match &load.affinity {
        Some(cpus) => cpus.numbers().len(),
        None if load.connections == Connections::Warm
            && load.arrival.users().is_some_and(|users| users <= FEW_USERS) =>
        {
            1
        }
        None => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
    };
    load.threads.map_or_else(|| cpus().min(MOST_THREADS), usize::from).max(1)
}

/// Does `work` to its end on the threads of this load.
pub(super) fn run<T: Send>(
    load: &Load,
    work: impl Future<Output = anyhow::Result<T>> + Send,
) -> anyhow::Result<T> {
    match threads(load) {
        1 => on_one_thread(load.affinity.as_ref(), work),
        n => on_threads(n, load.affinity.clone())?.block_on(work),
    }
}

/// One thread needs no hands to pass work to: the runtime that has none is used (beside one worker of
/// the other kind no difference could be measured). It is a thread of its
/// own, since binding the one that calls would bind all that it starts afterwards.
fn on_one_thread<T: Send>(
    cpus: Option<&CpuList>,
    work: impl Future<Output = anyhow::Result<T>> + Send,
) -> anyhow::Result<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name(NAME.to_owned()).spawn_scoped(scope, || {
            affinity::pin(cpus);
            let runtime = Builder::new_current_thread()
                .enable_all()
                .on_thread_park(net::falls_asleep)
                .on_thread_unpark(net::wakes)
                .build();
            runtime.context("could not start the load's runtime")?.block_on(work)
        });
        let thread = thread.context("could not start the load's thread")?;
        thread.join().map_err(|_| anyhow!("the load's thread ended with a panic"))?
    })
}

fn on_threads(n: usize, cpus: Option<CpuList>) -> anyhow::Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(n)
        .thread_name(NAME)
        .on_thread_start(move || affinity::pin(cpus.as_ref()))
        .enable_all()
        .build()
        .context("could not start the load's runtime")
}

const NAME: &str = "tare-load";
