// The nodes of a view, by name, in chunks that the next view shares where nothing changed: what changes of ten thousand nodes is a few
// at a time, a thousand times a second. A value; immutable once a view is published, so readable from any thread.
#pragma once

#include <cstddef>
#include <memory>
#include <string_view>
#include <vector>

#include "model/node.h"

namespace bai::controller {

class NodeTable {
 public:
  static constexpr std::size_t kChunk = 128;  // nodes; twice as many are split

  // Null when there is none of that name.
  NodePtr find(std::string_view name) const;
  // f(node) for each, by name.
  template <class F>
  void for_each(F f) const {
    for (const auto& chunk : chunks_)
      for (const auto& node : *chunk) f(*node);
  }
  std::size_t size() const;

  // This table with some nodes put (the last of a name counts), and then those names gone.
  NodeTable with(const std::vector<NodePtr>& put, const std::vector<Istr>& gone) const;

 private:
  using Chunk = std::vector<NodePtr>;  // by name, never empty
  std::vector<std::shared_ptr<const Chunk>> chunks_;
};

}  // namespace bai::controller
