// The message archive: what decodes encodes to the same bytes, and nothing else crashes or takes memory.
#include "base/archive.h"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

using namespace bai;

namespace {

enum class Kind : std::uint8_t { a, b, c };

struct Node {
  std::int64_t i = 0;
  std::uint16_t u = 0;
  bool b = false;
  Kind kind = Kind::a;
  std::string s, script;
  std::vector<Node> kids;
  std::optional<std::string> maybe;
  std::map<std::string, std::vector<int>> map;
  std::set<std::uint32_t> set;
  std::variant<std::monostate, int, std::string> var;
  std::array<std::uint8_t, 4> id{};
  std::vector<std::string> env;
  template <class A>
  void serialize(A& a) {
    a(i, u, b, at_most(kind, Kind::c), s, blob(script, 1000), kids, maybe, map, set, var, id,
      blob(env, 100, 50));
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view in(reinterpret_cast<const char*>(data), size);
  if (const auto node = decode<Node>(in); node && encode(*node) != in) std::abort();
  if (const auto list = decode<std::vector<std::string>>(in); list && encode(*list) != in) std::abort();
  (void)decode<double>(in);
  return 0;
}
