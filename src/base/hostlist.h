// Host lists as Slurm writes them: "n[1-4,7],gpu[001-010],login", "r[1-2]n[1-3]".
// Any thread; pure functions.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace bai {

// The most names that a list may expand to where no caller says otherwise: Slurm's node limit.
constexpr size_t kMaxHosts = 65'536;

// The names in the order written, repeats kept. Any number of brackets in a name (the last one turns
// fastest); ranges go up and keep the zero padding of their first number. Names hold letters, digits, '-',
// '_' and '.', at most 255 of them. Commas and blanks separate, any number of them; an empty text is an empty
// list. Costs no more than `max_hosts` names whatever the text says. Errors: bad_hostlist, with the column
// (from 1) in the message.
Result<std::vector<std::string>> expand_hostlist(std::string_view text, size_t max_hosts = kMaxHosts);

// What expand_hostlist turns back into the same names in the same order, as `scontrol show hostlist` writes
// it: neighbours in the list that differ in the number at their end only are joined, repeats kept.
std::string compress_hostlist(const std::vector<std::string>& names);
// The same of the sorted names without repeats, as Slurm prints a job's NodeList: "n2,n10,n1" gives
// "n[1-2,10]".
std::string compress_hostlist_sorted(std::vector<std::string> names);

// The list of `count` hosts, numbered from 1 with as many digits as the last one needs: "n[001-120]", "n1".
std::string numbered_hosts(std::string_view prefix, size_t count);

// Order of host names: digits compare as numbers, so n2 comes before n10; equal numbers with less padding
// first.
bool host_less(std::string_view a, std::string_view b);

// True for one name that expand_hostlist returns as it is.
bool is_host_name(std::string_view name);

}  // namespace bai
