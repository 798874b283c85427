#include "store/store.h"

namespace bai::store {

Result<std::unique_ptr<Store>> open(std::string_view kind, const OpenOptions& options) {
  if (kind != "sqlite" && kind != "postgresql")
    return Error{"bad_store", "there is no store '" + std::string(kind) + "'", "",
                 "use sqlite or postgresql"};
  auto store = kind == "sqlite" ? open_sqlite(options) : open_postgresql(options);
  if (store && !options.cluster.empty() && (*store)->lineage().cluster != options.cluster)
    return Error{"other_cluster",
                 "the database is of cluster " + (*store)->lineage().cluster.hex() +
                     ", bai.conf's ClusterId is " + options.cluster.hex(),
                 "", "point StoreLocation at this cluster's database, or correct ClusterId"};
  return store;
}

}  // namespace bai::store
