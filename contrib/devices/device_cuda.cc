// NVIDIA's GPUs: by NVML (libnvidia-ml), and by the CUDA driver (libcuda) on systems that have no NVML. Both are loaded when the plugin starts; no header of
// NVIDIA's is needed to build it, so what is used of them is declared here: their interfaces are stable. A GPU in MIG mode is not a device, its compute
// instances are, each with the files in /dev/nvidia-caps that open it.
//
// cuda.conf in DeviceConfigDir may say: Library= and CudaLibrary= (paths), Root= (a directory put before /sys, /proc and /dev).
#include <cctype>
#include <climits>

#include "plugin_help.h"

namespace {

// ---- NVML

using Handle = struct NvmlDevice*;
struct Memory {
  unsigned long long total, free, used;
};
struct Utilization {
  unsigned gpu, memory;
};
struct PciInfo {
  char legacy_id[16];
  unsigned domain, bus, device, device_id, subsystem_id;
  char id[32];
};
struct Attributes {
  unsigned multiprocessors, copy_engines, decoders, encoders, jpegs, ofas, gpu_slices, compute_slices;
  unsigned long long memory_mib;
};
struct ProcessInfo {
  unsigned pid;
  unsigned long long memory;
  unsigned gpu_instance, compute_instance;
};
constexpr int kSuccess = 0, kInsufficientSize = 7;
constexpr int kUncorrected = 1, kVolatile = 0;

struct Nvml {
  int (*init)();
  const char* (*error)(int);
  int (*count)(unsigned*);
  int (*by_index)(unsigned, Handle*);
  int (*name)(Handle, char*, unsigned);
  int (*uuid)(Handle, char*, unsigned);
  int (*minor)(Handle, unsigned*);
  int (*pci)(Handle, PciInfo*);
  int (*memory)(Handle, Memory*);
  // What older drivers or other GPUs may not have.
  int (*use)(Handle, Utilization*);
  int (*power)(Handle, unsigned*);
  int (*processes)(Handle, unsigned*, ProcessInfo*);
  int (*ecc)(Handle, int, int, unsigned long long*);
  int (*remapped)(Handle, unsigned*, unsigned*, unsigned*, unsigned*);
  int (*mig_mode)(Handle, unsigned*, unsigned*);
  int (*mig_count)(Handle, unsigned*);
  int (*mig_by_index)(Handle, unsigned, Handle*);
  int (*gpu_instance)(Handle, unsigned*);
  int (*compute_instance)(Handle, unsigned*);
  int (*attributes)(Handle, Attributes*);

  // False: it lacks what cannot be done without.
  bool load(void* library) {
    using plugin::take;
    take(library, "nvmlDeviceGetUtilizationRates", use);
    take(library, "nvmlDeviceGetPowerUsage", power);
    take(library, "nvmlDeviceGetComputeRunningProcesses_v3", processes);
    take(library, "nvmlDeviceGetTotalEccErrors", ecc);
    take(library, "nvmlDeviceGetRemappedRows", remapped);
    take(library, "nvmlDeviceGetMigMode", mig_mode);
    take(library, "nvmlDeviceGetMaxMigDeviceCount", mig_count);
    take(library, "nvmlDeviceGetMigDeviceHandleByIndex", mig_by_index);
    take(library, "nvmlDeviceGetGpuInstanceId", gpu_instance);
    take(library, "nvmlDeviceGetComputeInstanceId", compute_instance);
    take(library, "nvmlDeviceGetAttributes_v2", attributes);
    return take(library, "nvmlInit_v2", init) && take(library, "nvmlErrorString", error) &&
           take(library, "nvmlDeviceGetCount_v2", count) &&
           take(library, "nvmlDeviceGetHandleByIndex_v2", by_index) &&
           take(library, "nvmlDeviceGetName", name) && take(library, "nvmlDeviceGetUUID", uuid) &&
           take(library, "nvmlDeviceGetMinorNumber", minor) &&
           take(library, "nvmlDeviceGetPciInfo_v3", pci) && take(library, "nvmlDeviceGetMemoryInfo", memory);
  }
};

// ---- the CUDA driver

struct CudaUuid {
  char bytes[16];
};
struct Cuda {
  int (*init)(unsigned);
  int (*count)(int*);
  int (*by_ordinal)(int*, int);
  int (*name)(char*, int, int);
  int (*uuid)(CudaUuid*, int);
  int (*bus_id)(char*, int, int);
  int (*memory)(std::size_t*, int);

  bool load(void* library) {
    using plugin::take;
    return take(library, "cuInit", init) && take(library, "cuDeviceGetCount", count) &&
           take(library, "cuDeviceGet", by_ordinal) && take(library, "cuDeviceGetName", name) &&
           take(library, "cuDeviceGetUuid", uuid) && take(library, "cuDeviceGetPCIBusId", bus_id) &&
           take(library, "cuDeviceTotalMem_v2", memory);
  }
};

Nvml nvml;
Cuda cuda;
bool by_nvml = false;
std::string root;

// What look() needs of a device; those of MIG have the GPU that they are part of.
struct Known {
  Handle handle = nullptr, gpu = nullptr;
  bool mig = false;
  unsigned gpu_instance = 0, compute_instance = 0;
};
std::map<std::string, Known> known;

std::string failure(int code) {
  const char* text = nvml.error(code);
  return text ? text : "NVML error " + std::to_string(code);
}

// NVML's "00000000:3B:00.0" is sysfs's "0000:3b:00.0".
std::string pci_address(std::string id) {
  for (char& c : id) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  const auto colon = id.find(':');
  return colon != std::string::npos && colon > 4 ? id.substr(colon - 4) : id;
}

// The file that opens a MIG instance: /proc/driver/nvidia/capabilities says its number.
std::string cap_file(const std::string& access) {
  std::ifstream in(root + "/proc/driver/nvidia/capabilities/" + access);
  for (std::string line; std::getline(in, line);)
    if (line.rfind("DeviceFileMinor:", 0) == 0)
      return root + "/dev/nvidia-caps/nvidia-cap" + std::to_string(std::atoi(line.c_str() + 16));
  return root + "/dev/nvidia-caps/(" + access + ")";  // which is not there, and is said to be missing
}

plugin::Device describe(Handle handle, unsigned minor) {
  plugin::Device out;
  char text[128] = "";
  out.kind = "gpu";
  if (nvml.name(handle, text, sizeof text) == kSuccess) out.model = text;
  out.type = plugin::type_of(out.model);
  PciInfo pci{};
  if (nvml.pci(handle, &pci) == kSuccess) plugin::place_by_pci(root, pci_address(pci.id), out);
  Memory memory{};
  if (nvml.memory(handle, &memory) == kSuccess) out.memory_mib = memory.total >> 20;
  out.flags = BAI_DEVICE_SHARES | BAI_DEVICE_MPS;
  out.files = {root + "/dev/nvidia" + std::to_string(minor)};
  return out;
}

bool uuid_of(Handle handle, std::string& out) {
  char text[96] = "";
  if (nvml.uuid(handle, text, sizeof text) != kSuccess) return false;
  out = text;
  return true;
}

// The compute instances of a GPU in MIG mode.
void discover_mig(Handle gpu, const plugin::Device& whole, unsigned minor, std::vector<plugin::Device>& out) {
  unsigned most = 0;
  if (!nvml.mig_by_index || !nvml.mig_count || nvml.mig_count(gpu, &most) != kSuccess) return;
  for (unsigned i = 0; i < most && i < 64; ++i) {
    Handle handle = nullptr;
    if (nvml.mig_by_index(gpu, i, &handle) != kSuccess) continue;  // there are fewer than there may be
    plugin::Device device = whole;
    Known part{handle, gpu, true, 0, 0};
    if (!uuid_of(handle, device.id) || !nvml.gpu_instance ||
        nvml.gpu_instance(handle, &part.gpu_instance) != kSuccess || !nvml.compute_instance ||
        nvml.compute_instance(handle, &part.compute_instance) != kSuccess)
      continue;
    Attributes attributes{};
    if (nvml.attributes && nvml.attributes(handle, &attributes) == kSuccess) {
      device.memory_mib = attributes.memory_mib;
      // As NVIDIA names them: "1g.5gb".
      const std::string profile = std::to_string(attributes.gpu_slices) + "g." +
                                  std::to_string((attributes.memory_mib + 512) / 1024) + "gb";
      device.model = whole.model + " MIG " + profile;
      device.type = whole.type + "_" + profile;
    }
    const std::string dir = "gpu" + std::to_string(minor) + "/mig/gi" + std::to_string(part.gpu_instance);
    device.files.push_back(cap_file(dir + "/access"));
    device.files.push_back(cap_file(dir + "/ci" + std::to_string(part.compute_instance) + "/access"));
    device.environment = {"CUDA_VISIBLE_DEVICES=" + device.id};
    device.flags = BAI_DEVICE_SHARES | BAI_DEVICE_MPS;
    known[device.id] = part;
    out.push_back(std::move(device));
  }
}

int discover_by_nvml(std::vector<plugin::Device>& out, char* why, std::size_t room) {
  unsigned count = 0;
  if (const int code = nvml.count(&count); code != kSuccess) return plugin::say(why, room, failure(code)), 1;
  for (unsigned i = 0; i < count; ++i) {
    Handle handle = nullptr;
    // A GPU that fell off the bus has no handle; those that it is configured among will miss it.
    if (nvml.by_index(i, &handle) != kSuccess) continue;
    unsigned minor = i;
    (void)nvml.minor(handle, &minor);
    plugin::Device device = describe(handle, minor);
    unsigned mode = 0, pending = 0;
    if (nvml.mig_mode && nvml.mig_mode(handle, &mode, &pending) == kSuccess && mode == 1) {
      discover_mig(handle, device, minor, out);
      continue;
    }
    if (!uuid_of(handle, device.id)) continue;
    device.environment = {"CUDA_VISIBLE_DEVICES=%d"};
    known[device.id] = {handle, handle, false, 0, 0};
    out.push_back(std::move(device));
  }
  // Programs that take numbers must count them as they are counted here.
  for (auto& device : out) device.environment.push_back("CUDA_DEVICE_ORDER=PCI_BUS_ID");
  return 0;
}

// "Device Minor: \t 0" of /proc/driver/nvidia/gpus/ADDRESS/information.
int minor_of(const std::string& address) {
  std::ifstream in(root + "/proc/driver/nvidia/gpus/" + address + "/information");
  for (std::string line; std::getline(in, line);)
    if (line.rfind("Device Minor:", 0) == 0) return std::atoi(line.c_str() + 13);
  return -1;
}

int discover_by_cuda(std::vector<plugin::Device>& out, char* why, std::size_t room) {
  int count = 0;
  if (cuda.count(&count) != 0) return plugin::say(why, room, "the CUDA driver cannot count devices"), 1;
  for (int i = 0; i < count; ++i) {
    int handle = 0;
    CudaUuid uuid{};
    if (cuda.by_ordinal(&handle, i) != 0 || cuda.uuid(&uuid, handle) != 0) continue;
    plugin::Device device;
    device.kind = "gpu";
    device.id = "GPU-";
    for (int b = 0; b < 16; ++b) {
      char hex[4];
      std::snprintf(hex, sizeof hex, "%02x", static_cast<unsigned char>(uuid.bytes[b]));
      if (b == 4 || b == 6 || b == 8 || b == 10) device.id += '-';
      device.id += hex;
    }
    char text[128] = "";
    if (cuda.name(text, sizeof text, handle) == 0) device.model = text;
    device.type = plugin::type_of(device.model);
    std::size_t bytes = 0;
    if (cuda.memory(&bytes, handle) == 0) device.memory_mib = bytes >> 20;
    int minor = i;
    if (cuda.bus_id(text, sizeof text, handle) == 0) {
      const std::string address = pci_address(text);
      plugin::place_by_pci(root, address, device);
      if (const int said = minor_of(address); said >= 0) minor = said;
    }
    device.files = {root + "/dev/nvidia" + std::to_string(minor)};
    device.environment = {"CUDA_VISIBLE_DEVICES=%d", "CUDA_DEVICE_ORDER=PCI_BUS_ID"};
    device.flags = BAI_DEVICE_SHARES | BAI_DEVICE_MPS;
    known[device.id] = {};
    out.push_back(std::move(device));
  }
  return 0;
}

// ---- the plugin

int start(const char* config_dir, char* why, std::size_t room) {
  const auto conf = plugin::read_conf(std::string(config_dir) + "/cuda.conf");
  root = plugin::value_of(conf, "root");
  const std::string own = plugin::value_of(conf, "library"), own_cuda = plugin::value_of(conf, "cudalibrary");
  if (void* library =
          plugin::load_library(own.empty() ? std::vector<std::string>{"libnvidia-ml.so.1", "libnvidia-ml.so"}
                                           : std::vector<std::string>{own})) {
    if (!nvml.load(library)) return plugin::say(why, room, "NVML is too old"), BAI_DEVICE_FAILED;
    const int code = nvml.init();
    by_nvml = code == kSuccess;
    if (!by_nvml) return plugin::say(why, room, "NVML: " + failure(code)), BAI_DEVICE_FAILED;
    return BAI_DEVICE_STARTED;
  }
  // Configured away from its usual place, the other library is not looked for in it.
  if (void* library = plugin::load_library(own_cuda.empty() && own.empty()
                                               ? std::vector<std::string>{"libcuda.so.1", "libcuda.so"}
                                               : std::vector<std::string>{own_cuda})) {
    if (!cuda.load(library)) return plugin::say(why, room, "the CUDA driver is too old"), BAI_DEVICE_FAILED;
    const int code = cuda.init(0);
    if (code == 100) return plugin::say(why, room, "there is no device for CUDA"), BAI_DEVICE_ABSENT;
    if (code != 0)
      return plugin::say(why, room, "the CUDA driver does not start: error " + std::to_string(code)),
             BAI_DEVICE_FAILED;
    return BAI_DEVICE_STARTED;
  }
  return plugin::say(why, room, "there is no libnvidia-ml and no libcuda"), BAI_DEVICE_ABSENT;
}

const char* kinds() { return "gpu"; }

int discover(void (*found)(void*, const bai_device*), void* to, char* why, std::size_t room) {
  std::vector<plugin::Device> devices;
  known.clear();
  const int failed = by_nvml ? discover_by_nvml(devices, why, room) : discover_by_cuda(devices, why, room);
  for (const auto& device : devices) device.tell(found, to);
  return failed;
}

// What is asked of a device that is lost says so; what this one cannot tell is left unsaid.
void judge(const Known& device, bai_device_state& state) {
  static std::string reason;
  reason.clear();
  std::string uuid;
  unsigned long long errors = 0;
  unsigned corrected = 0, uncorrected = 0, pending = 0, failed = 0;
  if (!uuid_of(device.gpu, uuid))
    reason = "the driver has lost the GPU";
  else if (nvml.ecc && nvml.ecc(device.gpu, kUncorrected, kVolatile, &errors) == kSuccess && errors > 0)
    reason = std::to_string(errors) + " uncorrected memory errors since the driver was loaded";
  else if (nvml.remapped &&
           nvml.remapped(device.gpu, &corrected, &uncorrected, &pending, &failed) == kSuccess && failed)
    reason = "its memory has no more rows to replace broken ones by";
  if (reason.empty()) return;
  state.health = BAI_DEVICE_UNHEALTHY;
  state.why = reason.c_str();
}

void list_processes(const Known& device, bai_device_state& state) {
  static std::vector<bai_device_process> out;
  out.clear();
  if (!nvml.processes) return;
  ProcessInfo infos[BAI_DEVICE_MOST_USERS] = {};
  unsigned count = BAI_DEVICE_MOST_USERS;
  // More than there is room for: those that came are told.
  const int code = nvml.processes(device.gpu, &count, infos);
  if (code != kSuccess && code != kInsufficientSize) return;
  for (unsigned i = 0; i < count && i < BAI_DEVICE_MOST_USERS && infos[i].pid != 0; ++i) {
    if (device.mig && (infos[i].gpu_instance != device.gpu_instance ||
                       infos[i].compute_instance != device.compute_instance))
      continue;
    out.push_back({infos[i].pid, infos[i].memory == ULLONG_MAX ? 0 : infos[i].memory >> 20});
  }
  state.processes = out.data();
  state.process_count = static_cast<std::uint32_t>(out.size());
}

int look(const char* id, bai_device_state* state) {
  const auto it = known.find(id);
  if (it == known.end()) return 1;
  if (!by_nvml) return 0;  // the driver tells nothing of a device's health to who does not use it
  const Known& device = it->second;
  judge(device, *state);
  Memory memory{};
  if (nvml.memory(device.handle, &memory) == kSuccess)
    state->memory_used_mib = static_cast<int64_t>(memory.used >> 20);
  Utilization use{};
  // A part's is not told; the whole GPU's would mislead.
  if (!device.mig && nvml.use && nvml.use(device.gpu, &use) == kSuccess)
    state->use_percent = static_cast<int32_t>(use.gpu);
  unsigned value = 0;
  if (!device.mig && nvml.power && nvml.power(device.gpu, &value) == kSuccess) state->power_mw = value;
  list_processes(device, *state);
  return 0;
}

}  // namespace

extern "C" const bai_device_calls bai_device_plugin = {BAI_DEVICE_VERSION, "cuda", start, kinds,
                                                       discover,           look};
