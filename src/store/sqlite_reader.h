// The reading side of the SQLite driver: a connection of its own, queries only. One thread at a time.
#pragma once

#include <memory>

#include "base/result.h"
#include "store/store.h"

namespace bai::store {

Result<std::unique_ptr<Reader>> open_sqlite_reader(const OpenOptions& options);

}  // namespace bai::store
