// What bai-ctld counts about itself in the form of Slurm's sdiag. Pure; any thread.
#pragma once

#include <string>

#include "wire/messages.h"

namespace bai::cli {

void put_slurm_diag(std::string& out, const wire::DiagReply& diag);

}  // namespace bai::cli
