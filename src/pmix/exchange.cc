#include "pmix/exchange.h"

#include <algorithm>

namespace bai::pmix {

namespace {

// The first byte of a message; integers are little endian.
constexpr char kPart = 1;    // to the gatherer: name, u32 count, u32 node..., data
constexpr char kOver = 2;    // from it: name, u8 ok, data
constexpr char kAsk = 3;     // u64 ticket, u32 rank
constexpr char kAnswer = 4;  // u64 ticket, u32 status, data
constexpr std::size_t kMaxNodes = 1u << 16;

template <class T>
void put(std::string* out, T n) {
  for (std::size_t i = 0; i < sizeof n; ++i) out->push_back(static_cast<char>(n >> (8 * i)));
}

// Takes fields off a message; once one was missing all are zero, and ok() is false.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : rest_(bytes) {}
  template <class T>
  T number() {
    T n = 0;
    const std::string_view bytes = text(sizeof n);
    for (std::size_t i = bytes.size(); i-- > 0;)
      n = static_cast<T>(n << 8 | static_cast<unsigned char>(bytes[i]));
    return n;
  }
  std::string_view text(std::size_t size) {
    if (size > rest_.size()) {
      ok_ = false;
      rest_ = {};
      return {};
    }
    const std::string_view out = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return out;
  }
  std::string_view rest() { return text(rest_.size()); }
  bool ok() const { return ok_; }

 private:
  std::string_view rest_;
  bool ok_ = true;
};

void put_name(std::string* out, const std::pair<std::string, std::uint64_t>& name) {
  put(out, static_cast<std::uint32_t>(name.first.size()));
  *out += name.first;
  put(out, name.second);
}

Error bad() { return Error{"bad_message", "another node's PMIx server says what is not understood"}; }

}  // namespace

void Exchange::fence(const std::vector<std::uint32_t>& nodes, const std::string& who, std::string_view data,
                     std::uint64_t ticket) {
  const Name name{who, counts_[who]++};
  waiting_[name] = ticket;
  if (nodes.front() == self_) return gather(self_, name, nodes, data);
  std::string message(1, kPart);
  put_name(&message, name);
  put(&message, static_cast<std::uint32_t>(nodes.size()));
  for (const auto node : nodes) put(&message, node);
  // The gatherer would refuse it, too; it learns of us all the same.
  const bool fits = data.size() <= kMaxFenceBytes;
  if (fits) message += data;
  hooks_.send(nodes.front(), message);
  if (!fits) over(name, false, {});
}

void Exchange::gather(std::uint32_t from, const Name& name, std::vector<std::uint32_t> nodes,
                      std::string_view data) {
  Gathering& g = gatherings_[name];
  if (g.nodes.empty()) g.nodes = std::move(nodes);
  if (!std::binary_search(g.nodes.begin(), g.nodes.end(), from)) return;
  g.bytes += data.size();
  g.parts[from] = g.bytes <= kMaxFenceBytes ? data : std::string_view();
  if (g.parts.size() < g.nodes.size()) return;
  const Gathering whole = std::move(g);
  gatherings_.erase(name);
  const bool ok = whole.bytes <= kMaxFenceBytes;
  std::string all;
  if (ok)
    for (const auto& [node, part] : whole.parts) all += part;
  std::string message(1, kOver);
  put_name(&message, name);
  message.push_back(ok ? 1 : 0);
  message += all;
  for (const auto node : whole.nodes)
    if (node != self_) hooks_.send(node, message);
  over(name, ok, std::move(all));
}

void Exchange::over(const Name& name, bool ok, std::string data) {
  const auto ticket = waiting_.find(name);
  if (ticket == waiting_.end()) return;
  const std::uint64_t number = ticket->second;
  waiting_.erase(ticket);
  hooks_.fence_over(number, ok, std::move(data));
}

void Exchange::ask(std::uint32_t node, std::uint64_t ticket, std::uint32_t rank) {
  std::string message(1, kAsk);
  put(&message, ticket);
  put(&message, rank);
  hooks_.send(node, message);
}

void Exchange::answer(std::uint32_t node, std::uint64_t ticket, std::int32_t status, std::string_view data) {
  std::string message(1, kAnswer);
  put(&message, ticket);
  put(&message, static_cast<std::uint32_t>(status));
  message += data;
  hooks_.send(node, message);
}

Status Exchange::take(std::uint32_t from, std::string_view message) {
  Reader reader(message);
  const char kind = static_cast<char>(reader.number<std::uint8_t>());
  if (kind == kPart || kind == kOver) {
    Name name;
    name.first = reader.text(reader.number<std::uint32_t>());
    name.second = reader.number<std::uint64_t>();
    if (kind == kOver) {
      const bool ok = reader.number<std::uint8_t>() == 1;
      if (!reader.ok()) return bad();
      over(name, ok, std::string(reader.rest()));
      return {};
    }
    const auto count = reader.number<std::uint32_t>();
    if (count == 0 || count > kMaxNodes) return bad();
    std::vector<std::uint32_t> nodes;
    for (std::uint32_t i = 0; i < count && reader.ok(); ++i) nodes.push_back(reader.number<std::uint32_t>());
    if (!reader.ok() || !std::is_sorted(nodes.begin(), nodes.end()) || nodes.front() != self_) return bad();
    gather(from, name, std::move(nodes), reader.rest());
  } else if (kind == kAsk) {
    const auto ticket = reader.number<std::uint64_t>();
    const auto rank = reader.number<std::uint32_t>();
    if (!reader.ok()) return bad();
    hooks_.asked(from, ticket, rank);
  } else if (kind == kAnswer) {
    const auto ticket = reader.number<std::uint64_t>();
    const auto status = static_cast<std::int32_t>(reader.number<std::uint32_t>());
    if (!reader.ok()) return bad();
    hooks_.answered(ticket, status, reader.rest());
  } else {
    return bad();
  }
  return {};
}

}  // namespace bai::pmix
