// Numbers as people write them: bounded integers, memory sizes, node counts.
// Any thread; pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace bai {

// A decimal integer, the whole text, with an optional sign, within [min, max]. Errors: bad_number.
Result<int64_t> parse_int(std::string_view text, int64_t min, int64_t max);
// A plain decimal number such as "1.5" or ".5", no exponent, within [min, max]. Errors: bad_number.
Result<double> parse_decimal(std::string_view text, double min, double max);
// The same as parse_int with Slurm's optional suffix k (x 1024) or m (x 1024 * 1024), any case. Errors:
// bad_count.
Result<int64_t> parse_count(std::string_view text, int64_t min, int64_t max);

// Node counts of -N: "4", "2-8", "1k-2k".
struct CountRange {
  uint32_t min = 0;
  uint32_t max = 0;  // same as min when one number was given
  friend bool operator==(const CountRange&, const CountRange&) = default;
};
// Both at least 1, min <= max. Errors: bad_count.
Result<CountRange> parse_count_range(std::string_view text);

enum class ZeroMemory { kRefused, kAllowed };
// A memory size in MiB, rounded up: "512" (MiB), "100K", "4G", "1.5T", "2GB", "2GiB"; units K M G T P of
// 1024, any case. Zero only if the caller has a meaning for it (--mem=0: all of the node). Errors: bad_size.
Result<uint64_t> parse_memory_mib(std::string_view text, ZeroMemory zero = ZeroMemory::kRefused);

// As squeue and scontrol print memory: the largest unit that is exact or a half, "1000M", "4G", "1.50G", "0".
std::string format_memory(uint64_t mib);
// As sstat and sacct print what was used: the largest unit below 1024 with two decimals when not whole,
// "1.46G", "4G".
std::string format_memory_rounded(uint64_t mib);

}  // namespace bai
