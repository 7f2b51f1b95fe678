//! `tare tap`: a hop that only stamps, until it is stopped. Reads the addresses, appends exchanges to
//! the file, says at the end what passed and what the tap added.

use std::io::{self, Write};
use std::net::{SocketAddr, ToSocketAddrs};

use crate::cli::TapArgs;
use crate::error::{Exit, usage};
use crate::net::HttpUrl;
use crate::tap::exchange::{End, Unread};
use crate::tap::summary::{Added, Summary};
use crate::tap::{self, Options, Ready};
use crate::units::{count, seconds};

/// Runs the verb; returns when stopped by Ctrl-C or SIGTERM.
pub fn tap(args: &TapArgs, quiet: bool) -> anyhow::Result<Exit> {
    let options = Options {
        listen: listen_address(&args.listen, args.any_host)?,
        upstream: upstream_addresses(&args.upstream)?,
        output: args.output.clone(),
        threads: args.threads,
    };
    let stop = super::interrupt("stopping: exchanges in flight are written (again to end at once)")?;
    let ready = |ready| if quiet { Ok(()) } else { say(args, |out| show_ready(out, args, ready)) };
    let summary = tap::run(&options, &stop, ready)?;
    say(args, |out| show(out, &summary))?;
    Ok(exit(&summary))
}

/// Stopping is how a tap ends. What is wrong is one that passed nothing on, or lost rows.
fn exit(summary: &Summary) -> Exit {
    match summary {
        Summary { unwritten: 1.., .. } | Summary { connections: 0, refused: 1.., .. } => Exit::Broken,
        Summary { connections: 0, .. } => Exit::Interrupted,
        _ => Exit::Finished,
    }
}

/// Words go where rows do not.
fn say(args: &TapArgs, show: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let shown = if args.output.is_some() {
        show(&mut crate::plain::stdout())
    } else {
        show(&mut crate::plain::stderr())
    };
    super::unless_closed(shown)
}

fn show_ready(out: &mut dyn Write, args: &TapArgs, ready: Ready) -> io::Result<()> {
    let stamps = if ready.kernel_stamps { "kernel stamps" } else { "no kernel stamps here: user stamps" };
    let file = args.output.as_ref().map_or_else(|| "standard output".into(), |path| path.to_string_lossy());
    writeln!(out, "tapping {} → {} ({stamps}), exchanges to {file}", ready.listens, args.upstream)?;
    out.flush()
}

fn show(out: &mut dyn Write, summary: &Summary) -> io::Result<()> {
    let Summary { connections, refused, unwritten, .. } = summary;
    let of = |end| count(summary.ends.get(&end).copied().unwrap_or(0));
    writeln!(out, "connections {}, not taken by the upstream {}", count(*connections), count(*refused))?;
    writeln!(
        out,
        "exchanges {}: complete {}, cut by the upstream {}, aborted by the client {}, in flight {}, unread {}",
        count(summary.exchanges()),
        of(End::Complete),
        of(End::CutByUpstream),
        of(End::AbortedByClient),
        of(End::InFlight),
        of(End::Unread)
    )?;
    for (reason, n) in &summary.unread {
        writeln!(out, "unread, but passed on: {} ({})", count(*n), unread(*reason))?;
    }
    if *unwritten > 0 {
        writeln!(out, "rows that could not be written: {}", count(*unwritten))?;
    }
    show_added(out, "to the upstream", &summary.up)?;
    show_added(out, "to the client", &summary.down)
}

fn show_added(out: &mut dyn Write, way: &str, added: &Added) -> io::Result<()> {
    let held_up = match added.held_up {
        0 => String::new(),
        n => format!("; {} left out: there was no room at the receiver", count(n)),
    };
    let (Some(p50), Some(p99)) = (added.quantile_s(0.5), added.quantile_s(0.99)) else {
        return writeln!(out, "added {way}: not known, no read had a kernel stamp{held_up}");
    };
    writeln!(
        out,
        "added {way} (after the write − the kernel's stamp of the read): p50 {}, p99 {}, max {} (n {} reads; {} more had no stamp{held_up})",
        seconds(p50),
        seconds(p99),
        seconds(added.max_s()),
        count(added.reads()),
        count(added.unstamped)
    )
}

fn unread(reason: Unread) -> &'static str {
    match reason {
        Unread::Tls => "TLS; put the tap where the traffic is plain",
        Unread::Http2 => "HTTP/2",
        Unread::Request => "what the client sent is no HTTP/1.1 request, or one with a head over 64 KiB",
        Unread::Response => "what the upstream sent is no HTTP/1.1 response",
        Unread::Unasked => "the upstream sent what no request had asked for",
    }
}

/// `PORT`, `HOST:PORT`; loopback, unless any host is asked for.
fn listen_address(text: &str, any_host: bool) -> anyhow::Result<SocketAddr> {
    let full = if text.parse::<u16>().is_ok() { format!("127.0.0.1:{text}") } else { text.to_owned() };
    let resolved = full.to_socket_addrs().map(|all| all.min_by_key(SocketAddr::is_ipv6));
    let address = match resolved {
        Ok(Some(address)) => address,
        Ok(None) => return Err(usage(format!("--listen: `{text}` has no address")).into()),
        Err(error) => {
            return Err(usage(format!("--listen: expected a port or HOST:PORT, found `{text}`"))
                .caused_by(error)
                .hint("such as 9000, 127.0.0.1:9000 or [::1]:9000")
                .into());
        }
    };
    if !any_host && !address.ip().is_loopback() {
        return Err(usage(format!("--listen: expected a loopback address, found {address}"))
            .hint(
                "a tap passes on whatever it is sent, whoever connects: --any-host lets other hosts connect",
            )
            .into());
    }
    Ok(address)
}

/// `HOST:PORT` or an `http://` URL without a path.
fn upstream_addresses(text: &str) -> anyhow::Result<Vec<SocketAddr>> {
    let url = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let url = HttpUrl::parse(&url).map_err(|failure| failure.prefixed("--upstream: "))?;
    if url.tls {
        return Err(usage("--upstream: expected `http://`, found `https://`")
            .hint("a tap passes bytes on as they are: it belongs where the traffic is plain")
            .hint("HOST:PORT passes TLS on all the same, without looking into it")
            .into());
    }
    if !url.path.is_empty() {
        return Err(usage(format!("--upstream: expected no path, found `{}`", url.path))
            .hint("a tap changes no request: the client asks for the path")
            .into());
    }
    let resolved = url
        .resolve()
        .map_err(|error| usage(format!("--upstream: cannot look up `{}`", url.host)).caused_by(error))?;
    if resolved.is_empty() {
        return Err(usage(format!("--upstream: `{}` has no address", url.host)).into());
    }
    Ok(resolved)
}
