#!/bin/bash
#BAI --job-name=count
#BAI --output=count-%a.txt
#BAI --error=count-%a.err
#BAI --time=5
# One task of an array: counts the words of its share of the files named as arguments, the most frequent first.
# The share of task K of N is every Nth file, beginning with the Kth.
set -euo pipefail

mine=()
i=0
for file; do
  i=$((i + 1))
  if [ $(((i - 1) % BAI_ARRAY_TASK_COUNT)) -eq $((BAI_ARRAY_TASK_ID - BAI_ARRAY_TASK_MIN)) ]; then mine+=("$file"); fi
done
echo "task $BAI_ARRAY_TASK_ID on ${SLURMD_NODENAME:-?}: ${#mine[@]} of $# files" >&2
[ ${#mine[@]} -gt 0 ] || exit 0

# A little slower than need be, so that there is a queue to look at.
sleep "${DEMO_PAUSE:-0}"
cat -- "${mine[@]}" | LC_ALL=C tr -cs 'A-Za-z' '\n' | LC_ALL=C tr '[:upper:]' '[:lower:]' |
  LC_ALL=C awk 'length > 3 { count[$0]++ } END { for (word in count) print count[word], word }' | LC_ALL=C sort -k1,1nr -k2
