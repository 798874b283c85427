// AMD's GPUs, by ROCm SMI (librocm_smi64), which is loaded when the plugin starts; no header of AMD's is needed to build it. /dev/kfd is everybody's: the kernel shows a process
// those GPUs of it whose render node its cgroup may open.
//
// rocm.conf in DeviceConfigDir may say: Library= (a path), Root= (a directory put before /sys and /dev).
#include <climits>

#include "plugin_help.h"

namespace {

struct ProcessInfo {
  std::uint32_t pid, pasid;
  std::uint64_t vram, sdma;
  std::uint32_t cu_occupancy;
};
constexpr int kVram = 0;

struct Smi {
  int (*init)(std::uint64_t);
  int (*count)(std::uint32_t*);
  int (*name)(std::uint32_t, char*, std::size_t);
  int (*unique_id)(std::uint32_t, std::uint64_t*);
  int (*pci)(std::uint32_t, std::uint64_t*);
  int (*memory_total)(std::uint32_t, int, std::uint64_t*);
  int (*memory_used)(std::uint32_t, int, std::uint64_t*);
  int (*busy)(std::uint32_t, std::uint32_t*);
  // What some versions lack.
  int (*power)(std::uint32_t, std::uint32_t, std::uint64_t*);
  int (*processes)(ProcessInfo*, std::uint32_t*);
  int (*process_gpus)(std::uint32_t, std::uint32_t*, std::uint32_t*);

  bool load(void* library) {
    using plugin::take;
    take(library, "rsmi_dev_power_ave_get", power);
    take(library, "rsmi_compute_process_info_get", processes);
    take(library, "rsmi_compute_process_gpus_get", process_gpus);
    return take(library, "rsmi_init", init) && take(library, "rsmi_num_monitor_devices", count) &&
           take(library, "rsmi_dev_name_get", name) && take(library, "rsmi_dev_unique_id_get", unique_id) &&
           take(library, "rsmi_dev_pci_id_get", pci) &&
           take(library, "rsmi_dev_memory_total_get", memory_total) &&
           take(library, "rsmi_dev_memory_usage_get", memory_used) &&
           take(library, "rsmi_dev_busy_percent_get", busy);
  }
};

Smi smi;
std::string root;

struct Known {
  std::uint32_t index = 0;
  std::string pci_dir;
};
std::map<std::string, Known> known;

std::string pci_address(std::uint64_t id) {
  char text[32];
  std::snprintf(text, sizeof text, "%04x:%02x:%02x.%x", static_cast<unsigned>(id >> 32),
                static_cast<unsigned>(id >> 8 & 0xff), static_cast<unsigned>(id >> 3 & 0x1f),
                static_cast<unsigned>(id & 7));
  return text;
}

int start(const char* config_dir, char* why, std::size_t room) {
  const auto conf = plugin::read_conf(std::string(config_dir) + "/rocm.conf");
  root = plugin::value_of(conf, "root");
  const std::string own = plugin::value_of(conf, "library");
  void* library = plugin::load_library(
      own.empty() ? std::vector<std::string>{"librocm_smi64.so.1", "librocm_smi64.so.7", "librocm_smi64.so.6",
                                             "librocm_smi64.so.5", "librocm_smi64.so",
                                             "/opt/rocm/lib/librocm_smi64.so"}
                  : std::vector<std::string>{own});
  if (!library) return plugin::say(why, room, "there is no librocm_smi64"), BAI_DEVICE_ABSENT;
  if (!smi.load(library)) return plugin::say(why, room, "ROCm SMI is too old"), BAI_DEVICE_FAILED;
  if (const int code = smi.init(0); code != 0)
    return plugin::say(why, room, "ROCm SMI does not start: error " + std::to_string(code)),
           BAI_DEVICE_FAILED;
  return BAI_DEVICE_STARTED;
}

const char* kinds() { return "gpu"; }

int discover(void (*found)(void*, const bai_device*), void* to, char* why, std::size_t room) {
  known.clear();
  std::uint32_t count = 0;
  if (const int code = smi.count(&count); code != 0)
    return plugin::say(why, room, "ROCm SMI cannot count devices: error " + std::to_string(code)), 1;
  for (std::uint32_t i = 0; i < count; ++i) {
    plugin::Device device;
    device.kind = "gpu";
    char text[128] = "";
    if (smi.name(i, text, sizeof text) == 0) device.model = text;
    device.type = plugin::type_of(device.model);
    std::uint64_t value = 0;
    if (smi.unique_id(i, &value) == 0 && value != 0) {
      std::snprintf(text, sizeof text, "GPU-%016llx", static_cast<unsigned long long>(value));
      device.id = text;
    }
    if (smi.pci(i, &value) != 0) continue;
    const std::string address = pci_address(value);
    if (device.id.empty()) device.id = "pci-" + address;  // older cards have no number of their own
    plugin::place_by_pci(root, address, device);
    if (smi.memory_total(i, kVram, &value) == 0) device.memory_mib = value >> 20;
    const std::string dir = root + "/sys/bus/pci/devices/" + address;
    for (const auto& node : plugin::names_in(dir + "/drm"))
      if (node.rfind("renderD", 0) == 0 || node.rfind("card", 0) == 0)
        device.files.push_back(root + "/dev/dri/" + node);
    device.environment = {"ROCR_VISIBLE_DEVICES=%d"};
    device.flags = BAI_DEVICE_SHARES;
    known[device.id] = {i, dir};
    device.tell(found, to);
  }
  return 0;
}

void list_processes(std::uint32_t index, bai_device_state& state) {
  static std::vector<bai_device_process> out;
  out.clear();
  if (!smi.processes || !smi.process_gpus) return;
  ProcessInfo infos[BAI_DEVICE_MOST_USERS] = {};
  std::uint32_t count = BAI_DEVICE_MOST_USERS;
  if (smi.processes(infos, &count) != 0) return;
  for (std::uint32_t i = 0; i < count && i < BAI_DEVICE_MOST_USERS; ++i) {
    std::uint32_t gpus[256], gpu_count = 256;
    if (smi.process_gpus(infos[i].pid, gpus, &gpu_count) != 0) continue;
    for (std::uint32_t g = 0; g < gpu_count && g < 256; ++g)
      if (gpus[g] == index) out.push_back({infos[i].pid, infos[i].vram >> 20});
  }
  state.processes = out.data();
  state.process_count = static_cast<std::uint32_t>(out.size());
}

int look(const char* id, bai_device_state* state) {
  const auto it = known.find(id);
  if (it == known.end()) return 1;
  static std::string reason;
  const std::uint32_t index = it->second.index;
  std::uint64_t value = 0;
  std::uint32_t percent = 0;
  // A card that hangs, or is gone from the bus, does not answer for its memory.
  if (smi.memory_used(index, kVram, &value) != 0) {
    state->health = BAI_DEVICE_UNHEALTHY;
    state->why = "the driver does not answer for the GPU";
    return 0;
  }
  state->memory_used_mib = static_cast<int64_t>(value >> 20);
  // Uncorrectable errors of its memory, as the kernel counts them: "ue: 0".
  std::ifstream errors(it->second.pci_dir + "/ras/umc_err_count");
  for (std::string line; std::getline(errors, line);)
    if (long long count = 0;
        line.rfind("ue:", 0) == 0 && plugin::number_of(line.substr(3), count) && count > 0) {
      reason = std::to_string(count) + " uncorrected memory errors";
      state->health = BAI_DEVICE_UNHEALTHY;
      state->why = reason.c_str();
    }
  if (smi.busy(index, &percent) == 0) state->use_percent = static_cast<int32_t>(percent);
  if (smi.power && smi.power(index, 0, &value) == 0) state->power_mw = static_cast<int64_t>(value / 1000);
  list_processes(index, *state);
  return 0;
}

}  // namespace

extern "C" const bai_device_calls bai_device_plugin = {BAI_DEVICE_VERSION, "rocm", start, kinds,
                                                       discover,           look};
