#include "controller/node_table.h"

#include <algorithm>

namespace bai::controller {
namespace {

// Where a name is or would be in a chunk.
auto place(const std::vector<NodePtr>& chunk, std::string_view name) {
  return std::lower_bound(chunk.begin(), chunk.end(), name,
                          [](const NodePtr& node, std::string_view n) { return node->name.view() < n; });
}

// The last chunk that does not begin behind the name; the first when all do.
template <class Chunks>
std::size_t chunk_of(const Chunks& chunks, std::string_view name) {
  const auto behind =
      std::upper_bound(chunks.begin(), chunks.end(), name,
                       [](std::string_view n, const auto& chunk) { return n < chunk->front()->name.view(); });
  return behind == chunks.begin() ? 0 : static_cast<std::size_t>(behind - chunks.begin()) - 1;
}

}  // namespace

NodePtr NodeTable::find(std::string_view name) const {
  if (chunks_.empty()) return nullptr;
  const Chunk& chunk = *chunks_[chunk_of(chunks_, name)];
  const auto at = place(chunk, name);
  return at == chunk.end() || (*at)->name.view() != name ? nullptr : *at;
}

std::size_t NodeTable::size() const {
  std::size_t count = 0;
  for (const auto& chunk : chunks_) count += chunk->size();
  return count;
}

NodeTable NodeTable::with(const std::vector<NodePtr>& put, const std::vector<Istr>& gone) const {
  NodeTable next = *this;
  auto& chunks = next.chunks_;
  std::vector<std::shared_ptr<Chunk>> opened(chunks.size());  // those of this round, still ours to write
  const auto open = [&](std::size_t i) -> Chunk& {
    if (!opened[i]) chunks[i] = opened[i] = std::make_shared<Chunk>(*chunks[i]);
    return *opened[i];
  };
  const auto insert = [&](std::size_t i, std::shared_ptr<Chunk> chunk) {
    opened.insert(opened.begin() + static_cast<std::ptrdiff_t>(i), chunk);
    chunks.insert(chunks.begin() + static_cast<std::ptrdiff_t>(i), std::move(chunk));
  };
  for (const auto& node : put) {
    const std::string_view name = node->name.view();
    if (chunks.empty()) {
      insert(0, std::make_shared<Chunk>(1, node));
      continue;
    }
    const std::size_t i = chunk_of(chunks, name);
    Chunk& chunk = open(i);
    const auto at = chunk.begin() + (place(chunk, name) - chunk.cbegin());
    if (at != chunk.end() && (*at)->name.view() == name) {
      *at = node;
      continue;
    }
    chunk.insert(at, node);
    if (chunk.size() <= 2 * kChunk) continue;
    const auto half = chunk.begin() + kChunk;
    auto rest = std::make_shared<Chunk>(half, chunk.end());
    chunk.erase(half, chunk.end());
    insert(i + 1, std::move(rest));
  }
  for (const auto& name : gone) {
    if (chunks.empty()) break;
    const std::size_t i = chunk_of(chunks, name.view());
    Chunk& chunk = open(i);
    const auto at = chunk.begin() + (place(chunk, name.view()) - chunk.cbegin());
    if (at != chunk.end() && (*at)->name.view() == name.view()) chunk.erase(at);
    if (!chunk.empty()) continue;
    opened.erase(opened.begin() + static_cast<std::ptrdiff_t>(i));
    chunks.erase(chunks.begin() + static_cast<std::ptrdiff_t>(i));
  }
  return next;
}

}  // namespace bai::controller
