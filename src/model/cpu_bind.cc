#include "model/cpu_bind.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "base/text.h"

namespace bai {

namespace {

constexpr std::uint32_t kMaxCpu = 8191;
constexpr std::size_t kMaxList = 4096;

Result<IdSet> parse_mask(std::string_view text) {
  if (text.starts_with("0x") || text.starts_with("0X")) text.remove_prefix(2);
  IdSet out;
  std::uint32_t bit = 0;
  for (auto it = text.rbegin(); it != text.rend(); ++it, bit += 4) {
    unsigned digit = 0;
    if (std::from_chars(&*it, &*it + 1, digit, 16).ec != std::errc() || bit > kMaxCpu)
      return Error{"bad_value", quote(text) + " is no mask of processors", "", "as in mask_cpu:0x3,0xc"};
    for (unsigned i = 0; i < 4; ++i)
      if (digit >> i & 1) out.insert(bit + i);
  }
  if (out.empty()) return Error{"bad_value", "a mask of processors names none"};
  return out;
}

Status read_list(std::string_view words, bool masks, CpuBind& bind) {
  for (auto word : split_list(words)) {
    // "0x3*4": so often
    std::uint32_t times = 1;
    if (const auto star = word.find('*'); star != word.npos) {
      const auto count = word.substr(star + 1);
      const auto [end, error] = std::from_chars(count.data(), count.data() + count.size(), times);
      if (error != std::errc() || end != count.data() + count.size() || times == 0)
        return Error{"bad_value", quote(word) + " is not understood"};
      word = word.substr(0, star);
    }
    auto set = masks ? parse_mask(word) : IdSet::parse(word, kMaxCpu);
    if (!set.ok()) return Error{"bad_value", set.error().message, "", "as in map_cpu:0,2,4"};
    // Each time may add many: a list is bounded, whatever it repeats.
    for (; times > 0 && bind.list.size() <= kMaxList; --times) {
      if (masks)
        bind.list.push_back(*set);
      else
        set->for_each([&](std::uint32_t cpu) {
          IdSet one;
          one.insert(cpu);
          bind.list.push_back(std::move(one));
        });
    }
    if (bind.list.size() > kMaxList) return Error{"bad_value", "the list is too long"};
  }
  return bind.list.empty() ? Status(Error{"bad_value", "the list names no processor"}) : Status();
}

}  // namespace

Result<CpuBind> parse_cpu_bind(std::string_view text) {
  using Kind = CpuBind::Kind;
  static constexpr std::pair<std::string_view, Kind> kWords[] = {
      {"none", Kind::kNone},       {"no", Kind::kNone},        {"threads", Kind::kThreads},
      {"thread", Kind::kThreads},  {"cores", Kind::kCores},    {"core", Kind::kCores},
      {"sockets", Kind::kSockets}, {"socket", Kind::kSockets}, {"ldoms", Kind::kLdoms},
      {"ldom", Kind::kLdoms},      {"rank", Kind::kRank},      {"rank_ldom", Kind::kLdoms}};
  CpuBind out;
  while (!text.empty()) {
    const auto word = text.substr(0, text.find(','));
    for (const auto& [prefix, kind] : {std::pair{std::string_view("map_cpu:"), Kind::kMap},
                                       std::pair{std::string_view("mask_cpu:"), Kind::kMask}})
      if (istarts_with(text, prefix)) {
        out.kind = kind;
        if (auto read = read_list(text.substr(prefix.size()), kind == Kind::kMask, out); !read.ok())
          return read.error();
        return out;  // the list is the rest
      }
    const auto* known = std::find_if(std::begin(kWords), std::end(kWords),
                                     [&](const auto& entry) { return iequals(entry.first, word); });
    if (known != std::end(kWords))
      out.kind = known->second;
    else if (iequals(word, "verbose") || iequals(word, "v") || iequals(word, "quiet") || iequals(word, "q"))
      out.verbose = lower(word)[0] == 'v';
    else
      return Error{"bad_value", quote(word) + " is no way to bind tasks", "",
                   "verbose, none, threads, cores, sockets, ldoms, rank, map_cpu:LIST or mask_cpu:LIST"};
    text.remove_prefix(std::min(text.size(), word.size() + 1));
  }
  return out;
}

}  // namespace bai
