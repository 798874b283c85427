// The file from which a step's script runs. It lies in the agent's spool, whose room all jobs of the node share, so its user may read and run it, but not let it
// grow. Any thread; nothing is kept.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace bai::step {

// The bytes of an access control list that lets that user read and execute, besides the owner, and nobody else: the value of system.posix_acl_access, acl(5).
std::string acl_for(uint32_t uid);

// Writes it anew, private to the user. Root keeps it as its own where the file system has access control lists, and gives it away elsewhere. Errors: io_error,
// no_space, permission_denied.
Status write_script_file(const std::string& path, std::string_view text, uint32_t uid, uint32_t gid);

}  // namespace bai::step
