// The tables of bai.conf's keys: how each is read and shown. Private to src/model/config*.cc; the public face is config.h.
// Built once, then constant; any thread.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "model/config.h"

namespace bai {

// `set` gets a value as written; its Error needs a message and a remedy only. `show` gives what `set` would read back, or
// "" when nothing was set.
template <class T>
struct KeyRow {
  ConfigKey key;
  std::function<Status(T&, std::string_view)> set;
  std::function<std::string(const T&)> show;
};

// A NodeName line before its host list is expanded.
struct NodeLine {
  ConfigNode node;
  std::string addresses;  // host lists, as many names as NodeName's, or empty
  std::string hostnames;
  bool cpus_given = false, topology_given = false;
};

const std::vector<KeyRow<ClusterConfig>>& global_rows();  // by name
// Those that commands need. Few, because a command makes its table at each start.
const std::vector<KeyRow<ClusterConfig>>& client_rows();
// The site's own programs (config_hooks.cc); put into global_rows().
void add_hook_rows(std::vector<KeyRow<ClusterConfig>>& rows);
void add_client_hook_rows(std::vector<KeyRow<ClusterConfig>>& rows);  // into client_rows()
const std::vector<KeyRow<NodeLine>>& node_rows();
const std::vector<KeyRow<Partition>>& partition_rows();
const std::vector<KeyRow<Switch>>& switch_rows();

// Slurm's keys without a meaning here.
const std::vector<std::string_view>& ignored_global_keys();
const std::vector<std::string_view>& ignored_node_keys();
const std::vector<std::string_view>& ignored_partition_keys();
const std::vector<std::string_view>& ignored_switch_keys();

// What SchedulerParameters holds that nothing looks at.
std::vector<std::string> idle_scheduler_words(const ClusterConfig& config);

// The row of that name or alias; nullptr if there is none.
template <class T>
const KeyRow<T>* find_row(const std::vector<KeyRow<T>>& rows, std::string_view key) {
  for (const auto& row : rows) {
    if (same_key(row.key.name, key)) return &row;
    for (auto alias : row.key.aliases)
      if (same_key(alias, key)) return &row;
  }
  return nullptr;
}

// How values are read; shared by the tables. Errors carry a message.
namespace config_value {

Result<bool> yes_no(std::string_view value);
Result<std::uint64_t> number(std::string_view value, std::uint64_t min, std::uint64_t max);
// Whole seconds; UNLIMITED, INFINITE or NONE is kUnlimited where `unlimited` allows it.
Result<Seconds> seconds(std::string_view value, Seconds min, Seconds max, bool unlimited);
// MiB; 0 and UNLIMITED give 0.
Result<std::uint64_t> memory(std::string_view value);
// An absolute path, short enough to be one.
Result<std::string> path(std::string_view value);
// Names joined by commas; ALL alone gives none.
std::vector<Istr> names_or_all(std::string_view value);
std::string show_names(const std::vector<Istr>& names, std::string_view when_empty);
std::string yes(bool value);

}  // namespace config_value
}  // namespace bai
