#include "cli/request_options.h"

#include "base/time.h"

namespace bai::cli {
namespace {

void read_devices(OptionReader& in, RequestExtras& extras) {
  auto devices = [&extras](DevicePer per, std::string_view kind) {
    return [&extras, per, kind](std::string_view text) -> Status {
      auto read = parse_device_requests(text, per, kind);
      if (!read) return read.error();
      extras.devices.insert(extras.devices.end(), read->begin(), read->end());
      return {};
    };
  };
  in.with("gres", devices(DevicePer::kNode, {}));
  in.with("gpus", devices(DevicePer::kJob, "gpu"));
  in.with("gpus-per-node", devices(DevicePer::kNode, "gpu"));
  in.with("gpus-per-socket", devices(DevicePer::kSocket, "gpu"));
  in.with("gpus-per-task", devices(DevicePer::kTask, "gpu"));
  if (const Given* given = in.find("gpus-per-socket"); given && extras.sockets_per_node == 0)
    in.check(*given, Error{"bad_option", "--gpus-per-socket needs to know how many sockets", "",
                           "give --sockets-per-node as well"});
}

void read_memory_per_gpu(OptionReader& in, ResourceRequest& request, RequestExtras& extras) {
  in.with("mem-per-gpu", [&](std::string_view text) -> Status {
    auto mib = parse_memory_mib(text);
    if (!mib) return mib.error();
    extras.mem_per_gpu_mib = *mib;
    return {};
  });
  const Given* mine = in.find("mem-per-gpu");
  if (!mine) return;
  for (auto other : {"mem", "mem-per-cpu"}) {
    const Given* given = in.find(other);
    if (!given) continue;
    if (given->source == mine->source)
      in.check(*mine, Error{"bad_option", "--mem, --mem-per-cpu and --mem-per-gpu exclude each other", "",
                            "give one of them"});
    else if (given->source > mine->source)
      extras.mem_per_gpu_mib = 0;
    else
      request.mem_per_node_mib = request.mem_per_cpu_mib = 0;
  }
}

}  // namespace

void read_request_extras(OptionReader& in, ResourceRequest& request) {
  RequestExtras extras;
  in.into("mincpus", extras.min_cpus_per_node, positive);
  in.into("sockets-per-node", extras.sockets_per_node, positive);
  in.into("cores-per-socket", extras.cores_per_socket, positive);
  in.into("threads-per-core", extras.threads_per_core, positive);
  in.with("extra-node-info", [&](std::string_view text) -> Status {
    std::uint32_t* const fields[] = {&extras.sockets_per_node, &extras.cores_per_socket,
                                     &extras.threads_per_core};
    const auto parts = split(text, ':');
    if (parts.size() > 3) return Error{"bad_value", quote(text) + " has too many parts", "", "S[:C[:T]]"};
    for (std::size_t i = 0; i < parts.size(); ++i) {
      if (parts[i] == "*") continue;
      auto count = positive(parts[i]);
      if (!count) return count.error();
      *fields[i] = static_cast<std::uint32_t>(*count);
    }
    return {};
  });
  in.into("ntasks-per-socket", extras.tasks_per_socket, positive);
  in.into("ntasks-per-core", extras.tasks_per_core, positive);
  in.into("ntasks-per-gpu", extras.tasks_per_gpu, positive);
  in.into("cpus-per-gpu", extras.cpus_per_gpu, positive);
  read_devices(in, extras);
  read_memory_per_gpu(in, request, extras);
  in.with("tmp", [&](std::string_view text) -> Status {
    auto mib = parse_memory_mib(text, ZeroMemory::kAllowed);
    if (!mib) return mib.error();
    extras.tmp_mib = *mib;
    return {};
  });
  in.with("switches", [&](std::string_view text) -> Status {
    const auto at = text.find('@');
    auto count = positive(text.substr(0, at));
    if (!count) return count.error();
    extras.switches = static_cast<std::uint32_t>(*count);
    if (at == text.npos) return {};
    auto wait = parse_time_limit(text.substr(at + 1));
    if (!wait) return wait.error();
    extras.switches_wait = *wait;
    return {};
  });
  extras.contiguous = in.find("contiguous") != nullptr;
  extras.spread = in.find("spread-job") != nullptr;
  request.set_extras(std::move(extras));
}

}  // namespace bai::cli
