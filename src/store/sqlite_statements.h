// Every statement that the SQLite driver prepares, and how a batch's rows are bound to them. One thread.
#pragma once

#include <string_view>

#include "base/result.h"
#include "model/ids.h"
#include "store/driver.h"
#include "store/rows.h"
#include "store/sqlite_db.h"

namespace bai::store {

struct SqliteStatements {
  Statement begin, end;
  Statement compare_and_move, touch, lineage;
  Statement put_job, drop_job, put_launch, drop_launch, put_content, put_event, put_step, put_request,
      put_node, put_setting, drop_setting, put_history;
  Statement drop_requests, launches_step, contents_step, drop_content;

  Status prepare(Database& db);
  // Within a transaction.
  Status write(const Rows& rows);
};

}  // namespace bai::store
