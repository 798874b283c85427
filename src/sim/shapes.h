// Shapes: numbers the shapes of a trace's jobs while it is read. One thread.
#pragma once

#include <map>
#include <vector>

#include "sim/workload.h"

namespace bai::sim {

class Shapes {
 public:
  explicit Shapes(std::vector<Shape>& shapes) : shapes_(shapes) {}

  std::uint32_t index(const Shape& shape) {
    if (!shapes_.empty() && shapes_[last_] == shape) return last_;
    auto [it, is_new] = known_.try_emplace(shape, static_cast<std::uint32_t>(shapes_.size()));
    if (is_new) shapes_.push_back(shape);
    return last_ = it->second;
  }

 private:
  std::vector<Shape>& shapes_;
  std::map<Shape, std::uint32_t> known_;
  std::uint32_t last_ = 0;
};

}  // namespace bai::sim
