#include "model/node.h"

#include "base/text.h"

namespace bai {
namespace {

// Slurm keeps one base state and flags (node_state_string() and its kin in slurm_protocol_defs.c, 22.05).
struct Words {
  std::string_view full;
  std::string_view compact;
};
constexpr Words kDown = {"DOWN", "DOWN"}, kIdle = {"IDLE", "IDLE"}, kAllocated = {"ALLOCATED", "ALLOC"},
                kMixed = {"MIXED", "MIX"}, kFuture = {"FUTURE", "FUTR"}, kUnknown = {"UNKNOWN", "UNK"};

Words base_state(const Node& node) {
  switch (node.condition) {
    case NodeCondition::kUnknown:
      return kUnknown;
    case NodeCondition::kDown:
      return kDown;
    case NodeCondition::kFuture:
      return kFuture;
    case NodeCondition::kUp:
      break;
  }
  if (node.jobs <= node.completing) return kIdle;  // what only completes counts by its flag
  const std::uint32_t cpus = node.declared.cpus ? node.declared.cpus : node.found.cpus;
  return node.exclusive_use || node.cpus_used >= cpus ? kAllocated : kMixed;
}

bool silent(const Node& node) { return !node.responding && node.condition != NodeCondition::kFuture; }

// sinfo's one word: drain before down, "+" for an allocated node where something completes, "*" when silent.
std::string short_state(const Node& node, std::string_view Words::*form) {
  const Words base = base_state(node);
  const bool allocated = base.full == kAllocated.full, mixed = base.full == kMixed.full;
  const bool star = silent(node);
  Words words = base;
  if (node.drain)
    words = allocated || mixed || node.completing ? Words{"DRAINING", "DRNG"} : Words{"DRAINED", "DRAIN"};
  else if (node.completing && allocated && !star)
    words = {"ALLOCATED+", "ALLOC+"};
  else if (node.completing && (mixed || base.full == kIdle.full))
    words = {"COMPLETING", "COMP"};
  return lower(words.*form) + (star ? "*" : "");
}

}  // namespace

std::string node_state_long(const Node& node) {
  std::string out(base_state(node).full);
  if (node.completing) out += "+COMPLETING";
  if (node.drain) out += "+DRAIN";
  if (silent(node)) out += "+NOT_RESPONDING";
  return out;
}

std::string node_state_compact(const Node& node) { return short_state(node, &Words::compact); }

std::string node_state_word(const Node& node) { return short_state(node, &Words::full); }

}  // namespace bai
