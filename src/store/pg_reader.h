// The reading side of the PostgreSQL driver: a connection of its own, made again when it was lost. One thread at a time.
#pragma once

#include <memory>

#include "base/result.h"
#include "store/store.h"

namespace bai::store {

Result<std::unique_ptr<Reader>> open_postgresql_reader(const OpenOptions& options);

}  // namespace bai::store
