#include "agent/emulation.h"

#include <algorithm>
#include <array>
#include <optional>
#include <set>

#include "agent/inventory.h"
#include "base/hostlist.h"
#include "base/text.h"
#include "base/units.h"

namespace bai::agent {

namespace {

Error bad(std::string why, std::string remedy = {}) {
  return Error{"bad_option", std::move(why), "--emulate", std::move(remedy)};
}

// Keys that say what the controller makes of a node, not what it has.
constexpr std::array<std::string_view, 9> kNotItsOwn = {
    "NodeName", "NodeHostname", "NodeAddr", "Features", "Feature", "Weight", "State", "Reason", "Port"};

// SPEC as a line of bai.conf. A comma begins the next key, or goes on with a list: "CPUs=4,Gres=gpu:a100:2,nvme:1".
Result<std::string> words_of(std::string_view spec) {
  if (has_control(spec)) return bad("its SPEC holds control characters");
  std::string text(spec), out;
  std::replace(text.begin(), text.end(), ' ', ',');
  for (auto piece : split_list(text)) {
    const auto pair = parse_key_value(piece);
    if (!pair && out.empty())
      return bad(quote(piece) + " is no KEY=VALUE", "such as --emulate 1000:CPUs=64,RealMemory=256G");
    if (!pair) {
      out += "," + std::string(piece);
      continue;
    }
    for (auto key : kNotItsOwn)
      if (same_key(key, pair->first))
        return bad(std::string(pair->first) + " is not for a node to say", "put it into bai.conf");
    const auto key = same_key(pair->first, "Memory") ? std::string_view("RealMemory") : pair->first;
    out += " " + std::string(key) + "=" + std::string(pair->second);
  }
  return out;
}

// Judged by the reader of bai.conf, so that a node may have whatever a NodeName line may say.
Result<NodeShape> shape_of(std::string_view spec) {
  auto words = words_of(spec);
  if (!words.ok()) return words.error();
  auto lines = parse_config_text("CtldHost=none\nBaiUser=0\nNodeName=n" + *words + "\n", "--emulate");
  if (!lines.ok()) return bad(lines.error().message, lines.error().remedy);
  auto config = parse_config(*lines, nullptr);
  if (!config.ok()) return bad(config.error().message, config.error().remedy);
  return config->nodes.at(0).shape;
}

}  // namespace

Result<std::vector<ConfigNode>> parse_emulation(std::string_view text, std::string_view names,
                                                const ClusterConfig& config) {
  const auto colon = text.find(':');
  auto count = parse_int(text.substr(0, colon), 1, kMaxHosts);
  if (!count.ok()) return bad(count.error().message, "how many nodes, 1 to " + std::to_string(kMaxHosts));
  const auto wanted = static_cast<std::size_t>(*count);

  auto list = expand_hostlist(names.empty() ? numbered_hosts("n", wanted) : std::string(names), kMaxHosts);
  if (!list.ok()) return Error{"bad_option", list.error().message, "--node", list.error().remedy};
  if (list->size() != wanted)
    return Error{"bad_option",
                 quote(names) + " is " + std::to_string(list->size()) + " names, for " +
                     std::to_string(wanted) + " nodes",
                 "--node", "such as --node=" + numbered_hosts("n", wanted)};
  if (std::set<std::string>(list->begin(), list->end()).size() != wanted)
    return Error{"bad_option", quote(names) + " names a node twice", "--node", ""};

  std::optional<NodeShape> said, machine;
  if (colon != text.npos) {
    auto shape = shape_of(text.substr(colon + 1));
    if (!shape.ok()) return shape.error();
    said = *shape;
  }
  std::vector<ConfigNode> nodes(wanted);
  for (std::size_t i = 0; i < wanted; ++i) {
    ConfigNode& node = nodes[i];
    node.name = Istr((*list)[i]);
    const ConfigNode* declared = config.find_node((*list)[i]);
    if (declared) node.address = declared->address;
    NodeShape none;
    none.cpus = 0;
    none.mem_mib = 0;
    node.shape = said ? *said : declared ? declared->shape : none;
    if (node.shape.cpus && node.shape.mem_mib) continue;
    if ((!declared || declared->shape.cpus == 0 || declared->shape.mem_mib == 0) && !machine) {
      auto found = discover_shape();
      if (!found.ok()) return found.error();
      machine = *found;
    }
    if (node.shape.mem_mib == 0)
      node.shape.mem_mib = declared && declared->shape.mem_mib ? declared->shape.mem_mib : machine->mem_mib;
    if (node.shape.cpus) continue;
    const NodeShape& like = declared && declared->shape.cpus ? declared->shape : *machine;
    node.shape.cpus = like.cpus;
    node.shape.sockets = like.sockets;
    node.shape.cores_per_socket = like.cores_per_socket;
    node.shape.threads_per_core = like.threads_per_core;
  }
  return nodes;
}

}  // namespace bai::agent
