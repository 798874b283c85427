// The bai.conf of a private cluster. Pure function; any thread.
#pragma once

#include <string>

#include "cluster/layout.h"

namespace bai::cluster {

// The whole file. `uid` is who starts the cluster and whose daemons they are: root's run as root here,
// because a private cluster has no user of its own; an installed one has (BaiUser=bai).
std::string make_config(const Layout& layout, const Settings& settings, unsigned uid);

}  // namespace bai::cluster
