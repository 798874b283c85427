#include "sokovan/topology.h"

#include <algorithm>
#include <functional>

namespace bai::sokovan {

void Topology::set(const std::vector<Switch>& switches, Nodes& nodes) {
  vertices_.assign(switches.size(), {});
  inner_.clear();
  leaf_of_.clear();
  leaves_ = 0;
  std::map<Istr, std::uint32_t> index;
  for (std::uint32_t i = 0; i < switches.size(); ++i) index.emplace(switches[i].name, i);
  for (std::uint32_t i = 0; i < switches.size(); ++i)
    for (const auto& child : switches[i].switches)
      if (auto it = index.find(child); it != index.end() && it->second != i) vertices_[it->second].parent = i;
  // Leaves are numbered depth first, so that those below a switch are an interval. Depth is bounded against loops.
  std::function<void(std::uint32_t, int)> walk = [&](std::uint32_t i, int depth) {
    auto& vertex = vertices_[i];
    vertex.first = leaves_;
    for (const auto& child : switches[i].switches) {
      auto it = index.find(child);
      if (it == index.end() || vertices_[it->second].parent != i || depth > 32) continue;
      walk(it->second, depth + 1);
      vertices_[i].level = std::max(vertices_[i].level, vertices_[it->second].level + 1);
    }
    if (!switches[i].nodes.empty()) {
      for (const auto& node : switches[i].nodes) leaf_of_.emplace(node, leaves_);
      ++leaves_;
    }
    vertices_[i].last = leaves_;
  };
  for (std::uint32_t i = 0; i < switches.size(); ++i)
    if (vertices_[i].parent == kNowhere) walk(i, 0);
  for (const auto& vertex : vertices_)
    if (vertex.level > 0) inner_.push_back(vertex);
  std::stable_sort(inner_.begin(), inner_.end(),
                   [](const Vertex& a, const Vertex& b) { return a.level < b.level; });
  for (std::uint32_t node = 0; node < nodes.size(); ++node) nodes.set_leaf(node, leaf_of(nodes[node].name));
}

std::uint32_t Topology::leaf_of(const Istr& node) const {
  auto it = leaf_of_.find(node);
  return it == leaf_of_.end() ? kNowhere : it->second;
}

}  // namespace bai::sokovan
