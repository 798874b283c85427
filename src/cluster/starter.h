// Starts what of a private cluster does not run, and ends it again. Blocks; one thread; the directory's lock is held.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "cluster/interrupt.h"
#include "cluster/layout.h"
#include "cluster/process.h"

namespace bai::cluster {

// Ends all processes of the cluster, and what its steps have left. Errors: permission_denied, not_ended; it goes on as far as it
// can.
Status end_processes(const Layout& layout, const Settings& settings);

class Starter {
 public:
  Starter(const Layout& layout, const Settings& settings, Interrupt& interrupt);

  // One part after another, each when what it needs answers; returns when all nodes are ready. Errors: interrupted, timed_out,
  // daemon_died, those of the parts.
  Status start_all();
  // Ends what was started here, and the steps that began since.
  void undo();
  // Names of what had to be started.
  const std::vector<std::string>& started() const { return started_; }

 private:
  bool adopt(const std::string& name);  // whether it runs already
  bool is_started(std::string_view name) const;
  Status start(const std::string& name, const std::vector<std::string>& argv, std::optional<RunAs> as = {});
  Status await(const std::string& what, int pause_ms, const std::function<bool()>& done);
  Status munged();
  Status postgres();
  Status ctld();
  Status agents();
  bool fresh_agents_registered() const;
  Status try_all();

  const Layout& layout_;
  const Settings& settings_;
  Interrupt& interrupt_;
  const Time began_;
  const std::vector<std::string> attempts_;  // steps that were there before
  std::vector<Process> processes_;           // all that run, whoever started them
  std::vector<std::string> started_;
};

}  // namespace bai::cluster
