#include "sokovan/arena.h"

namespace bai::sokovan {

void MaxTree::resize(std::size_t n) {
  leaves_ = 1;
  while (leaves_ < n) leaves_ *= 2;
  tree_.assign(2 * leaves_, Amounts::nothing());
}

void MaxTree::set(std::uint32_t at, const Amounts& value) {
  std::size_t i = leaves_ + at;
  if (tree_[i] == value) return;
  tree_[i] = value;
  while (i > 1) {
    i /= 2;
    const Amounts most = larger(tree_[2 * i], tree_[2 * i + 1]);
    if (tree_[i] == most) return;
    tree_[i] = most;
  }
}

std::uint32_t MaxTree::find(const Amounts& need, std::uint32_t from) const {
  if (from >= leaves_) return kNowhere;
  std::size_t i = leaves_ + from;
  for (;;) {
    if (covers(tree_[i], need)) {
      if (i >= leaves_) return static_cast<std::uint32_t>(i - leaves_);
      i *= 2;
      continue;
    }
    while (i & 1) i /= 2;  // up from right children; beyond the root there is nothing
    if (i == 0) return kNowhere;
    ++i;
  }
}

Arena::Arena(std::vector<Member> members) : members_(std::move(members)) {
  total_.resize(size());
  for (auto& tree : free_) tree.resize(size());
  for (const auto& member : members_)
    if (weights_.empty() || weights_.back() != member.weight) weights_.push_back(member.weight);
}

void Arena::set_free(std::uint32_t position, std::size_t horizon, const Amounts& free) {
  if (horizon == 0) {
    const auto before = free_[0].at(position);
    const auto weight = members_[position].weight;
    if (before.cpus() != free.cpus()) {
      if (before.cpus() < 0) {
        by_free_.emplace(weight, free.cpus(), position);
      } else {
        auto item = by_free_.extract({weight, before.cpus(), position});
        if (free.cpus() >= 0) {
          item.value() = {weight, free.cpus(), position};
          by_free_.insert(std::move(item));
        }
      }
    }
  }
  free_[horizon].set(position, free);
}

}  // namespace bai::sokovan
