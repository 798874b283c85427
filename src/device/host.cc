#include "device/host.h"

#include <dlfcn.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>

#include "base/fd.h"
#include "base/text.h"
#include "base/thread_name.h"

namespace bai::device {
namespace {

Error bad(const std::string& file, std::string why, std::string remedy = "") {
  return {"bad_plugin", std::move(why), file, std::move(remedy)};
}

// What a library says may be anything.
std::string clean(const char* text) {
  if (!text) return "";
  std::string out = escape_control(std::string_view(text, strnlen(text, BAI_DEVICE_MOST_TEXT)));
  if (out.size() <= BAI_DEVICE_MOST_TEXT) return out;
  std::size_t end = BAI_DEVICE_MOST_TEXT;
  while (end > 0 && (static_cast<unsigned char>(out[end]) & 0xc0) == 0x80) --end;  // not within a character
  return out.substr(0, end);
}

// Words of a list that ends with a null pointer; no more than one too many.
std::vector<std::string_view> words(const char* const* list) {
  std::vector<std::string_view> out;
  for (; list && *list && out.size() <= BAI_DEVICE_MOST_WORDS; ++list) out.emplace_back(*list);
  return out;
}

std::vector<std::string> kinds_of(const bai_device_calls& plugin) {
  const char* text = plugin.kinds ? plugin.kinds() : nullptr;
  std::vector<std::string> out;
  if (text)
    for (auto kind : split_list(std::string_view(text))) out.emplace_back(kind);
  return out;
}

class Host {
 public:
  explicit Host(int socket) : socket_(socket) {}

  // False: the agent is gone, or does not take it.
  bool say(const FromHost& message) const {
    const std::string frame = encode(message);
    return send(socket_, frame.data(), frame.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(frame.size());
  }

  bool begin(const Begin& request) {
    auto loaded = load_plugin(request.file, request.name);
    if (!loaded.ok()) return say(Failed{false, {}, loaded.error().message});
    plugin_ = *loaded;
    char why[BAI_DEVICE_MOST_TEXT] = "";
    const int started = plugin_->start(request.config_dir.c_str(), why, sizeof why);
    if (started != BAI_DEVICE_STARTED)
      return say(Failed{started == BAI_DEVICE_ABSENT, kinds_of(*plugin_), clean(why)});
    const int done =
        plugin_->discover([](void* to, const bai_device* device) { static_cast<Host*>(to)->found(*device); },
                          this, why, sizeof why);
    if (done != 0) wrong_ = why[0] ? clean(why) : "it could not look for devices";
    if (!wrong_.empty()) return say(Failed{false, kinds_of(*plugin_), wrong_});
    return say(Done{kinds_of(*plugin_)});
  }

  bool look() const {
    for (const auto& [id, missing] : ids_) {
      bai_device_state state{};
      state.use_percent = -1;
      state.memory_used_mib = state.power_mw = -1;
      State out;
      out.id = id;
      if (plugin_->look(id.c_str(), &state) != 0) {
        out.health = DeviceHealth::kUnhealthy;
        out.why = "the device is gone";
      } else {
        out = read_state(id, state);
      }
      if (out.health == DeviceHealth::kHealthy && !missing.empty()) {
        out.health = DeviceHealth::kUnhealthy;
        out.why = missing;
      }
      if (!say(out)) return false;
    }
    return say(Done{});
  }

 private:
  void found(const bai_device& device) {
    if (!wrong_.empty()) return;
    auto read = read_found(device);
    if (!read.ok()) {
      wrong_ = read.error().message;
      return;
    }
    if (ids_.size() >= BAI_DEVICE_MOST) {  // it may never come to an end
      (void)say(Failed{false, kinds_of(*plugin_), "it found too many devices"});
      _exit(1);
    }
    std::string missing;
    for (auto path : words(device.files))
      if (std::none_of(read->files.begin(), read->files.end(),
                       [&](const DeviceFile& f) { return f.path == path; }))
        missing = "there is no device file " + std::string(path);
    ids_.emplace_back(read->id, clean(missing.c_str()));
    if (!say(std::move(*read))) wrong_ = "the agent does not listen";
  }

  int socket_;
  const bai_device_calls* plugin_ = nullptr;
  std::vector<std::pair<std::string, std::string>> ids_;  // and which of its files is not there
  std::string wrong_;
};

}  // namespace

Result<const bai_device_calls*> load_plugin(const std::string& file, const std::string& name) {
  struct stat there {};
  if (stat(file.c_str(), &there) != 0) return bad(file, std::strerror(errno));
  if ((there.st_mode & S_IWOTH) != 0 || (there.st_uid != 0 && there.st_uid != geteuid()))
    return bad(file, "others may write it, and the agent would run it", "chown root and chmod o-w");
  void* object = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!object) {
    const char* why = dlerror();
    return bad(file, why ? clean(why) : "cannot be loaded");
  }
  const auto* plugin = static_cast<const bai_device_calls*>(dlsym(object, "bai_device_plugin"));
  if (!plugin) return bad(file, "it has no bai_device_plugin", "see bai/device_plugin.h");
  if (plugin->version == 0 || plugin->version > BAI_DEVICE_VERSION)
    return bad(file,
               "it is for version " + std::to_string(plugin->version) + " of the interface, and this is " +
                   std::to_string(BAI_DEVICE_VERSION),
               "compile it anew with this version's device_plugin.h");
  if (!plugin->name || name != plugin->name)
    return bad(file,
               "it calls itself " + (plugin->name ? quote(clean(plugin->name)) : std::string("nothing")),
               "its name and its file's must be the same");
  if (!plugin->start || !plugin->discover || !plugin->look) return bad(file, "it lacks a function");
  return plugin;
}

Result<Found> read_found(const bai_device& device) {
  Found out;
  const auto text = [](const char* from) { return std::string(from ? from : ""); };
  out.id = text(device.id);
  out.kind = text(device.kind);
  out.type = text(device.type);
  out.model = text(device.model);
  out.local_cpus = text(device.local_cpus);
  out.numa_node = std::max(-1, device.numa_node);
  out.mem_mib = device.memory_mib;
  out.shares = (device.flags & BAI_DEVICE_SHARES) != 0;
  out.mps = (device.flags & BAI_DEVICE_MPS) != 0;
  for (auto path : words(device.files)) {
    struct stat there {};
    const std::string file(path);
    if (stat(file.c_str(), &there) != 0 || (!S_ISCHR(there.st_mode) && !S_ISBLK(there.st_mode))) continue;
    out.files.push_back({file, {S_ISBLK(there.st_mode), major(there.st_rdev), minor(there.st_rdev)}});
  }
  for (auto entry : words(device.environment)) out.environment.emplace_back(entry);
  // What the agent would refuse is told by its reason here, where the plugin is known to be at fault.
  const std::string frame = encode(FromHost(out));
  auto back = decode_from_host(frame);
  if (!back.ok())
    return bad("",
               "what it said of device " + quote(clean(device.id)) + " is refused: " + back.error().message);
  return out;
}

State read_state(const std::string& id, const bai_device_state& state) {
  State out;
  out.id = id;
  out.health = state.health == BAI_DEVICE_HEALTHY     ? DeviceHealth::kHealthy
               : state.health == BAI_DEVICE_UNHEALTHY ? DeviceHealth::kUnhealthy
                                                      : DeviceHealth::kUnknown;
  if (out.health != DeviceHealth::kHealthy) out.why = clean(state.why);
  const auto known = [](std::int64_t value) {
    return value < 0 || value > (std::int64_t{1} << 50) ? -1 : value;
  };
  out.use_percent = state.use_percent < 0 ? -1 : std::min(state.use_percent, 100);
  out.mem_used_mib = known(state.memory_used_mib);
  out.power_mw = known(state.power_mw);
  for (std::uint32_t i = 0;
       state.processes && i < std::min<std::uint32_t>(state.process_count, BAI_DEVICE_MOST_USERS); ++i)
    if (const auto& user = state.processes[i]; user.pid > 0 && user.pid <= INT_MAX)
      out.processes.push_back({static_cast<std::uint32_t>(user.pid),
                               std::min<std::uint64_t>(user.memory_mib, std::uint64_t{1} << 50)});
  return out;
}

Status run_host(int socket) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  name_thread("device host");
  Host host(socket);
  std::string frame(kMaxFrame, '\0');
  for (;;) {
    const ssize_t n = recv(socket, frame.data(), frame.size(), 0);
    if (n == 0) return {};
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno_error("cannot hear the agent", "", errno);
    auto request = decode_to_host(std::string_view(frame).substr(0, static_cast<std::size_t>(n)));
    if (!request.ok()) return request.error();
    const auto* begin = std::get_if<Begin>(&*request);
    if (!(begin ? host.begin(*begin) : host.look())) return {};
  }
}

}  // namespace bai::device
