// The cluster's own PostgreSQL: reached over a Unix socket only, and only by who runs it (and root). The
// server refuses to run as root; when root calls, it runs as Debian's user postgres, else as nobody.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "cluster/interrupt.h"
#include "cluster/layout.h"
#include "cluster/process.h"

namespace bai::cluster {

struct Postgres {
  std::vector<std::string> command;
  std::optional<RunAs> as;
};

// Creates the database cluster if there is none (about a second) and tells how to run its server.
// Errors: postgres_missing, postgres_directory, each with the remedy; initdb's.
Result<Postgres> prepare_postgres(const Layout& layout, const Settings& settings, Interrupt& interrupt);
// Ends an initdb whose starter was killed.
void end_initdb(const Layout& layout);
// Whether the server with this pid takes connections.
bool postgres_answers(const Layout& layout, pid_t pid);

}  // namespace bai::cluster
