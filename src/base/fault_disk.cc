#include "base/fault_disk.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "base/fd.h"

namespace bai {

namespace {
constexpr std::size_t kMaxFile = 64u << 20;

// The name under which an overwritten file is remembered until its rename is synced or undone.
std::string hidden_name(const std::string& path, std::uint64_t step) {
  return path + '\0' + std::to_string(step);
}
}  // namespace

Env FaultDisk::env(Env base) {
  base.file_step = [this](const FileStep& what) { return step(what); };
  return base;
}

void FaultDisk::fail(std::uint64_t nth, int err, std::optional<FileOp> only) {
  fail_in_ = nth;
  fail_with_ = err;
  fail_only_ = only;
}

std::optional<FaultDisk::Content> FaultDisk::look(const std::string& path) {
  struct stat st {};
  if (::lstat(path.c_str(), &st) != 0 || !S_ISREG(st.st_mode)) return {};
  auto bytes = read_all(path, kMaxFile);
  if (!bytes) return {};
  return Content{std::move(*bytes), st.st_mode & 07777};
}

void FaultDisk::restore(const std::string& path, const std::optional<Content>& content) {
  if (!content) {
    ::unlink(path.c_str());
    return;
  }
  auto fd = open_fd(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  if (!fd) return;
  (void)write_all(fd->get(), content->bytes);
  (void)::fchmod(fd->get(), content->mode);
}

// Unsynced writes before `end` to the file called `from` belong to the name `to` now.
void FaultDisk::rename_files(std::size_t end, const std::string& from, const std::string& to) {
  for (std::size_t i = 0; i < end; ++i)
    if (undo_[i].op == FileOp::write && undo_[i].path == from) undo_[i].path = to;
}

int FaultDisk::step(const FileStep& what) {
  ++steps_;
  if (fail_in_ > 0 && (!fail_only_ || *fail_only_ == what.op) && --fail_in_ == 0) return fail_with_;
  switch (what.op) {
    case FileOp::sync:
      if (lose_syncs_) return Env::kPretend;
      std::erase_if(undo_, [&](const Undo& u) { return u.op == FileOp::write && u.path == what.path; });
      return 0;
    case FileOp::sync_dir:
      if (lose_syncs_) return Env::kPretend;
      std::erase_if(undo_,
                    [&](const Undo& u) { return u.op != FileOp::write && parent_dir(u.path) == what.path; });
      return 0;
    case FileOp::create:
    case FileOp::make_dir:
      if (::access(what.path.c_str(), F_OK) == 0) return 0;
      undo_.push_back({what.op, what.path});
      return 0;
    case FileOp::write:
    case FileOp::remove:
      undo_.push_back({what.op, what.path, {}, look(what.path)});
      return 0;
    case FileOp::rename: {
      const std::string hidden = hidden_name(what.to, steps_);
      rename_files(undo_.size(), what.to, hidden);
      rename_files(undo_.size(), what.path, what.to);
      undo_.push_back({what.op, what.path, what.to, look(what.to), hidden});
      return 0;
    }
  }
  return 0;
}

void FaultDisk::crash() {
  while (!undo_.empty()) {
    const Undo u = std::move(undo_.back());
    undo_.pop_back();
    switch (u.op) {
      case FileOp::create:
        ::unlink(u.path.c_str());
        break;
      case FileOp::make_dir:
        (void)Env::real().remove_tree(u.path);
        break;
      case FileOp::write:
        if (u.path.find('\0') == std::string::npos) restore(u.path, u.before);
        break;
      case FileOp::remove:
        if (u.before) restore(u.path, u.before);
        break;
      case FileOp::rename:
        rename_files(undo_.size(), u.to, u.path);
        ::rename(u.to.c_str(), u.path.c_str());
        if (u.before) restore(u.to, u.before);
        rename_files(undo_.size(), u.hidden, u.to);
        break;
      case FileOp::sync:
      case FileOp::sync_dir:
        break;
    }
  }
}

}  // namespace bai
