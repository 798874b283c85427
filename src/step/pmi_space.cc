#include "step/pmi_space.h"

#include "step/stream_frames.h"

namespace bai::step {

namespace {

constexpr char kPairs = 1;
constexpr char kFence = 2;

void put16(std::string* out, size_t n) {
  out->push_back(static_cast<char>(n & 0xff));
  out->push_back(static_cast<char>(n >> 8));
}
size_t get16(std::string_view bytes, size_t at) {
  return static_cast<size_t>(static_cast<unsigned char>(bytes[at])) |
         static_cast<size_t>(static_cast<unsigned char>(bytes[at + 1])) << 8;
}

Error bad(const char* what) { return Error{"bad_frame", what}; }

}  // namespace

bool PmiSpace::keep(std::string_view key, std::string_view value) {
  if (key.empty() || key.size() > kMaxPmiKey || value.size() > kMaxPmiValue) return false;
  auto pair = pairs_.find(key);
  const size_t before = pair == pairs_.end() ? 0 : key.size() + pair->second.size();
  if (bytes_ - before + key.size() + value.size() > kMaxPmiBytes) return false;
  bytes_ += key.size() + value.size() - before;
  if (pair == pairs_.end())
    pairs_.emplace(key, value);
  else
    pair->second = value;
  return true;
}

bool PmiSpace::put(std::string_view key, std::string_view value) {
  if (!keep(key, value)) return false;
  fresh_.emplace(key);
  return true;
}

const std::string* PmiSpace::get(std::string_view key) const {
  const auto it = pairs_.find(key);
  return it == pairs_.end() ? nullptr : &it->second;
}

std::vector<std::string> PmiSpace::fence() {
  std::vector<std::string> out;
  std::string part(1, kPairs);
  for (const auto& key : fresh_) {
    const std::string& value = pairs_[key];
    if (part.size() + 4 + key.size() + value.size() > kMaxPayload) {
      out.push_back(std::move(part));
      part.assign(1, kPairs);
    }
    put16(&part, key.size());
    put16(&part, value.size());
    part += key;
    part += value;
  }
  if (part.size() > 1) out.push_back(std::move(part));
  out.emplace_back(1, kFence);
  fresh_.clear();
  return out;
}

Result<bool> PmiSpace::take(std::string_view payload) {
  if (payload.empty()) return bad("an empty message of the ranks");
  const char kind = payload[0];
  payload.remove_prefix(1);
  if (kind == kFence) return true;
  if (kind != kPairs) return bad("a message of the ranks that is not known");
  while (!payload.empty()) {
    if (payload.size() < 4) return bad("a pair is cut short");
    const size_t key = get16(payload, 0), value = get16(payload, 2);
    payload.remove_prefix(4);
    if (key + value > payload.size()) return bad("a pair is longer than its message");
    if (!keep(payload.substr(0, key), payload.substr(key, value)))
      return bad("a pair is too long, or one too many");
    payload.remove_prefix(key + value);
  }
  return false;
}

Result<std::vector<std::string>> PmiHub::take(size_t node, std::string_view payload) {
  if (node >= at_fence_.size() || payload.empty() || at_fence_[node])
    return bad("a message of the ranks out of turn");
  if (payload[0] == kPairs) {
    bytes_ += payload.size();
    if (bytes_ > kMaxPmiBytes) return Error{"too_large", "the ranks tell each other too much"};
    pending_.emplace_back(payload);
    return std::vector<std::string>();
  }
  if (payload[0] != kFence) return bad("a message of the ranks that is not known");
  at_fence_[node] = true;
  if (++waiting_ < at_fence_.size()) return std::vector<std::string>();
  std::vector<std::string> out = std::move(pending_);
  out.emplace_back(1, kFence);
  pending_.clear();
  bytes_ = waiting_ = 0;
  at_fence_.assign(at_fence_.size(), false);
  return out;
}

}  // namespace bai::step
