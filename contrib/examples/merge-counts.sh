#!/bin/bash
#BAI --job-name=merge
#BAI --output=top-words.txt
#BAI --time=5
# Adds up the counts in the files named as arguments and prints the ten most frequent words.
set -euo pipefail
printf '%8s  %s\n' COUNT WORD
LC_ALL=C awk '{ total[$2] += $1 } END { for (word in total) printf "%8d  %s\n", total[word], word }' "$@" |
  LC_ALL=C sort -k1,1nr -k2 | awk 'NR <= 10'
