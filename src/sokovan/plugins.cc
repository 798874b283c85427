#include "sokovan/plugins.h"

#include <dlfcn.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>

#include "base/text.h"
#include "sokovan/placement_plugin.h"

namespace bai::sokovan {
namespace {

Error bad(const std::string& file, std::string why, std::string remedy = "") {
  return {"bad_plugin", std::move(why), file, std::move(remedy)};
}

Result<const bai_placement*> load_file(const std::string& file, std::string_view name) {
  struct stat there {};
  if (stat(file.c_str(), &there)) return bad(file, std::strerror(errno));
  if (there.st_mode & S_IWOTH)
    return bad(file, "everybody may write it, and the controller would run it", "chmod o-w");
  void* object = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!object) {
    const char* why = dlerror();
    return bad(file, why ? escape_control(why) : "cannot be loaded");
  }
  const auto* plugin = static_cast<const bai_placement*>(dlsym(object, "bai_placement_plugin"));
  if (!plugin) return bad(file, "it has no bai_placement_plugin", "see bai/placement_plugin.h");
  if (plugin->version == 0 || plugin->version > BAI_PLACEMENT_VERSION)
    return bad(file,
               "it is for version " + std::to_string(plugin->version) + " of the interface, and this is " +
                   std::to_string(BAI_PLACEMENT_VERSION),
               "compile it anew with this version's placement_plugin.h");
  if (!plugin->name || name != plugin->name)
    return bad(file, "it calls itself " + (plugin->name ? quote(plugin->name) : std::string("nothing")),
               "its name and its file's must be the same");
  if (!plugin->cost) return bad(file, "it has no function `cost`");
  return plugin;
}

}  // namespace

Result<const bai_placement*> load_placement(std::string_view dirs, std::string_view name) {
  const std::string file = "placement_" + std::string(name) + ".so";
  for (auto dir : split_list(dirs, ':')) {
    const std::string path = std::string(dir) + "/" + file;
    struct stat there {};
    if (stat(path.c_str(), &there) == 0 || errno != ENOENT) return load_file(path, name);
  }
  return bad(std::string(dirs), "there is no " + file, "PluginDir says where plugins are");
}

PlacementSource placements_in(std::string dirs) {
  return [dirs = std::move(dirs)](std::string_view name) { return load_placement(dirs, name); };
}

Status check_placement(const Partition& partition, const PlacementSource& source) {
  const auto name = placement_plugin(partition.scheduling.placement.view());
  if (name.empty()) return {};
  auto loaded = source(name);
  if (loaded) return {};
  auto error = loaded.error();
  error.message += "; it is the placement of partition " + partition.name.str();
  return error;
}

Status check_placements(const ClusterConfig& config) {
  const auto source = placements_in(config.plugin_dir);
  for (const auto& partition : config.partitions)
    if (auto good = check_placement(partition, source); !good) return good;
  return {};
}

}  // namespace bai::sokovan
