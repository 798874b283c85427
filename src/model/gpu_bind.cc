#include "model/gpu_bind.h"

#include <algorithm>

#include "base/text.h"
#include "base/units.h"
#include "model/cpu_bind.h"
#include "model/device_state.h"

namespace bai {

Result<GpuBind> parse_gpu_bind(std::string_view text) {
  using Kind = GpuBind::Kind;
  GpuBind out;
  while (!text.empty()) {
    const auto word = text.substr(0, text.find(','));
    // The lists are those of --cpu-bind, and the rest of the text.
    for (const auto& [prefix, cpus, kind] :
         {std::tuple{std::string_view("map_gpu:"), "map_cpu:", Kind::kMap},
          std::tuple{std::string_view("mask_gpu:"), "mask_cpu:", Kind::kMask}})
      if (istarts_with(text, prefix)) {
        auto list = parse_cpu_bind(cpus + std::string(text.substr(prefix.size())));
        if (!list.ok())
          return Error{"bad_value", quote(text) + " is no list of GPUs", "",
                       kind == Kind::kMap ? "as in map_gpu:0,1" : "as in mask_gpu:0x1,0x2"};
        out.kind = kind;
        out.list = std::move(list->list);
        return out;
      }
    const auto colon = word.find(':');
    const auto name = word.substr(0, colon);
    if (iequals(name, "single") || iequals(name, "per_task")) {
      auto count = colon == word.npos ? Result<std::int64_t>(1) : parse_int(word.substr(colon + 1), 1, 1024);
      if (!count.ok())
        return Error{"bad_value", quote(word) + " has no number behind the colon", "", "as in single:1"};
      out.kind = iequals(name, "single") ? Kind::kSingle : Kind::kPerTask;
      out.count = static_cast<std::uint32_t>(*count);
    } else if (iequals(word, "closest")) {
      out.kind = Kind::kClosest;
    } else if (iequals(word, "none")) {
      out.kind = Kind::kNone;
    } else if (iequals(word, "verbose") || iequals(word, "v") || iequals(word, "quiet") ||
               iequals(word, "q")) {
      out.verbose = lower(word)[0] == 'v';
    } else {
      return Error{"bad_value", quote(word) + " is no way to bind tasks to GPUs", "",
                   "verbose, none, closest, single:TASKS, per_task:GPUS, map_gpu:LIST or mask_gpu:LIST"};
    }
    text.remove_prefix(std::min(text.size(), word.size() + 1));
  }
  return out;
}

std::vector<std::vector<std::uint32_t>> bind_gpus(const GpuBind& bind, const std::vector<GpuPlace>& gpus,
                                                  const std::vector<IdSet>& sockets) {
  using Kind = GpuBind::Kind;
  std::vector<std::vector<std::uint32_t>> out(sockets.size());
  if (gpus.empty()) return out;
  for (std::size_t task = 0; task < out.size(); ++task) {
    auto& mine = out[task];
    const auto near = [&] {
      std::vector<std::uint32_t> list;
      for (std::uint32_t g = 0; g < gpus.size(); ++g)
        if (gpus[g].socket == kNoSocket || sockets[task].empty() || sockets[task].contains(gpus[g].socket))
          list.push_back(g);
      if (list.empty())
        for (std::uint32_t g = 0; g < gpus.size(); ++g) list.push_back(g);
      return list;
    };
    switch (bind.kind) {
      case Kind::kAuto:
      case Kind::kNone:
        break;
      case Kind::kClosest:
        mine = near();
        break;
      case Kind::kSingle: {
        const auto list = near();
        mine = {list[task / std::max(1u, bind.count) % list.size()]};
        break;
      }
      case Kind::kPerTask:
        for (std::uint32_t k = 0; k < bind.count && k < gpus.size(); ++k)
          mine.push_back(static_cast<std::uint32_t>((task * bind.count + k) % gpus.size()));
        std::sort(mine.begin(), mine.end());
        break;
      case Kind::kMap:
      case Kind::kMask:
        if (bind.list.empty()) break;
        for (std::uint32_t g = 0; g < gpus.size(); ++g)
          if (bind.list[task % bind.list.size()].contains(gpus[g].number)) mine.push_back(g);
        break;
    }
  }
  return out;
}

}  // namespace bai
