// The cluster's own munged: its own key and socket, so that its credentials mean nothing elsewhere.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "cluster/layout.h"

namespace bai::cluster {

// Makes DIR/munge with a fresh key if there is none. Errors: io_error and the like.
Status make_munge_key(const Layout& layout);
// How to run it in the foreground, as whoever calls. Errors: munge_missing, with the remedy.
Result<std::vector<std::string>> munged_command(const Layout& layout, const Settings& settings);
// Whether it answers.
bool munged_answers(const Settings& settings);

}  // namespace bai::cluster
