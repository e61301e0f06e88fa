#!/usr/bin/env bash
# Loads real data into a cluster of three, kills the leader with SIGKILL in the middle, and proves
# that nothing which was acknowledged is lost.
#
#   make build && examples/load/run.sh [KEYS]          KEYS: how many pairs, 100000 unless told
#
# The data is the source tree of the Go standard library, cut into pieces: path/piece -> bytes.
# DEBROS names another binary than bin/debros. Needs bash and go. Leaves nothing behind.
set -euo pipefail
cd "$(dirname "$0")/../.."
keys=${1:-100000}
debros=${DEBROS:-bin/debros}
dir=$(mktemp -d)
pids=("" "" "" "")   # of s1, s2, s3

say()  { printf '== %s\n' "$*"; }
fail() { printf 'FAILED: %s\n' "$*" >&2; exit 1; }

finish() {
  local code=$?
  for pid in "${pids[@]}" "${import:-}"; do
    [ -n "$pid" ] && kill -9 "$pid" 2>/dev/null || true
  done
  wait 2>/dev/null || true
  if [ $code -ne 0 ]; then tail -n 15 "$dir"/s?.log >&2 || true; fi
  rm -rf "$dir"
  exit $code
}
trap finish EXIT
trap 'exit 130' INT TERM

# Ports: ten for each server, all free at the moment.
while :; do
  base=$((12000 + RANDOM % 19000)) used=
  for i in 1 2 3; do for p in 0 1 2; do
    (exec 3<>"/dev/tcp/127.0.0.1/$((base + 10*i + p))") 2>/dev/null && used=yes
  done; done
  [ -z "$used" ] && break
done
http() { echo "127.0.0.1:$((base + 10*$1))"; }

start() {   # start the server of that number; it joins the two others
  local i=$1 join=()
  for j in 1 2 3; do [ "$j" = "$i" ] || join+=("-retry-join=127.0.0.1:$((base + 10*j + 2))"); done
  "$debros" agent -server -bootstrap-expect=3 -node="s$i" -data-dir="$dir/s$i" -bind=127.0.0.1 -cluster-key-file="$dir/cluster.key" \
    -http-port=$((base + 10*i)) -server-port=$((base + 10*i + 1)) -serf-lan-port=$((base + 10*i + 2)) -overlay-port=$((base + 10*i + 3)) \
    -retry-interval=1s "${join[@]}" >>"$dir/s$i.log" 2>&1 &
  pids[$i]=$!
}

go build -o "$dir/load" ./examples/load
(umask 077 && "$debros" keygen >"$dir/cluster.key")

say "generating $keys pairs from $(go env GOROOT)"
"$dir/load" generate -root="$(go env GOROOT)" -n="$keys" -file="$dir/pairs.json"

say "starting three servers"
for i in 1 2 3; do start $i; done

for attempt in 1 2 3 4 5 over; do
  [ $attempt != over ] || fail "the import had ended before the leader was killed, five times: nothing is shown (try more keys)"
  leader=$("$dir/load" leader -addr="$(http 1)" -voters=3)
  say "$leader leads"
  victim=${leader#s}
  survivor=$((victim % 3 + 1))
  # The import asks a server that will live: what the agent you talk to does not survive, you notice anyway.
  other=$((survivor % 3 + 1)); [ "$other" = "$victim" ] && other=$((other % 3 + 1))

  say "importing through s$survivor"
  "$debros" kv import -http-addr="$(http $survivor)" -progress=always -resume="$dir/mark" "$dir/pairs.json" &
  import=$!
  "$dir/load" await -addr="$(http $survivor)" -count=$((keys / 4))
  kill -9 "${pids[$victim]}"
  kill -0 "$import" 2>/dev/null && break
  # A machine that had no time for this script, but for the import.
  wait "$import" || true
  wait "${pids[$victim]}" 2>/dev/null || true
  say "the import had ended before $leader was killed; once more"
  start "$victim"
  "$dir/load" leader -addr="$(http $survivor)" -voters=3 >/dev/null
  "$debros" kv delete -http-addr="$(http $survivor)" -recurse -yes ''
  rm -f "$dir/mark"
done
printf '\n'; say "killed $leader with SIGKILL after a quarter of the pairs"
wait "${pids[$victim]}" 2>/dev/null || true
pids[$victim]=

tries=1
until wait "$import"; do
  [ $tries -lt 5 ] || fail "the import did not end well"
  tries=$((tries + 1))
  say "the import stopped; the same command goes on where it was"
  "$debros" kv import -http-addr="$(http $survivor)" -progress=always -resume="$dir/mark" "$dir/pairs.json" &
  import=$!
done
import=
say "every one of the $keys pairs was acknowledged; $("$dir/load" leader -addr="$(http $survivor)") leads now"

say "reading all of them back from the two servers that lived"
"$dir/load" verify -file="$dir/pairs.json" -addr="$(http $survivor),$(http $other)"

say "starting $leader again"
start "$victim"
say "reading all of them back from it"
"$dir/load" verify -file="$dir/pairs.json" -addr="$(http $victim)"

say "stopping the servers with SIGTERM"
for i in 1 2 3; do kill -TERM "${pids[$i]}"; done
for i in 1 2 3; do wait "${pids[$i]}" || fail "s$i ended with exit code $?"; pids[$i]=; done
say "PROVED: the leader was killed in the middle, and nothing that was acknowledged is lost on any of the three servers"
