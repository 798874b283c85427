// A thread's name as top -H, ps -L and perf show it.
#pragma once

#include <pthread.h>

namespace bai {

// At most 15 bytes; of the calling thread, at its beginning.
inline void name_thread(const char* name) { pthread_setname_np(pthread_self(), name); }

}  // namespace bai
