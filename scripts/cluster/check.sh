#!/usr/bin/env bash
# Runs tare as several ranks under real launchers on this one machine, as root, against the look-alike, and
# looks at the merged runs. Debian's packages are needed: slurm-wlm munge openmpi-bin iproute2.
#   scripts/cluster/check.sh [slurm|mpi|kubernetes…]      default: slurm mpi
#   TARE=PROGRAM  the program [default: target/release/tare]
#   WORK=FOLDER   where it works [default: a new one, removed at the end]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
tare=$(realpath "${TARE:-$here/../../target/release/tare}")
port=${PORT:-22800}
[ $# -gt 0 ] || set -- slurm mpi
keep=${WORK:-}
work=${WORK:-$(mktemp -d)}
mkdir -p "$work"
undo=()
end() {
  for ((i = ${#undo[@]} - 1; i >= 0; i--)); do eval "${undo[i]}" >/dev/null 2>&1 || true; done
  [ -n "$keep" ] || rm -rf "$work"
}
trap end EXIT

# The look-alike at $1:$port, exporting spans to the receiver of rank 0.
serve() {
  local name=$1 host=$2 spans=$3
  shift 3
  "$@" "$tare" serve --host "$host" --port "$port" --truth "$work/$name.truth" --otlp-endpoint "$spans" \
    >"$work/$name.server" 2>&1 &
  undo+=("kill $!")
  for _ in $(seq 100); do grep -q "startup complete" "$work/$name.server" && return; sleep 0.1; done
  cat "$work/$name.server" >&2
  return 1
}

# Of a merged run: all requests of the truth, all joined, nothing that differs, a row for each of $2 hosts.
look() {
  python3 - "$work/$1" "$work/$1.truth" "$2" <<'PY'
import json, sys
folder, truth, world = sys.argv[1], sys.argv[2], int(sys.argv[3])
s = json.load(open(f"{folder}/merged/summary.json"))
rows = [json.loads(line) for line in open(f"{folder}/merged/results.jsonl")]
sent = {row["request_id"] for row in rows}
known = {row["x_request_id"] for row in map(json.loads, open(truth)) if "warmup" not in (row["x_request_id"] or "warmup")}
assert sent == known, f"{len(sent)} in the run, {len(known)} at the server"
assert sorted(row["index"] for row in rows) == list(range(len(rows)))
assert s["coverage"]["joined"] == len(rows), s["coverage"]
differ = [c for c in s["reconciliation"] if c["verdict"] == "differ"]
assert not differ, differ
ranks = s["ranks"]
assert ranks["missing"] == [] and len(ranks["hosts"]) == world, ranks
print(f"{len(rows)} requests of {world} ranks, all at the server, all joined, nothing differs")
for h in ranks["hosts"]:
    bound = h["offset_bound_s"]
    print(f"  rank {h['rank']} on {h['hostname']}: {h['requests']} requests, by {h['aligned_by']}: "
          f"{h['offset_s'] * 1e3:.3f} ± {'?' if bound is None else f'{bound * 1e3:.3f}'} ms, "
          f"start skew {h['start_skew_s'] * 1e3:.3f} ms, lateness p99 {h['lateness_p99_s'] * 1e3:.3f} ms")
PY
}

load=(--dataset-name random --random-input-len 64 --random-output-len 16 --ignore-eos --request-rate 40
  --num-prompts 200 --num-warmups 4 --seed 7)

slurm() {
  local host
  host=$(hostname -s)
  mkdir -p "$work/slurm-conf" /run/munge
  chown munge:munge /run/munge
  [ -f /etc/munge/munge.key ] || mungekey --create --keyfile /etc/munge/munge.key
  chown munge:munge /etc/munge/munge.key
  chmod 400 /etc/munge/munge.key
  pgrep -x munged >/dev/null || { runuser -u munge -- munged --force; undo+=("pkill -x -u munge munged"); }
  cat >"$work/slurm-conf/slurm.conf" <<CONF
ClusterName=check
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
SlurmctldPort=$((port + 11))
SlurmdPort=$((port + 12))
StateSaveLocation=$work/slurm-conf/state
SlurmdSpoolDir=$work/slurm-conf/spool
SlurmctldPidFile=$work/slurm-conf/ctld.pid
SlurmdPidFile=$work/slurm-conf/d.pid
SlurmctldLogFile=$work/slurm-conf/ctld.log
SlurmdLogFile=$work/slurm-conf/d.log
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
MpiDefault=none
# As many as the script asks for, whatever this machine has.
SlurmdParameters=config_overrides
NodeName=$host NodeAddr=127.0.0.1 CPUs=8
PartitionName=all Nodes=ALL Default=YES OverSubscribe=FORCE:8 MaxTime=INFINITE State=UP
CONF
  export SLURM_CONF=$work/slurm-conf/slurm.conf
  mkdir -p "$work/slurm-conf/state" "$work/slurm-conf/spool"
  slurmctld -c -D >"$work/slurm-conf/ctld.out" 2>&1 &
  undo+=("kill $!")
  slurmd -D >"$work/slurm-conf/d.out" 2>&1 &
  undo+=("kill $!")
  for _ in $(seq 60); do sinfo -h -o %T 2>/dev/null | grep -q idle && break; sleep 0.5; done
  sinfo

  serve slurm 127.0.0.1 "http://127.0.0.1:$((port + 1))"
  # The shipped script as it is; only one node is there.
  OUT=$work/slurm TARE=$tare sbatch --wait --ntasks=4 --ntasks-per-node=4 --cpus-per-task=1 --chdir "$work" \
    --output "$work/slurm.out" "$here/tare.sbatch" --quiet "${load[@]}" --base-url "http://127.0.0.1:$port" \
    --otlp --otlp-http-port $((port + 1)) --otlp-grpc-port $((port + 2)) || { cat "$work/slurm.out"; return 1; }
  look slurm 4
  # The shell of a batch job knows how many tasks there may be, and is one process.
  sbatch --wait --ntasks=4 --chdir "$work" --output "$work/shell.out" \
    --wrap "'$tare' run --base-url http://127.0.0.1:$port --num-prompts 4 --dry-run"
  grep "this is the shell of a batch job, one process" "$work/shell.out"
}

mpi() {
  # The server at 10.77.0.1 on a bridge; each rank in a network namespace of its own.
  ip link add tarebr type bridge
  undo+=("ip link delete tarebr")
  ip addr add 10.77.0.1/24 dev tarebr
  ip link set tarebr up
  for r in 0 1 2 3; do
    ip netns add "tare$r"
    undo+=("ip netns delete tare$r")
    ip link add "tarev$r" type veth peer name eth0 netns "tare$r"
    ip link set "tarev$r" master tarebr up
    ip -n "tare$r" addr add "10.77.0.1$r/24" dev eth0
    ip -n "tare$r" link set eth0 up
    ip -n "tare$r" link set lo up
  done
  serve mpi 10.77.0.1 "http://10.77.0.10:$((port + 1))"
  # shellcheck disable=SC2016
  mpirun --allow-run-as-root --oversubscribe -n 4 bash -c \
    'exec ip netns exec "tare$OMPI_COMM_WORLD_RANK" "$@"' rank "$tare" run "${load[@]}" \
    --base-url "http://10.77.0.1:$port" --otlp=0.0.0.0 --otlp-http-port $((port + 1)) --otlp-grpc-port $((port + 2)) \
    --output "$work/mpi"
  "$tare" --quiet correlate "$work"/mpi/shard-* --output "$work/mpi/merged"
  look mpi 4
}

kubernetes() {
  python3 -m venv "$work/venv"
  "$work/venv/bin/pip" -q install kubernetes-validate
  "$work/venv/bin/kubernetes-validate" --strict "$here/job.yaml"
}

for what in "$@"; do
  echo "+ $what"
  "$what"
done
