#!/bin/bash
# demo.sh [DIRECTORY]: a real job on a private three-node cluster, from nothing to nothing, in a few seconds.
# DIRECTORY holds bai's programs; without it they are taken from PATH. Needs no root, and leaves nothing behind.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
if [ "${1:-}" != --inside ]; then
  cluster=${1:+$1/}bai-cluster
  began=$(date +%s%N)
  echo "Bringing up a private cluster of three nodes on this machine..."
  status=0
  "$cluster" run --nodes 3 --cpus 2 --memory 1G -- "$here/demo.sh" --inside || status=$?
  if [ $status -ne 0 ]; then
    echo "The demo failed (exit status $status)." >&2
    exit $status
  fi
  took=$((($(date +%s%N) - began) / 100000000))
  echo "Done: three nodes came up, thirteen jobs ran, all is taken down again. $((took / 10)).$((took % 10)) s in all."
  exit 0
fi

say() { printf '\n--- %s\n' "$*"; }
work=$(mktemp -d "${TMPDIR:-/tmp}/bai-demo-XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$work"

# Real text: the licences that every Debian has, and our own.
files=("$here/../../LICENSE" "$here/../../README.md")
for file in /usr/share/common-licenses/*; do
  if [ -f "$file" ] && [ ! -L "$file" ]; then files+=("$file"); fi
done
texts=()
for file in "${files[@]}"; do
  if [ -r "$file" ]; then texts+=("$(realpath "$file")"); fi
done

say "The nodes: bai-control show node"
for node in n1 n2 n3; do
  bai-control show node $node | awk -F'[ =]+' '
    { for (i = 1; i < NF; i++) if ($i ~ /^(NodeName|CPUTot|RealMemory|State)$/) printf "%s=%s ", $i, $(i + 1) } END { print "" }'
done

say "Submitting: 12 tasks that each count the words of their share of ${#texts[@]} files, then one that merges"
export DEMO_PAUSE=1
array=$(bai-submit --parsable --array=1-12 "$here/count-words.sh" "${texts[@]}")
echo "bai-submit --array=1-12 count-words.sh ...                   -> job $array"
counts=()
for task in $(seq 12); do counts+=("count-$task.txt"); done
bai-submit --parsable --wait --dependency=afterok:"$array" "$here/merge-counts.sh" "${counts[@]}" >merge.id &
merging=$!
while [ ! -s merge.id ] && kill -0 $merging 2>/dev/null; do sleep 0.01; done
merge=$(cat merge.id)
echo "bai-submit --wait --dependency=afterok:$array merge-counts.sh ... -> job $merge"

say "The queue at once: bai-queue"
bai-queue
# One more job that waits for task 1, and for which we wait: then part of the work is done.
bai-submit --quiet --wait --dependency=afterany:"${array}_1" --output=/dev/null --wrap=true >/dev/null
say "The queue a little later: bai-queue"
bai-queue
wait $merging
say "The queue at the end: bai-queue"
bai-queue

say "The result: the ten most frequent words of more than three letters"
cat top-words.txt

say "What ran where, and for how long: bai-acct"
bai-acct --allocations --jobs="$array,$merge" --format=JobID%8,JobName%8,State,NodeList%8,AllocCPUS,Elapsed,TotalCPU
bai-acct --allocations --jobs="$array,$merge" --noheader --parsable2 --format=NodeList,State,ElapsedRaw |
  LC_ALL=C awk -F'|' '{ jobs[$1]++; seconds[$1] += $3; if ($2 != "COMPLETED") bad++ }
       END { for (node in jobs) printf "%s ran %d jobs for %d s in all\n", node, jobs[node], seconds[node]; exit bad > 0 }' |
  LC_ALL=C sort
