#include "store/store.h"

namespace bai::store {

Result<std::unique_ptr<Store>> open(std::string_view kind, const OpenOptions& options) {
  if (kind == "sqlite") return open_sqlite(options);
  if (kind == "postgresql") return open_postgresql(options);
  return Error{"bad_store", "there is no store '" + std::string(kind) + "'", "", "use sqlite or postgresql"};
}

}  // namespace bai::store
