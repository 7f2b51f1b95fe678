//! Files that are no YAML, or not of the keys and types that there are: shown where, with a way out.

use super::refused;

#[test]
fn a_typo_is_shown_with_the_nearest_key() {
    insta::assert_snapshot!(refused("name: x\nload:\n  user: 50 # too few\n  ramp_s: 20\n", ""), @r"
    error: unknown key `user` in `load`
     --> a.yaml:3:3
      |
    3 |   user: 50 # too few
      |   ^^^^
    hint: did you mean `users`?
    ");
    insta::assert_snapshot!(refused("targets:\n  base_url: http://a\n", ""), @r"
    error: unknown key `targets`
     --> a.yaml:1:1
      |
    1 | targets:
      | ^^^^^^^
    hint: did you mean `target`?
    ");
    insta::assert_snapshot!(refused("observe:\n  otlp: {grpc_prot: 4317}\n", ""), @r"
    error: unknown key `grpc_prot` in `observe.otlp`
     --> a.yaml:2:10
      |
    2 |   otlp: {grpc_prot: 4317}
      |          ^^^^^^^^^
    hint: did you mean `grpc_port`?
    ");
}

#[test]
fn a_key_in_the_wrong_section_is_sent_home() {
    insta::assert_snapshot!(refused("users: 50\n", ""), @r"
    error: unknown key `users`
     --> a.yaml:1:1
      |
    1 | users: 50
      | ^^^^^
    hint: `users` belongs in `load`
    ");
    insta::assert_snapshot!(refused("load:\n  model: m\n", ""), @r"
    error: unknown key `model` in `load`
     --> a.yaml:2:3
      |
    2 |   model: m
      |   ^^^^^
    hint: `model` belongs in `target`
    ");
    insta::assert_snapshot!(refused("load:\n  metadata: {a: b}\n", ""), @r"
    error: unknown key `metadata` in `load`
     --> a.yaml:2:3
      |
    2 |   metadata: {a: b}
      |   ^^^^^^^^
    hint: `metadata` stands at the top level, not in a section
    ");
    insta::assert_snapshot!(refused("load:\n  colour: red\n", ""), @r"
    error: unknown key `colour` in `load`
     --> a.yaml:2:3
      |
    2 |   colour: red
      |   ^^^^^^
    hint: the keys here are `users`, `ramp_s`, `ramp_down_s`, `request_rate`, `arrival`, `burstiness`, `ramp_up_strategy`, `ramp_up_start_rps`, `ramp_up_end_rps`, `stages`, `self_timed`, `trace_speed`, `requests`, `duration_s`, `grace_period_s`, `timeout_s`, `connect_timeout_s`, `warmups`, `max_concurrency`, `stamps`, `connections`, `source_addresses`, `threads`, `affinity` or `request_id_prefix`
    ");
}

#[test]
fn a_wrong_type_is_named_in_words() {
    insta::assert_snapshot!(refused("load:\n  users: fifty\n", ""), @r"
    error: `load.users`: expected a whole number from 0 to 4294967295, found `fifty`
     --> a.yaml:2:10
      |
    2 |   users: fifty
      |          ^^^^^
    hint: numbers stand without a unit; the key's ending says it (`_s`: seconds)
    ");
    insta::assert_snapshot!(refused("load:\n  duration_s: 20s\n", ""), @r"
    error: `load.duration_s`: expected a number, found `20s`
     --> a.yaml:2:15
      |
    2 |   duration_s: 20s
      |               ^^^
    hint: numbers stand without a unit; the key's ending says it (`_s`: seconds)
    ");
    insta::assert_snapshot!(refused("load: 50\n", ""), @r"
    error: `load`: expected keys with values, found `50`
     --> a.yaml:1:7
      |
    1 | load: 50
      |       ^^
    hint: write its keys indented on the lines below it
    ");
    insta::assert_snapshot!(refused("load:\n  users: [1, 2]\n", ""), @r"
    error: `load.users`: expected one value, found `[1, 2]`
     --> a.yaml:2:10
      |
    2 |   users: [1, 2]
      |          ^^^^^^
    hint: `configs/` holds examples
    ");
    insta::assert_snapshot!(refused("load:\n  request_rate: fast\n", ""), @r"
    error: `load.request_rate`: expected requests per second or `inf`, found `fast`
     --> a.yaml:2:17
      |
    2 |   request_rate: fast
      |                 ^^^^
    hint: `configs/` holds examples
    ");
    insta::assert_snapshot!(refused("workload:\n  ignore_eos: 1\n", ""), @r"
    error: `workload.ignore_eos`: expected `true` or `false`, found `1`
     --> a.yaml:2:15
      |
    2 |   ignore_eos: 1
      |               ^
    hint: `configs/` holds examples
    ");
    insta::assert_snapshot!(refused("workload:\n  dataset: shargpt\n", ""), @r"
    error: `workload.dataset`: expected `sharegpt`, `custom`, `csv`, `parquet`, `random`, `prefix_repetition`, `sonnet`, `mooncake`, `timed-trace`, `azure` or `burstgpt`, found `shargpt`
     --> a.yaml:2:12
      |
    2 |   dataset: shargpt
      |            ^^^^^^^
    hint: did you mean `sharegpt`?
    ");
    // The word alone, neither its quotes nor what follows it.
    insta::assert_snapshot!(refused("workload: {dataset: 'shargpt', samples: 3}\n", ""), @r"
    error: `workload.dataset`: expected `sharegpt`, `custom`, `csv`, `parquet`, `random`, `prefix_repetition`, `sonnet`, `mooncake`, `timed-trace`, `azure` or `burstgpt`, found `shargpt`
     --> a.yaml:1:22
      |
    1 | workload: {dataset: 'shargpt', samples: 3}
      |                      ^^^^^^^
    hint: did you mean `sharegpt`?
    ");
    insta::assert_snapshot!(refused("observe:\n  metrics: 5\n", ""), @r"
    error: `observe.metrics`: expected a URL, a list of URLs, `true` or `false`, found `5`
     --> a.yaml:2:12
      |
    2 |   metrics: 5
      |            ^
    hint: `configs/` holds examples
    ");
    insta::assert_snapshot!(refused("observe:\n  otlp: 4317\n", ""), @r"
    error: `observe.otlp`: expected `true`, `false` or the keys `host`, `grpc_port`, `http_port`, found `4317`
     --> a.yaml:2:9
      |
    2 |   otlp: 4317
      |         ^^^^
    hint: `configs/` holds examples
    ");
    insta::assert_snapshot!(refused("just text\n", ""), @r"
    error: the file: expected keys with values, found `just text`
     --> a.yaml:1:1
      |
    1 | just text
      | ^^^^^^^^^
    hint: write its keys indented on the lines below it
    ");
}

#[test]
fn what_is_not_yaml_is_shown_where() {
    insta::assert_snapshot!(refused("load:\n\tusers: 5\n", ""), @r"
    error: not valid YAML: tabs disallowed within this context (block indentation)
     --> a.yaml:2:2
      |
    2 | 	users: 5
      |  ^
    hint: indent with spaces
    ");
    insta::assert_snapshot!(refused("load: {users: 5\n", ""), @r"
    error: not valid YAML: unclosed bracket '{'
     --> a.yaml:1:7
      |
    1 | load: {users: 5
      |       ^^^^^^^^^
    hint: close it, or write one key a line
    ");
    insta::assert_snapshot!(refused("load:\n  users: 5\n  users: 6\n", ""), @r"
    error: the key `users` is there twice
     --> a.yaml:3:3
      |
    3 |   users: 6
      |   ^^^^^
    hint: keep one of them
    ");
    insta::assert_snapshot!(refused("load:\n  users: 5\n wrong: 4\n", ""), @r"
    error: not valid YAML: while parsing a block mapping, did not find expected key
     --> a.yaml:3:2
      |
    3 |  wrong: 4
      |  ^
    hint: keys of one section stand exactly below each other
    ");
}

// ── what validation finds ──
