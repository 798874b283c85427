// What sinfo's letters and names show of a group of nodes.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <set>

#include "base/hostlist.h"
#include "base/text.h"
#include "base/time.h"
#include "cli/info.h"
#include "cli/show_devices.h"

namespace bai::cli {
namespace {

struct Counts {
  std::uint64_t allocated = 0, idle = 0, other = 0, total = 0;
};

bool usable(const Node& node) { return node.condition == NodeCondition::kUp && node.responding; }
bool busy(const Node& node) {
  return node.cpus_used != 0 || node.exclusive_use || node.jobs > node.completing;
}

Counts count_nodes(const InfoRow& row) {
  Counts out;
  for (const Node* node : row.nodes) {
    ++out.total;
    if (usable(*node) && busy(*node))
      ++out.allocated;
    else if (usable(*node) && !node->drain)
      ++out.idle;
    else
      ++out.other;
  }
  return out;
}

Counts count_cpus(const InfoRow& row) {
  Counts out;
  for (const Node* node : row.nodes) {
    const std::uint32_t cpus = node->declared.cpus,
                        used = std::min(cpus, node->exclusive_use ? cpus : node->cpus_used);
    out.total += cpus;
    out.allocated += used;
    (usable(*node) && !node->drain ? out.idle : out.other) += cpus - used;
  }
  return out;
}

void put(std::string& out, std::uint64_t number) { out += std::to_string(number); }
void put_counts(std::string& out, const Counts& counts) {
  out += std::to_string(counts.allocated) + "/" + std::to_string(counts.idle) + "/" +
         std::to_string(counts.other) + "/" + std::to_string(counts.total);
}

// The least of the nodes' values, with + when others have more.
template <class F>
void put_least(std::string& out, const InfoRow& row, F value) {
  if (row.nodes.empty()) {
    out += '0';
    return;
  }
  auto least = value(*row.nodes[0]), most = least;
  for (const Node* node : row.nodes) {
    least = std::min(least, value(*node));
    most = std::max(most, value(*node));
  }
  put(out, least);
  if (most > least) out += '+';
}

void put_range(std::string& out, std::uint64_t least, std::uint64_t most, double scale) {
  char buf[64];
  const int n =
      scale == 1 ? (least == most
                        ? std::snprintf(buf, sizeof buf, "%llu", static_cast<unsigned long long>(least))
                        : std::snprintf(buf, sizeof buf, "%llu-%llu", static_cast<unsigned long long>(least),
                                        static_cast<unsigned long long>(most)))
                 : (least == most ? std::snprintf(buf, sizeof buf, "%.2f", least / scale)
                                  : std::snprintf(buf, sizeof buf, "%.2f-%.2f", least / scale, most / scale));
  out.append(buf, static_cast<std::size_t>(n));
}

template <class F>
void put_known_range(std::string& out, const InfoRow& row, F value, double scale) {
  std::uint64_t least = UINT64_MAX, most = 0;
  for (const Node* node : row.nodes) {
    if (!node->responding) continue;
    least = std::min<std::uint64_t>(least, value(*node));
    most = std::max<std::uint64_t>(most, value(*node));
  }
  if (least == UINT64_MAX)
    out += "N/A";
  else
    put_range(out, least, most, scale);
}

void put_nodes(std::string& out, const InfoRow& row) {
  if (row.nodes.size() == 1) {
    out += row.nodes[0]->name.view();
    return;
  }
  std::vector<std::string> names;
  names.reserve(row.nodes.size());
  for (const Node* node : row.nodes) names.push_back(node->name.str());
  out += compress_hostlist_sorted(std::move(names));
}

void put_limit(std::string& out, Seconds limit) {
  out += limit == kUnlimited ? std::string("infinite") : format_duration(limit);
}

const Node* first(const InfoRow& row) { return row.nodes.empty() ? nullptr : row.nodes[0]; }

void put_partition(std::string& out, const InfoRow& row, bool star) {
  if (!row.partition) {
    out += "n/a";
    return;
  }
  out += row.partition->name.view();
  if (star && row.partition->is_default) out += '*';
}

void put_available(std::string& out, const InfoRow& row) {
  if (!row.partition) {
    out += "n/a";
    return;
  }
  switch (row.partition->state) {
    case PartitionState::kUp:
      out += "up";
      break;
    case PartitionState::kDown:
      out += "down";
      break;
    case PartitionState::kDrain:
      out += "drain";
      break;
    case PartitionState::kInactive:
      out += "inact";
      break;
  }
}

void put_size(std::string& out, const InfoRow& row) {
  if (!row.partition) return;
  const std::uint32_t least = std::max(1u, row.partition->min_nodes);
  put(out, least);
  if (row.partition->max_nodes == 0)
    out += "-infinite";
  else if (row.partition->max_nodes != least)
    out += "-" + std::to_string(row.partition->max_nodes);
}

void put_features(std::string& out, const InfoRow& row) {
  const Node* node = first(row);
  out += node && !node->features.empty() ? join(node->features, ",") : std::string("(null)");
}

void put_gres(std::string& out, const InfoRow& row) {
  const Node* node = first(row);
  out += node && !node->declared.devices.empty() ? format_device_groups(node->declared.devices)
                                                 : std::string("(null)");
}

void put_reason(std::string& out, const InfoRow& row) {
  const Node* node = first(row);
  out += node && !node->reason.empty() ? node->reason.view() : std::string_view("none");
}

void put_reason_time(std::string& out, const InfoRow& row) {
  const Node* node = first(row);
  out += node && node->reason_at.is_set() ? format_timestamp(node->reason_at) : std::string("Unknown");
}

void put_reason_user(std::string& out, const InfoRow& row, bool with_uid) {
  const Node* node = first(row);
  if (!node || node->reason.empty()) {
    out += "Unknown";
    return;
  }
  // Without a user database here, root is the one name that is known.
  const std::string uid = std::to_string(node->reason_uid);
  out += node->reason_uid == 0 ? "root" : uid;
  if (with_uid) out += "(" + uid + ")";
}

void put_not_enforced(std::string& out, const InfoRow& row) {
  const Node* node = first(row);
  out += !node ? "" : node->not_enforced.empty() ? std::string_view("-") : node->not_enforced.view();
}

// "mixed+drain": scontrol's word in small letters.
void put_complete_state(std::string& out, const InfoRow& row) {
  const Node* node = first(row);
  out += node ? lower(node_state_long(*node)) : std::string("n/a");
}

// clang-format off
#define BAI_FIELD(letter, name, title, ...) \
  Field<InfoRow>{letter, name, title, [](std::string& out, const InfoRow& r) { __VA_ARGS__; }}
const Field<InfoRow> kFields[] = {
    BAI_FIELD('a', "available", "AVAIL", put_available(out, r)),
    BAI_FIELD('A', "nodeai", "NODES(A/I)", const Counts c = count_nodes(r); out += std::to_string(c.allocated) + "/" + std::to_string(c.idle)),
    BAI_FIELD('b', "features_act", "ACTIVE_FEATURES", put_features(out, r)),
    BAI_FIELD('B', "maxcpuspernode", "MAX_CPUS_PER_NODE", out += "UNLIMITED"; (void)r),
    BAI_FIELD('c', "cpus", "CPUS", put_least(out, r, [](const Node& n) { return n.declared.cpus; })),
    BAI_FIELD('C', "cpusstate", "CPUS(A/I/O/T)", put_counts(out, count_cpus(r))),
    BAI_FIELD('d', "disk", "TMP_DISK", put_least(out, r, [](const Node& n) { return n.declared.tmp_mib; })),
    BAI_FIELD('D', "nodes", "NODES", put(out, r.nodes.size())),
    BAI_FIELD('e', "freemem", "FREE_MEM", put_known_range(out, r, [](const Node& n) { return n.free_mib; }, 1)),
    BAI_FIELD('E', "reason", "REASON", put_reason(out, r)),
    BAI_FIELD('f', "features", "AVAIL_FEATURES", put_features(out, r)),
    BAI_FIELD('F', "nodeaiot", "NODES(A/I/O/T)", put_counts(out, count_nodes(r))),
    BAI_FIELD('g', "groups", "GROUPS", out += r.partition && !r.partition->allow_groups.empty() ? join(r.partition->allow_groups, ",") : std::string("all")),
    BAI_FIELD('G', "gres", "GRES", put_gres(out, r)),
    BAI_FIELD('h', "oversubscribe", "OVERSUBSCRIBE", out += r.partition && r.partition->oversubscribe_exclusive ? "EXCLUSIV" : "NO"),
    BAI_FIELD('H', "timestamp", "TIMESTAMP", put_reason_time(out, r)),
    BAI_FIELD('I', "priorityjobfactor", "PRIO_JOB_FACTOR", put(out, r.partition ? r.partition->priority_job_factor : 0)),
    BAI_FIELD('l', "time", "TIMELIMIT", if (r.partition) put_limit(out, r.partition->max_time); else out += "n/a"),
    BAI_FIELD('L', "defaulttime", "DEFAULTTIME", if (r.partition && r.partition->default_time) put_limit(out, r.partition->default_time); else out += "n/a"),
    BAI_FIELD('m', "memory", "MEMORY", put_least(out, r, [](const Node& n) { return n.declared.mem_mib; })),
    BAI_FIELD('M', "preemptmode", "PREEMPT_MODE", out += "OFF"; (void)r),
    BAI_FIELD('n', "nodehost", "HOSTNAMES", put_nodes(out, r)),
    BAI_FIELD('N', "nodelist", "NODELIST", put_nodes(out, r)),
    BAI_FIELD('o', "nodeaddr", "NODE_ADDR", if (const Node* n = first(r)) out += n->address.empty() ? n->name.view() : n->address.view()),
    BAI_FIELD('O', "cpusload", "CPU_LOAD", put_known_range(out, r, [](const Node& n) { return n.load_percent; }, 100)),
    BAI_FIELD('p', "prioritytier", "PRIO_TIER", put(out, r.partition ? r.partition->priority_tier : 0)),
    BAI_FIELD('P', "partition", "PARTITION", put_partition(out, r, true)),
    BAI_FIELD('r', "root", "ROOT", out += r.partition && r.partition->root_only ? "yes" : "no"),
    BAI_FIELD('R', "partitionname", "PARTITION", put_partition(out, r, false)),
    BAI_FIELD('s', "size", "JOB_SIZE", put_size(out, r)),
    BAI_FIELD('S', "allocnodes", "ALLOCNODES", out += "all"; (void)r),
    BAI_FIELD('t', "statecompact", "STATE", out += first(r) ? node_state_compact(*first(r)) : "n/a"),
    BAI_FIELD('T', "statelong", "STATE", out += first(r) ? node_state_word(*first(r)) : "n/a"),
    BAI_FIELD('u', "user", "USER", put_reason_user(out, r, false)),
    BAI_FIELD('U', "userlong", "USER", put_reason_user(out, r, true)),
    BAI_FIELD('v', "version", "VERSION", out += first(r) && !first(r)->version.empty() ? first(r)->version.view() : std::string_view("(null)")),
    BAI_FIELD('V', "cluster", "CLUSTER", out += "N/A"; (void)r),
    BAI_FIELD('w', "weight", "WEIGHT", put_least(out, r, [](const Node& n) { return n.weight; })),
    BAI_FIELD('X', "sockets", "SOCKETS", put_least(out, r, [](const Node& n) { return n.declared.sockets; })),
    BAI_FIELD('Y', "cores", "CORES", put_least(out, r, [](const Node& n) { return n.declared.cores_per_socket; })),
    BAI_FIELD('Z', "threads", "THREADS", put_least(out, r, [](const Node& n) { return n.declared.threads_per_core; })),
    BAI_FIELD('z', "socketcorethread", "S:C:T",
              put_least(out, r, [](const Node& n) { return n.declared.sockets; }); out += ':';
              put_least(out, r, [](const Node& n) { return n.declared.cores_per_socket; }); out += ':';
              put_least(out, r, [](const Node& n) { return n.declared.threads_per_core; })),
    BAI_FIELD(0, "allocmem", "ALLOCMEM", put_least(out, r, [](const Node& n) { return n.mem_used_mib; })),
    BAI_FIELD(0, "comment", "COMMENT", out += "(null)"; (void)r),
    BAI_FIELD(0, "extra", "EXTRA", out += "(null)"; (void)r),
    BAI_FIELD(0, "gresdrain", "GRES_DRAIN", const std::string text = first(r) ? gres_drained(*first(r)) : ""; out += text.empty() ? "N/A" : text),
    BAI_FIELD(0, "gresused", "GRES_USED", const std::string text = first(r) ? gres_used(*first(r)) : ""; out += text.empty() ? "(null)" : text),
    BAI_FIELD(0, "notenforced", "NOT_ENFORCED", put_not_enforced(out, r)),
    BAI_FIELD(0, "port", "PORT", out += "n/a"; (void)r),
    BAI_FIELD(0, "statecomplete", "STATECOMPLETE", put_complete_state(out, r)),
};
#undef BAI_FIELD
// clang-format on

// Fields whose nodes share a line only when they are equal; the others are summed or told as ranges.
bool divides(char letter) {
  return letter != 0 && std::string_view("tTEHuUfbvonV").find(letter) != std::string_view::npos;
}

bool tells_of_partition(const Field<InfoRow>& field) {
  return field.letter != 0 && std::string_view("aBghIlLMpPrRsS").find(field.letter) != std::string_view::npos;
}

bool divides_by_name(std::string_view name) {
  return name == "allocmem" || name == "statecomplete" || name == "notenforced";
}

// Slurm's number of the state, flags above: what -S t sorts by.
std::uint32_t state_number(const Node& node) {
  const std::string word = node_state_long(node);
  std::uint32_t out = word.starts_with("UNKNOWN") ? 0
                      : word.starts_with("DOWN")  ? 1
                      : word.starts_with("IDLE")  ? 2
                      : word.starts_with("ALLOC") ? 3
                      : word.starts_with("MIXED") ? 5
                                                  : 6;
  if (node.drain) out += 0x200;
  if (!node.responding) out += 0x400;
  if (node.completing) out += 0x800;
  return out;
}

}  // namespace

std::span<const Field<InfoRow>> info_fields() { return kFields; }

namespace {

// Numbers before their text: "9" < "10", "1:00:00" as text.
int compare_cells(const std::string& a, const std::string& b) {
  auto number = [](const std::string& text) {
    char* end = nullptr;
    const double value = std::strtod(text.c_str(), &end);
    return std::pair(end != text.c_str() && (*end == 0 || *end == '+'), value);
  };
  const auto [good_a, value_a] = number(a);
  const auto [good_b, value_b] = number(b);
  if (good_a && good_b) return value_a < value_b ? -1 : value_b < value_a ? 1 : 0;
  return a.compare(b);
}

int compare_rows(char letter, const InfoRow& a, const InfoRow& b, const Field<InfoRow>& field) {
  if ((letter == 't' || letter == 'T') && first(a) && first(b)) {
    const auto x = state_number(*first(a)), y = state_number(*first(b));
    return x < y ? -1 : y < x ? 1 : 0;
  }
  if ((letter == 'N' || letter == 'n') && first(a) && first(b)) {
    const auto x = first(a)->name.view(), y = first(b)->name.view();
    return host_less(x, y) ? -1 : host_less(y, x) ? 1 : 0;
  }
  if (letter == 'l' && a.partition && b.partition) {
    const auto x = static_cast<std::uint64_t>(a.partition->max_time),
               y = static_cast<std::uint64_t>(b.partition->max_time);
    return x < y ? -1 : y < x ? 1 : 0;
  }
  std::string text_a, text_b;
  field.put(text_a, a);
  field.put(text_b, b);
  return compare_cells(text_a, text_b);
}

}  // namespace

bool sort_info_rows(std::vector<InfoRow>& rows, std::string_view spec) {
  struct Key {
    char letter;  // '#': partitions in the configuration's order
    const Field<InfoRow>* field;
    bool reverse;
  };
  std::vector<Key> keys;
  bool good = true, reverse = false, hash = false;
  for (char c : spec) {
    if (c == ',' || c == '+' || is_blank(c)) continue;
    if (c == '-' || c == '#') {
      (c == '-' ? reverse : hash) = true;
      continue;
    }
    const Field<InfoRow>* field = nullptr;
    for (const auto& one : kFields)
      if (one.letter == c) field = &one;
    if (field) keys.push_back({hash && c == 'P' ? '#' : c, field, reverse});
    good &= field != nullptr;
    reverse = hash = false;
  }
  std::stable_sort(rows.begin(), rows.end(), [&](const InfoRow& a, const InfoRow& b) {
    for (const Key& key : keys) {
      const int order = key.letter == '#' ? (a.order < b.order   ? -1
                                             : b.order < a.order ? 1
                                                                 : 0)
                                          : compare_rows(key.letter, a, b, *key.field);
      if (order != 0) return key.reverse ? order > 0 : order < 0;
    }
    return false;
  });
  return good;
}

std::vector<InfoRow> make_info_rows(const std::vector<Node>& nodes, const std::vector<Partition>& partitions,
                                    const std::vector<Column<InfoRow>>& columns, bool by_node) {
  std::map<std::string_view, const Node*> by_name;
  for (const Node& node : nodes) by_name.emplace(node.name.view(), &node);
  std::vector<InfoRow> out;
  // A format that shows nothing of partitions tells of nodes alone.
  bool by_partition = by_node;
  for (const auto& column : columns) by_partition |= column.field && tells_of_partition(*column.field);
  std::map<std::string, std::size_t> all_rows;
  std::set<std::string_view> seen;
  std::size_t order = 0;
  for (const Partition& partition : partitions) {
    ++order;
    std::map<std::string, std::size_t> own_rows;  // by what divides
    auto& rows = by_partition ? own_rows : all_rows;
    const std::size_t begin = out.size();
    for (const Istr& name : partition.nodes) {
      const auto it = by_name.find(name.view());
      if (it == by_name.end() || (!by_partition && !seen.insert(name.view()).second)) continue;
      std::string key;
      const InfoRow one{&partition, {it->second}, order};
      for (const auto& column : columns) {
        if (!column.field || !(divides(column.field->letter) || divides_by_name(column.field->name)))
          continue;
        column.field->put(key, one);
        key += '\n';
      }
      if (by_node) key += name.view();
      const auto [row, fresh] = rows.emplace(std::move(key), out.size());
      if (fresh)
        out.push_back(one);
      else
        out[row->second].nodes.push_back(it->second);
    }
    if (out.size() == begin && by_partition && !by_node) out.push_back({&partition, {}, order});
  }
  return out;
}

}  // namespace bai::cli
