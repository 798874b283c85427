// Any device by configuration: each file NAME.conf in the folder `generic` of DeviceConfigDir is one kind, and says where its devices are, how a job is shown them, and which files tell how they are. Lines:
//
//   Kind=npu             the word of --gres                                   Type=atom     --gres=npu:atom:1
//   Files=/dev/rbln*     a pattern; each match is a device                    Model=text
//   AlsoFiles=/dev/x%i*  a pattern of further files of a device; may be repeated   Memory=16G    of each; or MemoryFile=
//   Environment=V=%i     may come again                                       Shares=yes    several jobs may have one
//   Sysfs=/sys/class/rebellions/rbln%i    what is relative below begins here
//   CpusFile=device/local_cpulist   NumaFile=device/numa_node   IdFile=device/serial   MemoryFile=
//   HealthFile=state  HealthyIs=ok,idle   UsePercentFile=  MemoryUsedFile=  PowerFile=     (MiB with a suffix K, M or G: bytes without one)
//
// %i is the digits with which the matched name ends, %n the whole name, and %d of Environment is left to the agent.
#include <glob.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>

#include "plugin_help.h"

namespace {

using Conf = std::multimap<std::string, std::string>;
using plugin::value_of;

struct Known {
  Conf conf;
  std::string sysfs, file, number, name;
};
std::string dir;
std::string all_kinds;
std::map<std::string, Known> known;

std::string filled(std::string text, const Known& device) {
  for (const auto& [sign, value] : {std::pair{"%i", device.number}, std::pair{"%n", device.name}})
    for (std::size_t at = 0; (at = text.find(sign, at)) != std::string::npos; at += value.size())
      text.replace(at, 2, value);
  return text;
}

// The content of the file that a key names; "": none.
std::string content(const Known& device, const std::string& key) {
  std::string path = filled(value_of(device.conf, key), device);
  if (path.empty()) return "";
  if (path[0] != '/') path = device.sysfs + "/" + path;
  return plugin::line_of(path);
}

// "16G", "512M" and "64K"; a plain number is bytes in a file and MiB in the configuration.
long long mebibytes(const std::string& text, bool bytes) {
  long long number = 0;
  if (!plugin::number_of(text, number) || number < 0) return -1;
  const auto unit = text.find_first_of("KkMmGgTt");
  if (unit == std::string::npos) return bytes ? number >> 20 : number;
  switch (std::toupper(static_cast<unsigned char>(text[unit]))) {
    case 'K':
      return number >> 10;
    case 'M':
      return number;
    case 'G':
      return number << 10;
    default:
      return number << 20;
  }
}

std::vector<std::string> matches(const std::string& pattern) {
  std::vector<std::string> out;
  glob_t found{};
  if (glob(pattern.c_str(), 0, nullptr, &found) == 0)
    for (std::size_t i = 0; i < found.gl_pathc && out.size() <= BAI_DEVICE_MOST; ++i)
      out.emplace_back(found.gl_pathv[i]);
  globfree(&found);
  // accel2 comes before accel10.
  std::sort(out.begin(), out.end(), [](const std::string& a, const std::string& b) {
    return a.size() != b.size() ? a.size() < b.size() : a < b;
  });
  return out;
}

std::string digits_at_end(const std::string& name) {
  std::size_t from = name.size();
  while (from > 0 && std::isdigit(static_cast<unsigned char>(name[from - 1]))) --from;
  return name.substr(from);
}

std::vector<Conf> read_all() {
  std::vector<Conf> out;
  for (const auto& name : plugin::names_in(dir))
    if (name.size() > 5 && name.substr(name.size() - 5) == ".conf")
      out.push_back(plugin::read_conf(dir + "/" + name));
  return out;
}

int start(const char* config_dir, char* why, std::size_t room) {
  dir = std::string(config_dir) + "/generic";
  const auto confs = read_all();
  for (const auto& conf : confs) {
    const std::string kind = value_of(conf, "kind");
    if (kind.empty() || value_of(conf, "files").empty())
      return plugin::say(why, room, "a file in " + dir + " has no Kind or no Files"), BAI_DEVICE_FAILED;
    all_kinds += (all_kinds.empty() ? "" : ",") + kind;
  }
  if (confs.empty()) return plugin::say(why, room, "nothing is configured in " + dir), BAI_DEVICE_ABSENT;
  return BAI_DEVICE_STARTED;
}

const char* kinds() { return all_kinds.c_str(); }

int discover(void (*found)(void*, const bai_device*), void* to, char*, std::size_t) {
  known.clear();
  for (const auto& conf : read_all())
    for (const auto& file : matches(value_of(conf, "files"))) {
      Known it;
      it.conf = conf;
      it.file = file;
      it.name = file.substr(file.rfind('/') + 1);
      it.number = digits_at_end(it.name);
      it.sysfs = filled(value_of(conf, "sysfs"), it);
      plugin::Device device;
      device.kind = value_of(conf, "kind");
      device.type = value_of(conf, "type");
      device.model = value_of(conf, "model", device.type);
      device.id = content(it, "idfile");
      if (device.id.empty()) device.id = file;
      if (known.count(device.id)) device.id += ":" + file;
      device.local_cpus = content(it, "cpusfile");
      long long number = -1;
      if (plugin::number_of(content(it, "numafile"), number)) device.numa = static_cast<int>(number);
      const long long read = mebibytes(content(it, "memoryfile"), true);
      const long long said = mebibytes(value_of(conf, "memory"), false);
      device.memory_mib = static_cast<std::uint64_t>(std::max(0LL, read >= 0 ? read : said));
      device.files = {file};
      for (auto [at, end] = conf.equal_range("alsofiles"); at != end; ++at)
        for (auto& more : matches(filled(at->second, it))) device.files.push_back(more);
      for (auto [at, end] = conf.equal_range("environment"); at != end; ++at)
        device.environment.push_back(filled(at->second, it));
      const std::string shares = value_of(conf, "shares");
      if (!shares.empty() && std::tolower(static_cast<unsigned char>(shares[0])) == 'y')
        device.flags |= BAI_DEVICE_SHARES;
      known[device.id] = it;
      device.tell(found, to);
    }
  return 0;
}

int look(const char* id, bai_device_state* state) {
  const auto it = known.find(id);
  if (it == known.end() || access(it->second.file.c_str(), F_OK) != 0) return 1;
  const Known& device = it->second;
  static std::string reason;
  if (!value_of(device.conf, "healthfile").empty()) {
    const std::string is = content(device, "healthfile"), wanted = value_of(device.conf, "healthyis");
    if (("," + wanted + ",").find("," + is + ",") == std::string::npos || is.empty()) {
      reason = filled(value_of(device.conf, "healthfile"), device) +
               (is.empty() ? " cannot be read" : " says " + is);
      state->health = BAI_DEVICE_UNHEALTHY;
      state->why = reason.c_str();
    }
  }
  long long number = 0;
  if (plugin::number_of(content(device, "usepercentfile"), number))
    state->use_percent = static_cast<int32_t>(number);
  if (number = mebibytes(content(device, "memoryusedfile"), true); number >= 0)
    state->memory_used_mib = number;
  if (plugin::number_of(content(device, "powerfile"), number)) state->power_mw = number;
  return 0;
}

}  // namespace

extern "C" const bai_device_calls bai_device_plugin = {BAI_DEVICE_VERSION, "generic", start, kinds,
                                                       discover,           look};
