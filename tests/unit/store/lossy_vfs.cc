#include "lossy_vfs.h"

#include <algorithm>
#include <cstring>
#include <random>

namespace bai::store {

namespace {

constexpr int kSector = 512;

struct Handle {
  sqlite3_file base;
  LossyDisk* disk;
  std::shared_ptr<LossyDisk::File>* file;
  std::string* name;
  bool delete_on_close;
  bool uses_shm;
};

Handle* handle(sqlite3_file* f) { return reinterpret_cast<Handle*>(f); }
LossyDisk::File& file(sqlite3_file* f) { return **handle(f)->file; }
LossyDisk* disk(sqlite3_vfs* vfs) { return static_cast<LossyDisk*>(vfs->pAppData); }

void lay(std::string& image, const LossyDisk::Op& op) {
  const auto at = static_cast<std::size_t>(op.at);
  if (op.truncate) {
    image.resize(at);
    return;
  }
  if (image.size() < at + op.bytes.size()) image.resize(at + op.bytes.size());
  op.bytes.copy(image.data() + at, op.bytes.size());
}

int shm_unmap(sqlite3_file* f, int);

int close(sqlite3_file* f) {
  Handle* h = handle(f);
  shm_unmap(f, 0);
  file(f).locks.erase(f);
  if (h->delete_on_close) h->disk->remove(*h->name);
  delete h->file;
  delete h->name;
  return SQLITE_OK;
}

int read(sqlite3_file* f, void* to, int n, sqlite3_int64 at) {
  const std::string& now = file(f).now;
  std::memset(to, 0, static_cast<std::size_t>(n));
  if (at >= static_cast<sqlite3_int64>(now.size())) return SQLITE_IOERR_SHORT_READ;
  const auto got =
      now.copy(static_cast<char*>(to), static_cast<std::size_t>(n), static_cast<std::size_t>(at));
  return got == static_cast<std::size_t>(n) ? SQLITE_OK : SQLITE_IOERR_SHORT_READ;
}

void change(LossyDisk::File& to, LossyDisk::Op op) {
  lay(to.now, op);
  to.log.push_back(std::move(op));
}

int write(sqlite3_file* f, const void* from, int n, sqlite3_int64 at) {
  LossyDisk::File& to = file(f);
  const int rc = handle(f)->disk->step(false, at + n > static_cast<sqlite3_int64>(to.now.size()));
  if (rc != SQLITE_OK) n /= 2;  // a failing write may leave a part
  if (n > 0) change(to, {at, std::string(static_cast<const char*>(from), static_cast<std::size_t>(n))});
  return rc == SQLITE_IOERR ? SQLITE_IOERR_WRITE : rc;
}

int truncate(sqlite3_file* f, sqlite3_int64 size) {
  if (handle(f)->disk->step(false, false) != SQLITE_OK) return SQLITE_IOERR_TRUNCATE;
  change(file(f), {size, {}, true});
  return SQLITE_OK;
}

int sync(sqlite3_file* f, int) {
  LossyDisk::File& it = file(f);
  const bool failed = handle(f)->disk->step(true, false) != SQLITE_OK;
  bool limbo = false;
  for (auto& op : it.log) {
    if (op.state == LossyDisk::Op::kPending)
      op.state = failed ? LossyDisk::Op::kLimbo : LossyDisk::Op::kSynced;
    limbo |= op.state == LossyDisk::Op::kLimbo;
  }
  if (failed) return SQLITE_IOERR_FSYNC;
  it.durable_name = true;
  if (!limbo) {
    it.durable = it.now;
    it.log.clear();
  }
  return SQLITE_OK;
}

int file_size(sqlite3_file* f, sqlite3_int64* size) {
  *size = static_cast<sqlite3_int64>(file(f).now.size());
  return SQLITE_OK;
}

int lock(sqlite3_file* f, int level) {
  auto& locks = file(f).locks;
  for (const auto& [owner, held] : locks) {
    if (owner == f) continue;
    if (level == SQLITE_LOCK_SHARED && held >= SQLITE_LOCK_PENDING) return SQLITE_BUSY;
    if (level == SQLITE_LOCK_RESERVED && held >= SQLITE_LOCK_RESERVED) return SQLITE_BUSY;
    if (level == SQLITE_LOCK_EXCLUSIVE && held >= SQLITE_LOCK_SHARED) return SQLITE_BUSY;
  }
  locks[f] = std::max(locks[f], level);
  return SQLITE_OK;
}

int unlock(sqlite3_file* f, int level) {
  file(f).locks[f] = level;
  return SQLITE_OK;
}

int check_reserved(sqlite3_file* f, int* out) {
  const auto& locks = file(f).locks;
  *out =
      std::any_of(locks.begin(), locks.end(), [](const auto& l) { return l.second >= SQLITE_LOCK_RESERVED; });
  return SQLITE_OK;
}

int control(sqlite3_file*, int, void*) { return SQLITE_NOTFOUND; }
int sector_size(sqlite3_file*) { return kSector; }
int characteristics(sqlite3_file*) { return SQLITE_IOCAP_POWERSAFE_OVERWRITE; }

int shm_map(sqlite3_file* f, int region, int size, int extend, void volatile** out) {
  LossyDisk::File& it = file(f);
  if (!handle(f)->uses_shm) {
    handle(f)->uses_shm = true;
    ++it.shm_users;
  }
  *out = nullptr;
  while (static_cast<int>(it.shm.size()) <= region) {
    if (extend == 0) return SQLITE_OK;
    it.shm.push_back(std::make_unique<char[]>(static_cast<std::size_t>(size)));
  }
  *out = it.shm[static_cast<std::size_t>(region)].get();
  return SQLITE_OK;
}

int shm_lock(sqlite3_file* f, int first, int n, int flags) {
  LossyDisk::File& it = file(f);
  for (int i = first; i < first + n; ++i) {
    LossyDisk::Lock& l = it.shm_locks[i];
    if ((flags & SQLITE_SHM_LOCK) == 0) continue;
    if (l.exclusive != nullptr && l.exclusive != f) return SQLITE_BUSY;
    if ((flags & SQLITE_SHM_EXCLUSIVE) != 0)
      for (const auto& [owner, count] : l.shared)
        if (owner != f && count > 0) return SQLITE_BUSY;
  }
  for (int i = first; i < first + n; ++i) {
    LossyDisk::Lock& l = it.shm_locks[i];
    const bool take = (flags & SQLITE_SHM_LOCK) != 0;
    if ((flags & SQLITE_SHM_EXCLUSIVE) != 0) {
      l.exclusive = take ? f : nullptr;
    } else {
      l.shared[f] = take ? 1 : 0;
    }
  }
  return SQLITE_OK;
}

void shm_barrier(sqlite3_file*) {}

int shm_unmap(sqlite3_file* f, int) {
  LossyDisk::File& it = file(f);
  if (!handle(f)->uses_shm) return SQLITE_OK;
  handle(f)->uses_shm = false;
  for (auto& l : it.shm_locks) {
    if (l.exclusive == f) l.exclusive = nullptr;
    l.shared.erase(f);
  }
  if (--it.shm_users == 0) it.shm.clear();
  return SQLITE_OK;
}

const sqlite3_io_methods kMethods = {
    2,         close,          read,    write,       truncate,        sync,    file_size, lock,
    unlock,    check_reserved, control, sector_size, characteristics, shm_map, shm_lock,  shm_barrier,
    shm_unmap, nullptr,        nullptr};

int open(sqlite3_vfs* vfs, sqlite3_filename name, sqlite3_file* f, int flags, int* out_flags) {
  static int temporary = 0;
  Handle* h = handle(f);
  h->base.pMethods = nullptr;
  const std::string path = name != nullptr ? name : "temporary" + std::to_string(++temporary);
  auto found = disk(vfs)->find(path);
  if (!found) {
    if ((flags & SQLITE_OPEN_CREATE) == 0) return SQLITE_CANTOPEN;
    found = disk(vfs)->create(path);
  }
  h->disk = disk(vfs);
  h->file = new std::shared_ptr<LossyDisk::File>(std::move(found));
  h->name = new std::string(path);
  h->delete_on_close = (flags & SQLITE_OPEN_DELETEONCLOSE) != 0;
  h->uses_shm = false;
  h->base.pMethods = &kMethods;
  if (out_flags != nullptr) *out_flags = flags;
  return SQLITE_OK;
}

int remove(sqlite3_vfs* vfs, const char* name, int) {
  if (!disk(vfs)->find(name)) return SQLITE_IOERR_DELETE_NOENT;
  if (disk(vfs)->step(false, false) != SQLITE_OK) return SQLITE_IOERR_DELETE;
  disk(vfs)->remove(name);
  return SQLITE_OK;
}

int access(sqlite3_vfs* vfs, const char* name, int flags, int* out) {
  const auto found = disk(vfs)->find(name);
  // As unixAccess: an empty file does not "exist".
  *out = found && (flags != SQLITE_ACCESS_EXISTS || !found->now.empty());
  return SQLITE_OK;
}

int full_pathname(sqlite3_vfs*, const char* name, int n, char* out) {
  sqlite3_snprintf(n, out, "%s", name);
  return SQLITE_OK;
}

int randomness(sqlite3_vfs*, int n, char* out) {
  static std::mt19937 random(1);
  for (int i = 0; i < n; ++i) out[i] = static_cast<char>(random());
  return n;
}

int sleep(sqlite3_vfs*, int us) { return us; }

int now(sqlite3_vfs*, sqlite3_int64* out) {
  *out = 2460000LL * 86400000;
  return SQLITE_OK;
}

int last_error(sqlite3_vfs*, int, char*) { return 0; }

}  // namespace

LossyDisk::LossyDisk(std::string vfs_name) : name_(std::move(vfs_name)) {
  vfs_.iVersion = 2;
  vfs_.szOsFile = sizeof(Handle);
  vfs_.mxPathname = 512;
  vfs_.zName = name_.c_str();
  vfs_.pAppData = this;
  vfs_.xOpen = open;
  vfs_.xDelete = bai::store::remove;
  vfs_.xAccess = access;
  vfs_.xFullPathname = full_pathname;
  vfs_.xRandomness = randomness;
  vfs_.xSleep = sleep;
  vfs_.xCurrentTimeInt64 = now;
  vfs_.xGetLastError = last_error;
  sqlite3_vfs_register(&vfs_, 0);
}

LossyDisk::~LossyDisk() { sqlite3_vfs_unregister(&vfs_); }

void LossyDisk::fail(std::uint64_t nth, Fault fault) {
  fail_at_ = calls_ + nth;
  fault_ = fault;
}

int LossyDisk::step(bool sync, bool grows) {
  ++calls_;
  if (die_at_ != 0 && calls_ >= die_at_) return SQLITE_IOERR;
  if (calls_ == fail_at_) return fault_ == Fault::full && !sync ? SQLITE_FULL : SQLITE_IOERR;
  if (full_ && grows) return SQLITE_FULL;
  return SQLITE_OK;
}

std::shared_ptr<LossyDisk::File> LossyDisk::find(const std::string& name) const {
  const auto found = files_.find(name);
  return found != files_.end() ? found->second : nullptr;
}

std::shared_ptr<LossyDisk::File> LossyDisk::create(const std::string& name) {
  return files_[name] = std::make_shared<File>();
}

void LossyDisk::power_cut(std::uint64_t seed) {
  std::mt19937_64 random(seed);
  const auto kept = [&] { return seed == kKeepAll || (seed != 0 && random() % 2 == 0); };
  for (auto it = files_.begin(); it != files_.end();) {
    File& file = *it->second;
    for (const auto& op : file.log) {
      if (op.state == Op::kSynced) {
        lay(file.durable, op);
      } else if (op.truncate) {
        if (kept()) lay(file.durable, op);
      } else {
        for (std::size_t at = 0; at < op.bytes.size(); at += kSector)
          if (kept())
            lay(file.durable, {op.at + static_cast<std::int64_t>(at), op.bytes.substr(at, kSector)});
      }
    }
    if (!file.durable_name && !kept()) {
      it = files_.erase(it);
      continue;
    }
    auto after = std::make_shared<File>();
    after->now = after->durable = file.durable;
    after->durable_name = true;
    it->second = std::move(after);
    ++it;
  }
  fail_at_ = die_at_ = 0;
  full_ = false;
}

}  // namespace bai::store
