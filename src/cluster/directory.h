// The directory of a private cluster: made and locked, and removed again. Who holds the lock is alone with it. Blocks; one
// thread.
#pragma once

#include "base/fd.h"
#include "base/result.h"
#include "cluster/interrupt.h"
#include "cluster/layout.h"

namespace bai::cluster {

// A cluster of root's serves other users too: they must get through to munged's socket and their scripts.
unsigned dir_mode();

struct Claim {
  Fd lock;
  std::string made;  // the topmost directory that had to be made for it; empty: all were there
};

// Makes the directory if there is none, and locks it; waits for others who use it. What bai-cluster has not made or left is
// nobody's to fill or, later, to remove. Errors: not_empty, interrupted.
Result<Claim> claim_directory(const Layout& layout, Interrupt& interrupt);
// The same where there must be one already; null: nothing interrupts the wait. Errors: no_cluster, interrupted.
Result<Fd> lock_directory(const Layout& layout, Interrupt* interrupt);

// Whether the directory was claimed once, though nothing may be in it yet.
bool is_claimed(const Layout& layout);
// All that lies in it of the cluster's, and the directories that were made for it. Other people's files stay. The lock is held.
Status remove_files(const Layout& layout, const Settings& settings);

}  // namespace bai::cluster
