// Pseudo terminals for tasks. Any thread; nothing is kept.
#pragma once

#include <sys/types.h>

#include <cstdint>

#include "base/fd.h"
#include "base/result.h"

namespace bai::step {

struct Terminal {
  Fd master;  // non-blocking
  Fd slave;
};
// `raw`: bytes pass as they are. The slave belongs to `owner`. Errors: io_error.
Result<Terminal> open_terminal(bool raw, uid_t owner);
// 0 rows or columns: left as it is.
void set_window(int fd, uint32_t rows, uint32_t columns);

}  // namespace bai::step
