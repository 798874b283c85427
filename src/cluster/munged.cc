#include "cluster/munged.h"

#include <unistd.h>

#include "base/env.h"
#include "cluster/process.h"
#include "wire/munge.h"

namespace bai::cluster {

Status make_munge_key(const Layout& layout) {
  const Env env = Env::real();
  if (auto made = env.make_dirs(layout.munge_dir(), 0700); !made.ok()) return made;
  const std::string path = layout.munge_dir() + "/key";
  if (access(path.c_str(), F_OK) == 0) return {};
  std::string key(128, '\0');
  env.random_bytes(key.data(), key.size());
  return env.write_file_atomic(path, key, 0600);
}

Result<std::vector<std::string>> munged_command(const Layout& layout, const Settings& settings) {
  const auto program = find_program("munged");
  if (!program)
    return Error{"munge_missing", "munged, which says who calls, is not installed", "",
                 "apt-get install munge (no service needs to be started)"};
  const std::string dir = layout.munge_dir();
  // --force: an ordinary user's directories are not what munged would ask of a system's; only that user's
  // cluster depends on them. A fixed origin saves looking up this host's name.
  return std::vector<std::string>{*program,
                                  "--foreground",
                                  "--force",
                                  "--num-threads=2",
                                  "--origin=127.0.0.1",
                                  "--key-file=" + dir + "/key",
                                  "--seed-file=" + dir + "/seed",
                                  "--pid-file=" + dir + "/pid",
                                  "--log-file=" + layout.log("munged"),
                                  "--socket=" + munge_socket(settings)};
}

bool munged_answers(const Settings& settings) {
  const std::string socket = munge_socket(settings);
  return access(socket.c_str(), F_OK) == 0 && wire::munge_encode("", {.socket = socket}).ok();
}

}  // namespace bai::cluster
