//! Flags laid over the file: what a flag replaces, including what it takes the place of (a rate
//! replaces the file's users). Values are not checked here: that is `validate`'s business.

mod workload;

pub(super) use self::workload::lay_texts;
use super::check::Origins;
use super::file::{ArrivalName, File, Load, Metrics, Otlp, OtlpChoice, Rate, Scalar, TimedTrace};
use super::{Change, Connections, Stamps};
use super::{hops, slo, sweep};
use crate::cli::{self, RunArgs};

/// Lays every given flag over the file and remembers which fields came from flags.
pub fn lay(flags: &RunArgs, file: &mut File, origins: &mut Origins) {
    target(&flags.target, file, origins);
    work(&flags.workload, file, origins);
    load(&flags.load, file, origins);
    observe(&flags.observe, file, origins);
    slo::origins(&flags.slo, origins);
    sweep::lay(&flags.sweep, flags.load.users.is_some(), file, origins);
    let output = &flags.output;
    origins.set("name", "--name", output.name.clone(), &mut file.name);
    origins.set("output", "--output", output.output.clone(), &mut file.output);
    origins.set("overwrite", "--overwrite", output.overwrite.then_some(true), &mut file.overwrite);
    origins.set("calibrate", "--calibrate", output.calibrate.then_some(true), &mut file.calibrate);
    origins.set("label", "--label", output.label.clone(), &mut file.label);
}

fn target(flags: &cli::TargetArgs, file: &mut File, origins: &mut Origins) {
    let into = &mut file.target;
    origins.set("target.base_url", "--base-url", flags.base_url.clone(), &mut into.base_url);
    if flags.host.is_some() || flags.port.is_some() {
        let flag = if flags.host.is_some() { "--host" } else { "--port" };
        let host = flags.host.as_deref().unwrap_or("127.0.0.1");
        let host =
            if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host.to_owned() };
        let url = format!("http://{host}:{}", flags.port.unwrap_or(8000));
        origins.set("target.base_url", flag, Some(url), &mut into.base_url);
    }
    origins.set("target.path", "--endpoint", flags.endpoint.clone(), &mut into.path);
    // `--backend vllm` is what users of `vllm bench serve` write before any server's URL.
    let by_backend =
        flags.backend.filter(|backend| *backend != cli::Backend::Vllm).and_then(cli::Backend::server);
    origins.set("target.server", "--backend", by_backend.map(str::to_owned), &mut into.server);
    origins.set("target.server", "--server", flags.server.clone(), &mut into.server);
    origins.set("target.model", "--model", flags.model.clone(), &mut into.model);
    origins.set("target.model", "--served-model-name", flags.served_model_name.clone(), &mut into.model);
    origins.set("target.api_key_env", "--api-key-env", flags.api_key_env.clone(), &mut into.api_key_env);
    origins.set("target.ca_cert", "--ca-cert", flags.ca_cert.clone(), &mut into.ca_cert);
    origins.set("target.insecure", "--insecure", flags.insecure.then_some(true), &mut into.insecure);
    if !flags.header.is_empty() {
        origins.came_from("target.headers", "--header");
    }
    let ready = flags.ready_check_timeout_sec;
    origins.set("target.ready_timeout_s", "--ready-check-timeout-sec", ready, &mut into.ready_timeout_s);
}

fn work(flags: &cli::WorkloadArgs, file: &mut File, origins: &mut Origins) {
    let into = &mut file.workload;
    let name = flags.dataset_name;
    if name.is_some_and(|name| into.dataset != Some(name)) || flags.dataset_path.is_some() {
        // Another dataset: what the file says about its own does not apply.
        (into.dataset, into.path) = (None, None);
        (into.random_input_len, into.random_output_len, into.range_ratio) = (None, None, None);
        (into.trace_start_s, into.trace_end_s) = (None, None);
        into.timed_trace = TimedTrace::default();
        // Times are only in the file's own trace.
        (file.load.self_timed, file.load.trace_speed) = (None, None);
        (into.random_input_law, into.random_output_law, into.random_prefix_len) = (None, None, None);
        (into.prefix_repetition, into.sonnet, into.columns) = Default::default();
    }
    origins.set("workload.dataset", "--dataset-name", name, &mut into.dataset);
    origins.set("workload.path", "--dataset-path", flags.dataset_path.clone(), &mut into.path);
    let samples = flags.num_prompts.map(|n| usize::try_from(n).unwrap_or(usize::MAX));
    origins.set("workload.samples", "--num-prompts", samples, &mut into.samples);
    origins.set("workload.samples", "--samples", flags.samples, &mut into.samples);
    origins.set("load.requests", "--num-prompts", flags.num_prompts, &mut file.load.requests);

    origins.set("workload.random_input_len", "--input-len", flags.input_len, &mut into.random_input_len);
    origins.set(
        "workload.random_input_len",
        "--random-input-len",
        flags.random_input_len,
        &mut into.random_input_len,
    );
    origins.set(
        "workload.range_ratio",
        "--random-range-ratio",
        flags.random_range_ratio.as_deref().and_then(|ratio| ratio.parse().ok()),
        &mut into.range_ratio,
    );
    if flags.random_output_len.is_some() {
        into.max_tokens = None;
    }
    origins.set(
        "workload.random_output_len",
        "--random-output-len",
        flags.random_output_len,
        &mut into.random_output_len,
    );
    if flags.output_len.is_some() && flags.random_output_len.is_none() {
        into.random_output_len = None;
    }
    let own = flags.custom_output_len.and_then(|len| u32::try_from(len).ok());
    // The general length is laid last: it wins, as in `vllm bench serve`.
    let lengths = [
        ("--sharegpt-output-len", flags.sharegpt_output_len),
        ("--custom-output-len", own),
        ("--output-len", flags.output_len),
    ];
    for (flag, length) in lengths {
        origins.set("workload.max_tokens", flag, length, &mut into.max_tokens);
    }

    trace(&flags.trace, file, origins);
    let into = &mut file.workload;
    origins.set("workload.temperature", "--temperature", flags.temperature, &mut into.temperature);
    origins.set("workload.top_p", "--top-p", flags.top_p, &mut into.top_p);
    origins.set(
        "workload.ignore_eos",
        "--ignore-eos",
        flags.ignore_eos.then_some(true),
        &mut into.ignore_eos,
    );
    origins.set("workload.stream", "--no-stream", flags.no_stream.then_some(false), &mut into.stream);
    if flags.extra_body.is_some() {
        origins.came_from("workload.extra_body", "--extra-body");
    }
    origins.set("seed", "--seed", flags.seed, &mut file.seed);
    workload::lay(flags, file, origins);
}

fn load(flags: &cli::LoadArgs, file: &mut File, origins: &mut Origins) {
    let into = &mut file.load;
    in_place_of_the_files(flags, into);
    origins.set("load.users", "--users", flags.users, &mut into.users);
    if flags.max_concurrency.is_some() && flags.users.is_none() && into.users.is_some() {
        // The file's closed loop with another number of users.
        origins.set("load.users", "--max-concurrency", flags.max_concurrency, &mut into.users);
    } else {
        origins.set(
            "load.max_concurrency",
            "--max-concurrency",
            flags.max_concurrency,
            &mut into.max_concurrency,
        );
    }
    origins.set("load.ramp_s", "--ramp-s", flags.ramp_s, &mut into.ramp_s);
    origins.set("load.request_rate", "--request-rate", flags.request_rate.map(Rate), &mut into.request_rate);
    let arrival = flags.arrival.map(|name| match name {
        cli::ArrivalName::Poisson => ArrivalName::Poisson,
        cli::ArrivalName::Constant => ArrivalName::Constant,
        cli::ArrivalName::Gamma => ArrivalName::Gamma,
    });
    // One of the two in place of the other.
    if arrival.is_some_and(|name| name != ArrivalName::Gamma) {
        into.burstiness = None;
    }
    if flags.burstiness.is_some() {
        into.arrival = None;
    }
    origins.set("load.arrival", "--arrival", arrival, &mut into.arrival);
    origins.set("load.burstiness", "--burstiness", flags.burstiness, &mut into.burstiness);
    shape(&flags.shape, into, origins);
    origins.set("load.duration_s", "--duration", flags.duration, &mut into.duration_s);
    origins.set("load.grace_period_s", "--grace-period", flags.grace_period, &mut into.grace_period_s);
    origins.set("load.timeout_s", "--timeout", flags.timeout, &mut into.timeout_s);
    origins.set(
        "load.connect_timeout_s",
        "--connect-timeout",
        flags.connect_timeout,
        &mut into.connect_timeout_s,
    );
    let connections = flags.connections.map(|name| match name {
        cli::ConnectionsName::Warm => Connections::Warm,
        cli::ConnectionsName::Cold => Connections::Cold,
        cli::ConnectionsName::PerRequest => Connections::PerRequest,
    });
    origins.set("load.connections", "--connections", connections, &mut into.connections);
    let sources = (!flags.source_address.is_empty()).then(|| flags.source_address.clone());
    origins.set("load.source_addresses", "--source-address", sources, &mut into.source_addresses);
    origins.set("load.threads", "--threads", flags.threads, &mut into.threads);
    origins.set("load.affinity", "--affinity", flags.affinity.clone().map(Scalar), &mut into.affinity);
    origins.set("load.warmups", "--num-warmups", flags.num_warmups, &mut into.warmups);
    let stamps = flags.stamps.map(|name| match name {
        cli::StampsName::Auto => Stamps::Auto,
        cli::StampsName::Packet => Stamps::Packet,
        cli::StampsName::Kernel => Stamps::Kernel,
        cli::StampsName::User => Stamps::User,
    });
    origins.set("load.stamps", "--stamps", stamps, &mut into.stamps);
    let prefix = flags.request_id_prefix.clone();
    origins.set("load.request_id_prefix", "--request-id-prefix", prefix, &mut into.request_id_prefix);
}

/// One law of arrivals in place of another: what only the file's law needs goes with it.
fn in_place_of_the_files(flags: &cli::LoadArgs, into: &mut Load) {
    let shape = &flags.shape;
    let (users, rate) = (flags.users.is_some(), flags.request_rate.is_some());
    let (ramp_up, replay) = (shape.ramp_up_strategy.is_some(), shape.self_timed);
    if !(users || rate || ramp_up || replay) {
        return;
    }
    into.stages = None;
    if !users {
        (into.users, into.ramp_s, into.ramp_down_s) = (None, None, None);
    }
    if !rate {
        into.request_rate = None;
    }
    if !ramp_up {
        (into.ramp_up_strategy, into.ramp_up_start_rps, into.ramp_up_end_rps) = (None, None, None);
    }
    if !replay {
        (into.self_timed, into.trace_speed) = (None, None);
    }
    if users {
        into.max_concurrency = None;
    }
    if !(ramp_up || flags.request_rate.is_some_and(f64::is_finite)) {
        (into.arrival, into.burstiness) = (None, None);
    }
}

fn shape(flags: &cli::ShapeArgs, into: &mut Load, origins: &mut Origins) {
    origins.set("load.ramp_down_s", "--ramp-down-s", flags.ramp_down_s, &mut into.ramp_down_s);
    let strategy = flags.ramp_up_strategy.map(|name| match name {
        cli::ChangeName::Linear => Change::Linear,
        cli::ChangeName::Exponential => Change::Exponential,
    });
    origins.set("load.ramp_up_strategy", "--ramp-up-strategy", strategy, &mut into.ramp_up_strategy);
    let (start, end) = (flags.ramp_up_start_rps, flags.ramp_up_end_rps);
    origins.set("load.ramp_up_start_rps", "--ramp-up-start-rps", start, &mut into.ramp_up_start_rps);
    origins.set("load.ramp_up_end_rps", "--ramp-up-end-rps", end, &mut into.ramp_up_end_rps);
    let (on, off) = (flags.self_timed.then_some(true), flags.no_self_timed.then_some(false));
    origins.set("load.self_timed", "--self-timed", on, &mut into.self_timed);
    origins.set("load.self_timed", "--no-self-timed", off, &mut into.self_timed);
    origins.set("load.trace_speed", "--trace-speed", flags.trace_speed, &mut into.trace_speed);
}

fn trace(flags: &cli::TraceArgs, file: &mut File, origins: &mut Origins) {
    let into = &mut file.workload;
    origins.set("workload.trace_start_s", "--trace-start", flags.trace_start, &mut into.trace_start_s);
    origins.set("workload.trace_end_s", "--trace-end", flags.trace_end, &mut into.trace_end_s);
    let of = &mut into.timed_trace;
    origins.set(
        "workload.timed_trace.sec_multiplier",
        "--timed-trace-sec-multiplier",
        flags.timed_trace_sec_multiplier,
        &mut of.sec_multiplier,
    );
    origins.set(
        "workload.timed_trace.chunk_hash_size",
        "--timed-trace-chunk-hash-size",
        flags.timed_trace_chunk_hash_size,
        &mut of.chunk_hash_size,
    );
    let (label, from) = ("workload.timed_trace.label_timestamp", flags.timed_trace_label_timestamp.clone());
    origins.set(label, "--timed-trace-label-timestamp", from, &mut of.label_timestamp);
    let (label, from) =
        ("workload.timed_trace.label_input_length", flags.timed_trace_label_input_length.clone());
    origins.set(label, "--timed-trace-label-input-length", from, &mut of.label_input_length);
    let (label, from) =
        ("workload.timed_trace.label_output_length", flags.timed_trace_label_output_length.clone());
    origins.set(label, "--timed-trace-label-output-length", from, &mut of.label_output_length);
    let (label, from) = ("workload.timed_trace.label_hash_ids", flags.timed_trace_label_hash_ids.clone());
    origins.set(label, "--timed-trace-label-hash-ids", from, &mut of.label_hash_ids);
}

fn observe(flags: &cli::ObserveArgs, file: &mut File, origins: &mut Origins) {
    let into = &mut file.observe;
    let at = (!flags.server_metrics.is_empty()).then(|| Metrics::At(flags.server_metrics.clone()));
    origins.set("observe.metrics", "--server-metrics", at, &mut into.metrics);
    let off = flags.no_server_metrics.then_some(Metrics::Off);
    origins.set("observe.metrics", "--no-server-metrics", off, &mut into.metrics);
    origins.set(
        "observe.scrape_interval_s",
        "--scrape-interval",
        flags.scrape_interval,
        &mut into.scrape_interval_s,
    );
    origins.set("observe.server_log", "--server-log", flags.server_log.clone(), &mut into.server_log);
    origins.set("observe.stat_log", "--stat-log", flags.stat_log.clone(), &mut into.stat_log);
    if !flags.hop.is_empty() {
        file.hops = flags.hop.iter().map(|text| hops::written(text)).collect();
        origins.came_from("hops", "--hop");
    }
    let into = &mut file.observe;
    origins.set("observe.span_wait_s", "--span-wait", flags.span_wait, &mut into.span_wait_s);
    origins.set(
        "observe.listen_metrics",
        "--listen-metrics",
        flags.listen_metrics.clone(),
        &mut into.listen_metrics,
    );
    origins.set("observe.export_spans", "--export-spans", flags.export_spans.clone(), &mut into.export_spans);
    if !flags.export_spans_header.is_empty() {
        origins.came_from("observe.export_spans_headers", "--export-spans-header");
    }
    origins.set("observe.clock_bound_s", "--clock-bound", flags.clock_bound, &mut into.clock_bound_s);

    let otlp = flags.otlp.is_some() || flags.otlp_grpc_port.is_some() || flags.otlp_http_port.is_some();
    if otlp {
        let mut asked = match into.otlp.take() {
            Some(OtlpChoice::On(otlp)) => otlp,
            Some(OtlpChoice::Off) | None => Otlp::default(),
        };
        origins.set("observe.otlp.host", "--otlp", flags.otlp.clone().flatten(), &mut asked.host);
        origins.set("observe.otlp.grpc_port", "--otlp-grpc-port", flags.otlp_grpc_port, &mut asked.grpc_port);
        origins.set("observe.otlp.http_port", "--otlp-http-port", flags.otlp_http_port, &mut asked.http_port);
        into.otlp = Some(OtlpChoice::On(asked));
        origins.came_from("observe.otlp", "--otlp");
    }
    origins.set("observe.otlp", "--no-otlp", flags.no_otlp.then_some(OtlpChoice::Off), &mut into.otlp);
}
